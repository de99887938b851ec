/*
 * What the workers of one pool see: the broker's choice and its hint, slots and their words, on
 * real boards in a directory of the test's own.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/unit/publication_fixture.h"

TestSuite(publication, .init = setup, .fini = teardown);

/* ---- the choice ---- */

Test(publication, the_first_normal_key_is_the_choice) {
    begin(3);
    expect_hint(0, NEVER);
    cr_assert_eq(pub.choice, 0);
    cr_assert_eq(pub.choice_id, 100);
    set_status(0, KB_STATUS_DISABLED, 0);
    announce();
    expect_hint(1, NEVER);
    set_status(1, KB_STATUS_ERROR, 0);
    announce();
    expect_hint(2, NEVER);
    set_status(2, KB_STATUS_EXCEEDED, 0);
    announce();
    expect_hint(KB_BOARD_NO_POSITION, NEVER);
    set_status(1, KB_STATUS_NORMAL, 0);
    announce();
    expect_hint(1, NEVER);
}

Test(publication, every_status_but_normal_is_passed_over) {
    begin(2);
    for (kb_status status = KB_STATUS_COOLING; status <= KB_STATUS_DISABLED; status++) {
        set_status(0, status, 0);
        announce();
        expect_hint(1, NEVER);
        set_status(0, KB_STATUS_NORMAL, 0);
        announce();
        expect_hint(0, NEVER);
    }
}

Test(publication, the_hint_holds_until_a_key_ranked_above_the_choice_may_come_back) {
    begin(4);
    set_status(0, KB_STATUS_COOLING, now.mono_ms + 9000);
    set_status(1, KB_STATUS_COOLING, now.mono_ms + 4000);
    set_status(3, KB_STATUS_COOLING, now.mono_ms + 1000); /* below: nobody waits for it */
    announce();
    expect_hint(2, (uint64_t)now.mono_ms + 4000);
    set_status(0, KB_STATUS_COOLING, now.mono_ms + 3000);
    announce();
    expect_hint(2, (uint64_t)now.mono_ms + 3000);
    set_status(0, KB_STATUS_COOLING, now.mono_ms + 9000);
    set_status(2, KB_STATUS_EXCEEDED, 0);
    announce();
    expect_hint(KB_BOARD_NO_POSITION, (uint64_t)now.mono_ms + 1000);
    set_status(1, KB_STATUS_NORMAL, 0);
    announce();
    expect_hint(1, (uint64_t)now.mono_ms + 9000);
    set_status(0, KB_STATUS_NORMAL, 0);
    announce();
    expect_hint(0, NEVER);
}

Test(publication, an_expired_key_is_never_the_choice) {
    struct published_key *order = mem_resize(NULL, 3, sizeof *order);
    for (uint32_t i = 0; i < 3; i++)
        order[i] = key_at(i);
    order[0].expires_at_ms = WALL;
    order[1].expires_at_ms = WALL + 1;
    take_catalog(order, 3, 3);
    for (uint32_t i = 0; i < 3; i++)
        set_status(i, KB_STATUS_NORMAL, 0);
    announce();
    expect_hint(1, NEVER);
    now.wall_ms++;
    announce();
    expect_hint(2, NEVER);
}

Test(publication, a_clock_that_was_set_back_brings_expired_keys_back) {
    struct published_key *order = mem_resize(NULL, 2, sizeof *order);
    order[0] = key_at(0);
    order[1] = key_at(1);
    order[0].expires_at_ms = WALL + 1000;
    take_catalog(order, 2, 2);
    set_status(0, KB_STATUS_NORMAL, 0);
    set_status(1, KB_STATUS_NORMAL, 0);
    now.wall_ms = WALL + 1000;
    announce();
    expect_hint(1, NEVER);
    now.wall_ms = WALL;
    publication_recheck_expiries(&pub);
    announce();
    expect_hint(0, NEVER);
}

Test(publication, a_new_expiry_counts_with_its_catalog) {
    begin(2);
    struct published_key *order = mem_resize(NULL, 2, sizeof *order);
    order[0] = key_at(0);
    order[1] = key_at(1);
    order[0].expires_at_ms = WALL - 1;
    take_catalog(order, 2, 2);
    announce();
    expect_hint(1, NEVER);
    publish(2);
    announce();
    expect_hint(0, NEVER);
}

/* ---- what is to be expected ---- */

static uint64_t next_key(void) {
    return publication_next(&pub, now.wall_ms);
}

static int64_t recovers_in(void) {
    int64_t at = publication_recovers_at(&pub, now);
    return at ? at - now.wall_ms : 0;
}

Test(publication, the_next_key_is_the_first_usable_one_beside_the_current) {
    begin(3);
    cr_assert_eq(next_key(), 101);
    set_status(1, KB_STATUS_DISABLED, 0);
    cr_assert_eq(next_key(), 102);
    set_status(2, KB_STATUS_COOLING, now.mono_ms + 20000);
    cr_assert_eq(next_key(), 0);
    set_status(0, KB_STATUS_ERROR, 0);
    announce();
    cr_assert_eq(next_key(), 0, "there is no current one");
}

Test(publication, a_better_key_that_came_back_is_next_after_a_worse_one) {
    begin(3);
    set_status(0, KB_STATUS_ERROR, 0);
    announce();
    set_status(0, KB_STATUS_NORMAL, 0);
    cr_assert_eq(next_key(), 100);
}

Test(publication, the_next_key_is_found_past_thousands_that_are_benched) {
    enum { KEYS = 9000 };
    begin(KEYS);
    for (uint32_t i = 1; i < KEYS; i++)
        set_status(i, KB_STATUS_ERROR, 0);
    cr_assert_eq(next_key(), 0);
    for (uint32_t i = KEYS - 1; i; i -= i > 70 ? 61 : 1) {
        set_status(i, KB_STATUS_NORMAL, 0);
        cr_assert_eq(next_key(), 100 + i);
    }
}

Test(publication, an_expired_key_is_never_next) {
    struct published_key *order = mem_resize(NULL, 3, sizeof *order);
    for (uint32_t i = 0; i < 3; i++)
        order[i] = key_at(i);
    order[1].expires_at_ms = WALL + 1000;
    take_catalog(order, 3, 3);
    for (uint32_t i = 0; i < 3; i++)
        set_status(i, KB_STATUS_NORMAL, 0);
    announce();
    cr_assert_eq(next_key(), 101);
    now.wall_ms += 1000;
    cr_assert_eq(next_key(), 102);
}

Test(publication, an_exhausted_pool_comes_back_with_its_first_key) {
    begin(3);
    cr_assert_eq(recovers_in(), 0);
    set_status(0, KB_STATUS_COOLING, now.mono_ms + 90000);
    set_status(1, KB_STATUS_COOLING, now.mono_ms + 20000);
    cr_assert_eq(recovers_in(), 0, "the third is usable");
    set_status(2, KB_STATUS_DISABLED, 0);
    cr_assert_eq(recovers_in(), 20000);
    now.wall_ms += 5000;
    now.mono_ms += 5000;
    cr_assert_eq(recovers_in(), 15000);
    set_status(1, KB_STATUS_NORMAL, 0);
    cr_assert_eq(recovers_in(), 0);
}

Test(publication, nothing_is_promised_where_only_an_operator_can_help) {
    begin(3);
    set_status(0, KB_STATUS_DISABLED, 0);
    set_status(1, KB_STATUS_ERROR, 0);
    set_status(2, KB_STATUS_DISABLED, 0);
    cr_assert_eq(recovers_in(), 0);
}

Test(publication, a_key_that_expires_before_it_has_cooled_promises_nothing) {
    struct published_key *order = mem_resize(NULL, 2, sizeof *order);
    order[0] = key_at(0);
    order[1] = key_at(1);
    order[0].expires_at_ms = WALL + 10000;
    take_catalog(order, 2, 2);
    set_status(0, KB_STATUS_COOLING, now.mono_ms + 20000);
    set_status(1, KB_STATUS_DISABLED, 0);
    announce();
    cr_assert_eq(recovers_in(), 0);
    set_status(1, KB_STATUS_COOLING, now.mono_ms + 30000);
    cr_assert_eq(recovers_in(), 30000);
}

Test(publication, a_pool_without_keys_has_no_choice) {
    take_catalog(mem_resize(NULL, 0, sizeof(struct published_key)), 0, 0);
    announce();
    expect_hint(KB_BOARD_NO_POSITION, NEVER);
    cr_assert_eq(pub.exhausted_since_mono, 0, "an empty pool is not exhausted");
}

/* Bench all but the last of very many, one by one, with the choice right after each. */
Test(publication, a_failover_past_10000_benched_keys_finds_the_next) {
    enum { MANY = 10050 };
    begin(MANY);
    for (uint32_t i = 0; i < MANY - 1; i++) {
        set_status(i, i % 3 ? KB_STATUS_EXCEEDED : KB_STATUS_COOLING,
                   i % 3 ? 0 : now.mono_ms + 100000 - i);
        announce();
        cr_assert_eq(pub.choice, i + 1);
    }
    /* Past so many the hint may be early but never late. */
    uint64_t until = atomic_load(&pub.board.shared->hint_until_ms);
    cr_assert_leq(until, (uint64_t)now.mono_ms + 100000 - (MANY - 3));
    set_status(MANY - 1, KB_STATUS_ERROR, 0);
    announce();
    cr_assert_eq(pub.choice, KB_BOARD_NO_POSITION);
    set_status(7000, KB_STATUS_NORMAL, 0);
    announce();
    cr_assert_eq(pub.choice, 7000);
}

Test(publication, past_many_keys_the_earliest_recovery_is_still_known) {
    enum { MANY = 500 };
    begin(MANY);
    for (uint32_t i = 0; i < MANY - 1; i++)
        set_status(i, KB_STATUS_COOLING, now.mono_ms + 1000 + i);
    announce();
    expect_hint(MANY - 1, (uint64_t)now.mono_ms + 1000);
    set_status(0, KB_STATUS_EXCEEDED, 0);
    announce();
    expect_hint(MANY - 1, (uint64_t)now.mono_ms + 1001);
    for (uint32_t i = 0; i < MANY - 1; i++)
        set_status(i, KB_STATUS_ERROR, 0);
    announce();
    expect_hint(MANY - 1, NEVER);
}

Test(publication, deadlines_that_moved_are_not_piled_up_for_ever) {
    begin(100);
    for (int i = 0; i < 20000; i++)
        set_status(5, KB_STATUS_COOLING, now.mono_ms + 1000 + i);
    cr_assert_lt(pub.recoveries.count, 1000);
    for (uint32_t i = 0; i < 99; i++)
        if (i != 5)
            set_status(i, KB_STATUS_ERROR, 0);
    announce();
    expect_hint(99, (uint64_t)now.mono_ms + 1000 + 19999);
}

/* ---- slots ---- */

Test(publication, a_state_is_shown_whole) {
    begin(2);
    set_status(1, KB_STATUS_COOLING, 777);
    const struct kb_board_slot *slot = &pub.board.shared->slots[1];
    cr_assert_eq(kb_word_id(word(1)), 101);
    cr_assert_eq(kb_word_status(word(1)), KB_STATUS_COOLING);
    cr_assert_eq(atomic_load(&slot->deadline_ms), 777);
    cr_assert_eq(atomic_load(&slot->valid_since), START + 5);
    cr_assert_eq(atomic_load(&slot->backoff), 2);
}

Test(publication, every_change_moves_the_word_also_back_to_what_it_was) {
    begin(1);
    uint32_t first = counter(0);
    uint64_t before = word(0);
    set_status(0, KB_STATUS_COOLING, 1);
    set_status(0, KB_STATUS_NORMAL, 0);
    cr_assert_eq(counter(0), first + 2);
    cr_assert_neq(word(0), before);
}

Test(publication, a_touch_moves_the_word_and_nothing_else) {
    begin(2);
    set_status(0, KB_STATUS_COOLING, 4711);
    uint64_t before = word(0);
    publication_touch(&pub, 0, 100);
    cr_assert_neq(word(0), before);
    cr_assert_eq(kb_word_status(word(0)), KB_STATUS_COOLING);
    cr_assert_eq(kb_word_id(word(0)), 100);
    const struct kb_board_slot *slot = &pub.board.shared->slots[0];
    cr_assert_eq(atomic_load(&slot->deadline_ms), 4711);
    cr_assert_eq(atomic_load(&slot->valid_since), START + 5);
    cr_assert_eq(atomic_load(&slot->backoff), 2);
    before = word(1);
    publication_touch(&pub, 1, 100);
    publication_touch(&pub, 2, 102);
    publication_touch(&pub, 70000, 101);
    cr_assert_eq(word(1), before, "another key's slot");
}

Test(publication, the_words_counter_wraps_without_touching_its_neighbours) {
    begin(1);
    for (uint32_t i = 0; i <= KB_WORD_COUNTER_MASK + 1; i++)
        publication_touch(&pub, 0, 100);
    cr_assert_eq(kb_word_id(word(0)), 100);
    cr_assert_eq(kb_word_status(word(0)), KB_STATUS_NORMAL);
}

Test(publication, a_state_of_a_key_that_is_not_published_is_ignored) {
    begin(2);
    struct key_state state = { .status = KB_STATUS_ERROR };
    uint64_t before = word(0);
    publication_set_state(&pub, 0, 999, &state); /* another key's slot */
    cr_assert_eq(word(0), before);
    publication_set_state(&pub, 2, 102, &state); /* beyond what is published */
    publication_set_state(&pub, KB_BOARD_SLOTS_MAX + 5, 102, &state);
    announce();
    expect_hint(0, NEVER);
}

Test(publication, before_the_first_catalog_nothing_is_shown) {
    struct key_state state = { .status = KB_STATUS_NORMAL };
    publication_set_state(&pub, 0, 100, &state);
    publication_touch(&pub, 0, 100);
    cr_assert_eq(pub.slot_count, 0);
}

Test(publication, a_slot_whose_key_left_is_cleared) {
    begin(4);
    struct published_key *order = mem_resize(NULL, 2, sizeof *order);
    order[0] = key_at(3);
    order[1] = key_at(1);
    take_catalog(order, 2, 4);
    cr_assert_eq(word(0), 0);
    cr_assert_eq(word(2), 0);
    cr_assert_eq(kb_word_id(word(1)), 101);
    cr_assert_eq(kb_word_id(word(3)), 103);
    announce();
    expect_hint(0, NEVER);
    cr_assert_eq(pub.choice_id, 103);
    cr_assert_eq(atomic_load(&pub.board.shared->slot_count), 4);
}

Test(publication, slots_beyond_the_new_count_are_cleared_too) {
    begin(4);
    publish(2);
    cr_assert_eq(word(2), 0);
    cr_assert_eq(word(3), 0);
    announce();
    cr_assert_eq(atomic_load(&pub.board.shared->slot_count), 2);
}

Test(publication, a_slot_that_another_key_took_over_begins_anew) {
    begin(2);
    set_status(1, KB_STATUS_COOLING, 4711);
    struct published_key *order = mem_resize(NULL, 2, sizeof *order);
    order[0] = key_at(0);
    order[1] = (struct published_key){ .id = 555, .slot = 1 };
    take_catalog(order, 2, 2);
    cr_assert_eq(word(1), 0, "nothing of the old key is said of the new one");
    cr_assert_eq(atomic_load(&pub.board.shared->slots[1].deadline_ms), 0);
    struct key_state state = { .status = KB_STATUS_NORMAL };
    publication_set_state(&pub, 1, 555, &state);
    cr_assert_eq(kb_word_id(word(1)), 555);
}

Test(publication, a_new_order_keeps_what_every_key_said) {
    begin(3);
    set_status(0, KB_STATUS_COOLING, now.mono_ms + 5000);
    struct published_key *order = mem_resize(NULL, 3, sizeof *order);
    order[0] = key_at(2);
    order[1] = key_at(0);
    order[2] = key_at(1);
    take_catalog(order, 3, 3);
    announce();
    expect_hint(0, NEVER);
    cr_assert_eq(pub.choice_id, 102);
    set_status(2, KB_STATUS_ERROR, 0);
    announce();
    expect_hint(2, (uint64_t)now.mono_ms + 5000);
}

/* ---- catalogs ---- */

static void touch_catalog(uint64_t of, char name[64]) {
    snprintf(name, 64, KB_CATALOG_FILE_FORMAT, (unsigned long long)of);
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
}

static bool exists(const char *name) {
    return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

Test(publication, a_catalog_counts_when_it_is_announced_and_the_old_one_is_retired_then) {
    begin(1);
    uint64_t old_version = version;
    publish(1);
    const struct kb_board *shared = pub.board.shared;
    cr_assert_eq(kb_board_catalog_version(shared), old_version);
    cr_assert_eq(pub.retired_catalog, 0);
    announce();
    cr_assert_eq(kb_board_catalog_version(shared), version);
    uint64_t again, size, checksum;
    cr_assert(kb_board_read_catalog(shared, &again, &size, &checksum));
    cr_assert_eq(again, version);
    cr_assert_eq(size, 4096);
    cr_assert_eq(checksum, version * 3);
    cr_assert_eq(pub.retired_catalog, old_version);
    pub.retired_catalog = 0;
    announce();
    cr_assert_eq(pub.retired_catalog, 0, "no catalog, nothing to retire");
}

/* Each kill at the wrong moment left a file with every key in it, until a start came through. */
Test(publication, catalogs_that_a_killed_broker_left_go_when_its_board_is_adopted) {
    begin(1);
    char shown[64], unannounced[64], next[64];
    touch_catalog(version, shown);
    touch_catalog(version + 1, unannounced); /* renamed in; the broker died before it was said */
    const char *half_built = ".catalog.00000000000000aa.new";
    close(openat(dir_fd, half_built, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    uint64_t named = version;
    publication_close(&pub);
    uint64_t found;
    cr_assert_eq(publication_open(&pub, POOL_ID, dup(dir_fd), &found), 0);
    cr_assert(exists(shown), "readers may still open it");
    cr_assert_not(exists(unannounced));
    cr_assert_not(exists(half_built));
    cr_assert_eq(publication_named_catalog(&pub).version, named);
    version++;
    publish(1);
    touch_catalog(version, next);
    announce();
    cr_assert(exists(next));
    cr_assert_eq(pub.retired_catalog, named);
    cr_assert_eq(pub.retired_size, 4096);
}

Test(publication, a_catalog_that_the_board_names_already_is_taken_over) {
    begin(2);
    publication_close(&pub);
    uint64_t found;
    cr_assert_eq(publication_open(&pub, POOL_ID, dup(dir_fd), &found), 0);
    struct kb_board *shared = pub.board.shared;
    atomic_store(&shared->slot_count, 0); /* damaged */
    version--;
    publish(2);
    announce();
    cr_assert_eq(kb_board_catalog_version(shared), version);
    cr_assert_eq(atomic_load(&shared->slot_count), 2);
    cr_assert_eq(pub.retired_catalog, 0, "readers have it open");
}

/* There may be no room for a catalog without it. */
Test(publication, a_deleted_key_is_handed_out_no_more_though_the_catalog_has_it) {
    begin(2);
    publication_forget(&pub, 0, 100);
    announce();
    expect_hint(1, NEVER);
    cr_assert_eq(word(0), 0);
    publication_forget(&pub, 1, 100);
    announce();
    expect_hint(1, NEVER);
}

Test(publication, a_retired_board_tells_its_readers_and_leaves_nothing) {
    begin(1);
    char name[64];
    touch_catalog(version, name);
    struct board other;
    uint64_t found;
    cr_assert_eq(board_open(&other, dir_fd, &found), 0, "a second mapping, as a worker has");
    publication_retire(&pub, ++generation);
    cr_assert_eq(atomic_load(&other.shared->replaced), 1);
    cr_assert_eq(atomic_load(&other.shared->generation), generation);
    cr_assert_not(exists(KB_BOARD_FILE));
    cr_assert_not(exists(name));
    board_close(&other);
    cr_assert_eq(publication_open(&pub, POOL_ID, dup(dir_fd), &found), 0);
}

Test(publication, a_closed_board_stays_for_attached_workers_and_the_next_start) {
    begin(2);
    set_status(0, KB_STATUS_DISABLED, 0);
    announce();
    publication_close(&pub);
    cr_assert(exists(KB_BOARD_FILE));
    uint64_t found = 0;
    cr_assert_eq(publication_open(&pub, POOL_ID, dup(dir_fd), &found), 0);
    cr_assert_eq(found, generation, "the new broker goes on above it");
    cr_assert_eq(kb_word_status(word(0)), KB_STATUS_DISABLED);
    publish(2);
    announce();
    expect_hint(1, NEVER);
}

Test(publication, a_wiped_directory_gets_a_board_that_says_the_same) {
    begin(3);
    set_status(0, KB_STATUS_COOLING, now.mono_ms + 5000);
    announce();
    struct board other;
    uint64_t found;
    cr_assert_eq(board_open(&other, dir_fd, &found), 0);
    remove_files();
    cr_assert_eq(publication_rebuild(&pub, dup(dir_fd), ++generation), 0);
    cr_assert_eq(atomic_load(&other.shared->replaced), 1);
    cr_assert_eq(atomic_load(&pub.board.shared->replaced), 0);
    cr_assert(exists(KB_BOARD_FILE));
    publish(3);
    announce();
    expect_hint(1, (uint64_t)now.mono_ms + 5000);
    cr_assert_eq(kb_word_id(word(2)), 102);
    board_close(&other);
}

/* ---- accounts of failovers ---- */

Test(publication, failovers_are_counted_and_operators_changes_are_not) {
    begin(3);
    cr_assert_eq(pub.failovers, 0);
    now.wall_ms += 10;
    set_status(0, KB_STATUS_COOLING, now.mono_ms + 1000);
    announce();
    cr_assert_eq(pub.failovers, 1);
    cr_assert_eq(pub.last_failover_ms, now.wall_ms);
    set_status(2, KB_STATUS_ERROR, 0);
    announce();
    cr_assert_eq(pub.failovers, 1, "the choice stayed");
    set_status(0, KB_STATUS_NORMAL, 0);
    publication_announce(&pub, ++generation, now, false);
    cr_assert_eq(pub.failovers, 1, "no report did that");
}

Test(publication, exhausted_time_is_summed) {
    begin(1);
    set_status(0, KB_STATUS_COOLING, now.mono_ms + 1000);
    announce();
    cr_assert_eq(pub.exhausted_since_mono, now.mono_ms);
    now.mono_ms += 1000;
    set_status(0, KB_STATUS_NORMAL, 0);
    announce();
    cr_assert_eq(pub.exhausted_since_mono, 0);
    cr_assert_eq(pub.exhausted_ms, 1000);
    set_status(0, KB_STATUS_ERROR, 0);
    announce();
    now.mono_ms += 500;
    set_status(0, KB_STATUS_NORMAL, 0);
    announce();
    cr_assert_eq(pub.exhausted_ms, 1500);
}
