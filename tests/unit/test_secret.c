/* What an API key may not hold, and what looks like one. */
#include <string.h>

#include <criterion/criterion.h>

#include "broker/secret.h"

#define OPENAI "sk-proj-Ab3dEf6hIj9lMn2pQr5t"
#define GEMINI "AIzaSyD3xAmple0123456789abcdefghijklmn"

static struct refusal refusal;

static int check(const char *api_key) {
    refusal = (struct refusal){ 0 };
    return secret_check(api_key, &refusal);
}

Test(secret, what_vendors_give_out_is_taken_as_it_is) {
    static const char *const KEYS[] = {
        OPENAI,
        GEMINI,
        "ABSKQmVkcm9ja0FQSUtleS1leGFtcGxlOg+/=",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln_-x",
        "0123456789abcdef0123456789abcdef",
        "!#$%&()*+-./:<=>?@[\\]^_{|}~",
    };
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++)
        cr_expect_eq(check(KEYS[i]), 0, "%s: %s", KEYS[i], refusal.message);
}

Test(secret, what_is_left_of_a_list_or_a_shell_is_refused_by_its_name) {
    static const struct {
        const char *api_key, *says;
    } CASES[] = {
        { "'" OPENAI "'", "a quote" },       { "\"" OPENAI "\"", "a quote" },
        { "`" OPENAI "`", "a quote" },       { OPENAI ",", "a comma" },
        { OPENAI ";", "a semicolon" },       { "team-a " OPENAI, "a blank" },
        { OPENAI "\n", "a blank" },          { "export KEY='" OPENAI "'", "a blank" },
        { OPENAI "," GEMINI, "2 API keys" }, { GEMINI "1, " GEMINI "2\n" GEMINI "3", "3 API keys" },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        cr_expect_eq(check(CASES[i].api_key), 400, "%s", CASES[i].api_key);
        cr_expect(strstr(refusal.message, CASES[i].says), "%s: %s", CASES[i].api_key,
                  refusal.message);
        cr_expect_null(strstr(refusal.message, "proj"), "a refusal repeats no secret");
    }
}

Test(secret, a_key_is_known_by_its_looks_and_a_name_is_none) {
    static const char *const NAMES[] = { "team-a",
                                         "sk-team-a",
                                         "sk-for-the-batch-jobs-at-night",
                                         "xai-production-2",
                                         "key12",
                                         "gpt-4 for batch 2026-11-23T16:17:32Z",
                                         "org-Ab3dEf6hIj9lMn2pQr5tAb3dEf6hIj9l" };
    static const char *const KEYS[] = { OPENAI, GEMINI, "renewed, was " OPENAI,
                                        "sk-ant-api03-Ab3dEf6hIj9lMn2pQr5t", GEMINI "," OPENAI };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        cr_expect_not(secret_is_like(vendor_find("openai"), NAMES[i]), "%s", NAMES[i]);
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++)
        cr_expect(secret_is_like(NULL, KEYS[i]), "%s", KEYS[i]);
    static const char BARE[] = "0123456789abcdef0123456789abcdef";
    cr_expect(secret_is_like(vendor_find("azure"), BARE), "where keys have no prefix");
    cr_expect_not(secret_is_like(vendor_find("openai"), BARE));
    cr_expect_not(secret_is_like(NULL, BARE), "an account's number looks like that too");
    cr_expect_eq(secret_check_shown(NULL, OPENAI, "name", &refusal), 400);
    cr_expect_str_eq(refusal.field, "name");
}
