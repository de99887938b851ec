/*
 * Fuzz target: what the command makes of a broker's replies. Input: a byte that picks the command
 * and one that picks the terminal's width, then all that the broker sends, as one reply after the
 * other.
 *
 * Checked: what reaches the terminal holds no control character but line feeds, whatever a vendor
 * or another user wrote. The documents that export and metrics print are the reader's own: they go
 * out as they came.
 */
#include "fuzz.h"

#include <locale.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/admin_client.h"
#include "client/cli/cli.h"
#include "client/cli/render.h"
#include "client/cli/view.h"

#define NOW_MS INT64_C(1795449600000)

static const char *const COMMANDS[][2] = {
    { "show", "pools" },  { "show", "pool" },    { "show", "keys" },   { "show", "key" },
    { "show", "events" }, { "show", "vendors" }, { "show", "vendor" }, { "show", "info" },
    { "help", "" },       { "import", "p" },     { "show", "other" },  { "show", "metrics" },
    { "export", "p" },
};
enum { COMMAND_COUNT = sizeof COMMANDS / sizeof *COMMANDS, OWN_DOCUMENTS = 2, REPLIES_MAX = 100 };

static int closed_fd = -1;
static FILE *nowhere;

static void prepare(void) {
    if (closed_fd >= 0)
        return;
    int fds[2];
    setlocale(LC_CTYPE, "C.UTF-8");
    setenv("TZ", "UTC", 1);
    tzset();
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    close(fds[1]); /* reading says that the broker has gone */
    closed_fd = fds[0];
    nowhere = fopen("/dev/null", "w");
    must(nowhere);
}

static void check_printed(const char *text, size_t length) {
    must(strlen(text) == length);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        must(c == '\n' || (c >= ' ' && c != 0x7f));
        must(c != 0xc2 || (unsigned char)text[i + 1] >= 0xa0); /* U+0080–U+009F */
    }
}

static void render(unsigned which, unsigned width, const struct cli_reply *reply) {
    json_t *body = json_loadb(cli_text_string(&reply->body), reply->body.length, 0, NULL);
    if (!json_is_object(body)) {
        json_decref(body);
        return;
    }
    char *printed = NULL, first[16], second[16];
    size_t length = 0;
    snprintf(first, sizeof first, "%s", COMMANDS[which][0]);
    snprintf(second, sizeof second, "%s", COMMANDS[which][1]);
    char *words[] = { first, second };
    struct cli_context context = { .width = width, .out = open_memstream(&printed, &length) };
    must(context.out);
    context.err = context.out;
    cli_render(&context, words, 2, body, NOW_MS);
    must(fclose(context.out) == 0);
    if (which < COMMAND_COUNT - OWN_DOCUMENTS)
        check_printed(printed, length);
    free(printed);
    struct cli_text line = CLI_TEXT_INIT;
    cli_event_line(&line, body, false);
    check_printed(cli_text_string(&line), line.length);
    cli_text_deinit(&line);
    json_decref(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = { data, size };
    prepare();
    unsigned which = input_byte(&input) % COMMAND_COUNT, width = input_byte(&input);
    struct cli_connection connection = { .fd = closed_fd, .bytes_left = CLI_REPLY_BYTES_MAX };
    cli_text_add(&connection.buffer, (const char *)input.at, input.left);
    for (int i = 0; i < REPLIES_MAX; i++) {
        struct cli_reply reply = CLI_REPLY_INIT;
        enum cli_read result = cli_read_reply(&connection, &reply);
        if (result == CLI_READ_LINE && reply.ok)
            render(which, width, &reply);
        cli_reply_deinit(&reply);
        if (result != CLI_READ_LINE)
            break;
    }
    cli_text_deinit(&connection.buffer);
    return 0;
}
