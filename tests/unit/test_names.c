/* What users and processes are called. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "names.h"

static void expect_unit(const char *cgroup, const char *expected) {
    char unit[ACTOR_NAME_MAX];
    names_unit(cgroup, unit);
    cr_expect_str_eq(unit, expected, "%s", cgroup);
}

Test(names, a_service_is_called_by_its_unit) {
    expect_unit("0::/system.slice/app-3.service\n", "app-3");
    expect_unit("0::/system.slice/system-app.slice/app@3.service/payload\n", "app@3");
    expect_unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-4.service\n",
                "app-4");
    expect_unit("12:pids:/x\n1:name=systemd:/system.slice/old.service\n", "old");
    expect_unit("0::/user.slice/user-1000.slice/user@1000.service/session.slice\n", "");
    expect_unit("0::/user.slice/user-0.slice/session-3.scope\n", "");
    expect_unit("0::/\n", "");
    expect_unit("0::/.service\n", "");
    expect_unit("", "");
    expect_unit("0::/a\x1b[31m\xc3\xa4 b.service\n", "a?[31m??_b");
}

Test(names, a_longer_unit_is_cut) {
    char cgroup[400] = "0::/", unit[ACTOR_NAME_MAX];
    memset(cgroup + 4, 'u', 300);
    strcat(cgroup, ".service\n");
    names_unit(cgroup, unit);
    cr_expect_eq(strlen(unit), ACTOR_NAME_MAX - 1);
}

static char path[] = "/tmp/kb-names-XXXXXX";

static void write_users(const char *text) {
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

static const char *user_of(struct names *names, uint32_t uid, int64_t now_mono) {
    static struct actor_names found;
    struct actor actor = { .kind = ACTOR_ADMIN, .uid = uid };
    names_look_up(names, &actor, now_mono, &found);
    return found.user;
}

Test(names, users_are_those_of_the_file_and_a_changed_file_is_read_again) {
    struct names names = { .passwd_path = path };
    close(mkstemp(path));
    write_users("root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/:\ntwin:x:1000:1::/:\n"
                "broken:x\n:x:7:7::/:\nodd:x:12x:1::/:\nevil\x1b[1m:x:1001:1::/:\nlast:x:5:");
    cr_expect_str_eq(user_of(&names, 1000, 5000), "alice");
    cr_expect_str_eq(user_of(&names, 0, 5000), "root");
    cr_expect_str_eq(user_of(&names, 7, 5000), "");
    cr_expect_str_eq(user_of(&names, 12, 5000), "");
    cr_expect_str_eq(user_of(&names, 1001, 5000), "evil?[1m");
    cr_expect_str_eq(user_of(&names, 5, 5000), "last");
    cr_expect_str_eq(user_of(&names, 4242, 5000), "");
    write_users("bob:x:1000:1000::/:\n");
    cr_expect_str_eq(user_of(&names, 1000, 5500), "alice", "not asked for yet");
    cr_expect_str_eq(user_of(&names, 1000, 6000), "bob");
    cr_expect_str_eq(user_of(&names, 0, 6000), "");
    unlink(path);
    cr_expect_str_eq(user_of(&names, 1000, 7000), "");
    names_deinit(&names);
}

Test(names, a_process_is_called_by_its_program_and_a_crowd_is_not_looked_at) {
    struct names names = { .passwd_path = "/nowhere" };
    struct actor actor = { .kind = ACTOR_REPORT, .uid = getuid(), .pid = (uint32_t)getpid() };
    struct actor_names found;
    prctl(PR_SET_NAME, "my worker\x1b");
    names_look_up(&names, &actor, 1000, &found);
    cr_expect(found.program[0], "its unit, or its program");
    actor.pid = 0;
    names_look_up(&names, &actor, 1000, &found);
    cr_expect_str_eq(found.program, "", "a process that our namespace does not show");
    actor.pid = (uint32_t)getpid();
    for (int i = 0; i < 255; i++)
        names_look_up(&names, &actor, 1500, &found);
    cr_expect(found.program[0]);
    names_look_up(&names, &actor, 1999, &found);
    cr_expect_str_eq(found.program, "");
    names_look_up(&names, &actor, 2000, &found);
    cr_expect(found.program[0]);
    names_deinit(&names);
}
