/*
 * Thousands of trials that may crash: they run one after the other in a process of their own, and
 * a crash or a hang costs only itself. What they find is kept in shared memory. Header-only; used
 * by unit tests.
 */
#ifndef TESTS_TRIALS_H
#define TESTS_TRIALS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

struct trials {
    unsigned done;
    uint64_t at; /* what is tried: a bit, a length */
    unsigned refused, served, crashed;
    char problem[512]; /* the first one */
};

enum { TRIAL_SECONDS = 20 };

static inline struct trials *trials_new(void) {
    struct trials *trials =
        mmap(NULL, sizeof *trials, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(trials, MAP_FAILED);
    return trials;
}

/* How many, from the environment. */
static inline unsigned trials_wanted(const char *name, unsigned otherwise) {
    const char *given = getenv(name);
    return given && *given ? (unsigned)strtoul(given, NULL, 10) : otherwise;
}

static inline void trials_complain(struct trials *trials, const char *what, const char *why) {
    if (!trials->problem[0])
        snprintf(trials->problem, sizeof trials->problem, "at %llu: %s: %.256s",
                 (unsigned long long)trials->at, what, why);
}

/* Call try(n) for n = 0 … count − 1; `mend` undoes what a trial that crashed has left. */
static inline void trials_run(struct trials *trials, unsigned count, void (*try)(unsigned),
                              void (*mend)(void)) {
    while (trials->done < count) {
        int status;
        fflush(NULL);
        pid_t pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0) {
            while (trials->done < count) {
                alarm(TRIAL_SECONDS);
                try(trials->done++);
            }
            _exit(0);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        if (status == 0)
            continue;
        trials->crashed++;
        printf("at %llu: ended with %d\n", (unsigned long long)trials->at, status);
        mend();
    }
}

static inline void trials_end(const struct trials *trials, const char *what) {
    printf("%u %s: %u refused, %u served, %u crashed\n", trials->done, what, trials->refused,
           trials->served, trials->crashed);
    fflush(stdout);
    cr_assert_eq(trials->crashed, 0);
    cr_assert_str_empty(trials->problem, "%s", trials->problem);
}

#endif
