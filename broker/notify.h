/*
 * What systemd is told and asks for (sd_notify(3), as a datagram, without its library): readiness,
 * stopping, status, watchdog. Without a supervisor that listens every call does nothing. Main calls
 * it, from one thread. Nothing here fails or blocks: a message that cannot be sent is logged at
 * debug and forgotten.
 */
#ifndef BROKER_NOTIFY_H
#define BROKER_NOTIFY_H

#include <stdint.h>

/* Take NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no child
 * speaks for the broker. Before any thread is started. */
void notify_init(void);
void notify_deinit(void);

void notify_send(const char *state); /* "READY=1", "STOPPING=1", "STATUS=...", "WATCHDOG=1" */

/* How often to send WATCHDOG=1: half of what the supervisor allows; 0 = it does not ask. */
int64_t notify_watchdog_interval_ms(void);

#endif
