/*
 * A model with a clock of its own, for tests of the rules: every call stages one command or report
 * and keeps its changeset in `set` until the next, so that a test can look at what was said,
 * publish it, or take it back. Also the model's own consistency (model_fixture_check) and a deep
 * snapshot as text that two moments can be compared by.
 */
#ifndef TESTS_MODEL_FIXTURE_H
#define TESTS_MODEL_FIXTURE_H

#include <keybroker_shared/report.h>

#include "broker/model.h"

#define FIXTURE_WALL_MS INT64_C(1773576000000) /* 2026-03-15T12:00:00Z, a Sunday */
#define FIXTURE_MONO_MS INT64_C(5000000)
#define FIXTURE_START (UINT64_C(7) << 40) /* the generation before the first */

struct model_fixture {
    struct model *model;
    struct cause cause;   /* an administrator, now */
    struct actor worker;  /* who reports */
    uint64_t generation;  /* announced last, on every board */
    struct changeset set; /* of the last call */
    struct refusal refusal;
};

void model_fixture_init(struct model_fixture *fixture);
/* Checks the model's consistency once more. */
void model_fixture_deinit(struct model_fixture *fixture);

/* Both clocks go on; nothing happens by itself. */
void fixture_pass(struct model_fixture *fixture, int64_t ms);
/* Everything that is due happens and is announced. */
void fixture_tick(struct model_fixture *fixture);
void fixture_pass_and_tick(struct model_fixture *fixture, int64_t ms);

/* The last command was committed: its changes are announced as of a new generation. */
void fixture_publish(struct model_fixture *fixture);
/* The last command's commit failed. */
void fixture_undo(struct model_fixture *fixture);

/* Add, publish, and return what was added; `name` NULL = by itself, `account` NULL = none. */
struct model_pool *fixture_pool(struct model_fixture *fixture, const char *name,
                                const char *vendor);
struct model_key *fixture_key(struct model_fixture *fixture, struct model_pool *pool,
                              const char *name, const char *account);
/* `count` keys key1 …, written into the model as a start would, without names being judged. */
void fixture_load_keys(struct model_fixture *fixture, struct model_pool *pool, uint32_t count,
                       uint64_t first_rank, uint64_t rank_step);

/* Stage only; 0 or the refusal's code. `config` is JSON text or NULL. */
int fixture_stage_pool(struct model_fixture *fixture, const struct pool_spec *spec,
                       const char *config);
int fixture_stage_add(struct model_fixture *fixture, struct model_pool *pool, struct key_spec spec,
                      const char *config);
int fixture_stage_set(struct model_fixture *fixture, struct model_key *key, struct key_spec spec,
                      const char *config);
int fixture_stage_set_pool(struct model_fixture *fixture, struct model_pool *pool,
                           struct pool_spec spec);
int fixture_stage_enable(struct model_fixture *fixture, struct model_key *key);
int fixture_stage_disable(struct model_fixture *fixture, struct model_key *key);
int fixture_stage_delete(struct model_fixture *fixture, struct model_key *key);
int fixture_stage_delete_pool(struct model_fixture *fixture, struct model_pool *pool);
int fixture_stage_move(struct model_fixture *fixture, struct model_key *key, uint32_t index);
int fixture_stage_order(struct model_fixture *fixture, struct model_pool *pool,
                        struct model_key *const *order, uint32_t count);

/* Stage, expect no refusal, publish. */
void fixture_enable(struct model_fixture *fixture, struct model_key *key);
void fixture_disable(struct model_fixture *fixture, struct model_key *key);
void fixture_set(struct model_fixture *fixture, struct model_key *key, struct key_spec spec,
                 const char *config);
void fixture_set_pool(struct model_fixture *fixture, struct model_pool *pool,
                      struct pool_spec spec);
void fixture_expire_in(struct model_fixture *fixture, struct model_key *key, int64_t ms);

/* A report by a worker that was handed the key just now, or at `generation`. */
enum report_fate fixture_report(struct model_fixture *fixture, struct model_key *key,
                                kb_outcome outcome, uint64_t hint_ms);
enum report_fate fixture_report_at(struct model_fixture *fixture, struct model_key *key,
                                   uint64_t generation, kb_outcome outcome, uint64_t hint_ms);
enum report_fate fixture_report_full(struct model_fixture *fixture, struct model_pool *pool,
                                     struct report report);

/* Bring the key to a stored status by the usual way, from normal. */
void fixture_bring_to(struct model_fixture *fixture, struct model_key *key, kb_status status);
kb_status fixture_status(const struct model_fixture *fixture, const struct model_key *key);

/* The first event of a kind in the last changeset; NULL = none. */
const struct event *fixture_event(const struct model_fixture *fixture, uint32_t kind);
/* How many changes of a kind the last changeset has. */
size_t fixture_changes(const struct model_fixture *fixture, enum change_kind kind);
/* "a b c": the names in order, in a buffer that the next call reuses. */
const char *fixture_order(const struct model_pool *pool);

/* Positions, ranks, slots, names, accounts, pending counts and heaps agree with each other. */
void model_fixture_check(const struct model *model);
/* Everything that an undone command must leave as it was, a line per fact; the caller frees. */
char *model_fixture_snapshot(const struct model *model);
/* Fail with the first line that differs. */
void model_fixture_expect_same(const char *before, const char *after, const char *what);

#endif
