/* See result.h. Keeps every row until the JSON file is written. */
#include "result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <jansson.h>

static struct {
    json_t *rows;
    unsigned met, missed, failed;
} results;

static json_t *rows(void) {
    if (!results.rows)
        results.rows = json_array();
    return results.rows;
}

void result_section(const char *title) {
    printf("\n%s\n%-54s %12s %10s  %-22s %8s\n", title, "", "figure", "reference", "ratio (rounds)",
           "target");
    fflush(stdout);
}

static bool is_ratio(const struct result *result) {
    return result->reference > 0;
}

static const char *verdict(const struct result *result) {
    if (result->target <= 0)
        return "";
    return result->judged.median <= result->target ? "met" : "MISSED";
}

static void print(const struct result *result) {
    char figure[32], reference[32] = "", judged[48] = "", target[24] = "";
    const struct spread_of *spread = &result->judged;
    snprintf(figure, sizeof figure, "%.4g %s", result->figure, result->unit);
    if (is_ratio(result))
        snprintf(reference, sizeof reference, "%.4g %s", result->reference, result->unit);
    if (is_ratio(result))
        snprintf(judged, sizeof judged, "%.2f (%.2f-%.2f)", spread->median, spread->low,
                 spread->high);
    else if (spread->high > spread->low)
        snprintf(judged, sizeof judged, "(%.4g-%.4g)", spread->low, spread->high);
    if (result->target > 0)
        snprintf(target, sizeof target, "<= %.4g", result->target);
    printf("%-54s %12s %10s  %-22s %8s %s\n", result->name, figure, reference, judged, target,
           verdict(result));
    fflush(stdout);
}

void result_add(const struct result *result) {
    print(result);
    if (result->target > 0) {
        if (result->judged.median <= result->target)
            results.met++;
        else
            results.missed++;
    }
    if (result->limit > 0 && result->judged.median > result->limit)
        results.failed++;
    json_t *row = json_pack("{s:s, s:s, s:f}", "name", result->name, "unit", result->unit, "figure",
                            result->figure);
    if (is_ratio(result))
        json_object_set_new(row, "reference", json_real(result->reference));
    json_object_set_new(row, is_ratio(result) ? "ratio" : "rounds",
                        json_pack("{s:f, s:f, s:f}", "median", result->judged.median, "low",
                                  result->judged.low, "high", result->judged.high));
    if (result->target > 0) {
        json_object_set_new(row, "target", json_real(result->target));
        json_object_set_new(row, "met", json_boolean(result->judged.median <= result->target));
    }
    json_array_append_new(rows(), row);
}

void result_skip(const char *name, const char *why) {
    printf("%-54s %12s  %s\n", name, "skipped", why);
    fflush(stdout);
    json_array_append_new(rows(), json_pack("{s:s, s:s}", "name", name, "skipped", why));
}

/* What the figures depend on, without what would identify the machine. */
static json_t *machine(void) {
    struct utsname system;
    char line[256], model[128] = "unknown";
    uname(&system);
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "model name : %127[^\n]", model) == 1)
            break;
    if (file)
        fclose(file);
    int major = 0, minor = 0;
    sscanf(system.release, "%d.%d", &major, &minor);
    char kernel[32];
    snprintf(kernel, sizeof kernel, "Linux %d.%d", major, minor);
    return json_pack("{s:s, s:I, s:s, s:s}", "processor", model, "processors",
                     (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "kernel", kernel, "architecture",
                     system.machine);
}

bool result_write_json(const char *path) {
    json_t *document =
        json_pack("{s:o, s:i, s:i, s:O}", "machine", machine(), "met", (int)results.met, "missed",
                  (int)results.missed, "results", rows());
    bool written = json_dump_file(document, path, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) == 0;
    json_decref(document);
    return written;
}

unsigned result_finish(void) {
    printf("\n%u targets met, %u missed\n", results.met, results.missed);
    json_decref(results.rows);
    results.rows = NULL;
    return results.failed;
}
