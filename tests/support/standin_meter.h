/*
 * What the stand-in vendor knows about each API key, and how it judges a request. Locks itself;
 * called by libmicrohttpd's threads (vendor_standin_main.c). All times are CLOCK_MONOTONIC.
 */
#ifndef TESTS_STANDIN_METER_H
#define TESTS_STANDIN_METER_H

#include "standin_answer.h"

struct standin_judgement {
    enum standin_class what;
    struct standin_facts facts; /* its key is the caller's own */
    uint64_t due_ns;            /* answer then */
};

uint64_t standin_now_ns(void);

/* When a request began, as its client says (0 = it does not), reached this host, and was looked at.
 */
struct standin_times {
    uint64_t begun_ns, reached_ns, arrived_ns;
};

struct standin_judgement standin_judge(const char *key, struct standin_times times);

/* A control request; `argument` gives its arguments by name, NULL = not there. HTTP's status, and
 * what to answer: the caller frees it, NULL = nothing to say. */
unsigned standin_control(const char *what, const char *(*argument)(void *userdata, const char *),
                         void *userdata, char **ret_text);

void standin_set_latency_ms(uint64_t minimum, uint64_t maximum);
void standin_meter_deinit(void);

#endif
