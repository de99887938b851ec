/* show metrics with a real broker: Prometheus text that a scraper can read, and true numbers. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <keybroker.h>

#include "tests/support/peer.h"
#include "tests/support/worker.h"

/* The value of the sample whose name and labels are given; -1 = there is none. */
static double sample(struct peer *peer, const char *name) {
    struct answer *metrics = peer_must(peer, "show metrics");
    const char *at = strstr(metrics->body, scene_text("\nkeybroker_%s ", name));
    return at ? strtod(strchr(at + 1, ' '), NULL) : -1;
}

static bool is_sample(const char *line) {
    size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:");
    if (!name || isdigit((unsigned char)line[0]))
        return false;
    const char *at = line + name;
    if (*at == '{') {
        at = strchr(at, '}');
        if (!at)
            return false;
        at++;
    }
    if (*at != ' ')
        return false;
    char *end;
    strtod(at + 1, &end);
    return end > at + 1 && !*end;
}

TEST_BOTH_LOOPS(metrics, the_text_is_what_prometheus_reads) {
    struct peer *peer = peer_start(b, 3);
    char *text = strdup(peer_must(peer, "show metrics")->body), *rest = text, family[128] = "";
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (sscanf(line, "# TYPE %127s", family) == 1 || strncmp(line, "# HELP ", 7) == 0)
            continue;
        cr_assert(is_sample(line), "no sample: %s", line);
        cr_assert_eq(strncmp(line, family, strlen(family)), 0, "%s stands below %s", line, family);
    }
    free(text);
}

TEST_BOTH_LOOPS(metrics, keys_are_counted_by_pool_and_status) {
    struct peer *peer = peer_start(b, 3);
    peer_must(peer, "disable key main key2");
    cr_assert_eq(sample(peer, "keys{pool=\"main\",status=\"normal\"}"), 2);
    cr_assert_eq(sample(peer, "keys{pool=\"main\",status=\"disabled\"}"), 1);
    cr_assert_eq(sample(peer, "connections{socket=\"admin\"}"), 1);
    cr_assert_gt(sample(peer, "commits_total"), 0);
    cr_assert_eq(sample(peer, "store_ok"), 1);
    cr_assert_eq(sample(peer, "commit_seconds_count"), sample(peer, "commits_total"));
    double refused = sample(peer, "commands_refused_total");
    peer_ask(peer, "nonsense");
    cr_assert_eq(sample(peer, "commands_refused_total"), refused + 1);
    peer_must(peer, "set key main key3 expires=2999-01-01T00:00:00Z");
    cr_assert_eq(sample(peer, "next_expiry_timestamp_seconds{pool=\"main\"}"), 32472144000);
}

TEST_BOTH_LOOPS(metrics, reports_failovers_and_exhaustion_are_counted) {
    struct peer *peer = peer_start(b, 3);
    kb_reader *reader = worker_open(b, "main");
    const kb_key *key = kb_current(reader);
    cr_assert_not_null(key);
    kb_ticket ticket = key->ticket;
    cr_assert_eq(kb_report(reader, ticket, KB_QUOTA, KB_NO_HINT), KB_NEXT_KEY);
    EVENTUALLY(sample(peer, "reports_total{class=\"quota\",fate=\"applied\"}") == 1);
    cr_assert_eq(sample(peer, "failovers_total{pool=\"main\"}"), 1);
    cr_assert_eq(sample(peer, "publish_seconds_count"), 1);
    peer_must(peer, "enable key main key1");
    kb_report(reader, ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(sample(peer, "reports_total{class=\"quota\",fate=\"stale\"}") == 1);
    cr_assert_str_eq(peer_key_status(peer, "main", "key1"), "normal");
    for (unsigned i = 1; i <= 3; i++)
        peer_must(peer, "disable key main key%u", i);
    EVENTUALLY(sample(peer, "exhausted_seconds_total{pool=\"main\"}") > 0);
    cr_assert_eq(sample(peer, "connections{socket=\"report\"}"), 1);
    kb_close(reader);
    EVENTUALLY(sample(peer, "connections{socket=\"report\"}") == 0);
}

TEST_BOTH_LOOPS(metrics, an_event_names_the_reporting_peer_and_the_class) {
    struct peer *peer = peer_start(b, 3);
    kb_reader *reader = worker_open(b, "main");
    long long since = answer_number(peer_must(peer, "json show info"), "last_event");
    kb_report(reader, kb_current(reader)->ticket, KB_INVALID, KB_NO_HINT);
    EVENTUALLY(answer_number(peer_must(peer, "json show info"), "last_event") > since);
    struct answer *events = peer_must(peer, "json show events since=%lld", since);
    cr_assert_str_eq(answer_string(events, "events.0.class"), "invalid");
    cr_assert_str_eq(answer_string(events, "events.0.to"), "error");
    cr_assert_str_eq(answer_string(events, "events.0.key"), "key1");
    cr_assert_eq(strncmp(answer_string(events, "events.0.who"), "report uid=", 11), 0);
    cr_assert_eq(strlen(answer_string(events, "events.0.reason")) > 0, 1);
    struct answer *key = peer_must(peer, "json show key main key1");
    cr_assert_eq(answer_number(key, "counters.invalid"), 1);
    cr_assert_str_eq(answer_string(key, "last_failure.class"), "invalid");
    kb_close(reader);
}
