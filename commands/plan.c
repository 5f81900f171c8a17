/* zeroth plan STUDY.yaml: what a run would do. */
#include <stdint.h>
#include <stdio.h>

#include "commands/study_command.h"
#include "jobs/plan_print.h"

typedef struct Choices {
    bool jobs, trials, halving, why;
    const char *job; /* with `why`: the start of its key, or NULL for all */
} Choices;

static Status print(const Plan *plan, const Choices *choices)
{
    if (choices->why) return plan_print_why(plan, choices->job, stdout);
    if (choices->jobs) plan_print_jobs(plan, stdout);
    if (choices->trials) plan_print_trials(plan, stdout);
    if (choices->halving) return plan_print_halving(plan, SIZE_MAX, stdout);
    return choices->jobs || choices->trials ? OK : plan_print(plan, stdout);
}

int command_plan(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    Choices choices = {0};
    const Flag flags[] = {{"--jobs", NULL, FLAG_SWITCH, &choices.jobs},
                          {"--trials", NULL, FLAG_SWITCH, &choices.trials},
                          {"--halving", NULL, FLAG_SWITCH, &choices.halving},
                          {"--why", NULL, FLAG_SWITCH, &choices.why}};
    Study *study = NULL;
    Plan *plan = NULL;
    Status status = flags_parse(flags, 4, &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 1, choices.why ? 2 : 1, "STUDY.yaml");
    if (status == OK && arguments.count > 1) choices.job = arguments.items[1];
    if (status == OK) status = load_plan(&common, &arguments, STAGE_COUNT, &study, &plan);
    if (status == OK) status = print(plan, &choices);
    plan_destroy(plan);
    study_destroy(study);
    arguments_free(&arguments);
    return command_end(status);
}
