/* "Leave your counts and die", to a broker of the cov variant: see counted_kill.c. */
#ifndef TESTS_COUNTED_H
#define TESTS_COUNTED_H

#include <signal.h>

#define COUNTED_SIGNAL SIGUSR2

#endif
