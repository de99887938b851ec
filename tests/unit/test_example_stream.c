/*
 * The example worker's view of a stream: when it has begun, and what came last.
 */
#include <stdio.h>

#include <criterion/criterion.h>

#include "client/examples/stream.c" // NOLINT(bugprone-suspicious-include): it is in no library

static struct stream stream;

static bool begins_after(const char *text) {
    stream_begin(&stream);
    for (; *text; text++) /* in the smallest pieces */
        stream_take(&stream, text, 1);
    return stream.began;
}

Test(example_stream, it_begins_with_the_first_event_that_is_more_than_an_announcement) {
    cr_expect(begins_after("data: {}\n"));
    cr_expect(begins_after(": comment\n\nevent: error\ndata: {}\n"));
    cr_expect(begins_after("event: response.created\r\ndata: {}\r\n\r\nevent: response.failed\r\n"
                           "data: {}\r\n"));
    cr_expect(begins_after("event: message_start\ndata: {}\n\nevent: ping\ndata: {}\n\n"
                           "event: content_block_start\ndata: {}\n"));
    cr_expect(begins_after("event: ping\ndata: {}\n\ndata: {}\n"), "an empty line ends an event");
    cr_expect_not(begins_after("event: response.created\ndata: {}\n\nevent: response.in_progress\n"
                               "data: {}\n\n: comment\n\n"));
    cr_expect_not(begins_after("data: {}"), "the line has not ended");
    cr_expect_not(begins_after("hello\n{}\n"));
}

Test(example_stream, its_end_begins_with_a_line) {
    static char line[100];
    size_t length, taken = 0;
    stream_begin(&stream);
    stream_take(&stream, "data: {}\n\n", 10);
    cr_assert_eq(stream_end(&stream, &length), stream.end);
    cr_assert_eq(length, 10, "all of a short one");
    while (taken < (size_t)5 * STREAM_KEPT) {
        int size = snprintf(line, sizeof line, "data: {\"serial\":%zu}\n", taken);
        stream_take(&stream, line, (size_t)size);
        taken += (size_t)size;
        const char *end = stream_end(&stream, &length);
        cr_assert_eq(memcmp(end, "data: ", 6), 0);
        cr_assert_geq(length, taken < STREAM_KEPT / 2 ? taken : STREAM_KEPT / 2 - sizeof line);
        cr_assert_eq(memcmp(end + length - size, line, (size_t)size), 0);
    }
}

/* OpenAI's response.failed repeats the request, as response.created did. */
Test(example_stream, its_end_holds_a_last_event_that_repeats_a_long_request) {
    static char text[20480 + 1];
    size_t length;
    stream_begin(&stream);
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 8; i++) {
        const char *begin = i < 7
                                ? "event: response.in_progress\ndata: {\"x\":\""
                                : "event: response.failed\ndata: {\"error\":{\"code\":1},\"x\":\"";
        stream_take(&stream, begin, strlen(begin));
        stream_take(&stream, text, sizeof text - 1);
        cr_assert_not(stream.began);
        stream_take(&stream, "\"}\n\n", 4);
    }
    cr_assert(stream.began && stream.cut);
    const char *end = stream_end(&stream, &length);
    cr_assert_not_null(memmem(end, length, "event: response.failed\ndata: {\"error\"", 37));
    cr_assert(*end == 'e' || *end == 'd' || *end == '\n');
}
