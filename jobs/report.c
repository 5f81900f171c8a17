#include "jobs/report.h"

#include <math.h>
#include <string.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/artifact.h"
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
    Json **metrics;          /* [trials]; NULL where a trial has none */
    bool *failed;            /* [trials] */
    size_t *row_of;          /* [trials] */
} Sources;

static void sources_clear(Sources *sources)
{
    for (size_t t = 0; sources->metrics != NULL && t < sources->study->trial_count; t++)
        json_destroy(sources->metrics[t]);
    memory_free(sources->metrics);
    memory_free(sources->failed);
    memory_free(sources->row_of);
}

static Status read_metrics(Sources *sources)
{
    for (size_t t = 0; t < sources->study->trial_count; t++) {
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
    for (size_t t = 0; t < sources->study->trial_count; t++)
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
    size_t count = plan->study->trial_count;
    *sources = (Sources){.plan = plan, .study = plan->study};
    sources->metrics = memory_alloc_zero(count + 1, sizeof *sources->metrics);
    sources->failed = memory_alloc_zero(count + 1, sizeof *sources->failed);
    sources->row_of = memory_alloc_zero(count + 1, sizeof *sources->row_of);
    if (sources->metrics == NULL || sources->failed == NULL || sources->row_of == NULL)
        return no_memory();
    TRY(read_metrics(sources));
    read_failures(sources);
    return OK;
}

/* Rows and columns --------------------------------------------------------- */

static Status make_rows(Sources *sources, Report *report)
{
    const Study *study = sources->study;
    report->rows = memory_alloc_zero(study->trial_count + 1, sizeof *report->rows);
    if (report->rows == NULL)
        return no_memory();
    for (size_t t = 0; t < study->trial_count; t++) {
        size_t row = 0;
        while (row < report->row_count && strcmp(report->rows[row].group, study->trials[t].group) != 0)
            row++;
        if (row == report->row_count)
            report->rows[report->row_count++].group = study->trials[t].group;
        sources->row_of[t] = row;
        report->rows[row].trials++;
        report->rows[row].finished += sources->metrics[t] != NULL;
        report->rows[row].failed += sources->failed[t] && sources->metrics[t] == NULL;
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
    for (size_t t = 1; t < sources->study->trial_count; t++) {
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
        if ((chosen || strcmp(key, "seed") != 0) && study->trial_count > 0 && differs(sources, key))
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
        while (sources->row_of[trial] != r)
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

static bool same_character(char a, char b)
{
    return a == b || ((a == '.' || a == '_') && (b == '.' || b == '_'));
}

/* Whether `name` is `key` or a whole-word end of it, with '_' for '.'. */
static bool names_metric(const char *name, const char *key)
{
    size_t name_length = strlen(name), key_length = strlen(key);
    if (name_length > key_length)
        return false;
    const char *end = key + (key_length - name_length);
    for (size_t i = 0; i < name_length; i++)
        if (!same_character(name[i], end[i]))
            return false;
    return end == key || end[-1] == '.';
}

/* The key that a name means; the first in metrics.json wins, and panoptic comes first there. */
static const char *find_metric(const Sources *sources, const char *name)
{
    for (size_t t = 0; t < sources->study->trial_count; t++) {
        const Json *metrics = sources->metrics[t];
        for (size_t i = 0; metrics != NULL && i < metrics->count; i++) {
            JsonType type = metrics->items[i].type;
            bool number = type == JSON_REAL || type == JSON_INTEGER || type == JSON_NULL;
            if (number && names_metric(name, metrics->keys[i]))
                return metrics->keys[i];
        }
    }
    return NULL;
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

static Status fill_row(const Sources *sources, size_t r, Report *report)
{
    ReportRow *row = &report->rows[r];
    size_t finished = row->finished;
    row->values = memory_alloc_zero(report->metric_count * finished + 1, sizeof *row->values);
    row->cells = memory_alloc_zero(report->metric_count, sizeof *row->cells);
    double *numbers = memory_alloc_zero(finished + 1, sizeof *numbers);
    Status status = row->values == NULL || row->cells == NULL || numbers == NULL ? no_memory() : OK;
    for (size_t m = 0; status == OK && m < report->metric_count; m++) {
        size_t place = 0;
        int64_t count = 0;
        for (size_t t = 0; t < sources->study->trial_count; t++) {
            if (sources->row_of[t] != r || sources->metrics[t] == NULL)
                continue;
            const Json *value = json_member(sources->metrics[t], report->metrics[m].key);
            bool number = value != NULL && (value->type == JSON_REAL || value->type == JSON_INTEGER);
            row->values[m * finished + place++] = number ? value->real : (double)NAN;
            if (number)
                numbers[count++] = value->real;
        }
        row->cells[m] = statistics_estimate(numbers, count, REPORT_CONFIDENCE);
    }
    memory_free(numbers);
    return status;
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
    for (size_t r = 0; status == OK && r < (*report)->row_count; r++)
        status = fill_row(&sources, r, *report);
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
        memory_free(report->rows[r].values);
        memory_free(report->rows[r].cells);
    }
    memory_free(report->rows);
    memory_free(report);
}
