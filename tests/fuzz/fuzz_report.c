/*
 * Fuzz target: what workers send to the report socket, and what becomes of it. Input: steps, a byte
 * each that says which, and what belongs to it:
 *
 *   0  any bytes: a length, the bytes        1  a message cut short in the loop's buffer
 *   2  a well-formed message: who, outcome and scope, how old its ticket is, its hint, a count
 *   3  time passes: 2^n ms                   4  commit      5  the commit fails
 *   6  the worker hangs up, another comes    7  an operator's command
 *
 * Checked after each: model, boards and committer agree, generations only grow.
 */
#include "rig.h"

#include <keybroker_shared/report.h>

static const char *const POOLS[] = { "p", "q" };
static const char *const COMMANDS[] = {
    "enable key p b\n",
    "disable key p c\n",
    "set key p b account=other\n",
    "set key p b config=merge <<27\n{\"api_key\":\"sk-another-one\"}",
    "set pool p guard=off\n",
    "set pool p guard=on error-recovery=90s\n",
    "move key p c first\n",
    "delete key p c\n",
    "delete pool q confirm=q\n",
    "add pool q vendor=openai <<\nsk-0123456789zz\n\n",
    "set key p key1 expires=+1h\n",
};
enum { COMMAND_COUNT = sizeof COMMANDS / sizeof *COMMANDS, STEPS_MAX = 64 };

static struct rig_peer admin;
static struct loop_source *worker;
static uint64_t generation;

static void work_for(uint8_t which) {
    if (worker)
        rig_report(worker, "", 0, false);
    rig_turn();
    worker = rig_worker(POOLS[which % 2]);
}

static void send_bytes(struct input *input, bool truncated) {
    size_t length = input_byte(input);
    void *bytes = input_bytes(input, length, &length);
    if (worker && length) /* an empty message ends the connection, as in step 6 */
        rig_report(worker, bytes, length, truncated);
    free(bytes);
}

/* Key ids: mostly those that there are. Tickets: mostly young. */
static void send_message(struct input *input) {
    uint8_t who = input_byte(input), what = input_byte(input), age = input_byte(input);
    uint8_t hint = input_byte(input), count = input_byte(input);
    struct kb_report_message message = {
        .size = sizeof message,
        .type = KB_REPORT_OUTCOME,
        .scope = what / 16 % 5,
        .key_id = who < 250 ? who % 10 : UINT64_MAX - who,
        .generation = rig.server.changes + (rig.server.start << KB_GENERATION_START_SHIFT) - age,
        .hint_ms = hint < 64 ? UINT64_C(1) << hint : KB_NO_HINT,
        .outcome = what % 16,
        .http_status = hint * 4u,
        .count = count,
    };
    size_t length;
    void *code = input_bytes(input, count % 64, &length);
    memcpy(message.vendor_code, code, length);
    free(code);
    if (worker)
        rig_report(worker, &message, sizeof message, false);
}

static void fail_commit(void) {
    rig.failure = RIG_FAILS_TO_COMMIT;
    rig_commit();
    rig.failure = RIG_SOUND;
}

static void step(struct input *input) {
    switch (input_byte(input) % 8) {
    case 0:
        send_bytes(input, false);
        break;
    case 1:
        send_bytes(input, true);
        break;
    case 2:
        send_message(input);
        break;
    case 3:
        rig_pass(INT64_C(1) << input_byte(input) % 32);
        break;
    case 4:
        rig_commit();
        break;
    case 5:
        fail_commit();
        break;
    case 6:
        work_for(input_byte(input));
        break;
    default: {
        const char *command = COMMANDS[input_byte(input) % COMMAND_COUNT];
        rig_send(&admin, command, strlen(command));
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = { data, size };
    rig_begin();
    rig_connect(&admin, LEVEL_CHANGE);
    worker = rig_worker("p");
    generation = 0;
    for (int steps = 0; steps < STEPS_MAX && input.left; steps++) {
        step(&input);
        if (!rig_is_connected(worker)) /* its pool is gone */
            worker = NULL;
        rig_turn();
        rig_check();
        must(rig.server.changes >= generation);
        generation = rig.server.changes;
    }
    rig_end();
    return 0;
}
