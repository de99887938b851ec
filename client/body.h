/*
 * Where in a body an error may stand: text only, what it means is error_object.c's. Of a failed
 * answer it is the whole body, or the first data of an event stream. An answer that worked is
 * searched, at its beginning, its end and where the last event begins, because a failure may come
 * behind HTTP 200: as the whole body, as an event of a stream, or as a line or an element of what
 * is streamed as JSON. Pure; called by response.c.
 */
#ifndef CLIENT_BODY_H
#define CLIENT_BODY_H

#include <stdbool.h>
#include <stddef.h>

enum {
    KBI_BODY_MAX = 64 * 1024,  /* bytes that are looked at of a failed answer's body */
    KBI_GOOD_LOOK = 16 * 1024, /* of one that worked: so many at the beginning and at the end */
    KBI_GOOD_WHOLE = 2 * KBI_GOOD_LOOK, /* which is all of one that is not longer */
    KBI_LOOK_BACK = 256 * 1024, /* and so far before the end the last line's beginning is sought */
};

struct kbi_piece {
    const char *at; /* begins as JSON does, after blanks */
    size_t length;
    bool is_error; /* the stream says so itself: "event: error" */
    int status;    /* what a stream's comment says (DashScope's ":HTTP_STATUS/429"); 0 = nothing */
};

/* True ends the search. */
typedef bool (*kbi_piece_fn)(const struct kbi_piece *piece, void *userdata);

/* Of a failed answer. A length of 0: there is nothing that could be JSON. */
struct kbi_piece kbi_body_first(const char *body, size_t length);

/* Of an answer that worked: hands every piece in which an error could stand to `fn`, until one was
 * it; of lines and events the last first. What says in so many words that there is none
 * ("error": null) is not handed over. */
bool kbi_body_search(const char *body, size_t length, kbi_piece_fn fn, void *userdata);

#endif
