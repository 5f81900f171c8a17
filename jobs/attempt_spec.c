/* spec.json: written by a runner, read by an attempt and by the ledger. */
#include <string.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "jobs/attempt.h"

#define SPEC_FORMAT 1

static void write_string(JsonWriter *writer, const char *key, const char *value)
{
    json_key(writer, key);
    json_string(writer, value);
}

static void write_integer(JsonWriter *writer, const char *key, int64_t value)
{
    json_key(writer, key);
    json_integer(writer, value);
}

Status attempt_spec_write(const AttemptSpec *spec, const char *path)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    write_integer(&writer, "format", SPEC_FORMAT);
    write_string(&writer, "work", spec->work);
    write_string(&writer, "key", spec->key);
    write_string(&writer, "name", spec->name);
    write_string(&writer, "code", spec->code);
    write_string(&writer, "stage", stage_name(spec->stage));
    write_integer(&writer, "version", spec->version);
    write_integer(&writer, "threads", spec->threads);
    write_integer(&writer, "ranks", spec->ranks);
    json_key(&writer, "checkpoint_seconds");
    json_real(&writer, spec->checkpoint_seconds);
    json_key(&writer, "time_limit");
    json_real(&writer, spec->time_limit);
    if (spec->fingerprint != NULL && spec->fingerprint[0] != '\0')
        write_string(&writer, "fingerprint", spec->fingerprint);
    json_key(&writer, "inputs");
    json_begin_object(&writer);
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        if (spec->inputs[stage] != NULL) write_string(&writer, stage_name((StageId)stage), spec->inputs[stage]);
    json_end_object(&writer);
    json_key(&writer, "config");
    config_write_json(spec->config, STAGE_COUNT, &writer);
    json_end_object(&writer);
    text_append(&writer.text, "\n");
    Status status = writer.text.failed ? status_no_memory(writer.text.length, "a job's specification")
                                       : file_write(path, writer.text.data, writer.text.length);
    text_free(&writer.text);
    return status;
}

static Status copy_string(const Json *json, const char *key, const char *path, char **out)
{
    const char *value;
    TRY(json_get_string(json, key, path, &value));
    *out = memory_copy_string(value);
    return *out != NULL ? OK : status_no_memory(strlen(value), "a job's specification");
}

static Status copy_integer(const Json *json, const char *key, const char *path, int64_t low, int *out)
{
    int64_t value;
    TRY(json_get_integer(json, key, path, &value));
    if (value < low || value > 1000000)
        return status_error(STATUS_INVALID, "%s: '%s' is out of range", path, key);
    *out = (int)value;
    return OK;
}

static Status read_members(const Json *json, const char *path, AttemptSpec *spec)
{
    int format = 0;
    const char *stage;
    TRY(copy_integer(json, "format", path, 0, &format));
    if (format != SPEC_FORMAT)
        return status_error(STATUS_VERSION, "%s: format %d, where this program knows %d", path, format, SPEC_FORMAT);
    TRY(copy_string(json, "work", path, &spec->work));
    TRY(copy_string(json, "key", path, &spec->key));
    TRY(copy_string(json, "name", path, &spec->name));
    TRY(copy_string(json, "code", path, &spec->code));
    TRY(json_get_string(json, "stage", path, &stage));
    if (!stage_from_name(stage, &spec->stage)) return status_error(STATUS_INVALID, "%s: no stage '%s'", path, stage);
    TRY(copy_integer(json, "version", path, 0, &spec->version));
    TRY(copy_integer(json, "threads", path, 1, &spec->threads));
    TRY(copy_integer(json, "ranks", path, 1, &spec->ranks));
    TRY(json_get_real(json, "checkpoint_seconds", path, &spec->checkpoint_seconds));
    TRY(json_get_real(json, "time_limit", path, &spec->time_limit));
    if (json_member(json, "fingerprint") != NULL)
        TRY(copy_string(json, "fingerprint", path, &spec->fingerprint));
    const Json *inputs = json_member(json, "inputs");
    for (int i = 0; i < STAGE_COUNT; i++)
        if (json_member(inputs, stage_name((StageId)i)) != NULL)
            TRY(copy_string(inputs, stage_name((StageId)i), path, &spec->inputs[i]));
    TRY(config_create(&spec->config));
    return config_read_json(spec->config, json_member(json, "config"), path);
}

Status attempt_spec_read(const char *path, AttemptSpec **out)
{
    *out = NULL;
    Json *json;
    TRY(json_read_file(path, &json));
    AttemptSpec *spec = memory_alloc_zero(1, sizeof *spec);
    Status status = spec == NULL ? status_no_memory(sizeof *spec, path) : read_members(json, path, spec);
    json_destroy(json);
    if (status == OK)
        *out = spec;
    else
        attempt_spec_destroy(spec);
    return status;
}

void attempt_spec_destroy(AttemptSpec *spec)
{
    if (spec == NULL) return;
    for (int i = 0; i < STAGE_COUNT; i++) memory_free(spec->inputs[i]);
    memory_free(spec->work);
    memory_free(spec->key);
    memory_free(spec->name);
    memory_free(spec->code);
    memory_free(spec->fingerprint);
    config_destroy(spec->config);
    memory_free(spec);
}
