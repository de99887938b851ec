/* See event.h. */
#include "event.h"

#include <stddef.h>

static const char *const KIND_NAMES[EVENT_KIND_COUNT] = {
    [EVENT_STATUS] = "status",
    [EVENT_ADD_POOL] = "add pool",
    [EVENT_SET_POOL] = "set pool",
    [EVENT_DELETE_POOL] = "delete pool",
    [EVENT_ADD_KEY] = "add key",
    [EVENT_SET_KEY] = "set key",
    [EVENT_DELETE_KEY] = "delete key",
    [EVENT_MOVE_KEY] = "move key",
    [EVENT_ORDER_KEYS] = "order keys",
    [EVENT_IMPORT] = "import",
    [EVENT_EXPIRED] = "expired",
    [EVENT_REPORT] = "report",
    [EVENT_GUARD] = "guard",
    [EVENT_FAILOVER] = "failover",
    [EVENT_EXPORT] = "export",
    [EVENT_BACKUP] = "backup",
    [EVENT_ROTATE] = "rotate master-key",
};

const char *event_kind_name(uint32_t kind) {
    return kind < EVENT_KIND_COUNT && KIND_NAMES[kind] ? KIND_NAMES[kind] : "?";
}
