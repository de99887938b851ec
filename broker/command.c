/* See command.h: the table, and what every command has in common. */
#include "command.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errand.h"
#include "listing.h"
#include "memory.h"
#include "server.h"
#include "session.h"
#include "words.h"

#define LISTS "status match offset limit"

static const struct command COMMANDS[] = {
    { .words = "show",
      .usage = "info | pool POOL | key POOL KEY | vendor NAME | metrics",
      .options = "",
      .min_arguments = 1,
      .max_arguments = 3,
      .level = LEVEL_VIEW,
      .handler = command_show,
      .help = "one thing in full" },
    { .words = "show pools",
      .usage = "[match=TEXT] [offset=N] [limit=N]",
      .options = "match offset limit",
      .level = LEVEL_VIEW,
      .handler = command_show_list,
      .help = "every pool: vendor, current key, counts by status" },
    { .words = "show keys",
      .usage = "POOL [status=S] [match=TEXT] [offset=N] [limit=N]",
      .options = LISTS,
      .min_arguments = 1,
      .max_arguments = 1,
      .level = LEVEL_VIEW,
      .handler = command_show_list,
      .help = "a pool's keys in order of priority; match looks at name, account and note" },
    { .words = "show vendors",
      .usage = "[match=TEXT] [offset=N] [limit=N]",
      .options = "match offset limit",
      .level = LEVEL_VIEW,
      .handler = command_show_list,
      .help = "the vendors that a pool can belong to" },
    { .words = "show events",
      .usage = "[pool=POOL] [key=KEY] [since=SEQ] [limit=N]",
      .options = "pool key since limit",
      .level = LEVEL_VIEW,
      .handler = command_show_list,
      .help = "what happened, newest 100 unless told; since=SEQ shows what came after SEQ" },
    { .words = "add pool",
      .usage = "POOL vendor=VENDOR [group=GROUP] [strategy=priority|spread] "
               "[exceeded-recovery=WHEN] [error-recovery=WHEN] [base_url=URL] [guard=on|off|N%]",
      .options = "vendor group strategy exceeded-recovery error-recovery base_url guard",
      .min_arguments = 1,
      .max_arguments = 1,
      .level = LEVEL_CHANGE,
      .payload = PAYLOAD_REQUIRED,
      .payload_limit = SESSION_PAYLOAD_MAX,
      .handler = command_add_pool,
      .help = "make a pool; the payload is its default key: an API key or a JSON config" },
    { .words = "set pool",
      .usage = "POOL [group=GROUP] [strategy=priority|spread] [exceeded-recovery=WHEN] "
               "[error-recovery=WHEN] [base_url=URL] [guard=on|off|N%] [rule=RULE] [rules=default] "
               "[if-revision=N]",
      .options =
          "group strategy exceeded-recovery error-recovery base_url guard rule rules if-revision",
      .min_arguments = 1,
      .max_arguments = 1,
      .level = LEVEL_CHANGE,
      .handler = command_set_pool,
      .help = "change a pool; WHEN is never, a duration, daily@HH:MM[+HH:MM] or monthly@DAY; a "
              "RULE (STATUS [WHERE=TEXT] CLASS [SCOPE]) goes before the vendor's" },
    { .words = "delete pool",
      .usage = "POOL confirm=POOL [if-revision=N]",
      .options = "confirm if-revision",
      .min_arguments = 1,
      .max_arguments = 1,
      .level = LEVEL_CHANGE,
      .handler = command_delete_pool,
      .help = "delete a pool with all its keys; confirm repeats its name" },
    { .words = "add key",
      .usage = "POOL [name=NAME] [expires=TIME] [account=LABEL] [weight=N] [note=TEXT] "
               "[duplicate=allow] [if-revision=N]",
      .options = "name expires account weight note duplicate if-revision",
      .min_arguments = 1,
      .max_arguments = 1,
      .level = LEVEL_CHANGE,
      .payload = PAYLOAD_REQUIRED,
      .payload_limit = SESSION_PAYLOAD_MAX,
      .handler = command_add_key,
      .help = "add a key at the end; TIME is never, 2027-01-31 (to its end), '2027-01-31 12:00' "
              "(both in the broker's zone), RFC 3339, or from now +30d, +2w, +1y" },
    { .words = "set key",
      .usage = "POOL KEY [name=] [expires=] [account=] [weight=] [note=] [config=merge|replace] "
               "[duplicate=allow] [if-revision=N]",
      .options = "name expires account weight note config duplicate if-revision",
      .min_arguments = 2,
      .max_arguments = 2,
      .level = LEVEL_CHANGE,
      .payload = PAYLOAD_OPTIONAL,
      .payload_limit = SESSION_PAYLOAD_MAX,
      .handler = command_set_key,
      .help = "change a key; with config= the payload is merged (RFC 7396) or replaces" },
    { .words = "enable key",
      .usage = "POOL KEY [if-revision=N]",
      .options = "if-revision",
      .min_arguments = 2,
      .max_arguments = 2,
      .level = LEVEL_CHANGE,
      .handler = command_enable_key,
      .help = "make a key normal, whatever it was" },
    { .words = "disable key",
      .usage = "POOL KEY [if-revision=N]",
      .options = "if-revision",
      .min_arguments = 2,
      .max_arguments = 2,
      .level = LEVEL_CHANGE,
      .handler = command_disable_key,
      .help = "hand a key out no more until it is enabled" },
    { .words = "delete key",
      .usage = "POOL KEY [if-revision=N]",
      .options = "if-revision",
      .min_arguments = 2,
      .max_arguments = 2,
      .level = LEVEL_CHANGE,
      .handler = command_delete_key,
      .help = "delete a key; the default key stays" },
    { .words = "move key",
      .usage = "POOL KEY first|last|up|down|before OTHER|after OTHER|to N [if-revision=N]",
      .options = "if-revision",
      .min_arguments = 3,
      .max_arguments = 4,
      .level = LEVEL_CHANGE,
      .handler = command_move_key,
      .help = "move a key in the order; position 1 is used first" },
    { .words = "order keys",
      .usage = "POOL [KEY...] [if-revision=N]",
      .options = "if-revision",
      .min_arguments = 1,
      .max_arguments = WORDS_MAX,
      .level = LEVEL_CHANGE,
      .payload = PAYLOAD_OPTIONAL,
      .payload_limit = SESSION_IMPORT_MAX,
      .handler = command_order_keys,
      .help = "the whole order at once; a JSON array of names as payload when it is long" },
    { .words = "export",
      .usage = "POOL [secrets=yes]",
      .options = "secrets",
      .min_arguments = 1,
      .max_arguments = 1,
      .level = LEVEL_VIEW,
      .handler = command_export,
      .help = "a pool as JSON; secrets are masked unless secrets=yes (an admin's right, and "
              "recorded as an event)" },
    { .words = "import",
      .usage = "POOL [mode=create|merge|replace] [dry-run] [duplicate=allow] [if-revision=N]",
      .options = "mode duplicate if-revision",
      .min_arguments = 1,
      .max_arguments = 2,
      .level = LEVEL_CHANGE,
      .payload = PAYLOAD_REQUIRED,
      .payload_limit = SESSION_IMPORT_MAX,
      .handler = command_import,
      .help = "take in what export printed, all or nothing; prints the difference" },
    { .words = "backup",
      .usage = "FILE",
      .options = "",
      .min_arguments = 1,
      .max_arguments = 1,
      .level = LEVEL_CHANGE,
      .handler = command_backup,
      .help = "copy the whole store to a new file (whole path, broker's host and rights, 0600); it "
              "stays encrypted: keep the master key too, and elsewhere. keybrokerd --restore FILE "
              "brings it back" },
    { .words = "rotate master-key",
      .usage = "[given]",
      .options = "",
      .max_arguments = 1,
      .level = LEVEL_CHANGE,
      .payload = PAYLOAD_OPTIONAL,
      .payload_limit = SESSION_LINE_MAX,
      .handler = command_rotate,
      .help = "wrap the store's key with a new master key and replace its file; given: the payload "
              "is the new key (64 hex digits), which you put in place yourself. Older backups need "
              "the older key" },
    { .words = "watch",
      .usage = "[pool=POOL] [since=SEQ]",
      .options = "pool since",
      .level = LEVEL_VIEW,
      .handler = command_watch,
      .help = "events as they happen, one line each, and a heartbeat every second" },
    { .words = "help",
      .usage = "[COMMAND]",
      .options = "",
      .max_arguments = 3,
      .level = LEVEL_VIEW,
      .handler = command_help,
      .help = "this list, or one command" },
    { .words = "quit",
      .usage = "",
      .options = "",
      .level = LEVEL_VIEW,
      .handler = command_quit,
      .help = "close the session" },
};

const struct command *command_at(size_t index) {
    return index < sizeof COMMANDS / sizeof *COMMANDS ? &COMMANDS[index] : NULL;
}

/* Two words count before one: "show keys" is not "show" with an argument. */
static const struct command *find(char **words, size_t count, size_t *ret_words) {
    for (size_t want = count < 2 ? count : 2; want >= 1; want--) {
        char text[64];
        snprintf(text, sizeof text, want == 2 ? "%s %s" : "%s", words[0],
                 want == 2 ? words[1] : "");
        for (size_t i = 0; command_at(i); i++)
            if (strcmp(command_at(i)->words, text) == 0) {
                *ret_words = want;
                return command_at(i);
            }
    }
    return NULL;
}

/* The command of a line, as far as its first words tell; NULL = none. */
static const struct command *command_of(const char *line, size_t length) {
    char copy[256], *words[3] = { 0 };
    const char *problem;
    snprintf(copy, sizeof copy, "%.*s", (int)length, line);
    int count = words_split(copy, words, 3, &problem);
    if (count < 0) /* more than three words, a quote cut off, no text: what was cut is there */
        for (count = 0; count < 3 && words[count];)
            count++;
    size_t first = count > 0 && strcmp(words[0], "json") == 0 ? 1 : 0, used;
    return count > (int)first ? find(words + first, (size_t)count - first, &used) : NULL;
}

size_t command_payload_limit(const char *line) {
    const struct command *command = command_of(line, strlen(line));
    return command ? command->payload_limit : 0;
}

bool command_only_looks(const char *line, size_t length) {
    const struct command *command = command_of(line, length);
    return command && command->level < LEVEL_CHANGE;
}

/* ---- running ---- */

static int check_request(struct request *request, struct refusal *refusal) {
    const struct command *command = request->command;
    if (request->session->watch.on && command->handler != command_quit)
        return refuse(refusal, REFUSED_RULE, "watching", "",
                      "this session watches: use another one for commands");
    if (request->session->level < command->level)
        return refuse(refusal, REFUSED_FORBIDDEN, "viewer", "", "you may look, not change");
    if (request->payload && command->payload == PAYLOAD_NONE)
        return refuse(refusal, REFUSED_SYNTAX, "unexpected-payload", "", "\"%s\" takes no payload",
                      command->words);
    if (!request->payload && command->payload == PAYLOAD_REQUIRED)
        return refuse(refusal, REFUSED_SYNTAX, "missing-payload", "",
                      "\"%s\" needs a payload: end the line with << and follow it with the text "
                      "and an empty line",
                      command->words);
    if (command->level == LEVEL_CHANGE && !request->server->store_ok)
        return refuse(refusal, REFUSED_UNAVAILABLE, "store-unavailable", "",
                      "nothing can be stored now (%s); trying again every second",
                      request->server->store_problem);
    return 0;
}

static int interpret(struct request *request, char *line, char **words, size_t room,
                     struct refusal *refusal) {
    const char *problem;
    int count = words_split(line, words, room, &problem);
    if (count < 0)
        return refuse(refusal, REFUSED_SYNTAX, "bad-line", "", "%s", problem);
    size_t first = 0, used = 0;
    if (count > 0 && strcmp(words[0], "json") == 0) {
        request->reply->json = true;
        first = 1;
    }
    size_t left = (size_t)count - first;
    request->command = left ? find(words + first, left, &used) : NULL;
    if (!request->command)
        return refuse(refusal, REFUSED_SYNTAX, "unknown-command", "",
                      "no such command; \"help\" lists them all");
    int refused = request_sort_words(request, words + first + used, left - used, refusal);
    return refused ? refused : check_request(request, refusal);
}

static void answer(struct request *request, int refused) {
    struct reply *reply = request->reply;
    reply->body = request->body;
    reply->text = request->text;
    reply->listing = request->listing;
    if (reply->listing)
        reply->listing->owner = reply;
    reply->alone = request->command && (request->command->level < LEVEL_CHANGE ||
                                        request->payload_length > SESSION_LINE_MAX);
    if (!refused && request->set.count) {
        reply->staged = true;
        reply->unrecorded = request->unrecorded;
        server_stage(request->server, &request->set, reply);
    } else if (!refused && request->errand) {
        reply->staged = true;
        request->errand->owner = reply;
        errand_set_actor(request->errand, &request->session->actor);
        server_send_errand(request->server, request->errand);
    } else {
        reply->ready = true;
    }
    if (refused && request->opened_pool)
        server_close_outlet(request->server, request->opened_pool, true);
}

void command_run(struct session *session, char *line, const char *payload, size_t payload_length,
                 struct reply *reply) {
    session->server->now = moment_now(); /* the turn may have begun with a long sleep */
    struct request request = {
        .server = session->server,
        .session = session,
        .reply = reply,
        .cause = { .now = session->server->now, .actor = session->actor },
        .payload = payload,
        .payload_length = payload_length,
    };
    size_t blanks = 0;
    for (const char *at = line; *at; at++)
        blanks += *at == ' ' || *at == '\t';
    size_t room = blanks < WORDS_MAX ? blanks + 1 : WORDS_MAX;
    char **words = mem_alloc(room * sizeof(char *));
    int refused = interpret(&request, line, words, room, &reply->refusal);
    assert(refused || request.command);
    if (!refused)
        refused = request.command->handler(&request, &reply->refusal);
    if (refused)
        changeset_deinit(&request.set);
    answer(&request, refused);
    free(words);
}

/* ---- help, quit, watch ---- */

static json_t *help_row(const struct command *command) {
    char *usage =
        mem_printf("%s%s%s", command->words, command->usage[0] ? " " : "", command->usage);
    json_t *row =
        json_pack("{s:s, s:s, s:s}", "usage", usage, "level",
                  command->level == LEVEL_CHANGE ? "admin" : "viewer", "help", command->help);
    free(usage);
    return row;
}

static char *help_text(const json_t *rows) {
    struct buffer text = { 0 };
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        buffer_printf(
            &text, "%s\n    %s%s\n", json_string_value(json_object_get(row, "usage")),
            json_string_value(json_object_get(row, "help")),
            strcmp(json_string_value(json_object_get(row, "level")), "admin") ? "" : " [admin]");
    }
    char *copy = mem_printf("%.*s", (int)buffer_length(&text), buffer_bytes(&text));
    buffer_deinit(&text);
    return copy;
}

int command_help(struct request *request, struct refusal *refusal) {
    char wanted[128] = "";
    for (size_t i = 0; i < request->argument_count; i++) {
        size_t used = strlen(wanted);
        snprintf(wanted + used, sizeof wanted - used, "%s%s", i ? " " : "", request->arguments[i]);
    }
    json_t *rows = json_array();
    for (size_t i = 0; command_at(i); i++)
        if (strncmp(command_at(i)->words, wanted, strlen(wanted)) == 0)
            json_array_append_new(rows, help_row(command_at(i)));
    if (!json_array_size(rows)) {
        json_decref(rows);
        return refuse(refusal, REFUSED_NOT_FOUND, "no-such-command", "COMMAND",
                      "no command %.60s; \"help\" lists them all", wanted);
    }
    if (request->reply->json)
        request->body = json_pack("{s:O}", "commands", rows);
    else
        request->text = help_text(rows);
    json_decref(rows);
    return 0;
}

int command_quit(struct request *request, struct refusal *refusal) {
    (void)refusal;
    request->session->quitting = true;
    return 0;
}

int command_watch(struct request *request, struct refusal *refusal) {
    uint64_t since = request->server->last_event, pool_id = 0;
    int refused = request_number(request, "since", 0, INT64_MAX, &since, refusal);
    const char *name = request_option(request, "pool");
    if (!refused && name) {
        const struct model_pool *pool = model_find_pool(request->server->model, name);
        if (!pool)
            return refuse(refusal, REFUSED_NOT_FOUND, "no-such-pool", "pool", "no pool %.48s",
                          name);
        pool_id = pool->record->id;
    }
    if (refused)
        return refused;
    session_begin_watch(request->session, request->reply->json, since + 1, pool_id);
    request->reply->watch = true;
    return 0;
}
