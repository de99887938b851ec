/*
 * keybroker: the operators' command. Everything is in cli_main (options.c), where tests reach it.
 */
#include "cli.h"

int main(int argc, char **argv) {
    return cli_main(argc, argv);
}
