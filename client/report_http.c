/*
 * kb_report_http: takes a vendor's answer apart (response.c), finds its class (classify.c) and the
 * wait that it asks for (hint.c), and reports it (report.c). Owns nothing.
 */
#include "internal.h"

#include <string.h>

#include "classify.h"
#include "hint.h"
#include "response.h"

/* Class, scope, code and wait of an answer, as a message without its key. */
static struct kb_report_message examine(const struct kbi_rules *rules, const kb_http_response *raw,
                                        uint8_t *ret_scope) {
    struct kbi_response response;
    kbi_response_init(&response, raw, rules && rules->good_needs_headers);
    struct kbi_finding finding = kbi_classify(rules, &response);
    struct kb_report_message message = {
        .size = sizeof message,
        .type = KB_REPORT_OUTCOME,
        .scope = (uint16_t)(finding.by_rule ? finding.scope : KB_SCOPE_DEFAULT),
        .hint_ms = KB_NO_HINT,
        .outcome = finding.outcome,
        .http_status = raw->status > 0 ? (uint32_t)raw->status : 0,
        .count = 1,
    };
    _Static_assert(sizeof message.vendor_code == sizeof finding.code, "one becomes the other");
    memcpy(message.vendor_code, finding.code, sizeof message.vendor_code);
    if (finding.outcome != KB_SUCCESS && finding.outcome != KB_REQUEST)
        message.hint_ms = kbi_hint(&response, finding.outcome, kbi_now().wall_ms);
    *ret_scope = (uint8_t)finding.scope;
    kbi_response_deinit(&response);
    return message;
}

static void fill_info(kb_report_info *ret_info, const struct kb_report_message *message,
                      uint8_t scope, const struct report_result *result) {
    kb_report_info info = {
        .size = ret_info->size,
        .outcome = (kb_outcome)message->outcome,
        .scope = (kb_scope)scope,
        .wait_ms = message->hint_ms,
        .sent = result->fate == REPORT_SENT,
        .queued = result->fate == REPORT_QUEUED,
        .stale = result->stale,
        .guarded = result->guarded,
    };
    memcpy(info.code, message->vendor_code, sizeof info.code);
    memcpy(ret_info, &info, ret_info->size < sizeof info ? ret_info->size : sizeof info);
}

kb_verdict kb_report_http(kb_reader *reader, kb_ticket ticket, const kb_http_response *response,
                          kb_report_info *ret_info) {
    if (!reader || ticket.id == 0 || ticket.id > KB_KEY_ID_MAX || !response ||
        response->size < sizeof *response)
        return KB_GIVE_UP;
    const struct kbi_rules *rules = reader->catalog ? reader->catalog->rules : NULL;
    uint8_t scope;
    struct kb_report_message message = examine(rules, response, &scope);
    message.key_id = ticket.id;
    message.generation = ticket.generation;
    struct report_result result = kbi_report(reader, &message);
    if (ret_info && ret_info->size > offsetof(kb_report_info, outcome))
        fill_info(ret_info, &message, scope, &result);
    return result.verdict;
}
