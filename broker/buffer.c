/* See buffer.h. */
#include "buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "memory.h"

enum { KEPT_MAX = 1024 * 1024 }; /* capacity that an empty buffer keeps */

void buffer_deinit(struct buffer *buffer) {
    mem_wipe_free(buffer->data, buffer->end);
    *buffer = (struct buffer){ 0 };
}

static bool move_to(struct buffer *buffer, size_t capacity) {
    size_t length = buffer_length(buffer);
    char *data = malloc(capacity);
    if (!data)
        return false;
    if (length)
        memcpy(data, buffer_bytes(buffer), length);
    mem_wipe_free(buffer->data, buffer->end);
    *buffer = (struct buffer){ .data = data, .end = length, .capacity = capacity };
    return true;
}

bool buffer_expect(struct buffer *buffer, size_t length) {
    return length < buffer->capacity - buffer->start || move_to(buffer, length + 1);
}

static bool reserve(struct buffer *buffer, size_t more) {
    if (buffer->capacity - buffer->end > more)
        return true;
    size_t length = buffer_length(buffer), capacity = buffer->capacity ? buffer->capacity : 4096;
    while (capacity <= length + more)
        capacity *= 2;
    return move_to(buffer, capacity);
}

bool buffer_append(struct buffer *buffer, const void *data, size_t length) {
    if (!length)
        return true;
    if (!reserve(buffer, length))
        return false;
    memcpy(buffer->data + buffer->end, data, length);
    buffer->end += length;
    return true;
}

bool buffer_append_text(struct buffer *buffer, const char *text) {
    return buffer_append(buffer, text, strlen(text));
}

bool buffer_printf(struct buffer *buffer, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    bool done = length >= 0 && reserve(buffer, (size_t)length + 1);
    if (done) {
        vsnprintf(buffer->data + buffer->end, (size_t)length + 1, format, again);
        buffer->end += (size_t)length;
    }
    va_end(again);
    return done;
}

void buffer_consume(struct buffer *buffer, size_t length) {
    sodium_memzero(buffer_bytes(buffer), length);
    buffer->start += length;
    if (buffer->start < buffer->end)
        return;
    buffer->start = buffer->end = 0;
    if (buffer->capacity >
        KEPT_MAX) { /* one import must not cost its size for as long as a session lives */
        free(buffer->data);
        *buffer = (struct buffer){ 0 };
    }
}
