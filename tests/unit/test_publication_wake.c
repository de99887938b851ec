/*
 * Who is woken by what a pool publishes, how many at a time, and who sleeps on.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/unit/publication_fixture.h"

TestSuite(publication_wake, .init = setup, .fini = teardown);

struct waiter {
    pthread_t thread;
    uint64_t seen; /* the generation it waits to be over */
    _Atomic pid_t tid;
    _Atomic int woken;
};

static void *wait_for_change(void *argument) {
    struct waiter *waiter = argument;
    waiter->tid = (pid_t)syscall(SYS_gettid);
    long result = syscall(SYS_futex, &pub.board.shared->generation, FUTEX_WAIT_BITSET,
                          (uint32_t)waiter->seen, NULL, NULL, UINT32_C(1) << (waiter->seen & 31));
    waiter->woken = result == 0 ? 1 : 2;
    return NULL;
}

static bool sleeps(const struct waiter *waiter) {
    char path[64], state = '?';
    if (!waiter->tid)
        return false;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", waiter->tid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = '?';
    fclose(file);
    return state == 'S';
}

static void pause_a_little(void) {
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static void start_waiter(struct waiter *waiter, uint64_t seen) {
    *waiter = (struct waiter){ .seen = seen };
    cr_assert_eq(pthread_create(&waiter->thread, NULL, wait_for_change, waiter), 0);
    while (!sleeps(waiter))
        pause_a_little();
}

Test(publication_wake, nobody_is_woken_when_nothing_was_announced, .timeout = 60) {
    cr_assert_not(publication_wake(&pub));
    begin(1);
    cr_assert_not(publication_wake(&pub), "nobody waits");
    cr_assert_not(pub.wake_due);
    struct waiter waiter;
    start_waiter(&waiter, generation);
    cr_assert_not(publication_wake(&pub));
    cr_assert_eq(waiter.woken, 0);
    announce();
    cr_assert(pub.wake_due);
    cr_assert_not(publication_wake(&pub));
    pthread_join(waiter.thread, NULL);
    cr_assert_eq(waiter.woken, 1);
}

Test(publication_wake, many_waiters_are_woken_in_pieces, .timeout = 60) {
    enum { MANY = 150 };
    static struct waiter waiters[MANY];
    begin(1);
    publication_wake(&pub);
    for (size_t i = 0; i < MANY; i++)
        start_waiter(&waiters[i], generation);
    announce();
    cr_assert(publication_wake(&pub), "64 at a time");
    cr_assert(publication_wake(&pub));
    cr_assert_not(publication_wake(&pub));
    for (size_t i = 0; i < MANY; i++)
        pthread_join(waiters[i].thread, NULL);
    for (size_t i = 0; i < MANY; i++)
        cr_assert_eq(waiters[i].woken, 1);
    cr_assert_eq(pub.woken_generation, generation);
}

Test(publication_wake, who_has_seen_the_newest_generation_sleeps_on, .timeout = 60) {
    begin(1);
    publication_wake(&pub);
    struct waiter old, up_to_date;
    start_waiter(&old, generation);
    announce();
    start_waiter(&up_to_date, generation);
    cr_assert_not(publication_wake(&pub));
    pthread_join(old.thread, NULL);
    cr_assert_eq(old.woken, 1);
    cr_assert(sleeps(&up_to_date));
    announce();
    publication_wake(&pub);
    pthread_join(up_to_date.thread, NULL);
    cr_assert_eq(up_to_date.woken, 1);
}

Test(publication_wake, who_waits_since_32_generations_is_not_taken_for_up_to_date, .timeout = 60) {
    begin(1);
    publication_wake(&pub);
    struct waiter waiter;
    start_waiter(&waiter, generation);
    for (int i = 0; i < 32; i++)
        announce(); /* the same bit again, and nobody was woken in between */
    publication_wake(&pub);
    pthread_join(waiter.thread, NULL);
    cr_assert_eq(waiter.woken, 1);
}
