/*
 * Assets: the page's files, part of the program (assets.S), each as it is and gzipped. Their ETag
 * is a hash of their content. Ready after asset_prepare, read-only from then on.
 */
#ifndef CONSOLE_ASSET_H
#define CONSOLE_ASSET_H

#include <stddef.h>

enum { ASSET_TAG_SIZE = 40 };

struct asset {
    const char *path; /* "/app.js" */
    const char *type;
    const unsigned char *plain, *plain_end;
    const unsigned char *gzip, *gzip_end;
    char tag[ASSET_TAG_SIZE]; /* weak: one for both */
};

void asset_prepare(void);
const struct asset *asset_find(const char *path); /* NULL = none; "/" is the page */

#endif
