/*
 * Memory in the broker. Small allocations that its state machine needs end the process when they
 * fail: the broker is crash-only, nothing acknowledged is lost, workers read on, the supervisor
 * starts it anew; half-applied state would be worse. Buffers whose size a client decides use plain
 * malloc and a 503.
 */
#ifndef BROKER_MEMORY_H
#define BROKER_MEMORY_H

#include <stddef.h>

void *mem_alloc(size_t size);                              /* zeroed */
void *mem_resize(void *memory, size_t count, size_t size); /* count × size, overflow-checked */
char *mem_strdup(const char *string);
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void mem_wipe_free(void *memory, size_t size); /* NULL allowed */
void mem_wipe_string(char *string);            /* wipes up to its NUL and frees; NULL allowed */

#endif
