/* See plot.h. */
#include "plot.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sample.h"

enum { FIGURES_MAX = 32, CURVES_MAX = 12, DOTS_PER_DECADE = 80 };

struct curve {
    char name[80];
    double *us;
    size_t count;
};

struct figure {
    char name[48];
    struct curve curves[CURVES_MAX];
    unsigned count;
};

static struct figure figures[FIGURES_MAX];
static unsigned figure_count;

static struct figure *figure_named(const char *name) {
    for (unsigned i = 0; i < figure_count; i++)
        if (strcmp(figures[i].name, name) == 0)
            return &figures[i];
    if (figure_count == FIGURES_MAX)
        sample_die("too many figures: %s", name);
    struct figure *figure = &figures[figure_count++];
    snprintf(figure->name, sizeof figure->name, "%s", name);
    return figure;
}

static struct curve *curve_named(struct figure *figure, const char *name) {
    for (unsigned i = 0; i < figure->count; i++)
        if (strcmp(figure->curves[i].name, name) == 0)
            return &figure->curves[i];
    if (figure->count == CURVES_MAX)
        sample_die("too many curves in %s: %s", figure->name, name);
    struct curve *curve = &figure->curves[figure->count++];
    snprintf(curve->name, sizeof curve->name, "%s", name);
    return curve;
}

void plot_add(const char *figure, const char *curve, const double *us, size_t count) {
    struct curve *found = curve_named(figure_named(figure), curve);
    double *more = realloc(found->us, (found->count + count + 1) * sizeof *more);
    if (!more)
        sample_die("no memory");
    memcpy(more + found->count, us, count * sizeof *us);
    found->us = more;
    found->count += count;
}

/* Lines of "microseconds share": the share that took longer. Dots that would lie on one another
 * are left out, so that twenty thousand values remain a small file. */
static void write_curve(FILE *file, struct curve *curve) {
    sample_percentile(curve->us, curve->count, 0); /* sorts */
    fprintf(file, "# %s\n", curve->name);
    double last_us = 0, last_share = 2;
    double step = 1 + 2.3 / DOTS_PER_DECADE;
    for (size_t i = 0; i < curve->count; i++) {
        double share = (double)(curve->count - i) / (double)curve->count;
        if (i + 1 < curve->count && curve->us[i] < last_us * step && share > last_share / step)
            continue;
        fprintf(file, "%.4g %.6g\n", curve->us[i], share);
        last_us = curve->us[i];
        last_share = share;
    }
    fputs("\n\n", file); /* gnuplot's end of a data set */
}

static void write_quoted(FILE *file, const char *text) {
    fputc('\'', file);
    for (; *text; text++) {
        if (*text == '\'')
            fputc('\'', file);
        fputc(*text, file);
    }
    fputc('\'', file);
}

static bool write_figure(const char *directory, struct figure *figure) {
    char path[700];
    snprintf(path, sizeof path, "%s/%s.txt", directory, figure->name);
    FILE *file = fopen(path, "we");
    if (!file)
        sample_die("%s: %s", path, strerror(errno));
    for (unsigned i = 0; i < figure->count; i++)
        write_curve(file, &figure->curves[i]);
    fclose(file);
    FILE *gnuplot = popen("gnuplot", "we");
    if (!gnuplot)
        return false;
    fputs("set terminal svg size 900,560 font 'sans,13' background '#ffffff'\nset output ",
          gnuplot);
    snprintf(path, sizeof path, "%s/%s.svg", directory, figure->name);
    write_quoted(gnuplot, path);
    fputs("\nset logscale xy\nset grid\nset key bottom left noenhanced\n"
          "set xlabel 'microseconds'\nset ylabel 'share that took longer'\n"
          "set format y '%g'\nset yrange [:1]\nset title noenhanced ",
          gnuplot);
    write_quoted(gnuplot, figure->name);
    snprintf(path, sizeof path, "%s/%s.txt", directory, figure->name);
    for (unsigned i = 0; i < figure->count; i++) {
        fputs(i == 0 ? "\nplot " : ", ", gnuplot);
        write_quoted(gnuplot, path);
        fprintf(gnuplot, " index %u using 1:2 with steps linewidth 2 title ", i);
        write_quoted(gnuplot, figure->curves[i].name);
    }
    fputc('\n', gnuplot);
    return pclose(gnuplot) == 0;
}

unsigned plot_write(const char *directory) {
    unsigned written = 0;
    bool able = system("command -v gnuplot >/dev/null 2>&1") == 0;
    if (figure_count > 0 && !able)
        puts("no plots: gnuplot is not installed");
    if (able && mkdir(directory, 0755) < 0 && errno != EEXIST)
        sample_die("%s: %s", directory, strerror(errno));
    for (unsigned i = 0; i < figure_count; i++) {
        written += able && write_figure(directory, &figures[i]);
        for (unsigned j = 0; j < figures[i].count; j++)
            free(figures[i].curves[j].us);
    }
    memset(figures, 0, sizeof figures);
    figure_count = 0;
    return written;
}
