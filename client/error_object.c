/*
 * See error_object.h. Vendors' names are many, their places few: this file knows the places, and
 * the names only as far as they stand for a status. What a name says about a key is for the rules.
 */
#include "error_object.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- members ---- */

static const char *text_of(const json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name));
}

/* One that is compared whole; with a NUL in it, it would compare like another. */
static const char *word_of(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);
    return text && strlen(text) == json_string_length(value) ? text : NULL;
}

/* A word, or a whole number written out in `room`. */
static const char *code_of(const json_t *object, const char *name, char *room, size_t size) {
    const json_t *value = json_object_get(object, name);
    if (!json_is_real(value))
        return word_of(object, name);
    double number = json_real_value(value);
    if (!(number > -1e15 && number < 1e15) || number != (double)(long long)number)
        return NULL;
    snprintf(room, size, "%lld", (long long)number);
    return room;
}

static const char *first_of(const char *a, const char *b) {
    return a ? a : b;
}

/* ---- an error object ---- */

static void add_reason(struct kbi_error_fields *fields, const char *reason) {
    if (reason && fields->reason_count < KBI_REASONS_MAX)
        fields->reasons[fields->reason_count++] = reason;
}

static void add_reasons(struct kbi_error_fields *fields, const json_t *object,
                        const char *const *names) {
    for (; *names; names++)
        add_reason(fields, word_of(object, *names));
}

/* Google's QuotaFailure: which limits were exceeded. A limit of 0, which is left out as protocol
 * buffers do, is none to wait for: this project has not that model. It counts as the reason
 * no_allowance. */
static void take_violations(struct kbi_error_fields *fields, const json_t *violations) {
    bool none = false;
    for (size_t i = 0; i < json_array_size(violations); i++) {
        const json_t *violation = json_array_get(violations, i);
        const char *id = word_of(violation, "quotaId"), *value = word_of(violation, "quotaValue");
        if (!id)
            continue;
        fields->is_daily |= strstr(id, "PerDay") != NULL;
        none |= !value || strcmp(value, "0") == 0;
    }
    if (none)
        add_reason(fields, "no_allowance");
}

/* What an object below the error adds: Google's ErrorInfo and RetryInfo, Anthropic's details,
 * Azure's innererror, OpenRouter's metadata with the headers that its limit would have sent. */
static void take_detail(struct kbi_error_fields *fields, const json_t *detail) {
    static const char *const NAMES[] = { "reason",     "code",         "error_code",
                                         "error_type", "limit_source", NULL };
    add_reasons(fields, detail, NAMES);
    take_violations(fields, json_object_get(detail, "violations"));
    if (!fields->retry_delay)
        fields->retry_delay = text_of(detail, "retryDelay");
    if (!fields->limit_reset)
        fields->limit_reset = code_of(json_object_get(detail, "headers"), "X-RateLimit-Reset",
                                      fields->reset_number, sizeof fields->reset_number);
}

static void take_details(struct kbi_error_fields *fields, const json_t *error) {
    static const char *const NAMES[] = { "details", "errors", "innererror", "metadata" };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        const json_t *details = json_object_get(error, NAMES[i]);
        if (json_is_object(details))
            take_detail(fields, details);
        for (size_t k = 0; k < json_array_size(details); k++)
            take_detail(fields, json_array_get(details, k));
    }
}

/* "com.amazon.coral.service#AccessDeniedException" */
static const char *after_hash(const char *name) {
    const char *hash = name ? strchr(name, '#') : NULL;
    return hash ? hash + 1 : name;
}

static void take_fields(struct kbi_error_fields *fields, const json_t *error) {
    static const char *const NAMES[] = { "reason", "error_code", "error_type", NULL };
    fields->code = code_of(error, "code", fields->code_number, sizeof fields->code_number);
    fields->type = first_of(word_of(error, "type"), after_hash(word_of(error, "__type")));
    fields->status = code_of(error, "status", fields->status_number, sizeof fields->status_number);
    fields->message = first_of(text_of(error, "message"), text_of(error, "Message")); /* AWS */
    if (!fields->message)
        fields->message = first_of(text_of(error, "detail"), text_of(error, "msg"));
    add_reasons(fields, error, NAMES);
    take_details(fields, error);
}

void kbi_error_take(struct kbi_error_fields *fields, const json_t *root) {
    if (json_is_array(root))
        root = json_array_get(root, 0);
    const json_t *error = json_object_get(root, "error");
    if (json_is_object(error)) {
        take_fields(fields, error);
        return;
    }
    const json_t *several = json_array_get(json_object_get(root, "errors"), 0);
    take_fields(fields, json_is_object(several) ? several : root);
    if (json_is_string(error) && !fields->message)
        fields->message = json_string_value(error);
}

/* ---- one behind a good status ---- */

static bool says(const char *text) {
    return text && *text;
}

/* "0", "200" and the like say that all is well. */
static bool says_bad(const char *code) {
    bool is_2xx = code && code[0] == '2' && strlen(code) == 3 && strspn(code, "0123456789") == 3;
    return says(code) && strcmp(code, "0") != 0 && !is_2xx;
}

/* Some send an empty object, or one that says that all is well. */
static bool is_telling(const struct kbi_error_fields *fields) {
    return says_bad(fields->code) || says_bad(fields->status) || says(fields->type) ||
           says(fields->message) || fields->reason_count > 0;
}

static bool take_one(struct kbi_error_fields *fields, const json_t *error) {
    *fields = (struct kbi_error_fields){ 0 };
    if (json_is_string(error))
        fields->message = json_string_value(error);
    else if (json_is_object(error))
        take_fields(fields, error);
    return is_telling(fields);
}

/* MiniMax says in base_resp how it went, 0 = well, by numbers of its own. */
static bool take_base(struct kbi_error_fields *fields, const json_t *base) {
    static const struct {
        int number, status;
    } KNOWN[] = {
        { 1002, 429 }, { 1039, 429 }, { 1041, 429 }, { 2045, 429 }, { 2056, 429 }, { 1004, 401 },
        { 2049, 401 }, { 1008, 402 }, { 1026, 400 }, { 1027, 400 }, { 1042, 400 }, { 2013, 400 },
    };
    *fields = (struct kbi_error_fields){ .told_status = 500 };
    fields->code = code_of(base, "status_code", fields->code_number, sizeof fields->code_number);
    fields->message = text_of(base, "status_msg");
    if (!says(fields->code) || strcmp(fields->code, "0") == 0)
        return false;
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
        if (atoi(fields->code) == KNOWN[i].number)
            fields->told_status = KNOWN[i].status;
    return true;
}

static bool take_from_element(struct kbi_error_fields *fields, const json_t *root) {
    const json_t *response = json_object_get(root, "response");
    const json_t *choices = json_object_get(root, "choices");
    if (take_one(fields, json_object_get(root, "error")) ||
        take_one(fields, json_object_get(response, "error")))
        return true;
    for (size_t i = 0; i < json_array_size(choices); i++)
        if (take_one(fields, json_object_get(json_array_get(choices, i), "error")))
            return true;
    return take_base(fields, json_object_get(root, "base_resp"));
}

bool kbi_error_take_hidden(struct kbi_error_fields *fields, const json_t *root, bool is_error) {
    bool found = false;
    if (!json_is_array(root))
        found = take_from_element(fields, root);
    for (size_t i = 0; !found && i < json_array_size(root); i++)
        found = take_from_element(fields, json_array_get(root, i));
    bool is_whole = is_error;
    const char *type = word_of(root, "type");
    if (type && strcmp(type, "error") == 0)
        is_whole = true;
    if (!found && is_whole)
        found = take_one(fields, root);
    if (!found)
        *fields = (struct kbi_error_fields){ 0 };
    return found;
}

/* ---- its status ---- */

static int number_of(const char *text) {
    bool three = text && strlen(text) == 3 && strspn(text, "0123456789") == 3;
    int number = three ? atoi(text) : 0;
    return number >= 400 && number <= 599 ? number : 0;
}

/* Names that several vendors use, and the status that they come with. A * at the end: begins so. */
static int named(const char *name) {
    static const struct {
        const char *name;
        int status;
    } NAMES[] = {
        { "rate_limit*", 429 },
        { "too_many_requests*", 429 },
        { "insufficient_quota", 429 },
        { "resource_exhausted", 429 },
        { "throttling*", 429 },
        { "slow_down", 429 },
        { "invalid_api_key*", 401 },
        { "invalidapikey", 401 },
        { "authentication*", 401 },
        { "invalid_authentication*", 401 },
        { "unauthenticated", 401 },
        { "unauthorized", 401 },
        { "payment_required", 402 },
        { "billing_*", 402 },
        { "insufficient_balance*", 402 },
        { "insufficient_user_quota", 402 },
        { "insufficient_funds", 402 },
        { "not_enough_balance", 402 },
        { "blocked_api_access", 402 },
        { "arrearage", 402 },
        { "prepaidbilloverdue", 402 },
        { "postpaidbilloverdue", 402 },
        { "credit_balance_exhausted", 402 },
        { "exceeded_current_quota_error", 429 },
        { "pre_consume_token_quota_failed", 429 },
        { "budget_exceeded", 429 },
        { "organization_spend_limit_exceeded", 429 },
        { "organization_usage_limit_exceeded", 429 },
        { "project_spend_limit_exceeded", 429 },
        { "permission*", 403 },
        { "forbidden", 403 },
        { "not_found*", 404 },
        { "model_not_found", 404 },
        { "request_too_large", 413 },
        { "overloaded*", 529 },
        { "engine_overloaded*", 503 },
        { "unavailable", 503 },
        { "timeout*", 504 },
        { "deadline_exceeded", 504 },
        { "internal*", 500 },
        { "server*", 500 },
        { "api_error", 500 },
        { "content_filter*", 400 },
        { "content_policy*", 400 },
        { "context_length_exceeded", 400 },
        { "failed_precondition", 400 },
        { "bad_request*", 400 },
        { "image_*", 400 },
        { "invalid*", 400 },
    };
    for (size_t i = 0; name && i < sizeof NAMES / sizeof *NAMES; i++) {
        size_t length = strlen(NAMES[i].name);
        bool begins = NAMES[i].name[length - 1] == '*';
        if (begins ? strncasecmp(name, NAMES[i].name, length - 1) == 0
                   : strcasecmp(name, NAMES[i].name) == 0)
            return NAMES[i].status;
    }
    return 0;
}

int kbi_error_status(const struct kbi_error_fields *fields) {
    const char *texts[3 + KBI_REASONS_MAX] = { fields->code, fields->status, fields->type };
    int status = fields->told_status;
    for (uint32_t i = 0; i < fields->reason_count; i++)
        texts[3 + i] = fields->reasons[i];
    for (size_t i = 0; !status && i < 2; i++)
        status = number_of(texts[i]);
    for (size_t i = 0; !status && i < sizeof texts / sizeof *texts; i++)
        status = named(texts[i]);
    return status ? status : 500;
}
