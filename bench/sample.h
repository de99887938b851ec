/*
 * Time, numbers and places: what every measurement here uses. Ends the process, with a sentence,
 * when the machine fails it: a bench that goes on after that would print nonsense.
 */
#ifndef BENCH_SAMPLE_H
#define BENCH_SAMPLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Two processors: one spins and watches, on the other everything else takes place. */
enum { CPU_WATCHING = 0, CPU_WORKING = 1 };

/* Several rounds of one figure. */
struct spread_of {
    double median, low, high;
};

uint64_t sample_now_ns(void);
uint64_t
sample_busy_ns(void); /* processor time of this thread: others on the machine don't count */
uint64_t sample_process_ns(pid_t pid); /* of all of a process's threads so far */
void sample_sleep_us(unsigned us);
/* Pinning does nothing on a machine with a single processor. */
void sample_pin(unsigned cpu);
void sample_unpin(void);
enum { CPU_ANY = -1 };
void sample_place(pid_t pid, int cpu); /* its main thread; 0 = this one */

/* Private memory of a process; 0 = not to be seen. */
uint64_t sample_private_bytes(pid_t pid);

/* Sorts in place. */
double sample_percentile(double *values, size_t count, double percent);
struct spread_of sample_spread(double *values, size_t count);

__attribute__((noreturn, format(printf, 1, 2))) void sample_die(const char *format, ...);
void *sample_shared(size_t bytes); /* zeroed memory that forked children share */

#endif
