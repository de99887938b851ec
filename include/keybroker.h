/*
 * keybroker: the key to use now, read from shared memory.
 *
 * A worker opens one reader per thread and asks it for the current key before every request. The
 * answer comes from memory that the broker (keybrokerd) maintains: no system call, no lock, no
 * copy, about a nanosecond. When the vendor refuses a key the worker reports it; the broker benches
 * the key and every worker on the host is handed the next one microseconds later.
 *
 *     kb_reader *reader;
 *     int error = kb_open(&reader, "openai", NULL);
 *     kb_attempt attempt = KB_ATTEMPT_INIT;
 *     const kb_key *key;
 *     while ((key = kb_next(reader, &attempt))) {
 *         ... send the request with key->auth_header to key->base_url ...
 *         if (kb_report(reader, key->ticket, outcome, retry_after_ms) != KB_NEXT_KEY)
 *             break;
 *     }
 *
 * It ends with a good answer, with a request that no key can help (KB_GIVE_UP), or when it is time
 * to back off (KB_RETRY_LATER, or no key): then begin again with a new attempt, later. A worker
 * that never reports KB_SUCCESS does without the proof that others of its keys work.
 *
 * Threads: a reader belongs to one thread at a time; readers share nothing, open as many as needed.
 * Fork: a reader works on in the child, which reports on a connection of its own.
 * Blocking: only kb_wait sleeps. kb_open and a change of the catalog open files; nothing else here
 * waits for the broker, the disk or the network.
 * Files: where there is no /proc (in a chroot, say) the runtime directory must keep its path, and
 * reports need one of at most 40 bytes.
 * Signals, output, threads: the library installs no handlers, prints nothing, starts no threads and
 * never ends the process, whatever it finds in shared memory.
 * Errors: functions that return int return 0 or more on success and a negative KB_E… code on
 * failure. Enums are open: treat a value that you do not know as the most cautious one. Structs
 * that a caller allocates begin with `size` (set it with the _INIT macro); structs that the library
 * hands out grow only at their end.
 */
#ifndef KEYBROKER_H
#define KEYBROKER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KB_API __attribute__((visibility("default")))
#else
#define KB_API
#endif

#define KB_VERSION "0.1.0"

/* What the _INIT macros stand for: `size` is set, all else is 0. C++ has no designated initializers
 * before C++20 and warns about what they leave out. */
#ifdef __cplusplus
extern "C++" {
template <typename sized> inline sized kb_sized() {
    sized zeroed = sized();
    zeroed.size = sizeof(sized);
    return zeroed;
}
}
#define KB_SIZED(type) kb_sized<type>()
#else
#define KB_SIZED(type)                                                                             \
    { .size = sizeof(type) }
#endif

/* Why there is no key, or why a call failed. kb_strerror() puts them in words. */
enum {
    KB_EINVAL = -1,     /* an argument is out of range, or `size` is not set */
    KB_ENOMEM = -2,     /* no memory */
    KB_ENOENT = -3,     /* no such pool in the runtime directory, or no broker ever published it */
    KB_EACCES = -4,     /* the pool's directory is closed to this user: join the pool's group */
    KB_EVERSION = -5,   /* the broker publishes a layout that this library does not know */
    KB_ECORRUPT = -6,   /* board or catalog failed its checks */
    KB_EDELETED = -7,   /* the pool was deleted */
    KB_EEXHAUSTED = -8, /* every key of the pool is benched, disabled or expired */
    KB_EGUARDED = -9,   /* none is left, and the mass-failure guard holds the pool: back off, it may
                           not be the keys */
    KB_ETRIED = -10,    /* kb_next: every key this attempt may use was tried */
    KB_ESYSTEM = -11,   /* the kernel refused (out of descriptors and the like); errno says what */
};

typedef enum kb_status {
    KB_STATUS_NORMAL = 1,
    KB_STATUS_COOLING = 2,
    KB_STATUS_EXCEEDED = 3,
    KB_STATUS_ERROR = 4,
    KB_STATUS_DISABLED = 5,
    KB_STATUS_EXPIRED = 6, /* computed from the key's expiry and the clock, never stored */
    KB_STATUS_COUNT = 7    /* size for arrays indexed by status; index 0 is unused */
} kb_status;

/* What became of a request, as far as its key is concerned. */
typedef enum kb_outcome {
    KB_SUCCESS = 1,
    KB_INVALID = 2,    /* the vendor does not know the key, or has revoked it */
    KB_PERMISSION = 3, /* this key may not do this request or use this model */
    KB_QUOTA = 4,      /* balance or spending cap used up; concerns the whole account */
    KB_RATE = 5,       /* too fast; the key cools until the hint */
    KB_OVERLOAD = 6,   /* the vendor's own trouble: only a key of another base_url helps */
    KB_REQUEST = 7,    /* the caller's mistake; never costs a key anything */
    KB_NETWORK = 8     /* no answer at all */
} kb_outcome;

/* What the worker should do with the request that it reported. */
typedef enum kb_verdict {
    KB_OK = 0,          /* nothing is wrong */
    KB_NEXT_KEY = 1,    /* take the next key now and retry */
    KB_RETRY_LATER = 2, /* another key will not help: back off, then retry */
    KB_GIVE_UP = 3      /* the request itself is wrong */
} kb_verdict;

#define KB_NO_HINT UINT64_MAX

/* A pool attached for reading. */
typedef struct kb_reader kb_reader;

/* All that a report needs to name the key it is about: 16 bytes, by value. Keep it with the
 * request. */
typedef struct kb_ticket {
    uint64_t id;         /* the key */
    uint64_t generation; /* when the reader was handed the key */
} kb_ticket;

/*
 * A key to use. Owned by the reader; the struct and its strings hold until the next kb_current,
 * kb_next, kb_wait or kb_close on that reader (kb_key_dup for longer). Strings are NUL-terminated
 * and never NULL; an absent one is "".
 */
typedef struct kb_key {
    uint64_t id;
    kb_ticket ticket;
    const char *name;
    const char *account;     /* keys of one account share its limits */
    const char *api_key;     /* the secret itself */
    const char *base_url;    /* without a trailing slash */
    const char *auth_header; /* ready to send, e.g. "Authorization: Bearer sk-…" */
    const char *config_json; /* the key's whole configuration, a JSON object */
    int64_t expires_at_ms;   /* milliseconds since 1970-01-01 UTC; 0 = never */
    const char *vendor;      /* "openai", "anthropic", … */
    const char *environment; /* the vendor's usual variables, "NAME=VALUE", each NUL-terminated,
                                then an empty string */
} kb_key;

typedef struct kb_options {
    size_t size;
    const char *runtime_dir; /* NULL: $KEYBROKER_RUNTIME_DIR, else $XDG_RUNTIME_DIR/keybroker if the
                                pool is there, else /run/keybroker. Ignored environment in setuid
                                programs (secure_getenv). */
} kb_options;
#define KB_OPTIONS_INIT KB_SIZED(kb_options)

/*
 * One request's tries. The caller owns it, one per request in flight, and keeps it over the
 * retries. An attempt may try at most KB_ATTEMPT_TRIES different keys.
 */
#define KB_ATTEMPT_TRIES 30
typedef struct kb_attempt {
    size_t size;
    uint64_t pin_key;        /* not 0: only this key id will do (a file uploaded with it, say) */
    const char *pin_account; /* not NULL: only keys of this account; the caller's own copy, for as
                                long as the attempt. "" needs pin_key: a key without an account
                                label is an account of its own */
    char model[64];          /* reserved for reports that name a model; "" = none */
    uint32_t tried_count;
    uint32_t reserved;
    uint64_t tried[KB_ATTEMPT_TRIES]; /* key ids */
} kb_attempt;
#define KB_ATTEMPT_INIT KB_SIZED(kb_attempt)

/* One key as kb_list shows it. Strings as in kb_key; they hold during the callback. */
typedef struct kb_list_entry {
    uint64_t id;
    uint32_t position; /* 1 is used first */
    uint32_t weight;   /* 1–1000, what `spread` goes by */
    kb_status status;
    int is_default; /* the pool's protected default key */
    uint64_t
        recovers_in_ms;    /* until it comes back by itself; UINT64_MAX = it will not; 0 = usable */
    int64_t expires_at_ms; /* 0 = never */
    const char *name;
    const char *account;
    const char *base_url;
} kb_list_entry;

/* Return 0 to go on, anything else to stop; kb_list returns that value. */
typedef int (*kb_list_fn)(const kb_list_entry *entry, void *userdata);

typedef struct kb_health_info {
    size_t size;
    int broker_alive;          /* the heartbeat is younger than 3 s */
    int guarded;               /* the mass-failure guard is on */
    uint64_t heartbeat_age_ms; /* the broker beats once a second */
    uint64_t generation;
    uint32_t keys;
    uint32_t usable;
    uint32_t by_status[KB_STATUS_COUNT]; /* index with kb_status */
    uint32_t reports_pending;            /* reports of this reader that are still to be sent */
} kb_health_info;
#define KB_HEALTH_INFO_INIT KB_SIZED(kb_health_info)

/* A vendor's answer, as it came. */
typedef struct kb_http_response {
    size_t size;
    int status; /* 0 = there was no answer (connection refused, timeout …) */
    const char
        *headers; /* the header block as received, with or without the status line; NULL = none */
    const char *body; /* need not be NUL-terminated, complete, text, or there at all */
    size_t body_len;  /* the first 64 KiB are looked at; of an answer that worked, see below */
} kb_http_response;
#define KB_HTTP_RESPONSE_INIT KB_SIZED(kb_http_response)

typedef enum kb_scope {
    KB_CONCERNS_REQUEST = 1,
    KB_CONCERNS_KEY = 2,
    KB_CONCERNS_ACCOUNT = 3,
    KB_CONCERNS_ENDPOINT = 4
} kb_scope;

/* What kb_report_http made of an answer. */
typedef struct kb_report_info {
    size_t size;
    kb_outcome outcome;
    kb_scope scope;
    uint64_t wait_ms; /* how long the vendor asked to wait; KB_NO_HINT = it did not say */
    char code[64];    /* the vendor's own code, "" = none */
    int sent;         /* the report is with the broker */
    int queued;       /* it will be sent later */
    int stale;        /* the key was renewed since it was handed out: nothing happens to it */
    int guarded;      /* the mass-failure guard holds the pool */
} kb_report_info;
#define KB_REPORT_INFO_INIT KB_SIZED(kb_report_info)

/*
 * Attach to `pool` (a name, [a-z0-9][a-z0-9._-]{0,47}). The broker need not be running: what it
 * last published is enough. Opens files and allocates; on failure *ret_reader is untouched. Errors:
 * KB_EINVAL, KB_ENOMEM, KB_ENOENT, KB_EACCES, KB_EVERSION, KB_ECORRUPT, KB_ESYSTEM.
 */
KB_API int kb_open(kb_reader **ret_reader, const char *pool, const kb_options *options);

/* Detach and free; sends nothing. NULL is allowed. Returns NULL. */
KB_API kb_reader *kb_close(kb_reader *reader);

/*
 * The key to use now by the pool's strategy (`priority`: the first usable one; `spread`: one of the
 * usable ones, in proportion to their weights), or NULL when none is usable (kb_last_error says
 * why). Keys of an endpoint (base_url) that this reader has reported as KB_OVERLOAD or KB_NETWORK
 * within 10 s, without a success since, come after all others. The hot path: one acquire load and
 * one compare while nothing changed, plus a read of the coarse monotonic clock when the answer has
 * a deadline. A status change is taken in without a
 * system call; a change of configuration opens the new catalog (if that fails, the last one stays
 * in use and it is tried again at most every 10 ms).
 */
KB_API const kb_key *kb_current(kb_reader *reader);

/*
 * The key for one request's next try: the strategy's choice among the keys that are usable,
 * permitted by the attempt's pins and not tried by it yet. NULL: KB_ETRIED, or a reason as for
 * kb_current, and endpoints in trouble come last as there. Many attempts may be in progress on one
 * reader.
 */
KB_API const kb_key *kb_next(kb_reader *reader, kb_attempt *attempt);

/*
 * Report what became of a request, classified by the caller. `hint_ms` is how long the vendor asked
 * to wait, KB_NO_HINT (or 0) when it said nothing; it is bounded to 24 hours. Never blocks: what
 * cannot be sent now is kept, coalesced per key, and sent with a later report, kb_wait or
 * kb_health. After KB_NEXT_KEY this reader skips the key at once, without waiting for the broker,
 * until the broker has judged the report or the hint (without one, 30 s) has passed; not after
 * KB_PERMISSION, which concerns one request only: retry with kb_next, whose kb_attempt remembers
 * it. KB_SUCCESS is sent only while the key is in backoff, an endpoint of the pool in doubt or the
 * guard on, and at most every 100 ms for a key: call it after every good answer. While the
 * mass-failure guard holds (more than half of the keys failed within 10 s, so that it may be
 * something else), KB_INVALID and a KB_RATE without a hint still yield KB_NEXT_KEY as long as this
 * reader has a usable key that it does not skip, else KB_RETRY_LATER; the skip lasts 5 s. A good
 * answer of another key of the same base_url, reported by the same process, then proves that it is
 * the keys: the guard ends and benches them. KB_OVERLOAD and KB_NETWORK concern the endpoint:
 * KB_NEXT_KEY while a usable key has another base_url that did not fail this reader in the last 10
 * s, else KB_RETRY_LATER. An unknown outcome or reader yields KB_GIVE_UP.
 */
KB_API kb_verdict kb_report(kb_reader *reader, kb_ticket ticket, kb_outcome outcome,
                            uint64_t hint_ms);

/*
 * Classify a vendor's HTTP answer by the vendor's rules (they travel in the catalog, so that a
 * change of rules reaches running workers) and report it when it says something about the key. Call
 * it for every answer, also good ones. The same input gives the same class. Never blocks;
 * `ret_info` may be NULL.
 *
 * A failure behind HTTP 200 is understood as well, whoever the vendor: an error that is the whole
 * body or stands in a choice, and one in any event of a stream. Of an answer that worked the body's
 * first and last 16 KiB are looked at, and, of an event that is longer, where it begins, up to
 * 256 KiB before; that takes microseconds, and nothing is parsed unless an error's name is found
 * there.
 *
 * Of a stream hand over, with the status and the headers that it came with:
 *   - when its first event with content is there, before anything is passed on: all that came so
 *     far. Events that only announce (response.created, message_start, ping) are worth waiting
 *     past: an error may follow at once. Unless it is KB_OK drop the stream and do as the verdict
 *     says; nobody has seen anything of it.
 *   - when it has ended: its end, from the beginning of a line and best the last 16 KiB of it,
 *     so that the last complete event is there (one that repeats the request, as response.failed
 *     does, may be longer); or all of it. The verdict can't be followed any more, but the key's
 *     failure is known.
 *   - when it broke off: status 0, as for any answer that did not come.
 * Who collects a stream before using it calls once, with all of it. Answers that tell of something
 * else that failed (the state of a batch, a job or an earlier response) are not for this call.
 */
KB_API kb_verdict kb_report_http(kb_reader *reader, kb_ticket ticket,
                                 const kb_http_response *response, kb_report_info *ret_info);

/* Milliseconds until the soonest recovery of a key; 0 when one is usable now, UINT64_MAX if only an
 * operator can help. */
KB_API uint64_t kb_recovers_in_ms(kb_reader *reader);

/*
 * Sleep until something in the pool changed since this reader last looked, or a deadline of the
 * current choice passed (1), or `timeout_ms` passed (0); a negative timeout waits for ever, 0 only
 * looks. Returns 0 early when a signal handler ran. The only call that sleeps. About once a second
 * it also looks whether the board is still the pool's (its directory may have been wiped).
 */
KB_API int kb_wait(kb_reader *reader, int timeout_ms);

/* Call `fn` for every key in order of priority. 0, fn's own non-zero value, or an error. */
KB_API int kb_list(kb_reader *reader, kb_list_fn fn, void *userdata);

/* How broker, pool and this reader are. Sets ret_info's fields up to its `size`. */
KB_API int kb_health(kb_reader *reader, kb_health_info *ret_info);

/* Why the last kb_current, kb_next or kb_wait on this reader gave nothing; 0 if it did. */
KB_API int kb_last_error(const kb_reader *reader);

/* A copy that the caller owns and kb_key_free()s; NULL without memory. */
KB_API kb_key *kb_key_dup(const kb_key *key);

/* Wipe and free a copy. NULL is allowed. Returns NULL. */
KB_API kb_key *kb_key_free(kb_key *key);

/* Static English text for a KB_E… code. */
KB_API const char *kb_strerror(int error);

/* The library's version, as KB_VERSION. */
KB_API const char *kb_version(void);

#ifdef __cplusplus
}
#endif
#endif
