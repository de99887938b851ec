/*
 * Who the console lets in: tokens, those in files, and the visits that they begin.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <sodium.h>

#include "broker/console/visits.h"

enum { START_MS = 1000000 };

static struct visits visits;

static void setup(void) {
    cr_assert_geq(sodium_init(), 0);
    visits = (struct visits){ 0 };
}

TestSuite(console_visits, .init = setup);

Test(console_visits, a_visit_is_known_by_both_its_secrets_and_by_no_others) {
    struct visit_secrets one, other;
    uint64_t first = visits_begin(&visits, START_MS, &one);
    uint64_t second = visits_begin(&visits, START_MS, &other);
    cr_assert_str_neq(one.cookie, other.cookie);
    cr_assert_str_neq(one.cookie, one.page);
    cr_assert_eq(strlen(one.cookie), 43);
    cr_assert_eq(strlen(one.page), 43);
    cr_assert_eq(visits_find(&visits, &one, START_MS), first);
    cr_assert_eq(visits_find(&visits, &other, START_MS), second);
    struct visit_secrets mixed = one, swapped, empty = { 0 };
    memcpy(mixed.page, other.page, sizeof mixed.page);
    memcpy(swapped.cookie, one.page, sizeof swapped.cookie);
    memcpy(swapped.page, one.cookie, sizeof swapped.page);
    cr_assert_eq(visits_find(&visits, &mixed, START_MS), 0, "another visit's secret");
    cr_assert_eq(visits_find(&visits, &swapped, START_MS), 0);
    cr_assert_eq(visits_find(&visits, &empty, START_MS), 0);
    one.page[5] ^= 1;
    cr_assert_eq(visits_find(&visits, &one, START_MS), 0);
    one.page[0] = '\0';
    cr_assert_eq(visits_find(&visits, &one, START_MS), 0, "the cookie alone");
}

Test(console_visits, a_visit_ends_when_it_is_not_used_and_lasts_while_it_is) {
    struct visit_secrets secrets;
    uint64_t id = visits_begin(&visits, START_MS, &secrets);
    int64_t now = START_MS;
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(visits_find(&visits, &secrets, now += VISIT_UNUSED_MS), id);
    cr_assert(visits_go_on(&visits, id, now += VISIT_UNUSED_MS), "a stream uses it too");
    cr_assert_eq(visits_find(&visits, &secrets, now + VISIT_UNUSED_MS + 1), 0);
    cr_assert_eq(visits_find(&visits, &secrets, now), 0, "what has ended does not come back");
}

Test(console_visits, the_cookie_alone_is_recognised_and_does_not_prolong_a_visit) {
    struct visit_secrets secrets;
    visits_begin(&visits, START_MS, &secrets);
    cr_assert(visits_know(&visits, secrets.cookie, START_MS + VISIT_UNUSED_MS));
    cr_assert_not(visits_know(&visits, secrets.page, START_MS));
    cr_assert_not(visits_know(&visits, "", START_MS));
    cr_assert_not(visits_know(&visits, secrets.cookie, START_MS + VISIT_UNUSED_MS + 1));
    cr_assert_eq(visits_find(&visits, &secrets, START_MS + VISIT_UNUSED_MS + 1), 0);
}

Test(console_visits, a_visit_that_was_ended_is_unknown_also_to_its_streams) {
    struct visit_secrets secrets;
    uint64_t id = visits_begin(&visits, START_MS, &secrets);
    visits_end(&visits, id);
    cr_assert_eq(visits_find(&visits, &secrets, START_MS), 0);
    cr_assert_not(visits_know(&visits, secrets.cookie, START_MS));
    cr_assert_not(visits_go_on(&visits, id, START_MS));
    cr_assert_not(visits_go_on(&visits, 0, START_MS));
}

Test(console_visits, where_there_is_no_room_the_longest_unused_leaves) {
    struct visit_secrets all[VISITS_MAX], late;
    for (int i = 0; i < VISITS_MAX; i++)
        visits_begin(&visits, START_MS + i, &all[i]);
    cr_assert_neq(visits_find(&visits, &all[0], START_MS + VISITS_MAX), 0);
    visits_begin(&visits, START_MS + VISITS_MAX, &late);
    cr_assert_eq(visits_find(&visits, &all[1], START_MS + VISITS_MAX), 0);
    cr_assert_neq(visits_find(&visits, &all[0], START_MS + VISITS_MAX), 0);
    cr_assert_neq(visits_find(&visits, &all[2], START_MS + VISITS_MAX), 0);
    cr_assert_neq(visits_find(&visits, &late, START_MS + VISITS_MAX), 0);
}

/* ---- tokens ---- */

Test(console_visits, a_token_that_was_never_set_matches_nothing) {
    struct token none = { 0 };
    cr_assert_not(token_matches(&none, ""));
    cr_assert_not(token_equals(&none, &none));
}

static char path[] = "/tmp/keybroker-token-XXXXXX";

static bool reads(struct token *ret, const char *content, mode_t mode) {
    strcpy(path + strlen(path) - 6, "XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    fchmod(fd, mode);
    close(fd);
    bool done = token_read_file(ret, path);
    unlink(path);
    return done;
}

static const char GOOD[] = "0123456789abcdef0123456789abcdef";

Test(console_visits, a_token_is_read_from_a_private_file_without_its_line_end) {
    struct token token = { 0 };
    cr_assert(reads(&token, GOOD, 0600));
    cr_assert(token_matches(&token, GOOD));
    cr_assert(reads(&token, "0123456789abcdef0123456789abcdeX\r\n", 0400));
    cr_assert(token_matches(&token, "0123456789abcdef0123456789abcdeX"));
    cr_assert_not(token_matches(&token, GOOD));
}

Test(console_visits, a_file_that_others_may_read_or_write_is_refused) {
    static const mode_t OPEN[] = { 0644, 0640, 0604, 0620, 0602, 0700, 0660 };
    struct token token = { 0 };
    for (size_t i = 0; i < sizeof OPEN / sizeof *OPEN; i++)
        cr_assert_not(reads(&token, GOOD, OPEN[i]), "%o", OPEN[i]);
    cr_assert_not(token.set);
}

Test(console_visits, a_token_that_is_short_empty_or_no_text_is_refused) {
    struct token token = { 0 };
    cr_assert_not(reads(&token, "", 0600));
    cr_assert_not(reads(&token, "0123456789abcdef0123456789abcde", 0600));
    cr_assert_not(reads(&token, "0123456789abcdef 123456789abcdef", 0600));
    cr_assert_not(reads(&token,
                        "0123456789abcdef\xc3\xa9"
                        "3456789abcdef12",
                        0600));
    cr_assert_not(token_read_file(&token, "/tmp"), "a directory");
    cr_assert_not(token_read_file(&token, "/tmp/there/is/none"));
    char large[TOKEN_MOST_CHARACTERS + 2];
    memset(large, 'a', sizeof large);
    large[TOKEN_MOST_CHARACTERS + 1] = '\0';
    cr_assert_not(reads(&token, large, 0600));
    large[TOKEN_MOST_CHARACTERS] = '\0';
    cr_assert(reads(&token, large, 0600));
}
