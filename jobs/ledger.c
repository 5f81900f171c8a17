/* Writes the ledger, and answers what commands ask; ledger_query.c answers the dashboard. No other file has SQL. */
#include "jobs/ledger_private.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/artifact.h"
#include "jobs/events.h"

static const char SCHEMA[] =
    "CREATE TABLE studies(name TEXT PRIMARY KEY, path TEXT, trials INTEGER, recorded REAL) WITHOUT ROWID;"
    "CREATE TABLE trials(study TEXT, number INTEGER, variant TEXT, grouping TEXT, seed INTEGER, axes TEXT, jobs TEXT,"
    " PRIMARY KEY(study, number)) WITHOUT ROWID;"
    "CREATE TABLE study_jobs(study TEXT, key TEXT, trials INTEGER, PRIMARY KEY(study, key)) WITHOUT ROWID;"
    "CREATE INDEX study_jobs_by_key ON study_jobs(key);"
    "CREATE TABLE jobs(key TEXT PRIMARY KEY, stage INTEGER, version INTEGER, inputs TEXT, state INTEGER,"
    " cause TEXT, message TEXT, attempts INTEGER DEFAULT 0, step INTEGER DEFAULT -1, total INTEGER DEFAULT -1,"
    " seconds REAL DEFAULT 0, updated REAL) WITHOUT ROWID;"
    "CREATE INDEX jobs_by_state ON jobs(stage, state);"
    "CREATE TABLE attempts(key TEXT, number INTEGER, state INTEGER, host TEXT, pid INTEGER, code TEXT, compiler TEXT,"
    " threads INTEGER, ranks INTEGER, started REAL, ended REAL, updated REAL, begin_step INTEGER, step INTEGER,"
    " total INTEGER, checkpoint_step INTEGER, unit TEXT, outcome TEXT, message TEXT, seconds REAL,"
    " peak_memory INTEGER, offset INTEGER, PRIMARY KEY(key, number)) WITHOUT ROWID;"
    "CREATE TABLE metrics(key TEXT, name TEXT, step INTEGER, value REAL, PRIMARY KEY(key, name, step)) WITHOUT ROWID;"
    "CREATE TABLE results(key TEXT, name TEXT, value REAL, PRIMARY KEY(key, name)) WITHOUT ROWID;"
    "PRAGMA user_version = 1;";
static_assert(LEDGER_VERSION == 1, "the schema's user_version is LEDGER_VERSION");

#define STATEMENTS(X)                                                                                                 \
    X(PUT_STUDY, "INSERT OR REPLACE INTO studies VALUES(?,?,?,?)")                                                     \
    X(DROP_TRIALS, "DELETE FROM trials WHERE study=?")                                                                 \
    X(DROP_STUDY_JOBS, "DELETE FROM study_jobs WHERE study=?")                                                         \
    X(PUT_TRIAL, "INSERT INTO trials VALUES(?,?,?,?,?,?,?)")                                                           \
    X(PUT_STUDY_JOB, "INSERT OR REPLACE INTO study_jobs VALUES(?,?,?)")                                                \
    X(PUT_JOB, "INSERT INTO jobs(key,stage,version,inputs,state,updated) VALUES(?,?,?,?,?,?) ON CONFLICT(key) DO "     \
               "UPDATE SET state=excluded.state, cause=NULL, message=NULL, updated=excluded.updated "                  \
               "WHERE state<>excluded.state")                                                                          \
    X(SET_STATE, "UPDATE jobs SET state=?2, cause=?3, message=?4, updated=?5 WHERE key=?1")                            \
    X(SET_PROGRESS, "UPDATE jobs SET attempts=max(attempts,?2), step=?3, total=?4, seconds=?5, updated=?6 WHERE key=?1") \
    X(PUT_ATTEMPT, "INSERT OR REPLACE INTO attempts VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")              \
    X(PUT_METRIC, "INSERT OR REPLACE INTO metrics VALUES(?,?,?,?)")                                                    \
    X(PUT_RESULT, "INSERT OR REPLACE INTO results VALUES(?,?,?)")                                                      \
    X(LIST_JOBS, "SELECT key,stage,state,cause,message,attempts,step,total,seconds,updated,"                           \
                 "(SELECT sum(trials) FROM study_jobs s WHERE s.key=jobs.key) FROM jobs "                              \
                 "WHERE key>=?1 AND key<?2 AND (?3<0 OR state=?3) ORDER BY stage,key")                                 \
    X(LIST_STUDY_JOBS, "SELECT j.key,stage,state,cause,message,attempts,step,total,seconds,updated,s.trials "          \
                       "FROM study_jobs s JOIN jobs j ON j.key=s.key "                                                 \
                       "WHERE s.study=?4 AND s.key>=?1 AND s.key<?2 AND (?3<0 OR state=?3) ORDER BY stage,j.key")      \
    X(COUNT_JOBS, "SELECT stage,state,count(*) FROM jobs GROUP BY stage,state")                                        \
    X(COUNT_STUDY_JOBS, "SELECT stage,state,count(*) FROM study_jobs s JOIN jobs j ON j.key=s.key WHERE s.study=? "    \
                        "GROUP BY stage,state")                                                                        \
    X(LIST_STUDIES, "SELECT name FROM studies ORDER BY recorded DESC, name")                                           \
    X(LAST_ATTEMPT, "SELECT number,state,host,pid,code,compiler,threads,ranks,started,ended,updated,begin_step,step,"  \
                    "total,checkpoint_step,unit,outcome,message,seconds,peak_memory,offset FROM attempts "             \
                    "WHERE key=? ORDER BY number DESC LIMIT 1")                                                        \
    X(LIST_RUNNING, "SELECT key,number FROM attempts WHERE state=?")                                                   \
    X(MEAN_SECONDS, "SELECT avg(seconds) FROM jobs WHERE stage=? AND state=? AND seconds>0")

typedef enum StatementId {
#define X(id, sql) id,
    STATEMENTS(X)
#undef X
    STATEMENT_COUNT
} StatementId;

static const char *const SQL[] = {
#define X(id, sql) [id] = sql,
    STATEMENTS(X)
#undef X
};
static_assert(sizeof SQL / sizeof SQL[0] == STATEMENT_COUNT, "every statement has its text");

static const char *const STATE_NAMES[] = {
#define X(state, name) [state] = name,
    JOB_STATES(X)
#undef X
};
static_assert(sizeof STATE_NAMES / sizeof STATE_NAMES[0] == JOB_STATE_COUNT, "every state has a name");

struct Ledger {
    sqlite3 *database;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    FileLock *lock; /* NULL for a reader */
    char *work, *path;
    bool writing;   /* a transaction is open */
};

const char *job_state_name(JobState state)
{
    return state < JOB_STATE_COUNT ? STATE_NAMES[state] : "?";
}

static double wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* SQLite ----------------------------------------------------------------------- */

static Status check(const Ledger *ledger, int result)
{
    if (result == SQLITE_OK || result == SQLITE_DONE || result == SQLITE_ROW) return OK;
    StatusCode code = STATUS_LIBRARY;
    int primary = result & 0xff;
    if (primary == SQLITE_FULL) code = STATUS_NO_SPACE;
    if (primary == SQLITE_NOMEM) code = STATUS_NO_MEMORY;
    if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED) code = STATUS_LOCKED;
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) code = STATUS_CORRUPT;
    if (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN || primary == SQLITE_READONLY) code = STATUS_IO;
    return status_error(code, "%s: SQLite: %s%s", ledger->path,
                        ledger->database != NULL ? sqlite3_errmsg(ledger->database) : sqlite3_errstr(result),
                        code == STATUS_CORRUPT ? ": remove it, and run a study again: it is only a copy of what the "
                                                 "directories hold" : "");
}

sqlite3 *ledger_database(Ledger *ledger)
{
    return ledger->database;
}

Status ledger_check(const Ledger *ledger, int result)
{
    return check(ledger, result);
}

static Status execute(Ledger *ledger, const char *sql)
{
    return check(ledger, sqlite3_exec(ledger->database, sql, NULL, NULL, NULL));
}

static Status begin_writing(Ledger *ledger)
{
    if (ledger->writing) return OK;
    if (ledger->lock == NULL) return status_error(STATUS_INTERNAL, "%s: written through a reader", ledger->path);
    TRY(execute(ledger, "BEGIN IMMEDIATE"));
    ledger->writing = true;
    return OK;
}

/* Binds arguments by letters: s text (NULL allowed), i int64_t, r double. */
static Status bind(Ledger *ledger, StatementId id, const char *types, va_list arguments)
{
    sqlite3_stmt **slot = &ledger->statements[id];
    if (*slot == NULL)
        TRY(check(ledger, sqlite3_prepare_v3(ledger->database, SQL[id], -1, SQLITE_PREPARE_PERSISTENT, slot, NULL)));
    sqlite3_reset(*slot);
    for (int i = 0; types[i] != '\0'; i++) {
        int result = SQLITE_MISUSE;
        if (types[i] == 's') result = sqlite3_bind_text(*slot, i + 1, va_arg(arguments, const char *), -1, SQLITE_TRANSIENT);
        if (types[i] == 'i') result = sqlite3_bind_int64(*slot, i + 1, va_arg(arguments, int64_t));
        if (types[i] == 'r') result = sqlite3_bind_double(*slot, i + 1, va_arg(arguments, double));
        TRY(check(ledger, result));
    }
    return OK;
}

/* A statement that writes. */
static Status put(Ledger *ledger, StatementId id, const char *types, ...)
{
    TRY(begin_writing(ledger));
    va_list arguments;
    va_start(arguments, types);
    Status status = bind(ledger, id, types, arguments);
    va_end(arguments);
    TRY(status);
    status = check(ledger, sqlite3_step(ledger->statements[id]));
    sqlite3_reset(ledger->statements[id]);
    return status;
}

static Status ask(Ledger *ledger, StatementId id, const char *types, ...)
{
    va_list arguments;
    va_start(arguments, types);
    Status status = bind(ledger, id, types, arguments);
    va_end(arguments);
    return status;
}

/* The next row of what was asked; false at the end. */
static bool next_row(Ledger *ledger, StatementId id, Status *status)
{
    if (*status == OK) {
        int result = sqlite3_step(ledger->statements[id]);
        if (result == SQLITE_ROW) return true;
        *status = check(ledger, result);
    }
    sqlite3_reset(ledger->statements[id]);
    return false;
}

/* Opening ------------------------------------------------------------------------- */

static Status read_version(Ledger *ledger, int *version)
{
    sqlite3_stmt *statement = NULL;
    TRY(check(ledger, sqlite3_prepare_v2(ledger->database, "PRAGMA user_version", -1, &statement, NULL)));
    int result = sqlite3_step(statement);
    *version = result == SQLITE_ROW ? sqlite3_column_int(statement, 0) : 0;
    sqlite3_finalize(statement);
    return check(ledger, result);
}

static Status check_version(Ledger *ledger)
{
    int version;
    TRY(read_version(ledger, &version));
    if (version == LEDGER_VERSION) return OK;
    if (version != 0)
        return status_error(STATUS_VERSION, "%s: has schema %d, and this program knows %d: use the program that wrote it, "
                            "or remove it: it is only a copy of what the directories hold", ledger->path, version,
                            LEDGER_VERSION);
    if (ledger->lock == NULL) return status_error(STATUS_NOT_FOUND, "%s: is empty", ledger->path);
    TRY(begin_writing(ledger));
    TRY(execute(ledger, SCHEMA));
    return ledger_flush(ledger);
}

static Status open_database(Ledger *ledger)
{
    int flags = ledger->lock != NULL ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    TRY(check(ledger, sqlite3_open_v2(ledger->path, &ledger->database, flags, NULL)));
    sqlite3_busy_timeout(ledger->database, 10000);
    if (ledger->lock != NULL) TRY(execute(ledger, "PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=NORMAL"));
    return check_version(ledger);
}

static Status open_ledger(const char *work, bool writer, Ledger **out)
{
    *out = NULL;
    Ledger *ledger = memory_alloc_zero(1, sizeof *ledger);
    if (ledger == NULL) return status_no_memory(sizeof *ledger, "the ledger");
    Status status = OK;
    ledger->work = memory_copy_string(work);
    ledger->path = path_join(work, LEDGER_NAME);
    char *lock = path_join(work, LEDGER_LOCK_NAME);
    if (ledger->work == NULL || ledger->path == NULL || lock == NULL)
        status = status_no_memory(0, "the ledger");
    else if (writer) {
        status = directory_create(work);
        if (status == OK) status = status_wrap(file_lock(lock, &ledger->lock), "another command writes this ledger");
    } else if (!file_exists(ledger->path)) {
        status = status_error(STATUS_NOT_FOUND, "%s: no ledger there: run a study first, or name its STUDY.yaml or --work",
                              work);
    }
    memory_free(lock);
    if (status == OK) status = open_database(ledger);
    if (status == OK)
        *out = ledger;
    else
        ledger_close(ledger);
    return status;
}

Status ledger_open_writer(const char *work, Ledger **ledger)
{
    return open_ledger(work, true, ledger);
}

Status ledger_open_reader(const char *work, Ledger **ledger)
{
    return open_ledger(work, false, ledger);
}

Status ledger_flush(Ledger *ledger)
{
    if (!ledger->writing) return OK;
    ledger->writing = false;
    Status status = execute(ledger, "COMMIT");
    if (status != OK) sqlite3_exec(ledger->database, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

void ledger_close(Ledger *ledger)
{
    if (ledger == NULL) return;
    if (ledger->database != NULL) {
        Status status = ledger_flush(ledger);
        if (status != OK) log_status(LOG_LEVEL_WARNING, status);
        for (int i = 0; i < STATEMENT_COUNT; i++) sqlite3_finalize(ledger->statements[i]);
        sqlite3_close(ledger->database);
    }
    file_unlock(ledger->lock);
    memory_free(ledger->path);
    memory_free(ledger->work);
    memory_free(ledger);
}

/* Plans ---------------------------------------------------------------------------- */

static void write_axes(const Trial *trial, JsonWriter *writer)
{
    json_begin_object(writer);
    for (size_t i = 0; i < trial->value_count; i++) {
        json_key(writer, trial->values[i].key);
        json_string(writer, trial->values[i].text);
    }
    json_end_object(writer);
}

static void write_jobs(const Plan *plan, const uint32_t *jobs, JsonWriter *writer)
{
    json_begin_object(writer);
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        if (jobs[stage] == NO_JOB) continue;
        json_key(writer, stage_name((StageId)stage));
        json_string(writer, plan->jobs[jobs[stage]].key);
    }
    json_end_object(writer);
}

static Status put_trial(Ledger *ledger, const Plan *plan, size_t number)
{
    const Trial *trial = &plan->study->trials[number];
    JsonWriter axes = {0}, jobs = {0};
    write_axes(trial, &axes);
    write_jobs(plan, plan->trial_jobs + number * STAGE_COUNT, &jobs);
    Status status = axes.text.failed || jobs.text.failed ? status_no_memory(axes.text.length, "a trial") : OK;
    if (status == OK)
        status = put(ledger, PUT_TRIAL, "sississ", plan->study->name, (int64_t)number, trial->variant, trial->group,
                     trial->seed, text_string(&axes.text), text_string(&jobs.text));
    text_free(&axes.text);
    text_free(&jobs.text);
    return status;
}

static Status put_job(Ledger *ledger, const Plan *plan, size_t index, double now)
{
    const PlanJob *job = &plan->jobs[index];
    JsonWriter inputs = {0};
    write_jobs(plan, job->inputs, &inputs);
    Status status = inputs.text.failed ? status_no_memory(inputs.text.length, "a job") : OK;
    JobState state = job->need == JOB_FINISHED ? STATE_FINISHED : STATE_WAITING;
    if (status == OK)
        status = put(ledger, PUT_JOB, "siisir", job->key, (int64_t)job->stage, (int64_t)job->definition->version,
                     text_string(&inputs.text), (int64_t)state, now);
    text_free(&inputs.text);
    TRY(status);
    return put(ledger, PUT_STUDY_JOB, "ssi", plan->study->name, job->key, (int64_t)job->trials);
}

/* One line per trial: what a rebuild needs. */
static Status write_study_files(const Ledger *ledger, const Plan *plan)
{
    const Study *study = plan->study;
    char *directory = study_directory(ledger->work, study->name);
    char *text = directory != NULL ? path_join(directory, "study.yaml") : NULL;
    char *trials = directory != NULL ? path_join(directory, "trials.jsonl") : NULL;
    Text lines = {0};
    for (size_t i = 0; i < study->trial_count; i++) {
        JsonWriter writer = {0};
        json_begin_object(&writer);
        json_key(&writer, "variant");
        json_string(&writer, study->trials[i].variant);
        json_key(&writer, "group");
        json_string(&writer, study->trials[i].group);
        json_key(&writer, "seed");
        json_integer(&writer, study->trials[i].seed);
        json_key(&writer, "axes");
        write_axes(&study->trials[i], &writer);
        json_key(&writer, "jobs");
        write_jobs(plan, plan->trial_jobs + i * STAGE_COUNT, &writer);
        json_end_object(&writer);
        lines.failed |= writer.text.failed;
        text_append(&lines, text_string(&writer.text));
        text_append(&lines, "\n");
        text_free(&writer.text);
    }
    Status status = trials == NULL || text == NULL || lines.failed ? status_no_memory(lines.length, "a study's record") : OK;
    if (status == OK) status = directory_create(directory);
    if (status == OK) status = file_write(text, study->text, study->bytes);
    if (status == OK) status = file_write(trials, text_string(&lines), lines.length);
    text_free(&lines);
    memory_free(trials);
    memory_free(text);
    memory_free(directory);
    return status;
}

Status ledger_record_plan(Ledger *ledger, const Plan *plan)
{
    const Study *study = plan->study;
    double now = wall_clock();
    TRY(write_study_files(ledger, plan));
    TRY(put(ledger, PUT_STUDY, "ssir", study->name, study->path, (int64_t)study->trial_count, now));
    TRY(put(ledger, DROP_TRIALS, "s", study->name));
    TRY(put(ledger, DROP_STUDY_JOBS, "s", study->name));
    for (size_t i = 0; i < study->trial_count; i++) TRY(put_trial(ledger, plan, i));
    for (size_t i = 0; i < plan->count; i++) TRY(put_job(ledger, plan, i, now));
    return ledger_flush(ledger);
}

/* Attempts -------------------------------------------------------------------------- */

void ledger_attempt_init(LedgerAttempt *attempt, const char *key, int number)
{
    *attempt = (LedgerAttempt){.number = number, .state = STATE_RUNNING, .begin_step = -1, .step = -1, .total = -1,
                               .checkpoint_step = -1};
    snprintf(attempt->key, sizeof attempt->key, "%s", key);
}

Status ledger_put_attempt(Ledger *ledger, const LedgerAttempt *a)
{
    TRY(put(ledger, PUT_ATTEMPT, "siisissiirrriiiisssrii", a->key, (int64_t)a->number, (int64_t)a->state, a->host, a->pid,
            a->code, a->compiler, a->threads, a->ranks, a->started, a->ended, a->updated, a->begin_step, a->step, a->total,
            a->checkpoint_step, a->unit, a->outcome, a->message, a->seconds, a->peak_memory, a->offset));
    return put(ledger, SET_PROGRESS, "siiirr", a->key, (int64_t)a->number, a->step, a->total, a->seconds, wall_clock());
}

typedef struct Fold {
    Ledger *ledger;
    LedgerAttempt *attempt;
    bool changed;
} Fold;

static void copy_text(const Json *event, const char *key, char *out, size_t size)
{
    const Json *value = json_member(event, key);
    if (value != NULL && value->type == JSON_STRING) snprintf(out, size, "%s", value->string);
}

static void copy_integer(const Json *event, const char *key, int64_t *out)
{
    const Json *value = json_member(event, key);
    if (value != NULL && value->type == JSON_INTEGER) *out = value->integer;
}

static Status fold_metrics(Fold *fold, const Json *event)
{
    const Json *values = json_member(event, "values");
    int64_t step = 0;
    copy_integer(event, "step", &step);
    for (size_t i = 0; values != NULL && values->type == JSON_OBJECT && i < values->count; i++)
        if (values->items[i].type == JSON_REAL || values->items[i].type == JSON_INTEGER)
            TRY(put(fold->ledger, PUT_METRIC, "ssir", fold->attempt->key, values->keys[i], step, values->items[i].real));
    return OK;
}

static void fold_end(LedgerAttempt *a, double time, const Json *event)
{
    copy_text(event, "outcome", a->outcome, sizeof a->outcome);
    copy_text(event, "message", a->message, sizeof a->message);
    copy_integer(event, "peak_memory", &a->peak_memory);
    const Json *seconds = json_member(event, "seconds");
    if (seconds != NULL) a->seconds = seconds->real;
    a->ended = time;
    StatusCode code = status_code_from_name(a->outcome);
    a->state = code == STATUS_OK ? STATE_FINISHED : code == STATUS_INTERRUPTED ? STATE_INTERRUPTED : STATE_FAILED;
}

/* An attempt computes where it uses at least this part of a processor between two signs of life. */
#define LEAST_LOAD 0.02

/* Any event but a heartbeat is a deed of the attempt; a heartbeat is none, unless processor time has grown. */
static void fold_activity(LedgerAttempt *a, EventKind kind, double time, const Json *event)
{
    const Json *cpu = json_member(event, "cpu");
    if (kind != EVENT_HEARTBEAT || cpu == NULL) {
        a->active = time;
        return;
    }
    if (cpu->real - a->cpu > LEAST_LOAD * (time - a->updated)) a->active = time;
    a->cpu = cpu->real;
}

static Status fold_event(void *context, EventKind kind, double time, const Json *event)
{
    Fold *fold = context;
    LedgerAttempt *a = fold->attempt;
    fold->changed = true;
    fold_activity(a, kind, time, event);
    a->updated = time;
    copy_integer(event, "step", &a->step);
    copy_integer(event, "total", &a->total);
    switch (kind) {
    case EVENT_START:
        a->started = time;
        copy_text(event, "host", a->host, sizeof a->host);
        copy_text(event, "code", a->code, sizeof a->code);
        copy_text(event, "compiler", a->compiler, sizeof a->compiler);
        copy_integer(event, "pid", &a->pid);
        copy_integer(event, "threads", &a->threads);
        copy_integer(event, "ranks", &a->ranks);
        break;
    case EVENT_BEGIN:
        copy_integer(event, "step", &a->begin_step);
        copy_text(event, "unit", a->unit, sizeof a->unit);
        break;
    case EVENT_METRICS: return fold_metrics(fold, event);
    case EVENT_CHECKPOINT: copy_integer(event, "step", &a->checkpoint_step); break;
    case EVENT_END: fold_end(a, time, event); break;
    default: break;
    }
    return OK;
}

Status ledger_fold(Ledger *ledger, LedgerAttempt *attempt, bool *changed)
{
    Fold fold = {.ledger = ledger, .attempt = attempt};
    char *directory = attempt_directory(ledger->work, attempt->key, attempt->number);
    char *path = directory != NULL ? path_join(directory, EVENTS_NAME) : NULL;
    memory_free(directory);
    if (path == NULL) return status_no_memory(0, "a path");
    Status status = events_read(path, &attempt->offset, fold_event, &fold, &attempt->bad);
    memory_free(path);
    if (status == OK && fold.changed) status = ledger_put_attempt(ledger, attempt);
    if (changed != NULL) *changed = fold.changed;
    return status;
}

Status ledger_set_state(Ledger *ledger, const char *key, JobState state, const char *cause, const char *message)
{
    return put(ledger, SET_STATE, "sissr", key, (int64_t)state, cause, message, wall_clock());
}

Status ledger_record_results(Ledger *ledger, const char *key)
{
    Json *metrics;
    Status status = artifact_read_metrics(ledger->work, key, &metrics);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        return OK;
    }
    for (size_t i = 0; status == OK && metrics->type == JSON_OBJECT && i < metrics->count; i++)
        if (metrics->items[i].type == JSON_REAL || metrics->items[i].type == JSON_INTEGER)
            status = put(ledger, PUT_RESULT, "ssr", key, metrics->keys[i], metrics->items[i].real);
    json_destroy(metrics);
    return status;
}

/* Reading ------------------------------------------------------------------------------ */

static const char *column_text(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    return text != NULL ? text : "";
}

Status ledger_each_job(Ledger *ledger, const LedgerFilter *filter, LedgerJobTaker take, void *context)
{
    /* Keys are lower-case hex, so that those with a prefix lie below prefix + 'g'. */
    char high[HASH_HEX_SIZE + 2];
    snprintf(high, sizeof high, "%.32sg", filter->prefix != NULL ? filter->prefix : "");
    StatementId id = filter->study != NULL ? LIST_STUDY_JOBS : LIST_JOBS;
    Status status = ask(ledger, id, filter->study != NULL ? "ssis" : "ssi", filter->prefix != NULL ? filter->prefix : "",
                        high, (int64_t)filter->state, filter->study);
    while (next_row(ledger, id, &status)) {
        sqlite3_stmt *row = ledger->statements[id];
        LedgerJob job = {.key = column_text(row, 0),
                         .stage = stage_name((StageId)sqlite3_column_int(row, 1)),
                         .state = (JobState)sqlite3_column_int(row, 2),
                         .cause = column_text(row, 3),
                         .message = column_text(row, 4),
                         .attempts = sqlite3_column_int64(row, 5),
                         .step = sqlite3_column_int64(row, 6),
                         .total = sqlite3_column_int64(row, 7),
                         .seconds = sqlite3_column_double(row, 8),
                         .updated = sqlite3_column_double(row, 9),
                         .trials = sqlite3_column_int64(row, 10)};
        status = take(context, &job);
    }
    return status;
}

Status ledger_count_jobs(Ledger *ledger, const char *study, int64_t counts[STAGE_COUNT][JOB_STATE_COUNT])
{
    memset(counts, 0, sizeof(int64_t) * STAGE_COUNT * JOB_STATE_COUNT);
    StatementId id = study != NULL ? COUNT_STUDY_JOBS : COUNT_JOBS;
    Status status = ask(ledger, id, study != NULL ? "s" : "", study);
    while (next_row(ledger, id, &status)) {
        int stage = sqlite3_column_int(ledger->statements[id], 0), state = sqlite3_column_int(ledger->statements[id], 1);
        if (stage >= 0 && stage < STAGE_COUNT && state >= 0 && state < JOB_STATE_COUNT)
            counts[stage][state] = sqlite3_column_int64(ledger->statements[id], 2);
    }
    return status;
}

Status ledger_list_studies(Ledger *ledger, char ***names, size_t *count)
{
    *names = NULL;
    *count = 0;
    Status status = ask(ledger, LIST_STUDIES, "");
    while (next_row(ledger, LIST_STUDIES, &status)) {
        char **larger = memory_resize(*names, (*count + 1) * sizeof *larger);
        if (larger != NULL) *names = larger;
        char *name = larger != NULL ? memory_copy_string(column_text(ledger->statements[LIST_STUDIES], 0)) : NULL;
        if (name == NULL)
            status = status_no_memory(sizeof *larger, "names of studies");
        else
            (*names)[(*count)++] = name;
    }
    return status;
}

static void read_attempt(sqlite3_stmt *row, LedgerAttempt *a)
{
    struct { char *out; size_t size; int column; } texts[] = {
        {a->host, sizeof a->host, 2}, {a->code, sizeof a->code, 4}, {a->compiler, sizeof a->compiler, 5},
        {a->unit, sizeof a->unit, 15}, {a->outcome, sizeof a->outcome, 16}, {a->message, sizeof a->message, 17}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        snprintf(texts[i].out, texts[i].size, "%s", column_text(row, texts[i].column));
    a->number = sqlite3_column_int(row, 0);
    a->state = (JobState)sqlite3_column_int(row, 1);
    a->pid = sqlite3_column_int64(row, 3);
    a->threads = sqlite3_column_int64(row, 6);
    a->ranks = sqlite3_column_int64(row, 7);
    a->started = sqlite3_column_double(row, 8);
    a->ended = sqlite3_column_double(row, 9);
    a->updated = sqlite3_column_double(row, 10);
    a->begin_step = sqlite3_column_int64(row, 11);
    a->step = sqlite3_column_int64(row, 12);
    a->total = sqlite3_column_int64(row, 13);
    a->checkpoint_step = sqlite3_column_int64(row, 14);
    a->seconds = sqlite3_column_double(row, 18);
    a->peak_memory = sqlite3_column_int64(row, 19);
    a->offset = sqlite3_column_int64(row, 20);
}

Status ledger_last_attempt(Ledger *ledger, const char *key, LedgerAttempt *attempt)
{
    ledger_attempt_init(attempt, key, 0);
    Status status = ask(ledger, LAST_ATTEMPT, "s", key);
    while (next_row(ledger, LAST_ATTEMPT, &status)) read_attempt(ledger->statements[LAST_ATTEMPT], attempt);
    if (status == OK && attempt->number == 0) status = status_error(STATUS_NOT_FOUND, "job %s has no attempt", key);
    return status;
}

Status ledger_list_running(Ledger *ledger, LedgerAttempt **attempts, size_t *count)
{
    *attempts = NULL;
    *count = 0;
    Status status = ask(ledger, LIST_RUNNING, "i", (int64_t)STATE_RUNNING);
    while (next_row(ledger, LIST_RUNNING, &status)) {
        sqlite3_stmt *row = ledger->statements[LIST_RUNNING];
        LedgerAttempt *larger = memory_resize(*attempts, (*count + 1) * sizeof *larger);
        if (larger == NULL) {
            status = status_no_memory((*count + 1) * sizeof *larger, "a list of attempts");
            continue;
        }
        *attempts = larger;
        ledger_attempt_init(&larger[(*count)++], column_text(row, 0), sqlite3_column_int(row, 1));
    }
    return status;
}

Status ledger_mean_seconds(Ledger *ledger, StageId stage, double *seconds)
{
    *seconds = 0;
    Status status = ask(ledger, MEAN_SECONDS, "ii", (int64_t)stage, (int64_t)STATE_FINISHED);
    while (next_row(ledger, MEAN_SECONDS, &status)) *seconds = sqlite3_column_double(ledger->statements[MEAN_SECONDS], 0);
    return status;
}
