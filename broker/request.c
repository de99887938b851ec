/*
 * A request's words: arguments and options, and what handlers ask of them. Part of the commands
 * (command.h).
 */
#include "command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyconfig.h"
#include "server.h"

static bool is_listed(const char *list, const char *name, size_t length) {
    for (const char *at = list; *at;) {
        size_t word = strcspn(at, " ");
        if (word == length && strncmp(at, name, length) == 0)
            return true;
        at += word + strspn(at + word, " ");
    }
    return false;
}

static bool looks_like_option(const char *word) {
    size_t name = strspn(word, "abcdefghijklmnopqrstuvwxyz-_");
    return name && word[name] == '=';
}

/* Sort the words after the command's own into arguments and options. A word NAME=VALUE whose NAME
 * no option has is an argument where one is still missing (a key may be called a=b), else a
 * mistake. */
int request_sort_words(struct request *request, char **words, size_t count,
                       struct refusal *refusal) {
    const struct command *command = request->command;
    request->arguments = words; /* compacted in place */
    for (size_t i = 0; i < count; i++) {
        char *equals = strchr(words[i], '=');
        size_t length = equals ? (size_t)(equals - words[i]) : 0;
        if (equals && is_listed(command->options, words[i], length)) {
            *equals = '\0';
            if (request_option(request, words[i]))
                return refuse(refusal, REFUSED_SYNTAX, "repeated-option", words[i],
                              "%.32s is given twice", words[i]);
            request->options[request->option_count].name = words[i];
            request->options[request->option_count++].value = equals + 1;
        } else if (equals && looks_like_option(words[i]) &&
                   request->argument_count >= command->min_arguments) {
            *equals = '\0';
            return refuse(refusal, REFUSED_SYNTAX, "unknown-option", words[i],
                          "\"%s\" takes no %.32s=; usage: %s %s", command->words, words[i],
                          command->words, command->usage);
        } else {
            request->arguments[request->argument_count++] = words[i];
        }
    }
    if (request->argument_count < command->min_arguments ||
        request->argument_count > command->max_arguments)
        return refuse(refusal, REFUSED_SYNTAX, "wrong-arguments", "", "usage: %s %s",
                      command->words, command->usage);
    return 0;
}

const char *request_option(const struct request *request, const char *name) {
    for (size_t i = 0; i < request->option_count; i++)
        if (strcmp(request->options[i].name, name) == 0)
            return request->options[i].value;
    return NULL;
}

int request_number(const struct request *request, const char *name, uint64_t least, uint64_t most,
                   uint64_t *ret, struct refusal *refusal) {
    const char *text = request_option(request, name);
    if (!text)
        return 0;
    char *end;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || strlen(text) > 19 || number < least ||
        number > most)
        return refuse(refusal, REFUSED_SYNTAX, "bad-number", name,
                      "%s: a whole number from %llu to %llu", name, (unsigned long long)least,
                      (unsigned long long)most);
    *ret = number;
    return 0;
}

int request_duplicate(const struct request *request, bool *ret_allowed, struct refusal *refusal) {
    const char *duplicate = request_option(request, "duplicate");
    *ret_allowed = duplicate != NULL;
    if (!duplicate || strcmp(duplicate, "allow") == 0)
        return 0;
    return refuse(refusal, REFUSED_SYNTAX, "bad-option", "duplicate",
                  "duplicate=allow takes an API key that another key of the pool has; without it "
                  "that is refused");
}

static int check_revision(const struct request *request, const struct model_pool *pool,
                          struct refusal *refusal) {
    uint64_t wanted = pool->record->revision;
    int refused = request_number(request, "if-revision", 0, INT64_MAX, &wanted, refusal);
    if (refused || wanted == pool->record->revision)
        return refused;
    return refuse(refusal, REFUSED_RULE, "outdated-revision", "if-revision",
                  "the pool was changed meanwhile: it is at revision %llu",
                  (unsigned long long)pool->record->revision);
}

int request_pool(struct request *request, struct model_pool **ret_pool, struct refusal *refusal) {
    struct model_pool *pool = model_find_pool(request->server->model, request->arguments[0]);
    if (!pool)
        return refuse(refusal, REFUSED_NOT_FOUND, "no-such-pool", "POOL",
                      "no pool %.48s; \"show pools\" lists them", request->arguments[0]);
    *ret_pool = pool;
    return check_revision(request, pool, refusal);
}

int request_key(struct request *request, struct model_pool **ret_pool, struct model_key **ret_key,
                struct refusal *refusal) {
    int refused = request_pool(request, ret_pool, refusal);
    if (refused)
        return refused;
    *ret_key = model_find_key(request->server->model, *ret_pool, request->arguments[1]);
    if (*ret_key)
        return 0;
    return refuse(refusal, REFUSED_NOT_FOUND, "no-such-key", "KEY", "pool %s has no key %.100s",
                  request->arguments[0], request->arguments[1]);
}

int request_config(const struct request *request, json_t **ret_config, struct refusal *refusal) {
    json_t *config = keyconfig_parse_payload(request->payload, request->payload_length, refusal);
    if (!config)
        return refusal->code;
    if (keyconfig_has_masks(config)) {
        json_decref(config);
        return refuse(refusal, REFUSED_SYNTAX, "masked-secret", "payload",
                      "the payload shows a mask where a secret was: give the secret, or leave it "
                      "out where it shall stay");
    }
    *ret_config = config;
    return 0;
}

json_t *request_message(const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return json_pack("{s:s}", "message", text);
}
