/* The scores of a study: per group of trials (by default a variant with its
 * axes' values) the mean over its seeds and the 95 % interval of that mean by
 * Student's t. Reads metrics.json of the finished trials; trials without one
 * are counted, not hidden. Of a study with halving, the rows are of the full
 * trials; groups that were stopped early are shown as such. */
#ifndef JOBS_REPORT_H
#define JOBS_REPORT_H

#include <stdio.h>

#include "jobs/plan.h"
#include "models/metrics/statistics.h"

#define REPORT_CONFIDENCE 0.95

/* Terminal, markdown and latex show percent with one decimal; csv and json hold fractions, as metrics.json does. */
#define REPORT_FORMATS(X) \
    X(REPORT_TABLE, "table") X(REPORT_MARKDOWN, "markdown") X(REPORT_CSV, "csv") X(REPORT_LATEX, "latex") \
    X(REPORT_JSON, "json")

typedef enum ReportFormat {
#define X(format, name) format,
    REPORT_FORMATS(X)
#undef X
    REPORT_FORMAT_COUNT
} ReportFormat;
bool report_format_from_name(const char *name, ReportFormat *format); /* also "text" for the table */

typedef struct ReportMetric {
    char *key;          /* as in metrics.json */
    char *heading;      /* "PQ seen" */
    bool is_fraction;   /* shown in percent */
} ReportMetric;

typedef struct ReportRow {
    const char *group;  /* the study's */
    char **labels;      /* [columns] */
    size_t trials, finished, failed; /* of a skipped group: no trial counts */
    bool skipped;       /* halving stopped it early: it has no values, so that none of a shorter budget, or of what it
                           was skipped for, stands beside the others' */
    int rung;           /* halving: where it runs, or that after which it was skipped; from 0 */
    double rung_metric; /* halving: its mean at the last rung that is decided; NaN: none */
    char *verdict;      /* halving: "skipped after rung 1 of 3: ..."; NULL without it */
    double *values;     /* [metrics, finished]: as read; NaN where metrics.json has null or nothing */
    Estimate *cells;    /* [metrics], over the values that are numbers */
} ReportRow;

typedef struct Report {
    const Study *study;
    char **columns;     /* what differs between rows: "variant", or the shortest unique end of a key */
    char **column_keys; /* "variant", or a key */
    size_t column_count;
    ReportMetric *metrics;
    size_t metric_count;
    ReportRow *rows;    /* in the order of the study's trials */
    size_t row_count;
    size_t trials, finished, failed, skipped; /* skipped: rows */
    int rungs;          /* halving's; 0 without it */
} Report;

/* `metrics`: comma-separated names; NULL: those of the study's `report: metrics`, or else panoptic quality and mIoU of
 * seen, unseen, harmonic. A name is a key of metrics.json or its end, with '.' or '_' ("pq_unseen"); one that no
 * finished trial has is STATUS_NOT_FOUND. `plan` covers the evaluate stage; it and its study outlive the report. Failed
 * trials are told from unfinished ones by the ledger, where there is one. */
Status report_create(const Plan *plan, const char *metrics, Report **report);
void report_destroy(Report *report);
Status report_print(const Report *report, ReportFormat format, FILE *out);
void report_print_csv_field(FILE *out, const char *text); /* quoted where it must be */

#endif
