/* See names.h. */
#include "names.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"

enum {
    PASSWD_BYTES_MAX = 1024 * 1024, /* a larger one is not read: it would take milliseconds */
    CGROUP_BYTES_MAX = 4096,
    PROCESSES_PER_SECOND = 256,
};

/* What somebody chose, as one word of a line: printable ASCII. */
static void copy_name(char to[ACTOR_NAME_MAX], const char *from, size_t length) {
    if (length > ACTOR_NAME_MAX - 1)
        length = ACTOR_NAME_MAX - 1;
    for (size_t i = 0; i < length; i++)
        to[i] = from[i] > ' ' && from[i] <= '~' ? from[i] : from[i] == ' ' ? '_' : '?';
    to[length] = '\0';
}

/* ---- users ---- */

static void forget_users(struct names *names) {
    size_t i = 0;
    for (char *name; (name = map_next(&names->users, &i));)
        free(name);
    map_deinit(&names->users);
    names->users = (struct map){ 0 };
}

void names_deinit(struct names *names) {
    forget_users(names);
}

/* NAME:PASSWORD:UID:… */
static void take_user(struct names *names, char *line) {
    char *end, *password = strchr(line, ':'), *uid = password ? strchr(password + 1, ':') : NULL;
    if (!uid || password == line)
        return;
    unsigned long number = strtoul(uid + 1, &end, 10);
    if (end == uid + 1 || *end != ':' || number > UINT32_MAX || map_get(&names->users, number))
        return; /* the first that has the number is who it is */
    char name[ACTOR_NAME_MAX];
    copy_name(name, line, (size_t)(password - line));
    map_set(&names->users, number, mem_strdup(name));
}

static void read_users(struct names *names, const char *path) {
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    forget_users(names);
    while (file && getline(&line, &room, file) > 0)
        take_user(names, line);
    free(line);
    if (file)
        fclose(file);
}

static const char *user(struct names *names, uint32_t uid, int64_t now_mono) {
    const char *path = names->passwd_path ? names->passwd_path : "/etc/passwd";
    struct stat st;
    if (!names->looked_mono || now_mono - names->looked_mono >= 1000) {
        names->looked_mono = now_mono ? now_mono : 1;
        bool there = stat(path, &st) == 0 && st.st_size <= PASSWD_BYTES_MAX;
        if (!there)
            forget_users(names);
        else if (st.st_mtim.tv_sec != names->modified.tv_sec ||
                 st.st_mtim.tv_nsec != names->modified.tv_nsec || st.st_size != names->size)
            read_users(names, path);
        names->modified = there ? st.st_mtim : (struct timespec){ 0 };
        names->size = there ? st.st_size : 0;
    }
    return map_get(&names->users, uid);
}

/* ---- processes ---- */

void names_unit(const char *cgroup, char ret[ACTOR_NAME_MAX]) {
    static const char SUFFIX[] = ".service";
    ret[0] = '\0';
    for (const char *at = cgroup; *at;) {
        size_t length = strcspn(at, "/\n"), suffix = sizeof SUFFIX - 1;
        /* user@1000.service is the manager of somebody's units: they stand below it. */
        if (length > suffix && strncmp(at + length - suffix, SUFFIX, suffix) == 0 &&
            strncmp(at, "user@", 5) != 0)
            copy_name(ret, at, length - suffix);
        at += length + (at[length] != '\0');
    }
}

/* What a file of the process says, as text. False: it can't be read. */
static bool read_of_process(uint32_t pid, const char *name, char *text, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%u/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

static void program(uint32_t pid, char ret[ACTOR_NAME_MAX]) {
    char text[CGROUP_BYTES_MAX];
    if (read_of_process(pid, "cgroup", text, sizeof text))
        names_unit(text, ret);
    if (!ret[0] && read_of_process(pid, "comm", text, sizeof text))
        copy_name(ret, text, strcspn(text, "\n"));
}

void names_look_up(struct names *names, const struct actor *actor, int64_t now_mono,
                   struct actor_names *ret) {
    *ret = (struct actor_names){ 0 };
    const char *name = user(names, actor->uid, now_mono);
    if (name)
        copy_name(ret->user, name, strlen(name));
    if (now_mono - names->second_mono >= 1000) {
        names->second_mono = now_mono;
        names->looked_up = 0;
    }
    if (actor->pid && names->looked_up < PROCESSES_PER_SECOND) { /* 0: in no namespace of ours */
        names->looked_up++;
        program(actor->pid, ret->program);
    }
}
