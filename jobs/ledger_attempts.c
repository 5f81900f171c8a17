/* Events, verdicts and results become rows. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/artifact.h"
#include "jobs/events.h"
#include "jobs/ledger_private.h"
#include "jobs/verdicts.h"

void ledger_attempt_init(LedgerAttempt *attempt, const char *key, int number)
{
    LedgerAttempt fresh = {.number = number, .state = STATE_RUNNING, .begin_step = -1, .step = -1, .total = -1,
                           .checkpoint_step = -1};
    snprintf(fresh.key, sizeof fresh.key, "%s", key);
    *attempt = fresh; /* at last: the key may be its own */
}

/* Rows ------------------------------------------------------------------------- */

Status ledger_write_attempt(Ledger *ledger, const LedgerAttempt *a)
{
    TRY(ledger_put(ledger, PUT_ATTEMPT, "siisissiirrriiiisssrrriii", a->key, (int64_t)a->number, (int64_t)a->state,
                   a->host, a->pid, a->code, a->compiler, a->threads, a->ranks, a->started, a->ended, a->updated, a->begin_step,
                   a->step, a->total, a->checkpoint_step, a->unit, a->outcome, a->message, a->seconds, a->cpu,
                   a->active, a->peak_memory, a->offset, a->bad));
    return ledger_put(ledger, SET_PROGRESS, "siiirr", a->key, (int64_t)a->number, a->step, a->total, a->seconds,
                      a->updated);
}

void ledger_read_attempt(sqlite3_stmt *row, LedgerAttempt *a)
{
    ledger_attempt_init(a, ledger_text(row, 0), sqlite3_column_int(row, 1));
    const struct { char *out; size_t size; int column; } texts[] = {
        {a->host, sizeof a->host, 3}, {a->code, sizeof a->code, 5}, {a->compiler, sizeof a->compiler, 6},
        {a->unit, sizeof a->unit, 16}, {a->outcome, sizeof a->outcome, 17}, {a->message, sizeof a->message, 18}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        snprintf(texts[i].out, texts[i].size, "%s", ledger_text(row, texts[i].column));
    a->state = (JobState)sqlite3_column_int(row, 2);
    a->pid = sqlite3_column_int64(row, 4);
    a->threads = sqlite3_column_int64(row, 7);
    a->ranks = sqlite3_column_int64(row, 8);
    a->started = sqlite3_column_double(row, 9);
    a->ended = sqlite3_column_double(row, 10);
    a->updated = sqlite3_column_double(row, 11);
    a->begin_step = sqlite3_column_int64(row, 12);
    a->step = sqlite3_column_int64(row, 13);
    a->total = sqlite3_column_int64(row, 14);
    a->checkpoint_step = sqlite3_column_int64(row, 15);
    a->seconds = sqlite3_column_double(row, 19);
    a->cpu = sqlite3_column_double(row, 20);
    a->active = sqlite3_column_double(row, 21);
    a->peak_memory = sqlite3_column_int64(row, 22);
    a->offset = sqlite3_column_int64(row, 23);
    a->bad = sqlite3_column_int64(row, 24);
}

/* On the disk first: the ledger knows nothing that the directories do not tell. */
Status ledger_put_attempt(Ledger *ledger, const LedgerAttempt *attempt)
{
    TRY(verdict_append_attempt(ledger->work, ledger_clock(), attempt));
    return ledger_write_attempt(ledger, attempt);
}

/* Folding ------------------------------------------------------------------------ */

typedef struct Fold {
    Ledger *ledger;
    LedgerAttempt *attempt;
    bool whole;            /* more of the row has changed than how far the attempt has come */
    JsonWriter provenance; /* of a start event among those folded */
} Fold;

/* What does not fit is cut between two characters of UTF-8, so that it can be written as JSON again. */
static void copy_text(const Json *event, const char *key, char *out, size_t size)
{
    const Json *value = json_member(event, key);
    if (value == NULL || value->type != JSON_STRING) return;
    size_t length = strnlen(value->string, size);
    if (length == size)
        for (length--; length > 0 && ((unsigned char)value->string[length] & 0xc0) == 0x80;) length--;
    memcpy(out, value->string, length);
    out[length] = '\0';
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
            TRY(ledger_put(fold->ledger, PUT_METRIC, "ssir", fold->attempt->key, values->keys[i], step,
                           values->items[i].real));
    return OK;
}

static void fold_start(Fold *fold, double time, const Json *event)
{
    LedgerAttempt *a = fold->attempt;
    a->started = time;
    copy_text(event, "host", a->host, sizeof a->host);
    copy_text(event, "code", a->code, sizeof a->code);
    copy_text(event, "compiler", a->compiler, sizeof a->compiler);
    copy_integer(event, "pid", &a->pid);
    copy_integer(event, "threads", &a->threads);
    copy_integer(event, "ranks", &a->ranks);
    text_free(&fold->provenance.text);
    fold->provenance = (JsonWriter){0};
    json_begin_object(&fold->provenance);
    for (size_t i = 0; i < event->count; i++) {
        if (strcmp(event->keys[i], "time") == 0 || strcmp(event->keys[i], "event") == 0) continue;
        json_key(&fold->provenance, event->keys[i]);
        json_value(&fold->provenance, &event->items[i]);
    }
    json_end_object(&fold->provenance);
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
    bool computed = cpu != NULL && cpu->real - a->cpu > LEAST_LOAD * (time - a->updated);
    if (kind != EVENT_HEARTBEAT || cpu == NULL || computed) a->active = time;
    if (cpu != NULL) a->cpu = cpu->real;
}

static Status fold_event(void *context, EventKind kind, double time, const Json *event)
{
    Fold *fold = context;
    LedgerAttempt *a = fold->attempt;
    fold_activity(a, kind, time, event);
    a->updated = time;
    fold->whole |= kind == EVENT_START || kind == EVENT_BEGIN || kind == EVENT_END;
    copy_integer(event, "step", &a->step);
    copy_integer(event, "total", &a->total);
    switch (kind) {
    case EVENT_START: fold_start(fold, time, event); break;
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

/* Events written since, without the attempt's row. */
static Status read_events(Fold *fold)
{
    LedgerAttempt *a = fold->attempt;
    char *path = memory_format("%s/runs/%s/%04d/" EVENTS_NAME, fold->ledger->work, a->key, a->number);
    if (path == NULL) return status_no_memory(0, "a path");
    Status status = events_read(path, &a->offset, fold_event, fold, &a->bad);
    memory_free(path);
    return status;
}

/* How far the attempt has come, which touches no index: most events tell no more. False where it has no row yet. */
static Status write_progress(Ledger *ledger, const LedgerAttempt *a, bool *written)
{
    TRY(ledger_put(ledger, PUT_PROGRESS, "siriiirrii", a->key, (int64_t)a->number, a->updated, a->step, a->total,
                   a->checkpoint_step, a->cpu, a->active, a->offset, a->bad));
    *written = sqlite3_changes(ledger->database) > 0;
    return ledger_put(ledger, SET_STEP, "siiir", a->key, (int64_t)a->number, a->step, a->total, a->updated);
}

static Status write_fold(Fold *fold)
{
    bool written = false;
    if (!fold->whole) TRY(write_progress(fold->ledger, fold->attempt, &written));
    if (!written) TRY(ledger_write_attempt(fold->ledger, fold->attempt));
    if (fold->provenance.text.length == 0) return OK;
    if (fold->provenance.text.failed) return status_no_memory(0, "an attempt's provenance");
    return ledger_put(fold->ledger, SET_PROVENANCE, "sis", fold->attempt->key, (int64_t)fold->attempt->number,
                      text_string(&fold->provenance.text));
}

Status ledger_fold(Ledger *ledger, LedgerAttempt *attempt, bool *changed)
{
    /* What a failed transaction held is read again; to fold an event twice changes nothing. */
    if (attempt->offset > 0 && attempt->losses != ledger->losses) {
        int64_t pid = attempt->pid;
        ledger_attempt_init(attempt, attempt->key, attempt->number);
        attempt->pid = pid;
    }
    attempt->losses = ledger->losses;
    int64_t before = attempt->offset;
    Fold fold = {.ledger = ledger, .attempt = attempt, .whole = before == 0};
    Status status = read_events(&fold);
    bool any = attempt->offset != before;
    if (status == OK && any) status = write_fold(&fold);
    text_free(&fold.provenance.text);
    if (changed != NULL) *changed = any;
    return status;
}

/* States -------------------------------------------------------------------------- */

Status ledger_write_state(Ledger *ledger, const char *key, JobState state, const char *cause, const char *message,
                          double time)
{
    return ledger_put(ledger, SET_STATE, "sissr", key, (int64_t)state, cause, message, time);
}

Status ledger_record_results(Ledger *ledger, const char *key)
{
    Json *metrics;
    Status status = artifact_read_metrics(ledger->work, key, &metrics);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        return OK;
    }
    if (status == OK) status = ledger_put(ledger, DROP_RESULTS, "s", key);
    for (size_t i = 0; status == OK && metrics->type == JSON_OBJECT && i < metrics->count; i++)
        if (metrics->items[i].type == JSON_REAL || metrics->items[i].type == JSON_INTEGER)
            status = ledger_put(ledger, PUT_RESULT, "ssr", key, metrics->keys[i], metrics->items[i].real);
    json_destroy(metrics);
    return status;
}

/* From the directories --------------------------------------------------------------- */

static Status find_attempt(Ledger *ledger, const char *key, int number, LedgerAttempt *attempt, bool *found)
{
    *found = false;
    ledger_attempt_init(attempt, key, number);
    Status status = ledger_ask(ledger, GET_ATTEMPT, "si", key, (int64_t)number);
    while (ledger_next_row(ledger, GET_ATTEMPT, &status)) {
        ledger_read_attempt(ledger_row(ledger, GET_ATTEMPT), attempt);
        *found = true;
    }
    return status;
}

/* An attempt has a row where it said something or was launched. */
static Status import_attempt(Ledger *ledger, const char *key, int number, const Verdicts *verdicts)
{
    LedgerAttempt attempt;
    bool known;
    TRY(find_attempt(ledger, key, number, &attempt, &known));
    known |= verdicts_begin_attempt(verdicts, &attempt);
    attempt.losses = ledger->losses;
    Fold fold = {.ledger = ledger, .attempt = &attempt, .whole = true};
    Status status = read_events(&fold);
    verdicts_end_attempt(verdicts, &attempt);
    if (status == OK && (known || attempt.offset > 0)) status = write_fold(&fold);
    text_free(&fold.provenance.text);
    return status;
}

static int compare_numbers(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static Status import_attempts(Ledger *ledger, const char *key, const Verdicts *verdicts)
{
    char *run = run_directory(ledger->work, key), **names = NULL;
    size_t count = 0, found = 0;
    if (run == NULL) return status_no_memory(0, "a path");
    Status status = directory_list_any(run, &names, &count);
    memory_free(run);
    int *numbers = memory_alloc((count + 1) * sizeof *numbers);
    if (status == OK && numbers == NULL) status = status_no_memory(count, "a list of attempts");
    for (size_t i = 0; status == OK && i < count; i++) {
        int64_t number;
        if (parse_integer(names[i], &number) && number > 0 && number < INT_MAX) numbers[found++] = (int)number;
    }
    if (found > 1) qsort(numbers, found, sizeof *numbers, compare_numbers);
    for (size_t i = 0; i < found && status == OK; i++) status = import_attempt(ledger, key, numbers[i], verdicts);
    memory_free(numbers);
    names_free(names, count);
    return status;
}

/* A sound artifact is a finished job, whatever was said before; without one it is not. */
static Status decide(Ledger *ledger, const char *key, const Verdicts *verdicts)
{
    Status sound = artifact_check(ledger->work, key, false);
    StatusCode code = status_code(sound);
    if (code == STATUS_NO_MEMORY || code == STATUS_IO) return sound;
    status_free(sound);
    if (code == STATUS_OK) {
        TRY(ledger_write_state(ledger, key, STATE_FINISHED, NULL, NULL, verdicts->time));
        return ledger_record_results(ledger, key);
    }
    if (!verdicts->decided || verdicts->state == STATE_FINISHED)
        return ledger_write_state(ledger, key, STATE_WAITING, NULL, NULL, verdicts->time);
    return ledger_write_state(ledger, key, verdicts->state, verdicts->cause, verdicts->message, verdicts->time);
}

Status ledger_import_job(Ledger *ledger, const char *key, bool decides)
{
    Verdicts verdicts;
    Status status = verdicts_read(ledger->work, key, &verdicts);
    if (status == OK) status = import_attempts(ledger, key, &verdicts);
    if (status == OK && decides) status = decide(ledger, key, &verdicts);
    verdicts_free(&verdicts);
    return status;
}

/* Verdicts on jobs --------------------------------------------------------------------- */

static bool same_text(const char *known, const char *text)
{
    return strcmp(known, text != NULL ? text : "") == 0;
}

Status ledger_set_state(Ledger *ledger, const char *key, JobState state, const char *cause, const char *message)
{
    bool known = false, same = false;
    Status status = ledger_ask(ledger, FIND_JOB, "s", key);
    while (ledger_next_row(ledger, FIND_JOB, &status)) {
        sqlite3_stmt *row = ledger_row(ledger, FIND_JOB);
        known = true;
        same = sqlite3_column_int(row, 0) == (int)state && same_text(ledger_text(row, 1), cause) &&
               same_text(ledger_text(row, 2), message);
    }
    if (status != OK || !known || same) return status;
    double now = ledger_clock();
    TRY(verdict_append_job(ledger->work, key, now, state, cause, message));
    TRY(ledger_write_state(ledger, key, state, cause, message, now));
    /* The end of the job is that of its attempts, whichever of them its runner looked at: one that was given up as dead
     * too early has gone on. */
    return state == STATE_FINISHED || state == STATE_FAILED ? ledger_import_job(ledger, key, false) : OK;
}

Status ledger_settle(Ledger *ledger)
{
    LedgerAttempt *attempts;
    size_t count;
    Status status = ledger_list_running(ledger, &attempts, &count);
    for (size_t i = 0; i < count && status == OK; i++) status = ledger_fold(ledger, &attempts[i], NULL);
    memory_free(attempts);
    return status;
}
