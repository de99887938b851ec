/*
 * The stand-in vendor (vendor_standin_main.c) from a process test: starting it, steering it, and
 * what it was asked. Everything here ends the test when it cannot do its work.
 */
#ifndef TESTS_STANDIN_H
#define TESTS_STANDIN_H

#include <jansson.h>

/* Its URL. It ends with the test. */
const char *standin_start(void);
/* A control request; what it answers, freed by the caller. */
json_t *standin_control(const char *url, const char *request);
/* The same for one that answers nothing of interest. */
void standin_steer(const char *url, const char *request);
/* How many requests with this key got this answer ("good", "used_up" …). */
long long standin_told(const char *url, const char *key, const char *answer);

#endif
