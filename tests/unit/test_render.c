/*
 * Replies as text, and long ones in pieces.
 */
#include "broker/render.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "broker/listing.h"

static struct buffer out;

static void teardown(void) {
    buffer_deinit(&out);
}

TestSuite(render, .fini = teardown);
TestSuite(listing, .fini = teardown);

static const char *text(void) {
    buffer_append(&out, "", 1);
    out.end--;
    return buffer_bytes(&out);
}

static json_t *read(const char *json) {
    json_t *object = json_loads(json, JSON_DECODE_ANY, NULL);
    cr_assert_not_null(object, "%s", json);
    return object;
}

/* JSON here is written with ' for ". */
static const char *rendered(const char *json, void (*render)(const json_t *, struct buffer *)) {
    char copy[1024];
    strcpy(copy, json);
    for (char *at = copy; *at; at++)
        if (*at == '\'')
            *at = '"';
    buffer_deinit(&out);
    json_t *object = read(copy);
    render(object, &out);
    json_decref(object);
    return text();
}

#define EXPECT_TEXT(json, expected) cr_assert_str_eq(rendered(json, render_text), expected)
#define EXPECT_ROW(json, expected) cr_assert_str_eq(rendered(json, render_row), expected)

Test(render, a_message_stands_alone) {
    EXPECT_TEXT("{'message':'key prod added','revision':7}", "key prod added\n");
}

Test(render, a_message_is_followed_by_its_changes) {
    EXPECT_TEXT("{'message':'2 changes','changes':['+ a','- b']}", "2 changes\n+ a\n- b\n");
}

Test(render, an_object_has_a_line_per_field_in_its_order) {
    EXPECT_TEXT("{'pool':'main','usable':3,'guard':false,'group':null}",
                "pool: main\nusable: 3\nguard: false\ngroup: -\n");
}

Test(render, objects_in_an_array_are_rows) {
    EXPECT_TEXT("{'total':2,'keys':[{'id':1,'name':'a'},{'id':2,'name':'b'}]}",
                "total: 2\nid=1  name=a\nid=2  name=b\n");
    EXPECT_TEXT("{'keys':[],'tags':['x']}", "keys: []\ntags: [\"x\"]\n");
}

Test(render, values_are_quoted_where_they_need_to_be) {
    EXPECT_ROW("{'a':'plain','b':'two words','c':'','d':'x=y'}",
               "a=plain  b=\"two words\"  c=\"\"  d=\"x=y\"\n");
    EXPECT_ROW("{'a':'say \\\"hi\\\"','b':'back\\\\slash'}",
               "a=\"say \\\"hi\\\"\"  b=\"back\\\\slash\"\n");
    EXPECT_ROW("{'a':{'x':[1,2]},'b':null,'c':1.5,'d':true}",
               "a={\"x\":[1,2]}  b=-  c=1.5  d=true\n");
}

Test(render, an_object_without_fields_is_a_row_all_the_same) {
    EXPECT_ROW("{}", "-\n");
}

Test(render, no_value_ends_its_line) {
    EXPECT_ROW("{'a':'x\\n\\ny','b':'x\\r\\ny'}", "a=\"x  y\"  b=\"x  y\"\n");
    EXPECT_TEXT("{'a':'x\\n\\nOK'}", "a: \"x  OK\"\n");
}

Test(render, no_line_of_a_reply_is_empty) {
    const char *const OBJECTS[] = {
        "{'a':'\\n'}",      "{'a':'','b':[{}],'c':{}}", "{'message':'m','changes':[]}",
        "{'a':[{'b':''}]}", "{'a':'\\n\\n','b':[[]]}",
    };
    for (size_t i = 0; i < sizeof OBJECTS / sizeof *OBJECTS; i++) {
        const char *reply = rendered(OBJECTS[i], render_text);
        cr_assert_null(strstr(reply, "\n\n"), "%s", OBJECTS[i]);
        cr_assert_neq(reply[0], '\n');
        cr_assert_eq(reply[strlen(reply) - 1], '\n');
    }
}

/* ---- listings ---- */

static uint64_t gone_below; /* rows whose id is smaller have gone */

static json_t *row(const struct server *server, uint64_t id) {
    (void)server;
    return id < gone_below ? NULL : json_pack("{s:I}", "id", (json_int_t)id);
}

static struct listing *listing_of(uint64_t count) {
    struct listing *listing = listing_of_ids("keys", row);
    json_object_set_new(listing->head, "total", json_integer((json_int_t)count));
    for (uint64_t id = 1; id <= count; id++)
        listing_add(listing, id);
    return listing;
}

/* Write to the end; returns the number of steps, each of at most one row. */
static unsigned write_all(struct listing *listing, bool json) {
    unsigned steps = 0;
    for (enum listing_step step = LISTING_WORKED; step != LISTING_END;) {
        json_t *next = NULL;
        step = listing->step(listing, NULL, &next);
        cr_assert_eq(next != NULL, step == LISTING_ROW);
        if (step != LISTING_WORKED)
            listing_write(listing, next, json, &out);
        steps++;
    }
    return steps;
}

static void expect_rows(uint64_t first, uint64_t count) {
    json_t *whole = read(text());
    cr_assert(json_is_object(whole));
    json_t *rows = json_object_get(whole, "keys");
    cr_assert_eq(json_array_size(rows), count);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq((uint64_t)json_integer_value(json_object_get(json_array_get(rows, i), "id")),
                     first + i);
    json_decref(whole);
}

Test(listing, is_one_json_object_however_many_rows_it_has) {
    const uint64_t COUNTS[] = { 0, 1, 2, 63, 64, 65, 128, 129, 1000 };
    for (size_t i = 0; i < sizeof COUNTS / sizeof *COUNTS; i++) {
        struct listing *listing = listing_of(COUNTS[i]);
        cr_assert_eq(write_all(listing, true), COUNTS[i] + 1);
        cr_assert_null(strchr(text(), '\n')[1] ? text() : NULL, "it stands on one line");
        expect_rows(1, COUNTS[i]);
        listing = listing_free(listing);
        cr_assert_null(listing);
        buffer_deinit(&out);
    }
}

Test(listing, rows_that_have_gone_leave_no_gap) {
    const uint64_t GONE[] = { 2, 64, 65, 66, 150, 200, 201 };
    for (size_t i = 0; i < sizeof GONE / sizeof *GONE; i++) {
        struct listing *listing = listing_of(200);
        gone_below = GONE[i];
        write_all(listing, true);
        expect_rows(GONE[i], 201 - GONE[i]);
        listing_free(listing);
        buffer_deinit(&out);
    }
}

Test(listing, needs_no_fields_around_the_rows) {
    struct listing *listing = listing_of_ids("keys", row);
    listing_add(listing, 5);
    write_all(listing, true);
    cr_assert_str_eq(text(), "{\"keys\":[{\"id\":5}]}\n");
    listing_free(listing);
}

Test(listing, as_text_has_its_head_once_and_a_line_per_row) {
    struct listing *listing = listing_of(130);
    cr_assert_eq(write_all(listing, false), 131);
    cr_assert_eq(strncmp(text(), "total: 130\nid=1\nid=2\n", 21), 0);
    size_t lines = 0;
    for (const char *at = text(); *at; at++)
        lines += *at == '\n';
    cr_assert_eq(lines, 131);
    cr_assert_null(strstr(text(), "\n\n"));
    listing_free(listing);
}

Test(listing, that_was_never_written_can_be_freed) {
    listing_free(listing_of(10));
    cr_assert_null(listing_free(NULL));
}
