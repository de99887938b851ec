/*
 * Commands: one table carries every command's words, arguments, level, payload, help and function,
 * so that parsing, authorisation and help cannot drift apart. The same words stand after
 * `keybroker`.
 *
 *   command.c           the table and its use: finding, running, help; request.c: arguments
 *   command_show.c      show …            command_pool.c, command_key.c     what changes them
 *   command_export.c, command_import.c    a whole pool as a document
 *   command_upkeep.c    the whole store: backup, master key
 */
#ifndef BROKER_COMMAND_H
#define BROKER_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "change.h"
#include "model.h"
#include "refusal.h"

struct errand;
struct listing;
struct reply;
struct server;
struct session;

enum command_level { LEVEL_NONE, LEVEL_VIEW, LEVEL_CHANGE };

enum { COMMAND_OPTIONS_MAX = 12 };

/* One command being carried out. */
struct request {
    struct server *server;
    struct session *session;
    struct reply *reply;
    const struct command *command;
    struct cause cause;
    char **arguments; /* positional ones, after the command's words */
    size_t argument_count;
    struct {
        const char *name;
        const char *value;
    } options[COMMAND_OPTIONS_MAX];
    size_t option_count;
    const char *payload; /* NUL-terminated; NULL = none came */
    size_t payload_length;
    /* What the handler leaves: a changeset that is not empty is staged and answered after its
     * commit. */
    struct changeset set;
    json_t *body;
    char *text;
    struct listing *listing;
    struct errand *errand;  /* answered when the committer has carried it out */
    const char *unrecorded; /* as a reply's (session.h): the changeset is a record */
    uint64_t opened_pool;   /* an outlet that must go if the command is refused after all */
};

/* 0, or a refusal's code with *refusal filled. */
typedef int (*command_handler)(struct request *request, struct refusal *refusal);

enum command_payload { PAYLOAD_NONE, PAYLOAD_OPTIONAL, PAYLOAD_REQUIRED };

struct command {
    const char *words;   /* "add key" */
    const char *usage;   /* what follows them */
    const char *options; /* names that may be given as NAME=VALUE, space-separated */
    size_t min_arguments, max_arguments;
    enum command_level level;
    enum command_payload payload;
    size_t payload_limit;
    command_handler handler;
    const char *help;
};

/*
 * Run one line (overwritten) with its payload. Fills *reply; it is ready now, or later when it was
 * staged.
 */
void command_run(struct session *session, char *line, const char *payload, size_t payload_length,
                 struct reply *reply);
/* How long the payload of the command in this line may be; 0 = it takes none or is unknown. */
size_t command_payload_limit(const char *line);
/* Does the command in the line (of so many bytes) change nothing? */
bool command_only_looks(const char *line, size_t length);

const struct command *command_at(size_t index); /* NULL = past the last */

/* ---- request.c: what the words say ---- */

/* Sort the words after the command's own into arguments and options. 0 or a refusal's code. */
int request_sort_words(struct request *request, char **words, size_t count,
                       struct refusal *refusal);

const char *request_option(const struct request *request, const char *name); /* NULL = not given */
/* Whole decimal numbers in a range; a refusal otherwise. *ret keeps its value where not given. */
int request_number(const struct request *request, const char *name, uint64_t least, uint64_t most,
                   uint64_t *ret, struct refusal *refusal);
/* duplicate=allow: may another key of the pool have the same secret? */
int request_duplicate(const struct request *request, bool *ret_allowed, struct refusal *refusal);
int request_pool(struct request *request, struct model_pool **ret_pool, struct refusal *refusal);
/* Pool and key from the first two arguments. */
int request_key(struct request *request, struct model_pool **ret_pool, struct model_key **ret_key,
                struct refusal *refusal);
/* The payload as a key's config; NULL with a refusal's code. Caller json_decref()s. */
int request_config(const struct request *request, json_t **ret_config, struct refusal *refusal);
/* {"message": …} for changes. */
json_t *request_message(const char *format, ...) __attribute__((format(printf, 1, 2)));

int command_show(struct request *request, struct refusal *refusal);
int command_show_list(struct request *request, struct refusal *refusal);
int command_add_pool(struct request *request, struct refusal *refusal);
int command_set_pool(struct request *request, struct refusal *refusal);
int command_delete_pool(struct request *request, struct refusal *refusal);
int command_add_key(struct request *request, struct refusal *refusal);
int command_set_key(struct request *request, struct refusal *refusal);
int command_enable_key(struct request *request, struct refusal *refusal);
int command_disable_key(struct request *request, struct refusal *refusal);
int command_delete_key(struct request *request, struct refusal *refusal);
int command_move_key(struct request *request, struct refusal *refusal);
int command_order_keys(struct request *request, struct refusal *refusal);
int command_export(struct request *request, struct refusal *refusal);
int command_import(struct request *request, struct refusal *refusal);
int command_backup(struct request *request, struct refusal *refusal);
int command_rotate(struct request *request, struct refusal *refusal);
int command_watch(struct request *request, struct refusal *refusal);
int command_help(struct request *request, struct refusal *refusal);
int command_quit(struct request *request, struct refusal *refusal);

#endif
