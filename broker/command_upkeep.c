/*
 * backup, rotate master-key: what concerns the whole store. Part of the commands (command.h); the
 * work itself is an errand for the store thread.
 */
#include "command.h"

#include <limits.h>
#include <string.h>

#include "errand.h"
#include "memory.h"

int command_backup(struct request *request, struct refusal *refusal) {
    const char *path = request->arguments[0];
    if (path[0] != '/' || strlen(path) >= PATH_MAX)
        return refuse(refusal, REFUSED_SYNTAX, "bad-path", "FILE",
                      "FILE: a whole path, from the root on (the broker writes it)");
    for (const char *at = path; *at; at++) /* it is logged */
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return refuse(refusal, REFUSED_SYNTAX, "bad-path", "FILE",
                          "FILE: no control characters");
    request->errand = errand_new(ERRAND_BACKUP);
    request->errand->path = mem_strdup(path);
    return 0;
}

int command_rotate(struct request *request, struct refusal *refusal) {
    bool given = request->argument_count > 0;
    if (given && strcmp(request->arguments[0], "given") != 0)
        return refuse(refusal, REFUSED_SYNTAX, "wrong-arguments", "", "usage: %s %s",
                      request->command->words, request->command->usage);
    if (given != (request->payload != NULL))
        return refuse(refusal, REFUSED_SYNTAX, "missing-payload", "",
                      "\"given\" and a payload (the new key, 64 hex digits) go together");
    struct errand *errand = errand_new(ERRAND_ROTATE);
    errand->given = given;
    if (given &&
        vault_decode_master(request->payload, request->payload_length, errand->master) < 0) {
        errand_free(errand);
        return refuse(refusal, REFUSED_SYNTAX, "bad-key", "", "the new key: 64 hex digits");
    }
    request->errand = errand;
    return 0;
}
