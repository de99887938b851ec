/*
 * The same for LMDB (failing_calls.h): every call of its functions failing in turn with an error of
 * LMDB's or of libc's, while `calls_of_lmdb` is set. What fails has done nothing; a transaction
 * whose commit fails is gone, as always.
 */
#ifndef TESTS_FAILING_LMDB_H
#define TESTS_FAILING_LMDB_H

#include "failing_calls.h"

#include <dlfcn.h>
#include <stdint.h>
#include <lmdb.h>

/* LMDB's own function of that name. */
#define LMDB_REAL(call) ((__typeof__(&(call)))(uintptr_t)dlsym(RTLD_NEXT, #call))
#define LMDB_CALL(call, ...)                                                                       \
    calls_of_lmdb &&calls_turn(#call) ? calls_error : LMDB_REAL(call)(__VA_ARGS__)

int mdb_env_create(MDB_env **env) {
    return LMDB_CALL(mdb_env_create, env);
}
int mdb_env_open(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode) {
    return LMDB_CALL(mdb_env_open, env, path, flags, mode);
}
int mdb_env_set_mapsize(MDB_env *env, size_t size) {
    return LMDB_CALL(mdb_env_set_mapsize, env, size);
}
int mdb_env_get_fd(MDB_env *env, mdb_filehandle_t *fd) {
    return LMDB_CALL(mdb_env_get_fd, env, fd);
}
int mdb_env_copyfd2(MDB_env *env, mdb_filehandle_t fd, unsigned flags) {
    return LMDB_CALL(mdb_env_copyfd2, env, fd, flags);
}
int mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn) {
    return LMDB_CALL(mdb_txn_begin, env, parent, flags, txn);
}
int mdb_txn_commit(MDB_txn *txn) {
    if (!calls_of_lmdb || !calls_turn("mdb_txn_commit"))
        return LMDB_REAL(mdb_txn_commit)(txn);
    mdb_txn_abort(txn);
    return calls_error;
}
int mdb_dbi_open(MDB_txn *txn, const char *name, unsigned flags, MDB_dbi *dbi) {
    return LMDB_CALL(mdb_dbi_open, txn, name, flags, dbi);
}
int mdb_get(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value) {
    return LMDB_CALL(mdb_get, txn, dbi, key, value);
}
int mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned flags) {
    return LMDB_CALL(mdb_put, txn, dbi, key, value, flags);
}
int mdb_del(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *value) {
    return LMDB_CALL(mdb_del, txn, dbi, key, value);
}
int mdb_cursor_open(MDB_txn *txn, MDB_dbi dbi, MDB_cursor **cursor) {
    return LMDB_CALL(mdb_cursor_open, txn, dbi, cursor);
}
int mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op operation) {
    return LMDB_CALL(mdb_cursor_get, cursor, key, value, operation);
}
int mdb_cursor_del(MDB_cursor *cursor, unsigned flags) {
    return LMDB_CALL(mdb_cursor_del, cursor, flags);
}

#endif
