/*
 * The console's patience with who guesses tokens, and who they are.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "broker/console/patience.h"

enum { START_MS = 1000000 };

static const struct caller OWNER = { .kind = CALLER_OWNER };
static const struct caller LOCAL = { .kind = CALLER_LOCAL };

static struct patience patience;

static void setup(void) {
    patience = (struct patience){ 0 };
}

TestSuite(console_patience, .init = setup);

static struct caller user(uint64_t uid) {
    return (struct caller){ .kind = CALLER_USER, .name = uid };
}

/* A wrong token; false: it was not looked at. */
static bool guess(struct caller caller, int64_t now) {
    if (!patience_has(&patience, &caller, now))
        return false;
    patience_spend(&patience, &caller, now);
    return true;
}

static unsigned guesses(struct caller caller, int64_t now) {
    unsigned count = 0;
    while (guess(caller, now))
        count++;
    return count;
}

Test(console_patience, wrong_tokens_are_looked_at_ten_times_and_then_once_a_second) {
    const struct caller all[] = { OWNER, LOCAL, user(7) };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int64_t now = START_MS;
        cr_assert_eq(guesses(all[i], now), PATIENCE_AT_ONCE);
        cr_assert_not(guess(all[i], now + 999));
        cr_assert(guess(all[i], now + 1000));
        cr_assert_not(guess(all[i], now + 1999));
        cr_assert(guess(all[i], now + 2000));
        cr_assert_eq(guesses(all[i], now + 60000), PATIENCE_AT_ONCE);
    }
}

Test(console_patience, who_guesses_uses_up_nobody_elses) {
    struct caller address = { .kind = CALLER_ADDRESS, .name = 7 };
    cr_assert_eq(guesses(user(7), START_MS), PATIENCE_AT_ONCE);
    cr_assert_eq(guesses(user(8), START_MS), PATIENCE_AT_ONCE);
    cr_assert_eq(guesses(address, START_MS), PATIENCE_AT_ONCE);
    cr_assert_eq(guesses(OWNER, START_MS), PATIENCE_AT_ONCE);
    cr_assert_eq(guesses(LOCAL, START_MS), PATIENCE_AT_ONCE);
}

Test(console_patience, a_crowd_of_guessers_has_a_bound_together_and_leaves_the_owner_theirs) {
    unsigned count = 0;
    for (uint64_t uid = 1; uid <= 10000; uid++)
        count += guesses(user(uid), START_MS);
    cr_assert_eq(count, (PATIENCE_CALLERS_MAX + 1) * PATIENCE_AT_ONCE);
    cr_assert_eq(guesses(user(20000), START_MS), 0);
    cr_assert_eq(guesses(OWNER, START_MS), PATIENCE_AT_ONCE);
    cr_assert_eq(guesses(user(20000), START_MS + 60000), PATIENCE_AT_ONCE, "it is forgotten");
    cr_assert_eq(guesses(user(1), START_MS + 60000), PATIENCE_AT_ONCE);
}

Test(console_patience, looking_uses_up_nothing) {
    struct caller caller = user(7);
    for (unsigned i = 0; i < 100; i++)
        cr_assert(patience_has(&patience, &caller, START_MS));
    cr_assert_eq(guesses(caller, START_MS), PATIENCE_AT_ONCE);
}

/* ---- who it is ---- */

struct pair {
    int client, server;
};

static struct pair connect_pair(int family) {
    struct sockaddr_storage address = { .ss_family = (sa_family_t)family };
    if (family == AF_INET)
        ((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        ((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_loopback;
    socklen_t size = sizeof address;
    int listener = socket(family, SOCK_STREAM, 0);
    struct pair pair = { .client = socket(family, SOCK_STREAM, 0), .server = -1 };
    if (listener >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0 &&
        listen(listener, 1) == 0 &&
        getsockname(listener, (struct sockaddr *)&address, &size) == 0 &&
        connect(pair.client, (struct sockaddr *)&address, size) == 0)
        pair.server = accept(listener, NULL, NULL);
    close(listener);
    return pair;
}

Test(console_patience, a_caller_of_this_host_is_known_by_its_user) {
    static const int FAMILIES[] = { AF_INET, AF_INET6 };
    enum { STRANGER = 4242 };
    for (size_t i = 0; i < 2; i++) {
        struct pair pair = connect_pair(FAMILIES[i]);
        if (pair.server < 0)
            continue; /* there is no IPv6 here */
        struct caller own = caller_of(pair.server);
        if (own.kind == CALLER_LOCAL)
            cr_skip_test("this kernel does not tell whose a connection is");
        cr_assert(caller_equals(&own, &OWNER));
        close(pair.client);
        struct caller gone = caller_of(pair.server);
        cr_assert(caller_equals(&gone, &LOCAL), "who has hung up is nobody, and not root");
        close(pair.server);
        if (geteuid() != 0)
            continue;
        cr_assert_eq(seteuid(STRANGER), 0);
        pair = connect_pair(FAMILIES[i]);
        cr_assert_eq(seteuid(0), 0);
        struct caller stranger = caller_of(pair.server), expected = user(STRANGER);
        cr_assert(caller_equals(&stranger, &expected));
        close(pair.client);
        close(pair.server);
    }
}

Test(console_patience, what_is_no_connection_is_somebody_of_this_host) {
    struct caller caller = caller_of(-1);
    cr_assert(caller_equals(&caller, &LOCAL));
}
