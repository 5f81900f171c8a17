/* All that is known of one job, as JSON. */
#include <stdio.h>
#include <string.h>

#include "framework/memory.h"
#include "jobs/artifact.h"
#include "jobs/attempt.h"
#include "jobs/ledger_private.h"

/* JSON that is written already. */
static void add_text(JsonWriter *writer, const char *key, const char *json)
{
    json_key(writer, key);
    text_append(&writer->text, json[0] != '\0' ? json : "{}");
    writer->need_comma = true;
}

/* A member of a file, where there is such a file. */
static Status add_member_of(JsonWriter *writer, const char *member, char *path, bool *found)
{
    if (path == NULL) return status_no_memory(0, "a path");
    Json *json = NULL;
    Status status = json_read_file(path, &json);
    memory_free(path);
    if (status_code(status) == STATUS_NO_MEMORY) return status;
    if (status == OK && json_member(json, member) != NULL) {
        json_key(writer, member);
        json_value(writer, json_member(json, member));
        *found = true;
    }
    if (status == OK) json_destroy(json);
    status_free(status);
    return OK;
}

static Status find_key(Ledger *ledger, const char *prefix, char key[HASH_HEX_SIZE])
{
    LedgerFilter filter = {.prefix = prefix, .state = -1};
    char high[HASH_HEX_SIZE + 2];
    int64_t found = 0;
    snprintf(high, sizeof high, "%.32sg", filter.prefix);
    Status status = ledger_ask(ledger, LIST_JOBS, "ssi", prefix, high, (int64_t)-1);
    while (ledger_next_row(ledger, LIST_JOBS, &status))
        if (found++ == 0) snprintf(key, HASH_HEX_SIZE, "%s", ledger_text(ledger_row(ledger, LIST_JOBS), 0));
    TRY(status);
    if (found == 0)
        return status_error(STATUS_NOT_FOUND, "no job's key begins with '%s' in %s: see 'zeroth status --all'", prefix,
                            ledger->work);
    if (found > 1)
        return status_error(STATUS_USAGE, "'%s' begins the keys of %lld jobs: give more digits", prefix,
                            (long long)found);
    return OK;
}

static Status show_job(Ledger *ledger, const char *key, JsonWriter *writer)
{
    json_add_string(writer, "key", key);
    Status status = ledger_ask(ledger, SHOW_JOB, "s", key);
    while (ledger_next_row(ledger, SHOW_JOB, &status)) {
        sqlite3_stmt *row = ledger_row(ledger, SHOW_JOB);
        json_add_string(writer, "stage", stage_name((StageId)sqlite3_column_int(row, 0)));
        json_add_integer(writer, "stage_version", sqlite3_column_int64(row, 1));
        json_add_string(writer, "state", job_state_name((JobState)sqlite3_column_int(row, 3)));
        if (ledger_text(row, 4)[0] != '\0') json_add_string(writer, "cause", ledger_text(row, 4));
        if (ledger_text(row, 5)[0] != '\0') json_add_string(writer, "message", ledger_text(row, 5));
        double updated = sqlite3_column_double(row, 6), decided = sqlite3_column_double(row, 7);
        json_add_real(writer, "updated", updated > decided ? updated : decided);
        add_text(writer, "inputs", ledger_text(row, 2));
    }
    TRY(status);
    json_key(writer, "studies");
    json_begin_array(writer);
    status = ledger_ask(ledger, SHOW_STUDIES, "s", key);
    while (ledger_next_row(ledger, SHOW_STUDIES, &status)) json_string(writer,
                                                                       ledger_text(ledger_row(ledger, SHOW_STUDIES),
                                                                                   0));
    json_end_array(writer);
    return status;
}

static void show_attempt(sqlite3_stmt *row, JsonWriter *writer)
{
    LedgerAttempt a;
    ledger_read_attempt(row, &a);
    json_begin_object(writer);
    json_add_integer(writer, "number", a.number);
    json_add_string(writer, "state", job_state_name(a.state));
    if (a.outcome[0] != '\0') json_add_string(writer, "outcome", a.outcome);
    if (a.message[0] != '\0') json_add_string(writer, "message", a.message);
    json_add_real(writer, "started", a.started);
    json_add_real(writer, "ended", a.ended);
    json_add_real(writer, "seconds", a.seconds);
    json_add_real(writer, "cpu_seconds", a.cpu);
    json_add_integer(writer, "peak_memory", a.peak_memory);
    json_add_integer(writer, "begin_step", a.begin_step);
    json_add_integer(writer, "step", a.step);
    json_add_integer(writer, "total", a.total);
    json_add_integer(writer, "checkpoint_step", a.checkpoint_step);
    json_add_string(writer, "unit", a.unit);
    add_text(writer, "provenance", ledger_text(row, 25));
    json_end_object(writer);
}

static Status show_attempts(Ledger *ledger, const char *key, JsonWriter *writer, int *last)
{
    json_key(writer, "attempts");
    json_begin_array(writer);
    Status status = ledger_ask(ledger, SHOW_ATTEMPTS, "s", key);
    while (ledger_next_row(ledger, SHOW_ATTEMPTS, &status)) {
        sqlite3_stmt *row = ledger_row(ledger, SHOW_ATTEMPTS);
        *last = sqlite3_column_int(row, 1);
        show_attempt(row, writer);
    }
    json_end_array(writer);
    return status;
}

static Status show_results(Ledger *ledger, const char *key, JsonWriter *writer)
{
    json_key(writer, "results");
    json_begin_object(writer);
    Status status = ledger_ask(ledger, SHOW_RESULTS, "s", key);
    while (ledger_next_row(ledger, SHOW_RESULTS, &status)) {
        sqlite3_stmt *row = ledger_row(ledger, SHOW_RESULTS);
        json_key(writer, ledger_text(row, 0));
        json_real(writer, sqlite3_column_double(row, 1));
    }
    json_end_object(writer);
    return status;
}

/* The spec has every key; where no attempt is left, the manifest has those that the stage reads. */
static Status show_config(Ledger *ledger, const char *key, int last, JsonWriter *writer)
{
    bool found = false;
    TRY(add_member_of(writer, "config", memory_format("%s/runs/%s/%04d/" SPEC_NAME, ledger->work, key, last), &found));
    if (found) return OK;
    return add_member_of(writer, "config", memory_format("%s/artifacts/%s/" MANIFEST_NAME, ledger->work, key), &found);
}

Status ledger_show(Ledger *ledger, const char *prefix, JsonWriter *writer)
{
    char key[HASH_HEX_SIZE];
    int last = 0;
    TRY(find_key(ledger, prefix, key));
    *writer = (JsonWriter){0};
    json_begin_object(writer);
    Status status = show_job(ledger, key, writer);
    if (status == OK) status = show_attempts(ledger, key, writer, &last);
    if (status == OK) status = show_config(ledger, key, last, writer);
    if (status == OK) status = show_results(ledger, key, writer);
    char *artifact = artifact_directory(ledger->work, key), *run = run_directory(ledger->work, key);
    if (artifact != NULL && file_exists(artifact)) json_add_string(writer, "artifact", artifact);
    if (run != NULL && file_exists(run)) json_add_string(writer, "runs", run);
    memory_free(artifact);
    memory_free(run);
    json_end_object(writer);
    if (status == OK && writer->text.failed) status = status_no_memory(0, "a job's record");
    if (status != OK) text_free(&writer->text);
    return status;
}
