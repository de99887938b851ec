/* The table of commands: what help prints of a command is all that it takes. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "broker/command.h"

Test(command_table, every_option_stands_in_its_commands_usage) {
    for (size_t i = 0; command_at(i); i++) {
        char options[256], *rest = options;
        snprintf(options, sizeof options, "%s", command_at(i)->options);
        for (const char *name; (name = strsep(&rest, " "));) {
            char wanted[64];
            snprintf(wanted, sizeof wanted, "%s=", name);
            cr_expect(!name[0] || strstr(command_at(i)->usage, wanted),
                      "%s takes %s= and does not say so", command_at(i)->words, name);
        }
    }
}
