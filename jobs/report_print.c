/* A report as text: the terminal's table, markdown, LaTeX, CSV, JSON. */
#include <math.h>
#include <string.h>

#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/report.h"

#define X(format, name) name,
static const char *const FORMAT_NAMES[] = {REPORT_FORMATS(X)};
#undef X
_Static_assert(sizeof FORMAT_NAMES / sizeof *FORMAT_NAMES == REPORT_FORMAT_COUNT, "a name per format");

bool report_format_from_name(const char *name, ReportFormat *format)
{
    *format = REPORT_TABLE;
    if (strcmp(name, "text") == 0)
        return true;
    for (int i = 0; i < REPORT_FORMAT_COUNT; i++)
        if (strcmp(name, FORMAT_NAMES[i]) == 0) {
            *format = (ReportFormat)i;
            return true;
        }
    return false;
}

/* Mean and half-width as text, in percent, or for what is no fraction as they are; "-" where there is no value, and ""
 * where there is no interval. */
static void number_texts(const ReportMetric *metric, const Estimate *cell, char mean[32], char half[32])
{
    double scale = metric->is_fraction ? 100.0 : 1.0;
    strcpy(mean, "-");
    half[0] = '\0';
    if (cell->count > 0)
        snprintf(mean, 32, metric->is_fraction ? "%.1f" : "%.4g", scale * cell->mean);
    if (cell->has_interval)
        snprintf(half, 32, metric->is_fraction ? "%.1f" : "%.4g", scale * cell->half_width);
}

/* "41.2 ± 1.3", "41.2" or "-". */
static void cell_text(const ReportMetric *metric, const Estimate *cell, const char *between, char *out, size_t size)
{
    char mean[32], half[32];
    number_texts(metric, cell, mean, half);
    snprintf(out, size, "%s%s%s", mean, half[0] != '\0' ? between : "", half);
}

/* "3", or "2/3" where trials are missing; halving adds where a group is, or where it was skipped and at what metric. */
static void count_text(const Report *report, const ReportRow *row, char *out, size_t size)
{
    if (row->skipped) {
        int used = snprintf(out, size, "skipped after rung %d/%d", row->rung + 1, report->rungs);
        if (isnan(row->rung_metric))
            snprintf(out + used, size - (size_t)used, " at no number");
        else
            snprintf(out + used, size - (size_t)used, " at %.4g", row->rung_metric);
    } else if (row->finished == row->trials) {
        snprintf(out, size, "%zu", row->trials);
    } else {
        int used = snprintf(out, size, "%zu/%zu%s", row->finished, row->trials, row->failed > 0 ? " failed" : "");
        if (row->rung + 1 < report->rungs)
            snprintf(out + used, size - (size_t)used, ", rung %d/%d", row->rung + 1, report->rungs);
    }
}

/* Columns that UTF-8 text takes: continuation bytes take none. */
static int shown_width(const char *text)
{
    int width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xC0U) != 0x80U;
    return width;
}

static void pad(FILE *out, int count)
{
    for (int i = 0; i < count; i++)
        fputc(' ', out);
}

static bool has_notes(const Report *report)
{
    return report->finished < report->trials || report->skipped > 0;
}

static void print_notes(const Report *report, FILE *out)
{
    size_t missing = report->trials - report->finished;
    const StudyHalving *halving = &report->study->halving;
    if (report->skipped > 0)
        fprintf(out, "%zu of %zu rows were skipped by halving on %s, at a cut %s\n", report->skipped, report->row_count,
                halving->metric, halving->key);
    if (missing == 0)
        return;
    fprintf(out, "%zu of %zu trials have no result (%zu failed); 'zeroth status %s' says more\n", missing,
            report->trials, report->failed, report->study->path);
}

static bool has_interval(const Report *report)
{
    for (size_t r = 0; r < report->row_count; r++)
        for (size_t m = 0; m < report->metric_count; m++)
            if (report->rows[r].cells[m].has_interval)
                return true;
    return false;
}

/* Terminal --------------------------------------------------------------------- */

/* A column of numbers: means end in one line and half-widths in another. */
typedef struct NumberColumn { int mean, half, width; } NumberColumn;

static NumberColumn measure_numbers(const Report *report, size_t metric)
{
    NumberColumn column = {1, 0, 0};
    char mean[32], half[32];
    for (size_t r = 0; r < report->row_count; r++) {
        number_texts(&report->metrics[metric], &report->rows[r].cells[metric], mean, half);
        column.mean = (int)strlen(mean) > column.mean ? (int)strlen(mean) : column.mean;
        column.half = (int)strlen(half) > column.half ? (int)strlen(half) : column.half;
    }
    column.width = column.mean + (column.half > 0 ? 3 + column.half : 0);
    int heading = shown_width(report->metrics[metric].heading);
    if (heading > column.width) {
        column.mean += heading - column.width;
        column.width = heading;
    }
    return column;
}

static void print_numbers(const Report *report, const NumberColumn *column, size_t row, size_t metric, FILE *out)
{
    char mean[32], half[32];
    number_texts(&report->metrics[metric], &report->rows[row].cells[metric], mean, half);
    fprintf(out, "   %*s", column->mean, mean);
    if (half[0] != '\0')
        fprintf(out, " ± %*s", column->half, half);
    else if (metric + 1 < report->metric_count)
        pad(out, column->width - column->mean);
}

static int label_width(const Report *report, size_t column)
{
    int width = shown_width(report->columns[column]);
    for (size_t r = 0; r < report->row_count; r++) {
        int label = shown_width(report->rows[r].labels[column]);
        width = label > width ? label : width;
    }
    return width;
}

static void print_label(FILE *out, const char *label, int width)
{
    fputs(label, out);
    pad(out, width - shown_width(label) + 2);
}

static Status print_table(const Report *report, FILE *out)
{
    char text[96];
    int count_width = 5;
    int *widths = memory_alloc_zero(report->column_count + 1, sizeof *widths);
    NumberColumn *numbers = memory_alloc_zero(report->metric_count + 1, sizeof *numbers);
    if (widths == NULL || numbers == NULL) {
        memory_free(widths);
        memory_free(numbers);
        return status_no_memory(report->column_count * sizeof *widths, "the report");
    }
    for (size_t c = 0; c < report->column_count; c++)
        widths[c] = label_width(report, c);
    for (size_t m = 0; m < report->metric_count; m++)
        numbers[m] = measure_numbers(report, m);
    for (size_t r = 0; r < report->row_count; r++) {
        count_text(report, &report->rows[r], text, sizeof text);
        count_width = (int)strlen(text) > count_width ? (int)strlen(text) : count_width;
    }
    fprintf(out, "%s: mean%s over seeds, in percent\n\n", report->study->name,
            has_interval(report) ? " ± half the 95 % interval (Student's t)" : "");
    for (size_t c = 0; c < report->column_count; c++)
        print_label(out, report->columns[c], widths[c]);
    fprintf(out, "%*s", count_width, "seeds");
    for (size_t m = 0; m < report->metric_count; m++)
        fprintf(out, "   %*s", numbers[m].width, report->metrics[m].heading);
    fputc('\n', out);
    for (size_t r = 0; r < report->row_count; r++) {
        for (size_t c = 0; c < report->column_count; c++)
            print_label(out, report->rows[r].labels[c], widths[c]);
        count_text(report, &report->rows[r], text, sizeof text);
        fprintf(out, "%*s", count_width, text);
        for (size_t m = 0; m < report->metric_count; m++)
            print_numbers(report, &numbers[m], r, m, out);
        fputc('\n', out);
    }
    memory_free(widths);
    memory_free(numbers);
    if (has_notes(report)) {
        fputc('\n', out);
        print_notes(report, out);
    }
    return OK;
}

/* Markdown and LaTeX -------------------------------------------------------------- */

static void print_escaped(FILE *out, const char *text, const char *special)
{
    for (; *text != '\0'; text++) {
        if (strchr(special, *text) != NULL)
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void print_markdown(const Report *report, FILE *out)
{
    char text[96];
    fputc('|', out);
    for (size_t c = 0; c < report->column_count; c++) {
        fputc(' ', out);
        print_escaped(out, report->columns[c], "|");
        fputs(" |", out);
    }
    fputs(" seeds |", out);
    for (size_t m = 0; m < report->metric_count; m++)
        fprintf(out, " %s |", report->metrics[m].heading);
    fputs("\n|", out);
    for (size_t c = 0; c < report->column_count; c++)
        fputs(" --- |", out);
    for (size_t m = 0; m < report->metric_count + 1; m++)
        fputs(" ---: |", out);
    fputc('\n', out);
    for (size_t r = 0; r < report->row_count; r++) {
        fputc('|', out);
        for (size_t c = 0; c < report->column_count; c++) {
            fputc(' ', out);
            print_escaped(out, report->rows[r].labels[c], "|");
            fputs(" |", out);
        }
        count_text(report, &report->rows[r], text, sizeof text);
        fprintf(out, " %s |", text);
        for (size_t m = 0; m < report->metric_count; m++) {
            cell_text(&report->metrics[m], &report->rows[r].cells[m], " ± ", text, sizeof text);
            fprintf(out, " %s |", text);
        }
        fputc('\n', out);
    }
    if (has_notes(report)) {
        fputc('\n', out);
        print_notes(report, out);
    }
}

static void print_latex(const Report *report, FILE *out)
{
    static const char special[] = "_%&#${}";
    char text[96];
    fprintf(out, "%% %s: mean and half of the 95 %% interval (Student's t) over seeds, in percent\n",
            report->study->name);
    fputs("\\begin{tabular}{", out);
    for (size_t c = 0; c < report->column_count; c++)
        fputc('l', out);
    for (size_t m = 0; m < report->metric_count + 1; m++)
        fputc('r', out);
    fputs("}\n\\hline\n", out);
    for (size_t c = 0; c < report->column_count; c++) {
        print_escaped(out, report->columns[c], special);
        fputs(" & ", out);
    }
    fputs("seeds", out);
    for (size_t m = 0; m < report->metric_count; m++) {
        fputs(" & ", out);
        print_escaped(out, report->metrics[m].heading, special);
    }
    fputs(" \\\\\n\\hline\n", out);
    for (size_t r = 0; r < report->row_count; r++) {
        for (size_t c = 0; c < report->column_count; c++) {
            print_escaped(out, report->rows[r].labels[c], special);
            fputs(" & ", out);
        }
        count_text(report, &report->rows[r], text, sizeof text);
        fputs(text, out);
        for (size_t m = 0; m < report->metric_count; m++) {
            cell_text(&report->metrics[m], &report->rows[r].cells[m], " \\pm ", text, sizeof text);
            fprintf(out, report->rows[r].cells[m].count > 0 ? " & $%s$" : " & %s", text);
        }
        fputs(" \\\\\n", out);
    }
    fputs("\\hline\n\\end{tabular}\n", out);
}

/* CSV and JSON --------------------------------------------------------------------- */

void report_print_csv_field(FILE *out, const char *text)
{
    if (strpbrk(text, ",\"\n") == NULL) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static const char *halving_state(const Report *report, const ReportRow *row)
{
    return row->skipped ? "skipped" : row->rung + 1 < report->rungs ? "running" : "full";
}

static void print_csv(const Report *report, FILE *out)
{
    for (size_t c = 0; c < report->column_count; c++) {
        report_print_csv_field(out, report->column_keys[c]);
        fputc(',', out);
    }
    fputs("trials,finished,failed", out);
    for (size_t m = 0; m < report->metric_count; m++)
        fprintf(out, ",%s.mean,%s.half_width,%s.n", report->metrics[m].key, report->metrics[m].key,
                report->metrics[m].key);
    if (report->rungs > 0)
        fputs(",halving.state,halving.rung,halving.metric", out);
    fputc('\n', out);
    for (size_t r = 0; r < report->row_count; r++) {
        const ReportRow *row = &report->rows[r];
        for (size_t c = 0; c < report->column_count; c++) {
            report_print_csv_field(out, row->labels[c]);
            fputc(',', out);
        }
        fprintf(out, "%zu,%zu,%zu", row->trials, row->finished, row->failed);
        for (size_t m = 0; m < report->metric_count; m++) {
            const Estimate *cell = &row->cells[m];
            if (cell->count > 0)
                fprintf(out, ",%.17g,", cell->mean);
            else
                fputs(",,", out);
            if (cell->has_interval)
                fprintf(out, "%.17g", cell->half_width);
            fprintf(out, ",%lld", (long long)cell->count);
        }
        if (report->rungs > 0)
            fprintf(out, ",%s,%d,", halving_state(report, row), row->rung + 1);
        if (!isnan(row->rung_metric))
            fprintf(out, "%.17g", row->rung_metric);
        fputc('\n', out);
    }
}

static void json_cell(JsonWriter *writer, const ReportRow *row, size_t metric)
{
    const Estimate *cell = &row->cells[metric];
    json_begin_object(writer);
    json_key(writer, "n");
    json_integer(writer, cell->count);
    json_key(writer, "mean");
    json_real(writer, cell->mean); /* NaN becomes null */
    json_key(writer, "deviation");
    json_real(writer, cell->has_interval ? cell->deviation : (double)NAN);
    json_key(writer, "half_width");
    json_real(writer, cell->has_interval ? cell->half_width : (double)NAN);
    json_key(writer, "values");
    json_begin_array(writer);
    for (size_t i = 0; i < row->finished; i++)
        json_real(writer, row->values[metric * row->finished + i]);
    json_end_array(writer);
    json_end_object(writer);
}

static void json_halving(JsonWriter *writer, const Report *report, const ReportRow *row)
{
    if (report->rungs == 0)
        return;
    json_key(writer, "halving");
    json_begin_object(writer);
    json_key(writer, "state");
    json_string(writer, halving_state(report, row));
    json_key(writer, "rung");
    json_integer(writer, row->rung + 1);
    json_key(writer, "rungs");
    json_integer(writer, report->rungs);
    json_key(writer, "metric");
    json_real(writer, row->rung_metric);
    json_key(writer, "verdict");
    json_string(writer, row->verdict);
    json_end_object(writer);
}

static Status print_json(const Report *report, FILE *out)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_key(&writer, "study");
    json_string(&writer, report->study->name);
    json_key(&writer, "confidence");
    json_real(&writer, REPORT_CONFIDENCE);
    json_key(&writer, "rows");
    json_begin_array(&writer);
    for (size_t r = 0; r < report->row_count; r++) {
        const ReportRow *row = &report->rows[r];
        json_begin_object(&writer);
        json_key(&writer, "labels");
        json_begin_object(&writer);
        for (size_t c = 0; c < report->column_count; c++) {
            json_key(&writer, report->column_keys[c]);
            json_string(&writer, row->labels[c]);
        }
        json_end_object(&writer);
        json_key(&writer, "trials");
        json_integer(&writer, (int64_t)row->trials);
        json_key(&writer, "finished");
        json_integer(&writer, (int64_t)row->finished);
        json_key(&writer, "failed");
        json_integer(&writer, (int64_t)row->failed);
        json_halving(&writer, report, row);
        json_key(&writer, "metrics");
        json_begin_object(&writer);
        for (size_t m = 0; m < report->metric_count; m++) {
            json_key(&writer, report->metrics[m].key);
            json_cell(&writer, row, m);
        }
        json_end_object(&writer);
        json_end_object(&writer);
    }
    json_end_array(&writer);
    json_end_object(&writer);
    Status status = writer.text.failed ? status_no_memory(writer.text.length, "the report") : OK;
    if (status == OK)
        fprintf(out, "%s\n", text_string(&writer.text));
    text_free(&writer.text);
    return status;
}

Status report_print(const Report *report, ReportFormat format, FILE *out)
{
    switch (format) {
    case REPORT_TABLE: return print_table(report, out);
    case REPORT_MARKDOWN: print_markdown(report, out); return OK;
    case REPORT_CSV: print_csv(report, out); return OK;
    case REPORT_LATEX: print_latex(report, out); return OK;
    case REPORT_JSON: return print_json(report, out);
    case REPORT_FORMAT_COUNT: break;
    }
    return status_error(STATUS_INTERNAL, "report format %d", (int)format);
}
