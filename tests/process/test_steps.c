/*
 * Every step: a broker that starts on nothing, makes a pool, changes it, hears a report, stops,
 * starts again, changes it, stops. At the N-th call that concerns its files (opening, writing,
 * syncing, allocating, mapping, renaming, unlinking …) it is killed, just before or just after, or
 * the call fails once. Then it is started again, or goes on. What was acknowledged is there, and
 * at most the one change that was on its way besides; the rest of the commands leads to the same
 * end; and a worker has a whole key all the time, and never an older generation.
 *
 * KEYBROKER_STEPS sets how many steps are tried of each kind, chosen at random (0 = every one);
 * KEYBROKER_TEST_SEED repeats the choice.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <keybroker.h>

#include "tests/support/broker.h"
#include "tests/support/disk.h"
#include "tests/support/peer.h"
#include "tests/support/scene.h"
#include "tests/support/seed.h"
#include "tests/support/worker.h"

enum { STEPS = 30, STEPS_SANITIZED = 8 };

/* Each is valid on top of those before it. NULL: SIGTERM, and start again. */
static const struct {
    const char *command, *payload;
    bool reports; /* a worker reports its key before this one */
} COMMANDS[] = {
    { "add pool main vendor=openai guard=off", "sk-default-1", false },
    { "set key main key1 name=default", NULL, false },
    { "add key main name=k1 weight=3 note=first", "sk-k1-1", false },
    { "add key main name=k2", "sk-k2-1", false },
    { "set key main k1 name=k3 config=merge", "{\"api_key\":\"sk-k3-1\"}", false },
    { "order keys main k2 k3 default", NULL, false },
    { "disable key main default", NULL, true },
    { NULL, NULL, false },
    { "add key main name=k4", "sk-k4-1", false },
    { "move key main k4 first", NULL, true },
    { "delete key main k3", NULL, false },
    { "enable key main default", NULL, false },
};
enum { COMMAND_COUNT = sizeof COMMANDS / sizeof *COMMANDS };

struct play {
    struct broker *broker;
    struct slow_disk *disk;
    int fd;         /* of the admin client; -1 = not connected */
    unsigned done;  /* commands that were acknowledged (a stop is when it has stopped) */
    unsigned tried; /* done, or one more */
    kb_reader *reader;
    uint64_t generation;
    uint32_t step;
    uint32_t action;
};

static const char *expected[COMMAND_COUNT + 1]; /* what is there after so many commands */

static void __attribute__((format(printf, 2, 3), noreturn))
fail(const struct play *play, const char *format, ...) {
    static const char *const ACTIONS[] = { "killed before", "killed after", "failed" };
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    scene_fail("step %u (%s), %s (%u): command %u: %s", play->step, play->disk->step_call,
               ACTIONS[play->action], atomic_load(&play->disk->step_error), play->done, text);
}

/* ---- the worker ---- */

static void look(struct play *play) {
    char beginning[80];
    if (!play->reader)
        return;
    const kb_key *key = kb_current(play->reader);
    if (!key)
        fail(play, "the worker has no key: %s", kb_strerror(kb_last_error(play->reader)));
    snprintf(beginning, sizeof beginning, "sk-%s-", key->name);
    if (strncmp(key->api_key, beginning, strlen(beginning)) != 0 && strcmp(key->name, "key1") != 0)
        fail(play, "the worker's key %s has the secret %s", key->name, key->api_key);
    if (key->ticket.generation < play->generation)
        fail(play, "the worker's generation went back");
    play->generation = key->ticket.generation;
}

/* Not where it would leave the worker without a key: one that rests does so for a second at least,
 * and one that was added may be stored and not published yet. */
static void report(struct play *play) {
    kb_health_info health = KB_HEALTH_INFO_INIT;
    const kb_key *key = play->reader ? kb_current(play->reader) : NULL;
    if (key && kb_health(play->reader, &health) == 0 && health.usable > 1)
        kb_report(play->reader, key->ticket, KB_RATE, 1);
    look(play);
}

static void attach(struct play *play) {
    kb_options options = KB_OPTIONS_INIT;
    options.runtime_dir = play->broker->runtime_dir;
    int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
    int error = play->reader ? 0 : kb_open(&play->reader, "main", &options);
    /* What is stored but could not be published is published within a second or two. */
    while (error != 0 && play->action == SLOW_DISK_FAIL && scene_now_ms() < until) {
        scene_sleep_ms(20);
        error = kb_open(&play->reader, "main", &options);
    }
    if (error != 0)
        fail(play, "a worker cannot attach: %s", kb_strerror(error));
}

/* ---- the admin client ---- */

static void hang_up(struct play *play) {
    if (play->fd >= 0)
        close(play->fd);
    play->fd = -1;
}

/* False if the broker has ended before it serves. */
static bool connect_to(struct play *play) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s/admin.sock", play->broker->runtime_dir);
    int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
    while (broker_is_running(play->broker)) {
        play->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(play->fd, (struct sockaddr *)&address, sizeof address) == 0)
            return true;
        hang_up(play);
        if (scene_now_ms() > until)
            fail(play, "the broker does not serve");
        usleep(500);
    }
    return false;
}

/* The answer's code, 0 = stored; -1 = the broker has died. */
static int ask(struct play *play, const char *command, const char *payload) {
    char answer[4096] = "";
    size_t length = 0;
    const char *text = payload ? scene_text("%s <<%zu\n%s", command, strlen(payload), payload)
                               : scene_text("%s\n", command);
    if (send(play->fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
        return -1;
    while (!strstr(answer, "\n\n")) {
        struct pollfd ready = { .fd = play->fd, .events = POLLIN };
        if (poll(&ready, 1, SCENE_PATIENCE_MS) <= 0)
            fail(play, "no answer to %s", command);
        ssize_t got = recv(play->fd, answer + length, sizeof answer - 1 - length, 0);
        if (got <= 0)
            return -1;
        length += (size_t)got;
        answer[length] = '\0';
    }
    int code = 0;
    if (strncmp(answer, "OK", 2) != 0 && sscanf(answer, "ERR %d", &code) != 1)
        fail(play, "an answer that cannot be understood: %s", answer);
    if (code == 503 && strstr(answer, "the change is stored"))
        return 0;
    if (code != 0 && (code != 503 || play->action != SLOW_DISK_FAIL))
        fail(play, "%s: %s", command, answer);
    return code;
}

/* What there is, as an administrator sees it: order, names, secrets, what is disabled. */
static const char *describe(struct broker *broker) {
    struct peer *peer = peer_open(broker);
    const char *text = "";
    if (peer_ask(peer, "show pool main")->code != 0) {
        peer_close(peer);
        return "nothing";
    }
    struct answer *shown = peer_must(peer, "json show keys main");
    struct answer *exported = peer_must(peer, "json export main secrets=yes");
    for (size_t i = 0; i < json_array_size(answer_at(shown, "keys")); i++) {
        const json_t *key = json_array_get(answer_at(shown, "keys"), i);
        bool disabled = strcmp(json_text(key, "status"), "disabled") == 0;
        text = scene_text("%s%s=%s %s%s; ", text, json_text(key, "name"),
                          answer_string(exported, scene_text("keys.%zu.config.api_key", i)),
                          json_text(key, "note"), disabled ? " disabled" : "");
    }
    peer_close(peer);
    return text;
}

/* ---- one play ---- */

/* One command, again and again where it is refused. False if the broker has died of it. */
static bool perform(struct play *play) {
    unsigned number = play->done;
    play->tried = number + 1;
    if (COMMANDS[number].reports)
        report(play);
    if (!COMMANDS[number].command) {
        hang_up(play);
        broker_signal(play->broker, SIGTERM);
        broker_wait_exit(play->broker);
        play->done++;
        return false;
    }
    int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
    int code;
    while ((code = ask(play, COMMANDS[number].command, COMMANDS[number].payload)) > 0) {
        look(play);
        if (scene_now_ms() > until)
            fail(play, "%s is refused for ever", COMMANDS[number].command);
        scene_sleep_ms(20);
    }
    if (code < 0)
        return false;
    play->done++;
    return true;
}

/* Until the broker ends, by itself or because everything is done. */
static void live(struct play *play) {
    broker_spawn(play->broker, NULL);
    if (connect_to(play)) {
        if (play->done > 0)
            attach(play);
        look(play);
        while (play->done < COMMAND_COUNT && perform(play)) {
            attach(play);
            look(play);
        }
        hang_up(play);
    }
    look(play);
    if (play->broker->pid && play->done == COMMAND_COUNT)
        broker_signal(play->broker, SIGTERM);
    if (play->broker->pid)
        broker_wait_exit(play->broker);
}

static bool has_happened(const struct play *play) {
    return play->step != 0 && atomic_load(&play->disk->steps) >= play->step;
}

/* Nothing goes wrong any more: what is there, and is the end the same? */
static void settle(struct play *play) {
    atomic_store(&play->disk->counting, 0);
    broker_start(play->broker, NULL);
    const char *found = describe(play->broker);
    if (strcmp(found, expected[play->done]) != 0) {
        if (play->tried == play->done || strcmp(found, expected[play->tried]) != 0)
            fail(play, "there is %s and not %s", found, expected[play->done]);
        play->done = play->tried;
    }
    look(play);
    broker_stop(play->broker);
    while (play->done < COMMAND_COUNT)
        live(play);
    broker_start(play->broker, NULL);
    found = describe(play->broker);
    if (strcmp(found, expected[COMMAND_COUNT]) != 0)
        fail(play, "in the end there is %s and not %s", found, expected[COMMAND_COUNT]);
    look(play);
    if (broker_stop(play->broker) != 0)
        fail(play, "the last stop had code %d", play->broker->exit_code);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status, (void)kind, (void)where;
    return remove(path);
}

static void clear_stage(struct play *play) {
    play->reader = kb_close(play->reader);
    nftw(play->broker->state_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    nftw(play->broker->runtime_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void check_exit(const struct play *play) {
    int code = play->broker->exit_code;
    bool killed = play->action != SLOW_DISK_FAIL && has_happened(play);
    if (killed ? code != 128 + SIGKILL : code != 0 && (code != 1 || !has_happened(play)))
        fail(play, "the broker ended with %d", code);
}

/* False if there is no such step. */
static bool act(struct play *play, uint32_t step, uint32_t action, int error) {
    play->step = step;
    play->action = action;
    play->done = play->tried = 0;
    play->generation = 0;
    atomic_store(&play->disk->step, step);
    atomic_store(&play->disk->step_action, action);
    atomic_store(&play->disk->step_error, (uint32_t)error);
    atomic_store(&play->disk->steps, 0);
    atomic_store(&play->disk->counting, 1);
    do {
        play->tried = play->done;
        live(play);
        check_exit(play);
    } while (play->done < COMMAND_COUNT && (action == SLOW_DISK_FAIL || !has_happened(play)));
    bool happened = has_happened(play);
    settle(play);
    clear_stage(play);
    return happened;
}

/* ---- all of them ---- */

static void set_stage(struct play *play) {
    play->broker = scene_begin("epoll");
    play->broker->state_dir = scene_text("%s/state", scene_dir(scene_tmpfs(), "stage", 0755));
    play->broker->runtime_dir = scene_text("%s/stage/runtime", scene_tmpfs());
    play->disk = disk_new(play->broker, scene_text("%s/stage", scene_tmpfs()));
    play->fd = -1;
}

/* Without a fault: what is there after each command. Returns how many steps there are. */
static uint32_t rehearse(struct play *play) {
    atomic_store(&play->disk->counting, 1);
    expected[0] = "nothing";
    broker_start(play->broker, NULL);
    cr_assert(connect_to(play));
    while (play->done < COMMAND_COUNT) {
        if (!perform(play)) {
            cr_assert_eq(play->broker->exit_code, 0);
            broker_start(play->broker, NULL);
            cr_assert(connect_to(play));
        }
        attach(play);
        expected[play->done] = describe(play->broker);
    }
    hang_up(play);
    cr_assert_eq(broker_stop(play->broker), 0);
    clear_stage(play);
    return atomic_load(&play->disk->steps);
}

static unsigned wanted_steps(void) {
    const char *wanted = getenv("KEYBROKER_STEPS");
    if (wanted && *wanted)
        return (unsigned)strtoul(wanted, NULL, 10);
    return scene_sanitized() ? STEPS_SANITIZED : STEPS;
}

static void go_through(uint32_t action, int error) {
    struct play play = { 0 };
    struct seed seed = seed_begin("steps");
    set_stage(&play);
    uint32_t count = rehearse(&play), wanted = wanted_steps(), tried = 0, happened = 0;
    for (uint32_t step = 1; wanted == 0 || tried < wanted; step++, tried++) {
        bool uring = scene_has_uring() && seed_below(&seed, 2);
        play.broker->loop = uring ? "io_uring" : "epoll";
        bool there =
            act(&play, wanted ? 1 + (uint32_t)seed_below(&seed, count) : step, action, error);
        happened += there;
        if (!wanted && !there)
            break;
    }
    printf("%u steps tried of about %u, %u of them happened\n", tried, count, happened);
    fflush(stdout);
    cr_assert_gt(count, 100);
    cr_assert_gt(happened, tried / 2);
    scene_passed();
}

TestSuite(steps, .fini = scene_end, .timeout = 3600);

Test(steps, a_broker_killed_before_any_call_loses_nothing) {
    go_through(SLOW_DISK_KILL_BEFORE, 0);
}

Test(steps, a_broker_killed_after_any_call_loses_nothing) {
    go_through(SLOW_DISK_KILL_AFTER, 0);
}

Test(steps, an_input_output_error_of_any_call_is_survived) {
    go_through(SLOW_DISK_FAIL, EIO);
}

Test(steps, a_full_disk_at_any_call_is_survived) {
    go_through(SLOW_DISK_FAIL, ENOSPC);
}
