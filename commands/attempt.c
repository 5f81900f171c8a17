/* zeroth attempt: one execution of a job; started by a runner, not by people. */
#include "commands/commands.h"
#include "commands/version.h"
#include "jobs/attempt.h"

int command_attempt(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    Status status = flags_parse(NULL, 0, &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 1, 1, "SPEC.json");
    if (status == OK) status = attempt_run(arguments.items[0], stage_get, version_commit());
    arguments_free(&arguments);
    return command_end(status);
}
