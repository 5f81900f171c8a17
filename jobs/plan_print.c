#include "jobs/plan_print.h"

#include <string.h>

#include "framework/text.h"
#include "jobs/halving.h"
#include "jobs/plan_estimate.h"
#include "jobs/plan_why.h"

#define MOST_VERDICTS 20
#define VARIES "varies"

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

void plan_print_jobs(const Plan *plan, FILE *out)
{
    for (size_t i = 0; i < plan->count; i++) {
        const PlanJob *job = &plan->jobs[i];
        fprintf(out, "%-9s  %.*s  %-10s  %u trial%s  %s\n", stage_name(job->stage), KEY_SHOWN, job->key,
                job_need_name(job->need), job->trials, job->trials == 1 ? " " : "s",
                plan->study->trials[job->first_trial].group);
    }
}

void plan_print_trials(const Plan *plan, FILE *out)
{
    for (size_t i = 0; i < plan->study->trial_count; i++) {
        const Trial *trial = &plan->study->trials[i];
        fprintf(out, "%4zu  %-24s seed %lld ", i, trial->group, (long long)trial->seed);
        for (int stage = 0; stage < STAGE_COUNT; stage++) {
            uint32_t job = plan_trial_job(plan, i, (StageId)stage);
            if (job != NO_JOB)
                fprintf(out, " %s %.*s", stage_name((StageId)stage), KEY_SHOWN, plan->jobs[job].key);
        }
        fprintf(out, "\n");
    }
}

/* The table ----------------------------------------------------------------------- */

typedef struct StageRow {
    size_t shared, finished;
    char cores[24], memory[24], gpus[24], limit[24];
} StageRow;

/* What all jobs of a stage have in common, or that it varies. */
static void set_common(char *cell, size_t size, bool first, const char *text)
{
    snprintf(cell, size, "%s", first || strcmp(cell, text) == 0 ? text : VARIES);
}

static void size_text(double bytes, char *out, size_t size)
{
    const double gib = 1024.0 * 1024 * 1024;
    if (bytes <= 0)
        snprintf(out, size, "-");
    else if (bytes >= gib)
        snprintf(out, size, "%.4gG", bytes / gib);
    else
        snprintf(out, size, "%.4gM", bytes / (1024.0 * 1024));
}

static void add_resources(StageRow *row, bool first, const JobResources *resources)
{
    char text[24];
    snprintf(text, sizeof text, "%d x %d", resources->ranks, resources->threads);
    set_common(row->cores, sizeof row->cores, first, text);
    size_text(resources->memory, text, sizeof text);
    set_common(row->memory, sizeof row->memory, first, text);
    snprintf(text, sizeof text, resources->gpus > 0 ? "%d" : "-", resources->gpus);
    set_common(row->gpus, sizeof row->gpus, first, text);
    snprintf(text, sizeof text, "-");
    if (resources->time > 0) text_duration(resources->time, text, sizeof text);
    set_common(row->limit, sizeof row->limit, first, text);
}

static void gather_rows(const Plan *plan, StageRow rows[STAGE_COUNT])
{
    size_t seen[STAGE_COUNT] = {0};
    memset(rows, 0, STAGE_COUNT * sizeof *rows);
    for (size_t i = 0; i < plan->count; i++) {
        const PlanJob *job = &plan->jobs[i];
        StageRow *row = &rows[job->stage];
        row->shared += job->trials > 1;
        row->finished += job->need == JOB_FINISHED;
        add_resources(row, seen[job->stage]++ == 0, &job->resources);
    }
}

static void print_table(const Plan *plan, const PlanEstimate *estimate, FILE *out)
{
    StageRow rows[STAGE_COUNT];
    gather_rows(plan, rows);
    fprintf(out, "%-10s %7s %8s %9s %7s  %15s %8s %6s %8s %8s %10s\n", "stage", "jobs", "shared", "finished", "to do",
            "ranks x threads", "memory", "GPUs", "limit", "each", "core-hours");
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        const StageEstimate *times = &estimate->stages[stage];
        char each[16] = "-", hours[24] = "-";
        if (plan->stage_count[stage] == 0) continue;
        if (times->jobs > 0 && times->known) {
            text_duration(times->seconds / (double)times->jobs, each, sizeof each);
            snprintf(hours, sizeof hours, "%.2f", times->core_seconds / 3600);
        } else if (times->jobs > 0) {
            strcpy(each, "unknown");
            strcpy(hours, "unknown");
        }
        fprintf(out, "%-10s %7zu %8zu %9zu %7zu  %15s %8s %6s %8s %8s %10s\n", stage_name((StageId)stage),
                plan->stage_count[stage], rows[stage].shared, rows[stage].finished, plan->stage_needed[stage],
                rows[stage].cores, rows[stage].memory, rows[stage].gpus, rows[stage].limit, each, hours);
    }
}

static void print_sum(const Plan *plan, FILE *out)
{
    const Study *study = plan->study;
    size_t counts[JOB_NEED_COUNT] = {0};
    for (size_t i = 0; i < plan->count; i++) counts[plan->jobs[i].need]++;
    fprintf(out, "\n%s: %zu trial%s", study->name, study->full_count, plural(study->full_count));
    if (study->trial_count > study->full_count)
        fprintf(out, " and %zu shorter ones of halving", study->trial_count - study->full_count);
    if (study->duplicates > 0) fprintf(out, " (%zu equal ones left out)", study->duplicates);
    if (study->excluded > 0) fprintf(out, " (%zu excluded)", study->excluded);
    fprintf(out, ", %zu job%s: %zu finished, %zu to do", plan->count, plural(plan->count), plan->finished,
            plan->needed);
    if (counts[JOB_LATER] > 0) fprintf(out, ", %zu for later rungs", counts[JOB_LATER]);
    if (counts[JOB_SKIPPED] > 0) fprintf(out, ", %zu skipped", counts[JOB_SKIPPED]);
    if (counts[JOB_UNNEEDED] > 0) fprintf(out, ", %zu no longer needed", counts[JOB_UNNEEDED]);
    fprintf(out, "; work directory %s\n", plan->work);
}

static void print_estimate(const Plan *plan, const PlanEstimate *estimate, FILE *out)
{
    char here[16];
    double gpus = 0;
    if (plan->needed == 0) return;
    for (size_t i = 0; i < plan->count; i++)
        if (plan->jobs[i].need == JOB_NEEDED) gpus += plan->jobs[i].resources.gpus;
    text_duration(estimate->seconds, here, sizeof here);
    if (estimate->unknown < plan->needed) {
        fprintf(out, "estimate by earlier jobs: %s%.2f core-hours", estimate->unknown > 0 ? "at least " : "",
                estimate->core_seconds / 3600);
        if (gpus > 0) fprintf(out, ", %.2f GPU-hours", estimate->gpu_seconds / 3600);
        fprintf(out, ", %s%s on %d core%s here", estimate->unknown > 0 ? "at least " : "", here, estimate->host.cores,
                plural((size_t)estimate->host.cores));
    } else {
        fprintf(out, "estimate: unknown, for no job of these stages has finished in this work directory");
    }
    bool first = true;
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        if (estimate->unknown < plan->needed && estimate->stages[stage].jobs > 0 && !estimate->stages[stage].known) {
            fprintf(out, first ? "; unknown for %s" : ", %s", stage_name((StageId)stage));
            first = false;
        }
    fprintf(out, "%s\n", plan->undecided ? "; later rungs not counted" : "");
}

Status plan_print(const Plan *plan, FILE *out)
{
    PlanEstimate estimate;
    TRY(plan_estimate(plan, &estimate));
    print_table(plan, &estimate, out);
    print_sum(plan, out);
    print_estimate(plan, &estimate, out);
    return plan->halving != NULL ? plan_print_halving(plan, MOST_VERDICTS, out) : OK;
}

/* Halving and reasons ----------------------------------------------------------------- */

Status plan_print_halving(const Plan *plan, size_t most, FILE *out)
{
    const Study *study = plan->study;
    const Halving *halving = plan->halving;
    if (halving == NULL) {
        fprintf(out, "%s: a study without halving\n", study->name);
        return OK;
    }
    fprintf(out, "\nhalving by %s (the %s the better) over %s, now in rung %d of %d:\n", study->halving.metric,
            study->halving.maximize ? "larger" : "smaller", study->halving.key, halving->rung + 1,
            study->halving.rungs);
    for (size_t group = 0; group < study->group_count && group < most; group++) {
        Text text = {0};
        halving_describe(halving, group, &text);
        if (!text.failed) fprintf(out, "  %s: %s\n", study->groups[group], text_string(&text));
        bool failed = text.failed;
        text_free(&text);
        if (failed) return status_no_memory(0, "a plan");
    }
    if (study->group_count > most)
        fprintf(out, "  and %zu more groups: 'zeroth plan %s --halving' shows all\n", study->group_count - most,
                study->path);
    return OK;
}

static Status print_reason(PlanWhy *why, const Plan *plan, uint32_t index, bool whole, FILE *out)
{
    const PlanJob *job = &plan->jobs[index];
    Text text = {0};
    Status status = plan_why_tell(why, index, whole, &text);
    if (status == OK)
        fprintf(out, "%-9s  %.*s  %s%s%s\n", stage_name(job->stage), KEY_SHOWN, job->key,
                whole ? plan->study->trials[job->first_trial].group : "", whole ? ": " : "", text_string(&text));
    text_free(&text);
    return status;
}

Status plan_print_why(const Plan *plan, const char *prefix, FILE *out)
{
    PlanWhy *why;
    uint32_t job = NO_JOB;
    if (prefix != NULL) TRY(plan_find_job(plan, prefix, &job));
    TRY(plan_why_create(plan, &why));
    Status status = job != NO_JOB ? print_reason(why, plan, job, true, out) : OK;
    for (uint32_t i = 0; job == NO_JOB && i < plan->count && status == OK; i++)
        if (plan->jobs[i].need == JOB_NEEDED) status = print_reason(why, plan, i, false, out);
    plan_why_destroy(why);
    return status;
}
