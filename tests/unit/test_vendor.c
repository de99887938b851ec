/*
 * Vendors: that every row of the table is whole, and that a mask never shows more than it may.
 */
#include "vendor.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "../support/seed.h"

Test(vendor, every_vendor_is_known_by_name_and_its_row_is_whole) {
    const char *const names[] = {
        "openai",   "azure",   "anthropic", "gemini",   "mistral",
        "deepseek", "groq",    "cohere",    "xai",      "openrouter",
        "together", "bedrock", "dashscope", "moonshot", "generic",
    };
    size_t count = sizeof names / sizeof *names;
    for (size_t i = 0; i < count; i++)
        cr_assert_not_null(vendor_find(names[i]), "%s", names[i]);
    for (size_t i = 0; i < count; i++) {
        const struct vendor *vendor = vendor_at(i);
        cr_assert_not_null(vendor, "only %zu vendors", i);
        cr_assert_eq(vendor_find(vendor->name), vendor, "%s stands twice", vendor->name);
        cr_assert(*vendor->title, "%s", vendor->name);
        cr_assert(*vendor->env_key, "%s", vendor->name);
        cr_assert_not_null(vendor->env_base_url, "%s", vendor->name);
        cr_assert_not_null(vendor->key_prefixes, "%s", vendor->name);
        cr_assert_not_null(vendor->env_cut, "%s", vendor->name);
        const char *mark = strchr(vendor->auth_format, '%');
        cr_assert(mark && strcmp(mark, "%s") == 0, "%s: one %%s, at the end", vendor->name);
        cr_assert_eq(vendor->base_url_required, !*vendor->base_url, "%s", vendor->name);
        cr_assert(!vendor->url_form || vendor->base_url_required, "%s", vendor->name);
        if (*vendor->base_url) {
            size_t length = strlen(vendor->base_url);
            cr_assert_eq(strncmp(vendor->base_url, "https://", 8), 0, "%s", vendor->name);
            cr_assert_neq(vendor->base_url[length - 1], '/', "%s", vendor->name);
        }
    }
    cr_assert_null(vendor_at(count));
    cr_assert_null(vendor_find("nobody"));
    cr_assert_null(vendor_find("OpenAI"));
    cr_assert_null(vendor_find(""));
}

Test(vendor, a_prefix_list_has_the_longest_first) {
    for (size_t i = 0; vendor_at(i); i++) {
        const char *prefix = vendor_at(i)->key_prefixes;
        size_t before = SIZE_MAX;
        while (*prefix) {
            size_t length = strcspn(prefix, " ");
            cr_assert(length > 0 && length <= before, "%s", vendor_at(i)->name);
            before = length;
            prefix += length + (prefix[length] == ' ');
        }
    }
}

Test(vendor, rate_limits_belong_to_the_account_where_the_vendor_says_so) {
    const char *const account[] = { "openai",     "azure",    "anthropic", "gemini",   "mistral",
                                    "deepseek",   "groq",     "xai",       "together", "bedrock",
                                    "openrouter", "moonshot", "dashscope" };
    size_t found = 0;
    for (size_t i = 0; vendor_at(i); i++)
        found += vendor_at(i)->rate_is_account;
    cr_assert_eq(found, sizeof account / sizeof *account);
    for (size_t i = 0; i < sizeof account / sizeof *account; i++)
        cr_assert(vendor_find(account[i])->rate_is_account, "%s", account[i]);
}

Test(vendor, a_mask_shows_the_prefix_and_the_last_four) {
    const struct {
        const char *vendor;
        const char *api_key;
        const char *mask;
    } cases[] = {
        { "openai", "sk-proj-abcdefghijklmnopqrstuvwxyz", "sk-proj-…wxyz" },
        { "openai", "sk-svcacct-abcdefgh1234", "sk-svcacct-…1234" },
        { "openai", "sk-abcdefgh1234", "sk-…1234" },
        { "openai", "abcdefgh1234", "…1234" },
        { "openai", "abcdefg1234", "…" },
        { "openai", "sk-proj-abcdefgh1234", "sk-proj-…1234" },
        { "openai", "sk-proj-abcdefg1234", "…" },
        { "anthropic", "sk-ant-api03-abcdefghWXYZ", "sk-ant-api03-…WXYZ" },
        { "anthropic", "sk-ant-other-abcdefghWXYZ", "sk-ant-…WXYZ" },
        { "gemini", "AIzaSyABCDEFGH1234", "AIza…1234" },
        { "gemini", "AQ.SyABCDEFGH1234", "AQ.…1234" },
        { "groq", "gsk_abcdefgh1234", "gsk_…1234" },
        { "groq", "GSK_abcdefgh1234", "…1234" },
        { "mistral", "abcdefghijklmnop", "…mnop" },
        { "mistral", "", "…" },
        { "mistral", "abcd", "…" },
        { "openrouter", "sk-or-v1-0123456789abcdef", "sk-or-v1-…cdef" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *mask = vendor_mask(vendor_find(cases[i].vendor), cases[i].api_key);
        cr_assert_str_eq(mask, cases[i].mask, "%s %s became %s", cases[i].vendor, cases[i].api_key,
                         mask);
        free(mask);
    }
    char *mask = vendor_mask(NULL, "sk-proj-abcdefghijklmnop");
    cr_assert_str_eq(mask, "…mnop");
    free(mask);
}

static bool has_prefix_in(const char *list, const char *text, size_t length) {
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, " ");
        if (n == length && strncmp(p, text, n) == 0)
            return true;
        p += n + (p[n] == ' ');
    }
    return false;
}

Test(vendor, a_mask_always_hides_at_least_eight_characters_of_any_key) {
    static const char letters[] = "sk-proantgAIzxv1_0ABSK.";
    struct seed seed = seed_begin("vendor, a_mask_always_hides");
    for (int i = 0; i < 20000; i++) {
        size_t count = 0;
        while (vendor_at(count))
            count++;
        const struct vendor *vendor = vendor_at(seed_below(&seed, count));
        char key[64] = "";
        size_t length = 0;
        if (*vendor->key_prefixes && seed_below(&seed, 2)) {
            length = strcspn(vendor->key_prefixes, " ");
            memcpy(key, vendor->key_prefixes, length);
        }
        size_t more = seed_below(&seed, 30);
        for (size_t n = 0; n < more; n++)
            key[length++] = letters[seed_below(&seed, sizeof letters - 1)];
        key[length] = '\0';
        char *mask = vendor_mask(vendor, key);
        char *gap = strstr(mask, "…");
        cr_assert_not_null(gap);
        size_t head = (size_t)(gap - mask);
        const char *tail = gap + strlen("…");
        cr_assert(head == 0 || has_prefix_in(vendor->key_prefixes, mask, head), "%s: %s",
                  vendor->name, mask);
        cr_assert_eq(strncmp(mask, key, head), 0);
        cr_assert(strlen(tail) == 0 || strlen(tail) == 4, "%s", mask);
        cr_assert_str_eq(tail, key + length - strlen(tail));
        cr_assert(head + strlen(tail) == 0 || length - head - strlen(tail) >= 8, "%s of %s", mask,
                  key);
        free(mask);
    }
}

Test(vendor, a_field_has_a_name_and_a_title_and_stands_once) {
    for (size_t i = 0; vendor_at(i); i++) {
        const struct vendor_field *first = vendor_at(i)->fields;
        for (const struct vendor_field *field = first; field && field->name; field++) {
            cr_expect(field->title && *field->title, "%s %s", vendor_at(i)->name, field->name);
            cr_expect_str_neq(field->name, "api_key");
            cr_expect_str_neq(field->name, "base_url");
            for (const struct vendor_field *other = first; other != field; other++)
                cr_expect_str_neq(other->name, field->name, "%s", vendor_at(i)->name);
        }
    }
}
