/*
 * The guard; see guard.h. Called by the render files.
 */
#include "guard.h"
#include "cli.h"
#include "text.h"
#include "view.h"

#include <string.h>

static bool holds(const json_t *pool) {
    const char *word = cli_json_string(pool, "guard");
    return word && strcmp(word, "holding") == 0;
}

/* False for a broker that does not say. */
static bool add_share(struct cli_text *text, const json_t *pool) {
    int64_t share = cli_json_integer(pool, "guard_share", 0);
    if (share > 0)
        cli_text_addf(text, "%lld%%", (long long)share);
    return share > 0;
}

void cli_guard_word(struct cli_text *text, const json_t *pool, int64_t now_ms) {
    int64_t until_ms;
    const char *until = cli_json_string(pool, "guard_until");
    if (holds(pool)) {
        cli_text_adds(text, "holds");
        if (until && cli_parse_time(until, &until_ms)) {
            cli_text_adds(text, " ");
            cli_view_duration(text, until_ms - now_ms);
        }
    } else if (!add_share(text, pool)) {
        cli_view_value(text, json_object_get(pool, "guard"));
    }
}

void cli_guard_sentence(struct cli_text *text, const json_t *pool, int64_t now_ms) {
    const json_t *until = json_object_get(pool, "guard_until");
    if (!add_share(text, pool)) {
        cli_view_value(text, json_object_get(pool, "guard"));
        return;
    }
    cli_text_adds(text, holds(pool) ? ", holding" : ", watching");
    if (holds(pool) && json_is_string(until)) {
        cli_text_adds(text, " until ");
        cli_view_time(text, until, CLI_TIME_LONG, now_ms);
    }
}

void cli_guard_banner(const struct cli_context *context, const json_t *pool, int64_t now_ms) {
    const json_t *until = json_object_get(pool, "guard_until");
    struct cli_text text = CLI_TEXT_INIT;
    if (!holds(pool))
        return;
    cli_text_adds(&text, "The guard holds");
    if (json_is_string(until)) {
        cli_text_adds(&text, " until ");
        cli_view_time(&text, until, CLI_TIME_LONG, now_ms);
    }
    cli_text_adds(&text,
                  ": too many keys failed at once, so it may not be the keys. What would bench "
                  "more of them is held back");
    fprintf(context->out, "%s%s.%s\n", context->color ? "\033[33m" : "", cli_text_string(&text),
            context->color ? "\033[0m" : "");
    cli_text_deinit(&text);
}
