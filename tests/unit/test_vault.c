/* The vault: what it seals can be opened by the same key under the same label, and by nothing else;
 * the master key's file is read strictly and made safely. */
#include "store_fixture.h"

#include "vault.h"

TestSuite(vault, .init = state_dir_init, .fini = state_dir_deinit);

static const struct vault_label LABEL = { .table = 2, .pool_id = 3, .key_id = 5, .version = 7 };
static const char PLAIN[] = "{\"api_key\":\"sk-canary\"}";
enum { SEALED_SIZE = sizeof(PLAIN) + VAULT_OVERHEAD };

static void path_of(const char *name, char path[512]) {
    snprintf(path, 512, "%s/%s", state_dir.path, name);
}

static struct vault *sealed_canary(unsigned char sealed[SEALED_SIZE]) {
    unsigned char master[VAULT_KEY_SIZE] = { 1 }, wrapped[VAULT_WRAPPED_SIZE];
    struct vault *vault = vault_new(master, wrapped);
    vault_seal(vault, &LABEL, PLAIN, sizeof(PLAIN), sealed);
    return vault;
}

Test(vault, what_was_sealed_opens_again) {
    unsigned char sealed[SEALED_SIZE];
    char plain[sizeof(PLAIN)];
    struct vault *vault = sealed_canary(sealed);
    cr_expect(vault_open(vault, &LABEL, sealed, sizeof(sealed), plain));
    cr_expect_arr_eq(plain, PLAIN, sizeof(PLAIN));
    cr_expect_null(memmem(sealed, sizeof(sealed), "canary", 6));
    vault_free(vault);
}

Test(vault, an_empty_record_can_be_sealed) {
    unsigned char master[VAULT_KEY_SIZE] = { 1 }, wrapped[VAULT_WRAPPED_SIZE];
    unsigned char sealed[VAULT_OVERHEAD];
    char nothing;
    struct vault *vault = vault_new(master, wrapped);
    vault_seal(vault, &LABEL, "", 0, sealed);
    cr_expect(vault_open(vault, &LABEL, sealed, sizeof(sealed), &nothing));
    vault_free(vault);
}

Test(vault, the_same_record_is_never_sealed_the_same_way_twice) {
    unsigned char first[SEALED_SIZE], second[SEALED_SIZE];
    struct vault *vault = sealed_canary(first);
    vault_seal(vault, &LABEL, PLAIN, sizeof(PLAIN), second);
    cr_expect_arr_neq(first, second, sizeof(first));
    vault_free(vault);
}

Test(vault, any_flipped_bit_is_detected) {
    unsigned char sealed[SEALED_SIZE];
    char plain[sizeof(PLAIN)];
    struct vault *vault = sealed_canary(sealed);
    for (size_t bit = 0; bit < sizeof(sealed) * 8; bit++) {
        sealed[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        cr_expect_not(vault_open(vault, &LABEL, sealed, sizeof(sealed), plain), "bit %zu", bit);
        sealed[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
    cr_expect(vault_open(vault, &LABEL, sealed, sizeof(sealed), plain));
    vault_free(vault);
}

Test(vault, a_cut_record_is_detected) {
    unsigned char sealed[SEALED_SIZE];
    char plain[sizeof(PLAIN)];
    struct vault *vault = sealed_canary(sealed);
    for (size_t length = 0; length < sizeof(sealed); length++)
        cr_expect_not(vault_open(vault, &LABEL, sealed, length, plain), "length %zu", length);
    vault_free(vault);
}

Test(vault, a_record_opens_under_its_own_label_only) {
    unsigned char sealed[SEALED_SIZE];
    char plain[sizeof(PLAIN)];
    struct vault *vault = sealed_canary(sealed);
    struct vault_label others[] = { LABEL, LABEL, LABEL, LABEL };
    others[0].table++;
    others[1].pool_id++;
    others[2].key_id++;
    others[3].version++;
    for (size_t i = 0; i < 4; i++)
        cr_expect_not(vault_open(vault, &others[i], sealed, sizeof(sealed), plain), "label %zu", i);
    vault_free(vault);
}

Test(vault, only_the_master_key_that_wrapped_it_unwraps_a_data_key) {
    unsigned char master[VAULT_KEY_SIZE] = { 1 }, wrapped[VAULT_WRAPPED_SIZE];
    unsigned char sealed[SEALED_SIZE];
    char plain[sizeof(PLAIN)];
    struct vault *vault = vault_new(master, wrapped);
    vault_seal(vault, &LABEL, PLAIN, sizeof(PLAIN), sealed);
    vault_free(vault);

    vault = vault_unwrap(master, wrapped);
    cr_assert_not_null(vault);
    cr_expect(vault_open(vault, &LABEL, sealed, sizeof(sealed), plain));
    vault_free(vault);

    master[31] ^= 1;
    cr_expect_null(vault_unwrap(master, wrapped));
    master[31] ^= 1;
    wrapped[40] ^= 1;
    cr_expect_null(vault_unwrap(master, wrapped));
}

Test(vault, two_stores_have_different_data_keys) {
    unsigned char master[VAULT_KEY_SIZE] = { 1 }, wrapped[VAULT_WRAPPED_SIZE];
    unsigned char sealed[SEALED_SIZE];
    char plain[sizeof(PLAIN)];
    struct vault *first = sealed_canary(sealed);
    struct vault *second = vault_new(master, wrapped);
    cr_expect_not(vault_open(second, &LABEL, sealed, sizeof(sealed), plain));
    vault_free(first);
    vault_free(second);
}

Test(vault, freeing_no_vault_is_allowed) {
    cr_expect_null(vault_free(NULL));
}

/* ---- the master key's file ---- */

Test(vault, a_made_master_key_is_read_back) {
    unsigned char made[VAULT_KEY_SIZE] = { 0 }, again[VAULT_KEY_SIZE] = { 0 };
    char path[512];
    struct stat st;
    path_of("master.key", path);
    umask(0);
    cr_assert_eq(vault_make_master(path, made), 0);
    cr_assert_eq(vault_read_master(path, false, again, store_error), 0, "%s", store_error);
    cr_expect_arr_eq(made, again, sizeof(made));
    cr_expect_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0600);
    cr_expect_eq(st.st_nlink, 1);
    cr_expect_not(file_exists("master.key.new"));
}

Test(vault, a_master_key_is_never_replaced) {
    unsigned char made[VAULT_KEY_SIZE], second[VAULT_KEY_SIZE] = { 9 }, again[VAULT_KEY_SIZE];
    char path[512];
    path_of("master.key", path);
    cr_assert_eq(vault_make_master(path, made), 0);
    cr_expect_eq(vault_make_master(path, second), -EEXIST);
    cr_expect_eq(second[0], 9);
    cr_assert_eq(vault_read_master(path, false, again, store_error), 0);
    cr_expect_arr_eq(made, again, sizeof(made));
}

Test(vault, a_leftover_of_a_crash_does_not_stop_a_new_master_key) {
    unsigned char made[VAULT_KEY_SIZE];
    char path[512];
    path_of("master.key", path);
    file_write("master.key.new", "half", 4);
    cr_expect_eq(vault_make_master(path, made), 0);
    cr_expect_not(file_exists("master.key.new"));
}

Test(vault, a_master_key_may_be_hex_digits_or_raw_bytes) {
    unsigned char raw[VAULT_KEY_SIZE], master[VAULT_KEY_SIZE];
    char text[66] = "", path[512];
    path_of("k", path);
    for (size_t i = 0; i < sizeof(raw); i++) {
        raw[i] = (unsigned char)(i * 7 + 1);
        snprintf(text + 2 * i, 3, i % 2 ? "%02x" : "%02X", raw[i]);
    }
    text[64] = '\n';

    file_write("k", raw, 32);
    cr_expect_eq(vault_read_master(path, false, master, store_error), 0, "%s", store_error);
    cr_expect_arr_eq(master, raw, sizeof(raw));
    for (size_t length = 64; length <= 65; length++) {
        memset(master, 0, sizeof(master));
        file_write("k", text, length);
        cr_expect_eq(vault_read_master(path, false, master, store_error), 0, "%s", store_error);
        cr_expect_arr_eq(master, raw, sizeof(raw));
    }
}

Test(vault, a_file_that_is_no_master_key_is_refused) {
    static const size_t SIZES[] = { 0, 1, 31, 33, 63, 66, 200 };
    unsigned char master[VAULT_KEY_SIZE] = { 9 };
    char text[200], path[512];
    path_of("k", path);
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(*SIZES); i++) {
        file_write("k", text, SIZES[i]);
        cr_expect_eq(vault_read_master(path, false, master, store_error), -EINVAL, "size %zu",
                     SIZES[i]);
    }
    file_write("k", text, 65); /* a digit where the newline should be */
    cr_expect_eq(vault_read_master(path, false, master, store_error), -EINVAL);
    text[10] = 'g';
    file_write("k", text, 64);
    cr_expect_eq(vault_read_master(path, false, master, store_error), -EINVAL);
    cr_expect_eq(master[0], 9);
}

Test(vault, a_master_key_that_others_may_access_is_refused_unless_it_is_a_credential) {
    static const mode_t MODES[] = { 0640, 0604, 0660, 0620, 0601 };
    unsigned char master[VAULT_KEY_SIZE];
    char text[32] = "0123456789abcdef0123456789abcde", path[512];
    path_of("k", path);
    file_write("k", text, 32);
    for (size_t i = 0; i < sizeof(MODES) / sizeof(*MODES); i++) {
        cr_assert_eq(chmod(path, MODES[i]), 0);
        cr_expect_eq(vault_read_master(path, false, master, store_error), -EPERM, "mode %o",
                     MODES[i]);
        cr_expect_not_null(strstr(store_error, "group or others"));
        cr_expect_eq(vault_read_master(path, true, master, store_error), 0);
    }
}

Test(vault, a_mounted_secret_of_roots_may_be_read_by_its_group) {
    unsigned char master[VAULT_KEY_SIZE];
    char path[512];
    if (geteuid() != 0)
        cr_skip_test("only root has files of root's");
    path_of("k", path);
    file_write("k", "0123456789abcdef0123456789abcdef", 32);
    cr_assert_eq(chmod(path, 0440), 0);
    cr_expect_eq(vault_read_master(path, false, master, store_error), 0, "%s", store_error);
    cr_assert_eq(chown(path, 12345, (gid_t)-1), 0);
    cr_expect_eq(vault_read_master(path, false, master, store_error), -EPERM, "not root's");
    cr_assert_eq(chown(path, 0, (gid_t)-1), 0);
    cr_assert_eq(chmod(path, 0444), 0);
    cr_expect_eq(vault_read_master(path, false, master, store_error), -EPERM, "for everybody");
}

Test(vault, a_link_is_followed_if_it_is_not_another_users) {
    unsigned char master[VAULT_KEY_SIZE];
    char path[512];
    file_write("real", "0123456789abcdef0123456789abcdef", 32);
    cr_assert_eq(symlinkat("real", state_dir.fd, "link"), 0);
    path_of("link", path);
    cr_expect_eq(vault_read_master(path, false, master, store_error), 0, "%s", store_error);
    cr_expect(vault_master_is_link(path));
    if (geteuid() != 0)
        return;
    cr_assert_eq(lchown(path, 12345, (gid_t)-1), 0);
    cr_expect_eq(vault_read_master(path, false, master, store_error), -ELOOP);
}

Test(vault, a_master_key_that_is_no_file_is_refused, .timeout = 10) {
    unsigned char master[VAULT_KEY_SIZE];
    char path[512];
    cr_assert_eq(mkfifoat(state_dir.fd, "fifo", 0600), 0);
    path_of("fifo", path);
    cr_expect_eq(vault_read_master(path, false, master, store_error), -EINVAL);
    cr_expect_eq(vault_read_master(state_dir.path, false, master, store_error), -EINVAL);
    path_of("absent", path);
    cr_expect_eq(vault_read_master(path, false, master, store_error), -ENOENT);
    cr_expect_not_null(strstr(store_error, "absent"));
}
