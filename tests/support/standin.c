/* See standin.h. */
#include "standin.h"

#include <string.h>

#include <criterion/criterion.h>
#include <curl/curl.h>

#include "peer.h"
#include "program.h"
#include "scene.h"

const char *standin_start(void) {
    const char *argv[] = { scene_program("vendor_standin"), "--latency-ms", "1-3", NULL };
    struct program *standin = program_start(NULL, NULL, argv);
    program_wait_output(standin, "\n");
    return scene_text("%.*s", (int)strcspn(standin->out, "\n"), standin->out);
}

struct text {
    size_t length;
    char bytes[16 * 1024];
};

static size_t on_text(char *data, size_t size, size_t count, void *userdata) {
    struct text *text = userdata;
    cr_assert_lt(size * count, sizeof text->bytes - text->length);
    memcpy(text->bytes + text->length, data, size * count);
    text->length += size * count;
    return size * count;
}

json_t *standin_control(const char *url, const char *request) {
    static struct text text;
    CURL *easy = curl_easy_init();
    text.length = 0;
    curl_easy_setopt(easy, CURLOPT_URL, scene_text("%s/control/%s", url, request));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_text);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &text);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    CURLcode result = curl_easy_perform(easy);
    curl_easy_cleanup(easy);
    cr_assert_eq(result, CURLE_OK, "%s: %s", request, curl_easy_strerror(result));
    return json_loadb(text.bytes, text.length, 0, NULL);
}

void standin_steer(const char *url, const char *request) {
    json_decref(standin_control(url, request));
}

long long standin_told(const char *url, const char *key, const char *answer) {
    json_t *stats = standin_control(url, "stats");
    long long count = -1;
    size_t i;
    json_t *meter;
    json_array_foreach(json_object_get(stats, "keys"), i, meter) {
        if (strcmp(json_text(meter, "key"), key) == 0)
            count = json_integer_value(json_object_get(meter, answer));
    }
    json_decref(stats);
    return count;
}
