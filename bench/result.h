/*
 * What was measured: a row of the table and an object in the JSON file. A row that has a reference
 * is judged by its ratio, any other by its figure; a row without a target is information. Every
 * figure is the median over rounds with the lowest and the highest round beside it.
 */
#ifndef BENCH_RESULT_H
#define BENCH_RESULT_H

#include <stdbool.h>

#include "sample.h"

struct result {
    const char *id; /* for programs, for ever the same: "read.unchanged.static" */
    const char *name;
    const char *unit;
    struct spread_of figure;
    struct spread_of reference; /* median 0 = none */
    struct spread_of ratio;     /* round by round; unused without a reference */
    double target;              /* 0 = none */
    bool at_least;              /* the target is the lowest that will do, not the highest */
    bool by_figure;             /* the figure is judged although there is a ratio */
    double limit;               /* bench-quick fails above it; 0 = never */
};

void result_add(const struct result *result);
/* A figure without a reference, from the values of its rounds, which it sorts. `target` 0 = none.
 */
void result_add_figure(const char *id, const char *name, const char *unit, double *rounds,
                       unsigned count, double target, bool at_least);
/* figures[i] / references[i] for each round. */
struct result result_against(const char *id, const char *name, const char *unit,
                             const double *figures, const double *references, unsigned rounds);

/* ---- latencies: a row for each percentile ---- */

enum result_percentile {
    RESULT_P50,
    RESULT_P90,
    RESULT_P99,
    RESULT_P999,
    RESULT_MAX, /* the highest value of a round */
    RESULT_PERCENTILES
};
enum { RESULT_ROUNDS_MAX = 64 };

/* The percentiles of each round of one contestant. */
struct result_rounds {
    unsigned count;
    size_t values; /* in the smallest round */
    double at[RESULT_PERCENTILES][RESULT_ROUNDS_MAX];
};

struct result_latency {
    const char *id, *name; /* each row's end with ".p50" and ", p50" and so on */
    const char *unit;      /* "us" */
    const struct result_rounds *figures;
    const struct result_rounds *references;    /* as many rounds; NULL = none */
    double targets[RESULT_PERCENTILES];        /* of the ratio, or without a reference the figure */
    double figure_targets[RESULT_PERCENTILES]; /* of the figure in any case; wins */
    double limits[RESULT_PERCENTILES];
};

/* One more round; sorts the values. */
void result_note_round(struct result_rounds *rounds, double *values, size_t count);
/* A row per percentile that a round has values enough for: its median over rounds, and its ratio to
 * the reference's same percentile in the same round. */
void result_add_latency(const struct result_latency *latency);

/* Something that could not be measured, and why. */
void result_skip(const char *id, const char *name, const char *why);
/* What must hold and does not (a system call on the hot path): counts like a limit passed. */
void result_fail(const char *id, const char *name, const char *why);

void result_section(const char *title); /* prints as it goes */
/* A fact about the machine or the run, for the head of table and JSON file. */
void result_describe(const char *id, const char *text);
bool result_write_json(const char *path);
/* A last line; how many limits were passed. */
unsigned result_finish(void);

#endif
