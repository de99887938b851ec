/*
 * A whole broker in one thread for the fuzz targets: the real sessions, commands, model, pipeline,
 * committer, outlets and boards, without an event loop, a disk or a clock. rig.c stands in for
 * loop.c (what arrives is handed to the sources' callbacks), store.c (records go through the codec
 * and are dropped, events are kept), catalog.c, moment.c and the committer's thread, whose part
 * rig_commit plays. Every input begins with the same two pools, and leaves nothing behind.
 */
#ifndef TESTS_FUZZ_RIG_H
#define TESTS_FUZZ_RIG_H

#include "fuzz.h"

#include "broker/server.h"
#include "broker/session.h"

#define RIG_SECRET "sk-CANARY-0123456789abcdef"

/* Where the next group fails. */
enum rig_failure {
    RIG_SOUND,
    RIG_FAILS_TO_BEGIN,
    RIG_FAILS_TO_COMMIT,
    RIG_HAS_NO_ROOM,      /* for any catalog */
    RIG_HAS_ROOM_FOR_ONE, /* a group */
};

struct rig_peer {
    struct session *session; /* NULL once the broker has dropped it */
    int fd;                  /* the peer's end */
    char *output;            /* all that the broker sent; NUL-terminated */
    size_t length;
    bool watched;
};

struct rig {
    struct server server;
    struct moment now;
    enum rig_failure failure;
    unsigned built; /* catalogs of this group */
    /* Run while a long command lets workers' reports in. */
    void (*let_in)(void);
};

extern struct rig rig;

/* A broker with pool p (keys key1, b, c) and pool q (key1) of one vendor; b, c and q's
 * key share an account. */
void rig_begin(void);
/* Everything staged is committed, checked, and freed. */
void rig_end(void);

/* ---- rig_store.c ---- */

/* Empty: rig_end closed the one before. */
struct store *rig_store_begin(void);
/* Keys' states as committed; NULL if there is none. */
const struct key_state *rig_store_state(uint64_t key_id);
size_t rig_store_states(void);

/* ---- admin sessions ---- */

void rig_connect(struct rig_peer *peer, enum command_level level);
void rig_send(struct rig_peer *peer, const void *bytes, size_t length);
/* It sends no more, but still reads. */
void rig_half_close(struct rig_peer *peer);
/* Forget what it was sent so far. */
void rig_clear_output(struct rig_peer *peer);
void rig_hang_up(struct rig_peer *peer);

/* ---- workers ---- */

/* A connection to the pool's report socket, NULL if there is none; it is the broker's, which may
 * drop it. */
struct loop_source *rig_worker(const char *pool);
bool rig_is_connected(const struct loop_source *worker);
void rig_report(struct loop_source *worker, const void *bytes, size_t length, bool truncated);
/* A report as a worker would send it, of a key that was just handed out. */
void rig_report_outcome(const char *pool, const char *key, kb_outcome outcome);

/* ---- what the loop and the other thread do ---- */

/* Time passes, and what is due happens. */
void rig_pass(int64_t ms);
/* What was staged is committed, or fails; all that can be sent is sent. */
void rig_commit(void);
/* The callbacks that the loop owes. */
void rig_turn(void);
/* Model, committer's copy and boards say the same, as far as nothing is under way. */
void rig_check(void);

#endif
