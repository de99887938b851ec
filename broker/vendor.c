/*
 * Vendors: the table that vendor.h promises, and what can be said about a key by its vendor alone.
 * Read by keyconfig, the commands and the console. How a vendor's answers are classified stands
 * elsewhere; this file knows only names, addresses and how a key looks.
 *
 * A row's variable for the base URL is the one that the vendor's own client reads. It is left empty
 * where there is none (Mistral, xAI …) or where it means another address (DashScope's is that of
 * its native interface), because a wrong address handed to a client is worse than none.
 */
#include "vendor.h"

#include <string.h>

#include "memory.h"

#define BEARER "Authorization: Bearer %s"

static const struct vendor_field openai_fields[] = {
    { .name = "organization", .title = "Organization (OpenAI-Organization header)" },
    { .name = "project", .title = "Project (OpenAI-Project header)" },
    { 0 },
};
static const struct vendor_field azure_fields[] = {
    { .name = "api_version", .title = "API version (api-version parameter)" },
    { .name = "deployment", .title = "Deployment" },
    { 0 },
};
static const struct vendor_field anthropic_fields[] = {
    { .name = "version", .title = "API version (anthropic-version header)" },
    { 0 },
};
static const struct vendor_field openrouter_fields[] = {
    { .name = "referer", .title = "Address of the application (HTTP-Referer header)" },
    { .name = "title", .title = "Name of the application (X-Title header)" },
    { 0 },
};
/* The base URL names the region too; clients that make it themselves ask for the region alone. */
static const struct vendor_field bedrock_fields[] = {
    { .name = "region", .title = "Region" },
    { 0 },
};
static const struct vendor_field dashscope_fields[] = {
    { .name = "workspace", .title = "Workspace (X-DashScope-WorkSpace header)" },
    { 0 },
};

static const struct vendor vendors[] = {
    {
        .name = "openai",
        .title = "OpenAI",
        .base_url = "https://api.openai.com/v1",
        .auth_format = BEARER,
        .key_prefixes = "sk-svcacct- sk-admin- sk-proj- sk-",
        .env_key = "OPENAI_API_KEY",
        .env_base_url = "OPENAI_BASE_URL",
        .env_cut = "",
        .fields = openai_fields,
        .rate_is_account = true,
    },
    {
        .name = "azure",
        .title = "Azure OpenAI",
        .base_url = "",
        .url_form = "https://{resource}.openai.azure.com/openai",
        .auth_format = "api-key: %s",
        .key_prefixes = "",
        .env_key = "AZURE_OPENAI_API_KEY",
        .env_base_url = "AZURE_OPENAI_ENDPOINT",
        .env_cut = "/openai",
        .fields = azure_fields,
        .base_url_required = true,
        .rate_is_account = true,
    },
    {
        .name = "anthropic",
        .title = "Anthropic",
        .base_url = "https://api.anthropic.com",
        .auth_format = "x-api-key: %s",
        .key_prefixes = "sk-ant-api03- sk-ant-",
        .env_key = "ANTHROPIC_API_KEY",
        .env_base_url = "ANTHROPIC_BASE_URL",
        .env_cut = "",
        .fields = anthropic_fields,
        .rate_is_account = true,
    },
    {
        .name = "gemini",
        .title = "Google Gemini",
        .base_url = "https://generativelanguage.googleapis.com",
        .auth_format = "x-goog-api-key: %s",
        .key_prefixes = "AIza AQ.",
        .env_key = "GEMINI_API_KEY",
        .env_base_url = "GOOGLE_GEMINI_BASE_URL",
        .env_cut = "",
        .rate_is_account = true,
    },
    {
        .name = "mistral",
        .title = "Mistral AI",
        .base_url = "https://api.mistral.ai/v1",
        .auth_format = BEARER,
        .key_prefixes = "",
        .env_key = "MISTRAL_API_KEY",
        .env_base_url = "",
        .env_cut = "",
        .rate_is_account = true,
    },
    {
        .name = "deepseek",
        .title = "DeepSeek",
        .base_url = "https://api.deepseek.com",
        .auth_format = BEARER,
        .key_prefixes = "sk-",
        .env_key = "DEEPSEEK_API_KEY",
        .env_base_url = "",
        .env_cut = "",
        .rate_is_account = true,
    },
    {
        .name = "groq",
        .title = "Groq",
        .base_url = "https://api.groq.com/openai/v1",
        .auth_format = BEARER,
        .key_prefixes = "gsk_",
        .env_key = "GROQ_API_KEY",
        .env_base_url = "GROQ_BASE_URL",
        .env_cut = "/openai/v1",
        .rate_is_account = true,
    },
    {
        .name = "cohere",
        .title = "Cohere",
        .base_url = "https://api.cohere.com",
        .auth_format = BEARER,
        .key_prefixes = "",
        .env_key = "CO_API_KEY",
        .env_base_url = "CO_API_URL",
        .env_cut = "",
    },
    {
        .name = "xai",
        .title = "xAI",
        .base_url = "https://api.x.ai/v1",
        .auth_format = BEARER,
        .key_prefixes = "xai-",
        .env_key = "XAI_API_KEY",
        .env_base_url = "",
        .env_cut = "",
        .rate_is_account = true,
    },
    {
        .name = "openrouter",
        .title = "OpenRouter",
        .base_url = "https://openrouter.ai/api/v1",
        .auth_format = BEARER,
        .key_prefixes = "sk-or-v1- sk-or-",
        .env_key = "OPENROUTER_API_KEY",
        .env_base_url = "",
        .env_cut = "",
        .fields = openrouter_fields,
        .rate_is_account = true,
    },
    {
        .name = "together",
        .title = "Together AI",
        .base_url = "https://api.together.xyz/v1",
        .auth_format = BEARER,
        .key_prefixes = "",
        .env_key = "TOGETHER_API_KEY",
        .env_base_url = "TOGETHER_BASE_URL",
        .env_cut = "",
        .rate_is_account = true,
    },
    {
        .name = "bedrock",
        .title = "Amazon Bedrock",
        .base_url = "",
        .url_form = "https://bedrock-runtime.{region}.amazonaws.com",
        .auth_format = BEARER,
        .key_prefixes = "ABSK",
        .env_key = "AWS_BEARER_TOKEN_BEDROCK",
        .env_base_url = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
        .env_cut = "",
        .fields = bedrock_fields,
        .base_url_required = true,
        .rate_is_account = true,
    },
    {
        .name = "dashscope",
        .title = "Alibaba DashScope",
        .base_url = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        .auth_format = BEARER,
        .key_prefixes = "sk-",
        .env_key = "DASHSCOPE_API_KEY",
        .env_base_url = "",
        .env_cut = "",
        .fields = dashscope_fields,
        .rate_is_account = true,
    },
    {
        .name = "moonshot",
        .title = "Moonshot AI (Kimi)",
        .base_url = "https://api.moonshot.ai/v1",
        .auth_format = BEARER,
        .key_prefixes = "sk-",
        .env_key = "MOONSHOT_API_KEY",
        .env_base_url = "",
        .env_cut = "",
        .rate_is_account = true,
    },
    {
        .name = "generic",
        .title = "Any OpenAI-compatible endpoint",
        .base_url = "",
        .auth_format = BEARER,
        .key_prefixes = "sk-",
        .env_key = "OPENAI_API_KEY",
        .env_base_url = "OPENAI_BASE_URL",
        .env_cut = "",
        .base_url_required = true,
    },
};

const struct vendor *vendor_at(size_t index) {
    return index < sizeof vendors / sizeof *vendors ? &vendors[index] : NULL;
}

const struct vendor *vendor_find(const char *name) {
    for (size_t i = 0; i < sizeof vendors / sizeof *vendors; i++) {
        if (strcmp(vendors[i].name, name) == 0)
            return &vendors[i];
    }
    return NULL;
}

/* Length of the longest known prefix that the key really has. */
static size_t prefix_length(const struct vendor *vendor, const char *api_key) {
    const char *prefix = vendor->key_prefixes;
    while (*prefix) {
        size_t length = strcspn(prefix, " ");
        if (strncmp(api_key, prefix, length) == 0)
            return length;
        prefix += length;
        prefix += strspn(prefix, " ");
    }
    return 0;
}

char *vendor_mask(const struct vendor *vendor, const char *api_key) {
    enum { TAIL = 4, HIDDEN_MIN = 8 };
    size_t length = strlen(api_key);
    size_t prefix = vendor ? prefix_length(vendor, api_key) : 0;
    if (length < prefix + HIDDEN_MIN + TAIL)
        return mem_strdup("…");
    return mem_printf("%.*s…%s", (int)prefix, api_key, api_key + length - TAIL);
}
