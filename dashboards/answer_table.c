/* The table of variants: per group and metric the mean over seeds and its interval, and the difference to a baseline,
 * paired over the seeds that both have. */
#include <math.h>
#include <string.h>

#include "dashboards/endpoints_private.h"
#include "jobs/report.h"

#define QUANTILES 128

typedef struct Table {
    const View *view;
    uint32_t *order, *start;      /* trials of group g: order[start[g] .. start[g + 1]) */
    double *values;               /* room for the largest group */
    double quantiles[QUANTILES];  /* Student's t by degrees of freedom; 0: not computed yet */
    int *metrics;                 /* places in the view's metrics, or -1 */
    const char **names;
    size_t metric_count;
    char *list;                   /* that `names` point into */
} Table;

static void table_clear(Table *table)
{
    memory_free(table->order);
    memory_free(table->start);
    memory_free(table->values);
    memory_free(table->metrics);
    memory_free(table->names);
    memory_free(table->list);
}

static Estimate estimate(Table *table, int64_t count)
{
    double t = 0;
    if (count >= 2 && count - 1 < QUANTILES) {
        double *slot = &table->quantiles[count - 1];
        if (*slot == 0) *slot = statistics_t_quantile(0.5 + 0.5 * REPORT_CONFIDENCE, (double)(count - 1));
        t = *slot;
    } else if (count >= 2) {
        t = statistics_t_quantile(0.5 + 0.5 * REPORT_CONFIDENCE, (double)(count - 1));
    }
    return statistics_estimate_at(table->values, count, t);
}

/* Over the group's trials that have the metric. */
static Estimate group_estimate(Table *table, uint32_t group, int metric)
{
    int64_t count = 0;
    for (uint32_t i = table->start[group]; i < table->start[group + 1]; i++) {
        double value = view_result(table->view, table->order[i], metric);
        if (isfinite(value)) table->values[count++] = value;
    }
    return estimate(table, count);
}

/* Of the differences between trials of the same seed. */
static Estimate paired_estimate(Table *table, uint32_t group, uint32_t baseline, int metric)
{
    const View *view = table->view;
    int64_t count = 0;
    for (uint32_t i = table->start[group]; i < table->start[group + 1]; i++) {
        double value = view_result(view, table->order[i], metric);
        if (!isfinite(value)) continue;
        for (uint32_t k = table->start[baseline]; k < table->start[baseline + 1]; k++) {
            double other = view_result(view, table->order[k], metric);
            if (view->trials[table->order[k]].seed != view->trials[table->order[i]].seed || !isfinite(other)) continue;
            table->values[count++] = value - other;
            break;
        }
    }
    return estimate(table, count);
}

static Status sort_trials(Table *table)
{
    const View *view = table->view;
    uint32_t largest = 0;
    table->start = memory_alloc_zero(view->group_count + 2, sizeof *table->start);
    table->order = memory_alloc_zero(view->trial_count + 1, sizeof *table->order);
    if (table->start == NULL || table->order == NULL) return status_no_memory(view->trial_count * 4, "the table");
    for (size_t g = 0; g < view->group_count; g++) {
        table->start[g + 1] = table->start[g] + view->groups[g].trials;
        if (view->groups[g].trials > largest) largest = view->groups[g].trials;
    }
    table->values = memory_alloc_zero((size_t)largest + 1, sizeof *table->values);
    uint32_t *next = memory_alloc_zero(view->group_count + 1, sizeof *next);
    if (table->values == NULL || next == NULL) {
        memory_free(next);
        return status_no_memory(largest * sizeof *table->values, "the table");
    }
    for (size_t t = 0; t < view->trial_count; t++) {
        uint32_t group = view->trials[t].group_index;
        table->order[table->start[group] + next[group]++] = (uint32_t)t;
    }
    memory_free(next);
    return OK;
}

/* Those named in `list`, or all. */
static Status choose_metrics(Table *table, const char *list)
{
    const View *view = table->view;
    size_t most = view->metric_count + (list != NULL ? strlen(list) : 0) + 1;
    table->metrics = memory_alloc_zero(most, sizeof *table->metrics);
    table->names = memory_alloc_zero(most, sizeof *table->names);
    table->list = memory_copy_string(list != NULL ? list : "");
    if (table->metrics == NULL || table->names == NULL || table->list == NULL)
        return status_no_memory(most * sizeof *table->names, "the table");
    for (size_t i = 0; list == NULL && i < view->metric_count; i++) {
        table->names[table->metric_count] = view->metrics[i];
        table->metrics[table->metric_count++] = (int)i;
    }
    char *rest = table->list;
    for (char *name; list != NULL && (name = strsep(&rest, ",")) != NULL;) {
        if (name[0] == '\0') continue;
        table->names[table->metric_count] = name;
        table->metrics[table->metric_count++] = view_find_metric(view, name);
    }
    return OK;
}

static Status find_baseline(const View *view, const char *name, int64_t *baseline)
{
    *baseline = -1;
    for (size_t g = 0; name != NULL && g < view->group_count; g++)
        if (strcmp(view->groups[g].name, name) == 0) *baseline = (int64_t)g;
    if (name == NULL || *baseline >= 0) return OK;
    return status_error(STATUS_NOT_FOUND, "study %s has no group '%s' to compare with", view->study, name);
}

static void write_estimates(JsonWriter *writer, const char *key, Table *table, uint32_t group, int64_t baseline)
{
    json_key(writer, key);
    json_begin_array(writer);
    for (size_t m = 0; m < table->metric_count; m++) {
        Estimate e = baseline < 0 ? group_estimate(table, group, table->metrics[m])
                                  : paired_estimate(table, group, (uint32_t)baseline, table->metrics[m]);
        json_begin_array(writer); /* n, mean, half width */
        json_integer(writer, e.count);
        if (e.count > 0) json_real(writer, e.mean);
        if (e.has_interval) json_real(writer, e.half_width);
        json_end_array(writer);
    }
    json_end_array(writer);
}

static void write_group(JsonWriter *writer, Table *table, uint32_t group, int64_t baseline)
{
    const View *view = table->view;
    int64_t finished = 0, failed = 0;
    for (uint32_t i = table->start[group]; i < table->start[group + 1]; i++) {
        const ViewTrial *trial = &view->trials[table->order[i]];
        bool broken = false;
        for (int s = 0; s < STAGE_COUNT; s++)
            broken |= trial->jobs[s] != VIEW_NO_JOB && view->jobs[trial->jobs[s]].state == STATE_FAILED;
        bool done = trial->last != VIEW_NO_JOB && view->jobs[trial->last].state == STATE_FINISHED;
        finished += done;
        failed += broken && !done;
    }
    json_begin_object(writer);
    json_add_string(writer, "name", view->groups[group].name);
    json_add_integer(writer, "trials", view->groups[group].trials);
    json_add_integer(writer, "finished", finished);
    json_add_integer(writer, "failed", failed);
    write_estimates(writer, "cells", table, group, -1);
    if (baseline >= 0) write_estimates(writer, "differences", table, group, baseline);
    json_end_object(writer);
}

Status answer_table(Store *store, const Request *request, Answer *answer)
{
    const char *name, *list = request->argument(request->context, "metrics");
    int64_t baseline;
    View *view;
    TRY(request_text(request, "study", &name));
    TRY(store_view(store, name, &view));
    TRY(find_baseline(view, request->argument(request->context, "baseline"), &baseline));
    Table table = {.view = view};
    Status status = sort_trials(&table);
    if (status == OK) status = choose_metrics(&table, list);
    JsonWriter writer = {0};
    if (status == OK) {
        json_begin_object(&writer);
        json_add_real(&writer, "confidence", REPORT_CONFIDENCE);
        json_key(&writer, "metrics");
        json_begin_array(&writer);
        for (size_t m = 0; m < table.metric_count; m++) json_string(&writer, table.names[m]);
        json_end_array(&writer);
        if (baseline >= 0) json_add_string(&writer, "baseline", view->groups[baseline].name);
        json_key(&writer, "groups");
        json_begin_array(&writer);
        for (size_t g = 0; g < view->group_count; g++) write_group(&writer, &table, (uint32_t)g, baseline);
        json_end_array(&writer);
        json_end_object(&writer);
        status = answer_json(&writer, answer);
    }
    table_clear(&table);
    return status;
}
