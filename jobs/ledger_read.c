/* What commands ask of the ledger. */
#include <stdio.h>
#include <string.h>

#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/ledger_private.h"

const char *ledger_work(const Ledger *ledger)
{
    return ledger->work;
}

static LedgerJob read_job(sqlite3_stmt *row)
{
    return (LedgerJob){.key = ledger_text(row, 0),
                       .stage = stage_name((StageId)sqlite3_column_int(row, 1)),
                       .state = (JobState)sqlite3_column_int(row, 2),
                       .cause = ledger_text(row, 3),
                       .message = ledger_text(row, 4),
                       .attempts = sqlite3_column_int64(row, 5),
                       .step = sqlite3_column_int64(row, 6),
                       .total = sqlite3_column_int64(row, 7),
                       .seconds = sqlite3_column_double(row, 8),
                       .updated = sqlite3_column_double(row, 9),
                       .trials = sqlite3_column_int64(row, 10)};
}

Status ledger_each_job(Ledger *ledger, const LedgerFilter *filter, LedgerJobTaker take, void *context)
{
    /* Keys are lower-case hex, so that those with a prefix lie below prefix + 'g'. */
    char high[HASH_HEX_SIZE + 2];
    const char *low = filter->prefix != NULL ? filter->prefix : "";
    snprintf(high, sizeof high, "%.32sg", low);
    StatementId id = filter->study != NULL ? (filter->state < 0 ? LIST_STUDY_JOBS : LIST_STUDY_STATE_JOBS)
                                           : (filter->state < 0 ? LIST_JOBS : LIST_STATE_JOBS);
    Status status = ledger_ask(ledger, id, filter->study != NULL ? "ssis" : "ssi", low, high, (int64_t)filter->state,
                               filter->study);
    while (ledger_next_row(ledger, id, &status)) {
        LedgerJob job = read_job(ledger_row(ledger, id));
        status = take(context, &job);
    }
    return status;
}

Status ledger_each_known_job(const char *work, LedgerJobTaker take, void *context)
{
    Ledger *ledger = NULL;
    LedgerFilter all = {.study = NULL, .prefix = NULL, .state = -1};
    Status status = ledger_open_reader(work, &ledger);
    if (status == OK) status = ledger_each_job(ledger, &all, take, context);
    ledger_close(ledger);
    if (status == OK || status_code(status) == STATUS_NO_MEMORY) return status;
    if (status_code(status) == STATUS_NOT_FOUND)
        status_free(status);
    else
        log_status(LOG_LEVEL_WARNING, status);
    return OK;
}

Status ledger_count_jobs(Ledger *ledger, const char *study, int64_t counts[STAGE_COUNT][JOB_STATE_COUNT])
{
    memset(counts, 0, sizeof(int64_t) * STAGE_COUNT * JOB_STATE_COUNT);
    StatementId id = study != NULL ? COUNT_STUDY_JOBS : COUNT_JOBS;
    Status status = ledger_ask(ledger, id, study != NULL ? "s" : "", study);
    while (ledger_next_row(ledger, id, &status)) {
        sqlite3_stmt *row = ledger_row(ledger, id);
        int stage = sqlite3_column_int(row, 0), state = sqlite3_column_int(row, 1);
        if (stage >= 0 && stage < STAGE_COUNT && state >= 0 && state < JOB_STATE_COUNT)
            counts[stage][state] = sqlite3_column_int64(row, 2);
    }
    return status;
}

Status ledger_list_studies(Ledger *ledger, char ***names, size_t *count)
{
    *names = NULL;
    *count = 0;
    Status status = ledger_ask(ledger, LIST_STUDIES, "");
    while (ledger_next_row(ledger, LIST_STUDIES, &status)) {
        char **larger = memory_resize(*names, (*count + 1) * sizeof *larger);
        if (larger != NULL) *names = larger;
        char *name = larger != NULL ? memory_copy_string(ledger_text(ledger_row(ledger, LIST_STUDIES), 0)) : NULL;
        if (name == NULL)
            status = status_no_memory(sizeof *larger, "names of studies");
        else
            (*names)[(*count)++] = name;
    }
    return status;
}

Status ledger_last_attempt(Ledger *ledger, const char *key, LedgerAttempt *attempt)
{
    ledger_attempt_init(attempt, key, 0);
    Status status = ledger_ask(ledger, LAST_ATTEMPT, "s", key);
    while (ledger_next_row(ledger, LAST_ATTEMPT, &status))
        ledger_read_attempt(ledger_row(ledger, LAST_ATTEMPT), attempt);
    attempt->losses = ledger->losses;
    if (status == OK && attempt->number == 0) status = status_error(STATUS_NOT_FOUND, "job %s has no attempt", key);
    return status;
}

Status ledger_list_running(Ledger *ledger, LedgerAttempt **attempts, size_t *count)
{
    *attempts = NULL;
    *count = 0;
    size_t capacity = 0;
    Status status = ledger_ask(ledger, LIST_RUNNING, "");
    while (ledger_next_row(ledger, LIST_RUNNING, &status)) {
        if (*count == capacity) {
            capacity = capacity > 0 ? capacity * 2 : 8;
            LedgerAttempt *larger = memory_resize(*attempts, capacity * sizeof *larger);
            if (larger == NULL) {
                status = status_no_memory(capacity * sizeof *larger, "a list of attempts");
                continue;
            }
            *attempts = larger;
        }
        ledger_read_attempt(ledger_row(ledger, LIST_RUNNING), &(*attempts)[*count]);
        (*attempts)[(*count)++].losses = ledger->losses;
    }
    return status;
}

Status ledger_mean_seconds(Ledger *ledger, StageId stage, double *seconds)
{
    *seconds = 0;
    Status status = ledger_ask(ledger, MEAN_SECONDS, "i", (int64_t)stage);
    while (ledger_next_row(ledger, MEAN_SECONDS, &status))
        *seconds = sqlite3_column_double(ledger_row(ledger, MEAN_SECONDS), 0);
    return status;
}
