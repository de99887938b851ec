/* See model_fixture.h. Used by unit tests only. */
#include "model_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "broker/keyconfig.h"

#define CONFIG "{\"api_key\":\"sk-0123456789abcdef\"}"

static const struct actor ADMIN = { .kind = ACTOR_ADMIN, .uid = 1000, .pid = 42 };
static const struct actor REPORTER = { .kind = ACTOR_REPORT, .uid = 2000, .pid = 77 };

void model_fixture_init(struct model_fixture *fixture) {
    *fixture = (struct model_fixture){
        .model = model_new(),
        .cause = { .now = { .mono_ms = FIXTURE_MONO_MS, .wall_ms = FIXTURE_WALL_MS },
                   .actor = ADMIN },
        .worker = REPORTER,
        .generation = FIXTURE_START,
    };
}

void model_fixture_deinit(struct model_fixture *fixture) {
    model_fixture_check(fixture->model);
    changeset_deinit(&fixture->set);
    fixture->model = model_free(fixture->model);
}

/* ---- time ---- */

void fixture_pass(struct model_fixture *fixture, int64_t ms) {
    fixture->cause.now.mono_ms += ms;
    fixture->cause.now.wall_ms += ms;
}

/* As the pipeline does; the events come behind what happened, for fixture_event. */
static void announce(struct model_fixture *fixture, const struct cause *cause) {
    struct changeset *set = &fixture->set;
    size_t count = set->count;
    if (count)
        model_announced(fixture->model, set, ++fixture->generation);
    for (size_t i = 0; i < count; i++) {
        const struct change *change = &set->items[i];
        if (change->kind != CHANGE_HAPPENED || change->happened.from == change->happened.to)
            continue;
        struct event event = model_happened_event(cause, change);
        changeset_event(set, &event);
    }
}

void fixture_tick(struct model_fixture *fixture) {
    struct cause cause = { .now = fixture->cause.now, .actor = { .kind = ACTOR_BROKER } };
    changeset_truncate(&fixture->set, 0);
    fixture->set.live = true;
    cr_assert_not(model_tick(fixture->model, fixture->cause.now, UINT32_MAX, &fixture->set));
    announce(fixture, &cause);
}

void fixture_pass_and_tick(struct model_fixture *fixture, int64_t ms) {
    fixture_pass(fixture, ms);
    fixture_tick(fixture);
}

void fixture_publish(struct model_fixture *fixture) {
    model_published(fixture->model, &fixture->set, ++fixture->generation);
}

void fixture_undo(struct model_fixture *fixture) {
    model_undo(fixture->model, &fixture->set);
    model_settle(fixture->model, ++fixture->generation);
}

/* ---- commands ---- */

static json_t *read_config(const char *config) {
    if (!config)
        return NULL;
    json_t *object = json_loads(config, 0, NULL);
    cr_assert_not_null(object, "not JSON: %s", config);
    return object;
}

/* Every command begins here and ends in `staged`. */
static struct changeset *begin(struct model_fixture *fixture) {
    changeset_deinit(&fixture->set);
    fixture->refusal = (struct refusal){ 0 };
    return &fixture->set;
}

static int staged(const struct model_fixture *fixture, int refused) {
    if (refused) {
        cr_assert_eq(fixture->set.count, 0, "a refusal leaves no trace");
        cr_assert_eq(fixture->refusal.code, refused);
        cr_assert_str_not_empty(fixture->refusal.reason);
        cr_assert_str_not_empty(fixture->refusal.message);
    }
    return refused;
}

int fixture_stage_pool(struct model_fixture *fixture, const struct pool_spec *spec,
                       const char *config) {
    struct changeset *set = begin(fixture);
    struct key_spec key = { .config = read_config(config ? config : CONFIG) };
    int refused =
        model_add_pool(fixture->model, &fixture->cause, spec, &key, set, &fixture->refusal);
    json_decref(key.config);
    return staged(fixture, refused);
}

struct model_pool *fixture_pool(struct model_fixture *fixture, const char *name,
                                const char *vendor) {
    struct pool_spec spec = { .name = name, .vendor = vendor, .guard = "off" };
    cr_assert_eq(fixture_stage_pool(fixture, &spec, NULL), 0);
    fixture_publish(fixture);
    return model_find_pool(fixture->model, name);
}

int fixture_stage_add(struct model_fixture *fixture, struct model_pool *pool, struct key_spec spec,
                      const char *config) {
    struct changeset *set = begin(fixture);
    spec.config = read_config(config ? config : CONFIG);
    spec.twin_is_fine |= !config;
    int refused =
        model_add_key(fixture->model, &fixture->cause, pool, &spec, set, &fixture->refusal);
    json_decref(spec.config);
    return staged(fixture, refused);
}

struct model_key *fixture_key(struct model_fixture *fixture, struct model_pool *pool,
                              const char *name, const char *account) {
    struct key_spec spec = { .name = name, .account = account };
    cr_assert_eq(fixture_stage_add(fixture, pool, spec, NULL), 0, "%s", fixture->refusal.message);
    fixture_publish(fixture);
    return pool->order[pool->count - 1];
}

void fixture_load_keys(struct model_fixture *fixture, struct model_pool *pool, uint32_t count,
                       uint64_t first_rank, uint64_t rank_step) {
    struct key_state state = { .status = KB_STATUS_NORMAL,
                               .status_since_ms = fixture->cause.now.wall_ms,
                               .normal_since_mono = fixture->cause.now.mono_ms };
    for (uint32_t i = 0; i < count; i++) {
        char name[32];
        struct key_record *record = key_record_new();
        record->id = fixture->model->next_id++;
        record->pool_id = pool->record->id;
        record->slot = model_free_slot(pool);
        snprintf(name, sizeof name, "loaded%u", i + 1);
        record_set_string(&record->name, name);
        record_set_string(&record->config, CONFIG);
        model_load_key(fixture->model, record, first_rank + i * rank_step, &state);
    }
}

int fixture_stage_set(struct model_fixture *fixture, struct model_key *key, struct key_spec spec,
                      const char *config) {
    struct changeset *set = begin(fixture);
    spec.config = read_config(config);
    int refused =
        model_set_key(fixture->model, &fixture->cause, key, &spec, set, &fixture->refusal);
    json_decref(spec.config);
    return staged(fixture, refused);
}

int fixture_stage_set_pool(struct model_fixture *fixture, struct model_pool *pool,
                           struct pool_spec spec) {
    struct changeset *set = begin(fixture);
    return staged(fixture, model_set_pool(fixture->model, &fixture->cause, pool, &spec, set,
                                          &fixture->refusal));
}

int fixture_stage_enable(struct model_fixture *fixture, struct model_key *key) {
    struct changeset *set = begin(fixture);
    return staged(fixture,
                  model_enable_key(fixture->model, &fixture->cause, key, set, &fixture->refusal));
}

int fixture_stage_disable(struct model_fixture *fixture, struct model_key *key) {
    struct changeset *set = begin(fixture);
    return staged(fixture,
                  model_disable_key(fixture->model, &fixture->cause, key, set, &fixture->refusal));
}

int fixture_stage_delete(struct model_fixture *fixture, struct model_key *key) {
    struct changeset *set = begin(fixture);
    return staged(fixture,
                  model_delete_key(fixture->model, &fixture->cause, key, set, &fixture->refusal));
}

int fixture_stage_delete_pool(struct model_fixture *fixture, struct model_pool *pool) {
    struct changeset *set = begin(fixture);
    return staged(fixture,
                  model_delete_pool(fixture->model, &fixture->cause, pool, set, &fixture->refusal));
}

int fixture_stage_move(struct model_fixture *fixture, struct model_key *key, uint32_t index) {
    struct changeset *set = begin(fixture);
    return staged(fixture, model_move_key(fixture->model, &fixture->cause, key, index, set,
                                          &fixture->refusal));
}

int fixture_stage_order(struct model_fixture *fixture, struct model_pool *pool,
                        struct model_key *const *order, uint32_t count) {
    struct changeset *set = begin(fixture);
    return staged(fixture, model_order_keys(fixture->model, &fixture->cause, pool, order, count,
                                            set, &fixture->refusal));
}

void fixture_enable(struct model_fixture *fixture, struct model_key *key) {
    cr_assert_eq(fixture_stage_enable(fixture, key), 0, "%s", fixture->refusal.message);
    fixture_publish(fixture);
}

void fixture_disable(struct model_fixture *fixture, struct model_key *key) {
    cr_assert_eq(fixture_stage_disable(fixture, key), 0, "%s", fixture->refusal.message);
    fixture_publish(fixture);
}

void fixture_set(struct model_fixture *fixture, struct model_key *key, struct key_spec spec,
                 const char *config) {
    cr_assert_eq(fixture_stage_set(fixture, key, spec, config), 0, "%s", fixture->refusal.message);
    fixture_publish(fixture);
}

void fixture_set_pool(struct model_fixture *fixture, struct model_pool *pool,
                      struct pool_spec spec) {
    cr_assert_eq(fixture_stage_set_pool(fixture, pool, spec), 0, "%s", fixture->refusal.message);
    fixture_publish(fixture);
}

void fixture_expire_in(struct model_fixture *fixture, struct model_key *key, int64_t ms) {
    struct key_spec spec = { .has_expires = true,
                             .expires_at_ms = fixture->cause.now.wall_ms + ms };
    fixture_set(fixture, key, spec, NULL);
}

/* ---- reports ---- */

enum report_fate fixture_report_full(struct model_fixture *fixture, struct model_pool *pool,
                                     struct report report) {
    struct cause cause = { .now = fixture->cause.now, .actor = fixture->worker };
    if (!report.vendor_code)
        report.vendor_code = "";
    if (!report.count)
        report.count = 1;
    struct changeset *set = begin(fixture);
    set->live = true;
    enum report_fate fate =
        model_report(fixture->model, &cause, pool, &report, fixture->generation, set);
    announce(fixture, &cause);
    return fate;
}

enum report_fate fixture_report_at(struct model_fixture *fixture, struct model_key *key,
                                   uint64_t generation, kb_outcome outcome, uint64_t hint_ms) {
    struct report report = {
        .key_id = key->record->id, .generation = generation, .outcome = outcome, .hint_ms = hint_ms
    };
    return fixture_report_full(fixture, key->pool, report);
}

enum report_fate fixture_report(struct model_fixture *fixture, struct model_key *key,
                                kb_outcome outcome, uint64_t hint_ms) {
    return fixture_report_at(fixture, key, fixture->generation, outcome, hint_ms);
}

void fixture_bring_to(struct model_fixture *fixture, struct model_key *key, kb_status status) {
    if (status == KB_STATUS_COOLING)
        fixture_report(fixture, key, KB_RATE, 60000);
    else if (status == KB_STATUS_EXCEEDED)
        fixture_report(fixture, key, KB_QUOTA, KB_NO_HINT);
    else if (status == KB_STATUS_ERROR)
        fixture_report(fixture, key, KB_INVALID, KB_NO_HINT);
    else if (status == KB_STATUS_DISABLED)
        fixture_disable(fixture, key);
    cr_assert_eq(key->state.status, status);
}

/* ---- looking ---- */

kb_status fixture_status(const struct model_fixture *fixture, const struct model_key *key) {
    return model_status(key, fixture->cause.now.wall_ms);
}

const struct event *fixture_event(const struct model_fixture *fixture, uint32_t kind) {
    for (size_t i = 0; i < fixture->set.count; i++) {
        const struct change *change = &fixture->set.items[i];
        if (change->kind == CHANGE_EVENT && change->event->kind == kind)
            return change->event;
    }
    return NULL;
}

size_t fixture_changes(const struct model_fixture *fixture, enum change_kind kind) {
    size_t count = 0;
    for (size_t i = 0; i < fixture->set.count; i++)
        count += fixture->set.items[i].kind == kind;
    return count;
}

const char *fixture_order(const struct model_pool *pool) {
    static char text[4096];
    size_t length = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < pool->count; i++) {
        int written = snprintf(text + length, sizeof text - length, "%s%s", i ? " " : "",
                               pool->order[i]->record->name);
        cr_assert_lt((size_t)written, sizeof text - length);
        length += (size_t)written;
    }
    return text;
}
