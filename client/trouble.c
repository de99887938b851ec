/*
 * Endpoints in trouble: base URLs that answered this reader with the vendor's own failure, or not
 * at all, within the last seconds. Their keys come behind all others, without waiting for the
 * broker. Called by report.c (add, clear), choose.c and attempt.c. Bounded, never allocates; the
 * worst that a lost entry costs is one more failing request.
 */
#include "internal.h"

void kbi_trouble_add(struct troubles *troubles, uint64_t endpoint, uint64_t now_ms) {
    struct trouble *to = &troubles->troubles[0];
    if (endpoint == 0)
        return;
    for (int i = 0; i < KBI_TROUBLES; i++) {
        struct trouble *other = &troubles->troubles[i];
        if (other->endpoint == endpoint) {
            to = other;
            break;
        }
        if (other->until_ms < to->until_ms)
            to = other;
    }
    *to = (struct trouble){ .endpoint = endpoint, .until_ms = now_ms + KBI_TROUBLE_MS };
    if (troubles->until_ms < to->until_ms)
        troubles->until_ms = to->until_ms;
}

uint64_t kbi_trouble_until(const struct troubles *troubles, uint64_t endpoint, uint64_t now_ms) {
    if (now_ms >= troubles->until_ms)
        return 0;
    for (int i = 0; i < KBI_TROUBLES; i++) {
        const struct trouble *trouble = &troubles->troubles[i];
        if (trouble->endpoint == endpoint)
            return now_ms < trouble->until_ms ? trouble->until_ms : 0;
    }
    return 0;
}

void kbi_trouble_clear(struct troubles *troubles, uint64_t endpoint) {
    troubles->until_ms = 0;
    for (int i = 0; i < KBI_TROUBLES; i++) {
        struct trouble *trouble = &troubles->troubles[i];
        if (trouble->endpoint == endpoint)
            *trouble = (struct trouble){ 0 };
        if (troubles->until_ms < trouble->until_ms)
            troubles->until_ms = trouble->until_ms;
    }
}
