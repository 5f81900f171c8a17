/* zeroth watch STUDY: follows a study that another process runs. */
#include <stdio.h>

#include "commands/study_command.h"
#include "framework/memory.h"
#include "jobs/watch.h"

int command_watch(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    char *name = NULL, *work = NULL;
    Status status = flags_parse(NULL, 0, &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 1, 1, "STUDY");
    if (status == OK) status = find_named_study(&common, &arguments, &name, &work);
    if (status == OK) status = follow_study(work, name, common.quiet);
    memory_free(work);
    memory_free(name);
    arguments_free(&arguments);
    return command_end(status);
}
