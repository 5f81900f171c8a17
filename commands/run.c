/* zeroth run STUDY.yaml: plans, runs what is missing, sums up. */
#include <stdio.h>
#include <string.h>

#include "commands/slurm_command.h"
#include "commands/version.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/runner.h"

typedef struct RunFlags {
    const char *only;
    int64_t jobs;
    const char *executor;
    bool fail_fast, keep_going, watch, no_canary, dry_run;
} RunFlags;

static Status read_last(const char *name, StageId *last)
{
    *last = STAGE_COUNT;
    if (name == NULL || stage_from_name(name, last)) return OK;
    return status_error(STATUS_USAGE, "--only: no stage '%s': there are shard, backbone, extract, generator, evaluate", name);
}

static void print_summary(const Plan *plan, const RunnerSummary *summary)
{
    char spent[16];
    text_duration(summary->seconds, spent, sizeof spent);
    fprintf(stderr, "%s: %zu trial%s, %zu job%s: %zu run in %s, %zu finished before", plan->study->name,
            plan->study->full_count, plural(plan->study->full_count), plan->count, plural(plan->count),
            summary->finished, spent, plan->finished);
    if (summary->failed > 0) fprintf(stderr, ", %zu failed", summary->failed);
    if (summary->left_out > 0) fprintf(stderr, ", %zu left out", summary->left_out);
    if (summary->blocked > 0) fprintf(stderr, ", %zu blocked by them", summary->blocked);
    if (summary->cancelled > 0) fprintf(stderr, ", %zu cancelled", summary->cancelled);
    if (summary->paused > 0) fprintf(stderr, ", %zu paused", summary->paused);
    fprintf(stderr, "\n");
}

/* `*more` tells that what was done decides about more: a study with halving is to be planned again. */
static Status run_plan(const Plan *plan, Ledger *ledger, const CommonFlags *common, const RunFlags *flags, bool *more)
{
    Executor *executor = NULL;
    const Config *config = plan->study->trials[0].config;
    LocalLimits limits = {.cores = (int)config_integer(config, "run.cores"),
                          .memory = config_real(config, "run.host_memory"),
                          .gpus = (int)config_integer(config, "run.host_gpus")};
    int64_t jobs = flags->jobs > 0 ? flags->jobs : config_integer(config, "run.jobs");
    TRY(executor_allocation_present() ? executor_allocation_create(NULL, config_string(config, "slurm.mpi"), &executor)
                                      : executor_local_create(NULL, &limits, &executor));
    if (!common->quiet)
        fprintf(stderr, "%s: %zu trial%s, %zu job%s, %zu to do, in %s\n", plan->study->name, plan->study->full_count,
                plural(plan->study->full_count), plan->count, plural(plan->count), plan->needed, plan->work);
    RunnerOptions options = {.code = version_commit(), .jobs = (int)jobs, .fail_fast = flags->fail_fast,
                             .keep_going = flags->keep_going, .quiet = common->quiet};
    RunnerSummary summary;
    Status status = runner_run(plan, ledger, executor, &options, &summary);
    if (!common->quiet) print_summary(plan, &summary);
    executor->destroy(executor);
    *more = status == OK && plan->undecided && summary.finished > 0;
    return status;
}

/* The writer's place; where another process has it, `*followed` tells that the run was followed instead. */
static Status open_ledger(const Study *study, const char *work, const CommonFlags *common, const RunFlags *flags,
                          Ledger **ledger, bool *followed)
{
    Status status = ledger_open_writer(work, ledger);
    *followed = false;
    if (status_code(status) != STATUS_LOCKED) return status;
    if (!flags->watch) {
        Status told = status_error(STATUS_LOCKED, "%s; 'zeroth watch %s' follows it", status_message(status), study->path);
        status_free(status);
        return told;
    }
    status_free(status);
    *followed = true;
    return follow_study(work, study->name, common->quiet);
}

static Status run_study(const CommonFlags *common, const Arguments *arguments, const RunFlags *flags)
{
    Study *study = NULL;
    Plan *plan = NULL;
    Ledger *ledger = NULL;
    StageId last;
    bool followed = false, more = false;
    TRY(read_last(flags->only, &last));
    Status status = load_plan(common, arguments, last, &study, &plan);
    bool slurm = flags->executor != NULL && strcmp(flags->executor, "slurm") == 0;
    if (status == OK && slurm) status = run_with_slurm(&plan, flags->no_canary, flags->dry_run, common->quiet);
    if (status == OK && !slurm) status = open_ledger(study, plan->work, common, flags, &ledger, &followed);
    if (status == OK && !slurm && !followed) status = run_plan(plan, ledger, common, flags, &more);
    while (status == OK && more) { /* the study as it was read: nobody's edits come in between */
        status = plan_renew(&plan);
        if (status == OK) status = run_plan(plan, ledger, common, flags, &more);
    }
    ledger_close(ledger);
    plan_destroy(plan);
    study_destroy(study);
    return status;
}

static Status check_executor(const RunFlags *flags)
{
    bool slurm = flags->executor != NULL && strcmp(flags->executor, "slurm") == 0;
    if (flags->executor != NULL && !slurm && strcmp(flags->executor, "local") != 0)
        return status_error(STATUS_USAGE, "--executor: no executor '%s': there are local and slurm", flags->executor);
    if (!slurm && (flags->dry_run || flags->no_canary))
        return status_error(STATUS_USAGE, "%s is for --executor slurm: 'zeroth plan' shows what a local run would do",
                            flags->dry_run ? "--dry-run" : "--no-canary");
    return OK;
}

int command_run(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    RunFlags run = {0};
    const Flag flags[] = {{"--only", NULL, FLAG_STRING, &run.only},
                          {"--jobs", "-j", FLAG_INTEGER, &run.jobs},
                          {"--fail-fast", NULL, FLAG_SWITCH, &run.fail_fast},
                          {"--keep-going", "-k", FLAG_SWITCH, &run.keep_going},
                          {"--executor", NULL, FLAG_STRING, &run.executor},
                          {"--no-canary", NULL, FLAG_SWITCH, &run.no_canary},
                          {"--dry-run", NULL, FLAG_SWITCH, &run.dry_run},
                          {"--watch", NULL, FLAG_SWITCH, &run.watch}};
    Status status = flags_parse(flags, sizeof flags / sizeof flags[0], &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 1, 1, "STUDY.yaml");
    if (status == OK && (run.jobs < 0 || run.jobs > 100000))
        status = status_error(STATUS_USAGE, "--jobs: a number of jobs from 1 to 100000, or 0 for as many as fit");
    if (status == OK) status = check_executor(&run);
    if (status == OK) status = run_study(&common, &arguments, &run);
    arguments_free(&arguments);
    return command_end(status);
}
