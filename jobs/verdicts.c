#include "jobs/verdicts.h"

#include <stdio.h>
#include <string.h>

#include "framework/files.h"
#include "framework/json_lines.h"
#include "framework/memory.h"
#include "jobs/artifact.h"

#define VERDICTS_NAME "verdicts.jsonl"

static char *verdicts_path(const char *work, const char *key)
{
    return memory_format("%s/runs/%s/" VERDICTS_NAME, work, key);
}

/* Writing ---------------------------------------------------------------------- */

static Status append(const char *work, const char *key, JsonWriter *writer, bool sync)
{
    char *path = verdicts_path(work, key), *run = run_directory(work, key);
    Status status = path == NULL || run == NULL ? status_no_memory(0, "a path") : OK;
    /* A job that is blocked or cancelled before its first attempt has no directory yet. */
    if (status == OK && !file_exists(run)) status = directory_create(run);
    if (status == OK)
        status = json_lines_append(path, writer, sync);
    else
        text_free(&writer->text);
    memory_free(path);
    memory_free(run);
    return status;
}

Status verdict_append_job(const char *work, const char *key, double time, JobState state, const char *cause,
                          const char *message)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_add_real(&writer, "time", time);
    json_add_string(&writer, "state", job_state_name(state));
    if (cause != NULL) json_add_string(&writer, "cause", cause);
    if (message != NULL) json_add_string(&writer, "message", message);
    /* The others follow from these, from plans and from artifacts. */
    bool must_last = state == STATE_FAILED || state == STATE_PAUSED || state == STATE_CANCELLED ||
        state == STATE_SKIPPED;
    return append(work, key, &writer, must_last);
}

Status verdict_append_attempt(const char *work, double time, const LedgerAttempt *a)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_add_real(&writer, "time", time);
    json_add_integer(&writer, "attempt", a->number);
    json_add_string(&writer, "state", job_state_name(a->state));
    json_add_string(&writer, "host", a->host);
    json_add_integer(&writer, "pid", a->pid);
    json_add_real(&writer, "started", a->started);
    json_add_real(&writer, "ended", a->ended);
    json_add_string(&writer, "outcome", a->outcome);
    json_add_string(&writer, "message", a->message);
    json_add_real(&writer, "seconds", a->seconds);
    json_add_integer(&writer, "peak_memory", a->peak_memory);
    return append(work, a->key, &writer, false);
}

/* Reading ------------------------------------------------------------------------- */

static void copy_text(const Json *line, const char *key, char *out, size_t size)
{
    const Json *value = json_member(line, key);
    snprintf(out, size, "%s", value != NULL && value->type == JSON_STRING ? value->string : "");
}

static double real_of(const Json *line, const char *key)
{
    const Json *value = json_member(line, key);
    return value != NULL && (value->type == JSON_REAL || value->type == JSON_INTEGER) ? value->real : 0;
}

static Status copy_or_null(const Json *line, const char *key, char **out)
{
    const Json *value = json_member(line, key);
    memory_free(*out);
    *out = NULL;
    if (value == NULL || value->type != JSON_STRING) return OK;
    *out = memory_copy_string(value->string);
    return *out != NULL ? OK : status_no_memory(strlen(value->string), "a verdict");
}

static Status take_attempt(Verdicts *verdicts, int64_t number, JobState state, const Json *line)
{
    LedgerAttempt *larger = memory_resize(verdicts->attempts, (verdicts->count + 1) * sizeof *larger);
    if (larger == NULL) return status_no_memory(sizeof *larger, "verdicts");
    verdicts->attempts = larger;
    LedgerAttempt *a = &larger[verdicts->count++];
    ledger_attempt_init(a, "", (int)number);
    a->state = state;
    copy_text(line, "host", a->host, sizeof a->host);
    copy_text(line, "outcome", a->outcome, sizeof a->outcome);
    copy_text(line, "message", a->message, sizeof a->message);
    a->updated = real_of(line, "time");
    a->pid = (int64_t)real_of(line, "pid");
    a->started = real_of(line, "started");
    a->ended = real_of(line, "ended");
    a->seconds = real_of(line, "seconds");
    a->peak_memory = (int64_t)real_of(line, "peak_memory");
    return OK;
}

static Status take_line(void *context, const Json *line)
{
    Verdicts *verdicts = context;
    const Json *name = json_member(line, "state"), *attempt = json_member(line, "attempt");
    JobState state;
    if (name == NULL || name->type != JSON_STRING || !job_state_from_name(name->string, &state)) return OK;
    if (attempt != NULL && attempt->type == JSON_INTEGER) return take_attempt(verdicts, attempt->integer, state, line);
    verdicts->decided = true;
    verdicts->state = state;
    verdicts->time = real_of(line, "time");
    TRY(copy_or_null(line, "cause", &verdicts->cause));
    return copy_or_null(line, "message", &verdicts->message);
}

Status verdicts_read(const char *work, const char *key, Verdicts *verdicts)
{
    *verdicts = (Verdicts){0};
    char *path = verdicts_path(work, key);
    if (path == NULL) return status_no_memory(0, "a path");
    int64_t offset = 0;
    Status status = json_lines_read(path, &offset, take_line, verdicts);
    memory_free(path);
    return status;
}

void verdicts_free(Verdicts *verdicts)
{
    memory_free(verdicts->cause);
    memory_free(verdicts->message);
    memory_free(verdicts->attempts);
    *verdicts = (Verdicts){0};
}

bool verdicts_begin_attempt(const Verdicts *verdicts, LedgerAttempt *a)
{
    bool found = false;
    for (size_t i = 0; i < verdicts->count; i++) {
        const LedgerAttempt *said = &verdicts->attempts[i];
        if (said->number != a->number) continue;
        found = true;
        if (a->host[0] == '\0') memcpy(a->host, said->host, sizeof a->host);
        if (a->pid == 0) a->pid = said->pid;
        if (a->started == 0) a->started = said->started;
    }
    return found;
}

void verdicts_end_attempt(const Verdicts *verdicts, LedgerAttempt *a)
{
    const double own_end = a->ended;
    for (size_t i = 0; i < verdicts->count; i++) {
        const LedgerAttempt *said = &verdicts->attempts[i];
        if (said->number != a->number || said->state == STATE_RUNNING || said->state == STATE_QUEUED) continue;
        if (own_end > said->updated) continue; /* given up too early: it went on, and told its end itself */
        a->state = said->state;
        a->ended = said->ended;
        a->seconds = said->seconds;
        if (said->peak_memory > 0) a->peak_memory = said->peak_memory;
        memcpy(a->outcome, said->outcome, sizeof a->outcome);
        memcpy(a->message, said->message, sizeof a->message);
    }
}
