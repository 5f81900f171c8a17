/* zeroth report: the scores of a study. */
#include <stdio.h>
#include <string.h>

#include "commands/slurm_command.h"
#include "commands/study_command.h"
#include "dashboards/html_report.h"
#include "framework/memory.h"
#include "jobs/artifact.h"
#include "jobs/report.h"
#include "jobs/report_curve.h"

/* One line per finished trial: group, seed, directory of its model, pictures and numbers. */
static Status print_models(const Plan *plan)
{
    for (size_t t = 0; t < plan->study->full_count; t++) {
        const Trial *trial = &plan->study->trials[t];
        const PlanJob *job = &plan->jobs[plan_trial_job(plan, t, STAGE_EVALUATE)];
        if (job->need != JOB_FINISHED)
            continue;
        char *directory = artifact_directory(plan->work, job->key);
        if (directory == NULL)
            return status_no_memory(256, "a path");
        printf("%s\t%lld\t%s\n", trial->group, (long long)trial->seed, directory);
        memory_free(directory);
    }
    return OK;
}

static Status print_report(const Arguments *arguments, const char *work, const char *metrics, ReportFormat format,
                           bool models, bool curve)
{
    Study *study = NULL;
    Plan *plan = NULL;
    Report *report = NULL;
    Status status;
    TRY_GOTO(status, study_read(arguments->items[0], arguments->overrides, arguments->override_count, &study), done);
    PlanOptions options = {.work = plan_work_directory(work, study), .lookup = stage_get, .last = STAGE_COUNT};
    sync_beside(options.work, false);
    TRY_GOTO(status, plan_create(study, &options, &plan), done);
    if (models) {
        status = print_models(plan);
        goto done;
    }
    if (curve) {
        status = report_print_curve(plan, format, stdout);
        goto done;
    }
    TRY_GOTO(status, report_create(plan, metrics, &report), done);
    status = report_print(report, format, stdout);
done:
    report_destroy(report);
    if (plan != NULL)
        plan_destroy(plan);
    if (study != NULL)
        study_destroy(study);
    return status;
}

/* The page of the dashboard in one file, as the ledger knows the study. */
static Status print_html(const CommonFlags *common, const Arguments *arguments)
{
    char *name, *work;
    Status status = find_study(common, arguments, arguments->items[0], &name, &work);
    if (status == OK) status = html_report_print(work, name, stdout);
    memory_free(name);
    memory_free(work);
    return status;
}

int command_report(int argc, char **argv)
{
    CommonFlags common = {0};
    const char *format_name = "table", *metrics = NULL;
    bool models = false, curve = false;
    const Flag flags[] = {{"--format", "-f", FLAG_STRING, &format_name},
                          {"--metrics", "-m", FLAG_STRING, &metrics},
                          {"--models", NULL, FLAG_SWITCH, &models},
                          {"--curve", NULL, FLAG_SWITCH, &curve}};
    Arguments arguments;
    ReportFormat format = REPORT_TABLE;
    Status status = flags_parse(flags, 4, &common, argc, argv, &arguments);
    if (status == OK)
        status = arguments_expect(&arguments, 1, 1, "STUDY.yaml");
    bool html = strcmp(format_name, "html") == 0;
    if (status == OK && !html && !report_format_from_name(format_name, &format))
        status = status_error(STATUS_USAGE, "report: --format is table, markdown, csv, latex, json or html, not '%s'",
                              format_name);
    if (status == OK && html && curve)
        status = status_error(STATUS_USAGE, "report: --curve is printed as --format table or csv, not html");
    if (status == OK && html)
        status = print_html(&common, &arguments);
    else if (status == OK)
        status = print_report(&arguments, common.work, metrics, format, models, curve);
    arguments_free(&arguments);
    return command_end(status);
}
