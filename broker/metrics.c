/* See metrics.h. */
#include "metrics.h"

#include "buffer.h"
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

/* Pool names are [a-z0-9._-]: no label needs escaping. */
static void write_keys(const struct server *server, struct buffer *text) {
    head(text, "keys", "gauge", "Keys by pool and status.");
    size_t i = 0;
    for (const struct model_pool *pool; (pool = map_next(&server->model->pools, &i));) {
        for (unsigned status = 1; status < KB_STATUS_COUNT; status++)
            buffer_printf(text, "keybroker_keys{pool=\"%s\",status=\"%s\"} %u\n",
                          pool->record->name, model_status_name(status), pool->counts[status]);
    }
}

static void write_pools(const struct server *server, struct buffer *text) {
    const struct outlet *outlet;
    head(text, "failovers_total", "counter", "Changes of the current key that a report caused.");
    for (size_t i = 0; (outlet = map_next(&server->outlets, &i));)
        buffer_printf(text, "keybroker_failovers_total{pool=\"%s\"} %llu\n", outlet->name,
                      (unsigned long long)outlet->publication.failovers);
    head(text, "exhausted_seconds_total", "counter", "Time without any usable key.");
    for (size_t i = 0; (outlet = map_next(&server->outlets, &i));) {
        int64_t ms = outlet->publication.exhausted_ms;
        if (outlet->publication.exhausted_since_mono)
            ms += server->now.mono_ms - outlet->publication.exhausted_since_mono;
        buffer_printf(text, "keybroker_exhausted_seconds_total{pool=\"%s\"} %.3f\n", outlet->name,
                      (double)ms / 1000);
    }
    head(text, "generation", "gauge", "The pool's generation, low 40 bits.");
    for (size_t i = 0; (outlet = map_next(&server->outlets, &i));)
        buffer_printf(text, "keybroker_generation{pool=\"%s\"} %llu\n", outlet->name,
                      (unsigned long long)(outlet->publication.generation &
                                           ((UINT64_C(1) << KB_GENERATION_START_SHIFT) - 1)));
    head(text, "next_expiry_timestamp_seconds", "gauge", "When the next key expires; 0 = never.");
    size_t i = 0;
    for (struct model_pool *pool; (pool = map_next(&server->model->pools, &i));)
        buffer_printf(text, "keybroker_next_expiry_timestamp_seconds{pool=\"%s\"} %.3f\n",
                      pool->record->name,
                      (double)model_next_expiry(server->model, pool, server->now.wall_ms) / 1000);
}

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

void metrics_write(const struct server *server, struct buffer *text) {
    const struct metrics *metrics = &server->metrics;
    write_keys(server, text);
    write_pools(server, text);
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
