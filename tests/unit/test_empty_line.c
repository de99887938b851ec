/*
 * Where a payload that ends with an empty line ends: found however its bytes come, each looked at
 * once.
 */
#include "broker/empty_line.h"

#include <string.h>

#include <criterion/criterion.h>

static const struct {
    const char *data;
    size_t length, end; /* end 0 = not there yet */
} PAYLOADS[] = {
    { "", 0, 0 },
    { "\n", 0, 1 },
    { "\r\n", 0, 2 },
    { "\r", 0, 0 },
    { "\rx\n\n", 3, 4 },
    { "\r\r\n\n", 3, 4 },
    { "a\n\nb\n\n", 2, 3 },
    { "a\r\n\r\nb", 3, 5 },
    { "a\nb\nc", 0, 0 },
    { "{\n \"x\": 1\n}\n\nshow info\n", 12, 13 },
    { "one long line", 0, 0 },
};
enum { COUNT = sizeof PAYLOADS / sizeof *PAYLOADS };

Test(empty_line, is_found_whether_the_bytes_come_at_once_or_one_by_one) {
    for (size_t i = 0; i < COUNT; i++) {
        const char *data = PAYLOADS[i].data;
        size_t have = strlen(data), length = 99, end = 99;
        struct empty_line whole = { 0 }, pieces = { 0 };
        bool found = empty_line_find(&whole, data, have, &length, &end);
        cr_assert_eq(found, PAYLOADS[i].end > 0, "\"%s\"", data);
        if (found)
            cr_assert(length == PAYLOADS[i].length && end == PAYLOADS[i].end, "\"%s\"", data);
        for (size_t come = 1; come <= have; come++) {
            found = empty_line_find(&pieces, data, come, &length, &end);
            cr_assert_eq(found, come == PAYLOADS[i].end, "\"%s\" at %zu", data, come);
            if (!found)
                cr_assert_eq(pieces.scanned, come, "what was looked at is looked at again");
            if (found)
                break;
        }
    }
}

Test(empty_line, is_found_in_what_is_dropped_as_it_comes) {
    for (size_t i = 0; i < COUNT; i++) {
        const char *data = PAYLOADS[i].data;
        size_t have = strlen(data), dropped = 0, length, end;
        struct empty_line line = { 0 };
        for (size_t come = 1; come <= have; come++) {
            bool found = empty_line_find(&line, data + dropped, come - dropped, &length, &end);
            cr_assert_eq(found, come == PAYLOADS[i].end, "\"%s\" at %zu", data, come);
            if (found) {
                cr_assert_eq(dropped + end, PAYLOADS[i].end);
                break;
            }
            dropped += empty_line_drop(&line, data + dropped);
            cr_assert_leq(come - dropped, 1, "no more is kept than a byte that may matter");
        }
    }
}

Test(empty_line, of_many_megabytes_is_searched_once) {
    enum { SIZE = 1 << 20, PIECE = 4096 };
    static char data[SIZE];
    struct empty_line line = { 0 };
    size_t length, end;
    memset(data, 'x', SIZE);
    for (size_t have = PIECE; have <= SIZE; have += PIECE) {
        /* What was searched before is changed behind its back: it is not looked at again. */
        memset(data, '\n', have - PIECE);
        cr_assert_not(empty_line_find(&line, data, have, &length, &end));
    }
}
