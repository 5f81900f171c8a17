/* zeroth run STUDY.yaml: plans, runs what is missing, sums up. */
#include <stdio.h>

#include "commands/study_command.h"
#include "commands/version.h"
#include "framework/log.h"
#include "framework/text.h"
#include "jobs/runner.h"

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
            plan->study->trial_count, plural(plan->study->trial_count), plan->count, plural(plan->count),
            summary->finished, spent, plan->finished);
    if (summary->failed > 0) fprintf(stderr, ", %zu failed", summary->failed);
    if (summary->blocked > 0) fprintf(stderr, ", %zu blocked by them", summary->blocked);
    fprintf(stderr, "\n");
}

static Status run_plan(const Plan *plan, const CommonFlags *common, bool fail_fast)
{
    Ledger *ledger = NULL;
    Executor *executor = NULL;
    const Config *config = plan->study->trials[0].config;
    LocalLimits limits = {.cores = (int)config_integer(config, "run.cores"),
                          .memory = config_real(config, "run.host_memory"),
                          .gpus = (int)config_integer(config, "run.host_gpus")};
    TRY(ledger_open_writer(plan->work, &ledger));
    Status status = ledger_record_plan(ledger, plan);
    if (status == OK) status = executor_local_create(NULL, &limits, &executor);
    if (status == OK) {
        if (!common->quiet)
            fprintf(stderr, "%s: %zu trial%s, %zu job%s, %zu to do, in %s\n", plan->study->name,
                    plan->study->trial_count, plural(plan->study->trial_count), plan->count,
                    plural(plan->count), plan->needed, plan->work);
        RunnerOptions options = {.code = version_commit(), .fail_fast = fail_fast, .quiet = common->quiet};
        RunnerSummary summary;
        status = runner_run(plan, ledger, executor, &options, &summary);
        if (!common->quiet) print_summary(plan, &summary);
    }
    if (executor != NULL) executor->destroy(executor);
    ledger_close(ledger);
    return status;
}

int command_run(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    const char *only = NULL;
    bool fail_fast = false;
    const Flag flags[] = {{"--only", NULL, FLAG_STRING, &only}, {"--fail-fast", NULL, FLAG_SWITCH, &fail_fast}};
    Study *study = NULL;
    Plan *plan = NULL;
    StageId last;
    Status status = flags_parse(flags, 2, &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 1, 1, "STUDY.yaml");
    if (status == OK) status = read_last(only, &last);
    if (status == OK) status = load_plan(&common, &arguments, last, &study, &plan);
    if (status == OK) status = run_plan(plan, &common, fail_fast);
    plan_destroy(plan);
    study_destroy(study);
    arguments_free(&arguments);
    return command_end(status);
}
