/* See visits.h. */
#include "visits.h"

static bool is_over(const struct visit *visit, int64_t mono_ms) {
    return !visit->id || mono_ms - visit->used_ms > VISIT_UNUSED_MS;
}

uint64_t visits_begin(struct visits *visits, int64_t mono_ms, struct visit_secrets *ret) {
    struct visit *place = &visits->list[0];
    for (size_t i = 0; i < VISITS_MAX && !is_over(place, mono_ms); i++) {
        struct visit *visit = &visits->list[i];
        if (is_over(visit, mono_ms) || visit->used_ms < place->used_ms)
            place = visit;
    }
    *place = (struct visit){ .id = ++visits->last_id, .used_ms = mono_ms };
    token_new(&place->cookie, ret->cookie);
    token_new(&place->page, ret->page);
    return place->id;
}

static uint64_t use(struct visit *visit, int64_t mono_ms) {
    if (is_over(visit, mono_ms)) {
        *visit = (struct visit){ 0 };
        return 0;
    }
    visit->used_ms = mono_ms;
    return visit->id;
}

/* All are compared, and both secrets of each: how long it takes says nothing. */
uint64_t visits_find(struct visits *visits, const struct visit_secrets *secrets, int64_t mono_ms) {
    struct visit *found = NULL;
    struct token cookie, page;
    token_from_text(&cookie, secrets->cookie);
    token_from_text(&page, secrets->page);
    for (size_t i = 0; i < VISITS_MAX; i++) {
        struct visit *visit = &visits->list[i];
        bool knows_cookie = token_equals(&visit->cookie, &cookie);
        bool knows_page = token_equals(&visit->page, &page);
        if (knows_cookie & knows_page)
            found = visit;
    }
    return found ? use(found, mono_ms) : 0;
}

bool visits_know(const struct visits *visits, const char *cookie, int64_t mono_ms) {
    struct token given;
    bool known = false;
    token_from_text(&given, cookie);
    for (size_t i = 0; i < VISITS_MAX; i++)
        known |=
            token_equals(&visits->list[i].cookie, &given) && !is_over(&visits->list[i], mono_ms);
    return known;
}

bool visits_go_on(struct visits *visits, uint64_t id, int64_t mono_ms) {
    for (size_t i = 0; i < VISITS_MAX; i++)
        if (visits->list[i].id == id)
            return use(&visits->list[i], mono_ms) != 0;
    return false;
}

void visits_end(struct visits *visits, uint64_t id) {
    for (size_t i = 0; i < VISITS_MAX; i++)
        if (visits->list[i].id == id)
            visits->list[i] = (struct visit){ 0 };
}
