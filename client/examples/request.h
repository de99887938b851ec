/*
 * One user request over all its tries: the key for the next one, what is sent with it, what came
 * back, and what the library says to do. It owns a libcurl easy handle; worker.c says when to try
 * and puts the handle to work.
 */
#ifndef EXAMPLES_REQUEST_H
#define EXAMPLES_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <curl/curl.h>
#include <keybroker.h>

#include "stream.h"

enum { BODY_MAX = 16 * 1024, HEADERS_MAX = 8 * 1024, QUESTION_MAX = 1024 };

/* What all of a worker's requests have in common. */
struct call {
    kb_reader *reader;
    const char *model; /* NULL = the vendor's small one */
    bool stream;
    bool feed; /* tell whoever watches (feed.h) */
};

struct request {
    const struct call *call;
    CURL *easy;
    kb_attempt attempt; /* which keys were tried */
    kb_ticket ticket;   /* of this try's key: all that a report needs */
    bool unsent;        /* the key failed elsewhere before anything was sent: just try again */
    bool reported;      /* this try's answer, and then: */
    kb_verdict verdict; /* what to do */
    uint64_t wait_ms;   /* how long the vendor asks to wait; KB_NO_HINT = it does not */
    bool streaming;     /* a good stream began: no other key may take over */
    bool broke;         /* … and its end was a failure */
    struct stream stream;
    struct curl_slist *list; /* of headers to send */
    char key_name[65];       /* for the feed only */
    size_t body_length, headers_length;
    char question[QUESTION_MAX];
    char body[BODY_MAX]; /* of the answer, as far as we keep it; an error fits easily */
    char headers[HEADERS_MAX];
};

int request_init(struct request *request, const struct call *call); /* 0 or KB_ENOMEM */
void request_deinit(struct request *request);

/* Another user's request: every key may be tried. */
void request_renew(struct request *request);

/* Make `easy` ready for the next try. 0, or an error as kb_last_error's. `again`: keys that were
 * tried before a pause may be tried once more when there are no others. */
int request_prepare(struct request *request, bool again);

/* The transfer has ended, and was not `unsent`: report it. The verdict says what to do with the
 * request, unless request_broke: then the user has half an answer, and it is over. */
kb_verdict request_finish(struct request *request, CURLcode result);
bool request_broke(const struct request *request);

#endif
