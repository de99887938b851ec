/*
 * Completion; see complete.h. Called by prompt.c.
 */
#include "complete.h"
#include "admin_client.h"
#include "cli.h"
#include "view.h"

#include <jansson.h>
#include <string.h>

/*
 * The commands as far as they can be completed. A word is a literal, alternatives (a|b), POOL, KEY,
 * KEY* (any number) or ANY. Words that end in = or hold alternatives with = are options: from the
 * first one on they may come in any order, each once.
 */
static const char *const grammar[] = {
    "show info|metrics",
    "show vendor VENDOR",
    "show vendors match= offset= limit=",
    "show pools match= offset= limit=",
    "show pool POOL",
    ("show keys POOL status=normal|status=cooling|status=exceeded|status=error|status=disabled|"
     "status=expired match= offset= limit="),
    "show key POOL KEY",
    "show events pool=POOL key= since= limit=",
    ("add pool ANY vendor=VENDOR group= strategy=priority|strategy=spread "
     "exceeded-recovery= error-recovery= base_url= guard=on|guard=off"),
    "add key POOL name= expires= account= weight= note= duplicate=allow if-revision=",
    ("set pool POOL strategy=priority|strategy=spread group= exceeded-recovery= error-recovery= "
     "base_url= guard=on|guard=off rule= rules=default if-revision="),
    ("set key POOL KEY name= expires= account= weight= note= config=merge|config=replace "
     "duplicate=allow if-revision="),
    "delete pool POOL confirm=POOL if-revision=",
    "delete key POOL KEY if-revision=",
    "enable|disable key POOL KEY if-revision=",
    "move key POOL KEY first|last|up|down if-revision=",
    "move key POOL KEY before|after KEY if-revision=",
    "move key POOL KEY to ANY if-revision=",
    "order keys POOL KEY*",
    "export POOL secrets=yes",
    "import POOL mode=create|mode=merge|mode=replace dry-run duplicate=allow if-revision=",
    "backup ANY",
    "rotate master-key given",
    "watch pool=POOL since=",
    ("help show|add|set|delete|enable|disable|move|order|export|import|backup|rotate|watch|"
     "current|exec"),
    "current POOL --reveal",
    "exec POOL --",
    "quit",
};

struct search {
    char *const *words;
    size_t count;
    const char *prefix;
    cli_names_fn names;
    void *userdata;
    struct cli_words *candidates;
    const char *pool; /* the word that stood at POOL */
};

static void offer(struct search *search, const char *candidate) {
    if (strncmp(candidate, search->prefix, strlen(search->prefix)) != 0)
        return;
    for (size_t i = 0; i < search->candidates->count; i++) {
        if (strcmp(search->candidates->items[i], candidate) == 0)
            return;
    }
    cli_words_append(search->candidates, candidate);
}

/* Offer `before` joined with every name. */
static void offer_names(struct search *search, enum cli_names kind, const char *before) {
    struct cli_words names = CLI_WORDS_INIT;
    struct cli_text joined = CLI_TEXT_INIT;
    search->names(kind, search->pool, &names, search->userdata);
    for (size_t i = 0; i < names.count; i++) {
        cli_text_clear(&joined);
        cli_text_adds(&joined, before);
        cli_text_adds(&joined, names.items[i]);
        offer(search, cli_text_string(&joined));
    }
    cli_text_deinit(&joined);
    cli_words_deinit(&names);
}

/* Offer what a word of the grammar stands for. */
static void offer_word(struct search *search, const char *word) {
    struct cli_text copy = CLI_TEXT_INIT;
    char *rest = NULL;
    cli_text_adds(&copy, word);
    for (char *one = strtok_r(copy.data, "|", &rest); one; one = strtok_r(NULL, "|", &rest)) {
        char *equals = strchr(one, '=');
        char *what = equals ? equals + 1 : one;
        enum cli_names kind;
        if (strcmp(what, "POOL") == 0) {
            kind = CLI_NAMES_POOLS;
        } else if (strncmp(what, "KEY", 3) == 0) {
            kind = CLI_NAMES_KEYS;
        } else if (strcmp(what, "VENDOR") == 0) {
            kind = CLI_NAMES_VENDORS;
        } else {
            if (strcmp(one, "ANY") != 0)
                offer(search, one);
            continue;
        }
        *what = '\0';
        /* The names are asked for only when they could matter: "ven" needs no broker. */
        if (equals && strlen(search->prefix) < strlen(one))
            offer(search, one);
        else if (strncmp(search->prefix, one, strlen(one)) == 0)
            offer_names(search, kind, one);
    }
    cli_text_deinit(&copy);
}

/* Does the typed word fit? Names and options fit anything here; the broker will judge them. */
static bool fits(const char *word, const char *typed) {
    if (strcmp(word, "POOL") == 0 || strcmp(word, "VENDOR") == 0 || strcmp(word, "ANY") == 0 ||
        strncmp(word, "KEY", 3) == 0)
        return true;
    size_t length = strlen(typed);
    for (const char *at = word; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
        if (strncmp(at, typed, length) == 0 && (at[length] == '\0' || at[length] == '|'))
            return true;
    }
    return false;
}

/* Was the option (NAME=…) typed already? */
static bool is_typed(const struct search *search, const char *option) {
    size_t length = strcspn(option, "=") + 1;
    for (size_t i = 0; i < search->count; i++) {
        if (strncmp(search->words[i], option, length) == 0)
            return true;
    }
    return false;
}

static void search_rule(struct search *search, const char *rule) {
    struct cli_text copy = CLI_TEXT_INIT;
    char *rest = NULL;
    char *word;
    size_t at = 0;
    search->pool = NULL;
    cli_text_adds(&copy, rule);
    for (word = strtok_r(copy.data, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        bool option = strchr(word, '=') != NULL;
        if (option) {
            if (!is_typed(search, word))
                offer_word(search, word);
            continue;
        }
        if (at == search->count) {
            offer_word(search, word);
            break;
        }
        if (!fits(word, search->words[at]))
            break;
        if (strcmp(word, "POOL") == 0)
            search->pool = search->words[at];
        at++;
        if (strcmp(word, "KEY*") == 0) {
            offer_word(search, word);
            break;
        }
    }
    cli_text_deinit(&copy);
}

void cli_complete(char *const *words, size_t count, const char *prefix, cli_names_fn names,
                  void *userdata, struct cli_words *ret_candidates) {
    struct search search = {
        .words = words,
        .count = count,
        .prefix = prefix,
        .names = names,
        .userdata = userdata,
        .candidates = ret_candidates,
    };
    for (size_t i = 0; i < sizeof(grammar) / sizeof(grammar[0]); i++)
        search_rule(&search, grammar[i]);
}

void cli_names_from_broker(enum cli_names kind, const char *pool, struct cli_words *ret_names,
                           void *userdata) {
    static const char *const lists[] = { "pools", "keys", "vendors" };
    const struct cli_context *context = userdata;
    struct cli_text request = CLI_TEXT_INIT;
    struct cli_text why = CLI_TEXT_INIT;
    struct cli_reply reply = CLI_REPLY_INIT;
    cli_text_addf(&request, "json show %s", lists[kind]);
    if (kind == CLI_NAMES_KEYS) {
        cli_text_add(&request, " ", 1);
        if (!pool || !cli_words_quote(&request, pool))
            goto out;
        /* More than this no one looks through. */
        cli_text_adds(&request, " limit=1000");
    }
    /* The operator waits with a finger on the key. */
    if (cli_request(context, cli_text_string(&request), NULL, 1, &reply, &why) != CLI_OK ||
        !reply.ok)
        goto out;
    json_t *body = json_loadb(cli_text_string(&reply.body), reply.body.length, 0, NULL);
    const json_t *list = json_object_get(body, lists[kind]);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = cli_json_string(json_array_get(list, i), "name");
        if (name)
            cli_words_append(ret_names, name);
    }
    json_decref(body);
out:
    cli_reply_deinit(&reply);
    cli_text_deinit(&why);
    cli_text_deinit(&request);
}
