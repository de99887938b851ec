/* See disk.h. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scene.h"

static const char *environment[5]; /* NULL at the end */

struct slow_disk *disk_new(struct broker *broker, const char *path) {
    struct slow_disk *disk;
    const char *file = scene_text("%s/disk-control", scene_tmpfs());
    const char *sanitizer = getenv("ASAN_OPTIONS");
    int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *disk) < 0)
        scene_fail("%s: %s", file, strerror(errno));
    disk = mmap(NULL, sizeof *disk, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (disk == MAP_FAILED)
        scene_fail("mmap: %s", strerror(errno));
    environment[0] = scene_text("LD_PRELOAD=%s", scene_program("slow_disk.so"));
    environment[1] = scene_text(SLOW_DISK_CONTROL "=%s", file);
    environment[2] = scene_text(SLOW_DISK_PATH "=%s", path);
    /* AddressSanitizer minds that its library is not the first one. */
    environment[3] = scene_text("ASAN_OPTIONS=%s%sverify_asan_link_order=0",
                                sanitizer ? sanitizer : "", sanitizer ? ":" : "");
    broker->environment = environment;
    return disk;
}

void disk_break(struct slow_disk *disk, uint32_t calls, int error, uint32_t after) {
    atomic_store(&disk->after, after);
    atomic_store(&disk->calls, calls);
    atomic_store(&disk->error, (uint32_t)error);
}

void disk_repair(struct slow_disk *disk) {
    atomic_store(&disk->error, 0);
}

void disk_fail_once(struct slow_disk *disk, const char *call, uint32_t number, int error) {
    atomic_store(&disk->counting, 0);
    snprintf(disk->step_only, sizeof disk->step_only, "%s", call);
    atomic_store(&disk->steps, 0);
    atomic_store(&disk->step, number);
    atomic_store(&disk->step_action, SLOW_DISK_FAIL);
    atomic_store(&disk->step_error, (uint32_t)error);
    atomic_store(&disk->counting, 1);
}
