/* See result.h. Keeps every row until the JSON file is written. */
#include "result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

static struct {
    json_t *rows, *machine;
    char section[120];
    unsigned met, missed, failed;
} results;

static json_t *rows(void) {
    if (!results.rows)
        results.rows = json_array();
    return results.rows;
}

static json_t *machine(void) {
    if (!results.machine)
        results.machine = json_object();
    return results.machine;
}

void result_section(const char *title) {
    snprintf(results.section, sizeof results.section, "%s", title);
    printf("\n%s\n%-76s %-34s %11s  %-22s %9s\n", title, "", "figure (rounds)", "reference",
           "ratio (rounds)", "target");
    fflush(stdout);
}

void result_describe(const char *id, const char *text) {
    printf("%-12s %s\n", id, text);
    fflush(stdout);
    json_object_set_new(machine(), id, json_string(text));
}

static bool has_reference(const struct result *result) {
    return result->reference.median > 0;
}

static struct spread_of judged(const struct result *result) {
    return has_reference(result) && !result->by_figure ? result->ratio : result->figure;
}

static bool is_met(const struct result *result) {
    double value = judged(result).median;
    return result->at_least ? value >= result->target : value <= result->target;
}

static void write_spread(char *text, size_t size, struct spread_of spread, const char *unit) {
    int length = snprintf(text, size, "%.4g%s%s", spread.median, *unit ? " " : "", unit);
    if (spread.high > spread.low && length < (int)size)
        snprintf(text + length, size - (size_t)length, " (%.4g-%.4g)", spread.low, spread.high);
}

static void print(const struct result *result) {
    char figure[64], reference[32] = "", ratio[64] = "", target[40] = "";
    write_spread(figure, sizeof figure, result->figure, result->unit);
    if (has_reference(result)) {
        snprintf(reference, sizeof reference, "%.4g %s", result->reference.median, result->unit);
        write_spread(ratio, sizeof ratio, result->ratio, "");
    }
    if (result->target > 0)
        snprintf(target, sizeof target, "%s %.6g%s%s",
                 result->at_least ? ">=" : "<=", result->target, result->by_figure ? " " : "",
                 result->by_figure ? result->unit : "");
    printf("%-76s %-34s %11s  %-22s %9s %s\n", result->name, figure, reference, ratio, target,
           result->target <= 0 ? ""
           : is_met(result)    ? "met"
                               : "MISSED");
    fflush(stdout);
}

static json_t *row_new(const char *id, const char *name) {
    json_t *row = json_pack("{s:s, s:s, s:s}", "id", id, "section", results.section, "name", name);
    if (!row)
        sample_die("not UTF-8: %s", name);
    json_array_append_new(rows(), row);
    return row;
}

static void set_spread(json_t *row, const char *key, struct spread_of spread) {
    json_object_set_new(row, key,
                        json_pack("{s:f, s:f, s:f}", "median", spread.median, "low", spread.low,
                                  "high", spread.high));
}

void result_add(const struct result *result) {
    print(result);
    json_t *row = row_new(result->id, result->name);
    json_object_set_new(row, "unit", json_string(result->unit));
    set_spread(row, "figure", result->figure);
    if (has_reference(result)) {
        set_spread(row, "reference", result->reference);
        set_spread(row, "ratio", result->ratio);
    }
    if (result->target > 0) {
        bool met = is_met(result);
        results.met += met;
        results.missed += !met;
        json_object_set_new(
            row, "target",
            json_pack("{s:s, s:s, s:f}", "of",
                      has_reference(result) && !result->by_figure ? "ratio" : "figure", "is",
                      result->at_least ? "at least" : "at most", "value", result->target));
        json_object_set_new(row, "met", json_boolean(met));
    }
    if (result->limit > 0 && judged(result).median > result->limit)
        results.failed++;
}

void result_add_figure(const char *id, const char *name, const char *unit, double *values,
                       unsigned count, double target, bool at_least) {
    struct result result = { .id = id,
                             .name = name,
                             .unit = unit,
                             .figure = sample_spread(values, count),
                             .target = target,
                             .at_least = at_least };
    result_add(&result);
}

static struct spread_of spread_of_rounds(const double *values, unsigned rounds) {
    double copy[RESULT_ROUNDS_MAX];
    memcpy(copy, values, rounds * sizeof *values);
    return sample_spread(copy, rounds);
}

struct result result_against(const char *id, const char *name, const char *unit,
                             const double *figures, const double *references, unsigned rounds) {
    double ratios[RESULT_ROUNDS_MAX];
    if (rounds > RESULT_ROUNDS_MAX)
        sample_die("%s: more rounds than fit", id);
    for (unsigned i = 0; i < rounds; i++)
        ratios[i] = figures[i] / references[i];
    return (struct result){ .id = id,
                            .name = name,
                            .unit = unit,
                            .figure = spread_of_rounds(figures, rounds),
                            .reference = spread_of_rounds(references, rounds),
                            .ratio = spread_of_rounds(ratios, rounds) };
}

/* ---- latencies ---- */

static const double PERCENTS[RESULT_PERCENTILES] = { 50, 90, 99, 99.9, 100 };

void result_note_round(struct result_rounds *rounds, double *values, size_t count) {
    if (rounds->count == RESULT_ROUNDS_MAX)
        sample_die("more rounds than fit");
    for (int i = 0; i < RESULT_PERCENTILES; i++)
        rounds->at[i][rounds->count] = sample_percentile(values, count, PERCENTS[i]);
    rounds->values = rounds->count == 0 || count < rounds->values ? count : rounds->values;
    rounds->count++;
}

void result_add_latency(const struct result_latency *latency) {
    static const char *const ENDS[RESULT_PERCENTILES] = { "p50", "p90", "p99", "p99.9", "max" };
    unsigned rounds = latency->figures->count;
    if (latency->references && latency->references->count != rounds)
        sample_die("%s: not as many rounds of the reference", latency->id);
    for (int i = 0; i < RESULT_PERCENTILES; i++) {
        char id[120], name[160];
        if (i != RESULT_MAX && (double)latency->figures->values * (100 - PERCENTS[i]) < 99)
            continue; /* it would be the highest value once more */
        struct result result;
        snprintf(id, sizeof id, "%s.%s", latency->id, ENDS[i]);
        snprintf(name, sizeof name, "%s, %s", latency->name, ENDS[i]);
        if (latency->references)
            result = result_against(id, name, latency->unit, latency->figures->at[i],
                                    latency->references->at[i], rounds);
        else
            result = (struct result){ .id = id,
                                      .name = name,
                                      .unit = latency->unit,
                                      .figure = spread_of_rounds(latency->figures->at[i], rounds) };
        result.by_figure = latency->figure_targets[i] > 0;
        result.target = result.by_figure ? latency->figure_targets[i] : latency->targets[i];
        result.limit = latency->limits[i];
        result_add(&result);
    }
}

/* ---- the end ---- */

void result_skip(const char *id, const char *name, const char *why) {
    printf("%-76s %s: %s\n", name, "skipped", why);
    fflush(stdout);
    json_object_set_new(row_new(id, name), "skipped", json_string(why));
}

void result_fail(const char *id, const char *name, const char *why) {
    printf("%-76s %s: %s\n", name, "FAILED", why);
    fflush(stdout);
    json_object_set_new(row_new(id, name), "failed", json_string(why));
    results.missed++;
    results.failed++;
}

bool result_write_json(const char *path) {
    json_t *document =
        json_pack("{s:O, s:i, s:i, s:O}", "machine", machine(), "met", (int)results.met, "missed",
                  (int)results.missed, "results", rows());
    bool written = json_dump_file(document, path, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) == 0;
    json_decref(document);
    return written;
}

unsigned result_finish(void) {
    printf("\n%u targets met, %u missed\n", results.met, results.missed);
    json_decref(results.rows);
    json_decref(results.machine);
    results.rows = results.machine = NULL;
    return results.failed;
}
