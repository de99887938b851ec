/* See memory.h: allocations that end the process when they fail, and wiping before freeing. */
#include "memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "log.h"

static void *checked(void *memory) {
    if (!memory) {
        log_error("out of memory; ending. Nothing acknowledged is lost and workers read on");
        abort();
    }
    return memory;
}

void *mem_alloc(size_t size) {
    return checked(calloc(1, size ? size : 1));
}

void *mem_resize(void *memory, size_t count, size_t size) {
    return checked(reallocarray(memory, count ? count : 1, size));
}

char *mem_strdup(const char *string) {
    return checked(strdup(string));
}

char *mem_printf(const char *format, ...) {
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    return checked(text);
}

void mem_wipe_free(void *memory, size_t size) {
    if (!memory)
        return;
    sodium_memzero(memory, size);
    free(memory);
}

void mem_wipe_string(char *string) {
    if (string)
        mem_wipe_free(string, strlen(string));
}
