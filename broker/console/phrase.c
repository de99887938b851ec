/* See phrase.h. */
#include "phrase.h"

#include <stdlib.h>
#include <string.h>

#include "../memory.h"

static const struct allowed {
    const char *verb;
    const char *nouns; /* of the second word; "" = any word */
    bool large;
} ALLOWED[] = {
    { "show", " pools pool keys key vendors vendor events info ", false },
    { "add", " pool key ", false },
    { "set", " pool key ", false },
    { "delete", " pool key ", false },
    { "enable", " key ", false },
    { "disable", " key ", false },
    { "move", " key ", false },
    { "order", " keys ", true },
    { "import", "", true },
};

static bool has_word(const char *list, const char *word) {
    size_t length = strlen(word);
    if (!length || strchr(word, ' '))
        return false;
    for (const char *at = list; (at = strstr(at, word)); at++)
        if (at[-1] == ' ' && at[length] == ' ')
            return true;
    return false;
}

static const struct allowed *find_allowed(const char *verb, const char *noun) {
    for (size_t i = 0; i < sizeof ALLOWED / sizeof *ALLOWED; i++)
        if (strcmp(ALLOWED[i].verb, verb) == 0)
            return !*ALLOWED[i].nouns || has_word(ALLOWED[i].nouns, noun) ? &ALLOWED[i] : NULL;
    return NULL;
}

static int no_memory(struct refusal *refusal) {
    return refuse(refusal, REFUSED_UNAVAILABLE, "no-memory", "", "no memory for the command");
}

/* ---- words ---- */

/* What needs no quotes; `<` is not among them, so no word is taken for a payload's announcement. */
static const char PLAIN[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                            "._-+=:/@%,#";

bool phrase_quote(struct buffer *out, const char *word) {
    for (const char *at = word; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            return false;
    if (*word && !word[strspn(word, PLAIN)])
        return buffer_append_text(out, word);
    bool done = buffer_append_text(out, "\"");
    for (const char *at = word; *at && done; at++) {
        if (*at == '"' || *at == '\\')
            done = buffer_append_text(out, "\\");
        done = done && buffer_append(out, at, 1);
    }
    return done && buffer_append_text(out, "\"");
}

static int write_line(struct buffer *out, const json_t *words, struct refusal *refusal) {
    if (!buffer_append_text(out, "json"))
        return no_memory(refusal);
    for (size_t i = 0; i < json_array_size(words); i++) {
        const char *word = json_string_value(json_array_get(words, i));
        if (!word)
            return refuse(refusal, REFUSED_SYNTAX, "bad-words", "words", "words are strings");
        if (!buffer_append_text(out, " ") || !phrase_quote(out, word))
            return refuse(refusal, REFUSED_SYNTAX, "bad-words", "words",
                          "a word has a control character");
        if (buffer_length(out) > PHRASE_LINE_MAX)
            return refuse(refusal, REFUSED_TOO_LARGE, "too-many-words", "words",
                          "the command is too long: send what is many as payload");
    }
    return 0;
}

/* ---- the payload ---- */

/* As text; the caller wipes it. NULL: it is of a kind that no command takes. */
static char *payload_text(const json_t *payload, size_t *ret_length) {
    char *text = json_is_string(payload) ? mem_strdup(json_string_value(payload))
                 : json_is_object(payload) || json_is_array(payload)
                     ? json_dumps(payload, JSON_COMPACT)
                     : NULL;
    *ret_length = text ? strlen(text) : 0;
    return text;
}

static int write_payload(struct buffer *out, const json_t *payload, struct refusal *refusal) {
    if (!payload || json_is_null(payload))
        return buffer_append_text(out, "\n") ? 0 : no_memory(refusal);
    size_t length;
    char *text = payload_text(payload, &length);
    if (!text)
        return refuse(refusal, REFUSED_SYNTAX, "bad-payload", "payload",
                      "a payload is an object, an array or a string");
    bool done = buffer_printf(out, " <<%zu\n", length) && buffer_append(out, text, length);
    mem_wipe_string(text);
    return done ? 0 : no_memory(refusal);
}

/* ---- the whole ---- */

static const char *word_at(const json_t *words, size_t index) {
    const char *word = json_string_value(json_array_get(words, index));
    return word ? word : "";
}

static int write_phrase(struct phrase *phrase, const json_t *request, size_t size,
                        struct refusal *refusal) {
    const json_t *words = json_object_get(request, "words");
    if (!json_is_array(words) || !json_array_size(words))
        return refuse(refusal, REFUSED_SYNTAX, "bad-request", "words",
                      "{\"words\":[…],\"payload\":…} is expected");
    const struct allowed *allowed = find_allowed(word_at(words, 0), word_at(words, 1));
    if (!allowed)
        return refuse(refusal, REFUSED_FORBIDDEN, "not-here", "words",
                      "that command is not for the console: use keybroker");
    if (size > PHRASE_BODY_MAX && !allowed->large)
        return refuse(refusal, REFUSED_TOO_LARGE, "too-large", "", "at most %u bytes are taken",
                      (unsigned)PHRASE_BODY_MAX);
    phrase->changes = strcmp(allowed->verb, "show") != 0;
    int refused = write_line(&phrase->bytes, words, refusal);
    return refused ? refused
                   : write_payload(&phrase->bytes, json_object_get(request, "payload"), refusal);
}

int phrase_read(struct phrase *ret, const char *body, size_t size, struct refusal *refusal) {
    json_t *request = json_loadb(body, size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(request)) {
        json_decref(request);
        return refuse(refusal, REFUSED_SYNTAX, "bad-request", "", "the body is no JSON object");
    }
    struct phrase phrase = { 0 };
    int refused = write_phrase(&phrase, request, size, refusal);
    json_decref(request);
    if (refused)
        phrase_deinit(&phrase);
    else
        *ret = phrase;
    return refused;
}

void phrase_deinit(struct phrase *phrase) {
    buffer_deinit(&phrase->bytes);
}
