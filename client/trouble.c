/*
 * Endpoints in trouble: base URLs that answered this reader with the vendor's own failure, or not
 * at all, within the last seconds. kb_next puts their keys behind the others, without waiting for
 * the broker. Called by report.c (add, clear) and attempt.c. Bounded, never allocates; the worst
 * that a lost entry costs is one more failing request.
 */
#include "internal.h"

static bool is_live(const struct trouble *trouble, uint64_t now_ms) {
    return now_ms < trouble->until_ms;
}

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

bool kbi_trouble_has(const struct troubles *troubles, uint64_t endpoint, uint64_t now_ms) {
    for (int i = 0; i < KBI_TROUBLES; i++)
        if (troubles->troubles[i].endpoint == endpoint)
            return is_live(&troubles->troubles[i], now_ms);
    return false;
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
