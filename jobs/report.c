#include "jobs/report.h"

#include <math.h>
#include <string.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/artifact.h"
#include "jobs/halving.h"
#include "jobs/ledger.h"

#define DEFAULT_METRICS                                                                                       \
    "panoptic.pq.seen,panoptic.pq.unseen,panoptic.pq.harmonic,semantic.miou.seen,semantic.miou.unseen," \
    "semantic.miou.harmonic"

static Status no_memory(void)
{
    return status_no_memory(0, "the report");
}

/* What is read before the report is made. */
typedef struct Sources {
    const Plan *plan;
    const Study *study;
    Json **metrics;          /* [full trials]; NULL where a trial has none */
    bool *failed;            /* [full trials] */
} Sources;

static void sources_clear(Sources *sources)
{
    for (size_t t = 0; sources->metrics != NULL && t < sources->study->full_count; t++)
        json_destroy(sources->metrics[t]);
    memory_free(sources->metrics);
    memory_free(sources->failed);
}

static Status read_metrics(Sources *sources)
{
    for (size_t t = 0; t < sources->study->full_count; t++) {
        uint32_t index = plan_trial_job(sources->plan, t, STAGE_EVALUATE);
        if (index == NO_JOB || sources->plan->jobs[index].need != JOB_FINISHED)
            continue;
        Status status = artifact_read_metrics(sources->plan->work, sources->plan->jobs[index].key, &sources->metrics[t]);
        if (status_code(status) == STATUS_NO_MEMORY)
            return status;
        if (status != OK) /* the other trials still have something to say */
            log_status(LOG_LEVEL_WARNING, status);
    }
    return OK;
}

/* Marks the trials that have a job of this key. */
static Status mark_failed(void *context, const LedgerJob *job)
{
    Sources *sources = context;
    for (size_t t = 0; t < sources->study->full_count; t++)
        for (int stage = 0; stage < STAGE_COUNT; stage++) {
            uint32_t index = plan_trial_job(sources->plan, t, (StageId)stage);
            if (index != NO_JOB && strcmp(sources->plan->jobs[index].key, job->key) == 0)
                sources->failed[t] = true;
        }
    return OK;
}

/* Without a ledger there is nothing to tell; a damaged one must not hide the scores. */
static void read_failures(Sources *sources)
{
    Ledger *ledger = NULL;
    Status status = ledger_open_reader(sources->plan->work, &ledger);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        return;
    }
    LedgerFilter filter = {.study = NULL, .prefix = NULL, .state = STATE_FAILED};
    if (status == OK)
        status = ledger_each_job(ledger, &filter, mark_failed, sources);
    ledger_close(ledger);
    if (status != OK)
        log_status(LOG_LEVEL_WARNING, status);
}

static Status sources_read(const Plan *plan, Sources *sources)
{
    size_t count = plan->study->full_count;
    *sources = (Sources){.plan = plan, .study = plan->study};
    sources->metrics = memory_alloc_zero(count + 1, sizeof *sources->metrics);
    sources->failed = memory_alloc_zero(count + 1, sizeof *sources->failed);
    if (sources->metrics == NULL || sources->failed == NULL)
        return no_memory();
    TRY(read_metrics(sources));
    read_failures(sources);
    return OK;
}

/* Rows and columns --------------------------------------------------------- */

static Status tell_verdict(const Halving *halving, size_t group, ReportRow *row)
{
    Text text = {0};
    halving_describe(halving, group, &text);
    row->verdict = text.failed ? NULL : memory_copy_string(text_string(&text));
    text_free(&text);
    row->rung = halving->groups[group].rung;
    row->rung_metric = halving->groups[group].metric;
    row->skipped = halving->groups[group].skipped;
    return row->verdict != NULL ? OK : no_memory();
}

/* A row for each group of the study. */
static Status make_rows(const Sources *sources, Report *report)
{
    const Study *study = sources->study;
    const Halving *halving = sources->plan->halving;
    report->rows = memory_alloc_zero(study->group_count + 1, sizeof *report->rows);
    if (report->rows == NULL)
        return no_memory();
    report->row_count = study->group_count;
    report->rungs = halving != NULL ? study->halving.rungs : 0;
    for (size_t r = 0; r < report->row_count; r++) {
        report->rows[r].group = study->groups[r];
        report->rows[r].rung_metric = (double)NAN;
        if (halving != NULL)
            TRY(tell_verdict(halving, r, &report->rows[r]));
        report->skipped += report->rows[r].skipped;
    }
    for (size_t t = 0; t < study->full_count; t++) {
        ReportRow *row = &report->rows[study->trials[t].group_index];
        if (row->skipped)
            continue;
        row->trials++;
        row->finished += sources->metrics[t] != NULL;
        row->failed += sources->failed[t] && sources->metrics[t] == NULL;
    }
    for (size_t r = 0; r < report->row_count; r++) {
        report->trials += report->rows[r].trials;
        report->finished += report->rows[r].finished;
        report->failed += report->rows[r].failed;
    }
    return OK;
}

/* What a trial shows in the column of `key`: NULL where it has no such axis. */
static const char *trial_label(const Study *study, size_t trial, const char *key)
{
    const Trial *which = &study->trials[trial];
    if (strcmp(key, "variant") == 0)
        return which->variant[0] != '\0' ? which->variant : study->name;
    if (study->group_by_count > 0)
        return config_text(which->config, key);
    for (size_t i = 0; i < which->value_count; i++)
        if (strcmp(which->values[i].key, key) == 0)
            return which->values[i].text;
    return NULL;
}

/* Canonical texts of strings are quoted; a table need not be. */
static char *plain_label(const char *text)
{
    if (text == NULL)
        return memory_copy_string("-");
    size_t length = strlen(text);
    if (length >= 2 && text[0] == '"' && text[length - 1] == '"')
        return memory_format("%.*s", (int)(length - 2), text + 1);
    return memory_copy_string(text);
}

static bool differs(const Sources *sources, const char *key)
{
    const char *first = trial_label(sources->study, 0, key);
    for (size_t t = 1; t < sources->study->full_count; t++) {
        const char *label = trial_label(sources->study, t, key);
        if ((label == NULL) != (first == NULL) || (label != NULL && strcmp(label, first) != 0))
            return true;
    }
    return false;
}

static Status add_column(Report *report, const char *key)
{
    report->column_keys[report->column_count] = memory_copy_string(key);
    if (report->column_keys[report->column_count] == NULL)
        return no_memory();
    report->column_count++;
    return OK;
}

/* The last part of a key, or all of it where another column ends alike. */
static const char *short_name(const Report *report, size_t column)
{
    const char *key = report->column_keys[column], *dot = strrchr(key, '.');
    const char *end = dot == NULL ? key : dot + 1;
    for (size_t c = 0; c < report->column_count; c++) {
        const char *other = report->column_keys[c], *other_dot = strrchr(other, '.');
        if (c != column && strcmp(other_dot == NULL ? other : other_dot + 1, end) == 0)
            return key;
    }
    return end;
}

static Status make_columns(const Sources *sources, Report *report)
{
    const Study *study = sources->study;
    bool chosen = study->group_by_count > 0;
    size_t candidates = chosen ? study->group_by_count : study->axis_count + 1;
    report->columns = memory_alloc_zero(candidates + 1, sizeof *report->columns);
    report->column_keys = memory_alloc_zero(candidates + 1, sizeof *report->column_keys);
    if (report->columns == NULL || report->column_keys == NULL)
        return no_memory();
    for (size_t i = 0; i < candidates; i++) {
        const char *key = chosen ? study->group_by[i] : i == 0 ? "variant" : study->axes[i - 1];
        if ((chosen || strcmp(key, "seed") != 0) && study->full_count > 0 && differs(sources, key))
            TRY(add_column(report, key));
    }
    if (report->column_count == 0) /* one row: it still wants a name */
        TRY(add_column(report, "variant"));
    for (size_t c = 0; c < report->column_count; c++) {
        report->columns[c] = memory_copy_string(short_name(report, c));
        if (report->columns[c] == NULL)
            return no_memory();
    }
    for (size_t r = 0; r < report->row_count; r++) {
        report->rows[r].labels = memory_alloc_zero(report->column_count, sizeof *report->rows[r].labels);
        if (report->rows[r].labels == NULL)
            return no_memory();
        size_t trial = 0;
        while (study->trials[trial].group_index != r)
            trial++;
        for (size_t c = 0; c < report->column_count; c++) {
            report->rows[r].labels[c] = plain_label(trial_label(study, trial, report->column_keys[c]));
            if (report->rows[r].labels[c] == NULL)
                return no_memory();
        }
    }
    return OK;
}

/* Metrics ------------------------------------------------------------------- */

/* The key that a name means, by the first trial that has it. */
static const char *find_metric(const Sources *sources, const char *name)
{
    const char *key = NULL;
    for (size_t t = 0; t < sources->study->full_count && key == NULL; t++)
        artifact_find_metric(sources->metrics[t], name, &key);
    return key;
}

/* "panoptic.pq.seen" is headed "PQ seen". */
static char *metric_heading(const char *key)
{
    static const char *const known[][2] = {
        {"panoptic.pq.", "PQ "},     {"panoptic.sq.", "SQ "},      {"panoptic.rq.", "RQ "},
        {"semantic.miou.", "mIoU "}, {"semantic.fwiou.", "fwIoU "}, {"semantic.macc.", "mAcc "},
        {"semantic.pacc.", "pAcc "}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(key, known[i][0], strlen(known[i][0])) == 0)
            return memory_format("%s%s", known[i][1], key + strlen(known[i][0]));
    return memory_copy_string(key);
}

static Status add_metric(const Sources *sources, const char *name, Report *report)
{
    const char *key = find_metric(sources, name);
    if (key == NULL && report->finished > 0)
        return status_error(STATUS_NOT_FOUND, "metric '%s': no finished trial of %s has it; try pq.unseen or "
                            "semantic.miou.seen", name, sources->study->name);
    ReportMetric *metric = &report->metrics[report->metric_count++];
    metric->key = memory_copy_string(key != NULL ? key : name);
    metric->heading = metric->key == NULL ? NULL : metric_heading(metric->key);
    if (metric->heading == NULL)
        return no_memory();
    metric->is_fraction = strncmp(metric->key, "panoptic.", 9) == 0 || strncmp(metric->key, "semantic.", 9) == 0 ||
                          strncmp(metric->key, "instance.", 9) == 0;
    return OK;
}

static Status make_metrics(const Sources *sources, const char *names, Report *report)
{
    const Study *study = sources->study;
    bool by_study = names == NULL && study->metric_count > 0;
    char *list = memory_copy_string(names != NULL ? names : DEFAULT_METRICS);
    size_t most = study->metric_count + (list == NULL ? 0 : strlen(list)) + 1;
    report->metrics = memory_alloc_zero(most, sizeof *report->metrics);
    Status status = list == NULL || report->metrics == NULL ? no_memory() : OK;
    for (size_t i = 0; by_study && status == OK && i < study->metric_count; i++)
        status = add_metric(sources, study->metrics[i], report);
    char *rest = list;
    for (char *name; !by_study && status == OK && (name = strsep(&rest, ",")) != NULL;)
        if (name[0] != '\0')
            status = add_metric(sources, name, report);
    memory_free(list);
    if (status == OK && report->metric_count == 0)
        status = status_error(STATUS_USAGE, "no metric is named");
    return status;
}

static Status reserve_values(Report *report)
{
    for (size_t r = 0; r < report->row_count; r++) {
        ReportRow *row = &report->rows[r];
        row->values = memory_alloc_zero(report->metric_count * row->finished + 1, sizeof *row->values);
        row->cells = memory_alloc_zero(report->metric_count, sizeof *row->cells);
        if (row->values == NULL || row->cells == NULL)
            return no_memory();
    }
    return OK;
}

/* One pass over the trials: `filled` counts the values that each row has so far. */
static void fill_values(const Sources *sources, Report *report, size_t *filled)
{
    const Study *study = sources->study;
    for (size_t t = 0; t < study->full_count; t++) {
        size_t r = study->trials[t].group_index;
        ReportRow *row = &report->rows[r];
        if (row->skipped || sources->metrics[t] == NULL)
            continue;
        for (size_t m = 0; m < report->metric_count; m++) {
            const Json *value = json_member(sources->metrics[t], report->metrics[m].key);
            bool number = value != NULL && (value->type == JSON_REAL || value->type == JSON_INTEGER);
            row->values[m * row->finished + filled[r]] = number ? value->real : (double)NAN;
        }
        filled[r]++;
    }
}

static Status estimate_cells(Report *report)
{
    double *numbers = memory_alloc_zero(report->finished + 1, sizeof *numbers);
    if (numbers == NULL)
        return no_memory();
    for (size_t r = 0; r < report->row_count; r++)
        for (size_t m = 0; m < report->metric_count; m++) {
            ReportRow *row = &report->rows[r];
            int64_t count = 0;
            for (size_t i = 0; i < row->finished; i++)
                if (!isnan(row->values[m * row->finished + i]))
                    numbers[count++] = row->values[m * row->finished + i];
            row->cells[m] = statistics_estimate(numbers, count, REPORT_CONFIDENCE);
        }
    memory_free(numbers);
    return OK;
}

static Status fill_rows(const Sources *sources, Report *report)
{
    size_t *filled = memory_alloc_zero(report->row_count + 1, sizeof *filled);
    Status status = filled == NULL ? no_memory() : reserve_values(report);
    if (status == OK)
        fill_values(sources, report, filled);
    memory_free(filled);
    return status != OK ? status : estimate_cells(report);
}

Status report_create(const Plan *plan, const char *metrics, Report **report)
{
    Sources sources;
    *report = memory_alloc_zero(1, sizeof **report);
    if (*report == NULL)
        return no_memory();
    (*report)->study = plan->study;
    Status status = sources_read(plan, &sources);
    if (status == OK)
        status = make_rows(&sources, *report);
    if (status == OK)
        status = make_columns(&sources, *report);
    if (status == OK)
        status = make_metrics(&sources, metrics, *report);
    if (status == OK)
        status = fill_rows(&sources, *report);
    sources_clear(&sources);
    if (status != OK) {
        report_destroy(*report);
        *report = NULL;
    }
    return status;
}

void report_destroy(Report *report)
{
    if (report == NULL)
        return;
    for (size_t c = 0; c < report->column_count; c++) {
        memory_free(report->columns[c]);
        memory_free(report->column_keys[c]);
    }
    memory_free(report->columns);
    memory_free(report->column_keys);
    for (size_t m = 0; m < report->metric_count; m++) {
        memory_free(report->metrics[m].key);
        memory_free(report->metrics[m].heading);
    }
    memory_free(report->metrics);
    for (size_t r = 0; r < report->row_count; r++) {
        for (size_t c = 0; report->rows[r].labels != NULL && c < report->column_count; c++)
            memory_free(report->rows[r].labels[c]);
        memory_free(report->rows[r].labels);
        memory_free(report->rows[r].verdict);
        memory_free(report->rows[r].values);
        memory_free(report->rows[r].cells);
    }
    memory_free(report->rows);
    memory_free(report);
}
