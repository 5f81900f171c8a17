#include "jobs/slurm_wave.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"

#define WAVE_FORMAT 1

static Status no_memory(void)
{
    return status_no_memory(0, "a wave of jobs");
}

static double wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

Status slurm_wave_name(SlurmWave *wave, const char *work)
{
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, 0) != sizeof bits) return status_errno(errno, "draw", "a token");
    snprintf(wave->token, sizeof wave->token, "%012llx", (unsigned long long)(bits & 0xffffffffffffULL));
    snprintf(wave->name, sizeof wave->name, "%s.%s", stage_name(wave->stage), wave->token);
    wave->created = wall_clock();
    wave->directory = memory_format("%s/" SLURM_DIRECTORY "/waves/%s", work, wave->token);
    return wave->directory != NULL ? OK : no_memory();
}

/* Writing --------------------------------------------------------------------------- */

static Status write_in(const char *directory, const char *name, const Text *text)
{
    char *path = path_join(directory, name);
    Status status = path == NULL || text->failed ? no_memory() : file_write(path, text_string(text), text->length);
    memory_free(path);
    return status;
}

static void add_string(JsonWriter *writer, const char *key, const char *value)
{
    json_key(writer, key);
    json_string(writer, value);
}

static void add_integer(JsonWriter *writer, const char *key, int64_t value)
{
    json_key(writer, key);
    json_integer(writer, value);
}

static Status write_intent(const SlurmWave *wave, const char *directory, const char *const *argv)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    add_integer(&writer, "format", WAVE_FORMAT);
    add_string(&writer, "token", wave->token);
    add_string(&writer, "study", wave->study);
    add_string(&writer, "stage", stage_name(wave->stage));
    add_string(&writer, "program", wave->program);
    add_string(&writer, "mpi", wave->mpi);
    add_integer(&writer, "ranks", wave->ranks);
    add_integer(&writer, "threads", wave->threads);
    add_integer(&writer, "attempts", wave->attempts);
    json_key(&writer, "created");
    json_real(&writer, wave->created);
    json_key(&writer, "timeout");
    json_real(&writer, wave->timeout);
    json_key(&writer, "requeue");
    json_bool(&writer, wave->requeue);
    json_key(&writer, "resubmit");
    json_bool(&writer, wave->resubmit);
    json_key(&writer, "command");
    json_begin_array(&writer);
    for (int i = 0; argv[i] != NULL; i++) json_string(&writer, argv[i]);
    json_end_array(&writer);
    json_end_object(&writer);
    Status status = write_in(directory, "intent.json", &writer.text);
    text_free(&writer.text);
    return status;
}

static Status write_tasks(const SlurmWave *wave, const char *directory)
{
    Text lines = {0};
    for (size_t i = 0; i < wave->count; i++) {
        text_format(&lines, "%lld", (long long)wave->tasks[i].index);
        for (uint32_t k = 0; k < wave->tasks[i].count; k++) text_format(&lines, " %s", wave->keys[wave->tasks[i].first + k]);
        text_append(&lines, "\n");
    }
    Status status = write_in(directory, "tasks", &lines);
    text_free(&lines);
    return status;
}

static Status fill_directory(const SlurmWave *wave, const char *directory, const char *script, const char *const *argv)
{
    Text text = {0};
    char *log = path_join(directory, "log"), *ends = path_join(directory, "ends");
    Status status = log == NULL || ends == NULL ? no_memory() : directory_create(log);
    if (status == OK) status = directory_create(ends);
    memory_free(ends);
    memory_free(log);
    TRY(status);
    TRY(write_intent(wave, directory, argv));
    TRY(write_tasks(wave, directory));
    text_append(&text, script);
    status = write_in(directory, "script", &text);
    text_free(&text);
    return status;
}

Status slurm_wave_write(const SlurmWave *wave, const char *script, const char *const *argv)
{
    char *temporary = memory_format("%s.tmp", wave->directory);
    if (temporary == NULL) return no_memory();
    Status status = fill_directory(wave, temporary, script, argv);
    if (status == OK) status = directory_commit(temporary, wave->directory);
    if (status != OK) status_free(directory_remove(temporary));
    memory_free(temporary);
    return status;
}

Status slurm_wave_record_sent(SlurmWave *wave, int64_t job)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    add_integer(&writer, "job", job);
    json_key(&writer, "time");
    json_real(&writer, wall_clock());
    json_end_object(&writer);
    Status status = write_in(wave->directory, "sent.json", &writer.text);
    text_free(&writer.text);
    if (status == OK) wave->job = job;
    return status;
}

Status slurm_wave_record_refused(SlurmWave *wave, const char *message)
{
    JsonWriter writer = {0};
    json_begin_object(&writer);
    add_string(&writer, "message", message);
    json_end_object(&writer);
    Status status = write_in(wave->directory, "refused.json", &writer.text);
    text_free(&writer.text);
    if (status == OK) wave->refused = true;
    return status;
}

Status slurm_wave_record_cancelled(SlurmWave *wave, size_t task)
{
    char line[32], *path = path_join(wave->directory, "cancelled");
    int length = snprintf(line, sizeof line, "%lld\n", (long long)wave->tasks[task].index);
    Status status = path == NULL ? no_memory() : file_append(path, line, (size_t)length, true);
    memory_free(path);
    if (status == OK) wave->tasks[task].cancelled = true;
    return status;
}

Status slurm_wave_close(const SlurmWave *wave)
{
    Text empty = {0};
    return write_in(wave->directory, "closed", &empty);
}

/* Reading ----------------------------------------------------------------------------- */

static Status copy_string(const Json *json, const char *key, const char *path, char **out)
{
    const char *value;
    TRY(json_get_string(json, key, path, &value));
    *out = memory_copy_string(value);
    return *out != NULL ? OK : no_memory();
}

static bool is_true(const Json *json, const char *key)
{
    const Json *value = json_member(json, key);
    return value != NULL && value->boolean;
}

static Status read_intent(const Json *json, const char *path, SlurmWave *wave)
{
    const char *text;
    int64_t value;
    TRY(json_get_integer(json, "format", path, &value));
    if (value != WAVE_FORMAT)
        return status_error(STATUS_VERSION, "%s: format %lld, where this program knows %d", path, (long long)value, WAVE_FORMAT);
    TRY(json_get_string(json, "token", path, &text));
    snprintf(wave->token, sizeof wave->token, "%s", text);
    TRY(json_get_string(json, "stage", path, &text));
    if (!stage_from_name(text, &wave->stage)) return status_error(STATUS_INVALID, "%s: no stage '%s'", path, text);
    snprintf(wave->name, sizeof wave->name, "%s.%s", stage_name(wave->stage), wave->token);
    TRY(copy_string(json, "study", path, &wave->study));
    TRY(copy_string(json, "program", path, &wave->program));
    TRY(copy_string(json, "mpi", path, &wave->mpi));
    TRY(json_get_integer(json, "ranks", path, &value));
    wave->ranks = (int)value;
    TRY(json_get_integer(json, "threads", path, &value));
    wave->threads = (int)value;
    TRY(json_get_integer(json, "attempts", path, &wave->attempts));
    TRY(json_get_real(json, "created", path, &wave->created));
    TRY(json_get_real(json, "timeout", path, &wave->timeout));
    wave->requeue = is_true(json, "requeue");
    wave->resubmit = is_true(json, "resubmit");
    return OK;
}

/* A line of the tasks file: "INDEX KEY [KEY ...]". */
static Status take_task(SlurmWave *wave, char *line, const char *path)
{
    char *rest = line, *word = strsep(&rest, " ");
    SlurmWaveTask *task = &wave->tasks[wave->count];
    Hash128 hash;
    *task = (SlurmWaveTask){.first = (uint32_t)wave->key_count};
    if (!parse_integer(word, &task->index)) return status_error(STATUS_CORRUPT, "%s: damaged line '%s'", path, line);
    while ((word = strsep(&rest, " ")) != NULL) {
        if (!hash_from_hex(word, &hash)) return status_error(STATUS_CORRUPT, "%s: damaged key '%s'", path, word);
        hash_to_hex(hash, wave->keys[wave->key_count++]);
        task->count++;
    }
    wave->count++;
    return OK;
}

static Status read_tasks(const char *path, SlurmWave *wave)
{
    char *data;
    size_t bytes, lines = 0, words = 0;
    TRY(file_read(path, 0, &data, &bytes));
    for (size_t i = 0; i < bytes; i++) {
        lines += data[i] == '\n';
        words += data[i] == ' ';
    }
    wave->tasks = memory_alloc_zero(lines + 1, sizeof *wave->tasks);
    wave->keys = memory_alloc_zero(words + 1, sizeof *wave->keys);
    Status status = wave->tasks == NULL || wave->keys == NULL ? no_memory() : OK;
    for (char *rest = data, *line; status == OK && (line = strsep(&rest, "\n")) != NULL;)
        if (line[0] != '\0') status = take_task(wave, line, path);
    memory_free(data);
    return status;
}

/* The job number of sent.json; an absent file is none. */
static Status read_sent(const char *directory, SlurmWave *wave)
{
    char *path = path_join(directory, "sent.json");
    Json *json = NULL;
    if (path == NULL) return no_memory();
    Status status = file_exists(path) ? json_read_file(path, &json) : OK;
    if (json != NULL) status = json_get_integer(json, "job", path, &wave->job);
    json_destroy(json);
    memory_free(path);
    return status;
}

/* Marks the tasks of the file `cancelled`; absent: none. */
static Status read_cancelled(const char *directory, SlurmWave *wave)
{
    char *path = path_join(directory, "cancelled"), *data = NULL;
    size_t bytes;
    if (path == NULL) return no_memory();
    Status status = file_read(path, 0, &data, &bytes);
    memory_free(path);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        return OK;
    }
    int64_t index;
    for (char *rest = data, *line; status == OK && (line = strsep(&rest, "\n")) != NULL;)
        for (size_t i = 0; parse_integer(line, &index) && i < wave->count; i++)
            if (wave->tasks[i].index == index) wave->tasks[i].cancelled = true;
    memory_free(data);
    return status;
}

Status slurm_wave_read(const char *directory, SlurmWave *wave)
{
    *wave = (SlurmWave){.directory = memory_copy_string(directory)};
    char *intent = path_join(directory, "intent.json"), *tasks = path_join(directory, "tasks");
    char *refused = path_join(directory, "refused.json");
    Json *json = NULL;
    Status status = wave->directory == NULL || intent == NULL || tasks == NULL || refused == NULL ? no_memory() : OK;
    if (status == OK) status = json_read_file(intent, &json);
    if (status == OK) status = read_intent(json, intent, wave);
    if (status == OK) status = read_tasks(tasks, wave);
    if (status == OK) status = read_sent(directory, wave);
    if (status == OK) status = read_cancelled(directory, wave);
    if (status == OK) wave->refused = file_exists(refused);
    json_destroy(json);
    memory_free(refused);
    memory_free(tasks);
    memory_free(intent);
    if (status != OK) slurm_wave_free(wave);
    return status;
}

void slurm_wave_free(SlurmWave *wave)
{
    memory_free(wave->directory);
    memory_free(wave->study);
    memory_free(wave->program);
    memory_free(wave->mpi);
    memory_free(wave->tasks);
    memory_free(wave->keys);
    *wave = (SlurmWave){0};
}

static bool is_open(const char *directory)
{
    static const char *const ENDS[] = {"closed", "refused.json"};
    for (size_t i = 0; i < sizeof ENDS / sizeof ENDS[0]; i++) {
        char *path = path_join(directory, ENDS[i]);
        bool there = path != NULL && file_exists(path);
        memory_free(path);
        if (there) return false;
    }
    return true;
}

static Status add_wave(const char *directory, SlurmWave **waves, size_t *count)
{
    SlurmWave *larger = memory_resize(*waves, (*count + 1) * sizeof *larger);
    if (larger == NULL) return no_memory();
    *waves = larger;
    Status status = slurm_wave_read(directory, &larger[*count]);
    if (status == OK) {
        ++*count;
    } else if (status_code(status) != STATUS_NO_MEMORY) {
        log_status(LOG_LEVEL_WARNING, status);
        status = OK;
    }
    return status;
}

Status slurm_waves_read(const char *work, SlurmWave **waves, size_t *count)
{
    char *directory = path_join(work, SLURM_DIRECTORY "/waves"), **names = NULL;
    size_t name_count = 0;
    *waves = NULL;
    *count = 0;
    if (directory == NULL) return no_memory();
    Status status = directory_list(directory, &names, &name_count);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        status = OK;
    }
    for (size_t i = 0; status == OK && i < name_count; i++) {
        if (strlen(names[i]) != TOKEN_SIZE - 1) continue; /* half-made */
        char *path = path_join(directory, names[i]);
        if (path == NULL) status = no_memory();
        else if (is_open(path)) status = add_wave(path, waves, count);
        memory_free(path);
    }
    names_free(names, name_count);
    memory_free(directory);
    if (status != OK) {
        slurm_waves_free(*waves, *count);
        *waves = NULL;
        *count = 0;
    }
    return status;
}

void slurm_waves_free(SlurmWave *waves, size_t count)
{
    for (size_t i = 0; i < count; i++) slurm_wave_free(&waves[i]);
    memory_free(waves);
}

void slurm_task_id(const SlurmWave *wave, size_t task, char *out, size_t size)
{
    snprintf(out, size, "%lld_%lld", (long long)wave->job, (long long)wave->tasks[task].index);
}
