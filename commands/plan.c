/* zeroth plan STUDY.yaml: what a run would do. */
#include <stdio.h>

#include "commands/study_command.h"

static const char *need_name(JobNeed need)
{
    return need == JOB_FINISHED ? "finished" : need == JOB_NEEDED ? "to do" : "not needed";
}

static void print_jobs(const Plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        const PlanJob *job = &plan->jobs[i];
        printf("%-9s  %.*s  %-10s  %u trial%s  %s\n", stage_name(job->stage), KEY_SHOWN, job->key, need_name(job->need),
               job->trials, job->trials == 1 ? " " : "s", plan->study->trials[job->first_trial].group);
    }
}

static void print_trials(const Plan *plan)
{
    for (size_t i = 0; i < plan->study->trial_count; i++) {
        const Trial *trial = &plan->study->trials[i];
        printf("%4zu  %-24s seed %lld ", i, trial->group, (long long)trial->seed);
        for (int stage = 0; stage < STAGE_COUNT; stage++) {
            uint32_t job = plan_trial_job(plan, i, (StageId)stage);
            if (job != NO_JOB) printf(" %s %.*s", stage_name((StageId)stage), KEY_SHOWN, plan->jobs[job].key);
        }
        printf("\n");
    }
}

static void print_stages(const Plan *plan)
{
    size_t unneeded = 0;
    printf("%-10s %8s %8s %8s\n", "stage", "jobs", "to do", "trials");
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        if (plan->stage_count[stage] > 0)
            printf("%-10s %8zu %8zu %8zu\n", stage_name((StageId)stage), plan->stage_count[stage],
                   plan->stage_needed[stage], plan->study->trial_count);
    for (size_t i = 0; i < plan->count; i++) unneeded += plan->jobs[i].need == JOB_UNNEEDED;
    printf("\n%s: %zu trial%s", plan->study->name, plan->study->trial_count, plural(plan->study->trial_count));
    if (plan->study->duplicates > 0) printf(" (%zu equal ones left out)", plan->study->duplicates);
    if (plan->study->excluded > 0) printf(" (%zu excluded)", plan->study->excluded);
    printf(", %zu job%s: %zu finished, %zu to do", plan->count, plural(plan->count), plan->finished, plan->needed);
    if (unneeded > 0) printf(", %zu no longer needed", unneeded);
    printf("; work directory %s\n", plan->work);
}

int command_plan(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    bool jobs = false, trials = false;
    const Flag flags[] = {{"--jobs", NULL, FLAG_SWITCH, &jobs}, {"--trials", NULL, FLAG_SWITCH, &trials}};
    Study *study = NULL;
    Plan *plan = NULL;
    Status status = flags_parse(flags, 2, &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 1, 1, "STUDY.yaml");
    if (status == OK) status = load_plan(&common, &arguments, STAGE_COUNT, &study, &plan);
    if (status == OK) {
        if (jobs) print_jobs(plan);
        if (trials) print_trials(plan);
        if (!jobs && !trials) print_stages(plan);
    }
    plan_destroy(plan);
    study_destroy(study);
    arguments_free(&arguments);
    return command_end(status);
}
