/*
 * The report message: what a worker tells the broker over report.sock (SOCK_SEQPACKET, one message
 * = one packet, no answer; the answer is what happens on the board). client/report.c sends,
 * broker/outlet.c receives and trusts nothing in it.
 */
#ifndef KEYBROKER_SHARED_REPORT_H
#define KEYBROKER_SHARED_REPORT_H

#include <stdint.h>

enum kb_report_type {
    KB_REPORT_OUTCOME = 1,
    KB_REPORT_SUBSCRIPTION = 2, /* reserved */
    KB_REPORT_USAGE = 3,        /* reserved */
};

enum kb_report_scope {
    KB_SCOPE_DEFAULT = 0, /* the vendor's usual scope for the outcome */
    KB_SCOPE_REQUEST = 1,
    KB_SCOPE_KEY = 2,
    KB_SCOPE_ACCOUNT = 3,
    KB_SCOPE_ENDPOINT = 4,
};

#define KB_REPORT_COUNT_MAX 1000000u

struct kb_report_message {
    uint32_t size;  /* of the message; must equal the packet's length and sizeof this struct */
    uint16_t type;  /* enum kb_report_type */
    uint16_t scope; /* enum kb_report_scope */
    uint64_t key_id;
    uint64_t generation;  /* the ticket's */
    uint64_t hint_ms;     /* UINT64_MAX = none */
    uint32_t outcome;     /* a kb_outcome */
    uint32_t http_status; /* 0 = none */
    uint32_t count;       /* reports that were coalesced into this one, 1 … KB_REPORT_COUNT_MAX */
    uint32_t reserved;
    uint64_t tokens_in; /* reserved for usage */
    uint64_t tokens_out;
    char vendor_code[64]; /* NUL-padded; "" = none */
    char model[64];       /* NUL-padded; "" = none */
};

_Static_assert(sizeof(struct kb_report_message) == 192, "layout");

#endif
