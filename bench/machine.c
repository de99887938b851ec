/* See machine.h. */
#include "machine.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <lmdb.h>

#include "memcache.h"
#include "redis.h"
#include "result.h"
#include "sample.h"

enum { SYNCS = 200, PAGE_BYTES = 4096 };

/* The rest of the first line that begins so, after the blanks and a colon; false if none does. */
static bool find_line(const char *path, const char *beginning, char *text, size_t size) {
    char line[4096];
    bool found = false;
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof line, file)) {
        const char *rest = line + strlen(beginning);
        if (strncmp(line, beginning, strlen(beginning)) != 0)
            continue;
        rest += strspn(rest, " \t:");
        snprintf(text, size, "%.*s", (int)strcspn(rest, "\n"), rest);
        found = true;
    }
    if (file)
        fclose(file);
    return found;
}

static void describe_processors(void) {
    char model[128] = "unknown", flags[4096] = "", governor[32] = "not visible", text[256];
    find_line("/proc/cpuinfo", "model name", model, sizeof model);
    find_line("/proc/cpuinfo", "flags", flags, sizeof flags);
    find_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "", governor,
              sizeof governor);
    snprintf(text, sizeof text, "%s, %ld of them, %s, frequency governor %s", model,
             sysconf(_SC_NPROCESSORS_ONLN),
             strstr(flags, "hypervisor") ? "in a virtual machine" : "no hypervisor", governor);
    result_describe("processor", text);
}

static void describe_kernel(void) {
    struct utsname system;
    int major = 0, minor = 0;
    char text[160];
    uname(&system);
    sscanf(system.release, "%d.%d", &major, &minor);
    snprintf(text, sizeof text, "Linux %d.%d %s", major, minor, system.machine);
    result_describe("kernel", text);
}

static void describe_compiler(void) {
    const char *command = getenv("KEYBROKER_COMPILER"); /* the makefile knows */
    char text[512];
#ifdef __clang__
    const char *name = "clang";
#else
    const char *name = "gcc";
#endif
    snprintf(text, sizeof text, "%s %s: %s", name, __VERSION__,
             command ? command : "flags unknown");
    result_describe("compiler", text);
}

/* A page written and synced, over and over: the least that a durable change can take. */
static void describe_disk(const char *build) {
    char path[600], text[128], page[PAGE_BYTES] = { 0 };
    double us[SYNCS];
    snprintf(path, sizeof path, "%s/bench-sync.XXXXXX", build);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        sample_die("%s: %s", path, strerror(errno));
    unlink(path);
    for (int i = 0; i < SYNCS; i++) {
        page[0] = (char)i;
        if (pwrite(fd, page, sizeof page, (off_t)(i % 64) * PAGE_BYTES) < 0)
            sample_die("%s: %s", path, strerror(errno));
        uint64_t begun_ns = sample_now_ns();
        fdatasync(fd);
        us[i] = (double)(sample_now_ns() - begun_ns) / 1000;
    }
    close(fd);
    double median = sample_percentile(us, SYNCS, 50);
    snprintf(text, sizeof text, "fdatasync of a page: %.0f us, p90 %.0f us", median,
             sample_percentile(us, SYNCS, 90));
    result_describe("disk", text);
}

/* The first word of the command's output that begins with a digit, after "v=" if there is one. */
static void version_of(const char *command, char *version, size_t size) {
    char line[256] = "";
    FILE *output = popen(command, "re");
    if (!output || !fgets(line, sizeof line, output))
        line[0] = '\0';
    if (output)
        pclose(output);
    const char *found = strstr(line, "v=");
    found = found ? found + 2 : line;
    while (*found && !isdigit((unsigned char)*found))
        found++;
    snprintf(version, size, "%.*s", (int)strcspn(found, " \n"), *found ? found : "");
    if (!*version)
        snprintf(version, size, "none");
}

static void describe_peers(void) {
    char redis[32], memcached[32], text[256];
    int major, minor, patch;
    version_of("redis-server --version 2>/dev/null", redis, sizeof redis);
    version_of("memcached --version 2>/dev/null", memcached, sizeof memcached);
    mdb_version(&major, &minor, &patch);
    snprintf(text, sizeof text, "redis-server %s (%s), memcached %s (%s), LMDB %d.%d.%d", redis,
             redis_library(), memcached, memcache_library(), major, minor, patch);
    result_describe("peers", text);
}

void machine_describe(const char *build) {
    describe_processors();
    describe_kernel();
    describe_compiler();
    describe_disk(build);
    describe_peers();
}
