/*
 * The mass-failure guard with a real broker, a vendor that refuses keys, and the loop that
 * keybroker.h begins with: a pool is served as long as one of its keys works, the bad ones are
 * benched, and a vendor that refuses everybody costs a pool no more than half of its keys.
 */
#include <criterion/criterion.h>

#include <string.h>

#include <curl/curl.h>

#include "tests/support/peer.h"
#include "tests/support/scene.h"
#include "tests/support/standin.h"
#include "tests/support/worker.h"

enum { WORKERS = 8 };

/* Keys k0, k1 … that the stand-in knows as sk-standin-0 …; the guard as it comes. */
static const char *make_pool(struct peer *peer, unsigned count) {
    const char *url = standin_start();
    for (unsigned i = 0; i < count; i++) {
        const char *payload =
            scene_text("{\"api_key\":\"sk-standin-%u\",\"base_url\":\"%s/openai/v1\"}", i, url);
        peer_must_with(peer, payload, i ? "add key main name=k%u" : "add pool main vendor=openai",
                       i);
        standin_steer(url, scene_text("key?key=sk-standin-%u", i));
    }
    peer_must(peer, "set key main key1 name=k0");
    return url;
}

static void revoke(const char *url, unsigned from, unsigned to) {
    for (unsigned i = from; i <= to; i++)
        standin_steer(url, scene_text("revoke?key=sk-standin-%u", i));
}

static unsigned count(struct peer *peer, const char *status) {
    struct answer *answer = peer_must(peer, "json show pool main");
    return (unsigned)answer_number(answer, scene_text("counts.%s", status));
}

/* ---- the loop ---- */

static size_t ignore(char *data, size_t size, size_t items, void *userdata) {
    (void)data;
    (void)userdata;
    return size * items;
}

/* Send the request; its HTTP status. */
static long send_request(CURL *easy, const kb_key *key) {
    char url[512];
    long status = 0;
    struct curl_slist *headers = curl_slist_append(NULL, key->auth_header);
    snprintf(url, sizeof url, "%s/chat/completions", key->base_url);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "{\"model\":\"m\",\"messages\":[]}");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (curl_easy_perform(easy) == CURLE_OK)
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    return status;
}

/* keybroker.h's loop. True if the request was served. */
static bool serve(kb_reader *reader, CURL *easy) {
    kb_attempt attempt = KB_ATTEMPT_INIT;
    const kb_key *key;
    kb_outcome outcome = KB_NETWORK;
    while ((key = kb_next(reader, &attempt))) {
        long status = send_request(easy, key);
        outcome = status == 200 ? KB_SUCCESS : status == 401 ? KB_INVALID : KB_NETWORK;
        if (kb_report(reader, key->ticket, outcome, KB_NO_HINT) != KB_NEXT_KEY)
            break;
    }
    return key && outcome == KB_SUCCESS;
}

TEST_BOTH_LOOPS(guard, two_bad_keys_of_three_lose_no_request_and_end_in_error) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    const char *url = make_pool(peer, 3);
    revoke(url, 0, 1);
    CURL *easy = curl_easy_init();
    kb_reader *reader = worker_open(b, "main");
    for (unsigned i = 0; i < 12; i++)
        cr_expect(serve(reader, easy), "request %u", i + 1);
    EVENTUALLY(serve(reader, easy) && count(peer, "error") == 2);
    cr_assert_str_eq(worker_current(reader), "k2");
    struct answer *pool = peer_must(peer, "json show pool main");
    cr_assert_str_eq(answer_string(pool, "guard"), "on", "it watches again");
    cr_assert_eq(answer_number(pool, "guard_held"), 0);
    cr_assert_leq(standin_told(url, "sk-standin-1", "invalid"), 3, "it was tried a few times");
    kb_close(reader);
    curl_easy_cleanup(easy);
}

/* ---- many at once ---- */

struct crowd {
    const struct broker *broker;
    _Atomic bool stop;
    _Atomic unsigned served, lost;
};

static int work(void *argument) {
    struct crowd *crowd = argument;
    CURL *easy = curl_easy_init();
    kb_reader *reader = worker_open(crowd->broker, "main");
    while (!atomic_load(&crowd->stop))
        atomic_fetch_add(serve(reader, easy) ? &crowd->served : &crowd->lost, 1);
    return 0;
}

TEST_BOTH_LOOPS(guard, one_good_key_of_ten_serves_many_workers) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    const char *url = make_pool(peer, 10);
    revoke(url, 0, 8);
    struct crowd *crowd = worker_share(sizeof *crowd);
    crowd->broker = b;
    pid_t pids[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++)
        pids[i] = worker_fork(work, crowd);
    EVENTUALLY(count(peer, "error") == 9);
    atomic_store(&crowd->stop, true);
    for (unsigned i = 0; i < WORKERS; i++)
        cr_assert_eq(worker_wait(pids[i]), 0);
    cr_assert_eq(atomic_load(&crowd->lost), 0, "of %u", atomic_load(&crowd->served));
    cr_assert_eq(count(peer, "normal"), 1);
}

/* ---- it is the vendor ---- */

TEST_BOTH_LOOPS(guard, a_vendor_that_refuses_everybody_costs_half_and_the_rest_come_back) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    const char *url = make_pool(peer, 6);
    standin_steer(url, "all?answer=invalid");
    struct crowd *crowd = worker_share(sizeof *crowd);
    crowd->broker = b;
    pid_t pids[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++)
        pids[i] = worker_fork(work, crowd);
    EVENTUALLY(answer_number(peer_must(peer, "json show pool main"), "guard_held") == 3);
    EVENTUALLY(atomic_load(&crowd->lost) > 100);
    cr_assert_eq(atomic_load(&crowd->served), 0);
    cr_assert_eq(count(peer, "error"), 3);
    standin_steer(url, "all?answer=success");
    CURL *easy = curl_easy_init();
    kb_reader *reader = worker_open(b, "main"); /* one that skips nothing yet */
    for (unsigned i = 0; i < 50; i++)
        cr_assert(serve(reader, easy));
    EVENTUALLY(atomic_load(&crowd->served) > 0);
    atomic_store(&crowd->stop, true);
    for (unsigned i = 0; i < WORKERS; i++)
        cr_assert_eq(worker_wait(pids[i]), 0);
    cr_assert_eq(count(peer, "normal"), 3);
    cr_assert_eq(count(peer, "error"), 3);
    kb_close(reader);
    curl_easy_cleanup(easy);
}
