#include "commands/study_command.h"

#include <stdio.h>
#include <string.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "jobs/artifact.h"
#include "jobs/watch.h"

Status load_plan(const CommonFlags *common, const Arguments *arguments, StageId last, Study **study, Plan **plan)
{
    *study = NULL;
    *plan = NULL;
    TRY(study_read(arguments->items[0], arguments->overrides, arguments->override_count, study));
    return plan_study(common, *study, last, plan);
}

Status plan_study(const CommonFlags *common, const Study *study, StageId last, Plan **plan)
{
    *plan = NULL;
    char *work = path_absolute(plan_work_directory(common->work, study));
    if (work == NULL) return status_no_memory(0, "a path");
    PlanOptions options = {.work = work, .lookup = stage_get, .last = last};
    Status status = plan_create(study, &options, plan);
    memory_free(work);
    return status;
}

const char *default_work(const CommonFlags *common)
{
    return plan_work_directory(common->work, NULL);
}

bool is_study_file(const char *argument)
{
    size_t length = strlen(argument);
    return length >= 5 && strcmp(argument + length - 5, ".yaml") == 0;
}

Status find_study(const CommonFlags *common, const Arguments *arguments, const char *path, char **name, char **work)
{
    Study *study;
    *name = *work = NULL;
    TRY(study_read(path, arguments->overrides, arguments->override_count, &study));
    *name = memory_copy_string(study->name);
    *work = memory_copy_string(plan_work_directory(common->work, study));
    study_destroy(study);
    return *name != NULL && *work != NULL ? OK : status_no_memory(strlen(path), "a name");
}

/* A name with a slip in it is nobody's study: a request for it would wait for ever. */
static Status check_known(const char *work, const char *name)
{
    char *directory = study_directory(work, name);
    if (directory == NULL) return status_no_memory(strlen(name), "a path");
    bool known = *name != '\0' && *name != '.' && strchr(name, '/') == NULL && file_exists(directory);
    memory_free(directory);
    return known ? OK
                 : status_error(STATUS_NOT_FOUND, "no study '%s' in %s: name its STUDY.yaml, or its work directory by --work",
                                name, work);
}

Status find_named_study(const CommonFlags *common, const Arguments *arguments, char **name, char **work)
{
    const char *argument = arguments->items[0];
    if (is_study_file(argument)) return find_study(common, arguments, argument, name, work);
    *name = memory_copy_string(argument);
    *work = memory_copy_string(default_work(common));
    if (*name == NULL || *work == NULL) return status_no_memory(strlen(argument), "a name");
    return check_known(*work, argument);
}

Status follow_study(const char *work, const char *name, bool quiet)
{
    WatchSummary summary;
    char *holder = NULL;
    bool live;
    TRY(runner_find(work, &live, &holder));
    if (!quiet && live)
        fprintf(stderr, "watching %s, run by %s; Ctrl-C ends only the watching\n", name, holder != NULL ? holder : "another process");
    memory_free(holder);
    TRY(watch_study(work, name, quiet, &summary));
    if (!quiet)
        fprintf(stderr, "%s: %lld of %lld jobs done%s\n", name, summary.done, summary.needed,
                summary.done == summary.needed ? "" : summary.seen ? "; its runner is gone" : "; no runner is at work");
    return OK;
}

const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}
