/*
 * The one flag that a signal handler sets: Ctrl-C at the prompt. Set by prompt.c's handler, looked
 * at by whoever sleeps in the kernel on a command's behalf.
 */
#include "cli.h"

#include <signal.h>

static volatile sig_atomic_t interrupted;

bool cli_interrupted(void) {
    return interrupted != 0;
}

void cli_interrupt_clear(void) {
    interrupted = 0;
}

void cli_interrupt_set(void) {
    interrupted = 1;
}
