/*
 * The site: what keybroker-console answers over HTTP. Owns the listening socket, libmicrohttpd's
 * thread, the visits and the tokens, the feed and the link to the broker.
 *
 *   site.c    comes up and goes down, requests from their first header to their last byte
 *   route.c   which request is whose, and what it must bring before it is looked at
 *   pages.c   the page's files, signing in and out
 *   api.c     what the page asks for: commands, its session, the stream; and /metrics
 *
 * Threads: libmicrohttpd's one runs everything here but what is said otherwise, so visits and
 * tokens need no lock. The link's thread (link.h) carries requests to the broker; one that waits
 * for it is suspended, and resumed by its exchange's `done`. main waits for a signal.
 */
#ifndef CONSOLE_SITE_H
#define CONSOLE_SITE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <microhttpd.h>

#include "../buffer.h"
#include "../refusal.h"
#include "exchange.h"
#include "feed.h"
#include "gate.h"
#include "link.h"
#include "patience.h"
#include "settings.h"
#include "token.h"
#include "visits.h"

enum {
    SITE_CONNECTIONS_MAX = 768,   /* then the oldest of somebody who is not signed in ends … */
    SITE_CONNECTIONS_ENDING = 64, /* … and as many may take their time about it */
    SITE_IDLE_S = 10,             /* without a byte */
    SITE_REQUEST_MS = 60 * 1000,  /* from a request's first byte to its last */
};

struct arrival;

struct site {
    const struct settings *settings;
    int listen_fd;
    char address[80]; /* "127.0.0.1:8480", as it stands in a URL */
    char cookie[24];  /* its name */
    struct gate gate;
    struct token once;                /* lets one browser in, then there is another */
    struct token standing;            /* of --token-file */
    struct token metrics;             /* of --metrics-token-file */
    struct patience patience;         /* with those who sign in … */
    struct patience metrics_patience; /* … and who ask for metrics */
    struct visits visits;
    struct feed feed;
    struct link *link;
    struct MHD_Daemon *daemon;
    pthread_mutex_t arrivals_lock; /* of the list, and of what its members say */
    struct arrival *arrivals;      /* the newest first */
    unsigned arrivals_open;        /* how many were not told to end */
};

/* A connection, from its beginning to its end. */
struct arrival {
    struct arrival *next, **link;
    int fd;
    int64_t waits_ms; /* since when a request is awaited or coming in; 0 = it is here */
    bool signed_in;   /* its last request was of a visit, or brought the metrics' token */
    bool ends;        /* it was told to */
};

/* One request. */
struct call {
    struct site *site;
    struct MHD_Connection *connection;
    const struct route *route; /* NULL = refused before one was found */
    struct refusal refusal;    /* code 0 = none */
    const char *allow;         /* of a 405 */
    char host[GATE_NAME_SIZE]; /* that it is for */
    uint64_t visit;            /* 0 = nobody who signed in */
    bool has_cookie;           /* a visit's, whoever sends it: for the page's files */
    bool head;
    bool early;     /* answered before its body came */
    bool ambiguous; /* where it ends is not known: the connection ends with the answer */
    struct buffer body;
    struct exchange exchange;
    bool changes; /* the broker is asked to change something */
    bool asked;   /* the exchange was begun; and is over when the call is looked at again */
};

struct route {
    const char *path;
    const char *method; /* GET has HEAD with it */
    bool needs_visit;
    bool is_command; /* own origin and JSON, else forms: own origin */
    size_t body_max;
    enum MHD_Result (*handler)(struct call *call); /* the request is here, whole */
    enum MHD_Result (*answer)(struct call *call);  /* the broker's answer too; NULL = not asked */
};

/* Come up, serve until site_stop. Explained on stderr. 0 or -errno. */
int site_start(struct site *site, const struct settings *settings);
void site_stop(struct site *site);

/* ---- for the other files ---- */

/* Say on stdout where to sign in, with a new one-time token unless there is a standing one. */
void site_print_address(struct site *site);
/* Who is at the other end of the call's connection. */
struct caller site_caller(const struct call *call);
/* Is the call somebody's who signed in? Others' connections end first where there are too many. */
void site_note_caller(struct call *call, bool signed_in);
/* Give the call's exchange to the link, and suspend the call until it is over. */
enum MHD_Result site_ask_broker(struct call *call);
/* Route the call by its headers: fills route, visit or refusal. */
void route_call(struct call *call, const char *url, const char *method);

enum MHD_Result pages_asset(struct call *call);
enum MHD_Result pages_root(struct call *call);
enum MHD_Result pages_login(struct call *call);
enum MHD_Result pages_logout(struct call *call);
enum MHD_Result api_command(struct call *call);
enum MHD_Result api_pass(struct call *call);
enum MHD_Result api_session(struct call *call);
enum MHD_Result api_session_answer(struct call *call);
enum MHD_Result api_stream(struct call *call);
enum MHD_Result api_metrics(struct call *call);
enum MHD_Result api_metrics_answer(struct call *call);

#endif
