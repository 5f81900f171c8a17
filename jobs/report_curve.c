#include "jobs/report_curve.h"

#include <math.h>
#include <string.h>

#include "framework/memory.h"
#include "jobs/artifact.h"
#include "models/metrics/statistics.h"

/* Members of "curve" in metrics.json, with what heads their columns. */
static const struct { const char *key, *heading; } VALUES[] = {{"panoptic.pq.seen", "PQ seen"},
                                                               {"panoptic.pq.unseen", "PQ unseen"},
                                                               {"semantic.miou.seen", "mIoU seen"},
                                                               {"semantic.miou.unseen", "mIoU unseen"}};
enum { VALUE_COUNT = sizeof VALUES / sizeof VALUES[0] };

/* The curves of one group's finished trials. */
typedef struct GroupCurves {
    const char *group;
    const Json **curves; /* [count], of the metrics below */
    Json **metrics;
    size_t count;
    double *numbers;     /* [count], of one point */
} GroupCurves;

static void curves_clear(GroupCurves *curves)
{
    for (size_t i = 0; i < curves->count; i++)
        json_destroy(curves->metrics[i]);
    memory_free(curves->metrics);
    memory_free(curves->curves);
    memory_free(curves->numbers);
}

static size_t stop_count(const Json *curve)
{
    return json_member(curve, "bias")->count;
}

/* The first and last bias are null: JSON has no infinity. */
static double bias_at(const Json *curve, size_t stop)
{
    const Json *bias = &json_member(curve, "bias")->items[stop];
    if (bias->type == JSON_NULL)
        return stop == 0 ? (double)-INFINITY : (double)INFINITY;
    return bias->real;
}

static bool same_biases(const Json *first, const Json *second)
{
    if (stop_count(first) != stop_count(second))
        return false;
    for (size_t i = 0; i < stop_count(first); i++)
        if (bias_at(first, i) != bias_at(second, i))
            return false;
    return true;
}

static bool is_curve(const Json *curve)
{
    const Json *bias = json_member(curve, "bias");
    bool whole = bias != NULL && bias->type == JSON_ARRAY;
    for (int v = 0; whole && v < VALUE_COUNT; v++) {
        const Json *values = json_member(curve, VALUES[v].key);
        whole = values != NULL && values->type == JSON_ARRAY && values->count == bias->count;
    }
    return whole;
}

/* Adds the trial's curve, where it has one. */
static Status add_trial(const Plan *plan, size_t trial, GroupCurves *curves)
{
    const uint32_t index = plan_trial_job(plan, trial, STAGE_EVALUATE);
    if (index == NO_JOB || plan->jobs[index].need != JOB_FINISHED)
        return OK;
    Json *metrics = NULL;
    TRY(artifact_read_metrics(plan->work, plan->jobs[index].key, &metrics));
    const Json *curve = json_member(metrics, "curve");
    if (curve == NULL) {
        json_destroy(metrics);
        return OK;
    }
    const bool whole = is_curve(curve);
    if (!whole || (curves->count > 0 && !same_biases(curves->curves[0], curve))) {
        json_destroy(metrics);
        return whole ? status_error(STATUS_INVALID, "%s: its trials have other biases of calibration.curve than each "
                                    "other, so their curves have no mean", curves->group)
                     : status_error(STATUS_CORRUPT, "metrics.json of job %s: its curve is not whole",
                                    plan->jobs[index].key);
    }
    curves->metrics[curves->count] = metrics;
    curves->curves[curves->count++] = curve;
    return OK;
}

static Status read_group(const Plan *plan, size_t group, GroupCurves *curves)
{
    const Study *study = plan->study;
    *curves = (GroupCurves){.group = study->groups[group],
                            .curves = memory_alloc_zero(study->full_count + 1, sizeof *curves->curves),
                            .metrics = memory_alloc_zero(study->full_count + 1, sizeof *curves->metrics),
                            .numbers = memory_alloc_zero(study->full_count + 1, sizeof *curves->numbers)};
    if (curves->curves == NULL || curves->metrics == NULL || curves->numbers == NULL)
        return status_no_memory(study->full_count * sizeof *curves->numbers, "the trade-off curve");
    for (size_t t = 0; t < study->full_count; t++)
        if (study->trials[t].group_index == group)
            TRY(add_trial(plan, t, curves));
    return OK;
}

static Estimate estimate(const GroupCurves *curves, size_t stop, int value)
{
    int64_t count = 0;
    for (size_t i = 0; i < curves->count; i++) {
        const Json *number = &json_member(curves->curves[i], VALUES[value].key)->items[stop];
        if (number->type == JSON_REAL || number->type == JSON_INTEGER)
            curves->numbers[count++] = number->real;
    }
    return statistics_estimate(curves->numbers, count, REPORT_CONFIDENCE);
}

static void print_cell(const Estimate *cell, ReportFormat format, FILE *out)
{
    char text[64] = "-";
    if (format == REPORT_CSV) {
        fputs(",", out);
        if (cell->count > 0)
            fprintf(out, "%.17g", cell->mean);
        fputs(",", out);
        if (cell->has_interval)
            fprintf(out, "%.17g", cell->half_width);
        return;
    }
    if (cell->has_interval)
        snprintf(text, sizeof text, "%.1f ± %.1f", 100.0 * cell->mean, 100.0 * cell->half_width);
    else if (cell->count > 0)
        snprintf(text, sizeof text, "%.1f", 100.0 * cell->mean);
    fprintf(out, "  %*s", cell->has_interval ? 14 : 13, text); /* the sign takes two bytes */
}

static void print_group(const GroupCurves *curves, ReportFormat format, FILE *out)
{
    if (format == REPORT_TABLE)
        fprintf(out, "\n%s\n", curves->group);
    for (size_t stop = 0; curves->count > 0 && stop < stop_count(curves->curves[0]); stop++) {
        const double bias = bias_at(curves->curves[0], stop);
        if (format == REPORT_CSV) {
            report_print_csv_field(out, curves->group);
            fprintf(out, ",%g,%zu", bias, curves->count);
        } else {
            fprintf(out, "%6g  %5zu", bias, curves->count);
        }
        for (int v = 0; v < VALUE_COUNT; v++) {
            const Estimate cell = estimate(curves, stop, v);
            print_cell(&cell, format, out);
        }
        fputc('\n', out);
    }
    if (format == REPORT_TABLE && curves->count == 0)
        fputs("no finished trial with a curve\n", out);
}

static void print_head(const Plan *plan, ReportFormat format, FILE *out)
{
    if (format == REPORT_CSV)
        fputs("group,bias,n", out);
    else
        fprintf(out, "%s: seen against unseen as a bias is subtracted from seen logits; mean and half the 95 %% "
                "interval over seeds, in percent\n\n  bias  seeds", plan->study->name);
    for (int v = 0; v < VALUE_COUNT; v++)
        if (format == REPORT_CSV)
            fprintf(out, ",%s.mean,%s.half_width", VALUES[v].key, VALUES[v].key);
        else
            fprintf(out, "  %13s", VALUES[v].heading);
    fputc('\n', out);
}

/* All groups are read before a word is printed: no half table stands before an error. */
static Status read_all(const Plan *plan, GroupCurves *all)
{
    size_t found = 0;
    for (size_t g = 0; g < plan->study->group_count; g++) {
        TRY(read_group(plan, g, &all[g]));
        found += all[g].count;
    }
    if (found == 0)
        return status_error(STATUS_NOT_FOUND, "%s: no finished trial has a trade-off curve; it takes an unseen class "
                            "and stops in calibration.curve", plan->study->path);
    return OK;
}

Status report_print_curve(const Plan *plan, ReportFormat format, FILE *out)
{
    if (format != REPORT_TABLE && format != REPORT_CSV)
        return status_error(STATUS_USAGE, "report: the curve is printed as --format table or csv");
    const size_t count = plan->study->group_count;
    GroupCurves *all = memory_alloc_zero(count + 1, sizeof *all);
    if (all == NULL)
        return status_no_memory(count * sizeof *all, "the trade-off curve");
    Status status = read_all(plan, all);
    if (status == OK) {
        print_head(plan, format, out);
        for (size_t g = 0; g < count; g++)
            print_group(&all[g], format, out);
    }
    for (size_t g = 0; g < count; g++)
        curves_clear(&all[g]);
    memory_free(all);
    return status;
}
