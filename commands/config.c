/* zeroth config [KEY ...]: the schema. */
#include <stdio.h>

#include "commands/commands.h"
#include "framework/config.h"

int command_config(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    Status status = flags_parse(NULL, 0, &common, argc, argv, &arguments);
    if (status == OK && arguments.count == 0) config_print_schema(stdout, NULL);
    for (int i = 0; status == OK && i < arguments.count; i++) {
        const char *nearest = "seed";
        if (config_print_schema(stdout, arguments.items[i])) continue;
        config_find_key(arguments.items[i], &nearest);
        status = status_error(STATUS_NOT_FOUND, "unknown key '%s': did you mean '%s'?", arguments.items[i], nearest);
    }
    arguments_free(&arguments);
    return command_end(status);
}
