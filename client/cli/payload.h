/*
 * A command's payload: which commands take one, and reading it: from standard input, or asked for
 * without echo when that is a terminal. Secrets enter the command here and nowhere else.
 */
#ifndef KEYBROKER_CLI_PAYLOAD_H
#define KEYBROKER_CLI_PAYLOAD_H

#include "text.h"

#include <stdbool.h>
#include <stddef.h>

struct cli_context;

enum cli_payload_kind {
    CLI_PAYLOAD_NONE = 0,
    CLI_PAYLOAD_SECRET,     /* an API key or a configuration: never echoed */
    CLI_PAYLOAD_MASTER_KEY, /* 64 hex digits, never echoed either */
    CLI_PAYLOAD_DOCUMENT,   /* an export, an order: typed or piped in the open */
};

#define CLI_SECRET_BYTES_MAX ((size_t)1 << 20)
#define CLI_DOCUMENT_BYTES_MAX ((size_t)64 << 20)

/* What the command `words` needs. */
enum cli_payload_kind cli_payload_kind(char *const *words, size_t count);

/* Read it from where the context says. CLI_OK, or CLI_USAGE after an error message. */
int cli_payload_read(const struct cli_context *context, enum cli_payload_kind kind,
                     struct cli_text *ret_payload);

#endif
