/*
 * A broker on a disk that the test can make slow, stuck, full or broken (slow_disk.h, preloaded as
 * slow_disk.so from where the programs are). Everything here ends the test when it cannot do its
 * work.
 */
#ifndef TESTS_DISK_H
#define TESTS_DISK_H

#include <stdint.h>

#include "broker.h"
#include "slow_disk.h"

/* Before the broker's start: what lies below `path` (its state or runtime directory) is on the
 * disk. One a test. */
struct slow_disk *disk_new(struct broker *broker, const char *path);

/* From now on the calls (enum slow_disk_call) fail with this errno, once `after` of them passed. */
void disk_break(struct slow_disk *disk, uint32_t calls, int error, uint32_t after);
void disk_repair(struct slow_disk *disk);
/* From now on the `number`-th of these calls ("renameat" …) fails with this errno, once. */
void disk_fail_once(struct slow_disk *disk, const char *call, uint32_t number, int error);

#endif
