/*
 * The vault: sealing and opening of records, and the master key's file. Called by the store only.
 * It never writes a key anywhere but to a new master key file, and never keeps a master key.
 */
#include "vault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "memory.h"

_Static_assert(VAULT_KEY_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key size");
_Static_assert(VAULT_NONCE_SIZE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce size");
_Static_assert(VAULT_TAG_SIZE == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag size");

enum {
    HEX_SIZE = VAULT_KEY_SIZE * 2,
    LABEL_SIZE = 4 + 3 * 8,
    MARK_KEY_SIZE = crypto_shorthash_siphashx24_KEYBYTES,
};

/* Keeps a wrapped data key apart from anything else that a master key might ever seal. */
static const unsigned char WRAP_LABEL[] = "keybroker data key 1";

static const unsigned char MARK_LABEL[] = "keybroker marks 1";

/* Guarded memory, read-only once it is set: the data key, and one for marks that it gives. */
struct vault {
    unsigned char *data_key, *mark_key;
};

/* sodium_init may be called any number of times; only the first does something. */
static void ready(void) {
    if (sodium_init() < 0)
        abort(); /* no randomness: nothing that follows would be safe */
}

static void seal(const unsigned char key[VAULT_KEY_SIZE], const void *label, size_t label_length,
                 const void *plain, size_t length, unsigned char *sealed) {
    randombytes_buf(sealed, VAULT_NONCE_SIZE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + VAULT_NONCE_SIZE, NULL, plain, length,
                                               label, label_length, NULL, sealed, key);
}

static bool unseal(const unsigned char key[VAULT_KEY_SIZE], const void *label, size_t label_length,
                   const unsigned char *sealed, size_t sealed_length, void *plain) {
    if (sealed_length < VAULT_OVERHEAD)
        return false;
    return crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, sealed + VAULT_NONCE_SIZE,
                                                      sealed_length - VAULT_NONCE_SIZE, label,
                                                      label_length, sealed, key) == 0;
}

static unsigned char *put_number(unsigned char *at, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++)
        at[i] = (unsigned char)(value >> (8 * i));
    return at + size;
}

static void encode_label(const struct vault_label *label, unsigned char bytes[LABEL_SIZE]) {
    unsigned char *at = put_number(bytes, label->table, 4);
    at = put_number(at, label->pool_id, 8);
    at = put_number(at, label->key_id, 8);
    put_number(at, label->version, 8);
}

/* The whole file, at most `size` bytes; one more byte is asked for to notice that it is longer. */
static ssize_t read_all(int fd, unsigned char *buffer, size_t size) {
    size_t length = 0;
    while (length < size) {
        ssize_t n = read(fd, buffer + length, size - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        length += (size_t)n;
    }
    return (ssize_t)length;
}

int vault_decode_master(const void *data, size_t length, unsigned char master[VAULT_KEY_SIZE]) {
    const unsigned char *bytes = data;
    if (length == VAULT_KEY_SIZE) {
        memcpy(master, bytes, VAULT_KEY_SIZE);
        return 0;
    }
    if (length == HEX_SIZE + 1 && bytes[HEX_SIZE] == '\n')
        length = HEX_SIZE;
    if (length != HEX_SIZE)
        return -EINVAL;

    unsigned char key[VAULT_KEY_SIZE];
    size_t decoded = 0;
    int rc = sodium_hex2bin(key, sizeof(key), (const char *)bytes, length, NULL, &decoded, NULL);
    if (rc == 0 && decoded == sizeof(key))
        memcpy(master, key, sizeof(key));
    else
        rc = -EINVAL;
    sodium_memzero(key, sizeof(key));
    return rc;
}

static int check_master_file(int fd, const char *path, bool credential, char error[256]) {
    struct stat st;
    if (fstat(fd, &st) < 0) {
        int rc = -errno;
        snprintf(error, 256, "cannot read the master key %.160s: %s", path, strerror(-rc));
        return rc;
    }
    if (!S_ISREG(st.st_mode)) {
        snprintf(error, 256, "the master key %.160s is not a regular file", path);
        return -EINVAL;
    }
    /* A Kubernetes Secret comes as root's, 0440, with the group that the pod was given. */
    bool mounted = st.st_uid == 0 && (st.st_mode & 07337) == 0;
    if (!credential && !mounted && (st.st_mode & 077) != 0) {
        snprintf(error, 256,
                 "the master key %.160s may be accessed by group or others: chmod 600 it (or 440, "
                 "owned by root)",
                 path);
        return -EPERM;
    }
    return 0;
}

bool vault_master_is_link(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

/* Links are what mounted secrets are made of, so those of root and of the broker's user are
 * followed; anybody else's would choose the key. */
static int open_master(const char *path) {
    /* O_NONBLOCK: a FIFO in the key's place must not hang the start. */
    const int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = open(path, flags | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 && errno == ELOOP && lstat(path, &st) == 0 &&
        (st.st_uid == 0 || st.st_uid == geteuid()))
        fd = open(path, flags);
    return fd < 0 ? -errno : fd;
}

int vault_read_master(const char *path, bool credential, unsigned char master[VAULT_KEY_SIZE],
                      char error[256]) {
    ready();
    int fd = open_master(path), rc = fd;
    if (rc == -ELOOP)
        snprintf(error, 256,
                 "the master key %.160s is a symbolic link of another user: name the file itself",
                 path);
    else if (rc < 0)
        snprintf(error, 256, "cannot read the master key %.160s: %s", path, strerror(-rc));
    if (rc < 0)
        return rc;

    unsigned char bytes[HEX_SIZE + 2];
    rc = check_master_file(fd, path, credential, error);
    if (rc == 0) {
        ssize_t length = read_all(fd, bytes, sizeof(bytes));
        rc = length < 0 ? (int)length : vault_decode_master(bytes, (size_t)length, master);
        if (length < 0)
            snprintf(error, 256, "cannot read the master key %.160s: %s", path, strerror(-rc));
        else if (rc < 0)
            snprintf(error, 256,
                     "the master key %.160s is not a key: want 64 hex digits or 32 bytes", path);
    }
    sodium_memzero(bytes, sizeof(bytes));
    close(fd);
    return rc;
}

static int write_all(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t n = write(fd, bytes, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        length -= (size_t)n;
    }
    return 0;
}

static int sync_directory_of(const char *path) {
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(slash - path + 1) : 1,
             slash ? path : ".");
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int write_new_file(const char *path, const char *bytes, size_t length) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int rc = fchmod(fd, 0600) < 0 ? -errno : 0; /* an umask may have taken more than others' bits */
    if (rc == 0)
        rc = write_all(fd, bytes, length);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    return rc;
}

static int path_aside(const char *path, char aside[PATH_MAX]) {
    int length = snprintf(aside, PATH_MAX, "%s.new", path);
    return length < 0 || length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int vault_make_master_aside(const char *path, unsigned char master[VAULT_KEY_SIZE]) {
    ready();
    char aside[PATH_MAX];
    int rc = path_aside(path, aside);
    if (rc == 0 && unlink(aside) < 0 && errno != ENOENT)
        rc = -errno;
    if (rc < 0)
        return rc;

    unsigned char key[VAULT_KEY_SIZE];
    char text[HEX_SIZE + 2];
    randombytes_buf(key, sizeof(key));
    sodium_bin2hex(text, sizeof(text), key, sizeof(key));
    text[HEX_SIZE] = '\n';
    rc = write_new_file(aside, text, HEX_SIZE + 1);
    if (rc == 0)
        memcpy(master, key, sizeof(key));
    else
        unlink(aside);
    sodium_memzero(key, sizeof(key));
    sodium_memzero(text, sizeof(text));
    return rc;
}

int vault_replace_master(const char *path) {
    char aside[PATH_MAX];
    int rc = path_aside(path, aside);
    return rc < 0 ? rc : rename(aside, path) < 0 ? -errno : 0;
}

void vault_drop_master_aside(const char *path) {
    char aside[PATH_MAX];
    if (path_aside(path, aside) == 0)
        unlink(aside);
}

int vault_sync_master(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return rc < 0 ? rc : sync_directory_of(path);
}

/* Written under another name and linked into place: a crash leaves either no master key or a whole
 * one, never half of one that every later start would refuse. link, not rename: it never replaces
 * a key that is there. */
int vault_make_master(const char *path, unsigned char master[VAULT_KEY_SIZE]) {
    char aside[PATH_MAX];
    unsigned char key[VAULT_KEY_SIZE];
    int rc = path_aside(path, aside);
    if (rc == 0)
        rc = vault_make_master_aside(path, key);
    if (rc < 0)
        return rc;
    if (link(aside, path) < 0)
        rc = -errno;
    unlink(aside);
    if (rc == 0)
        rc = sync_directory_of(path);
    if (rc == 0)
        memcpy(master, key, sizeof(key));
    sodium_memzero(key, sizeof(key));
    return rc;
}

static struct vault *vault_alloc(void) {
    ready();
    struct vault *vault = mem_alloc(sizeof(*vault));
    vault->data_key = sodium_malloc(VAULT_KEY_SIZE + MARK_KEY_SIZE);
    if (!vault->data_key)
        abort(); /* as memory.h: without its key's few bytes the broker cannot go on */
    vault->mark_key = vault->data_key + VAULT_KEY_SIZE;
    return vault;
}

static void set_keys(struct vault *vault) {
    crypto_generichash(vault->mark_key, MARK_KEY_SIZE, MARK_LABEL, sizeof(MARK_LABEL),
                       vault->data_key, VAULT_KEY_SIZE);
    sodium_mprotect_readonly(vault->data_key);
}

struct vault *vault_new(const unsigned char master[VAULT_KEY_SIZE],
                        unsigned char ret_wrapped[VAULT_WRAPPED_SIZE]) {
    struct vault *vault = vault_alloc();
    randombytes_buf(vault->data_key, VAULT_KEY_SIZE);
    seal(master, WRAP_LABEL, sizeof(WRAP_LABEL), vault->data_key, VAULT_KEY_SIZE, ret_wrapped);
    set_keys(vault);
    return vault;
}

struct vault *vault_unwrap(const unsigned char master[VAULT_KEY_SIZE],
                           const unsigned char wrapped[VAULT_WRAPPED_SIZE]) {
    struct vault *vault = vault_alloc();
    if (!unseal(master, WRAP_LABEL, sizeof(WRAP_LABEL), wrapped, VAULT_WRAPPED_SIZE,
                vault->data_key))
        return vault_free(vault);
    set_keys(vault);
    return vault;
}

void vault_wrap(const struct vault *vault, const unsigned char master[VAULT_KEY_SIZE],
                unsigned char ret_wrapped[VAULT_WRAPPED_SIZE]) {
    seal(master, WRAP_LABEL, sizeof(WRAP_LABEL), vault->data_key, VAULT_KEY_SIZE, ret_wrapped);
}

struct vault *vault_free(struct vault *vault) {
    if (vault) {
        sodium_free(vault->data_key); /* makes it writable again and wipes it */
        free(vault);
    }
    return NULL;
}

void vault_mark(const struct vault *vault, const struct vault_label *label,
                const unsigned char *sealed, size_t sealed_length, uint64_t ret_mark[2]) {
    unsigned char bytes[LABEL_SIZE + VAULT_TAG_SIZE], hash[crypto_shorthash_siphashx24_BYTES];
    encode_label(label, bytes);
    memcpy(bytes + LABEL_SIZE, sealed + sealed_length - VAULT_TAG_SIZE, VAULT_TAG_SIZE);
    crypto_shorthash_siphashx24(hash, bytes, sizeof(bytes), vault->mark_key);
    memcpy(ret_mark, hash, sizeof(hash));
}

void vault_seal(const struct vault *vault, const struct vault_label *label, const void *plain,
                size_t length, unsigned char *sealed) {
    unsigned char bytes[LABEL_SIZE];
    encode_label(label, bytes);
    seal(vault->data_key, bytes, sizeof(bytes), plain, length, sealed);
}

bool vault_open(const struct vault *vault, const struct vault_label *label,
                const unsigned char *sealed, size_t sealed_length, void *plain) {
    unsigned char bytes[LABEL_SIZE];
    encode_label(label, bytes);
    return unseal(vault->data_key, bytes, sizeof(bytes), sealed, sealed_length, plain);
}
