#include "jobs/gc.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/artifact.h"
#include "jobs/attempt.h"
#include "jobs/hash_map.h"
#include "jobs/study_record.h"

/* Temporary files of locks may be of a process that asks for one just now. */
#define LOCK_SECONDS 60

typedef struct Search {
    const char *work;
    const GarbageOptions *options;
    HashMap needed, live;
    Garbage *garbage;
} Search;

static Status no_path(void)
{
    return status_no_memory(0, "a path");
}

static bool in_set(const HashMap *set, const char *key)
{
    Hash128 hash;
    uint32_t found;
    return hash_from_hex(key, &hash) && hash_map_find(set, hash, &found);
}

static Status add_to_set(HashMap *set, const char *key)
{
    Hash128 hash;
    uint32_t found;
    return hash_from_hex(key, &hash) ? hash_map_insert(set, hash, 0, &found) : OK;
}

static bool is_key(const char *name)
{
    Hash128 hash;
    return hash_from_hex(name, &hash);
}

/* What is needed ----------------------------------------------------------------- */

static Status need_job(void *context, const Json *job)
{
    Search *search = context;
    const Json *key = json_member(job, "key");
    return key != NULL && key->type == JSON_STRING ? add_to_set(&search->needed, key->string) : OK;
}

static Status need_keys(Search *search, const Json *keys)
{
    for (size_t i = 0; keys != NULL && keys->type == JSON_OBJECT && i < keys->count; i++)
        if (keys->items[i].type == JSON_STRING) TRY(add_to_set(&search->needed, keys->items[i].string));
    return OK;
}

static Status need_trial(void *context, int64_t number, const Json *trial)
{
    (void)number;
    return need_keys(context, json_member(trial, "jobs"));
}

static Status need_study(Search *search, const char *study)
{
    static const StudyRecordTaker TAKER = {.job = need_job, .trial = need_trial};
    char **ids;
    size_t count;
    TRY(study_records_list(search->work, study, &ids, &count));
    Status status = OK;
    for (size_t i = 0; i < count && status == OK; i++)
        status = study_record_read(search->work, study, ids[i], &TAKER, search);
    names_free(ids, count);
    return status;
}

static Status need_studies(Search *search)
{
    char *path = path_join(search->work, "studies"), **names = NULL;
    size_t count = 0;
    if (path == NULL) return no_path();
    Status status = directory_list_any(path, &names, &count);
    memory_free(path);
    const char *forget = search->options->forget;
    bool known = forget == NULL;
    for (size_t i = 0; i < count && status == OK; i++) {
        bool forgotten = forget != NULL && strcmp(names[i], forget) == 0;
        known |= forgotten;
        if (!forgotten && names[i][0] != '.') status = need_study(search, names[i]);
    }
    names_free(names, count);
    if (status == OK && !known) status = status_error(STATUS_NOT_FOUND, "no study '%s' in %s", forget, search->work);
    return status;
}

/* The spec of a job's last attempt; NULL where there is none that can be read. */
static Status read_spec(const Search *search, const char *key, Json **spec)
{
    char *run = run_directory(search->work, key), **names = NULL;
    size_t count = 0;
    *spec = NULL;
    if (run == NULL) return no_path();
    Status status = directory_list_any(run, &names, &count);
    for (size_t i = count; i-- > 0 && status == OK && *spec == NULL;) {
        int64_t number;
        if (!parse_integer(names[i], &number)) continue;
        char *path = memory_format("%s/%s/" SPEC_NAME, run, names[i]);
        Status read = path != NULL ? json_read_file(path, spec) : no_path();
        if (status_code(read) == STATUS_NO_MEMORY) status = read;
        else status_free(read);
        if (read != OK) *spec = NULL;
        memory_free(path);
    }
    names_free(names, count);
    memory_free(run);
    return status;
}

/* A job at work, though no study has it, and what it reads. */
static Status need_live(Search *search, char *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool live;
        if (!is_key(keys[i])) continue;
        TRY(attempt_is_live(search->work, keys[i], &live, NULL));
        if (!live) continue;
        Json *spec;
        TRY(add_to_set(&search->live, keys[i]));
        TRY(add_to_set(&search->needed, keys[i]));
        TRY(read_spec(search, keys[i], &spec));
        Status status = spec != NULL ? need_keys(search, json_member(spec, "inputs")) : OK;
        if (spec != NULL) json_destroy(spec);
        TRY(status);
    }
    return OK;
}

/* What is not ---------------------------------------------------------------------- */

static int64_t bytes_below(const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0) return 0;
    if (!S_ISDIR(info.st_mode)) return (int64_t)info.st_size;
    char **names;
    size_t count;
    int64_t bytes = 0;
    Status status = directory_list(path, &names, &count);
    for (size_t i = 0; status == OK && i < count; i++) {
        char *child = path_join(path, names[i]);
        if (child != NULL) bytes += bytes_below(child);
        memory_free(child);
    }
    if (status == OK) names_free(names, count);
    status_free(status); /* a size is for people */
    return bytes;
}

/* Takes `path`. */
static Status add_item(Garbage *garbage, char *path, const char *why, const char *key)
{
    if (path == NULL) return no_path();
    if (garbage->count == garbage->capacity) {
        size_t capacity = garbage->capacity > 0 ? garbage->capacity * 2 : 32;
        GarbageItem *items = memory_resize(garbage->items, capacity * sizeof *items);
        if (items == NULL) {
            memory_free(path);
            return status_no_memory(capacity * sizeof *items, "a list of garbage");
        }
        garbage->items = items;
        garbage->capacity = capacity;
    }
    GarbageItem *item = &garbage->items[garbage->count++];
    *item = (GarbageItem){.path = path, .why = why, .bytes = bytes_below(path)};
    snprintf(item->key, sizeof item->key, "%s", key);
    garbage->bytes += item->bytes;
    return OK;
}

static bool ends_with(const char *name, const char *ending)
{
    size_t length = strlen(name), bytes = strlen(ending);
    return length > bytes && strcmp(name + length - bytes, ending) == 0;
}

static bool is_temporary(const char *name)
{
    return name[0] == '.' && (ends_with(name, ".tmp") || ends_with(name, ".tmp-journal"));
}

static bool is_fresh_lock(const char *path, const char *name)
{
    struct stat info;
    static const char OF_JOB[] = "." LOCK_NAME ".", OF_LEDGER[] = "." LEDGER_LOCK_NAME ".";
    bool of_lock = strncmp(name, OF_JOB, strlen(OF_JOB)) == 0 || strncmp(name, OF_LEDGER, strlen(OF_LEDGER)) == 0;
    return of_lock && (stat(path, &info) != 0 || time(NULL) - info.st_mtime < LOCK_SECONDS);
}

/* Temporary names of this directory alone. */
static Status find_temporaries(const Search *search, const char *directory)
{
    char **names;
    size_t count;
    TRY(directory_list_any(directory, &names, &count));
    Status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        if (!is_temporary(names[i])) continue;
        char *path = path_join(directory, names[i]);
        if (path != NULL && is_fresh_lock(path, names[i])) memory_free(path);
        else status = add_item(search->garbage, path, "left over by a process that is dead", "");
    }
    names_free(names, count);
    return status;
}

/* An attempt of a job that is wanted. What the next attempt would go on from stays. */
static Status find_in_attempt(const Search *search, const char *directory, bool finished, bool keeps_output)
{
    char **names;
    size_t count;
    TRY(find_temporaries(search, directory));
    Status status = directory_list(directory, &names, &count);
    if (status != OK) { /* a file: no attempt */
        status_free(status);
        return OK;
    }
    for (size_t i = 0; i < count && status == OK; i++) {
        bool output = strcmp(names[i], OUTPUT_NAME) == 0, checkpoint = strncmp(names[i], "checkpoint-", 11) == 0;
        if (output && (finished || !keeps_output))
            status = add_item(search->garbage, path_join(directory, names[i]),
                              "half-made output of an attempt that is over", "");
        if (checkpoint && finished)
            status = add_item(search->garbage, path_join(directory, names[i]), "checkpoint of a finished job", "");
        if (checkpoint && !finished && ends_with(names[i], ".damaged"))
            status = add_item(search->garbage, path_join(directory, names[i]), "damaged checkpoint", "");
    }
    names_free(names, count);
    return status;
}

/* Whether the job goes on from an earlier attempt's output; so where nobody knows. */
static Status output_is_kept(const Search *search, const char *key, bool *kept)
{
    Json *spec;
    StageId id;
    TRY(read_spec(search, key, &spec));
    const Json *name = json_member(spec, "stage");
    *kept = true;
    if (name != NULL && name->type == JSON_STRING && stage_from_name(name->string, &id)) {
        const Stage *stage = search->options->lookup(id);
        *kept = stage == NULL || stage->save == NULL;
    }
    if (spec != NULL) json_destroy(spec);
    return OK;
}

static Status find_in_run(const Search *search, const char *key)
{
    if (in_set(&search->live, key)) return OK;
    char *run = run_directory(search->work, key), **names = NULL;
    size_t count = 0;
    if (run == NULL) return no_path();
    if (!in_set(&search->needed, key))
        return add_item(search->garbage, run, "attempts of a job that no study needs", key);
    bool keeps_output;
    Status sound = artifact_check(search->work, key, false);
    bool finished = sound == OK;
    status_free(sound);
    Status status = output_is_kept(search, key, &keeps_output);
    if (status == OK) status = find_temporaries(search, run);
    if (status == OK) status = directory_list_any(run, &names, &count);
    for (size_t i = 0; i < count && status == OK; i++) {
        int64_t number;
        if (!parse_integer(names[i], &number)) continue;
        char *directory = path_join(run, names[i]);
        status = directory != NULL ? find_in_attempt(search, directory, finished, keeps_output) : no_path();
        memory_free(directory);
    }
    names_free(names, count);
    memory_free(run);
    return status;
}

static Status find_in_artifacts(const Search *search, const char *directory)
{
    char **names;
    size_t count;
    TRY(directory_list_any(directory, &names, &count));
    Status status = OK;
    for (size_t i = 0; i < count && status == OK; i++)
        if (is_key(names[i]) && !in_set(&search->needed, names[i]))
            status = add_item(search->garbage, path_join(directory, names[i]), "artifact that no study needs",
                              names[i]);
    names_free(names, count);
    return status;
}

static Status find_in_studies(const Search *search, const char *directory)
{
    const char *forget = search->options->forget;
    char **names;
    size_t count;
    TRY(directory_list_any(directory, &names, &count));
    Status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        char *path = path_join(directory, names[i]);
        if (path == NULL) status = no_path();
        else if (forget != NULL && strcmp(names[i], forget) == 0) {
            status = add_item(search->garbage, path, "record of the study to forget", "");
            continue;
        } else {
            status = find_temporaries(search, path);
        }
        memory_free(path);
    }
    names_free(names, count);
    return status;
}

static Status search_runs(Search *search, const char *runs)
{
    char **names;
    size_t count;
    TRY(directory_list_any(runs, &names, &count));
    Status status = need_live(search, names, count);
    for (size_t i = 0; i < count && status == OK; i++)
        if (is_key(names[i])) status = find_in_run(search, names[i]);
    names_free(names, count);
    return status == OK ? find_temporaries(search, runs) : status;
}

static Status search_all(Search *search)
{
    char *runs = path_join(search->work, "runs"), *artifacts = path_join(search->work, "artifacts");
    char *studies = path_join(search->work, "studies");
    Status status = runs == NULL || artifacts == NULL || studies == NULL ? no_path() : need_studies(search);
    if (status == OK) status = find_in_studies(search, studies);
    if (status == OK) status = search_runs(search, runs); /* before artifacts: tells what jobs at work read */
    if (status == OK) status = find_in_artifacts(search, artifacts);
    if (status == OK) status = find_temporaries(search, artifacts);
    if (status == OK) status = find_temporaries(search, search->work);
    memory_free(runs);
    memory_free(artifacts);
    memory_free(studies);
    return status;
}

Status garbage_find(Ledger *ledger, const GarbageOptions *options, Garbage *garbage)
{
    *garbage = (Garbage){0};
    Search search = {.work = ledger_work(ledger), .options = options, .garbage = garbage};
    Status status = OK;
    if (options->forget != NULL && (garbage->study = memory_copy_string(options->forget)) == NULL) status = no_path();
    if (status == OK) status = search_all(&search);
    hash_map_free(&search.needed);
    hash_map_free(&search.live);
    return status;
}

/* Removing --------------------------------------------------------------------------- */

/* Under a hidden name first, so that it is whole or gone. */
static Status remove_item(const GarbageItem *item)
{
    const char *name = path_name(item->path);
    char *hidden = memory_format("%.*s.%s.gc.tmp", (int)(name - item->path), item->path, name);
    if (hidden == NULL) return no_path();
    Status status = directory_remove(hidden);
    if (status == OK && item->key[0] != '\0' && rename(item->path, hidden) == 0)
        status = directory_remove(hidden);
    else if (status == OK)
        status = directory_remove(item->path);
    memory_free(hidden);
    return status;
}

Status garbage_remove(Ledger *ledger, const Garbage *garbage)
{
    if (garbage->study != NULL) TRY(ledger_forget_study(ledger, garbage->study));
    for (size_t i = 0; i < garbage->count; i++) {
        TRY(remove_item(&garbage->items[i]));
        if (garbage->items[i].key[0] != '\0') TRY(ledger_forget_job(ledger, garbage->items[i].key));
    }
    return ledger_flush(ledger);
}

void garbage_free(Garbage *garbage)
{
    for (size_t i = 0; i < garbage->count; i++) memory_free(garbage->items[i].path);
    memory_free(garbage->items);
    memory_free(garbage->study);
    *garbage = (Garbage){0};
}
