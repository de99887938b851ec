/* See oracle.h. */
#include "oracle.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char DEFAULT_KEY[] = "default";

static void renew(struct oracle *oracle, struct oracle_key *key) {
    char name[sizeof key->name];
    memcpy(name, key->name, sizeof name);
    snprintf(key->api_key, sizeof key->api_key, "sk-%s-%08u", name, ++oracle->serial);
}

void oracle_init(struct oracle *oracle, const char *name, bool reported, struct seed seed) {
    *oracle = (struct oracle){ .reported = reported, .seed = seed };
    snprintf(oracle->name, sizeof oracle->name, "%s", name);
    struct oracle_pool *pool = &oracle->pools[0];
    pool->count = 1;
    pool->keys[0].weight = 1;
    snprintf(pool->keys[0].name, sizeof pool->keys[0].name, "%s", DEFAULT_KEY);
    renew(oracle, &pool->keys[0]);
}

const char *oracle_first_key(const struct oracle *oracle) {
    return oracle->pools[0].keys[0].api_key;
}

/* ---- inventing ---- */

static void __attribute__((format(printf, 2, 3)))
say(char command[ORACLE_COMMAND], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, ORACLE_COMMAND, format, arguments);
    va_end(arguments);
}

static void move(struct oracle_pool *pool, unsigned from, unsigned to) {
    struct oracle_key key = pool->keys[from];
    if (from < to)
        memmove(&pool->keys[from], &pool->keys[from + 1], (to - from) * sizeof key);
    else
        memmove(&pool->keys[to + 1], &pool->keys[to], (from - to) * sizeof key);
    pool->keys[to] = key;
}

static void add(struct oracle *oracle, struct oracle_pool *pool, char *command) {
    struct oracle_key *key = &pool->keys[pool->count++];
    *key = (struct oracle_key){ .weight = 1 + (unsigned)seed_below(&oracle->seed, 1000) };
    snprintf(key->name, sizeof key->name, "k%u", ++oracle->serial);
    snprintf(key->note, sizeof key->note, "a note %u", oracle->serial);
    renew(oracle, key);
    say(command, "add key %s name=%s weight=%u note='%s' <<%zu\n%s", oracle->name, key->name,
        key->weight, key->note, strlen(key->api_key), key->api_key);
}

static void drop(struct oracle *oracle, struct oracle_pool *pool, unsigned at, char *command) {
    say(command, "delete key %s %s\n", oracle->name, pool->keys[at].name);
    move(pool, at, pool->count - 1);
    pool->count--;
}

/* Name and secret change together: no reader may see one without the other. */
static void rename_key(struct oracle *oracle, struct oracle_pool *pool, unsigned at,
                       char *command) {
    struct oracle_key *key = &pool->keys[at];
    char before[sizeof key->name], payload[80];
    memcpy(before, key->name, sizeof before);
    if (strcmp(before, DEFAULT_KEY) != 0)
        snprintf(key->name, sizeof key->name, "r%u", ++oracle->serial);
    renew(oracle, key);
    snprintf(payload, sizeof payload, "{\"api_key\":\"%s\"}", key->api_key);
    say(command, "set key %s %s name=%s config=merge <<%zu\n%s", oracle->name, before, key->name,
        strlen(payload), payload);
}

static void describe(struct oracle *oracle, struct oracle_pool *pool, unsigned at, char *command) {
    struct oracle_key *key = &pool->keys[at];
    key->weight = 1 + (unsigned)seed_below(&oracle->seed, 1000);
    snprintf(key->note, sizeof key->note, "note %u", ++oracle->serial);
    say(command, "set key %s %s weight=%u note=\"%s\"\n", oracle->name, key->name, key->weight,
        key->note);
}

static void toggle(struct oracle *oracle, struct oracle_pool *pool, unsigned at, char *command) {
    struct oracle_key *key = &pool->keys[at];
    key->disabled = strcmp(key->name, DEFAULT_KEY) != 0 && seed_below(&oracle->seed, 2);
    say(command, "%s key %s %s\n", key->disabled ? "disable" : "enable", oracle->name, key->name);
}

static void move_key(struct oracle *oracle, struct oracle_pool *pool, unsigned at, char *command) {
    unsigned last = pool->count - 1, to = (unsigned)seed_below(&oracle->seed, pool->count);
    const char *name = pool->keys[at].name;
    switch (seed_below(&oracle->seed, 4)) {
    case 0:
        say(command, "move key %s %s first\n", oracle->name, name);
        move(pool, at, 0);
        return;
    case 1:
        say(command, "move key %s %s last\n", oracle->name, name);
        move(pool, at, last);
        return;
    case 2:
        if (to != at) {
            say(command, "move key %s %s before %s\n", oracle->name, name, pool->keys[to].name);
            move(pool, at, to > at ? to - 1 : to);
            return;
        }
    /* fall through */
    default:
        say(command, "move key %s %s to %u\n", oracle->name, name, to + 1);
        move(pool, at, to);
    }
}

static void order(struct oracle *oracle, struct oracle_pool *pool, char *command) {
    for (unsigned i = pool->count - 1; i > 0; i--)
        move(pool, (unsigned)seed_below(&oracle->seed, i + 1), i);
    int length = snprintf(command, ORACLE_COMMAND, "order keys %s", oracle->name);
    for (unsigned i = 0; i < pool->count; i++)
        length +=
            snprintf(command + length, ORACLE_COMMAND - (size_t)length, " %s", pool->keys[i].name);
    snprintf(command + length, ORACLE_COMMAND - (size_t)length, "\n");
}

bool oracle_invent(struct oracle *oracle, char ret_command[ORACLE_COMMAND]) {
    if (oracle->sent == ORACLE_AHEAD)
        return false;
    struct oracle_pool *pool = &oracle->pools[oracle->sent + 1];
    *pool = oracle->pools[oracle->sent++];
    unsigned at = (unsigned)seed_below(&oracle->seed, pool->count);
    uint64_t what = seed_below(&oracle->seed, 16);
    bool is_default = strcmp(pool->keys[at].name, DEFAULT_KEY) == 0;
    if (pool->count < 3 || (what < 3 && pool->count < ORACLE_KEYS))
        add(oracle, pool, ret_command);
    else if (what < 5 && !is_default)
        drop(oracle, pool, at, ret_command);
    else if (what < 7)
        rename_key(oracle, pool, at, ret_command);
    else if (what < 9)
        describe(oracle, pool, at, ret_command);
    else if (what < 12)
        toggle(oracle, pool, at, ret_command);
    else if (what < 15)
        move_key(oracle, pool, at, ret_command);
    else
        order(oracle, pool, ret_command);
    return true;
}

void oracle_acknowledge(struct oracle *oracle) {
    memmove(&oracle->pools[0], &oracle->pools[1], oracle->sent * sizeof oracle->pools[0]);
    oracle->sent--;
}

/* ---- comparing ---- */

static const char *text(const json_t *object, const char *field) {
    const char *value = json_string_value(json_object_get(object, field));
    return value ? value : "";
}

static bool __attribute__((format(printf, 2, 3)))
differ(char **ret_difference, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (ret_difference && vasprintf(ret_difference, format, arguments) < 0)
        *ret_difference = NULL;
    va_end(arguments);
    return false;
}

static bool key_is(const struct oracle *oracle, const struct oracle_key *key,
                   const json_t *exported, const json_t *shown, char **ret_difference) {
    const char *status = text(shown, "status");
    bool disabled = strcmp(status, "disabled") == 0;
    const char *api_key = text(json_object_get(exported, "config"), "api_key");
    json_int_t weight = json_integer_value(json_object_get(shown, "weight"));
    if (strcmp(text(exported, "name"), key->name) != 0 ||
        strcmp(text(shown, "name"), key->name) != 0 || strcmp(api_key, key->api_key) != 0)
        return differ(ret_difference, "%s (%s) in place of %s (%s)", text(exported, "name"),
                      api_key, key->name, key->api_key);
    if (disabled != key->disabled ||
        (!oracle->reported && strcmp(status, disabled ? "disabled" : "normal") != 0))
        return differ(ret_difference, "%s is %s in place of %s", key->name, status,
                      key->disabled ? "disabled" : "normal");
    if (weight != key->weight || strcmp(text(shown, "note"), key->note) != 0)
        return differ(ret_difference, "%s has weight %d, note '%s' in place of %u, '%s'", key->name,
                      (int)weight, text(shown, "note"), key->weight, key->note);
    return true;
}

static bool pool_is(const struct oracle *oracle, const struct oracle_pool *pool,
                    const json_t *exported, const json_t *shown, char **ret_difference) {
    const json_t *configs = json_object_get(exported, "keys");
    const json_t *rows = json_object_get(shown, "keys");
    if (json_array_size(configs) != pool->count || json_array_size(rows) != pool->count)
        return differ(ret_difference, "%zu keys in place of %u", json_array_size(configs),
                      pool->count);
    for (unsigned i = 0; i < pool->count; i++)
        if (!key_is(oracle, &pool->keys[i], json_array_get(configs, i), json_array_get(rows, i),
                    ret_difference))
            return false;
    return true;
}

bool oracle_settle(struct oracle *oracle, const json_t *exported, const json_t *shown,
                   char **ret_difference) {
    for (unsigned i = 0; i <= oracle->sent; i++)
        if (pool_is(oracle, &oracle->pools[i], exported, shown, NULL)) {
            oracle->pools[0] = oracle->pools[i];
            oracle->sent = 0;
            return true;
        }
    return pool_is(oracle, &oracle->pools[0], exported, shown, ret_difference);
}
