/* See metrics.h. */
#include "metrics.h"

#include <stdlib.h>

#include "listing.h"
#include "memory.h"
#include "server.h"

void histogram_add(struct histogram *histogram, uint64_t ns) {
    unsigned bucket = 0;
    while (bucket < HISTOGRAM_BUCKETS - 1 && ns > UINT64_C(1000) << bucket)
        bucket++;
    histogram->buckets[bucket]++;
    histogram->count++;
    histogram->sum_ns += ns;
}

static void head(struct buffer *text, const char *name, const char *type, const char *help) {
    buffer_printf(text, "# HELP keybroker_%s %s\n# TYPE keybroker_%s %s\n", name, help, name, type);
}

static void write_histogram(struct buffer *text, const char *name, const char *help,
                            const struct histogram *histogram) {
    head(text, name, "histogram", help);
    uint64_t sum = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        sum += histogram->buckets[i];
        buffer_printf(text, "keybroker_%s_bucket{le=\"%g\"} %llu\n", name,
                      1e-6 * (double)(UINT64_C(1) << i), (unsigned long long)sum);
    }
    buffer_printf(text, "keybroker_%s_bucket{le=\"+Inf\"} %llu\n", name,
                  (unsigned long long)histogram->count);
    buffer_printf(text, "keybroker_%s_sum %.9f\nkeybroker_%s_count %llu\n", name,
                  (double)histogram->sum_ns * 1e-9, name, (unsigned long long)histogram->count);
}

static void one(struct buffer *text, const char *name, const char *type, const char *help,
                double value) {
    head(text, name, type, help);
    buffer_printf(text, "keybroker_%s %.15g\n", name, value);
}

/* ---- what there is once for every pool; names are [a-z0-9._-]: no label needs escaping ---- */

static void write_keys(const struct server *server, struct model_pool *pool, struct buffer *text) {
    (void)server;
    for (unsigned status = 1; status < KB_STATUS_COUNT; status++)
        buffer_printf(text, "keybroker_keys{pool=\"%s\",status=\"%s\"} %u\n", pool->record->name,
                      model_status_name(status), pool->counts[status]);
}

static const struct publication *publication_of(const struct server *server,
                                                const struct model_pool *pool) {
    const struct outlet *outlet = map_get(&server->outlets, pool->record->id);
    return outlet ? &outlet->publication : NULL;
}

static void write_failovers(const struct server *server, struct model_pool *pool,
                            struct buffer *text) {
    const struct publication *pub = publication_of(server, pool);
    if (pub)
        buffer_printf(text, "keybroker_failovers_total{pool=\"%s\"} %llu\n", pool->record->name,
                      (unsigned long long)pub->failovers);
}

static void write_exhausted(const struct server *server, struct model_pool *pool,
                            struct buffer *text) {
    const struct publication *pub = publication_of(server, pool);
    if (!pub)
        return;
    int64_t ms = pub->exhausted_ms;
    if (pub->exhausted_since_mono)
        ms += server->now.mono_ms - pub->exhausted_since_mono;
    buffer_printf(text, "keybroker_exhausted_seconds_total{pool=\"%s\"} %.3f\n", pool->record->name,
                  (double)ms / 1000);
}

static void write_generation(const struct server *server, struct model_pool *pool,
                             struct buffer *text) {
    const struct publication *pub = publication_of(server, pool);
    if (pub)
        buffer_printf(text, "keybroker_generation{pool=\"%s\"} %llu\n", pool->record->name,
                      (unsigned long long)(pub->generation &
                                           ((UINT64_C(1) << KB_GENERATION_START_SHIFT) - 1)));
}

static void write_expiry(const struct server *server, struct model_pool *pool,
                         struct buffer *text) {
    int64_t next = model_next_expiry(server->model, pool, server->now.wall_ms);
    buffer_printf(text, "keybroker_next_expiry_timestamp_seconds{pool=\"%s\"} %.3f\n",
                  pool->record->name, (double)next / 1000);
}

static const struct pool_metric {
    const char *name, *type, *help;
    void (*write)(const struct server *server, struct model_pool *pool, struct buffer *text);
} POOL_METRICS[] = {
    { "keys", "gauge", "Keys by pool and status.", write_keys },
    { "failovers_total", "counter", "Changes of the current key that a report caused.",
      write_failovers },
    { "exhausted_seconds_total", "counter", "Time without any usable key.", write_exhausted },
    { "generation", "gauge", "The pool's generation, low 40 bits.", write_generation },
    { "next_expiry_timestamp_seconds", "gauge", "When the next key expires; 0 = never.",
      write_expiry },
};

/* ---- the broker's own ---- */

static void write_reports(const struct metrics *metrics, struct buffer *text) {
    head(text, "reports_total", "counter", "Reports received, by class and fate.");
    for (unsigned outcome = 0; outcome <= KB_NETWORK; outcome++)
        for (unsigned fate = 0; fate < FATE_COUNT; fate++)
            if (metrics->reports[outcome][fate])
                buffer_printf(text, "keybroker_reports_total{class=\"%s\",fate=\"%s\"} %llu\n",
                              outcome ? model_outcome_name(outcome) : "unknown",
                              model_fate_name((enum report_fate)fate),
                              (unsigned long long)metrics->reports[outcome][fate]);
    one(text, "bad_messages_total", "counter", "Report messages of a wrong size, type or version.",
        (double)metrics->bad_messages);
}

static void write_own(const struct server *server, struct buffer *text) {
    const struct metrics *metrics = &server->metrics;
    write_reports(metrics, text);
    write_histogram(text, "publish_seconds", "Report received to board published.",
                    &metrics->publish);
    write_histogram(text, "commit_seconds", "Commit of a group, fsync included.", &metrics->commit);
    one(text, "commits_total", "counter", "Groups committed.", (double)metrics->commits);
    one(text, "failed_commits_total", "counter", "Groups that could not be stored or published.",
        (double)metrics->failed_commits);
    one(text, "store_ok", "gauge", "1 while changes can be stored.", server->store_ok);
    one(text, "events_total", "counter", "Durable events since the start.",
        (double)metrics->events);
    one(text, "events_dropped_total", "counter", "Events given up while the disk did not answer.",
        (double)server->events_dropped);
    one(text, "commands_total", "counter", "Admin commands.", (double)metrics->commands);
    one(text, "commands_refused_total", "counter", "Admin commands that were refused.",
        (double)metrics->refused);
    head(text, "connections", "gauge", "Open connections.");
    buffer_printf(text, "keybroker_connections{socket=\"report\"} %u\n",
                  metrics->report_connections);
    buffer_printf(text, "keybroker_connections{socket=\"admin\"} %u\n", metrics->admin_connections);
    one(text, "connections_refused_total", "counter", "Connections turned away.",
        (double)metrics->connections_refused);
    one(text, "uptime_seconds", "gauge", "Since the start.",
        (double)(server->now.mono_ms - server->started.mono_ms) / 1000);
}

/* ---- piece by piece ---- */

/* The pools of the moment it was asked for, so that none stands there twice. */
struct metrics_list {
    struct listing listing;
    uint64_t *pools;
    size_t count, pool;
    size_t metric;
    bool wrote_own;
};

static void write_pool(struct metrics_list *list, const struct server *server,
                       struct buffer *text) {
    const struct pool_metric *metric = &POOL_METRICS[list->metric];
    if (list->pool == 0)
        head(text, metric->name, metric->type, metric->help);
    struct model_pool *pool =
        list->count ? model_pool_by_id(server->model, list->pools[list->pool]) : NULL;
    if (pool)
        metric->write(server, pool, text);
    if (++list->pool < list->count)
        return;
    list->pool = 0;
    list->metric++;
}

static enum listing_step step(struct listing *listing, struct server *server, json_t **ret_row) {
    struct metrics_list *list = (struct metrics_list *)listing;
    struct buffer text = { 0 };
    if (list->metric < sizeof POOL_METRICS / sizeof *POOL_METRICS) {
        write_pool(list, server, &text);
    } else if (!list->wrote_own) {
        write_own(server, &text);
        list->wrote_own = true;
    } else {
        return LISTING_END;
    }
    *ret_row = json_stringn(buffer_bytes(&text), buffer_length(&text));
    buffer_deinit(&text);
    return *ret_row ? LISTING_ROW : LISTING_WORKED;
}

static void deinit(struct listing *listing) {
    free(((struct metrics_list *)listing)->pools);
}

struct listing *metrics_list(const struct server *server) {
    struct metrics_list *list = listing_new(sizeof *list, "text", step, deinit);
    list->listing.is_text = true;
    list->pools = mem_resize(NULL, server->model->pools.count, sizeof *list->pools);
    size_t i = 0;
    for (const struct model_pool *pool; (pool = map_next(&server->model->pools, &i));)
        list->pools[list->count++] = pool->record->id;
    return &list->listing;
}
