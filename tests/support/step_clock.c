/*
 * A shared object that tests preload into brokers: their calendar is off by what the control block
 * (step_clock.h) says at the moment. Never linked into a test.
 */
#include "step_clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

static struct step_clock *control;

static __attribute__((constructor)) void attach(void) {
    const char *file = getenv(STEP_CLOCK_CONTROL);
    int fd = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED)
        control = memory;
}

int clock_gettime(clockid_t id, struct timespec *ret_time) {
    return step_clock_gettime(control, id, ret_time);
}
