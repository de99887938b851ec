/*
 * Whose turn it is among sessions: users take turns, whatever number of places one has.
 */
#include "broker/rota.h"

#include <string.h>

#include <criterion/criterion.h>

enum { PLACES = 8 };

static struct rota rota;
static struct rota_place places[PLACES];
static const char NAMES[PLACES + 1] = "abcdefgh";

static void setup(void) {
    rota_init(&rota);
}

TestSuite(rota, .init = setup);

/* The place of this letter joins as a user's. */
static void join(char name, uint32_t uid) {
    int i = name - 'a';
    rota_join(&rota, &places[i], uid, (void *)(uintptr_t)&NAMES[i]);
}

static void want(const char *names) {
    for (; *names; names++)
        rota_wait(&rota, &places[*names - 'a']);
}

/* The next turns; whoever had one has work again if its letter is in `busy`. */
static const char *turns(unsigned count, const char *busy) {
    static char text[64];
    unsigned i = 0;
    for (const char *owner; i < count && (owner = rota_next(&rota)); i++) {
        text[i] = *owner;
        if (strchr(busy, *owner))
            rota_wait(&rota, &places[owner - NAMES]);
    }
    text[i] = '\0';
    return text;
}

Test(rota, who_came_first_is_first_and_nobody_is_there_twice) {
    join('a', 1);
    join('b', 1);
    join('c', 2);
    cr_assert_not(rota_has_work(&rota));
    cr_assert_null(rota_next(&rota));
    want("bbab");
    cr_assert(rota_has_work(&rota));
    cr_assert_str_eq(turns(9, ""), "ba");
    want("ca");
    cr_assert_str_eq(turns(9, ""), "ca");
    cr_assert_not(rota_has_work(&rota));
}

Test(rota, users_take_turns_whatever_number_of_places_one_has) {
    for (const char *name = "abcdef"; *name; name++)
        join(*name, 1);
    join('g', 2);
    want("abcdefg");
    cr_assert_str_eq(turns(12, NAMES), "agbgcgdgegfg");
    join('h', 3);
    want("h");
    cr_assert_str_eq(turns(9, NAMES), "aghbghcgh");
}

Test(rota, one_who_has_less_to_do_waits_for_one_turn_of_each_other_user) {
    for (const char *name = "abcd"; *name; name++)
        join(*name, 1);
    join('e', 2);
    want("abcd");
    cr_assert_str_eq(turns(2, "abcd"), "ab");
    want("e");
    cr_assert_str_eq(turns(3, "abcd"), "ced");
}

Test(rota, who_leaves_is_waited_for_no_more) {
    join('a', 1);
    join('b', 1);
    join('c', 2);
    cr_assert_eq(rota_places_of(&rota, 1), 2);
    want("abc");
    rota_leave(&rota, &places[0]);
    cr_assert_eq(rota_places_of(&rota, 1), 1);
    rota_leave(&rota, &places[2]);
    cr_assert_eq(rota_places_of(&rota, 2), 0);
    cr_assert_str_eq(turns(9, ""), "b");
    rota_leave(&rota, &places[1]);
    rota_deinit(&rota);
}
