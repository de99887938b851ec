/*
 * Latency distributions as pictures: what sections hand over while they measure becomes one SVG per
 * figure, drawn by gnuplot, with the data that it shows in a text file beside it. Called by every
 * section that has a distribution; bench_keybroker.c writes them all at the end.
 */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include <stddef.h>

/* One more curve, `curve` in the legend, of the figure FIGURE.svg. Copies the values; does not
 * sort the caller's. The same figure and curve again adds to the curve. */
void plot_add(const char *figure, const char *curve, const double *us, size_t count);

/* Write all figures into the directory, which is made: the share of the calls that took longer
 * than so long, both axes logarithmic. How many; without gnuplot, one line and 0. Forgets the
 * curves. */
unsigned plot_write(const char *directory);

#endif
