/*
 * The vault: encrypts store records. A data key (random, made with the store) seals every record
 * with XChaCha20-Poly1305; a master key, which never enters the store, wraps the data key. Keys
 * live in guarded memory (sodium_malloc: not dumped, locked where allowed, wiped when freed).
 *
 * The associated data binds a record to its table, pool, key id and version, so that sealed records
 * can not be swapped or renamed inside the store. Threads: sealing and opening only read the vault
 * and are safe from any thread.
 */
#ifndef BROKER_VAULT_H
#define BROKER_VAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VAULT_KEY_SIZE = 32,
    VAULT_NONCE_SIZE = 24,
    VAULT_TAG_SIZE = 16,
    VAULT_OVERHEAD = VAULT_NONCE_SIZE + VAULT_TAG_SIZE,
    VAULT_WRAPPED_SIZE = VAULT_KEY_SIZE + VAULT_OVERHEAD,
};

struct vault;

/* What a record is; authenticated, not stored by the vault. */
struct vault_label {
    uint32_t table;
    uint64_t pool_id;
    uint64_t key_id;
    uint64_t version;
};

/* Read the 32-byte master key from `path` (64 hex digits and an optional newline, or 32 raw bytes).
 * Refuses a file that group or others may access (unless it is in $CREDENTIALS_DIRECTORY, or
 * root's and 0440 at most, as a mounted secret), a symbolic link that is neither root's nor the
 * broker's user's, a wrong size. 0 or -errno, with a sentence for the log in `error`. */
int vault_read_master(const char *path, bool credential, unsigned char master[VAULT_KEY_SIZE],
                      char error[256]);

/* What others keep behind a symbolic link is theirs to replace. */
bool vault_master_is_link(const char *path);

/* Make a master key file at `path` (O_EXCL, 0600, written and fsynced with its directory). 0 or
 * -errno. */
int vault_make_master(const char *path, unsigned char master[VAULT_KEY_SIZE]);

/* The same decoding for a key that comes another way: 64 hex digits and an optional newline, or 32
 * raw bytes. 0 or -EINVAL. */
int vault_decode_master(const void *bytes, size_t length, unsigned char master[VAULT_KEY_SIZE]);

/* Write a new master key beside the one at `path`, as `path`.new (0600, fsynced; one that a crash
 * left is replaced), and then put it into its place. The directory is not synced. 0 or -errno. */
int vault_make_master_aside(const char *path, unsigned char master[VAULT_KEY_SIZE]);
int vault_replace_master(const char *path);
void vault_drop_master_aside(const char *path);
/* Make sure that the file that stands at `path` now is the one after a crash, too. */
int vault_sync_master(const char *path);

/* A vault with a fresh data key; its wrapped form is written to `ret_wrapped`. */
struct vault *vault_new(const unsigned char master[VAULT_KEY_SIZE],
                        unsigned char ret_wrapped[VAULT_WRAPPED_SIZE]);

/* A vault from a stored wrapped data key; NULL if `master` is not the key that wrapped it. */
struct vault *vault_unwrap(const unsigned char master[VAULT_KEY_SIZE],
                           const unsigned char wrapped[VAULT_WRAPPED_SIZE]);
/* The vault's data key, wrapped by another master key. */
void vault_wrap(const struct vault *vault, const unsigned char master[VAULT_KEY_SIZE],
                unsigned char ret_wrapped[VAULT_WRAPPED_SIZE]);
struct vault *vault_free(struct vault *vault); /* returns NULL */

/* A number for a sealed record that nobody without the data key can foresee: of its label and its
 * authentication tag, so another record of the same place has another. */
void vault_mark(const struct vault *vault, const struct vault_label *label,
                const unsigned char *sealed, size_t sealed_length, uint64_t ret_mark[2]);

/* sealed must have room for length + VAULT_OVERHEAD. */
void vault_seal(const struct vault *vault, const struct vault_label *label, const void *plain,
                size_t length, unsigned char *sealed);
/* plain must have room for sealed_length - VAULT_OVERHEAD. False: does not authenticate. */
bool vault_open(const struct vault *vault, const struct vault_label *label,
                const unsigned char *sealed, size_t sealed_length, void *plain);

#endif
