/* zeroth submit STUDY.yaml: hands what is missing to Slurm, and returns. */
#include <stdio.h>

#include "commands/slurm_command.h"
#include "commands/version.h"
#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"

SyncOptions slurm_options(bool no_canary)
{
    return (SyncOptions){.lookup = stage_get, .code = version_commit(), .submit = true, .wait = true, .no_canary = no_canary};
}

bool sync_beside(const char *work, bool wait)
{
    SyncOptions options = slurm_options(false);
    SyncSummary summary = {0};
    options.wait = wait;
    char *path = path_absolute(work);
    Status status = path == NULL ? status_no_memory(0, "a path") : sync_run(path, &options, &summary);
    bool done = status == OK && summary.used;
    if (status != OK) log_status(LOG_LEVEL_WARNING, status_wrap(status, "sync with Slurm"));
    memory_free(path);
    return done;
}

void print_sync(const char *work, const SyncSummary *summary)
{
    if (summary->skipped) {
        printf("another process syncs %s now\n", work);
        return;
    }
    printf("%zu job%s sent in %zu array%s;", summary->sent, plural(summary->sent), summary->waves, plural(summary->waves));
    for (int state = 0; state < JOB_STATE_COUNT; state++)
        if (summary->states[state] > 0) printf(" %zu %s", summary->states[state], job_state_name((JobState)state));
    printf("; work directory %s\n", work);
    if (summary->note[0] != '\0') printf("%s\n", summary->note);
}

Status run_with_slurm(Plan **plan, bool no_canary, bool dry_run, bool quiet)
{
    SyncOptions options = slurm_options(no_canary);
    if (dry_run) return sync_dry_run(*plan, &options, stdout);
    for (;;) {
        bool undecided = (*plan)->undecided && (*plan)->needed > 0;
        TRY(sync_follow(*plan, &options, quiet));
        if (!undecided) return OK;
        TRY(plan_renew(plan));
    }
}

static Status submit(const Plan *plan, bool no_canary, bool dry_run, bool quiet)
{
    SyncOptions options = slurm_options(no_canary);
    if (dry_run) return sync_dry_run(plan, &options, stdout);
    SyncSummary summary;
    TRY(sync_submit(plan, &options, &summary));
    if (!quiet) print_sync(plan->work, &summary);
    if (!quiet && plan->undecided)
        printf("this is one round of its halving: submit it again when these jobs are done, or use 'zeroth run --executor slurm'\n");
    return OK;
}

int command_submit(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    const char *only = NULL;
    bool no_canary = false, dry_run = false;
    const Flag flags[] = {{"--only", NULL, FLAG_STRING, &only},
                          {"--no-canary", NULL, FLAG_SWITCH, &no_canary},
                          {"--dry-run", NULL, FLAG_SWITCH, &dry_run}};
    Study *study = NULL;
    Plan *plan = NULL;
    StageId last = STAGE_COUNT;
    Status status = flags_parse(flags, 3, &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 1, 1, "STUDY.yaml");
    if (status == OK && only != NULL && !stage_from_name(only, &last))
        status = status_error(STATUS_USAGE, "--only: no stage '%s': there are shard, backbone, extract, generator, evaluate", only);
    if (status == OK) status = load_plan(&common, &arguments, last, &study, &plan);
    if (status == OK) status = submit(plan, no_canary, dry_run, common.quiet);
    plan_destroy(plan);
    study_destroy(study);
    arguments_free(&arguments);
    return command_end(status);
}
