/*
 * Payloads; see payload.h. Called by command.c. Leaves the terminal as it found it, whatever
 * signal arrives while a secret is being typed.
 */
#include "payload.h"
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum cli_payload_kind cli_payload_kind(char *const *words, size_t count) {
    if (count < 1)
        return CLI_PAYLOAD_NONE;
    if (strcmp(words[0], "import") == 0)
        return CLI_PAYLOAD_DOCUMENT;
    if (count < 2)
        return CLI_PAYLOAD_NONE;
    if (strcmp(words[0], "add") == 0)
        return count >= 3 && (strcmp(words[1], "pool") == 0 || strcmp(words[1], "key") == 0)
                   ? CLI_PAYLOAD_SECRET
                   : CLI_PAYLOAD_NONE;
    if (strcmp(words[0], "rotate") == 0 && count == 3 && strcmp(words[2], "given") == 0)
        return CLI_PAYLOAD_MASTER_KEY;
    if (strcmp(words[0], "set") == 0 && strcmp(words[1], "key") == 0) {
        for (size_t i = 2; i < count; i++) {
            if (strncmp(words[i], "config=", 7) == 0)
                return CLI_PAYLOAD_SECRET;
        }
    }
    if (strcmp(words[0], "order") == 0 && strcmp(words[1], "keys") == 0) {
        size_t named = 0;
        for (size_t i = 3; i < count; i++)
            named += strncmp(words[i], "if-revision=", 12) != 0 ? 1 : 0;
        if (count >= 3 && named == 0)
            return CLI_PAYLOAD_DOCUMENT;
    }
    return CLI_PAYLOAD_NONE;
}

/* Signals that would leave the terminal without echo if they ended or stopped the process. */
static const int guarded_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
#define GUARDED_COUNT (sizeof(guarded_signals) / sizeof(guarded_signals[0]))

static volatile sig_atomic_t caught_signal;

static void catch_signal(int number) {
    caught_signal = number;
}

enum typed { TYPED_LINE, TYPED_END, TYPED_SIGNAL, TYPED_TOO_LONG };

static void erase_last(struct cli_text *text, size_t begin) {
    /* One character may be several bytes of UTF-8. */
    while (text->length > begin) {
        unsigned char last = (unsigned char)text->data[--text->length];
        text->data[text->length] = '\0';
        if ((last & 0xc0) != 0x80)
            break;
    }
}

/*
 * One line from a terminal that hands over every byte: the line discipline's own editing would cut
 * lines at 4,095 bytes, and keys may be longer. Signals are only let in while waiting.
 */
static enum typed type_line(int fd, const sigset_t *waiting_mask, struct cli_text *text,
                            size_t limit) {
    size_t begin = text->length;
    for (;;) {
        struct pollfd waiting = { .fd = fd, .events = POLLIN };
        if (ppoll(&waiting, 1, NULL, waiting_mask) < 0 && errno != EINTR)
            return TYPED_END;
        if (caught_signal)
            return TYPED_SIGNAL;
        char c;
        ssize_t got = waiting.revents ? read(fd, &c, 1) : -1;
        if (got == 0)
            return TYPED_END;
        if (got < 0) {
            if (waiting.revents && errno != EINTR && errno != EAGAIN)
                return TYPED_END;
            continue;
        }
        if (c == '\n' || c == '\r')
            return TYPED_LINE;
        if (c == 4) /* Ctrl-D */
            return text->length > begin ? TYPED_LINE : TYPED_END;
        if (c == 0x7f || c == '\b') {
            erase_last(text, begin);
        } else if (c == 21) { /* Ctrl-U */
            while (text->length > begin)
                erase_last(text, begin);
        } else if (text->length >= limit) {
            return TYPED_TOO_LONG;
        } else {
            cli_text_add(text, &c, 1);
        }
    }
}

/* A JSON object may be pasted over several lines: it is complete when it parses. */
static bool is_complete(const struct cli_text *text) {
    const char *begin = cli_text_string(text);
    begin += strspn(begin, " \t\n");
    if (*begin != '{')
        return true;
    json_t *value = json_loadb(begin, strlen(begin), 0, NULL);
    json_decref(value);
    return value != NULL;
}

static enum typed type_secret(int fd, const sigset_t *waiting_mask, struct cli_text *text) {
    for (;;) {
        size_t begin = text->length;
        enum typed typed = type_line(fd, waiting_mask, text, CLI_SECRET_BYTES_MAX);
        if (typed != TYPED_LINE || is_complete(text) || text->length == begin)
            return typed;
        cli_text_add(text, "\n", 1);
    }
}

/* Ask with the terminal's echo off; returns a signal's number if one came, restoring first. */
static enum typed ask_once(int fd, const char *prompt, FILE *prompt_to, struct cli_text *text,
                           int *ret_signal) {
    struct termios before, silent;
    struct sigaction actions[GUARDED_COUNT];
    sigset_t guarded, mask;
    if (tcgetattr(fd, &before) < 0)
        return TYPED_END;
    sigemptyset(&guarded);
    for (size_t i = 0; i < GUARDED_COUNT; i++)
        sigaddset(&guarded, guarded_signals[i]);
    sigprocmask(SIG_BLOCK, &guarded, &mask);
    caught_signal = 0;
    for (size_t i = 0; i < GUARDED_COUNT; i++) {
        struct sigaction action = { .sa_handler = catch_signal };
        sigaction(guarded_signals[i], NULL, &actions[i]);
        if (actions[i].sa_handler != SIG_IGN)
            sigaction(guarded_signals[i], &action, NULL);
    }
    silent = before;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON);
    silent.c_iflag |= ICRNL;
    silent.c_cc[VMIN] = 1;
    silent.c_cc[VTIME] = 0;
    tcsetattr(fd, TCSAFLUSH, &silent);

    fprintf(prompt_to, "%s: ", prompt);
    fflush(prompt_to);
    enum typed typed = type_secret(fd, &mask, text);
    fputc('\n', prompt_to);
    fflush(prompt_to);

    /* The flush also throws away the rest of a paste, which a shell would run otherwise. */
    tcsetattr(fd, TCSAFLUSH, &before);
    for (size_t i = 0; i < GUARDED_COUNT; i++)
        sigaction(guarded_signals[i], &actions[i], NULL);
    *ret_signal = caught_signal;
    caught_signal = 0;
    sigprocmask(SIG_SETMASK, &mask, NULL);
    return typed;
}

static int ask_secret(const struct cli_context *context, const char *prompt,
                      struct cli_text *text) {
    for (;;) {
        int signal_number = 0;
        cli_text_clear(text);
        enum typed typed = ask_once(STDIN_FILENO, prompt, context->err, text, &signal_number);
        if (signal_number) {
            /* Now as if it had come in a quiet moment: it ends, stops or interrupts us. */
            raise(signal_number);
            if (signal_number != SIGTSTP) {
                cli_error(context, "interrupted, nothing was changed");
                return CLI_USAGE;
            }
            continue;
        }
        if (typed == TYPED_TOO_LONG) {
            cli_error(context, "a configuration may have %zu bytes", CLI_SECRET_BYTES_MAX);
            return CLI_USAGE;
        }
        return CLI_OK;
    }
}

static int read_whole(const struct cli_context *context, size_t limit, struct cli_text *text) {
    char chunk[65536];
    int result = CLI_OK;
    for (;;) {
        ssize_t got = read(STDIN_FILENO, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR && !cli_interrupted())
            continue;
        if (got < 0) {
            cli_error(context, "cannot read standard input: %s", strerror(errno));
            result = CLI_USAGE;
        }
        if (got <= 0)
            break;
        if ((size_t)got > limit - text->length) {
            cli_error(context, "standard input is too long: at most %zu bytes are taken", limit);
            result = CLI_USAGE;
            break;
        }
        cli_text_add(text, chunk, (size_t)got);
    }
    explicit_bzero(chunk, sizeof(chunk));
    return result;
}

static void trim_newline(struct cli_text *text) {
    if (text->length && text->data[text->length - 1] == '\n')
        text->data[--text->length] = '\0';
    if (text->length && text->data[text->length - 1] == '\r')
        text->data[--text->length] = '\0';
}

static const struct {
    const char *noun, *prompt;
} names[] = {
    [CLI_PAYLOAD_NONE] = { "payload", "Payload" },
    [CLI_PAYLOAD_SECRET] = { "API key", "API key" },
    [CLI_PAYLOAD_MASTER_KEY] = { "master key", "Master key" },
    [CLI_PAYLOAD_DOCUMENT] = { "document", "Document" },
};

int cli_payload_read(const struct cli_context *context, enum cli_payload_kind kind,
                     struct cli_text *ret_payload) {
    struct cli_text text = CLI_TEXT_INIT;
    int result = CLI_OK;
    bool secret = kind != CLI_PAYLOAD_DOCUMENT;
    if (context->payload_source == CLI_PAYLOAD_GIVEN) {
        if (context->given_payload)
            cli_text_add(&text, cli_text_string(context->given_payload),
                         context->given_payload->length);
    } else if (secret && isatty(STDIN_FILENO)) {
        result = ask_secret(context, names[kind].prompt, &text);
    } else {
        if (isatty(STDIN_FILENO))
            fputs("Type or paste the JSON, then Ctrl-D on a line of its own:\n", context->err);
        result = read_whole(context, secret ? CLI_SECRET_BYTES_MAX : CLI_DOCUMENT_BYTES_MAX, &text);
    }
    trim_newline(&text);
    if (result == CLI_OK && text.length == 0) {
        if (context->payload_source == CLI_PAYLOAD_GIVEN)
            cli_error(context,
                      "no %s was given: end the command's line in \" <<\" and give it in "
                      "the lines after, with an empty line at its end",
                      names[kind].noun);
        else
            cli_error(context, "no %s was given on standard input", names[kind].noun);
        result = CLI_USAGE;
    }
    if (result == CLI_OK)
        *ret_payload = text;
    else
        cli_text_deinit(&text);
    return result;
}
