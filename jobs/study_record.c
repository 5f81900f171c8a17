#include "jobs/study_record.h"

#include <stdlib.h>
#include <string.h>

#include "framework/files.h"
#include "framework/json_lines.h"
#include "framework/memory.h"
#include "jobs/artifact.h"

#define RECORD_FORMAT 2
#define PREFIX "trials"
#define SUFFIX ".jsonl"

static Status no_memory(void)
{
    return status_no_memory(0, "a study's record");
}

static char *record_path(const char *work, const char *study, const char *id)
{
    char *directory = study_directory(work, study);
    char *path = directory != NULL ? memory_format("%s/" PREFIX "%s%s" SUFFIX, directory, id[0] != '\0' ? "-" : "", id)
        : NULL;
    memory_free(directory);
    return path;
}

/* Which plan ---------------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The last stage that any trial has: short of the last one, the plan was cut there. */
static int last_stage(const Plan *plan)
{
    int last = -1;
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        if (plan->stage_count[stage] > 0) last = stage;
    return last;
}

Status study_plan_overrides(const Plan *plan, Text *out)
{
    const Study *study = plan->study;
    const char **sorted = memory_alloc((study->override_count + 1) * sizeof *sorted);
    if (sorted == NULL) return no_memory();
    for (size_t i = 0; i < study->override_count; i++) sorted[i] = study->overrides[i];
    qsort(sorted, study->override_count, sizeof *sorted, compare_texts);
    JsonWriter writer = {0};
    json_begin_array(&writer);
    for (size_t i = 0; i < study->override_count; i++) json_string(&writer, sorted[i]);
    int last = last_stage(plan);
    if (last >= 0 && last < STAGE_COUNT - 1) {
        char *only = memory_format("--only %s", stage_name((StageId)last));
        if (only == NULL) writer.text.failed = true;
        else json_string(&writer, only);
        memory_free(only);
    }
    json_end_array(&writer);
    memory_free(sorted);
    *out = writer.text;
    if (!out->failed) return OK;
    text_free(out);
    return no_memory();
}

Status study_plan_id(const Plan *plan, char id[PLAN_ID_SIZE])
{
    Text overrides;
    char hex[HASH_HEX_SIZE];
    TRY(study_plan_overrides(plan, &overrides));
    hash_to_hex(hash_bytes(overrides.data, overrides.length), hex);
    hex[PLAN_ID_SIZE - 1] = '\0';
    strcpy(id, strcmp(text_string(&overrides), "[]") == 0 ? "" : hex);
    text_free(&overrides);
    return OK;
}

/* Writing -------------------------------------------------------------------------- */

void study_write_axes(const Trial *trial, JsonWriter *writer)
{
    json_begin_object(writer);
    for (size_t i = 0; i < trial->value_count; i++) {
        json_key(writer, trial->values[i].key);
        json_string(writer, trial->values[i].text);
    }
    json_end_object(writer);
}

void study_write_jobs(const Plan *plan, const uint32_t *jobs, JsonWriter *writer)
{
    json_begin_object(writer);
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        if (jobs[stage] == NO_JOB) continue;
        json_key(writer, stage_name((StageId)stage));
        json_string(writer, plan->jobs[jobs[stage]].key);
    }
    json_end_object(writer);
}

/* Begins and ends a line; all lines share one text. */
static void begin_line(JsonWriter *writer)
{
    writer->need_comma = false;
    json_begin_object(writer);
}

static void end_line(JsonWriter *writer)
{
    json_end_object(writer);
    text_append(&writer->text, "\n");
}

static void write_head(JsonWriter *writer, const Plan *plan, const char *overrides, double recorded)
{
    begin_line(writer);
    json_add_integer(writer, "record", RECORD_FORMAT);
    json_add_string(writer, "study", plan->study->name);
    json_add_string(writer, "path", plan->study->path);
    json_key(writer, "recorded");
    json_real(writer, recorded);
    json_key(writer, "overrides");
    text_append(&writer->text, overrides);
    writer->need_comma = true;
    json_add_integer(writer, "trials", (int64_t)plan->study->trial_count);
    json_add_integer(writer, "jobs", (int64_t)plan->count);
    end_line(writer);
}

static void write_job(JsonWriter *writer, const Plan *plan, const PlanJob *job)
{
    begin_line(writer);
    json_add_string(writer, "key", job->key);
    json_add_string(writer, "stage", stage_name(job->stage));
    json_add_integer(writer, "version", job->definition->version);
    json_key(writer, "inputs");
    study_write_jobs(plan, job->inputs, writer);
    json_add_integer(writer, "trials", job->trials);
    end_line(writer);
}

static void write_trial(JsonWriter *writer, const Plan *plan, size_t number)
{
    const Trial *trial = &plan->study->trials[number];
    begin_line(writer);
    json_add_string(writer, "variant", trial->variant);
    json_add_string(writer, "group", trial->group);
    json_add_integer(writer, "seed", trial->seed);
    json_key(writer, "axes");
    study_write_axes(trial, writer);
    json_key(writer, "jobs");
    study_write_jobs(plan, plan->trial_jobs + number * STAGE_COUNT, writer);
    end_line(writer);
}

Status study_record_write(const char *work, const Plan *plan, const char *id, double recorded)
{
    const Study *study = plan->study;
    Text overrides;
    TRY(study_plan_overrides(plan, &overrides));
    char *directory = study_directory(work, study->name);
    char *yaml = directory != NULL ? path_join(directory, "study.yaml") : NULL;
    char *path = record_path(work, study->name, id);
    JsonWriter writer = {0};
    write_head(&writer, plan, text_string(&overrides), recorded);
    for (size_t i = 0; i < plan->count; i++) write_job(&writer, plan, &plan->jobs[i]);
    for (size_t i = 0; i < study->trial_count; i++) write_trial(&writer, plan, i);
    Status status = path == NULL || yaml == NULL || writer.text.failed ? no_memory() : OK;
    if (status == OK) status = directory_create(directory);
    if (status == OK) status = file_write(yaml, study->text, study->bytes);
    if (status == OK) status = file_write(path, writer.text.data, writer.text.length);
    text_free(&writer.text);
    text_free(&overrides);
    memory_free(path);
    memory_free(yaml);
    memory_free(directory);
    return status;
}

/* Reading ----------------------------------------------------------------------------- */

/* The id of a record's file, freed by memory_free; NULL for other files. */
static char *id_of_name(const char *name)
{
    size_t length = strlen(name), prefix = strlen(PREFIX), suffix = strlen(SUFFIX);
    if (length < prefix + suffix || strncmp(name, PREFIX, prefix) != 0 || strcmp(name + length - suffix, SUFFIX) != 0)
        return NULL;
    if (length == prefix + suffix) return memory_copy_string("");
    if (name[prefix] != '-' || length != prefix + suffix + PLAN_ID_SIZE) return NULL;
    return memory_format("%.*s", PLAN_ID_SIZE - 1, name + prefix + 1);
}

Status study_records_list(const char *work, const char *study, char ***ids, size_t *count)
{
    char *directory = study_directory(work, study);
    *ids = NULL;
    *count = 0;
    if (directory == NULL) return no_memory();
    Status status = directory_list(directory, ids, count);
    memory_free(directory);
    TRY(status);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        char *id = id_of_name((*ids)[i]);
        memory_free((*ids)[i]);
        if (id != NULL) (*ids)[kept++] = id;
    }
    *count = kept;
    return OK;
}

typedef struct Reading {
    const StudyRecordTaker *taker;
    void *context;
    const char *path;
    int64_t trials;
} Reading;

static Status take_line(void *context, const Json *line)
{
    Reading *reading = context;
    const StudyRecordTaker *taker = reading->taker;
    if (json_member(line, "record") != NULL) {
        int64_t format;
        TRY(json_get_integer(line, "record", reading->path, &format));
        if (format != RECORD_FORMAT)
            return status_error(STATUS_VERSION, "%s: format %lld, where this program knows %d", reading->path,
                                (long long)format, RECORD_FORMAT);
        return taker->head != NULL ? taker->head(reading->context, line) : OK;
    }
    if (json_member(line, "key") != NULL) return taker->job != NULL ? taker->job(reading->context, line) : OK;
    if (json_member(line, "jobs") == NULL)
        return status_error(STATUS_CORRUPT, "%s: a line that is neither job nor trial: run the study again",
                            reading->path);
    return taker->trial != NULL ? taker->trial(reading->context, reading->trials++, line) : OK;
}

Status study_record_read(const char *work, const char *study, const char *id, const StudyRecordTaker *taker,
                         void *context)
{
    char *path = record_path(work, study, id);
    if (path == NULL) return no_memory();
    Reading reading = {.taker = taker, .context = context, .path = path};
    int64_t offset = 0;
    Status status = json_lines_read(path, &offset, take_line, &reading);
    memory_free(path);
    return status;
}
