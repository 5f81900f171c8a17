/* One job: attempts, config, provenance, files; and its log. */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "dashboards/endpoints_private.h"
#include "dashboards/work_files.h"
#include "framework/files.h"
#include "jobs/artifact.h"
#include "jobs/attempt.h"
#include "jobs/ledger_query.h"

#define LOG_PART 65536 /* bytes of a log in one answer */

static void json_time_member(JsonWriter *writer, const char *key, double seconds)
{
    json_key(writer, key);
    if (seconds > 0) json_real(writer, seconds);
    else json_string(writer, NULL);
}

static Status write_attempt(void *context, const LedgerAttempt *a, const char *provenance)
{
    JsonWriter *writer = context;
    json_begin_object(writer);
    json_add_integer(writer, "number", a->number);
    json_add_string(writer, "state", job_state_name(a->state));
    json_add_string(writer, "host", a->host);
    json_add_string(writer, "code", a->code);
    json_add_string(writer, "compiler", a->compiler);
    json_add_string(writer, "unit", a->unit);
    json_add_string(writer, "outcome", a->outcome);
    json_add_string(writer, "message", a->message);
    json_add_integer(writer, "pid", a->pid);
    json_add_integer(writer, "threads", a->threads);
    json_add_integer(writer, "ranks", a->ranks);
    json_time_member(writer, "started", a->started);
    json_time_member(writer, "ended", a->ended);
    json_time_member(writer, "updated", a->updated);
    json_add_integer(writer, "begin", a->begin_step);
    json_add_integer(writer, "step", a->step);
    json_add_integer(writer, "total", a->total);
    json_add_integer(writer, "checkpoint", a->checkpoint_step);
    json_add_real(writer, "seconds", a->seconds);
    json_add_integer(writer, "peak_memory", a->peak_memory);
    if (provenance[0] != '\0') {
        json_key(writer, "provenance");
        json_raw(writer, provenance);
    }
    json_end_object(writer);
    return OK;
}

/* The newest attempt's number by the directories; 0 where there is none. */
static Status newest_attempt(const char *work, const char *key, int *number)
{
    char directory[64], **names;
    size_t count;
    *number = 0;
    snprintf(directory, sizeof directory, "runs/%s", key);
    TRY(work_list(work, directory, &names, &count));
    for (size_t i = 0; i < count; i++) {
        int64_t found;
        if (isdigit((unsigned char)names[i][0]) && parse_integer(names[i], &found) && found > *number && found < INT_MAX)
            *number = (int)found;
    }
    names_free(names, count);
    return OK;
}

/* A JSON file, or NULL where it is absent or is none: what it would tell is then not shown. */
static Status read_optional(const char *work, const char *path, Json **json)
{
    Status status = work_read_json(work, path, json);
    if (status == OK || status_code(status) == STATUS_NO_MEMORY) return status;
    status_free(status);
    *json = NULL;
    return OK;
}

static void write_member(JsonWriter *writer, const char *key, const Json *object, const char *name)
{
    const Json *value = object != NULL ? json_member(object, name) : NULL;
    if (value == NULL) return;
    json_key(writer, key);
    json_value(writer, value);
}

/* What the stage reads, of all keys that a spec holds. */
static void write_read_config(JsonWriter *writer, const Json *config, StageId stage)
{
    json_begin_object(writer);
    for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++) {
        const Json *value = json_member(config, CONFIG_SCHEMA[i].name);
        if (value == NULL || (CONFIG_SCHEMA[i].stages & 1u << stage) == 0) continue;
        json_key(writer, CONFIG_SCHEMA[i].name);
        json_value(writer, value);
    }
    json_end_object(writer);
}

static void write_manifest(JsonWriter *writer, const Json *manifest)
{
    json_key(writer, "artifact");
    json_begin_object(writer);
    static const char *const NAMES[] = {"version", "code", "attempt", "inputs", "files"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) write_member(writer, NAMES[i], manifest, NAMES[i]);
    json_end_object(writer);
}

static Status write_files(Store *store, const char *key, JsonWriter *writer)
{
    char path[96];
    int newest;
    Json *manifest = NULL, *spec = NULL;
    StageId stage;
    const char *name = NULL;
    snprintf(path, sizeof path, "artifacts/%s/" MANIFEST_NAME, key);
    TRY(read_optional(store->work, path, &manifest));
    Status status = newest_attempt(store->work, key, &newest);
    if (status == OK && newest > 0) {
        snprintf(path, sizeof path, "runs/%s/%04d/" SPEC_NAME, key, newest);
        status = read_optional(store->work, path, &spec);
    }
    const Json *source = manifest != NULL ? manifest : spec;
    const Json *config = source != NULL ? json_member(source, "config") : NULL;
    const Json *stage_text = source != NULL ? json_member(source, "stage") : NULL;
    if (stage_text != NULL && stage_text->type == JSON_STRING) name = stage_text->string;
    json_add_integer(writer, "newest", newest);
    if (config != NULL && name != NULL && stage_from_name(name, &stage)) {
        json_key(writer, "config");
        write_read_config(writer, config, stage);
    }
    if (manifest != NULL) write_manifest(writer, manifest);
    json_destroy(manifest);
    json_destroy(spec);
    return status;
}

Status answer_job(Store *store, const Request *request, Answer *answer)
{
    const char *key;
    Ledger *ledger;
    TRY(request_key(request, &key));
    TRY(store_ledger(store, &ledger));
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_add_string(&writer, "key", key);
    json_key(&writer, "attempts");
    json_begin_array(&writer);
    Status status = ledger_each_attempt(ledger, key, write_attempt, &writer);
    json_end_array(&writer);
    if (status == OK) status = write_files(store, key, &writer);
    json_end_object(&writer);
    if (status == OK) return answer_json(&writer, answer);
    text_free(&writer.text);
    return status;
}

/* Logs ------------------------------------------------------------------------- */

/* Length of the UTF-8 character at `text`, or 0 where there is none. */
static size_t character_length(const unsigned char *text, size_t left)
{
    static const struct { unsigned char mask, lead; size_t length; } FORMS[] = {
        {0x80, 0x00, 1}, {0xe0, 0xc0, 2}, {0xf0, 0xe0, 3}, {0xf8, 0xf0, 4}};
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        size_t length = FORMS[i].length;
        if ((text[0] & FORMS[i].mask) != FORMS[i].lead || length > left) continue;
        for (size_t k = 1; k < length; k++)
            if ((text[k] & 0xc0) != 0x80) return 0;
        return text[0] == 0xc0 || text[0] == 0xc1 || text[0] > 0xf4 ? 0 : length;
    }
    return 0;
}

/* A log may hold anything: what is no UTF-8, and NUL, becomes '?'. */
static void clean_text(char *data, size_t bytes)
{
    unsigned char *text = (unsigned char *)data;
    for (size_t i = 0; i < bytes;) {
        size_t length = text[i] == 0 ? 0 : character_length(text + i, bytes - i);
        if (length == 0) text[i++] = '?';
        i += length;
    }
}

Status answer_log(Store *store, const Request *request, Answer *answer)
{
    const char *key;
    int64_t number, from, size = 0;
    int newest;
    char path[96], *data = NULL;
    size_t bytes = 0;
    TRY(request_key(request, &key));
    TRY(request_integer(request, "attempt", 0, 0, INT_MAX, &number));
    TRY(request_integer(request, "from", -LOG_PART / 2, -LOG_PART, INT64_MAX, &from));
    TRY(newest_attempt(store->work, key, &newest));
    if (number == 0) number = newest;
    if (number == 0) return status_error(STATUS_NOT_FOUND, "job %.*s has no attempt yet", KEY_SHOWN, key);
    snprintf(path, sizeof path, "runs/%s/%04d/" LOG_NAME, key, (int)number);
    Status status = work_read_part(store->work, path, &from, LOG_PART, &data, &bytes, &size);
    if (status_code(status) == STATUS_NOT_FOUND && number == newest) { /* started, and silent so far */
        status_free(status);
        status = OK;
        from = 0;
    }
    TRY(status);
    JsonWriter writer = {0};
    if (data != NULL) clean_text(data, bytes);
    json_begin_object(&writer);
    json_add_integer(&writer, "attempt", number);
    json_add_integer(&writer, "from", from);
    json_add_integer(&writer, "to", from + (int64_t)bytes);
    json_add_integer(&writer, "size", size);
    json_add_string(&writer, "text", data != NULL ? data : "");
    json_end_object(&writer);
    memory_free(data);
    return answer_json(&writer, answer);
}
