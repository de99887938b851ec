/* What may be said how often. */
#include <criterion/criterion.h>

#include "quota.h"

Test(quota, some_in_a_row_then_one_an_interval_and_the_rest_is_counted) {
    struct quota quota = { 0 };
    uint64_t held = 99;
    for (int i = 0; i < 5; i++) {
        cr_expect(quota_take(&quota, 5, 1000, 100000, &held), "line %d", i);
        cr_expect_eq(held, 0);
    }
    for (int i = 0; i < 70; i++)
        cr_expect_not(quota_take(&quota, 5, 1000, 100999, &held));
    cr_expect(quota_take(&quota, 5, 1000, 101000, &held), "one more a second");
    cr_expect_eq(held, 70);
    cr_expect_not(quota_take(&quota, 5, 1000, 101999, &held));
    for (int i = 0; i < 5; i++) {
        cr_expect(quota_take(&quota, 5, 1000, 200000, &held), "after a quiet time as at first");
        cr_expect_eq(held, i ? 0 : 1);
    }
    cr_expect_not(quota_take(&quota, 5, 1000, 200000, &held));
}
