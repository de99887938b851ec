/*
 * The console's gate: which hosts, origins and types of content it takes for its own page's.
 */
#include <string.h>

#include <criterion/criterion.h>

#include "broker/console/gate.h"
#include "broker/console/settings.h"

static struct gate gate;

static void setup(void) {
    static const char *const HOSTS[] = { "console.example.org", "keys.example.org:8443", NULL };
    gate_init(&gate, "127.0.0.1", 8480, HOSTS);
}

TestSuite(console_gate, .init = setup);

Test(console_gate, its_own_names_are_known_with_the_port_that_it_listens_at) {
    static const char *const KNOWN[] = { "127.0.0.1:8480",       "localhost:8480",
                                         "LocalHost:8480",       "[::1]:8480",
                                         "console.example.org",  "console.example.org:8480",
                                         "keys.example.org:8443" };
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
        cr_assert(gate_knows_host(&gate, KNOWN[i]), "%s", KNOWN[i]);
}

Test(console_gate, any_other_name_is_foreign_also_one_that_begins_or_ends_alike) {
    static const char *const FOREIGN[] = { "",
                                           "evil.example",
                                           "evil.example:8480",
                                           "localhost",
                                           "localhost:8481",
                                           "localhost:84800",
                                           "localhost:8480.evil.example",
                                           "localhost.evil.example:8480",
                                           "evil.console.example.org",
                                           "keys.example.org",
                                           "127.0.0.1",
                                           "127.0.0.2:8480" };
    for (size_t i = 0; i < sizeof FOREIGN / sizeof *FOREIGN; i++)
        cr_assert_not(gate_knows_host(&gate, FOREIGN[i]), "%s", FOREIGN[i]);
    cr_assert_not(gate_knows_host(&gate, NULL), "no Host header at all");
}

Test(console_gate, at_port_80_browsers_leave_the_port_out) {
    static const char *const NONE[] = { NULL };
    gate_init(&gate, "127.0.0.1", 80, NONE);
    cr_assert(gate_knows_host(&gate, "localhost"));
    cr_assert(gate_knows_host(&gate, "127.0.0.1:80"));
}

Test(console_gate, an_address_that_others_reach_is_known_beside_the_names_of_loopback) {
    static const char *const NONE[] = { NULL };
    gate_init(&gate, "192.0.2.7", 8480, NONE);
    cr_assert(gate_knows_host(&gate, "192.0.2.7:8480"));
    cr_assert(gate_knows_host(&gate, "localhost:8480"));
    cr_assert_not(gate_knows_host(&gate, "192.0.2.8:8480"));
}

Test(console_gate, a_change_comes_from_the_host_that_it_asks) {
    const char *host = "127.0.0.1:8480";
    cr_assert(gate_is_own_origin(host, "http://127.0.0.1:8480", NULL));
    cr_assert(gate_is_own_origin(host, "http://127.0.0.1:8480", "same-origin"));
    cr_assert(gate_is_own_origin("console.example.org", "https://console.example.org", NULL));
    cr_assert_not(gate_is_own_origin(host, "http://127.0.0.1:8480", "cross-site"));
    cr_assert_not(gate_is_own_origin(host, "http://127.0.0.1:8480", "same-site"));
    cr_assert_not(gate_is_own_origin(host, NULL, NULL));
    cr_assert_not(gate_is_own_origin(host, NULL, "same-origin"));
    cr_assert_not(gate_is_own_origin(host, "null", "same-origin"));
    cr_assert_not(gate_is_own_origin(host, "http://localhost:8480", NULL));
    cr_assert_not(gate_is_own_origin(host, "http://127.0.0.1:84801", NULL));
    cr_assert_not(gate_is_own_origin(host, "http://127.0.0.1:8480.evil.example", NULL));
    cr_assert_not(gate_is_own_origin(host, "ftp://127.0.0.1:8480", NULL));
    cr_assert_not(gate_is_own_origin(host, "127.0.0.1:8480", NULL));
    cr_assert_not(gate_is_own_origin(NULL, "http://127.0.0.1:8480", NULL));
}

Test(console_gate, a_form_with_a_hidden_origin_is_believed_only_where_the_browser_says_it_is_ours) {
    const char *host = "127.0.0.1:8480";
    cr_assert(gate_is_own_form(host, "http://127.0.0.1:8480", NULL));
    cr_assert(gate_is_own_form(host, "null", "same-origin"));
    cr_assert_not(gate_is_own_form(host, "null", "cross-site"));
    cr_assert_not(gate_is_own_form(host, "null", NULL));
    cr_assert_not(gate_is_own_form(host, "http://evil.example", "same-origin"));
    cr_assert_not(gate_is_own_form(host, NULL, NULL));
}

Test(console_gate, only_json_is_json) {
    cr_assert(gate_is_json("application/json"));
    cr_assert(gate_is_json("Application/JSON; charset=utf-8"));
    cr_assert_not(gate_is_json("application/json-seq"));
    cr_assert_not(gate_is_json("text/plain"));
    cr_assert_not(gate_is_json("text/plain; application/json"));
    cr_assert_not(gate_is_json(NULL));
}

Test(console_gate, gzip_is_sent_to_those_who_take_it) {
    cr_assert(gate_takes_gzip("gzip"));
    cr_assert(gate_takes_gzip("br, GZIP;q=0.5, deflate"));
    cr_assert(gate_takes_gzip("gzip;q=1"));
    cr_assert_not(gate_takes_gzip("gzip;q=0"));
    cr_assert_not(gate_takes_gzip("gzip;q=0.000, br"));
    cr_assert_not(gate_takes_gzip("br, x-gzip"));
    cr_assert_not(gate_takes_gzip(""));
    cr_assert_not(gate_takes_gzip(NULL));
}

Test(console_gate, an_address_is_read_with_its_port_or_not_at_all) {
    struct sockaddr_storage address;
    cr_assert(settings_parse_address("127.0.0.1:8480", &address));
    cr_assert(settings_is_loopback(&address));
    cr_assert(settings_parse_address("127.9.9.9:0", &address));
    cr_assert(settings_is_loopback(&address));
    cr_assert(settings_parse_address("[::1]:65535", &address));
    cr_assert(settings_is_loopback(&address));
    cr_assert(settings_parse_address("localhost:1", &address));
    cr_assert(settings_is_loopback(&address));
    cr_assert(settings_parse_address("0.0.0.0:80", &address));
    cr_assert_not(settings_is_loopback(&address));
    cr_assert(settings_parse_address("[::]:80", &address));
    cr_assert_not(settings_is_loopback(&address));
    static const char *const NONE[] = { "",          ":80",    "127.0.0.1",      "127.0.0.1:",
                                        "[::1]",     "::1:80", "127.0.0.1:-1",   "127.0.0.1:65536",
                                        "[::1:80",   "[]:80",  "example.org:80", "127.1:80",
                                        "1.2.3.4:8x" };
    for (size_t i = 0; i < sizeof NONE / sizeof *NONE; i++)
        cr_assert_not(settings_parse_address(NONE[i], &address), "%s", NONE[i]);
}

static bool has_one_meaning(const char *const (*headers)[2], size_t count) {
    struct gate_framing framing = { 0 };
    for (size_t i = 0; i < count; i++)
        gate_look_at(&framing, headers[i][0], headers[i][1]);
    return gate_has_one_meaning(&framing);
}

Test(console_gate, headers_with_two_meanings_are_told_from_others) {
    static const char *const GOOD[][2] = { { "Host", "x" },
                                           { "content-length", "12" },
                                           { "X-Any_thing.1", "12, 13" },
                                           { "X-Any_thing.1", "12, 13" } };
    static const char *const BAD[][2][2] = {
        { { "Host", "x" }, { "host", "x" } },
        { { "Content-Length", "1" }, { "Content-length", "1" } },
        { { "Content-Length", "1" }, { "Transfer-Encoding", "chunked" } },
        { { "Transfer-Encoding", "chunked" }, { "Transfer-Encoding", "identity" } },
        { { "Host", "x" }, { "Content-Length", "1, 1" } },
        { { "Host", "x" }, { "Content-Length", "" } },
        { { "Host", "x" }, { "Content-Length", NULL } },
        { { "Host", "x" }, { "Content-Length", "0x10" } },
        { { "Host", "x" }, { "Content-Length ", "1" } },
        { { "Host", "x" }, { "X\tY", "1" } },
        { { "Host", "x" }, { "", "1" } },
    };
    cr_assert(has_one_meaning(GOOD, 4));
    cr_assert(has_one_meaning(GOOD, 0));
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        cr_assert_not(has_one_meaning(BAD[i], 2), "%s %s", BAD[i][1][0], BAD[i][1][1]);
}

Test(console_gate, a_targets_own_name_counts_instead_of_the_hosts) {
    static const struct {
        const char *target, *host, *expected_host, *expected_path;
    } SPLIT[] = {
        { "/a/b", "h:1", "h:1", "/a/b" },
        { "/", NULL, "", "/" },
        { "//evil.example/x", "h:1", "h:1", "//evil.example/x" },
        { "http://o:2/a", "h:1", "o:2", "/a" },
        { "HTTPS://o:2/a/b", NULL, "o:2", "/a/b" },
        { "http://o", "h:1", "o", "/" },
        { "http:///a", "h:1", "", "/a" },
        { "http://u@o/a", "h:1", "u@o", "/a" },
    };
    static const char *const NEITHER[] = { "", "*", "a", "ftp://o/a", "http:/o/a", "o:2" };
    char host[GATE_NAME_SIZE], large[GATE_NAME_SIZE + 1];
    const char *path;
    for (size_t i = 0; i < sizeof SPLIT / sizeof *SPLIT; i++) {
        cr_assert(gate_split_target(SPLIT[i].target, SPLIT[i].host, host, &path));
        cr_assert_str_eq(host, SPLIT[i].expected_host);
        cr_assert_str_eq(path, SPLIT[i].expected_path);
    }
    for (size_t i = 0; i < sizeof NEITHER / sizeof *NEITHER; i++)
        cr_assert_not(gate_split_target(NEITHER[i], "h:1", host, &path), "%s", NEITHER[i]);
    memset(large, 'a', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    cr_assert_not(gate_split_target("/", large, host, &path));
}
