/* See trouble.h. */
#include "trouble.h"

#include <stdlib.h>
#include <string.h>

/* ---- endpoints ---- */

static struct endpoint_trouble *find(struct trouble *trouble, uint64_t endpoint) {
    for (unsigned i = 0; i < ENDPOINTS_REMEMBERED; i++)
        if (trouble->endpoints[i].endpoint == endpoint)
            return &trouble->endpoints[i];
    return NULL;
}

/* A free place, or that of the endpoint whose last failure is the longest ago. */
static struct endpoint_trouble *take(struct trouble *trouble, uint64_t endpoint) {
    struct endpoint_trouble *oldest = &trouble->endpoints[0];
    for (unsigned i = 0; i < ENDPOINTS_REMEMBERED; i++) {
        struct endpoint_trouble *place = &trouble->endpoints[i];
        if (!place->endpoint) {
            oldest = place;
            break;
        }
        if (place->failed_mono[place->failures - 1] < oldest->failed_mono[oldest->failures - 1])
            oldest = place;
    }
    if (!oldest->endpoint)
        trouble->doubted++;
    *oldest = (struct endpoint_trouble){ .endpoint = endpoint };
    return oldest;
}

static void forget(struct trouble *trouble, struct endpoint_trouble *place) {
    *place = (struct endpoint_trouble){ 0 };
    trouble->doubted--;
}

bool trouble_endpoint_failed(struct trouble *trouble, uint64_t endpoint, int64_t now_mono) {
    struct endpoint_trouble *place = find(trouble, endpoint);
    if (!place)
        place = take(trouble, endpoint);
    unsigned old = 0;
    while (old < place->failures && place->failed_mono[old] + TROUBLE_WINDOW_MS < now_mono)
        old++;
    memmove(place->failed_mono, place->failed_mono + old,
            (place->failures - old) * sizeof *place->failed_mono);
    place->failures -= old;
    place->failed_mono[place->failures++] = now_mono;
    if (place->failures < ENDPOINT_FAILURES)
        return false;
    forget(trouble, place);
    return true;
}

void trouble_endpoint_answered(struct trouble *trouble, uint64_t endpoint, int64_t now_mono) {
    for (unsigned i = 0; i < ENDPOINTS_REMEMBERED; i++) {
        struct endpoint_trouble *place = &trouble->endpoints[i];
        if (place->endpoint &&
            (place->endpoint == endpoint ||
             place->failed_mono[place->failures - 1] + TROUBLE_WINDOW_MS < now_mono))
            forget(trouble, place);
    }
}

bool trouble_is_doubtful(const struct trouble *trouble) {
    return trouble->doubted > 0;
}

/* ---- the guard ---- */

enum { SECONDS = TROUBLE_WINDOW_MS / 1000 };

static void forget_old(struct tally *tally, int64_t second) {
    if (second - tally->second >= SECONDS)
        memset(tally->by_second, 0, sizeof tally->by_second);
    else
        for (int64_t s = tally->second + 1; s <= second; s++)
            tally->by_second[s % SECONDS] = 0;
    if (second > tally->second)
        tally->second = second;
}

unsigned tally_sum(struct tally *tally, int64_t now_mono) {
    forget_old(tally, now_mono / 1000);
    unsigned sum = 0;
    for (unsigned i = 0; i < SECONDS; i++)
        sum += tally->by_second[i];
    return sum;
}

void tally_add(struct tally *tally, int64_t now_mono) {
    forget_old(tally, now_mono / 1000);
    tally->by_second[tally->second % SECONDS]++;
}

bool tally_has(int64_t mono, int64_t now_mono) {
    return now_mono / 1000 - mono / 1000 < SECONDS;
}

bool trouble_parse_share(const char *text, unsigned *ret_share) {
    if (strcmp(text, "on") == 0) {
        *ret_share = GUARD_SHARE;
        return true;
    }
    if (strcmp(text, "off") == 0) {
        *ret_share = 0;
        return true;
    }
    char *end;
    unsigned long share = strtoul(text, &end, 10);
    if (text[0] < '1' || text[0] > '9' || share > 99 || (*end && strcmp(end, "%") != 0))
        return false;
    *ret_share = (unsigned)share;
    return true;
}

bool trouble_is_mass_failure(uint64_t failed, uint64_t all, unsigned share) {
    return share && failed >= GUARD_LEAST && failed * 100 > all * share;
}
