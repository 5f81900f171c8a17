#include "jobs/attempt_prepare.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/artifact.h"

static Status no_path(void)
{
    return status_no_memory(0, "a path");
}

Status attempt_last_number(const char *work, const char *key, int *number)
{
    char *run = run_directory(work, key), **names = NULL;
    size_t count = 0;
    *number = 0;
    if (run == NULL) return no_path();
    Status status = directory_list(run, &names, &count);
    memory_free(run);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        return OK;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t value;
        if (parse_integer(names[i], &value) && value > *number && value < INT_MAX) *number = (int)value;
    }
    names_free(names, count);
    return status;
}

Status attempt_write_spec(const Plan *plan, uint32_t job, const char *code, const char *name, const char *path)
{
    const PlanJob *planned = &plan->jobs[job];
    /* The spec borrows what it is written from; nothing here is freed by it. */
    AttemptSpec spec = {.work = plan->work,
                        .key = (char *)(uintptr_t)planned->key,
                        .name = (char *)(uintptr_t)name,
                        .code = (char *)(uintptr_t)code,
                        .stage = planned->stage,
                        .version = planned->definition->version,
                        .config = (Config *)(uintptr_t)planned->config,
                        .fingerprint = (char *)(uintptr_t)planned->fingerprint,
                        .threads = planned->resources.threads,
                        .ranks = planned->resources.ranks,
                        .checkpoint_seconds = config_real(planned->config, "run.checkpoint_seconds"),
                        .time_limit = planned->resources.time};
    for (int input = 0; input < STAGE_COUNT; input++)
        if (planned->inputs[input] != NO_JOB) spec.inputs[input] = plan->jobs[planned->inputs[input]].key;
    return attempt_spec_write(&spec, path);
}

/* mkdir(2) itself decides between two that would take the same number. */
static Status make_next(const char *run, int *number, char **directory)
{
    for (;; ++*number) {
        char *made = memory_format("%s/%04d", run, *number);
        if (made == NULL) return no_path();
        if (mkdir(made, 0777) == 0) {
            *directory = made;
            return OK;
        }
        Status status = errno != EEXIST ? status_errno(errno, "create directory", made) : OK;
        memory_free(made);
        TRY(status);
    }
}

Status attempt_make_directory(const char *work, const char *key, int *number, char **directory)
{
    *directory = NULL;
    TRY(attempt_last_number(work, key, number));
    ++*number;
    char *run = run_directory(work, key);
    Status status = run == NULL ? no_path() : directory_create(run);
    if (status == OK) status = make_next(run, number, directory);
    memory_free(run);
    return status;
}

Status attempt_prepare(const Plan *plan, uint32_t job, const char *code, int *number, char **directory)
{
    TRY(attempt_make_directory(plan->work, plan->jobs[job].key, number, directory));
    char *path = path_join(*directory, SPEC_NAME);
    Status status = path == NULL ? no_path() : attempt_write_spec(plan, job, code, path_name(*directory), path);
    memory_free(path);
    if (status != OK) {
        memory_free(*directory);
        *directory = NULL;
    }
    return status;
}
