/*
 * The prompt: libedit with history and completion around cli_command_run. Owns the history file and
 * SIGINT while it runs: Ctrl-C gives up the line or the running watch, not the prompt. Called by
 * options.c.
 */
#include "cli.h"
#include "command.h"
#include "complete.h"
#include "text.h"
#include "words.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#define HISTORY_LINES 1000

static char *prompt_text(EditLine *edit) {
    static char text[] = "keybroker> ";
    (void)edit;
    return text;
}

/* libedit's own reader restarts after every signal; this one lets Ctrl-C through. */
static int read_character(EditLine *edit, wchar_t *ret_character) {
    mbstate_t state = { 0 };
    (void)edit;
    for (;;) {
        char byte;
        ssize_t got = read(STDIN_FILENO, &byte, 1);
        if (got < 0 && errno == EINTR && !cli_interrupted())
            continue;
        if (got <= 0)
            return (int)got;
        size_t used = mbrtowc(ret_character, &byte, 1, &state);
        if (used == (size_t)-1)
            memset(&state, 0, sizeof(state));
        else if (used != (size_t)-2)
            return 1;
    }
}

/* Where the word at the cursor begins: after the last blank that no quote holds. */
static size_t word_begin(const char *line, size_t length) {
    size_t begin = 0;
    char quote = 0;
    for (size_t i = 0; i < length; i++) {
        if (quote) {
            quote = line[i] == quote ? 0 : quote;
        } else if (line[i] == '\'' || line[i] == '"') {
            quote = line[i];
        } else if (line[i] == ' ' || line[i] == '\t') {
            begin = i + 1;
        }
    }
    return begin;
}

/* How many bytes all candidates begin with. */
static size_t common_length(const struct cli_words *candidates) {
    const char *first = candidates->items[0];
    size_t length = strlen(first);
    for (size_t i = 1; i < candidates->count; i++) {
        size_t same = 0;
        while (same < length && candidates->items[i][same] == first[same])
            same++;
        length = same;
    }
    /* Not in the middle of a character. */
    while (length > 0 && ((unsigned char)first[length] & 0xc0) == 0x80)
        length--;
    return length;
}

static void replace_word(EditLine *edit, const char *typed, const char *replacement) {
    size_t characters = mbstowcs(NULL, typed, 0);
    if (characters == (size_t)-1)
        return;
    el_deletestr(edit, (int)characters);
    el_insertstr(edit, replacement);
}

static unsigned char offer_candidates(EditLine *edit, const char *typed, const char *prefix,
                                      const struct cli_words *candidates,
                                      const struct cli_context *context) {
    struct cli_text replacement = CLI_TEXT_INIT;
    unsigned char result = CC_REFRESH;
    if (candidates->count == 0) {
        result = CC_REFRESH_BEEP;
    } else if (candidates->count == 1) {
        const char *only = candidates->items[0];
        if (cli_words_quote(&replacement, only)) {
            if (only[strlen(only) - 1] != '=')
                cli_text_add(&replacement, " ", 1);
            replace_word(edit, typed, cli_text_string(&replacement));
        }
    } else if (common_length(candidates) > strlen(prefix)) {
        /* An open quote goes on; outside one, a word that would need quotes is left alone. */
        cli_text_add(&replacement, typed, strlen(typed) > 0 && *typed == '\'' ? 1 : 0);
        cli_text_add(&replacement, candidates->items[0], common_length(candidates));
        if (*typed == '\'' || !strpbrk(replacement.data, " '\"\\"))
            replace_word(edit, typed, cli_text_string(&replacement));
    } else {
        fputc('\n', context->out);
        for (size_t i = 0; i < candidates->count; i++)
            fprintf(context->out, "%s%s", i ? "  " : "", candidates->items[i]);
        fputc('\n', context->out);
        fflush(context->out);
        result = CC_REDISPLAY;
    }
    cli_text_deinit(&replacement);
    return result;
}

static unsigned char complete_word(EditLine *edit, int character) {
    const LineInfo *info = el_line(edit);
    struct cli_words words = CLI_WORDS_INIT;
    struct cli_words candidates = CLI_WORDS_INIT;
    struct cli_text before = CLI_TEXT_INIT;
    struct cli_text typed = CLI_TEXT_INIT;
    void *data = NULL;
    unsigned char result = CC_REFRESH_BEEP;
    (void)character;
    el_get(edit, EL_CLIENTDATA, &data);
    size_t length = (size_t)(info->cursor - info->buffer);
    size_t begin = word_begin(info->buffer, length);
    cli_text_add(&before, info->buffer, begin);
    cli_text_add(&typed, info->buffer + begin, length - begin);
    if (!cli_words_split(cli_text_string(&before), &words)) {
        const char *prefix = cli_text_string(&typed);
        if (*prefix == '\'' || *prefix == '"')
            prefix++;
        cli_complete(words.items, words.count, prefix, cli_names_from_broker, data, &candidates);
        result = offer_candidates(edit, cli_text_string(&typed), prefix, &candidates, data);
    }
    cli_text_deinit(&typed);
    cli_text_deinit(&before);
    cli_words_deinit(&candidates);
    cli_words_deinit(&words);
    return result;
}

/* Make each directory of the path; those that are there already are fine. */
static void make_directories(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
}

/* NULL when there is no home to keep a history in. */
static FILE *history_open(int flags, const char *mode) {
    const char *state = secure_getenv("XDG_STATE_HOME");
    const char *home = secure_getenv("HOME");
    char *path = NULL;
    FILE *file = NULL;
    int length = -1;
    if (state && *state == '/')
        length = asprintf(&path, "%s/keybroker/history", state);
    else if (home && *home == '/')
        length = asprintf(&path, "%s/.local/state/keybroker/history", home);
    if (length < 0)
        return NULL;
    make_directories(path);
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        (void)fchmod(fd, 0600);
        file = fdopen(fd, mode);
        if (!file)
            close(fd);
    }
    free(path);
    return file;
}

static void history_load(History *lines) {
    FILE *file = history_open(O_RDONLY, "r");
    char *line = NULL;
    size_t capacity = 0;
    HistEvent event;
    if (!file)
        return;
    while (getline(&line, &capacity, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (*line)
            history(lines, &event, H_ENTER, line);
    }
    free(line);
    fclose(file);
}

/* Each line is added at once, so that two prompts do not lose each other's. */
/* `keep`: also on the disk. A line that was refused may hold a secret in a form that nobody
 * expected; it can be called back and corrected while the prompt lives, and no longer. */
static void remember(History *lines, const char *line, bool keep) {
    HistEvent event;
    if (cli_line_may_hold_secret(line))
        return;
    history(lines, &event, H_ENTER, line);
    FILE *file = !keep ? NULL : history_open(O_WRONLY | O_APPEND | O_CREAT, "a");
    if (file) {
        fprintf(file, "%s\n", line);
        fclose(file);
    }
}

static void on_interrupt(int number) {
    (void)number;
    cli_interrupt_set();
}

/* Returns whether to go on. */
static bool run_line(const struct cli_context *context, History *lines, const char *typed,
                     int *ret_result) {
    struct cli_words words = CLI_WORDS_INIT;
    struct cli_text line = CLI_TEXT_INIT;
    bool go_on = true;
    cli_text_add(&line, typed, strcspn(typed, "\n"));
    const char *why = cli_words_split(cli_text_string(&line), &words);
    if (why) {
        cli_error(context, "%s", why);
        *ret_result = CLI_USAGE;
    } else if (words.count > 0) {
        if (strcmp(words.items[0], "quit") == 0 || strcmp(words.items[0], "exit") == 0)
            go_on = false;
        else
            *ret_result = cli_command_run(context, words.items, words.count);
        remember(lines, cli_text_string(&line), !go_on || *ret_result != CLI_USAGE);
        fflush(context->out);
    }
    cli_text_deinit(&line);
    cli_words_deinit(&words);
    return go_on;
}

static EditLine *edit_new(struct cli_context *context, History *lines) {
    EditLine *edit = el_init("keybroker", stdin, stdout, stderr);
    if (!edit)
        return NULL;
    el_set(edit, EL_SIGNAL, 1);
    el_set(edit, EL_EDITOR, "emacs");
    el_set(edit, EL_PROMPT, prompt_text);
    el_set(edit, EL_CLIENTDATA, context);
    el_set(edit, EL_HIST, history, lines);
    el_set(edit, EL_ADDFN, "keybroker-complete", "complete the word", complete_word);
    el_set(edit, EL_BIND, "^I", "keybroker-complete", NULL);
    el_set(edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(edit, NULL);
    el_set(edit, EL_GETCFN, read_character);
    return edit;
}

int cli_prompt_run(const struct cli_context *outer) {
    struct cli_context context = *outer;
    struct sigaction action = { .sa_handler = on_interrupt };
    struct sigaction before;
    HistEvent event;
    int result = CLI_OK;
    context.session = true;
    History *lines = cli_must(history_init());
    history(lines, &event, H_SETSIZE, HISTORY_LINES);
    history(lines, &event, H_SETUNIQUE, 1);
    history_load(lines);
    sigaction(SIGINT, &action, &before);
    EditLine *edit = cli_must(edit_new(&context, lines));
    for (bool go_on = true; go_on;) {
        int length = 0;
        cli_interrupt_clear();
        const char *typed = el_gets(edit, &length);
        if (!typed || length <= 0) {
            fputc('\n', context.out);
            fflush(context.out);
            if (cli_interrupted())
                continue;
            break;
        }
        go_on = run_line(&context, lines, typed, &result);
    }
    el_end(edit);
    history_end(lines);
    sigaction(SIGINT, &before, NULL);
    return result;
}
