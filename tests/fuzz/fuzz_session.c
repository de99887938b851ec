/*
 * Fuzz target: the admin socket. Input: bytes as a peer sends them; 0xff, which no text has, ends
 * what arrives at once, and the byte behind it says what happens then:
 *
 *   c commit   f, F the commit fails   n, N there is no room for a catalog, or for one   t, T a
 *   minute, a day pass   h a heartbeat
 *   d hang up and come again   v come again as a viewer   e send no more
 *   w the watcher, which is another session, begins   r reports come in while an import is running
 *   x, X a line, a payload comes that is too long and does not end
 *
 * Checked: replies are well-formed text, one for each command; a secret is shown only to those who
 * ask for it; model, boards and committer agree; a failed group leaves no trace in the model.
 */
#include "rig.h"

#include "broker/admin.h"

static struct rig_peer peer, watcher;
static bool may_reveal;

/* Did the peer ask for secrets, or bring the very one itself? Quotes do not hide it. */
static bool asks_for_secrets(const uint8_t *data, size_t size) {
    char *plain = malloc(size + 1);
    size_t length = 0;
    must(plain);
    for (size_t i = 0; i < size; i++)
        if (data[i] == 0xff)
            i++;
        else if (data[i] && !strchr("\"'\\", data[i]))
            plain[length++] = (char)data[i];
    plain[length] = '\0';
    bool found = strstr(plain, "secrets=yes") || strstr(plain, "CANARY");
    free(plain);
    return found;
}

static void check_text(const char *text, size_t length) {
    must(strlen(text) == length);
    for (size_t i = 0; i < length; i++)
        must(text[i] == '\n' || ((unsigned char)text[i] >= ' ' && text[i] != 0x7f));
    json_t *valid = json_stringn(text, length);
    must(valid);
    json_decref(valid);
}

/* OK or ERR, a body, an empty line. */
static void check_replies(const char *text) {
    bool begins = true;
    while (*text) {
        size_t line = strcspn(text, "\n");
        must(text[line] == '\n');
        if (begins)
            must(strncmp(text, "OK\n", 3) == 0 ||
                 (strncmp(text, "ERR ", 4) == 0 && strspn(text + 4, "0123456789") == 3));
        begins = line == 0;
        text += line + 1;
    }
    must(begins);
}

static void check_output(const struct rig_peer *from) {
    if (!from->length)
        return;
    check_text(from->output, from->length);
    if (!from->watched)
        check_replies(from->output);
    must(may_reveal || !strstr(from->output, RIG_SECRET));
}

static void come_again(enum command_level level) {
    rig_hang_up(&peer);
    rig_connect(&peer, level);
}

static void watch(void) {
    if (watcher.session)
        return;
    rig_connect(&watcher, LEVEL_VIEW);
    rig_send(&watcher, "json watch since=0\n", 19);
}

static unsigned turn;

static void report(void) {
    turn++;
    rig_report_outcome("p", turn % 2 ? "b" : "key1", turn % 3 ? KB_RATE : KB_INVALID);
}

static void fail_commit(enum rig_failure failure) {
    rig.failure = failure;
    rig_commit();
    rig.failure = RIG_SOUND;
}

static void flood(size_t length) {
    char *bytes = malloc(length);
    must(bytes);
    memset(bytes, 'x', length);
    rig_send(&peer, bytes, length);
    free(bytes);
}

static void happen(uint8_t what) {
    switch (what) {
    case 'x':
        flood(SESSION_LINE_MAX + 1);
        break;
    case 'X':
        flood(SESSION_PAYLOAD_MAX + 1);
        break;
    case 'c':
        rig_commit();
        break;
    case 'f':
        fail_commit(RIG_FAILS_TO_COMMIT);
        break;
    case 'F':
        fail_commit(RIG_FAILS_TO_BEGIN);
        break;
    case 'n':
        fail_commit(RIG_HAS_NO_ROOM);
        break;
    case 'N':
        fail_commit(RIG_HAS_ROOM_FOR_ONE);
        break;
    case 't':
        rig_pass(60 * 1000);
        break;
    case 'T':
        rig_pass(24 * 60 * 60 * 1000);
        break;
    case 'h':
        admin_heartbeat(rig.server.admin);
        rig_turn();
        break;
    case 'd':
        come_again(LEVEL_CHANGE);
        break;
    case 'v':
        come_again(LEVEL_VIEW);
        break;
    case 'e':
        rig_half_close(&peer);
        break;
    case 'w':
        watch();
        break;
    case 'r':
        rig.let_in = report;
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    may_reveal = asks_for_secrets(data, size);
    turn = 0;
    rig_begin();
    rig_connect(&peer, LEVEL_CHANGE);
    while (size) {
        const uint8_t *end = memchr(data, 0xff, size);
        size_t length = end ? (size_t)(end - data) : size;
        rig_send(&peer, data, length);
        size_t used = end ? length + 1 : length;
        data += used;
        size -= used;
        check_output(&peer);
        if (end && size) {
            happen(*data++);
            size--;
        }
    }
    rig_commit();
    check_output(&peer);
    if (watcher.session)
        check_output(&watcher);
    rig_end();
    watcher = (struct rig_peer){ 0 };
    return 0;
}
