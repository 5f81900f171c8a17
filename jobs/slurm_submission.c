#include "jobs/slurm_submission.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "jobs/artifact.h"
#include "jobs/attempt_prepare.h"

#define SUBMISSION_FORMAT 1

static Status no_memory(void)
{
    return status_no_memory(0, "a submission");
}

static SlurmSettings settings_of(const Config *config)
{
    return (SlurmSettings){.pack = config_integer(config, "slurm.pack"),
                           .throttle = config_integer(config, "slurm.throttle"),
                           .max_array = config_integer(config, "slurm.max_array"),
                           .max_submit = config_integer(config, "slurm.max_submit"),
                           .canary = config_integer(config, "slurm.canary"),
                           .attempts = config_integer(config, "run.attempts"),
                           .backoff = config_real(config, "run.backoff"),
                           .timeout = config_real(config, "slurm.timeout"),
                           .lost = config_real(config, "slurm.lost"),
                           .max_memory = config_real(config, "slurm.max_memory"),
                           .poll = config_real(config, "slurm.poll"),
                           .resubmit = config_bool(config, "slurm.resubmit")};
}

/* Making ------------------------------------------------------------------------ */

static Status find_class(SlurmSubmission *submission, const PlanJob *job, uint32_t *index)
{
    SlurmClass class;
    Status status = slurm_class_of_job(job, &class);
    for (size_t i = 0; status == OK && i < submission->class_count; i++) {
        if (!slurm_class_equal(&submission->classes[i], &class)) continue;
        *index = (uint32_t)i;
        slurm_class_free(&class);
        return OK;
    }
    SlurmClass *classes = status != OK ? NULL
                                       : memory_resize(submission->classes, (submission->class_count + 1) * sizeof *classes);
    if (classes == NULL) {
        slurm_class_free(&class);
        return status != OK ? status : no_memory();
    }
    submission->classes = classes;
    *index = (uint32_t)submission->class_count;
    classes[submission->class_count++] = class;
    return OK;
}

/* `places`: where each job of the plan is in the submission. */
static Status add_jobs(SlurmSubmission *submission, const Plan *plan, uint32_t *places)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        const PlanJob *planned = &plan->jobs[i];
        places[i] = NO_JOB;
        if (planned->need != JOB_NEEDED) continue;
        SlurmJob *job = &submission->jobs[submission->count];
        *job = (SlurmJob){.stage = planned->stage};
        memcpy(job->key, planned->key, sizeof job->key);
        for (int input = 0; input < STAGE_COUNT; input++)
            job->inputs[input] = planned->inputs[input] != NO_JOB ? places[planned->inputs[input]] : NO_JOB;
        TRY(find_class(submission, planned, &job->class));
        places[i] = (uint32_t)submission->count++;
    }
    return OK;
}

Status slurm_submission_create(const Plan *plan, const char *program, const char *code, SlurmSubmission **out)
{
    *out = NULL;
    SlurmSubmission *submission = memory_alloc_zero(1, sizeof *submission);
    uint32_t *places = memory_alloc((plan->count + 1) * sizeof *places);
    Status status = submission == NULL || places == NULL ? no_memory() : OK;
    if (status == OK) {
        submission->study = memory_copy_string(plan->study->name);
        submission->program = memory_copy_string(program);
        submission->code = memory_copy_string(code);
        submission->directory = path_absolute(".");
        submission->jobs = memory_alloc_zero(plan->needed + 1, sizeof *submission->jobs);
        submission->settings = settings_of(plan->study->trials[0].config);
        if (submission->study == NULL || submission->program == NULL || submission->code == NULL ||
            submission->directory == NULL || submission->jobs == NULL)
            status = no_memory();
    }
    if (status == OK) status = add_jobs(submission, plan, places);
    memory_free(places);
    if (status == OK)
        *out = submission;
    else
        slurm_submission_destroy(submission);
    return status;
}

void slurm_submission_destroy(SlurmSubmission *submission)
{
    if (submission == NULL) return;
    for (size_t i = 0; i < submission->class_count; i++) slurm_class_free(&submission->classes[i]);
    memory_free(submission->classes);
    memory_free(submission->jobs);
    memory_free(submission->study);
    memory_free(submission->program);
    memory_free(submission->code);
    memory_free(submission->directory);
    memory_free(submission);
}

/* Writing ------------------------------------------------------------------------- */

static void add_integer(JsonWriter *writer, const char *key, int64_t value)
{
    json_key(writer, key);
    json_integer(writer, value);
}

static void add_real(JsonWriter *writer, const char *key, double value)
{
    json_key(writer, key);
    json_real(writer, value);
}

static void add_string(JsonWriter *writer, const char *key, const char *value)
{
    json_key(writer, key);
    json_string(writer, value);
}

static void write_settings(const SlurmSettings *settings, JsonWriter *writer)
{
    json_begin_object(writer);
    add_integer(writer, "pack", settings->pack);
    add_integer(writer, "throttle", settings->throttle);
    add_integer(writer, "max_array", settings->max_array);
    add_integer(writer, "max_submit", settings->max_submit);
    add_integer(writer, "canary", settings->canary);
    add_integer(writer, "attempts", settings->attempts);
    add_real(writer, "backoff", settings->backoff);
    add_real(writer, "timeout", settings->timeout);
    add_real(writer, "lost", settings->lost);
    add_real(writer, "max_memory", settings->max_memory);
    add_real(writer, "poll", settings->poll);
    json_key(writer, "resubmit");
    json_bool(writer, settings->resubmit);
    json_end_object(writer);
}

static void write_job(const SlurmJob *job, JsonWriter *writer)
{
    json_begin_object(writer);
    add_string(writer, "key", job->key);
    add_string(writer, "stage", stage_name(job->stage));
    add_integer(writer, "class", job->class);
    json_key(writer, "inputs");
    json_begin_object(writer);
    for (int input = 0; input < STAGE_COUNT; input++)
        if (job->inputs[input] != NO_JOB) add_integer(writer, stage_name((StageId)input), job->inputs[input]);
    json_end_object(writer);
    json_end_object(writer);
}

static Status write_file(const SlurmSubmission *submission, const char *work)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    add_integer(&writer, "format", SUBMISSION_FORMAT);
    add_string(&writer, "study", submission->study);
    add_string(&writer, "program", submission->program);
    add_string(&writer, "code", submission->code);
    add_string(&writer, "directory", submission->directory);
    json_key(&writer, "settings");
    write_settings(&submission->settings, &writer);
    json_key(&writer, "classes");
    json_begin_array(&writer);
    for (size_t i = 0; i < submission->class_count; i++) slurm_class_write(&submission->classes[i], &writer);
    json_end_array(&writer);
    json_key(&writer, "jobs");
    json_begin_array(&writer);
    for (size_t i = 0; i < submission->count; i++) write_job(&submission->jobs[i], &writer);
    json_end_array(&writer);
    json_end_object(&writer);
    char *directory = path_join(work, SLURM_DIRECTORY "/submissions");
    char *path = directory != NULL ? memory_format("%s/%s.json", directory, submission->study) : NULL;
    Status status = path == NULL || writer.text.failed ? no_memory() : directory_create(directory);
    if (status == OK) status = file_write(path, writer.text.data, writer.text.length);
    text_free(&writer.text);
    memory_free(path);
    memory_free(directory);
    return status;
}

static Status write_spec(const Plan *plan, uint32_t job, const char *code)
{
    char *directory = run_directory(plan->work, plan->jobs[job].key);
    char *path = directory != NULL ? path_join(directory, JOB_SPEC_NAME) : NULL;
    Status status = path == NULL ? no_memory() : directory_create(directory);
    if (status == OK) status = attempt_write_spec(plan, job, code, "", path);
    memory_free(path);
    memory_free(directory);
    return status;
}

Status slurm_submission_write(const SlurmSubmission *submission, const Plan *plan, SlurmJobKeeper keep, void *context)
{
    for (uint32_t job = 0; job < plan->count; job++)
        if (plan->jobs[job].need == JOB_NEEDED && !keep(context, plan->jobs[job].key))
            TRY(write_spec(plan, job, submission->code));
    return write_file(submission, plan->work);
}

/* Reading --------------------------------------------------------------------------- */

static Status read_settings(const Json *json, const char *path, SlurmSettings *settings)
{
    TRY(json_get_integer(json, "pack", path, &settings->pack));
    TRY(json_get_integer(json, "throttle", path, &settings->throttle));
    TRY(json_get_integer(json, "max_array", path, &settings->max_array));
    TRY(json_get_integer(json, "max_submit", path, &settings->max_submit));
    TRY(json_get_integer(json, "canary", path, &settings->canary));
    TRY(json_get_integer(json, "attempts", path, &settings->attempts));
    TRY(json_get_real(json, "backoff", path, &settings->backoff));
    TRY(json_get_real(json, "timeout", path, &settings->timeout));
    TRY(json_get_real(json, "lost", path, &settings->lost));
    TRY(json_get_real(json, "max_memory", path, &settings->max_memory));
    TRY(json_get_real(json, "poll", path, &settings->poll));
    const Json *resubmit = json_member(json, "resubmit");
    settings->resubmit = resubmit != NULL && resubmit->boolean;
    return OK;
}

static Status bad_file(const char *path)
{
    return status_error(STATUS_CORRUPT, "%s: damaged: submit the study again", path);
}

static Status read_job(const Json *json, const char *path, const SlurmSubmission *submission, size_t index, SlurmJob *job)
{
    const char *text;
    int64_t value;
    Hash128 hash;
    *job = (SlurmJob){0};
    TRY(json_get_string(json, "key", path, &text));
    if (!hash_from_hex(text, &hash)) return bad_file(path);
    hash_to_hex(hash, job->key);
    TRY(json_get_string(json, "stage", path, &text));
    if (!stage_from_name(text, &job->stage)) return bad_file(path);
    TRY(json_get_integer(json, "class", path, &value));
    if (value < 0 || value >= (int64_t)submission->class_count) return bad_file(path);
    job->class = (uint32_t)value;
    const Json *inputs = json_member(json, "inputs");
    for (int input = 0; input < STAGE_COUNT; input++) {
        const Json *from = json_member(inputs, stage_name((StageId)input));
        job->inputs[input] = NO_JOB;
        if (from == NULL) continue;
        if (from->type != JSON_INTEGER || from->integer < 0 || from->integer >= (int64_t)index) return bad_file(path);
        job->inputs[input] = (uint32_t)from->integer;
    }
    return OK;
}

static Status read_members(const Json *json, const char *path, SlurmSubmission *submission)
{
    const char *text;
    int64_t format;
    TRY(json_get_integer(json, "format", path, &format));
    if (format != SUBMISSION_FORMAT)
        return status_error(STATUS_VERSION, "%s: format %lld, where this program knows %d", path, (long long)format,
                            SUBMISSION_FORMAT);
    const struct { const char *key; char **out; } texts[] = {
        {"study", &submission->study}, {"program", &submission->program}, {"code", &submission->code},
        {"directory", &submission->directory}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        TRY(json_get_string(json, texts[i].key, path, &text));
        if ((*texts[i].out = memory_copy_string(text)) == NULL) return no_memory();
    }
    TRY(read_settings(json_member(json, "settings"), path, &submission->settings));
    const Json *classes = json_member(json, "classes"), *jobs = json_member(json, "jobs");
    if (classes == NULL || classes->type != JSON_ARRAY || jobs == NULL || jobs->type != JSON_ARRAY) return bad_file(path);
    submission->classes = memory_alloc_zero(classes->count + 1, sizeof *submission->classes);
    submission->jobs = memory_alloc_zero(jobs->count + 1, sizeof *submission->jobs);
    if (submission->classes == NULL || submission->jobs == NULL) return no_memory();
    for (size_t i = 0; i < classes->count; i++) {
        submission->class_count++;
        TRY(slurm_class_read(&classes->items[i], path, &submission->classes[i]));
    }
    for (size_t i = 0; i < jobs->count; i++) {
        TRY(read_job(&jobs->items[i], path, submission, i, &submission->jobs[i]));
        submission->count++;
    }
    return OK;
}

static Status read_one(const char *path, SlurmSubmission **out)
{
    Json *json;
    TRY(json_read_file(path, &json));
    SlurmSubmission *submission = memory_alloc_zero(1, sizeof *submission);
    Status status = submission == NULL ? no_memory() : read_members(json, path, submission);
    json_destroy(json);
    if (status == OK)
        *out = submission;
    else
        slurm_submission_destroy(submission);
    return status;
}

static bool is_submission(const char *name)
{
    size_t length = strlen(name);
    return name[0] != '.' && length > 5 && strcmp(name + length - 5, ".json") == 0;
}

Status slurm_submissions_read(const char *work, SlurmSubmission ***submissions, size_t *count)
{
    char *directory = path_join(work, SLURM_DIRECTORY "/submissions"), **names = NULL;
    size_t name_count = 0;
    *submissions = NULL;
    *count = 0;
    if (directory == NULL) return no_memory();
    Status status = directory_list(directory, &names, &name_count);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        status = OK;
    }
    if (status == OK && (*submissions = memory_alloc_zero(name_count + 1, sizeof **submissions)) == NULL) status = no_memory();
    for (size_t i = 0; status == OK && i < name_count; i++) {
        if (!is_submission(names[i])) continue;
        char *path = path_join(directory, names[i]);
        status = path == NULL ? no_memory() : read_one(path, &(*submissions)[*count]);
        *count += status == OK;
        memory_free(path);
    }
    names_free(names, name_count);
    memory_free(directory);
    if (status != OK) {
        slurm_submissions_free(*submissions, *count);
        *submissions = NULL;
        *count = 0;
    }
    return status;
}

void slurm_submissions_free(SlurmSubmission **submissions, size_t count)
{
    for (size_t i = 0; i < count; i++) slurm_submission_destroy(submissions[i]);
    memory_free(submissions);
}

/* The program -------------------------------------------------------------------------- */

Status program_snapshot(const char *work, char **path)
{
    static const char SELF[] = "/proc/self/exe";
    Hash128 digest;
    char hex[HASH_HEX_SIZE], *data = NULL;
    size_t bytes;
    *path = NULL;
    TRY(hash_file(SELF, &digest, NULL));
    hash_to_hex(digest, hex);
    char *directory = path_join(work, "bin"), *copy = NULL;
    Status status = directory == NULL ? no_memory() : directory_create(directory);
    if (status == OK && (copy = memory_format("%s/zeroth-%.12s", directory, hex)) == NULL) status = no_memory();
    struct stat info;
    /* The mode comes last, so that a copy that may be executed is whole. */
    if (status == OK && (stat(copy, &info) != 0 || (info.st_mode & S_IXUSR) == 0)) {
        status = file_read(SELF, 0, &data, &bytes);
        if (status == OK) status = file_write(copy, data, bytes);
        if (status == OK && chmod(copy, 0755) != 0) status = status_errno(errno, "make executable", copy);
        memory_free(data);
    }
    memory_free(directory);
    if (status == OK)
        *path = copy;
    else
        memory_free(copy);
    return status;
}
