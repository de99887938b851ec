/* Which changes of a key's status are told one by one, and which are counted. */
#include <criterion/criterion.h>

#include "tests/support/model_fixture.h"

static struct model_fixture f;
static struct model_key *key;

static void setup(void) {
    model_fixture_init(&f);
    key = fixture_key(&f, fixture_pool(&f, "main", "openai"), "flapping", NULL);
}

static void teardown(void) {
    model_fixture_deinit(&f);
}

TestSuite(model_flaps, .init = setup, .fini = teardown);

static uint32_t tell(kb_status from, kb_status to) {
    return model_tell_change(f.model, key, from, to, f.cause.now);
}

/* Cools and comes back, `times` a second each: how many of the changes were told. */
static unsigned flap(unsigned times) {
    unsigned told = 0;
    for (unsigned i = 0; i < times; i++) {
        told += tell(KB_STATUS_NORMAL, KB_STATUS_COOLING) != 0;
        fixture_pass(&f, 1000);
        told += tell(KB_STATUS_COOLING, KB_STATUS_NORMAL) != 0;
    }
    return told;
}

static void flap_until_counted(void) {
    do
        flap(7);
    while (!key->told.held);
}

Test(model_flaps, rare_changes_are_all_told) {
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(tell(KB_STATUS_NORMAL, KB_STATUS_COOLING), 1);
        fixture_pass(&f, 30000);
        cr_assert_eq(tell(KB_STATUS_COOLING, KB_STATUS_NORMAL), 1);
    }
    cr_assert_eq(f.model->flaps.count, 0);
}

Test(model_flaps, a_key_that_goes_to_and_fro_is_counted_and_no_change_is_lost) {
    unsigned told = flap(3000), counted = 0, events = 0;
    struct event event;
    cr_expect_leq(told, 12 + 3000 / 5 + 1, "%u of 6000 changes were told alone", told);
    flap_until_counted();
    fixture_pass(&f, 5000);
    while (model_counted_changes(f.model, f.cause.now, &event)) {
        counted += event.count;
        events++;
    }
    cr_expect_eq(events, 1);
    cr_expect_eq(event.kind, EVENT_STATUS);
    cr_expect_eq(event.from, KB_STATUS_COOLING);
    cr_expect_eq(event.to, KB_STATUS_NORMAL);
    cr_expect_str_eq(event.key, "flapping");
    cr_expect_eq(event.actor.kind, ACTOR_BROKER);
    cr_expect_eq(f.model->flaps.count, 0, "nothing is left to be told");
    cr_expect_gt(counted, 0);
}

Test(model_flaps, what_was_counted_is_told_within_five_seconds) {
    unsigned changes = 0, told = 0;
    struct event event;
    for (int second = 0; second < 600; second++) {
        changes += 2;
        told += tell(KB_STATUS_NORMAL, KB_STATUS_COOLING);
        told += tell(KB_STATUS_COOLING, KB_STATUS_NORMAL);
        fixture_pass(&f, 1000);
        while (model_counted_changes(f.model, f.cause.now, &event))
            told += event.count;
        cr_assert_leq(changes - told, 10, "second %d", second);
    }
    fixture_pass(&f, 5000);
    while (model_counted_changes(f.model, f.cause.now, &event))
        told += event.count;
    cr_expect_eq(told, changes);
}

Test(model_flaps, what_is_grave_is_told_at_once_with_what_was_counted_before) {
    flap_until_counted();
    uint64_t held = key->told.held;
    cr_expect_eq(tell(KB_STATUS_NORMAL, KB_STATUS_ERROR), held + 1);
    cr_expect_eq(key->told.held, 0);
    struct event event;
    fixture_pass(&f, 60000);
    cr_expect_not(model_counted_changes(f.model, f.cause.now, &event));
}

Test(model_flaps, of_a_key_that_was_deleted_nothing_is_told) {
    flap_until_counted();
    cr_assert_eq(fixture_stage_delete(&f, key), 0);
    fixture_publish(&f);
    struct event event;
    fixture_pass(&f, 60000);
    cr_expect_not(model_counted_changes(f.model, f.cause.now, &event));
}

Test(model_flaps, repeats_of_a_refused_permission_are_counted_in_the_next_event) {
    fixture_report(&f, key, KB_PERMISSION, KB_NO_HINT);
    cr_assert_eq(fixture_event(&f, EVENT_REPORT)->count, 1);
    for (int i = 0; i < 7; i++)
        fixture_report(&f, key, KB_PERMISSION, KB_NO_HINT);
    cr_assert_null(fixture_event(&f, EVENT_REPORT));
    fixture_pass(&f, 60000);
    fixture_report(&f, key, KB_PERMISSION, KB_NO_HINT);
    cr_assert_eq(fixture_event(&f, EVENT_REPORT)->count, 8);
}
