/* SQL of the dashboard's questions. Statements are made for each question: it is asked once a second, not once a row. */
#include "jobs/ledger_query.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "jobs/ledger_private.h"

/* The latest plan of study ?1. */
#define OF_STUDY "p.study=?1 AND p.plan=(SELECT plan FROM studies WHERE name=?1)"
#define PROVENANCE_COLUMN 25 /* behind ATTEMPT_COLUMNS */

typedef struct Question {
    Ledger *ledger;
    sqlite3_stmt *row;
} Question;

/* Binds arguments by letters: s text, i int64_t, r double. Ended by question_end, after a failure too. */
static Status question_begin(Question *question, Ledger *ledger, const char *sql, const char *types, ...)
{
    *question = (Question){.ledger = ledger};
    TRY(ledger_result(ledger, sqlite3_prepare_v2(ledger->database, sql, -1, &question->row, NULL)));
    va_list arguments;
    va_start(arguments, types);
    int result = SQLITE_OK;
    for (int i = 0; types[i] != '\0' && result == SQLITE_OK; i++) {
        if (types[i] == 's')
            result = sqlite3_bind_text(question->row, i + 1, va_arg(arguments, const char *), -1, SQLITE_TRANSIENT);
        else if (types[i] == 'r')
            result = sqlite3_bind_double(question->row, i + 1, va_arg(arguments, double));
        else
            result = sqlite3_bind_int64(question->row, i + 1, va_arg(arguments, int64_t));
    }
    va_end(arguments);
    return ledger_result(ledger, result);
}

/* The next row; false at the end, or where something failed before. */
static bool question_next(Question *question, Status *status)
{
    if (*status != OK) return false;
    int result = sqlite3_step(question->row);
    if (result == SQLITE_ROW) return true;
    *status = ledger_result(question->ledger, result);
    return false;
}

static Status question_end(Question *question, Status status)
{
    sqlite3_finalize(question->row);
    return status;
}

static const char *text_at(const Question *question, int column)
{
    const char *text = (const char *)sqlite3_column_text(question->row, column);
    return text != NULL ? text : "";
}

static int64_t integer_at(const Question *question, int column)
{
    return sqlite3_column_int64(question->row, column);
}

static double real_at(const Question *question, int column)
{
    if (sqlite3_column_type(question->row, column) == SQLITE_NULL) return (double)NAN;
    return sqlite3_column_double(question->row, column);
}

Status ledger_data_version(Ledger *ledger, int64_t *version)
{
    Question question;
    Status status = question_begin(&question, ledger, "PRAGMA data_version", "");
    *version = 0;
    while (question_next(&question, &status)) *version = integer_at(&question, 0);
    return question_end(&question, status);
}

Status ledger_each_study(Ledger *ledger, LedgerStudyTaker take, void *context)
{
    Question question;
    Status status = question_begin(&question, ledger,
                                   "SELECT name,path,trials,recorded FROM studies ORDER BY recorded DESC, name", "");
    while (question_next(&question, &status)) {
        LedgerStudy study = {.name = text_at(&question, 0), .path = text_at(&question, 1),
                             .trials = integer_at(&question, 2), .recorded = real_at(&question, 3)};
        status = take(context, &study);
    }
    return question_end(&question, status);
}

Status ledger_each_trial(Ledger *ledger, const char *study, LedgerTrialTaker take, void *context)
{
    Question question;
    Status status = question_begin(&question, ledger, "SELECT number,seed,variant,grouping,axes,jobs FROM trials "
                                   "WHERE study=? ORDER BY number", "s", study);
    while (question_next(&question, &status)) {
        LedgerTrial trial = {.number = integer_at(&question, 0), .seed = integer_at(&question, 1),
                             .variant = text_at(&question, 2), .group = text_at(&question, 3),
                             .axes = text_at(&question, 4), .jobs = text_at(&question, 5)};
        status = take(context, &trial);
    }
    return question_end(&question, status);
}

Status ledger_each_inputs(Ledger *ledger, const char *study, LedgerInputsTaker take, void *context)
{
    Question question;
    Status status = question_begin(&question, ledger, "SELECT j.key,j.inputs FROM plan_jobs p JOIN jobs j ON j.key=p.key "
                                   "WHERE " OF_STUDY, "s", study);
    while (question_next(&question, &status)) status = take(context, text_at(&question, 0), text_at(&question, 1));
    return question_end(&question, status);
}

/* CROSS JOIN fixes the order: all jobs are looked at, and those few that have changed are looked up in the study. */
Status ledger_each_changed(Ledger *ledger, const char *study, double since, LedgerJobTaker take, void *context)
{
    Question question;
    Status status = question_begin(&question, ledger, "SELECT " JOB_COLUMNS ",p.trials FROM jobs j CROSS JOIN plan_jobs p "
                                   "ON p.key=j.key WHERE " OF_STUDY " AND max(j.updated,j.decided)>=?2", "sr", study, since);
    while (question_next(&question, &status)) {
        LedgerJob job = {.key = text_at(&question, 0), .stage = stage_name((StageId)integer_at(&question, 1)),
                         .state = (JobState)integer_at(&question, 2), .cause = text_at(&question, 3),
                         .message = text_at(&question, 4), .attempts = integer_at(&question, 5),
                         .step = integer_at(&question, 6), .total = integer_at(&question, 7),
                         .seconds = real_at(&question, 8), .updated = real_at(&question, 9),
                         .trials = integer_at(&question, 10)};
        status = take(context, &job);
    }
    return question_end(&question, status);
}

/* Attempts ------------------------------------------------------------------ */

Status ledger_each_attempt(Ledger *ledger, const char *key, LedgerAttemptTaker take, void *context)
{
    Question question;
    Status status = question_begin(&question, ledger, "SELECT " ATTEMPT_COLUMNS ",provenance FROM attempts WHERE key=? "
                                   "ORDER BY number", "s", key);
    while (question_next(&question, &status)) {
        LedgerAttempt attempt;
        ledger_read_attempt(question.row, &attempt);
        status = take(context, &attempt, text_at(&question, PROVENANCE_COLUMN));
    }
    return question_end(&question, status);
}

/* Metrics -------------------------------------------------------------------- */

static Status take_results(Question *question, Status status, LedgerResultTaker take, void *context)
{
    while (question_next(question, &status))
        status = take(context, text_at(question, 0), text_at(question, 1), real_at(question, 2));
    return question_end(question, status);
}

Status ledger_each_study_result(Ledger *ledger, const char *study, LedgerResultTaker take, void *context)
{
    Question question;
    Status status = question_begin(&question, ledger, "SELECT r.key,r.name,r.value FROM plan_jobs p JOIN results r "
                                   "ON r.key=p.key WHERE " OF_STUDY, "s", study);
    return take_results(&question, status, take, context);
}

Status ledger_each_job_result(Ledger *ledger, const char *key, LedgerResultTaker take, void *context)
{
    Question question;
    Status status = question_begin(&question, ledger, "SELECT key,name,value FROM results WHERE key=?", "s", key);
    return take_results(&question, status, take, context);
}

Status ledger_each_metric(Ledger *ledger, const char *key, LedgerNameTaker take, void *context)
{
    Question question;
    char name[256] = "";
    Status status = question_begin(&question, ledger, "SELECT name FROM metrics WHERE key=?1 AND name>?2 "
                                   "ORDER BY name LIMIT 1", "ss", key, name);
    for (bool more = true; status == OK && more;) {
        more = question_next(&question, &status);
        if (!more) break;
        if (snprintf(name, sizeof name, "%s", text_at(&question, 0)) >= (int)sizeof name)
            status = status_error(STATUS_CORRUPT, "job %s: a metric's name is longer than %zu bytes", key, sizeof name);
        if (status == OK) status = take(context, name);
        sqlite3_reset(question.row);
        if (status == OK) status = ledger_result(ledger, sqlite3_bind_text(question.row, 2, name, -1, SQLITE_TRANSIENT));
    }
    return question_end(&question, status);
}

Status ledger_each_point(Ledger *ledger, const char *key, const char *name, int64_t first, int64_t last,
                         LedgerPointTaker take, void *context)
{
    Question question;
    Status status = question_begin(&question, ledger, "SELECT step,value FROM metrics WHERE key=? AND name=? AND "
                                   "step>=? AND step<=? ORDER BY step", "ssii", key, name, first, last);
    while (question_next(&question, &status)) status = take(context, integer_at(&question, 0), real_at(&question, 1));
    return question_end(&question, status);
}
