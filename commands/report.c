/* zeroth report: the scores of a study. */
#include <stdio.h>

#include "commands/commands.h"
#include "jobs/report.h"

static Status print_report(const Arguments *arguments, const char *work, const char *metrics, ReportFormat format)
{
    Study *study = NULL;
    Plan *plan = NULL;
    Report *report = NULL;
    Status status;
    TRY_GOTO(status, study_read(arguments->items[0], arguments->overrides, arguments->override_count, &study), done);
    PlanOptions options = {.work = plan_work_directory(work, study), .lookup = stage_get, .last = STAGE_COUNT};
    TRY_GOTO(status, plan_create(study, &options, &plan), done);
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

int command_report(int argc, char **argv)
{
    CommonFlags common = {0};
    const char *format_name = "table", *metrics = NULL;
    const Flag flags[] = {{"--format", "-f", FLAG_STRING, &format_name}, {"--metrics", "-m", FLAG_STRING, &metrics}};
    Arguments arguments;
    ReportFormat format = REPORT_TABLE;
    Status status = flags_parse(flags, 2, &common, argc, argv, &arguments);
    if (status == OK)
        status = arguments_expect(&arguments, 1, 1, "STUDY.yaml");
    if (status == OK && !report_format_from_name(format_name, &format))
        status = status_error(STATUS_USAGE, "report: --format is table, markdown, csv, latex or json, not '%s'",
                              format_name);
    if (status == OK)
        status = print_report(&arguments, common.work, metrics, format);
    arguments_free(&arguments);
    return command_end(status);
}
