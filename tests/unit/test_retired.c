/*
 * Catalogs that were replaced count against their pool for as long as anybody holds them.
 */
#include "broker/retired.h"
#include "scratch_dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <keybroker_shared/board.h>

enum { BYTES = 4096, POOL = 7, OTHER_POOL = 8 };

static struct retired *retired;

static void setup(void) {
    scratch_dir_init();
    retired = retired_new();
}

static void teardown(void) {
    retired = retired_free(retired);
    scratch_dir_deinit();
}

TestSuite(retired, .init = setup, .fini = teardown);

/* A published catalog, opened as a worker may. */
static int make(uint64_t version, int flags) {
    char name[64];
    snprintf(name, sizeof name, KB_CATALOG_FILE_FORMAT, (unsigned long long)version);
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, BYTES), 0);
    close(fd);
    fd = openat(dir_fd, name, flags | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    return fd;
}

static void retire(uint64_t pool_id, uint64_t version) {
    retired_unlink(retired, pool_id, dir_fd, version, BYTES);
}

Test(retired, a_catalog_counts_until_its_last_holder_lets_go) {
    int first = make(1, O_RDONLY), second = dup(first);
    retire(POOL, 1);
    cr_assert_eq(retired_bytes(retired, POOL), BYTES);
    close(first);
    cr_assert_eq(retired_bytes(retired, POOL), BYTES);
    close(second);
    cr_assert_eq(retired_bytes(retired, POOL), 0);
}

Test(retired, one_that_nobody_holds_does_not_count) {
    close(make(1, O_RDONLY));
    retire(POOL, 1);
    cr_assert_eq(retired_bytes(retired, POOL), 0);
    retire(POOL, 2); /* there never was one */
    cr_assert_eq(retired_bytes(retired, POOL), 0);
}

Test(retired, mapped_or_only_named_by_a_descriptor_it_counts_too) {
    int fd = make(1, O_RDONLY), path = make(2, O_PATH);
    void *mapped = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
    cr_assert_neq(mapped, MAP_FAILED);
    close(fd);
    retire(POOL, 1);
    retire(POOL, 2);
    cr_assert_eq(retired_bytes(retired, POOL), 2 * BYTES);
    munmap(mapped, BYTES);
    cr_assert_eq(retired_bytes(retired, POOL), BYTES);
    close(path);
    cr_assert_eq(retired_bytes(retired, POOL), 0);
}

Test(retired, each_pool_is_charged_its_own) {
    int fds[100];
    for (uint64_t i = 0; i < 100; i++) {
        fds[i] = make(i + 1, O_RDONLY);
        retire(i % 4 ? POOL : OTHER_POOL, i + 1);
    }
    cr_assert_eq(retired_bytes(retired, POOL), 75 * BYTES);
    cr_assert_eq(retired_bytes(retired, OTHER_POOL), 25 * BYTES);
    for (size_t i = 0; i < 100; i++)
        close(fds[i]);
    cr_assert_eq(retired_bytes(retired, POOL), 0);
    cr_assert_eq(retired_bytes(retired, OTHER_POOL), 0);
}
