/*
 * The pool model: every pool and key as the broker has judged them so far, and the rules by which
 * they change. Pure: time and input come as arguments, what changed goes out as a changeset; no
 * I/O, no clock.
 *
 * It is *staged*: a command's effect is here at once, in the store and on the boards after its
 * commit; if that fails, model_undo takes it back. A report's effect is on the board at once.
 *
 *   model.c         what there is: lookup, loading, publishing
 *   model_undo.c    taking back what was staged
 *   model_order.c   the order of a pool's keys
 *   model_twins.c   which keys of a pool have the same secret
 *   pool_rules.c    add, set and delete pools
 *   key_rules.c     add, set, delete, move and order keys
 *   status_rules.c  how a key's status changes: reports, recoveries, enable and disable
 *   model_groups.c  what keys have in common: accounts, endpoints
 *   flap_rules.c    which changes of status are told one by one
 *   trouble_rules.c endpoints that fail
 *   guard_rules.c   the mass-failure guard: when it may not be the keys
 *
 * The structs are readable by everybody in the broker, written by these files only.
 */
#ifndef BROKER_MODEL_H
#define BROKER_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "change.h"
#include "heap.h"
#include "map.h"
#include "moment.h"
#include "quota.h"
#include "pause.h"
#include "record.h"
#include "recovery.h"
#include "refusal.h"
#include "trouble.h"
#include "vendor.h"

struct model_pool;

/* A report that changed none of an account's keys. */
struct idle_report {
    uint32_t changes; /* of the account, then */
    uint32_t outcome; /* 0 = there was none */
    uint64_t generation;
    int64_t until_mono; /* a rate limit's hint; 0 = none */
};

/* The keys of one account in one pool; of a key without a label, that key alone. */
struct model_account {
    struct model_pool *pool;
    struct model_key *first;    /* its keys, by account_next */
    struct model_account *next; /* the same account in another pool */
    uint32_t normal;            /* keys that are normal and not known to have expired */
    uint32_t changes;           /* of its keys, so far */
    int64_t failed_mono;        /* when the guard counted it last; TROUBLE_NEVER */
    struct idle_report idle;    /* the last one */
};

/* The keys of a pool that have one base URL. */
struct model_endpoint {
    uint64_t hash; /* of the URL */
    uint32_t keys;
    uint32_t normal;     /* as an account's */
    uint32_t held;       /* by the guard */
    int64_t worked_mono; /* when one of them answered well while the guard held; TROUBLE_NEVER */
};

struct model_key {
    struct key_record *record;
    struct model_pool *pool;
    struct key_state state;
    uint64_t rank;
    uint32_t position; /* index in pool->order */
    /* Commands staged but not yet published that bear on what reports may do to this key. Until
     * they are published no worker can know of them, so every report is stale. */
    uint32_t pending;
    bool expiry_seen; /* its expiry was announced */
    bool dirty;       /* state is ahead of the store; linked in model->dirty */
    struct model_key *dirty_next, **dirty_link;
    struct model_account *account, own_account; /* the latter where it has no label */
    struct model_key *account_next, **account_link;
    struct model_endpoint *endpoint;
    int64_t touched_mono;        /* when its status word was last moved for a declined report */
    int64_t permission_mono;     /* when a PERMISSION report last made an event */
    uint32_t permissions_held;   /* such reports since */
    struct quota told;           /* its changes of status that are events of their own */
    uint32_t held_from, held_to; /* the last one that was only counted */
    int64_t warned_wall;         /* that it expires soon; 0 = not yet */
    /* The guard's: when the key failed last in a way that it watches and, while it held, answered
     * well; a failure that it holds back (link NULL = none), who reported it, of which ticket. */
    int64_t failed_mono, worked_mono;
    struct model_key *held_next, **held_link;
    struct actor held_by;
    uint64_t held_generation;
    uint64_t digest;                             /* of its secret; 0 = it has none */
    struct model_key *twin_next, *twin_previous; /* keys of the pool with the same secret */
};

struct model_pool {
    struct pool_record *record;
    const struct vendor *vendor;
    struct recovery exceeded_recovery, error_recovery;
    struct model_key **order; /* first = used first */
    uint32_t count;
    uint32_t capacity;
    bool loose;         /* many keys come or go: the order is put right in the end */
    struct map names;   /* map_hash(name) → model_key */
    struct map secrets; /* digest → first model_key that has it */
    uint64_t *slots;    /* bitmap of those in use */
    uint32_t slot_words;
    uint64_t keys_named;              /* highest N given as key<N> */
    uint32_t counts[KB_STATUS_COUNT]; /* keys by status; expired as far as that was noticed */
    struct heap expiries;             /* by wall time, for model_next_expiry */
    struct map endpoints;             /* hash of the URL → model_endpoint */
    uint32_t accounts_normal;         /* accounts that have a normal key here */
    unsigned guard_share;             /* percent; 0 = the guard is off */
    struct trouble trouble;
};

/* What the rules need to know of a report beside itself. */
struct reporting {
    uint64_t number; /* reports so far */
    const struct model_pool *pool;
    uint64_t ticket;     /* its generation */
    uint64_t generation; /* the pool's */
    bool account;        /* it reaches all keys of the account */
};

struct model {
    struct map pools;       /* id → model_pool */
    struct map pool_names;  /* map_hash(name) → model_pool */
    struct map keys;        /* id → model_key */
    struct map accounts;    /* hash of vendor and label → first model_account */
    struct heap recoveries; /* by monotonic time */
    struct heap expiries;   /* by wall time */
    struct heap flaps;      /* by monotonic time: counted changes that are to be told */
    struct model_key *dirty;
    uint32_t guards;            /* pools whose guard holds */
    struct reporting reporting; /* the report that is being judged */
    uint64_t next_id;
    unsigned char digest_key[16]; /* drawn anew for every model */
    /* Taken every few keys by what goes over many: between two, reports may be let in and nothing
     * else. */
    struct pause pause;
};

/* Who asks, and when. */
struct cause {
    struct moment now;
    struct actor actor;
};

struct model *model_new(void);
struct model *model_free(struct model *model); /* returns NULL */

/* Loading at start: pools before their keys; then model_loaded once. When the machine was rebooted
 * in between, deadlines are taken from the calendar. Takes over the record's reference. */
void model_load_pool(struct model *model, struct pool_record *record);
void model_load_key(struct model *model, struct key_record *record, uint64_t rank,
                    const struct key_state *state);
/* `generation`: the first of this start; keys whose valid_since was never published get it. */
void model_loaded(struct model *model, uint64_t next_id, bool same_boot, uint64_t generation,
                  struct moment now);

struct model_pool *model_find_pool(const struct model *model, const char *name);
struct model_pool *model_pool_by_id(const struct model *model, uint64_t id);
struct model_key *model_key_by_id(const struct model *model, uint64_t id);
/* `name`, or "#id". */
struct model_key *model_find_key(const struct model *model, const struct model_pool *pool,
                                 const char *name);
uint32_t model_slot_count(const struct model_pool *pool); /* highest slot in use + 1 */
/* When the next of the pool's keys expires; 0 = never. */
int64_t model_next_expiry(const struct model *model, struct model_pool *pool, int64_t wall_ms);

/* The status that counts: expired overrides the stored one. */
kb_status model_status(const struct model_key *key, int64_t wall_ms);
const char *model_status_name(unsigned status);   /* "normal" … */
const char *model_outcome_name(unsigned outcome); /* "rate" …; "" for 0 */
const char *model_strategy_name(uint32_t strategy);
uint32_t model_strategy_parse(const char *text); /* 0 = none of them */
/* `text` is one of the status words; else 0. */
unsigned model_status_parse(const char *text);
/* The key's account in all pools: this one, then by `next`. */
struct model_account *model_account_first(const struct model *model, const struct model_key *key);
/* A key of the pool that has this secret; another one that has the same as `key`. NULL = none. */
struct model_key *model_find_secret(const struct model *model, const struct model_pool *pool,
                                    const char *api_key);
struct model_key *model_twin(const struct model_key *key);
bool model_is_default(const struct model_key *key);

/* Take a changeset back, newest change first; changesets are undone in reverse order of their
 * making; those of one pool without those of others, which change nothing of it. */
void model_undo(struct model *model, const struct changeset *set);
/* After the last undo, when nothing is staged any more, or nothing of the pool. */
void model_settle(struct model *model, uint64_t generation);
void model_settle_pool(struct model *model, struct model_pool *pool, uint64_t generation);
/* A command's changeset is visible to the workers as of `generation`. */
void model_published(struct model *model, const struct changeset *set, uint64_t generation);
/* A report's or recovery's changeset is visible as of `generation`: nothing was pending. */
void model_announced(struct model *model, const struct changeset *set, uint64_t generation);

/* Keys whose state is ahead of the store: append their states to `set` and forget that they were.
 */
void model_mark_dirty(struct model *model, struct model_key *key);
void model_collect_dirty(struct model *model, struct changeset *set);

/* ---- pool_rules.c: 0, or a refusal's code and nothing changed ---- */

struct key_spec {
    const char *name;    /* NULL = not given; add then takes key<N> */
    const char *account; /* NULL = not given */
    const char *note;    /* NULL = not given */
    bool has_expires;
    int64_t expires_at_ms;    /* 0 = never */
    bool past_expiry_is_fine; /* what is restored may have expired */
    uint32_t weight;          /* 0 = not given */
    json_t *config;           /* borrowed, may be rewritten; NULL = not given */
    bool replace_config;      /* else merge */
    bool twin_is_fine;        /* another key of the pool may have the same secret */
    const struct map *taken;  /* map_hash(name) of names that a key<N> may not have; NULL = none */
};

struct pool_spec {
    const char *name;
    const char *vendor;
    const char *group; /* NULL = not given, here and below */
    uint32_t strategy; /* 0 = not given */
    const char *exceeded_recovery;
    const char *error_recovery;
    const char *base_url;
    const char *rules; /* all of them anew, joined by \n; "" = only the vendor's */
    const char *rule;  /* one before the others */
    const char *guard; /* on, off, or a percentage */
};

int model_add_pool(struct model *model, const struct cause *cause, const struct pool_spec *pool,
                   const struct key_spec *default_key, struct changeset *set,
                   struct refusal *refusal);
int model_set_pool(struct model *model, const struct cause *cause, struct model_pool *pool,
                   const struct pool_spec *spec, struct changeset *set, struct refusal *refusal);
int model_delete_pool(struct model *model, const struct cause *cause, struct model_pool *pool,
                      struct changeset *set, struct refusal *refusal);

/* ---- key_rules.c ---- */

int model_add_key(struct model *model, const struct cause *cause, struct model_pool *pool,
                  const struct key_spec *spec, struct changeset *set, struct refusal *refusal);
int model_set_key(struct model *model, const struct cause *cause, struct model_key *key,
                  const struct key_spec *spec, struct changeset *set, struct refusal *refusal);
int model_delete_key(struct model *model, const struct cause *cause, struct model_key *key,
                     struct changeset *set, struct refusal *refusal);
/* `index` counts from 0 in the order without the key; beyond the end = last. */
int model_move_key(struct model *model, const struct cause *cause, struct model_key *key,
                   uint32_t index, struct changeset *set, struct refusal *refusal);
/* `order` names every key of the pool exactly once. */
int model_order_keys(struct model *model, const struct cause *cause, struct model_pool *pool,
                     struct model_key *const *order, uint32_t count, struct changeset *set,
                     struct refusal *refusal);

/* ---- status_rules.c ---- */

int model_enable_key(struct model *model, const struct cause *cause, struct model_key *key,
                     struct changeset *set, struct refusal *refusal);
int model_disable_key(struct model *model, const struct cause *cause, struct model_key *key,
                      struct changeset *set, struct refusal *refusal);

struct report {
    uint64_t key_id;
    uint64_t generation;
    uint64_t hint_ms; /* KB_NO_HINT = none */
    uint32_t outcome;
    uint32_t scope; /* enum kb_report_scope */
    uint32_t http_status;
    uint32_t count;
    const char *vendor_code; /* "" = none */
};

enum report_fate {
    FATE_APPLIED,   /* at least one status changed */
    FATE_EXTENDED,  /* only a deadline or a back-off level did: no new generation is needed */
    FATE_UNCHANGED, /* nothing worse than what is known */
    FATE_STALE,     /* older than what the operator or the clock did since */
    FATE_GUARDED,   /* the mass-failure guard holds: it is not the key */
    FATE_NOTED,     /* of a kind that never changes a status */
    FATE_UNKNOWN,   /* no such key in this pool */
    FATE_FORGED,    /* a generation that was never announced, an unknown outcome */
    FATE_COUNT
};
const char *model_fate_name(enum report_fate fate);

/* `current_generation`: the pool's, on its board. `set` is live. */
enum report_fate model_report(struct model *model, const struct cause *cause,
                              struct model_pool *pool, const struct report *report,
                              uint64_t current_generation, struct changeset *set);

/* The event that a CHANGE_HAPPENED stands for; `cause` as it was then. */
struct event model_happened_event(const struct cause *cause, const struct change *change);

/* ---- flap_rules.c ---- */

/* A key's status has changed by a report or the clock. 0: the change is counted, its key goes to
 * and fro; else the event that tells it stands for so many changes. */
uint32_t model_tell_change(struct model *model, struct model_key *key, uint32_t from, uint32_t to,
                           struct moment now);
/* An event for the next key whose counted changes have waited long enough. False: there is none. */
bool model_counted_changes(struct model *model, struct moment now, struct event *ret_event);

/* ---- the clock (status_rules.c) ---- */

/* Let what is due happen: recoveries, expiries. At most `limit` keys a call; true if more are due.
 * `set` is live. */
bool model_tick(struct model *model, struct moment now, unsigned limit, struct changeset *set);
/* When model_tick has work next, in monotonic ms as of `now`; INT64_MAX = never. */
int64_t model_next_tick(const struct model *model, struct moment now);

/* ---- guard_rules.c ---- */

/* True if the guard holds the report that is being judged back from this normal key. */
bool model_guard_holds(struct model *model, const struct cause *cause, struct model_key *key,
                       kb_outcome outcome, struct changeset *set);
/* The key answered well. True if that proves what was held of others, and changed them. */
bool model_guard_answered(struct model *model, const struct cause *cause, struct model_key *key,
                          const struct report *report, struct changeset *set);
/* Forget what was held of this key, if anything was. */
void model_guard_forget(struct model_key *key);
/* End it, if it is on. */
void model_guard_release(struct model *model, const struct cause *cause, struct model_pool *pool,
                         const char *reason, struct changeset *set);
bool model_guard_is_on(const struct model_pool *pool);
/* Until when it holds, in monotonic ms; 0 = it watches, or is off (pool->guard_share is 0). */
int64_t model_guard_until(const struct model_pool *pool);
/* How many keys would be in error but for it. */
uint32_t model_guard_held(const struct model_pool *pool);
/* End guards whose time has come; when the next one does (INT64_MAX = none is on). */
void model_tick_guards(struct model *model, struct moment now, struct changeset *set);
int64_t model_next_guard(const struct model *model);

/* ---- trouble_rules.c ---- */

/* An OVERLOAD or NETWORK report: the endpoint's keys cool when it is one too many. */
enum report_fate model_report_endpoint(struct model *model, const struct cause *cause,
                                       struct model_key *key, const struct report *report,
                                       struct changeset *set);
/* The endpoint of the key answered well. */
void model_endpoint_answered(struct model_key *key, struct moment now);

/* ---- the clock ---- */

/* The wall clock was set: calendars count anew, cooling does not move. */
void model_clock_stepped(struct model *model, struct moment now);

/* ---- model_groups.c ---- */

void model_link_groups(struct model *model, struct model_key *key);
/* While the record is the one that it was linked by. */
void model_unlink_groups(struct model *model, struct model_key *key);
void model_move_endpoint(struct model_key *key); /* the pool's base URL is another */
void model_free_accounts(struct model *model);
void model_free_endpoints(struct model_pool *pool);

/* ---- shared by the rules' files ---- */

void model_remove_pool(struct model *model, struct model_pool *pool);
void model_set_pool_record(struct model_pool *pool, struct pool_record *record);
struct model_key *model_insert_key(struct model *model, struct model_pool *pool,
                                   struct key_record *record, uint64_t rank,
                                   const struct key_state *state);
void model_remove_key(struct model *model, struct model_key *key);
void model_set_key_record(struct model *model, struct model_key *key, struct key_record *record);
void model_link_twins(struct model *model, struct model_key *key);
void model_unlink_twins(struct model_key *key);
void model_enter_order(struct model_key *key);
void model_leave_order(struct model_key *key);
void model_sort(const struct model *model, struct model_pool *pool);
/* So many keys will be added. */
void model_expect(struct model *model, struct model_pool *pool, size_t keys);
/* Until the order is tidied keys have no certain places: for what adds or deletes many. */
void model_loosen(struct model_pool *pool);
void model_tidy(const struct model *model, struct model_pool *pool);
void model_place(struct model_key *key, uint64_t rank, uint32_t index);
uint32_t model_free_slot(const struct model_pool *pool); /* KB_BOARD_SLOTS_MAX = none */
/* Push what the key waits for on the heaps. */
void model_schedule(struct model *model, struct model_key *key);
/* Remember the key's expiry for model_next_expiry; once for every expiry that it gets. */
void model_note_expiry(const struct model_key *key);
/* `pool` NULL: it concerns the whole store. */
struct event model_event(const struct cause *cause, uint32_t kind, const struct model_pool *pool,
                         const struct model_key *key);
void model_bump_revision(struct model_pool *pool, struct changeset *set);

#endif
