/*
 * See benched.h. Only what a report did counts: a command's event is older than its effect, which
 * waits for the disk.
 */
#include "benched.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Workers go by a key's deadline themselves, and may use it a little before the broker says so. */
enum { EARLY_NS = 20 * 1000 * 1000 };

static const char *word(const json_t *object, const char *name) {
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

/* "2026-03-15T12:00:00.123Z"; 0 if it is none. */
static int64_t time_ns(const char *text) {
    struct tm utc = { 0 };
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);
    if (!rest)
        return 0;
    int64_t millis = *rest == '.' ? strtol(rest + 1, NULL, 10) : 0;
    return ((int64_t)timegm(&utc) * 1000 + millis) * 1000000;
}

static struct spell *open_spell(struct benched *benched, const char *key) {
    for (unsigned i = 0; i < benched->count; i++)
        if (benched->spells[i].until_ns == 0 && strcmp(benched->spells[i].key, key) == 0)
            return &benched->spells[i];
    return NULL;
}

void benched_read(struct benched *benched, const json_t *events) {
    size_t i;
    json_t *event;
    json_array_foreach(events, i, event) {
        const char *key = word(event, "key");
        struct spell *spell = open_spell(benched, key);
        int64_t at_ns = time_ns(word(event, "time"));
        if (strcmp(word(event, "kind"), "status") != 0)
            continue;
        if (strcmp(word(event, "to"), "normal") == 0) {
            if (spell)
                spell->until_ns = at_ns - EARLY_NS;
        } else if (*word(event, "class") && !spell && benched->count < SPELLS_MAX) {
            spell = &benched->spells[benched->count++];
            snprintf(spell->key, sizeof(spell->key), "%s", key);
            spell->from_ns = at_ns + 1000000;
            spell->until_ns = 0;
        }
    }
}

/* For how long the key had been benched by then; 0 if it was not, or not for long. */
static int64_t late_us(const struct benched *benched, const char *key, int64_t at_ns) {
    for (unsigned i = 0; i < benched->count; i++) {
        const struct spell *spell = &benched->spells[i];
        int64_t us = (at_ns - spell->from_ns) / 1000;
        if (strcmp(spell->key, key) == 0 && us > GRACE_US &&
            (spell->until_ns == 0 || at_ns < spell->until_ns))
            return us;
    }
    return 0;
}

void benched_judge(struct benched *benched, const char *key, int64_t chosen_ns, int64_t reached_ns,
                   int64_t taken_ns) {
    int64_t us = late_us(benched, key, reached_ns);
    benched->chosen += late_us(benched, key, chosen_ns) > 0;
    benched->reached += us > 0;
    benched->taken += late_us(benched, key, taken_ns) > 0;
    if (us > benched->latest_us)
        benched->latest_us = us;
}
