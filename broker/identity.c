/* See identity.h. */
#include "identity.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"

enum {
    ENTRY_BYTES = 16 * 1024,             /* a group of 1,500 members */
    ENTRY_BYTES_MOST = 16 * 1024 * 1024, /* one of more than a million */
    OVERFLOW_ID = 65534,                 /* the kernel's default */
};

/* ---- groups ---- */

static int look_up(const char *name, gid_t *ret_gid) {
    /* The buffer holds the group's whole line and that of every group which stands before it, so
     * one that is too small says nothing about the name. */
    int error = ERANGE;
    for (size_t size = ENTRY_BYTES; error == ERANGE && size <= ENTRY_BYTES_MOST; size *= 2) {
        char *buffer = mem_alloc(size);
        struct group entry, *found = NULL;
        error = getgrnam_r(name, &entry, buffer, size, &found);
        if (!error && found)
            *ret_gid = found->gr_gid;
        else if (!error || error == ESRCH) /* some services say ESRCH for "none" */
            error = ENOENT;
        free(buffer);
    }
    return -error;
}

int identity_find_group(const char *name, gid_t *ret_gid) {
    if (!name[0]) {
        *ret_gid = (gid_t)-1;
        return 0;
    }
    char *end;
    unsigned long number = strtoul(name, &end, 10);
    if (name[0] >= '0' && name[0] <= '9' && !*end && number < UINT32_MAX) {
        *ret_gid = (gid_t)number;
        return 0;
    }
    return look_up(name, ret_gid);
}

/* ---- ids without a number of their own ---- */

bool identity_map_is_whole(const char *map) {
    uint64_t mapped = 0; /* ranges can't overlap, so their sum is enough */
    for (int length; *map; map += length) {
        unsigned long inside, outside, count;
        length = 0;
        if (sscanf(map, "%lu %lu %lu%n", &inside, &outside, &count, &length) != 3)
            break;
        mapped += count;
    }
    return mapped >= UINT32_MAX; /* (uid_t)-1 is no user */
}

/* A file's first bytes, more than the largest map that the kernel takes has (340 lines of 33).
 * False if there is no such file. */
static bool read_text(const char *path, char *text, size_t size) {
    FILE *file = fopen(path, "re");
    bool missing = !file && errno == ENOENT;
    text[file ? fread(text, 1, size - 1, file) : 0] = '\0';
    if (file)
        fclose(file);
    return !missing;
}

/* The id that names nobody here, -1 if each names somebody. What can't be read counts against the
 * one who asks. */
static uint32_t read_ambiguous(const char *map_path, const char *overflow_path) {
    char text[16 * 1024];
    bool namespaces = read_text(map_path, text, sizeof text); /* else the kernel has none */
    if (!namespaces || identity_map_is_whole(text))
        return UINT32_MAX;
    uint32_t id = OVERFLOW_ID;
    if (read_text(overflow_path, text, sizeof text) && text[0])
        id = (uint32_t)strtoul(text, NULL, 10);
    return id;
}

static uid_t ambiguous_uid;
static gid_t ambiguous_gid;

static void read_ambiguous_ids(void) {
    ambiguous_uid = read_ambiguous("/proc/self/uid_map", "/proc/sys/kernel/overflowuid");
    ambiguous_gid = read_ambiguous("/proc/self/gid_map", "/proc/sys/kernel/overflowgid");
}

/* A process's maps are written once, before it can run as anybody. */
static void know_ambiguous_ids(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_ambiguous_ids);
}

bool identity_is_own_user(uid_t uid) {
    know_ambiguous_ids();
    return uid == geteuid() && uid != ambiguous_uid;
}

bool identity_group_is_known(gid_t gid) {
    know_ambiguous_ids();
    return gid != ambiguous_gid;
}
