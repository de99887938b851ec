/*
 * See request.h.
 */
#include "request.h"

#include <stdio.h>
#include <string.h>

#include "chat.h"
#include "feed.h"

/* ---- what comes back ---- */

static const char *outcome_name(kb_outcome outcome) {
    static const char *const names[] = { "?",    "success",  "invalid", "permission", "quota",
                                         "rate", "overload", "request", "network" };
    return outcome >= 1 && outcome <= KB_NETWORK ? names[outcome] : names[0];
}

/* Hand over what the vendor answered; status 0: there was no answer, or no end of it. */
static kb_verdict hand_over(struct request *request, int status, const char *body, size_t length) {
    const struct call *call = request->call;
    uint64_t at_ns = call->feed ? feed_now_ns() : 0;
    kb_http_response response = KB_HTTP_RESPONSE_INIT;
    kb_report_info info = KB_REPORT_INFO_INIT;
    response.status = status;
    response.headers = request->headers;
    response.body = body;
    response.body_len = length;
    kb_verdict verdict = kb_report_http(call->reader, request->ticket, &response, &info);
    request->wait_ms = info.wait_ms;
    if (call->feed && info.outcome != KB_SUCCESS)
        feed_report(at_ns, request->key_name, outcome_name(info.outcome), &info);
    return verdict;
}

static bool is_good(int status) {
    return status >= 200 && status <= 299;
}

static int status_of(const struct request *request) {
    long status = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

/* Once a try. Of a stream that did not fit into `body` its end says more than half of an event. */
static kb_verdict report(struct request *request, bool arrived) {
    if (request->reported)
        return request->verdict;
    const char *body = request->body;
    size_t length = request->body_length;
    if (request->stream.kept > length)
        body = stream_end(&request->stream, &length);
    request->reported = true;
    request->verdict = hand_over(request, arrived ? status_of(request) : 0, body, length);
    return request->verdict;
}

static void keep(char *to, size_t *length, size_t size, const char *data, size_t count) {
    size_t kept = count < size - *length ? count : size - *length;
    memcpy(to + *length, data, kept);
    *length += kept;
}

static size_t on_header(char *data, size_t size, size_t count, void *userdata) {
    struct request *request = userdata;
    if (size * count >= 5 && memcmp(data, "HTTP/", 5) == 0)
        request->headers_length = 0; /* what came before was an interim answer's */
    keep(request->headers, &request->headers_length, sizeof(request->headers) - 1, data,
         size * count);
    request->headers[request->headers_length] = '\0';
    return size * count;
}

/* Returning less than what came ends the transfer: the request goes on as the verdict says. */
static size_t on_body(char *data, size_t size, size_t count, void *userdata) {
    struct request *request = userdata;
    if (!request->streaming)
        keep(request->body, &request->body_length, sizeof(request->body), data, size * count);
    if (!request->call->stream || !is_good(status_of(request)))
        return size * count;
    stream_take(&request->stream, data, size * count);
    if (request->streaming || !request->stream.began)
        return size * count; /* a worker of your own passes it on here */
    request->streaming = report(request, true) == KB_OK;
    return request->streaming ? size * count : 0;
}

bool request_broke(const struct request *request) {
    return request->streaming && request->broke;
}

/* The good beginning was reported; the end may still say something about the key. */
static void report_end(struct request *request, bool arrived) {
    size_t length;
    const char *end = stream_end(&request->stream, &length);
    request->broke = hand_over(request, status_of(request), end, length) != KB_OK;
    if (!request->broke && !arrived) {
        hand_over(request, 0, NULL, 0);
        request->broke = true;
    }
}

kb_verdict request_finish(struct request *request, CURLcode result) {
    kb_verdict verdict = report(request, result == CURLE_OK);
    if (request->streaming)
        report_end(request, result == CURLE_OK);
    return verdict;
}

/* ---- what is sent ---- */

/* Everything that depends on the key. libcurl copies the URL only. */
static bool set_up(struct request *request, const kb_key *key) {
    const struct call *call = request->call;
    const struct chat *chat = chat_of(key);
    char url[2048];
    curl_slist_free_all(request->list);
    request->list = curl_slist_append(NULL, "Content-Type: application/json");
    struct curl_slist *list = curl_slist_append(request->list, key->auth_header);
    if (list && chat->header)
        list = curl_slist_append(request->list, chat->header);
    if (list && call->feed)
        list = feed_stamp(request->list);
    if (!request->list || !list ||
        !chat_url(chat, key, call->model, call->stream, url, sizeof(url)) ||
        !chat_body(chat, call->model, "Hello", call->stream, request->question,
                   sizeof(request->question)))
        return false;
    curl_easy_setopt(request->easy, CURLOPT_URL, url);
    curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, request->list);
    curl_easy_setopt(request->easy, CURLOPT_POSTFIELDS, request->question);
    return true;
}

/* Connected, and about to be sent. Getting here can take a handshake with the vendor, and meanwhile
 * another worker may have seen the key fail: nothing is lost yet, so look once more. */
static int on_ready(void *userdata, char *address, char *own_address, int port, int own_port) {
    struct request *request = userdata;
    (void)address;
    (void)own_address;
    (void)port;
    (void)own_port;
    kb_attempt same = KB_ATTEMPT_INIT;
    same.pin_key = request->ticket.id;
    request->unsent = !kb_next(request->call->reader, &same);
    return request->unsent ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

void request_renew(struct request *request) {
    request->attempt = (kb_attempt)KB_ATTEMPT_INIT;
}

int request_prepare(struct request *request, bool again) {
    kb_reader *reader = request->call->reader;
    const kb_key *key = kb_next(reader, &request->attempt);
    if (!key && again && kb_last_error(reader) == KB_ETRIED) {
        request_renew(request);
        key = kb_next(reader, &request->attempt);
    }
    if (!key)
        return kb_last_error(reader);
    if (!set_up(request, key))
        return KB_ENOMEM;
    request->ticket = key->ticket;
    snprintf(request->key_name, sizeof(request->key_name), "%s", key->name);
    request->body_length = 0;
    request->headers_length = 0;
    request->headers[0] = '\0';
    request->unsent = false;
    request->reported = false;
    request->streaming = false;
    request->broke = false;
    stream_begin(&request->stream);
    return 0;
}

int request_init(struct request *request, const struct call *call) {
    request->call = call;
    request->easy = curl_easy_init();
    if (!request->easy)
        return KB_ENOMEM;
    curl_easy_setopt(request->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(request->easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(request->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(request->easy, CURLOPT_HEADERDATA, request);
    curl_easy_setopt(request->easy, CURLOPT_PREREQFUNCTION, on_ready);
    curl_easy_setopt(request->easy, CURLOPT_PREREQDATA, request);
    curl_easy_setopt(request->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(request->easy, CURLOPT_TIMEOUT_MS, 60000L);
    return 0;
}

void request_deinit(struct request *request) {
    curl_easy_cleanup(request->easy);
    curl_slist_free_all(request->list);
}
