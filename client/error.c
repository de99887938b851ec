/*
 * What the library's codes mean, in words, and its version.
 */
#include <keybroker.h>

const char *kb_strerror(int error) {
    switch (error) {
    case 0:
        return "no error";
    case KB_EINVAL:
        return "invalid argument";
    case KB_ENOMEM:
        return "out of memory";
    case KB_ENOENT:
        return "no such pool here: check the name and the runtime directory, and that keybrokerd "
               "has run";
    case KB_EACCES:
        return "the pool is closed to this user: join the pool's group";
    case KB_EVERSION:
        return "keybrokerd publishes a layout that this library does not know: update the library";
    case KB_ECORRUPT:
        return "the pool's published files failed their checks";
    case KB_EDELETED:
        return "the pool was deleted";
    case KB_EEXHAUSTED:
        return "every key is benched, disabled or expired";
    case KB_EGUARDED:
        return "too many keys failed at once and the guard holds the pool: back off, it may not be "
               "the keys";
    case KB_ETRIED:
        return "every key that this attempt may use was tried";
    case KB_ESYSTEM:
        return "the system refused (errno says why)";
    default:
        return "unknown error";
    }
}

const char *kb_version(void) {
    return KB_VERSION;
}
