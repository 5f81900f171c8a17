#include "dashboards/html_report.h"

#include <ctype.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dashboards/endpoints.h"
#include "dashboards/page.h"
#include "framework/json.h"

#define CURVE_POINTS "240"
#define LOG_END "-8192"

typedef struct HtmlReport {
    Store *store;
    FILE *out;
    const char *study;
    bool comma;
    size_t left; /* of the present kind's bytes */
} HtmlReport;

/* Arguments of one question, sorted by name, as the page sorts them. A member of another name than the page asks by is
 * `free`: it shapes the answer and is not part of its name. */
typedef struct Question {
    int count;
    struct { const char *name, *value; bool free; } items[6];
} Question;

static const char *question_argument(void *context, const char *name)
{
    const Question *question = context;
    for (int i = 0; i < question->count; i++)
        if (strcmp(question->items[i].name, name) == 0) return question->items[i].value;
    return NULL;
}

static void question_add(Question *question, const char *name, const char *value, bool free_)
{
    question->items[question->count].name = name;
    question->items[question->count].value = value;
    question->items[question->count++].free = free_;
}

/* As encodeURIComponent does it. */
static void append_encoded(Text *text, const char *value)
{
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        if (isalnum(c) || strchr("-_.!~*'()", c) != NULL) text_append_bytes(text, value, 1);
        else text_format(text, "%%%02X", c);
    }
}

static void append_query(Text *text, const Question *question)
{
    bool first = true;
    for (int i = 0; i < question->count; i++) {
        if (question->items[i].free) continue;
        text_format(text, "%s%s=", first ? "" : "&", question->items[i].name);
        append_encoded(text, question->items[i].value);
        first = false;
    }
}

/* JSON inside of HTML: '<' stands in strings alone, where it may be written otherwise. */
static void print_json(FILE *out, const char *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        const char *found = memchr(data + at, '<', bytes - at);
        size_t run = found != NULL ? (size_t)(found - (data + at)) : bytes - at;
        fwrite(data + at, 1, run, out);
        at += run;
        if (found != NULL) {
            fputs("\\u003c", out);
            at++;
        }
    }
}

static void print_name(HtmlReport *report, const char *name)
{
    JsonWriter writer = {0};
    json_string(&writer, name);
    if (report->comma) fputc(',', report->out);
    report->comma = true;
    print_json(report->out, text_string(&writer.text), writer.text.length);
    fputc(':', report->out);
    text_free(&writer.text);
}

/* Asks, and prints "PATH?QUERY": answer where it fits what is left. A question that fails is left out: the page says
 * so where it asks it. With `required` its failure is the report's. */
static Status print_answer(HtmlReport *report, EndpointId id, const Question *question, bool required, Answer *kept)
{
    Answer answer;
    Request request = {.argument = question_argument, .context = (void *)(uintptr_t)question};
    endpoint_answer(report->store, id, &request, &answer);
    Status status = OK;
    if (required && answer.code != 200)
        status = status_error(answer.code == 404 ? STATUS_NOT_FOUND : STATUS_IO, "the report: %.*s", (int)answer.bytes,
                              answer.data);
    if (answer.code == 200 && answer.bytes <= report->left) {
        Text name = {0};
        text_format(&name, "%s?", endpoint_path(id));
        append_query(&name, question);
        if (name.failed) status = status_no_memory(name.length, "the report");
        report->left -= answer.bytes;
        print_name(report, text_string(&name));
        print_json(report->out, answer.data, answer.bytes);
        text_free(&name);
    }
    if (kept != NULL) *kept = answer;
    else answer_clear(&answer);
    return status;
}

static Status print_of_job(HtmlReport *report, EndpointId id, const char *key)
{
    Question question = {0};
    question_add(&question, "job", key, false);
    if (id == ENDPOINT_LOG) question_add(&question, "from", LOG_END, true);
    if (id == ENDPOINT_RELATIONS) question_add(&question, "study", report->study, false);
    return print_answer(report, id, &question, false, NULL);
}

static Status print_study(HtmlReport *report, const View *view)
{
    Question question = {0};
    report->left = SIZE_MAX;
    question_add(&question, "study", report->study, false);
    TRY(print_answer(report, ENDPOINT_STUDY, &question, true, NULL));
    TRY(print_answer(report, ENDPOINT_TABLE, &question, true, NULL));
    for (size_t g = 0; g < view->group_count && g < HTML_REPORT_BASELINES; g++) {
        Question compared = {0};
        question_add(&compared, "baseline", view->groups[g].name, false);
        question_add(&compared, "study", report->study, false);
        TRY(print_answer(report, ENDPOINT_TABLE, &compared, true, NULL));
    }
    return OK;
}

static Status print_curves_of(HtmlReport *report, const char *key)
{
    Question question = {0};
    Answer answer;
    Json *series = NULL;
    question_add(&question, "job", key, false);
    Status status = print_answer(report, ENDPOINT_SERIES, &question, false, &answer);
    if (status == OK && answer.code == 200) status = json_parse(answer.data, answer.bytes, "series", &series);
    answer_clear(&answer);
    const Json *names = series != NULL ? json_member(series, "names") : NULL;
    for (size_t i = 0; status == OK && names != NULL && i < names->count; i++) {
        Question curve = {0};
        question_add(&curve, "job", key, false);
        question_add(&curve, "metric", names->items[i].string, false);
        question_add(&curve, "points", CURVE_POINTS, true);
        status = print_answer(report, ENDPOINT_CURVE, &curve, false, NULL);
    }
    json_destroy(series);
    return status;
}

/* Failed jobs first: they are what is asked about. */
static Status print_jobs(HtmlReport *report, const View *view)
{
    report->left = HTML_REPORT_JOB_BYTES;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < view->job_count && report->left > 4096; i++) {
            bool broken = view->jobs[i].state == STATE_FAILED || view->jobs[i].state == STATE_KILLED;
            if (broken != (pass == 0)) continue;
            TRY(print_of_job(report, ENDPOINT_JOB, view->jobs[i].key));
            if (view->jobs[i].attempts > 0) TRY(print_of_job(report, ENDPOINT_LOG, view->jobs[i].key));
        }
    report->left = HTML_REPORT_CURVE_BYTES;
    for (size_t i = 0; i < view->job_count && report->left > 4096; i++)
        if (view->jobs[i].attempts > 0) TRY(print_curves_of(report, view->jobs[i].key));
    return OK;
}

static bool is_scored(const ViewJob *job)
{
    return job->stage == STAGE_EVALUATE && job->state == STATE_FINISHED;
}

static Status print_classes(HtmlReport *report, const View *view)
{
    report->left = HTML_REPORT_CLASS_BYTES;
    for (size_t i = 0; i < view->job_count && report->left > 4096; i++) {
        if (!is_scored(&view->jobs[i])) continue;
        TRY(print_of_job(report, ENDPOINT_PICTURES, view->jobs[i].key));
        TRY(print_of_job(report, ENDPOINT_CLASSES, view->jobs[i].key));
        TRY(print_of_job(report, ENDPOINT_RELATIONS, view->jobs[i].key));
    }
    return OK;
}

/* Pictures ---------------------------------------------------------------------- */

static void print_base64(FILE *out, const unsigned char *data, size_t bytes)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes; i += 3) {
        size_t have = bytes - i < 3 ? bytes - i : 3;
        unsigned bits = (unsigned)data[i] << 16 | (have > 1 ? (unsigned)data[i + 1] << 8 : 0) | (have > 2 ? data[i + 2] : 0);
        char four[4] = {DIGITS[bits >> 18], DIGITS[bits >> 12 & 63], have > 1 ? DIGITS[bits >> 6 & 63] : '=',
                        have > 2 ? DIGITS[bits & 63] : '='};
        fwrite(four, 1, 4, out);
    }
}

static Status print_picture(HtmlReport *report, const char *key, const char *name)
{
    Question question = {0};
    Answer answer;
    question_add(&question, "job", key, false);
    question_add(&question, "name", name, false);
    Request request = {.argument = question_argument, .context = &question};
    endpoint_answer(report->store, ENDPOINT_PICTURE, &request, &answer);
    Status status = OK;
    if (answer.code == 200 && answer.fd >= 0 && answer.bytes <= report->left) {
        unsigned char *data = memory_alloc(answer.bytes + 1);
        size_t got = 0;
        if (data == NULL) status = status_no_memory(answer.bytes, "a picture");
        for (ssize_t more = 1; status == OK && got < answer.bytes && more > 0; got += more > 0 ? (size_t)more : 0)
            more = pread(answer.fd, data + got, answer.bytes - got, (off_t)got);
        if (status == OK && got == answer.bytes) {
            Text query = {0};
            append_query(&query, &question);
            print_name(report, text_string(&query));
            text_free(&query);
            fputs("\"data:image/png;base64,", report->out);
            print_base64(report->out, data, got);
            fputc('"', report->out);
            report->left -= answer.bytes;
        }
        memory_free(data);
    }
    answer_clear(&answer);
    return status;
}

/* The names of a job's pictures as JSON; NULL where it has none. */
static Status list_pictures(HtmlReport *report, const char *key, Json **list)
{
    Question question = {0};
    Answer answer;
    *list = NULL;
    question_add(&question, "job", key, false);
    Request request = {.argument = question_argument, .context = &question};
    endpoint_answer(report->store, ENDPOINT_PICTURES, &request, &answer);
    Status status = answer.code == 200 ? json_parse(answer.data, answer.bytes, "pictures", list) : OK;
    answer_clear(&answer);
    return status;
}

/* The first picture of every job, then the second, as far as there is room: so that all variants have the same images. */
static Status print_pictures(HtmlReport *report, const View *view)
{
    Json **lists = memory_alloc_zero(view->job_count + 1, sizeof(Json *));
    if (lists == NULL) return status_no_memory(view->job_count * sizeof(Json *), "the report");
    Status status = OK;
    size_t most = 0;
    report->left = HTML_REPORT_PICTURE_BYTES;
    for (size_t i = 0; i < view->job_count && status == OK; i++) {
        if (!is_scored(&view->jobs[i])) continue;
        status = list_pictures(report, view->jobs[i].key, &lists[i]);
        const Json *names = lists[i] != NULL ? json_member(lists[i], "names") : NULL;
        if (names != NULL && names->count > most) most = names->count;
    }
    for (size_t n = 0; n < most && report->left > 4096; n++)
        for (size_t i = 0; i < view->job_count && status == OK; i++) {
            const Json *names = lists[i] != NULL ? json_member(lists[i], "names") : NULL;
            if (names != NULL && n < names->count) status = print_picture(report, view->jobs[i].key, names->items[n].string);
        }
    for (size_t i = 0; i < view->job_count; i++) json_destroy(lists[i]);
    memory_free(lists);
    return status;
}

/* All ------------------------------------------------------------------------------ */

static Status print_data(HtmlReport *report)
{
    View *view;
    FILE *out = report->out;
    TRY(store_view(report->store, report->study, &view));
    fprintf(out, "<script type=\"application/json\" id=\"zeroth-data\">{\"made\":%lld,", (long long)time(NULL));
    print_name(report, "study");
    JsonWriter writer = {0};
    json_string(&writer, report->study);
    print_json(out, text_string(&writer.text), writer.text.length);
    text_free(&writer.text);
    fputs(",\"answers\":{", out);
    report->comma = false;
    TRY(print_study(report, view));
    TRY(print_jobs(report, view));
    TRY(print_classes(report, view));
    fputs("},\"pictures\":{", out);
    report->comma = false;
    TRY(print_pictures(report, view));
    fputs("}}</script>", out);
    return OK;
}

Status html_report_print(const char *work, const char *study, FILE *out)
{
    Page page = page_get();
    if (page.bytes == 0) return status_error(STATUS_NOT_FOUND, "%s", PAGE_MISSING);
    const char *mark = memmem(page.data, page.bytes, PAGE_DATA_MARK, strlen(PAGE_DATA_MARK));
    if (mark == NULL) return status_error(STATUS_INTERNAL, "the page has no place for data");
    HtmlReport report = {.out = out, .study = study};
    View *view;
    TRY(store_open(work, &report.store));
    report.store->interval = 1e9; /* one state of the ledger throughout */
    Status status = store_view(report.store, study, &view); /* nothing is written where there is nothing to tell */
    if (status == OK) {
        fwrite(page.data, 1, (size_t)(mark - page.data), out);
        status = print_data(&report);
    }
    if (status == OK) fwrite(mark, 1, page.bytes - (size_t)(mark - page.data), out);
    store_close(report.store);
    return status;
}
