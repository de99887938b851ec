/* See preload.h. */
#include "preload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scene.h"

static const char *environment[4]; /* NULL at the end */

void *preload_new(struct broker *broker, const char *object, const char *variable, size_t size) {
    const char *file = scene_text("%s/preload-control", scene_tmpfs());
    const char *sanitizer = getenv("ASAN_OPTIONS");
    int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        scene_fail("%s: %s", file, strerror(errno));
    void *control = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (control == MAP_FAILED)
        scene_fail("mmap: %s", strerror(errno));
    environment[0] = scene_text("LD_PRELOAD=%s", scene_program(object));
    environment[1] = scene_text("%s=%s", variable, file);
    /* AddressSanitizer minds that its library is not the first one. */
    environment[2] = scene_text("ASAN_OPTIONS=%s%sverify_asan_link_order=0",
                                sanitizer ? sanitizer : "", sanitizer ? ":" : "");
    broker->environment = environment;
    return control;
}
