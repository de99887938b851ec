/* See secret.h. Looks are judged so that a real key is recognised and a name that a person would
 * choose is not: keys are long and random, so some of their characters are digits or capitals. */
#include "secret.h"

#include <string.h>

enum {
    BEHIND_PREFIX = 16, /* at least so many characters; real keys have 30 and more */
    WITHOUT_PREFIX = 32,
};

static const char BETWEEN[] = " \t\r\n\"'`,;";

static size_t span_of(const char *word, size_t length, const char *set) {
    size_t span = strspn(word, set);
    return span < length ? span : length;
}

#define DIGITS "0123456789"
#define CAPITALS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define SMALL "abcdefghijklmnopqrstuvwxyz"

static bool has_any(const char *word, size_t length, const char *set) {
    return strcspn(word, set) < length;
}

/* Does the word begin as keys of this vendor do, and go on as they do? */
static bool has_prefix(const struct vendor *vendor, const char *word, size_t length) {
    for (const char *prefix = vendor->key_prefixes; *prefix;) {
        size_t size = strcspn(prefix, " ");
        if (length >= size + BEHIND_PREFIX && strncmp(word, prefix, size) == 0 &&
            has_any(word + size, length - size, DIGITS CAPITALS))
            return true;
        prefix += size + strspn(prefix + size, " ");
    }
    return false;
}

static bool is_key(const struct vendor *vendor, const char *word, size_t length) {
    for (size_t i = 0; vendor_at(i); i++)
        if (has_prefix(vendor_at(i), word, length))
            return true;
    return vendor && !vendor->key_prefixes[0] && length >= WITHOUT_PREFIX &&
           span_of(word, length, DIGITS CAPITALS SMALL) == length &&
           has_any(word, length, DIGITS) && has_any(word, length, CAPITALS SMALL);
}

static unsigned count_keys(const struct vendor *vendor, const char *text) {
    unsigned keys = 0;
    for (const char *word = text + strspn(text, BETWEEN); *word;) {
        size_t length = strcspn(word, BETWEEN);
        keys += is_key(vendor, word, length);
        word += length + strspn(word + length, BETWEEN);
    }
    return keys;
}

int secret_check(const char *api_key, struct refusal *refusal) {
    char first = api_key[strcspn(api_key, BETWEEN)];
    if (!first)
        return 0;
    unsigned keys = count_keys(NULL, api_key);
    if (keys > 1)
        return refuse(refusal, REFUSED_SYNTAX, "several-keys", "api_key",
                      "that is %u API keys: give one at a time, or import them together", keys);
    const char *what = strchr("\"'`", first) ? "a quote"
                       : first == ','        ? "a comma"
                       : first == ';'        ? "a semicolon"
                                             : "a blank";
    return refuse(refusal, REFUSED_SYNTAX, "bad-api-key", "api_key",
                  "api_key holds %s, which no API key has: give the key alone, without what stood "
                  "around it",
                  what);
}

bool secret_is_like(const struct vendor *vendor, const char *text) {
    return count_keys(vendor, text) > 0;
}

int secret_check_shown(const struct vendor *vendor, const char *text, const char *field,
                       struct refusal *refusal) {
    if (!secret_is_like(vendor, text))
        return 0;
    return refuse(refusal, REFUSED_SYNTAX, "looks-like-a-key", field,
                  "%s looks like an API key, and it is shown in lists and events: a key is given "
                  "as api_key, choose another %s",
                  field, field);
}
