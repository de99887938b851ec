/* See contestant.h: the least that carries news from one process to another. */
#include "contestant.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keybroker_shared/report.h>

#include "sample.h"

struct relay {
    struct contestant contestant;
    _Atomic uint32_t *word; /* shared, alone in its page; it stands for the key */
    uint32_t last;          /* the observer's */
    bool blocks;
    pid_t pid;
    int fd;
};

__attribute__((noreturn)) static void be_relay(const struct relay *relay, int fd) {
    struct kb_report_message message;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sample_pin(CPU_WORKING);
    for (uint32_t received = 1; recv(fd, &message, sizeof message, 0) > 0; received++) {
        atomic_store_explicit(relay->word, received, memory_order_release);
        if (relay->blocks)
            syscall(SYS_futex, relay->word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
    _exit(0);
}

static void relay_attach(struct contestant *contestant) {
    (void)contestant; /* the word was inherited */
}

static void relay_look(struct contestant *contestant) {
    struct relay *relay = (struct relay *)contestant;
    relay->last = atomic_load(relay->word);
}

static void relay_spin(struct contestant *contestant) {
    struct relay *relay = (struct relay *)contestant;
    uint32_t now;
    do {
        now = atomic_load_explicit(relay->word, memory_order_acquire);
    } while (now == relay->last);
    relay->last = now;
}

static void relay_sleep(struct contestant *contestant) {
    struct relay *relay = (struct relay *)contestant;
    uint32_t now;
    while ((now = atomic_load_explicit(relay->word, memory_order_acquire)) == relay->last)
        syscall(SYS_futex, relay->word, FUTEX_WAIT, relay->last, NULL, NULL, 0);
    relay->last = now;
}

static uint64_t relay_report(struct contestant *contestant) {
    const struct relay *relay = (struct relay *)contestant;
    struct kb_report_message message = { .size = sizeof message };
    uint64_t sent_ns = sample_now_ns();
    if (send(relay->fd, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        sample_die("relay: %s", strerror(errno));
    return sent_ns;
}

static struct contestant *relay_free(struct contestant *contestant) {
    struct relay *relay = (struct relay *)contestant;
    close(relay->fd);
    kill(relay->pid, SIGKILL); /* other children may have inherited the descriptor */
    waitpid(relay->pid, NULL, 0);
    munmap(relay->word, sizeof *relay->word);
    free(relay);
    return NULL;
}

struct contestant *contestant_relay_new(bool blocks) {
    struct relay *relay = calloc(1, sizeof *relay);
    int pair[2];
    if (!relay || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        sample_die("socketpair: %s", strerror(errno));
    relay->contestant = (struct contestant){ .attach = relay_attach,
                                             .look = relay_look,
                                             .await = blocks ? relay_sleep : relay_spin,
                                             .report = relay_report,
                                             .free = relay_free };
    relay->blocks = blocks;
    relay->word = sample_shared(sizeof *relay->word);
    relay->fd = pair[0];
    relay->pid = fork();
    if (relay->pid < 0)
        sample_die("fork: %s", strerror(errno));
    if (relay->pid == 0) {
        close(pair[0]);
        be_relay(relay, pair[1]);
    }
    close(pair[1]);
    return &relay->contestant;
}
