/*
 * What the fuzz targets share: a check that also holds without assertions, and the input as a
 * sequence of bytes that never runs out (beyond its end are zeros).
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(held) ((held) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #held))

static inline void fuzz_fail(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    abort();
}

struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t input_byte(struct input *input) {
    if (!input->left)
        return 0;
    input->left--;
    return *input->at++;
}

/* Little-endian. */
static inline uint64_t input_number(struct input *input, size_t bytes) {
    uint64_t number = 0;
    for (size_t i = 0; i < bytes; i++)
        number |= (uint64_t)input_byte(input) << (8 * i);
    return number;
}

/* Memory of exactly `length` bytes, so that the sanitizer sees a read beyond them. */
static inline void *fuzz_copy(const void *bytes, size_t length) {
    char *copy = malloc(length ? length : 1);
    must(copy);
    if (length)
        memcpy(copy, bytes, length);
    return copy;
}

/* The next `length` bytes, or what is left; the caller frees. */
static inline void *input_bytes(struct input *input, size_t length, size_t *ret_length) {
    if (length > input->left)
        length = input->left;
    void *copy = fuzz_copy(input->at, length);
    input->at += length;
    input->left -= length;
    *ret_length = length;
    return copy;
}

/* What stands before the next `end`, or all that is left, as a string; the caller frees. A NUL in
 * it ends the string. */
static inline char *input_text(struct input *input, uint8_t end) {
    const uint8_t *found = input->left ? memchr(input->at, end, input->left) : NULL;
    size_t length = found ? (size_t)(found - input->at) : input->left;
    char *text = malloc(length + 1);
    must(text);
    if (length)
        memcpy(text, input->at, length);
    text[length] = '\0';
    size_t used = length + (found ? 1 : 0);
    input->at += used;
    input->left -= used;
    return text;
}

#endif
