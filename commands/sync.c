/* zeroth sync, and what runs inside a Slurm job. */
#include <stdio.h>

#include "commands/slurm_command.h"
#include "commands/version.h"
#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/slurm_task.h"

static Status sync_work(const char *work, bool no_canary, bool quiet)
{
    SyncOptions options = slurm_options(no_canary);
    SyncSummary summary;
    char *path = path_absolute(work);
    if (path == NULL) return status_no_memory(0, "a path");
    Status status = sync_run(path, &options, &summary);
    if (status == OK && !summary.used)
        status = status_error(STATUS_NOT_FOUND, "%s: nothing was ever submitted from there: 'zeroth submit STUDY.yaml' does", path);
    if (status == OK && !quiet) print_sync(path, &summary);
    memory_free(path);
    return status;
}

int command_sync(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    bool no_canary = false;
    const Flag flags[] = {{"--no-canary", NULL, FLAG_SWITCH, &no_canary}};
    char *name = NULL, *work = NULL;
    Status status = flags_parse(flags, 1, &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 0, 1, "STUDY");
    if (status == OK && arguments.count > 0) status = find_named_study(&common, &arguments, &name, &work);
    if (status == OK) status = sync_work(work != NULL ? work : default_work(&common), no_canary, common.quiet);
    memory_free(work);
    memory_free(name);
    arguments_free(&arguments);
    return command_end(status);
}

int command_task(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    int64_t index = 0;
    Status status = flags_parse(NULL, 0, &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 2, 2, "WAVE INDEX");
    if (status == OK && !parse_integer(arguments.items[1], &index))
        status = status_error(STATUS_USAGE, "task: '%s' is no index", arguments.items[1]);
    if (status == OK) status = slurm_task_run(arguments.items[0], index, stage_get, version_commit());
    arguments_free(&arguments);
    return command_end(status);
}
