/*
 * What the demo plays on: private directories, the stand-in vendor, the broker, the web console
 * where it was built, the workers. It starts them in order, ends them in reverse, and removes what
 * it made.
 */
#ifndef DEMO_STAGE_H
#define DEMO_STAGE_H

#include <limits.h>

#include "failover.h"
#include "process.h"

struct stage {
    unsigned worker_count;
    unsigned in_flight;     /* requests at a time, of each worker */
    const char *build;      /* where the programs are */
    char state[PATH_MAX];   /* the broker's state directory, under build/ */
    char private[PATH_MAX]; /* holds the runtime directory and the notification socket */
    char runtime[PATH_MAX];
    char log[PATH_MAX]; /* what everybody printed; kept */
    char vendor_url[64];
    char console_url[160]; /* with the token that lets one browser in; "" = no console was built */
    int notify;            /* the broker says READY=1 here; -1 = not open */
    struct process vendor;
    struct process broker;
    struct process console;
    struct process workers[WORKERS_MAX];
};

/* All of these: 0, or -1 after a sentence on stderr. */
int stage_open(struct stage *stage, const char *build);
int stage_start_services(struct stage *stage);
int stage_start_workers(struct stage *stage);

/* Run `keybroker WORD…`; `key` names the key whose configuration is its payload, NULL = none. */
int stage_command(struct stage *stage, const char *const words[], const char *key);

/* What `keybroker WORD…` answers, up to a NULL; the caller frees it. NULL if it does not. */
char *stage_ask(struct stage *stage, const char *const words[]);

/* From a report's arrival at the broker to its store on the board, on average, as `keybroker show
 * metrics` tells; 0 if it does not. */
double stage_publish_us(struct stage *stage);

/* The name of a process that has ended by itself, or NULL. */
const char *stage_casualty(struct stage *stage);

/* Ends what still runs and removes the directories. -1 if anything had to be killed or failed. */
int stage_close(struct stage *stage);

#endif
