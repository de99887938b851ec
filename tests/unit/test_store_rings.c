/*
 * Which events are kept: a share for every pool and for the operators, whoever has the most events;
 * and a store whose broker knew no shares.
 */
#include "store_fixture.h"

#include "store_internal.h"

TestSuite(store_rings, .init = state_dir_init, .fini = state_dir_deinit);

static void add_events(struct changeset *set, uint64_t pool_id, uint32_t actor, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        struct event event = new_event(pool_id, 2);
        event.actor.kind = actor;
        changeset_event(set, &event);
    }
}

static void commit_events(struct store *store, uint64_t pool_id, uint32_t actor, unsigned count) {
    struct changeset set = { 0 };
    add_events(&set, pool_id, actor, count);
    cr_assert_eq(commit_set(store, &set, 1), 0);
}

/* How many events of a pool that an actor of this kind caused are kept. */
static unsigned kept(struct store *store, uint64_t pool_id, uint32_t actor) {
    struct event *events;
    uint64_t oldest, last, before = 0;
    unsigned found = 0;
    int count = store_events(store, 0, 100000, &events, &oldest, &last);
    cr_assert_geq(count, 0);
    for (int i = 0; i < count; i++) {
        cr_expect_gt(events[i].seq, before, "in the order in which they happened");
        before = events[i].seq;
        found += events[i].pool_id == pool_id && events[i].actor.kind == actor;
    }
    cr_expect(count == 0 || events[0].seq == oldest);
    free(events);
    return found;
}

Test(store_rings, a_pools_storm_leaves_the_operators_events_and_other_pools) {
    struct store *store = open_store_with(NULL, 1000);
    commit_events(store, 1, ACTOR_ADMIN, 40);
    commit_events(store, 2, ACTOR_REPORT, 60);
    for (int i = 0; i < 30; i++)
        commit_events(store, 1, ACTOR_REPORT, 500);
    cr_expect_eq(kept(store, 1, ACTOR_ADMIN), 40);
    cr_expect_eq(kept(store, 2, ACTOR_REPORT), 60);
    cr_expect_eq(kept(store, 1, ACTOR_REPORT), 900, "and what is left is the storm's");
    cr_expect_eq(store_events_newest(store, 15100, 900), 14200, "numbers without holes");
    cr_expect_eq(store_events_newest(store, 15100, 901), 99, "and over the hole");
    cr_expect_eq(store_events_newest(store, 15100, 1000), 0);
    cr_expect_eq(store_events_newest(store, 15100, 5000), 0, "there are no more");
    cr_expect_eq(store_events_newest(store, 50, 10), 40);
    store_close(store);
}

Test(store_rings, pools_that_storm_together_share_evenly) {
    struct store *store = open_store_with(NULL, 300);
    commit_events(store, 9, ACTOR_BROKER, 10);
    for (int i = 0; i < 20; i++)
        for (uint64_t pool = 1; pool <= 3; pool++)
            commit_events(store, pool, ACTOR_REPORT, 20 * (unsigned)pool);
    unsigned total = kept(store, 9, ACTOR_BROKER);
    cr_expect_eq(total, 10);
    for (uint64_t pool = 1; pool <= 3; pool++) {
        unsigned its = kept(store, pool, ACTOR_REPORT);
        cr_expect(its >= 96 && its <= 97, "pool %d: %u", (int)pool, its);
        total += its;
    }
    cr_expect_eq(total, 300);
    store_close(store);
}

Test(store_rings, operators_have_half_for_sure_and_the_pools_the_other_half) {
    struct store *store = open_store_with(NULL, 100);
    commit_events(store, 1, ACTOR_ADMIN, 500);
    cr_expect_eq(kept(store, 1, ACTOR_ADMIN), 100, "as long as nobody else wants it");
    commit_events(store, 1, ACTOR_REPORT, 30);
    cr_expect_eq(kept(store, 1, ACTOR_ADMIN), 70);
    cr_expect_eq(kept(store, 1, ACTOR_REPORT), 30);
    commit_events(store, 2, ACTOR_REPORT, 400);
    cr_expect_eq(kept(store, 1, ACTOR_ADMIN), 50);
    commit_events(store, 1, ACTOR_ADMIN, 500);
    cr_expect_eq(kept(store, 1, ACTOR_ADMIN), 50);
    cr_expect_eq(kept(store, 1, ACTOR_REPORT) + kept(store, 2, ACTOR_REPORT), 50);
    store_close(store);
}

Test(store_rings, shares_hold_over_a_start_and_after_a_group_that_failed) {
    struct store *store = open_store_with(NULL, 100);
    commit_events(store, 2, ACTOR_REPORT, 20);
    commit_events(store, 1, ACTOR_REPORT, 70);
    store_close(store);
    store = open_store_with(NULL, 100);
    struct changeset set = { 0 };
    add_events(&set, 2, ACTOR_REPORT, 50);
    cr_assert_eq(store_begin(store), 0);
    cr_assert_eq(store_apply(store, &set), 0);
    store_abort(store);
    changeset_deinit(&set);
    commit_events(store, 1, ACTOR_REPORT, 30);
    cr_expect_eq(kept(store, 2, ACTOR_REPORT), 20);
    cr_expect_eq(kept(store, 1, ACTOR_REPORT), 80);
    store_close(store);
}

Test(store_rings, a_group_that_needs_a_larger_map_counts_its_events_once) {
    struct store *store = open_store_with(NULL, 30000);
    commit_events(store, 3, ACTOR_ADMIN, 10);
    commit_events(store, 1, ACTOR_REPORT, 40000);
    cr_expect_eq(store->rings.events, 30000);
    cr_expect_eq(kept(store, 3, ACTOR_ADMIN), 10);
    cr_expect_eq(kept(store, 1, ACTOR_REPORT), 29990);
    store_close(store);
}

Test(store_rings, of_pools_that_are_gone_nothing_is_remembered_once_their_events_are) {
    struct store *store = open_store_with(NULL, 50);
    for (uint64_t pool = 1; pool <= 40; pool++)
        commit_events(store, pool, ACTOR_REPORT, 1);
    cr_expect_eq(store->rings.count, 40);
    commit_events(store, 99, ACTOR_ADMIN, 60);
    cr_expect_leq(store->rings.count, 26);
    cr_expect_eq(kept(store, 99, ACTOR_ADMIN), 25);
    store_close(store);
}

/* The event as the broker wrote it that knew neither names nor counts. */
static int put_old_event(struct store *store, uint64_t seq, uint32_t actor) {
    struct event event = new_event(1, 2);
    event.seq = seq;
    event.actor.kind = actor;
    event.count = 0;
    event.to_key[0] = event.names.user[0] = event.names.program[0] = '\0';
    store_encode_event(&store->plain, &event);
    store->plain.data[0] = 1;
    store->plain.length -= 4 + 3 * 5;
    store->staged.last_event = seq;
    return store_put(store, TABLE_EVENTS, seq, 0);
}

enum { OLD_EVENTS = 200 };

/* Back to format 2: without rings, 20 of the events the operators', one of them damaged. */
static int take_rings_away(struct store *store) {
    int rc = mdb_drop(store->txn, store->tables[TABLE_RINGS], 1);
    for (uint64_t seq = 1; rc == 0 && seq <= OLD_EVENTS; seq++)
        rc = put_old_event(store, seq, seq % 10 ? ACTOR_REPORT : ACTOR_ADMIN);
    unsigned char bytes[16];
    MDB_val value, key = { .mv_data = bytes };
    key.mv_size = store_record_key(TABLE_EVENTS, 1, 0, bytes);
    if (rc == 0)
        rc = mdb_get(store->txn, store->tables[TABLE_EVENTS], &key, &value);
    if (rc == 0)
        ((unsigned char *)value.mv_data)[20] ^= 1;
    return store_errno(rc);
}

Test(store_rings, events_of_an_older_store_are_read_and_get_their_shares) {
    const store_migration back[] = { NULL, take_rings_away };
    struct store *store = open_store();
    cr_assert_eq(store_migrate(store, 1, 2, back), 0);
    store_close(store);

    store = open_store_with(NULL, 100);
    struct event *events, expected = new_event(1, 2);
    uint64_t oldest, last;
    cr_assert_eq(store_events(store, 1, 1000, &events, &oldest, &last), OLD_EVENTS - 1);
    cr_expect_eq(last, OLD_EVENTS);
    expected.seq = 2;
    expected.count = 0;
    expected.to_key[0] = expected.names.user[0] = expected.names.program[0] = '\0';
    cr_expect(events_equal(&events[0], &expected));
    free(events);

    commit_events(store, 1, ACTOR_REPORT, 1);
    cr_expect_eq(store->rings.events, 100);
    cr_assert_eq(store_events(store, 1, 1000, &events, &oldest, &last), 99, "one can't be read");
    unsigned operators = 0;
    for (int i = 0; i < 99; i++)
        operators += events[i].actor.kind == ACTOR_ADMIN;
    cr_expect_eq(operators, OLD_EVENTS / 10);
    cr_expect_eq(last, OLD_EVENTS + 1);
    free(events);
    store_close(store);
}
