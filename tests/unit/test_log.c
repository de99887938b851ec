/* The bound on log lines that others can cause. */
#include <criterion/criterion.h>

#include "log.h"

Test(log, a_quota_lets_some_lines_through_and_counts_the_rest) {
    struct log_quota quota = { 0 };
    uint64_t held = 99;
    for (int i = 0; i < 5; i++) {
        cr_expect(log_may(&quota, 5, 1000, 100000, &held), "line %d", i);
        cr_expect_eq(held, 0);
    }
    for (int i = 0; i < 70; i++)
        cr_expect_not(log_may(&quota, 5, 1000, 100999, &held));
    cr_expect(log_may(&quota, 5, 1000, 101000, &held), "one more a second");
    cr_expect_eq(held, 70);
    cr_expect_not(log_may(&quota, 5, 1000, 101999, &held));
    for (int i = 0; i < 5; i++) {
        cr_expect(log_may(&quota, 5, 1000, 200000, &held), "after a quiet time as at first");
        cr_expect_eq(held, i ? 0 : 1);
    }
    cr_expect_not(log_may(&quota, 5, 1000, 200000, &held));
}
