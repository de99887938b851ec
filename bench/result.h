/*
 * What was measured: a row of the table and an object in the JSON file. A row that has a reference
 * is judged by its ratio, any other by its figure; a row without a target is information.
 */
#ifndef BENCH_RESULT_H
#define BENCH_RESULT_H

#include <stdbool.h>

#include "sample.h"

struct result {
    char name[112];
    const char *unit;
    double figure;
    double reference;        /* 0 = none */
    struct spread_of judged; /* the ratio over rounds, or the figure over rounds */
    double target;           /* at most; 0 = none */
    double limit;            /* bench-quick fails above it; 0 = never */
};

void result_add(const struct result *result);
/* Something that could not be measured, and why. */
void result_skip(const char *name, const char *why);

void result_section(const char *title); /* prints as it goes */
bool result_write_json(const char *path);
/* A last line; how many limits were passed. */
unsigned result_finish(void);

#endif
