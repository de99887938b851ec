/* See asset.h. */
#include "asset.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#define DECLARE(name)                                                                              \
    extern const unsigned char console_##name[], console_##name##_end[], console_##name##_gz[],    \
        console_##name##_gz_end[];
#define CONTENT(name)                                                                              \
    .plain = console_##name, .plain_end = console_##name##_end, .gzip = console_##name##_gz,       \
    .gzip_end = console_##name##_gz_end

DECLARE(index_html)
DECLARE(app_js)
DECLARE(app_css)
DECLARE(icon_svg)

static struct asset assets[] = {
    { .path = "/", .type = "text/html; charset=utf-8", CONTENT(index_html) },
    { .path = "/app.js", .type = "text/javascript; charset=utf-8", CONTENT(app_js) },
    { .path = "/app.css", .type = "text/css; charset=utf-8", CONTENT(app_css) },
    { .path = "/icon.svg", .type = "image/svg+xml", CONTENT(icon_svg) },
};

void asset_prepare(void) {
    for (size_t i = 0; i < sizeof assets / sizeof *assets; i++) {
        struct asset *asset = &assets[i];
        unsigned char hash[16];
        crypto_generichash(hash, sizeof hash, asset->plain,
                           (unsigned long long)(asset->plain_end - asset->plain), NULL, 0);
        char digits[2 * sizeof hash + 1];
        sodium_bin2hex(digits, sizeof digits, hash, sizeof hash);
        snprintf(asset->tag, sizeof asset->tag, "W/\"%s\"", digits);
    }
}

const struct asset *asset_find(const char *path) {
    for (size_t i = 0; i < sizeof assets / sizeof *assets; i++)
        if (strcmp(assets[i].path, path) == 0)
            return &assets[i];
    return NULL;
}
