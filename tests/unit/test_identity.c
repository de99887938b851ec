/*
 * Who a number names: groups of every size, and ids that stand for many.
 */
#include "broker/identity.h"
#include "scratch_dir.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/own_groups.h"

TestSuite(identity, .init = scratch_dir_init, .fini = scratch_dir_deinit);

/* ---- groups ---- */

Test(identity, a_group_is_found_by_name_or_number) {
    gid_t gid = 77;
    struct group *root = getgrgid(0);
    cr_assert_not_null(root);
    cr_assert_eq(identity_find_group(root->gr_name, &gid), 0);
    cr_assert_eq(gid, 0);
    cr_assert_eq(identity_find_group("12345", &gid), 0);
    cr_assert_eq(gid, 12345);
    cr_assert_eq(identity_find_group("", &gid), 0);
    cr_assert_eq(gid, (gid_t)-1);
}

Test(identity, what_is_no_group_is_said_and_nothing_is_touched) {
    const char *const NONE[] = { "no-such-group-here",  "12x", "-1", " 1", "4294967295",
                                 "99999999999999999999" };
    for (size_t i = 0; i < sizeof NONE / sizeof *NONE; i++) {
        gid_t gid = 77;
        cr_assert_eq(identity_find_group(NONE[i], &gid), -ENOENT, "%s", NONE[i]);
        cr_assert_eq(gid, 77);
    }
}

Test(identity, a_group_of_20000_members_is_found_and_so_is_the_one_behind_it) {
    if (!own_groups(directory, 60041, 20000))
        cr_skip_test("needs root and a mount namespace");
    gid_t gid = 77;
    cr_assert_eq(identity_find_group("big", &gid), 0);
    cr_assert_eq(gid, 60041);
    cr_assert_eq(identity_find_group("small", &gid), 0);
    cr_assert_eq(gid, 60042);
    cr_assert_eq(identity_find_group("absent", &gid), -ENOENT);
}

Test(identity, a_look_up_that_fails_is_not_taken_for_no_such_group) {
    if (!own_groups(directory, 60041, 1300000))
        cr_skip_test("needs root and a mount namespace");
    gid_t gid = 77;
    cr_assert_eq(identity_find_group("small", &gid), -ERANGE, "the line before it has 17 MiB");
    cr_assert_eq(gid, 77);
}

/* ---- ids that stand for many ---- */

Test(identity, a_map_is_whole_if_its_ranges_cover_every_id) {
    cr_assert(identity_map_is_whole("         0          0 4294967295\n"));
    cr_assert(identity_map_is_whole("0 0 65536\n65536 65536 4294901759\n"));
    cr_assert_not(identity_map_is_whole("0 1000 1\n1 100000 65536\n"));
    cr_assert_not(identity_map_is_whole("0 0 4294967294\n"));
    cr_assert_not(identity_map_is_whole(""), "nothing is mapped yet");
    cr_assert_not(identity_map_is_whole("what is this\n"));
}

/* What `look` returns in a child, where Criterion's assertions would not report. */
static int in_child(int (*look)(void)) {
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(look());
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

enum { HOLDS, FAILS, NOT_HERE };

static int look_as_nobody(void) {
    if (setresuid(65534, 65534, 65534) < 0)
        return NOT_HERE;
    return identity_is_own_user(65534) && !identity_is_own_user(0) && identity_group_is_known(65534)
               ? HOLDS
               : FAILS;
}

Test(identity, outside_of_user_namespaces_65534_is_a_user_like_any_other) {
    int found = in_child(look_as_nobody);
    if (found == NOT_HERE)
        cr_skip_test("only root can become somebody else");
    cr_assert_eq(found, HOLDS);
}

static int look_from_a_namespace(void) {
    if (unshare(CLONE_NEWUSER) < 0)
        return NOT_HERE;
    bool nobody = geteuid() == 65534 && !identity_is_own_user(65534) &&
                  !identity_group_is_known(65534) && identity_group_is_known(5);
    return nobody ? HOLDS : FAILS;
}

Test(identity, in_a_user_namespace_the_overflow_ids_name_nobody) {
    int found = in_child(look_from_a_namespace);
    if (found == NOT_HERE)
        cr_skip_test("user namespaces are not allowed here");
    cr_assert_eq(found, HOLDS);
}
