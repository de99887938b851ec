/*
 * Fuzz target: a key's configuration. Input: a byte that picks the vendor and one that picks the
 * pool's base URL; a payload up to a NUL; the payload of a later `config=merge`.
 *
 * Checked: what was accepted is accepted again and means the same, what workers are handed cannot
 * break out of a header line or a variable, and the masked copy holds no secret.
 */
#include "fuzz.h"

#include <sodium.h>

#include "broker/keyconfig.h"
#include "broker/memory.h"

static const char *const URLS[] = { "", "https://pool.example/v1", "http://[::1]:8080" };
enum { URL_COUNT = sizeof URLS / sizeof *URLS };

static const struct vendor *pick_vendor(uint8_t which) {
    size_t count = 0;
    while (vendor_at(count))
        count++;
    return vendor_at(which % count);
}

/* Variables: NAME=VALUE, each ended by a NUL, then an empty one; all of it within its size. */
static void check_environment(const struct keyconfig_handout *handout) {
    const char *at = handout->environment, *end = at + handout->environment_size;
    while (*at) {
        must(strchr(at, '=') > at && strcspn(at, "\r\n") == strlen(at));
        at += strlen(at) + 1;
        must(at < end);
    }
    must(at + 1 == end);
}

static void check_handout(const struct vendor *vendor, const char *pool_url, const char *text) {
    struct keyconfig_handout handout;
    struct key_record *key = key_record_new();
    struct pool_record *pool = pool_record_new();
    record_set_string(&key->config, text);
    record_set_string(&pool->vendor, vendor->name);
    record_set_string(&pool->base_url, pool_url);
    keyconfig_handout_init(&handout, key, pool);
    must(handout.api_key[0]);
    for (const char *at = handout.api_key; *at; at++)
        must(*at > ' ' && *at <= '~');
    for (const char *at = handout.auth_header; *at; at++)
        must(*at >= ' ' && *at <= '~');
    for (const char *at = handout.base_url; *at; at++)
        must(*at > ' ' && *at <= '~');
    must(strncmp(handout.base_url, "http", 4) == 0);
    check_environment(&handout);
    keyconfig_handout_deinit(&handout);
    key_record_unref(key);
    pool_record_unref(pool);
}

/* A short key may be part of any other word. */
static void check_masked(const struct vendor *vendor, const json_t *config, const char *text) {
    json_t *masked = keyconfig_masked(text, vendor);
    must(json_is_object(masked) && json_object_size(masked) == json_object_size(config));
    const char *secret = json_string_value(json_object_get(config, "api_key"));
    const char *shown = json_string_value(json_object_get(masked, "api_key"));
    must(secret && shown && strcmp(secret, shown) != 0);
    must(strlen(secret) < 8 || !strstr(shown, secret));
    json_decref(masked);
}

static bool check_config(json_t *config, const struct vendor *vendor, const char *pool_url) {
    struct refusal refusal = { 0 };
    int refused = keyconfig_check(config, vendor, pool_url, &refusal);
    if (refused) {
        must(refusal.code == refused && refusal.reason[0] && refusal.message[0]);
        return false;
    }
    char *text = keyconfig_text(config);
    json_t *again = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    must(again && json_equal(again, config));
    must(keyconfig_check(again, vendor, pool_url, &refusal) == 0 && json_equal(again, config));
    check_handout(vendor, pool_url, text);
    check_masked(vendor, config, text);
    json_decref(again);
    mem_wipe_string(text);
    return true;
}

static json_t *read_payload(struct input *input) {
    struct refusal refusal = { 0 };
    const uint8_t *nul = input->left ? memchr(input->at, 0, input->left) : NULL;
    size_t length = nul ? (size_t)(nul - input->at) : input->left;
    void *payload = input_bytes(input, length, &length);
    json_t *config = keyconfig_parse_payload(payload, length, &refusal);
    must(config || refusal.code);
    input_byte(input); /* the NUL */
    free(payload);
    return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = { data, size };
    const struct vendor *vendor = pick_vendor(input_byte(&input));
    const char *pool_url = URLS[input_byte(&input) % URL_COUNT];
    json_t *config = read_payload(&input), *patch = read_payload(&input);
    bool sound = config && check_config(config, vendor, pool_url);
    if (sound && patch) {
        keyconfig_merge(config, patch);
        check_config(config, vendor, pool_url);
    }
    json_decref(config);
    json_decref(patch);
    return 0;
}
