/*
 * A growable byte buffer with a read position, for what comes in from and goes out to admin
 * clients. It may hold secrets: memory that it gives up is wiped.
 */
#ifndef BROKER_BUFFER_H
#define BROKER_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

/* One byte beyond the end may always be written, so that the content can be ended with a NUL. */
struct buffer {
    char *data;
    size_t start; /* the unread bytes are data[start … end) */
    size_t end;
    size_t capacity;
};

void buffer_deinit(struct buffer *buffer);
/* So many unread bytes are on their way: take the room once, not by doubling and copying. False
 * without memory, which does not matter yet. */
bool buffer_expect(struct buffer *buffer, size_t length);
/* False without memory; nothing was added then. */
bool buffer_append(struct buffer *buffer, const void *data, size_t length);
bool buffer_append_text(struct buffer *buffer, const char *text);
bool buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void buffer_consume(struct buffer *buffer, size_t length); /* wipes what it passes */
static inline size_t buffer_length(const struct buffer *buffer) {
    return buffer->end - buffer->start;
}
static inline char *buffer_bytes(const struct buffer *buffer) {
    return buffer->start ? buffer->data + buffer->start : buffer->data; /* which may be NULL */
}

#endif
