/* See who.h. */
#include "who.h"
#include "view.h"

#include <pwd.h>
#include <string.h>
#include <unistd.h>

static const char *filled(const json_t *event, const char *name) {
    const char *string = cli_json_string(event, name);
    return string && *string ? string : NULL;
}

/* A list often names the same user in a row, and a directory service takes its time. */
static void add_user(struct cli_text *text, const json_t *event) {
    static int64_t asked = -1;
    static char answer[64];
    const char *user = filled(event, "user");
    int64_t uid = cli_json_integer(event, "uid", -1);
    if (!user && uid != asked) {
        const struct passwd *entry = uid >= 0 ? getpwuid((uid_t)uid) : NULL;
        answer[0] = '\0';
        if (entry)
            strncat(answer, entry->pw_name, sizeof(answer) - 1);
        asked = uid;
    }
    if (user || answer[0])
        cli_text_add_printable(text, user ? user : answer);
    else
        cli_text_addf(text, "uid %lld", (long long)uid);
}

void cli_add_who(struct cli_text *text, const json_t *event) {
    const char *who = filled(event, "who");
    const char *program = filled(event, "program");
    bool report = who && strncmp(who, "report", 6) == 0;
    if (!who)
        return;
    cli_text_adds(text, report ? "reported by " : "by ");
    if (cli_json_integer(event, "uid", -1) < 0) { /* the broker itself, or one that tells no more */
        cli_text_add_printable(text, report && who[6] == ' ' ? who + 7 : who);
    } else if (report && program) {
        cli_text_add_printable(text, program);
        cli_text_adds(text, " (");
        add_user(text, event);
        cli_text_adds(text, ")");
    } else {
        add_user(text, event);
    }
}
