/*
 * The oracle of the kill test: what one pool must look like after the commands of its only admin
 * client. The client sends commands ahead; each is invented here, valid on top of those before it,
 * and the pool that it leads to is remembered. After a crash the broker's pool must equal one of
 * the remembered ones, from the last acknowledged to the last sent. Knows nothing of sockets.
 */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "seed.h"

enum {
    ORACLE_KEYS = 10,
    ORACLE_AHEAD = 24, /* commands in flight */
    ORACLE_COMMAND = 1024,
};

struct oracle_key {
    char name[24];
    char api_key[48]; /* begins with "sk-NAME-" */
    char note[24];
    unsigned weight;
    bool disabled;
};

struct oracle_pool {
    unsigned count;
    struct oracle_key keys[ORACLE_KEYS]; /* in order; one is the default key */
};

struct oracle {
    char name[24];
    bool reported; /* workers report its keys: of a status only `disabled` is certain */
    struct seed seed;
    unsigned serial; /* makes names and keys that were never used before */
    unsigned sent;   /* commands in flight; pools[0] is acknowledged, pools[sent] the newest */
    struct oracle_pool pools[ORACLE_AHEAD + 1];
};

/* The pool as `add pool NAME` with oracle_first_key makes it. */
void oracle_init(struct oracle *oracle, const char *name, bool reported, struct seed seed);
const char *oracle_first_key(const struct oracle *oracle);

/* Invent the next command as it goes to the socket; false = as many are in flight as may be. */
bool oracle_invent(struct oracle *oracle, char ret_command[ORACLE_COMMAND]);

/* The oldest command in flight was answered OK. */
void oracle_acknowledge(struct oracle *oracle);

/*
 * Compare with what the broker says: `json export NAME secrets=yes` and `json show keys NAME`. True
 * if the pool is one of those possible, which is then the acknowledged one; else *ret_difference
 * (the caller's) says how it differs from the last acknowledged one.
 */
bool oracle_settle(struct oracle *oracle, const json_t *exported, const json_t *shown,
                   char **ret_difference);

#endif
