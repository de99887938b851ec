/*
 * A shared object that tests preload into a broker: an allocation, or accepting, fails when the
 * control block (short_memory.h) says so. Stands in front of libc's allocator and finds the control
 * block without allocating. Never linked into a test.
 */
#include "short_memory.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static struct short_memory *control;

static __attribute__((constructor)) void attach(void) {
    const char *file = getenv(SHORT_MEMORY_CONTROL);
    int fd = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED)
        control = memory;
}

static int is_from(const void *caller, const char *library) {
    Dl_info info;
    return dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, library);
}

static int is_short(const void *caller) {
    if (!control || is_from(caller, "/libseccomp.")) /* it will have it: broker/sandbox.c */
        return 0;
    atomic_fetch_add(&control->allocated, 1);
    if (atomic_load(&control->fail_at) == 0 || atomic_fetch_sub(&control->fail_at, 1) != 1)
        return 0;
    atomic_store(&control->failed_for_libc,
                 is_from(caller, "/libc.so") || is_from(caller, "/ld-linux"));
    atomic_fetch_add(&control->failed, 1);
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size) {
    return is_short(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    return is_short(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    return is_short(__builtin_return_address(0)) ? NULL : __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    return is_short(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **ret_memory, size_t alignment, size_t size) {
    void *memory = is_short(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
    if (!memory)
        return ENOMEM;
    *ret_memory = memory;
    return 0;
}

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict length, int flags) {
    if (control && atomic_load(&control->accepts_failing)) {
        errno = ENFILE;
        return -1;
    }
    return (int)syscall(SYS_accept4, fd, address, length, flags);
}
