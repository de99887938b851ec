/*
 * A refusal: why a command was not carried out, in the words of the admin protocol. Functions that
 * may refuse return 0 or the refusal's code; negative values are fatal errors and never refusals.
 */
#ifndef BROKER_REFUSAL_H
#define BROKER_REFUSAL_H

enum {
    REFUSED_SYNTAX = 400,    /* not a command, or an argument out of range */
    REFUSED_FORBIDDEN = 403, /* the peer may not */
    REFUSED_NOT_FOUND = 404, /* no such pool, key, vendor */
    REFUSED_RULE = 409,      /* a rule of the pool or an outdated revision forbids it */
    REFUSED_TOO_LARGE = 413,
    REFUSED_UNAVAILABLE = 503, /* cannot do it now: disk full and the like */
};

struct refusal {
    int code;
    char reason[32];   /* for programs, stable: "no-such-key" */
    char field[32];    /* the argument at fault, or "" */
    char message[256]; /* for people; never holds a secret */
};

/* Fill *refusal (NULL allowed) and return `code`. */
int refuse(struct refusal *refusal, int code, const char *reason, const char *field,
           const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
