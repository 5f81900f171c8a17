#include "jobs/attempt_prepare.h"

#include <limits.h>

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

static Status write_spec(const Plan *plan, uint32_t job, const char *code, const char *directory)
{
    const PlanJob *planned = &plan->jobs[job];
    char *path = path_join(directory, SPEC_NAME);
    if (path == NULL) return no_path();
    /* The spec borrows what it is written from; nothing here is freed by it. */
    AttemptSpec spec = {.work = plan->work,
                        .key = (char *)(uintptr_t)planned->key,
                        .name = (char *)(uintptr_t)path_name(directory),
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
    Status status = attempt_spec_write(&spec, path);
    memory_free(path);
    return status;
}

Status attempt_prepare(const Plan *plan, uint32_t job, const char *code, int *number, char **directory)
{
    const PlanJob *planned = &plan->jobs[job];
    *directory = NULL;
    TRY(attempt_last_number(plan->work, planned->key, number));
    ++*number;
    char *made = attempt_directory(plan->work, planned->key, *number);
    Status status = made == NULL ? no_path() : directory_create(made);
    if (status == OK) status = write_spec(plan, job, code, made);
    if (status == OK)
        *directory = made;
    else
        memory_free(made);
    return status;
}
