/*
 * Key configurations: what is taken and what is refused, that no refusal and no masked copy tells a
 * secret, and what workers are handed.
 */
#include "keyconfig.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "../support/seed.h"
#include "memory.h"

#define SECRET "sk-proj-VerySecretVerySecret0123"

static const struct vendor *openai(void) {
    return vendor_find("openai");
}

static json_t *parse(const char *payload, struct refusal *refusal) {
    return keyconfig_parse_payload(payload, strlen(payload), refusal);
}

static json_t *must_parse(const char *payload) {
    struct refusal refusal = { 0 };
    json_t *config = parse(payload, &refusal);
    cr_assert_not_null(config, "%.80s: %s", payload, refusal.message);
    return config;
}

static char *repeated(char c, size_t count) {
    char *text = mem_alloc(count + 1);
    memset(text, c, count);
    return text;
}

static void assert_text(const json_t *config, const char *expected) {
    char *text = keyconfig_text(config);
    cr_assert_str_eq(text, expected);
    mem_wipe_string(text);
}

/* ---- payloads ---- */

Test(keyconfig, a_payload_is_an_object_or_a_bare_key) {
    const struct {
        const char *payload;
        const char *text;
    } cases[] = {
        { SECRET, "{\"api_key\":\"" SECRET "\"}" },
        { " \r\n\t" SECRET "\r\n", "{\"api_key\":\"" SECRET "\"}" },
        { "{}", "{}" },
        { "  {\"b\":1,\n \"api_key\":\"k\"}\n", "{\"api_key\":\"k\",\"b\":1}" },
        { "{\"note\":\"caf\xc3\xa9\"}", "{\"note\":\"caf\xc3\xa9\"}" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *config = must_parse(cases[i].payload);
        assert_text(config, cases[i].text);
        json_decref(config);
    }
}

Test(keyconfig, a_payload_needs_no_nul_at_its_end) {
    char payload[] = { 'k', 'e', 'y', ' ' };
    struct refusal refusal = { 0 };
    json_t *config = keyconfig_parse_payload(payload, sizeof payload, &refusal);
    assert_text(config, "{\"api_key\":\"key\"}");
    json_decref(config);
}

Test(keyconfig, a_bad_payload_is_refused_without_quoting_it) {
    const struct {
        const char *payload;
        const char *reason;
    } cases[] = {
        { "", "empty-payload" },
        { " \n\t ", "empty-payload" },
        { "\"" SECRET "\"", "bad-payload" },
        { "[\"" SECRET "\"]", "bad-payload" },
        { "key\xff\xfe" SECRET, "bad-payload" },
        { "{\"api_key\":\"" SECRET "\"", "bad-json" },
        { "{\"api_key\":" SECRET "}", "bad-json" },
        { "{" SECRET "}", "bad-json" },
        { "{\"" SECRET "\":1,\"" SECRET "\":2}", "bad-json" },
        { "{\"api_key\":\"" SECRET "\"} " SECRET, "bad-json" },
        { "{\"api_key\":\"" SECRET "\\u0000\"}", "bad-json" },
        { "{\"api_key\":\"" SECRET "\\q\"}", "bad-json" },
        { "{\"api_key\":\"" SECRET "\xc0\xaf\"}", "bad-json" },
        { "{\"api_key\":\"" SECRET "\",\"n\":99999999999999999999}", "bad-json" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct refusal refusal = { 0 };
        cr_assert_null(parse(cases[i].payload, &refusal), "case %zu", i);
        cr_assert_eq(refusal.code, REFUSED_SYNTAX, "case %zu", i);
        cr_assert_str_eq(refusal.reason, cases[i].reason, "case %zu", i);
        cr_assert_null(strstr(refusal.message, "Secret"), "case %zu: %s", i, refusal.message);
    }
}

Test(keyconfig, a_json_mistake_is_located_by_line_and_column) {
    struct refusal refusal = { 0 };
    cr_assert_null(parse("{\n  \"api_key\": oops\n}", &refusal));
    cr_assert_not_null(strstr(refusal.message, "line 2, column "), "%s", refusal.message);
}

Test(keyconfig, a_nul_in_a_payload_is_refused) {
    struct refusal refusal = { 0 };
    cr_assert_null(keyconfig_parse_payload("abc\0def", 7, &refusal));
    cr_assert_str_eq(refusal.reason, "bad-payload");
}

Test(keyconfig, a_payload_of_64_kib_is_taken_and_a_byte_more_is_not) {
    struct refusal refusal = { 0 };
    char *payload = repeated('x', KEYCONFIG_MAX_BYTES + 1);
    cr_assert_null(parse(payload, &refusal));
    cr_assert_eq(refusal.code, REFUSED_TOO_LARGE);
    payload[KEYCONFIG_MAX_BYTES] = ' ';
    json_t *config = parse(payload, &refusal);
    cr_assert_not_null(config);
    json_decref(config);
    free(payload);
}

/* ---- checks ---- */

struct check_case {
    const char *vendor;
    const char *pool_base_url;
    const char *config;
    const char *text; /* what it became; NULL = refused with: */
    const char *reason;
    const char *field;
};

static void run_check(const struct check_case *c) {
    json_t *config = must_parse(c->config);
    struct refusal refusal = { 0 };
    int refused = keyconfig_check(config, vendor_find(c->vendor), c->pool_base_url, &refusal);
    if (c->text) {
        cr_assert_eq(refused, 0, "%s: %s", c->config, refusal.message);
        assert_text(config, c->text);
    } else {
        cr_assert_eq(refused, REFUSED_SYNTAX, "%s gave %d", c->config, refused);
        cr_assert_eq(refusal.code, refused);
        cr_assert_str_eq(refusal.reason, c->reason, "%s: %s", c->config, refusal.reason);
        cr_assert_str_eq(refusal.field, c->field, "%s: %s", c->config, refusal.field);
        cr_assert_null(strstr(refusal.message, "Secret"), "%s", refusal.message);
    }
    json_decref(config);
}

Test(keyconfig, an_api_key_is_printable_ascii_and_always_there) {
    const struct check_case cases[] = {
        { "openai", "", "{\"api_key\":\"k\"}", "{\"api_key\":\"k\"}", NULL, NULL },
        { "openai", NULL, "{\"api_key\":\"!~\"}", "{\"api_key\":\"!~\"}", NULL, NULL },
        { "openai", "", "{}", NULL, "missing-api-key", "api_key" },
        { "openai", "", "{\"api_key\":null}", NULL, "missing-api-key", "api_key" },
        { "openai", "", "{\"api_key\":\"\"}", NULL, "bad-api-key", "api_key" },
        { "openai", "", "{\"api_key\":7}", NULL, "bad-api-key", "api_key" },
        { "openai", "", "{\"api_key\":{}}", NULL, "bad-api-key", "api_key" },
        { "openai", "", "{\"api_key\":\"Secret\\r\\nX: y\"}", NULL, "bad-api-key", "api_key" },
        { "openai", "", "{\"api_key\":\"Bearer Secret\"}", NULL, "bad-api-key", "api_key" },
        { "openai", "", "{\"api_key\":\"Secret\\u007f\"}", NULL, "bad-api-key", "api_key" },
        { "openai", "", "{\"api_key\":\"Secret\xc3\xa9\"}", NULL, "bad-api-key", "api_key" },
        { "openai", "", "Secret\nSecret", NULL, "bad-api-key", "api_key" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        run_check(&cases[i]);
}

Test(keyconfig, an_api_key_may_have_8_kib_and_no_byte_more) {
    char *secret = repeated('x', SECRET_MAX_BYTES + 1);
    json_t *config = must_parse(secret);
    struct refusal refusal = { 0 };
    cr_assert_eq(keyconfig_check(config, openai(), "", &refusal), REFUSED_TOO_LARGE);
    cr_assert_str_eq(refusal.reason, "secret-too-long");
    cr_assert_str_eq(refusal.field, "api_key");
    json_object_set_new(config, "api_key", json_string(secret + 1));
    cr_assert_eq(keyconfig_check(config, openai(), "", &refusal), 0);
    json_decref(config);
    free(secret);
}

Test(keyconfig, a_vendor_without_an_address_needs_one_from_the_key_or_the_pool) {
    const struct check_case cases[] = {
        { "azure", "", "k", NULL, "missing-base-url", "base_url" },
        { "azure", NULL, "k", NULL, "missing-base-url", "base_url" },
        { "generic", "", "{\"api_key\":\"k\",\"base_url\":\"\"}", NULL, "missing-base-url",
          "base_url" },
        { "generic", "", "{\"api_key\":\"k\",\"base_url\":null}", NULL, "missing-base-url",
          "base_url" },
        { "azure", "https://a.example/openai", "k", "{\"api_key\":\"k\"}", NULL, NULL },
        { "generic", "http://a.example", "{\"api_key\":\"k\",\"base_url\":\"\"}",
          "{\"api_key\":\"k\"}", NULL, NULL },
        { "bedrock", "", "{\"api_key\":\"k\",\"base_url\":\"https://b.example/\"}",
          "{\"api_key\":\"k\",\"base_url\":\"https://b.example\"}", NULL, NULL },
        { "openai", "", "{\"api_key\":\"k\",\"base_url\":7}", NULL, "bad-base-url", "base_url" },
        { "openai", "", "{\"api_key\":\"k\",\"base_url\":\"ftp://Secret\"}", NULL, "bad-base-url",
          "base_url" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        run_check(&cases[i]);
}

/* No vendor has a required or secret field of its own today; this one has. */
static const struct vendor_field strict_fields[] = {
    { .name = "region", .title = "Region", .required = true },
    { .name = "signature", .title = "Signature", .secret = true },
    { 0 },
};
static const struct vendor strict = { .name = "strict",
                                      .base_url = "https://strict.example",
                                      .key_prefixes = "",
                                      .fields = strict_fields };

Test(keyconfig, a_field_that_the_vendor_requires_is_there_and_not_empty) {
    static const struct {
        const char *config;
        bool fine;
    } CASES[] = {
        { "{\"api_key\":\"k\"}", false },
        { "{\"api_key\":\"k\",\"region\":null}", false },
        { "{\"api_key\":\"k\",\"region\":\"\"}", false },
        { "{\"api_key\":\"k\",\"region\":\"eu\"}", true },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        json_t *config = must_parse(CASES[i].config);
        struct refusal refusal = { 0 };
        int refused = keyconfig_check(config, &strict, "", &refusal);
        cr_expect_eq(refused, CASES[i].fine ? 0 : REFUSED_SYNTAX, "%s", CASES[i].config);
        if (!CASES[i].fine) {
            cr_expect_str_eq(refusal.reason, "missing-field");
            cr_expect_str_eq(refusal.field, "region");
        }
        json_decref(config);
    }
}

Test(keyconfig, a_field_that_the_vendor_calls_secret_is_masked) {
    static const char CONFIG[] = "{\"api_key\":\"k\",\"region\":\"eu\",\"signature\":\"abc\"}";
    json_t *masked = keyconfig_masked(CONFIG, &strict);
    cr_assert_str_eq(json_string_value(json_object_get(masked, "region")), "eu");
    cr_assert_str_eq(json_string_value(json_object_get(masked, "signature")), "…");
    json_decref(masked);
    masked = keyconfig_masked(CONFIG, openai());
    cr_assert_str_eq(json_string_value(json_object_get(masked, "signature")), "abc");
    json_decref(masked);
    json_decref(keyconfig_masked(CONFIG, NULL));
}

Test(keyconfig, a_base_url_is_tidied_or_refused) {
    const struct {
        const char *url;
        const char *tidy; /* NULL = refused */
    } cases[] = {
        { "https://api.example.com/v1", "https://api.example.com/v1" },
        { "https://api.example.com/v1///", "https://api.example.com/v1" },
        { "HTTPS://API.Example.COM/V1/", "https://api.example.com/V1" },
        { "http://127.0.0.1:8080/", "http://127.0.0.1:8080" },
        { "http://[::1]:8080/x", "http://[::1]:8080/x" },
        { "http://[fe80::1]", "http://[fe80::1]" },
        { "http://localhost", "http://localhost" },
        { "http://my_host-1:1", "http://my_host-1:1" },
        { "http://h?api-version=1/", "http://h?api-version=1/" },
        { "http://h/a@b", "http://h/a@b" },
        { "", NULL },
        { "api.example.com", NULL },
        { "ftp://h", NULL },
        { "file:///etc/passwd", NULL },
        { "https:/h", NULL },
        { "https://", NULL },
        { "https:///path", NULL },
        { "https://:80", NULL },
        { "https://h:", NULL },
        { "https://h:0", NULL },
        { "https://h:65536", NULL },
        { "https://h:80x", NULL },
        { "https://h:000080", NULL },
        { "https://user@h", NULL },
        { "https://user:pw@h/", NULL },
        { "https://a\\@h", NULL },
        { "https://h a/", NULL },
        { "https://h/a b", NULL },
        { "https://h/\r\nX: y", NULL },
        { "https://h/\xc3\xa9", NULL },
        { "https://{resource}.example/", NULL },
        { "https://h/#x", NULL },
        { "http://[::1", NULL },
        { "http://[]", NULL },
        { "http://[::1]x", NULL },
        { "http://[x]", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct refusal refusal = { 0 };
        char *tidy = NULL;
        int refused = keyconfig_check_base_url(cases[i].url, &tidy, &refusal);
        cr_assert_eq(refused, cases[i].tidy ? 0 : REFUSED_SYNTAX, "'%s': %d", cases[i].url,
                     refused);
        if (cases[i].tidy)
            cr_assert_str_eq(tidy, cases[i].tidy);
        else
            cr_assert_null(tidy, "'%s' touched the output", cases[i].url);
        free(tidy);
    }
}

Test(keyconfig, a_base_url_may_have_2048_bytes_and_no_byte_more) {
    char *url = repeated('x', 2049);
    memcpy(url, "https://h/", 10);
    char *tidy = NULL;
    cr_assert_eq(keyconfig_check_base_url(url, &tidy, NULL), REFUSED_SYNTAX);
    url[2048] = '\0';
    cr_assert_eq(keyconfig_check_base_url(url, &tidy, NULL), 0);
    cr_assert_str_eq(tidy, url);
    free(tidy);
    free(url);
}

Test(keyconfig, other_values_are_free_of_control_characters) {
    const struct check_case cases[] = {
        { "openai", "", "{\"api_key\":\"k\",\"a\":\"x\\ny\\tz\xc3\xa9\xe2\x82\xac\"}",
          "{\"a\":\"x\\ny\\tz\xc3\xa9\xe2\x82\xac\",\"api_key\":\"k\"}", NULL, NULL },
        { "openai", "", "{\"api_key\":\"k\",\"a\":[1,true,null,0.5]}",
          "{\"a\":[1,true,null,0.5],\"api_key\":\"k\"}", NULL, NULL },
        { "openai", "", "{\"api_key\":\"k\",\"a\":\"Secret\\r\"}", NULL, "bad-config", "config" },
        { "openai", "", "{\"api_key\":\"k\",\"a\":[{\"b\":\"\\u001b[2J\"}]}", NULL, "bad-config",
          "config" },
        { "openai", "", "{\"api_key\":\"k\",\"a\":\"\\u009b2J\"}", NULL, "bad-config", "config" },
        { "openai", "", "{\"api_key\":\"k\",\"a\":\"\\u007f\"}", NULL, "bad-config", "config" },
        { "openai", "", "{\"api_key\":\"k\",\"a\\n\":1}", NULL, "bad-config", "config" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        run_check(&cases[i]);
}

/* Found by fuzz_import: it was kept in a new key's configuration, and a merge of the same (an
 * import of what export printed) took it away. */
Test(keyconfig, a_null_member_is_left_out_at_every_depth) {
    const struct check_case c = {
        "openai",
        "",
        "{\"api_key\":\"sk-1\",\"a\":null,\"b\":{\"c\":null,\"d\":[null,{\"e\":null}]}}",
        "{\"api_key\":\"sk-1\",\"b\":{\"d\":[null,{\"e\":null}]}}",
        NULL,
        NULL
    };
    run_check(&c);
}

Test(keyconfig, nesting_is_bounded) {
    const struct check_case cases[] = {
        { "openai", "", "{\"api_key\":\"k\",\"a\":[[[[[[[1]]]]]]]}",
          "{\"a\":[[[[[[[1]]]]]]],\"api_key\":\"k\"}", NULL, NULL },
        { "openai", "", "{\"api_key\":\"k\",\"a\":[[[[[[[[]]]]]]]]}", NULL, "bad-config",
          "config" },
        { "openai", "",
          "{\"api_key\":\"k\",\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}}}",
          NULL, "bad-config", "config" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        run_check(&cases[i]);
}

Test(keyconfig, a_configuration_that_merges_made_too_large_is_refused) {
    json_t *config = must_parse("k");
    char *half = repeated('x', KEYCONFIG_MAX_BYTES / 2);
    json_object_set_new(config, "a", json_string(half));
    cr_assert_eq(keyconfig_check(config, openai(), "", NULL), 0);
    json_object_set_new(config, "b", json_string(half));
    struct refusal refusal = { 0 };
    cr_assert_eq(keyconfig_check(config, openai(), "", &refusal), REFUSED_TOO_LARGE);
    cr_assert_str_eq(refusal.reason, "config-too-large");
    json_decref(config);
    free(half);
}

/* ---- changes ---- */

Test(keyconfig, a_merge_follows_rfc_7396) {
    const struct {
        const char *config, *patch, *merged;
    } cases[] = {
        { "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
        { "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}" },
        { "{\"a\":\"b\"}", "{\"a\":null}", "{}" },
        { "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}" },
        { "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
        { "{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}" },
        { "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}" },
        { "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}" },
        { "{\"e\":null}", "{\"a\":1}", "{\"a\":1,\"e\":null}" },
        { "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}" },
        { "{\"a\":1}", "{\"a\":{\"b\":2,\"c\":null}}", "{\"a\":{\"b\":2}}" },
        { "{\"a\":1}", "{}", "{\"a\":1}" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *config = must_parse(cases[i].config);
        json_t *patch = must_parse(cases[i].patch);
        keyconfig_merge(config, patch);
        assert_text(config, cases[i].merged);
        assert_text(patch, cases[i].patch);
        json_decref(config);
        json_decref(patch);
    }
}

Test(keyconfig, a_merged_configuration_shares_nothing_with_its_patch) {
    json_t *config = must_parse("{}");
    json_t *patch = must_parse("{\"a\":[1],\"b\":{\"c\":1}}");
    keyconfig_merge(config, patch);
    json_array_append_new(json_object_get(patch, "a"), json_integer(2));
    json_object_set_new(json_object_get(patch, "b"), "c", json_integer(2));
    assert_text(config, "{\"a\":[1],\"b\":{\"c\":1}}");
    json_decref(config);
    json_decref(patch);
}

/* A random tree of few names, so that merges meet; with `nulls` it may be a patch. */
static json_t *random_tree(struct seed *seed, int depth, bool nulls) {
    json_t *object = json_object();
    for (uint64_t n = seed_below(seed, 4); n > 0; n--) {
        char name[] = { (char)('a' + seed_below(seed, 4)), '\0' };
        uint64_t kind = seed_below(seed, 4);
        if (kind == 0 && nulls)
            json_object_set_new(object, name, json_null());
        else if (kind == 1 && depth > 0)
            json_object_set_new(object, name, random_tree(seed, depth - 1, nulls));
        else
            json_object_set_new(object, name, json_integer((json_int_t)seed_below(seed, 9)));
    }
    return object;
}

Test(keyconfig, merging_the_same_patch_twice_changes_nothing_more) {
    struct seed seed = seed_begin("keyconfig, merging_the_same_patch_twice");
    for (int i = 0; i < 5000; i++) {
        json_t *config = random_tree(&seed, 3, false);
        json_t *patch = random_tree(&seed, 3, true);
        keyconfig_merge(config, patch);
        json_t *once = json_deep_copy(config);
        keyconfig_merge(config, patch);
        cr_assert(json_equal(once, config));
        const char *name;
        json_t *value;
        json_object_foreach(patch, name, value) {
            json_t *merged = json_object_get(config, name);
            cr_assert(json_is_null(value)     ? !merged
                      : json_is_object(value) ? json_is_object(merged)
                                              : json_equal(value, merged));
        }
        json_decref(once);
        json_decref(config);
        json_decref(patch);
    }
}

/* ---- masks ---- */

Test(keyconfig, a_masked_copy_hides_secrets_at_every_depth) {
    json_t *masked = keyconfig_masked(
        "{\"api_key\":\"" SECRET "\",\"organization\":\"org-1\",\"max_tokens\":4096,"
        "\"Client_Secret\":\"Secret\",\"nested\":{\"accessToken\":\"Secret\",\"region\":\"eu\","
        "\"api_key\":\"" SECRET "\",\"list\":[{\"passwd\":\"Secret\"},\"shown\"]},"
        "\"credentials\":{\"user\":\"Secret\",\"deep\":[\"Secret\",1]},"
        "\"headers\":{\"Authorization\":\"Bearer Secret\"},\"base_url\":\"https://h\"}",
        openai());
    assert_text(masked, "{\"Client_Secret\":\"…\",\"api_key\":\"sk-proj-…0123\","
                        "\"base_url\":\"https://h\","
                        "\"credentials\":{\"deep\":[\"…\",1],\"user\":\"…\"},"
                        "\"headers\":{\"Authorization\":\"…\"},\"max_tokens\":4096,"
                        "\"nested\":{\"accessToken\":\"…\",\"api_key\":\"…\","
                        "\"list\":[{\"passwd\":\"…\"},\"shown\"],\"region\":\"eu\"},"
                        "\"organization\":\"org-1\"}");
    json_decref(masked);
}

Test(keyconfig, a_masked_copy_of_what_is_no_object_is_empty) {
    const char *const texts[] = { "", "Secret", "[\"Secret\"]", "{\"api_key\":\"Secret" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_t *masked = keyconfig_masked(texts[i], openai());
        assert_text(masked, "{}");
        json_decref(masked);
    }
}

/* ---- what workers are handed ---- */

/* `expected` is the environment with | for each NUL. */
static void assert_handout(const char *vendor, const char *pool_base_url, const char *config,
                           const char *base_url, const char *auth_header, const char *expected) {
    struct pool_record *pool = pool_record_new();
    struct key_record *key = key_record_new();
    record_set_string(&pool->vendor, vendor);
    record_set_string(&pool->base_url, pool_base_url);
    record_set_string(&key->config, config);
    struct keyconfig_handout handout;
    keyconfig_handout_init(&handout, key, pool);
    cr_assert_str_eq(handout.api_key, "k1");
    cr_assert_str_eq(handout.base_url, base_url);
    cr_assert_str_eq(handout.auth_header, auth_header);
    cr_assert_eq(handout.environment_size, strlen(expected), "%s: %zu bytes", vendor,
                 handout.environment_size);
    for (size_t i = 0; i < handout.environment_size; i++)
        cr_assert_eq(handout.environment[i], expected[i] == '|' ? '\0' : expected[i],
                     "%s: byte %zu of %s", vendor, i, expected);
    keyconfig_handout_deinit(&handout);
    cr_assert_null(handout.api_key);
    key_record_unref(key);
    pool_record_unref(pool);
}

Test(keyconfig, the_key_s_address_goes_before_the_pool_s_and_the_vendor_s) {
    const char *bare = "{\"api_key\":\"k1\"}";
    const char *own = "{\"api_key\":\"k1\",\"base_url\":\"https://key.example\"}";
    const char *header = "Authorization: Bearer k1";
    assert_handout("openai", "", bare, "https://api.openai.com/v1", header,
                   "OPENAI_API_KEY=k1|OPENAI_BASE_URL=https://api.openai.com/v1||");
    assert_handout("openai", "https://pool.example", bare, "https://pool.example", header,
                   "OPENAI_API_KEY=k1|OPENAI_BASE_URL=https://pool.example||");
    assert_handout("openai", "https://pool.example", own, "https://key.example", header,
                   "OPENAI_API_KEY=k1|OPENAI_BASE_URL=https://key.example||");
    assert_handout("openai", "", own, "https://key.example", header,
                   "OPENAI_API_KEY=k1|OPENAI_BASE_URL=https://key.example||");
}

Test(keyconfig, each_vendor_s_header_and_variables_are_its_own) {
    const char *bare = "{\"api_key\":\"k1\"}";
    assert_handout("anthropic", "", bare, "https://api.anthropic.com", "x-api-key: k1",
                   "ANTHROPIC_API_KEY=k1|ANTHROPIC_BASE_URL=https://api.anthropic.com||");
    assert_handout("mistral", "", bare, "https://api.mistral.ai/v1", "Authorization: Bearer k1",
                   "MISTRAL_API_KEY=k1||");
    assert_handout("generic", "", bare, "", "Authorization: Bearer k1", "OPENAI_API_KEY=k1||");
    assert_handout("from-the-future", "https://h", bare, "https://h", "Authorization: Bearer k1",
                   "OPENAI_API_KEY=k1|OPENAI_BASE_URL=https://h||");
}

Test(keyconfig, what_a_vendor_s_client_adds_to_its_address_is_left_out_of_the_variable) {
    const char *bare = "{\"api_key\":\"k1\"}";
    assert_handout("groq", "", bare, "https://api.groq.com/openai/v1", "Authorization: Bearer k1",
                   "GROQ_API_KEY=k1|GROQ_BASE_URL=https://api.groq.com||");
    assert_handout("groq", "https://proxy.example", bare, "https://proxy.example",
                   "Authorization: Bearer k1",
                   "GROQ_API_KEY=k1|GROQ_BASE_URL=https://proxy.example||");
    assert_handout("azure", "https://r.openai.azure.com/openai", bare,
                   "https://r.openai.azure.com/openai", "api-key: k1",
                   "AZURE_OPENAI_API_KEY=k1|AZURE_OPENAI_ENDPOINT=https://r.openai.azure.com||");
}

/* ---- anything at all ---- */

Test(keyconfig, any_payload_is_refused_or_becomes_what_a_header_can_carry) {
    static const char *const pieces[] = {
        "{",      "}",     "\"",   "api_key", "base_url", ":",    ",",    "[",
        "]",      "null",  "1e5",  "\\u00",   "https://", "h",    "\r\n", " ",
        "\xc3",   "\xa9",  SECRET, "true",    "\\",       "\x01", "\xff", "{\"api_key\":\"k\"",
        "\"a\":", "\"h\"",
    };
    struct seed seed = seed_begin("keyconfig, any_payload");
    size_t taken = 0;
    for (int i = 0; i < 30000; i++) {
        char payload[512] = "";
        for (uint64_t n = 1 + seed_below(&seed, 8); n > 0; n--)
            strcat(payload, pieces[seed_below(&seed, sizeof pieces / sizeof *pieces)]);
        struct refusal refusal = { 0 };
        json_t *config = parse(payload, &refusal);
        int refused = config ? keyconfig_check(config, openai(), "", &refusal) : refusal.code;
        cr_assert(refused == 0 || refused == refusal.code);
        cr_assert_null(strstr(refusal.message, "Secret"), "%s", refusal.message);
        if (config && !refused) {
            taken++;
            const char *key = json_string_value(json_object_get(config, "api_key"));
            cr_assert(key && *key);
            for (; *key; key++)
                cr_assert(*key > ' ' && *key < 0x7f, "%s", payload);
            char *text = keyconfig_text(config);
            json_t *again = must_parse(text);
            cr_assert(json_equal(config, again), "%s", text);
            cr_assert_eq(keyconfig_check(again, openai(), "", NULL), 0, "%s", text);
            cr_assert(json_equal(config, again), "%s", text);
            json_decref(again);
            mem_wipe_string(text);
        }
        json_decref(config);
    }
    cr_assert(taken > 100, "only %zu payloads were taken: the test tests nothing", taken);
}
