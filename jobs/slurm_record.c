#include "jobs/slurm_record.h"

#include <stdio.h>
#include <string.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "jobs/artifact.h"
#include "jobs/attempt_prepare.h"
#include "jobs/events.h"

#define START_NAME "slurm.json"
#define EXIT_NAME "exit.json"

static Status no_path(void)
{
    return status_no_memory(0, "a path");
}

/* Events ---------------------------------------------------------------------------- */

static void take_integer(const Json *event, const char *key, int64_t *out)
{
    const Json *value = json_member(event, key);
    if (value != NULL && value->type == JSON_INTEGER) *out = value->integer;
}

static void take_text(const Json *event, const char *key, char *out, size_t size)
{
    const Json *value = json_member(event, key);
    if (value != NULL && value->type == JSON_STRING) snprintf(out, size, "%s", value->string);
}

static Status take_event(void *context, EventKind kind, double time, const Json *event)
{
    AttemptSummary *summary = context;
    char outcome[32] = "";
    (void)time;
    summary->began = true;
    take_integer(event, "step", &summary->step);
    switch (kind) {
    case EVENT_START: take_text(event, "host", summary->host, sizeof summary->host); break;
    case EVENT_BEGIN: take_integer(event, "step", &summary->begin_step); break;
    case EVENT_CHECKPOINT: take_integer(event, "step", &summary->checkpoint_step); break;
    case EVENT_END:
        summary->said = true;
        take_text(event, "outcome", outcome, sizeof outcome);
        take_text(event, "message", summary->message, sizeof summary->message);
        summary->outcome = status_code_from_name(outcome);
        break;
    default: break;
    }
    return OK;
}

Status attempt_summary_read(const char *work, const char *key, int number, AttemptSummary *summary)
{
    *summary = (AttemptSummary){.begin_step = -1, .step = -1, .checkpoint_step = -1};
    char *directory = attempt_directory(work, key, number);
    char *path = directory != NULL ? path_join(directory, EVENTS_NAME) : NULL;
    int64_t offset = 0;
    Status status = path == NULL ? no_path() : events_read(path, &offset, take_event, summary, NULL);
    memory_free(path);
    memory_free(directory);
    return status;
}

int64_t attempt_reached(const AttemptSummary *summary, bool keeps_checkpoints)
{
    if (!keeps_checkpoints) return summary->step;
    return summary->checkpoint_step > summary->begin_step ? summary->checkpoint_step : summary->begin_step;
}

/* Records ----------------------------------------------------------------------------- */

static void add_integer(JsonWriter *writer, const char *key, int64_t value)
{
    json_key(writer, key);
    json_integer(writer, value);
}

static void add_bool(JsonWriter *writer, const char *key, bool value)
{
    json_key(writer, key);
    json_bool(writer, value);
}

/* Ends the object and writes it as a file of its own; frees it. */
static Status write_record(JsonWriter *writer, const char *directory, const char *name)
{
    json_end_object(writer);
    char *path = path_join(directory, name);
    Status status = path == NULL || writer->text.failed ? no_path()
                                                        : file_write(path, writer->text.data, writer->text.length);
    memory_free(path);
    text_free(&writer->text);
    return status;
}

/* NULL where the file is absent. */
static Status read_record(const char *directory, const char *name, Json **json)
{
    char *path = path_join(directory, name);
    *json = NULL;
    if (path == NULL) return no_path();
    Status status = json_read_file(path, json);
    memory_free(path);
    if (status_code(status) != STATUS_NOT_FOUND) return status;
    status_free(status);
    return OK;
}

Status slurm_start_write(const char *directory, const SlurmStart *start)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_key(&writer, "token");
    json_string(&writer, start->token);
    json_key(&writer, "node");
    json_string(&writer, start->node);
    add_integer(&writer, "index", start->index);
    add_integer(&writer, "job", start->job);
    add_integer(&writer, "restart", start->restart);
    json_key(&writer, "memory");
    json_real(&writer, start->memory);
    return write_record(&writer, directory, START_NAME);
}

Status slurm_exit_write(const char *directory, const SlurmExit *end)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    add_integer(&writer, "exit_code", end->exit_code);
    add_integer(&writer, "signal", end->signal);
    add_bool(&writer, "stopped", end->stopped);
    add_bool(&writer, "requeued", end->requeued);
    add_integer(&writer, "reached", end->reached);
    add_integer(&writer, "stuck", end->stuck);
    return write_record(&writer, directory, EXIT_NAME);
}

static void take_start(const Json *json, SlurmStart *start)
{
    int64_t restart = 0;
    take_text(json, "token", start->token, sizeof start->token);
    take_text(json, "node", start->node, sizeof start->node);
    take_integer(json, "index", &start->index);
    take_integer(json, "job", &start->job);
    take_integer(json, "restart", &restart);
    start->restart = (int)restart;
    const Json *memory = json_member(json, "memory");
    if (memory != NULL) start->memory = memory->real;
}

static void take_exit(const Json *json, SlurmExit *end)
{
    int64_t code = -1, signal = 0, stuck = 0;
    take_integer(json, "exit_code", &code);
    take_integer(json, "signal", &signal);
    take_integer(json, "reached", &end->reached);
    take_integer(json, "stuck", &stuck);
    end->stuck = (int)stuck;
    const Json *stopped = json_member(json, "stopped"), *requeued = json_member(json, "requeued");
    end->exit_code = (int)code;
    end->signal = (int)signal;
    end->stopped = stopped != NULL && stopped->boolean;
    end->requeued = requeued != NULL && requeued->boolean;
}

Status slurm_record_read(const char *work, const char *key, int number, SlurmRecord *record)
{
    *record = (SlurmRecord){.number = number, .exit.reached = -1};
    char *directory = attempt_directory(work, key, record->number);
    Json *start = NULL, *end = NULL;
    Status status = directory == NULL ? no_path() : read_record(directory, START_NAME, &start);
    if (status == OK) status = read_record(directory, EXIT_NAME, &end);
    if (status == OK) status = attempt_summary_read(work, key, record->number, &record->summary);
    if (start != NULL) take_start(start, &record->start);
    if (end != NULL) take_exit(end, &record->exit);
    record->started = start != NULL;
    record->ended = end != NULL;
    json_destroy(start);
    json_destroy(end);
    memory_free(directory);
    return status;
}

Status slurm_record_read_last(const char *work, const char *key, SlurmRecord *record)
{
    int number;
    *record = (SlurmRecord){.exit.reached = -1};
    TRY(attempt_last_number(work, key, &number));
    return number > 0 ? slurm_record_read(work, key, number, record) : OK;
}

/* Tasks ---------------------------------------------------------------------------------- */

Status slurm_task_end_write(const SlurmWave *wave, int64_t index, const SlurmTaskEnd *end)
{
    JsonWriter writer = {0};
    char name[48];
    snprintf(name, sizeof name, "ends/%lld", (long long)index);
    json_begin_object(&writer);
    add_integer(&writer, "restart", end->restart);
    add_integer(&writer, "code", end->code);
    add_bool(&writer, "requeued", end->requeued);
    return write_record(&writer, wave->directory, name);
}

Status slurm_task_end_read(const SlurmWave *wave, int64_t index, bool *found, SlurmTaskEnd *end)
{
    Json *json;
    char name[48];
    int64_t restart = 0, code = -1;
    snprintf(name, sizeof name, "ends/%lld", (long long)index);
    *found = false;
    *end = (SlurmTaskEnd){0};
    TRY(read_record(wave->directory, name, &json));
    if (json == NULL) return OK;
    take_integer(json, "restart", &restart);
    take_integer(json, "code", &code);
    const Json *requeued = json_member(json, "requeued");
    *found = true;
    *end = (SlurmTaskEnd){.restart = (int)restart, .code = (int)code, .requeued = requeued != NULL && requeued->boolean};
    json_destroy(json);
    return OK;
}
