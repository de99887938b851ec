/*
 * See chat.h.
 */
#include "chat.h"

#include <stdio.h>
#include <string.h>

static const struct chat vendors[] = {
    { .vendor = "anthropic",
      .path = "/v1/messages",
      .model = "claude-haiku-4-5",
      .header = "anthropic-version: 2023-06-01",
      .needs_max_tokens = true },
    { .vendor = "gemini",
      .path = "/v1beta/models/%s:generateContent",
      .stream_path = "/v1beta/models/%s:streamGenerateContent?alt=sse",
      .model = "gemini-2.5-flash",
      .gemini_body = true },
    { .vendor = "azure", .path = "/v1/chat/completions" },
    { .vendor = "bedrock",
      .path = "/openai/v1/chat/completions",
      .model = "openai.gpt-oss-20b-1:0" },
    { .vendor = "cohere", .path = "/v2/chat", .model = "command-a-03-2025" },
    { .vendor = "deepseek", .model = "deepseek-chat" },
    { .vendor = "groq", .model = "llama-3.1-8b-instant" },
    { .vendor = "mistral", .model = "mistral-small-latest" },
    { .vendor = "openrouter", .model = "openai/gpt-4o-mini" },
    { .vendor = "" },
};

const struct chat *chat_of(const kb_key *key) {
    const struct chat *chat = vendors;
    while (*chat->vendor && strcmp(chat->vendor, key->vendor) != 0)
        chat++;
    return chat;
}

static const char *model_of(const struct chat *chat, const char *model) {
    if (model)
        return model;
    return chat->model ? chat->model : "gpt-4o-mini";
}

bool chat_url(const struct chat *chat, const kb_key *key, const char *model, bool stream,
              char *ret_url, size_t size) {
    const char *path = stream && chat->stream_path ? chat->stream_path : chat->path;
    if (!path)
        path = "/chat/completions";
    size_t before = strcspn(path, "%");
    bool names_model = path[before] != '\0';
    int length =
        snprintf(ret_url, size, "%s%.*s%s%s", key->base_url, (int)before, path,
                 names_model ? model_of(chat, model) : "", names_model ? path + before + 2 : "");
    return length > 0 && (size_t)length < size;
}

bool chat_body(const struct chat *chat, const char *model, const char *question, bool stream,
               char *ret_body, size_t size) {
    int length;
    if (chat->gemini_body)
        length = snprintf(ret_body, size,
                          "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"%s\"}]}]}",
                          question);
    else
        length =
            snprintf(ret_body, size,
                     "{\"model\":\"%s\",%s%s\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}",
                     model_of(chat, model), chat->needs_max_tokens ? "\"max_tokens\":256," : "",
                     stream ? "\"stream\":true," : "", question);
    return length > 0 && (size_t)length < size;
}
