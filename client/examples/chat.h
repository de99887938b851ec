/*
 * One chat request, as each vendor wants it: path, body, headers besides the key's. Known by
 * kb_key.vendor; whoever is not in the table speaks OpenAI's language. Pure. The key's own header
 * is kb_key.auth_header, ready to send.
 */
#ifndef EXAMPLES_CHAT_H
#define EXAMPLES_CHAT_H

#include <stdbool.h>
#include <stddef.h>

#include <keybroker.h>

struct chat {
    const char *vendor;
    const char *path;        /* behind base_url; %s = the model, if it stands there */
    const char *stream_path; /* the same for a stream; NULL = the body says so */
    const char *model;       /* a small one */
    const char *header;      /* one more, or NULL */
    bool gemini_body;        /* contents and parts, the model only in the path */
    bool needs_max_tokens;
};

/* Never NULL. */
const struct chat *chat_of(const kb_key *key);
/* False if it does not fit. `model` NULL = the vendor's small one. */
bool chat_url(const struct chat *chat, const kb_key *key, const char *model, bool stream,
              char *ret_url, size_t size);
bool chat_body(const struct chat *chat, const char *model, const char *question, bool stream,
               char *ret_body, size_t size);

#endif
