/*
 * The story as data. A key's secret is "sk-demo-" and its name. `quota`, `rate` and `revoked` are
 * what the stand-in vendor meters (tests/support/vendor_standin_main.c); it tells nobody.
 */
#include "script.h"

const char *const script_keys[] = {
    "primary", "second", "third", "fourth", "fifth", "sixth", NULL
};

const struct step script_steps[] = {
    { .at_ms = 2500,
      .says = "vendor: primary has balance for 200 more requests",
      .vendor = "key?key=sk-demo-primary&quota=200" },
    { .at_ms = 4500, .says = "vendor: second is revoked", .vendor = "revoke?key=sk-demo-second" },
    { .at_ms = 6500,
      .says = "vendor: third may do 400 requests in 2 s from now on",
      .vendor = "key?key=sk-demo-third&rate=400&window_ms=2000" },
    { .at_ms = 10500,
      .says = "vendor: third's limit is lifted",
      .vendor = "key?key=sk-demo-third&rate=-1" },
    { .at_ms = 11500,
      .says = "operator: tops primary up, and: keybroker enable key openai primary",
      .vendor = "key?key=sk-demo-primary&quota=-1",
      .command = { "enable", "key", "openai", "primary" } },
    { .at_ms = 13500,
      .says = "operator: keybroker add key openai name=seventh",
      .vendor = "key?key=sk-demo-seventh",
      .command = { "add", "key", "openai", "name=seventh" },
      .input = "seventh" },
    { .at_ms = 14000,
      .says = "operator: keybroker move key openai seventh first",
      .command = { "move", "key", "openai", "seventh", "first" } },
    { .at_ms = 15500,
      .says = "vendor: seventh is revoked",
      .vendor = "revoke?key=sk-demo-seventh" },
    { .at_ms = 17000,
      .says = "operator: keybroker disable key openai primary",
      .command = { "disable", "key", "openai", "primary" } },
    { .at_ms = 18000,
      .says = "vendor: third's balance is used up",
      .vendor = "key?key=sk-demo-third&quota=0" },
};
const size_t script_step_count = sizeof(script_steps) / sizeof(script_steps[0]);
