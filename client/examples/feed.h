/*
 * What the example worker tells whoever watches it: JSON objects on stdout, one a line. Only for
 * `worker --stats`; a worker of your own needs none of this.
 *
 *     {"type":"stats","at_ns":…,"requests":…,"ok":…,"failed":…,"failed_usable":…,"broken":…,
 *      "retries":…,"in_flight":…,"waiting":…,"key":"first"}     once a second, and at the end
 *     {"type":"report","at_ns":…,"key":"first","outcome":"quota","code":…,"wait_ms":…}
 *             the time is taken just before kb_report_http; wait_ms -1: the vendor did not say
 *     {"type":"switch","at_ns":…,"from":"first","to":"second"}         the watcher thread saw it
 *
 * Times are CLOCK_MONOTONIC, which all processes of a host share.
 */
#ifndef EXAMPLES_FEED_H
#define EXAMPLES_FEED_H

#include <stdint.h>

#include <curl/curl.h>
#include <jansson.h>
#include <keybroker.h>

uint64_t feed_now_ns(void);

/* Print one line, whole, in one write; takes the reference. */
void feed_print(json_t *line);

void feed_report(uint64_t at_ns, const char *key, const char *outcome, const kb_report_info *info);

/* Add a header "X-Begun-Ns: NOW" to the list: a vendor that knows it can tell when a request chose
 * its key. NULL without memory. */
struct curl_slist *feed_stamp(struct curl_slist *list);

/*
 * A thread with a reader of its own that sleeps in kb_wait and prints a "switch" line as soon as
 * another key is current. It shows when this process could use the next key; the requests
 * themselves need no such thread, kb_next sees the change by itself. 0, or an error as kb_open's.
 */
struct feed_watcher;
int feed_watcher_start(struct feed_watcher **ret_watcher, const char *pool,
                       const kb_options *options);
struct feed_watcher *feed_watcher_stop(struct feed_watcher *watcher); /* NULL allowed */

#endif
