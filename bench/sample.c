/* See sample.h. */
#include "sample.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

uint64_t sample_now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t sample_busy_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t sample_process_ns(pid_t pid) {
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) < 0)
        sample_die("process %d has no clock", (int)pid);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

void sample_sleep_us(unsigned us) {
    struct timespec left = { .tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000 };
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        continue;
}

void sample_place(pid_t pid, int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu == CPU_ANY)
        memset(&set, 0xff, sizeof set);
    else
        CPU_SET((unsigned)cpu, &set);
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1 && sched_setaffinity(pid, sizeof set, &set) < 0)
        sample_die("process %d cannot be on processor %d: %s", (int)pid, cpu, strerror(errno));
}

void sample_pin(unsigned cpu) {
    sample_place(0, (int)cpu);
}

void sample_unpin(void) {
    sample_place(0, CPU_ANY);
}

/* Exact where the process may be looked into; else the kernel's running count, which may be some
 * pages off. */
uint64_t sample_private_bytes(pid_t pid) {
    static const char *const FILES[][2] = { { "smaps_rollup", "Anonymous: %llu kB" },
                                            { "status", "RssAnon: %llu kB" } };
    for (int i = 0; i < 2; i++) {
        char path[64], line[256];
        unsigned long long kb = 0;
        snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, FILES[i][0]);
        FILE *file = fopen(path, "re");
        while (file && fgets(line, sizeof line, file))
            if (sscanf(line, FILES[i][1], &kb) == 1)
                break;
        if (file)
            fclose(file);
        if (kb > 0)
            return kb * 1024;
    }
    return 0;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double sample_percentile(double *values, size_t count, double percent) {
    qsort(values, count, sizeof *values, compare);
    size_t index = (size_t)(percent / 100 * (double)(count - 1) + 0.5);
    return values[index];
}

struct spread_of sample_spread(double *values, size_t count) {
    double median = sample_percentile(values, count, 50);
    return (struct spread_of){ median, values[0], values[count - 1] };
}

void sample_die(const char *format, ...) {
    va_list arguments;
    fputs("bench: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

void *sample_shared(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        sample_die("no memory to share: %s", strerror(errno));
    return memory;
}
