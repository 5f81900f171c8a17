/* The ledger from the directories alone. */
#include <string.h>

#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/artifact.h"
#include "jobs/attempt.h"
#include "jobs/ledger_private.h"
#include "jobs/study_record.h"

static Status no_path(void)
{
    return status_no_memory(0, "a path");
}

static Status list_below(const char *work, const char *name, char ***names, size_t *count)
{
    char *path = path_join(work, name);
    *names = NULL;
    *count = 0;
    if (path == NULL) return no_path();
    Status status = directory_list_any(path, names, count);
    memory_free(path);
    return status;
}

/* Jobs ------------------------------------------------------------------------- */

/* Of a spec, a manifest, or a job's line in a study's record. */
static Status put_job(Ledger *ledger, const char *key, const Json *source, const char *path)
{
    const char *name;
    int64_t version;
    StageId stage;
    TRY(json_get_string(source, "stage", path, &name));
    TRY(json_get_integer(source, "version", path, &version));
    if (!stage_from_name(name, &stage)) return status_error(STATUS_CORRUPT, "%s: no stage '%s'", path, name);
    JsonWriter inputs = {0};
    const Json *given = json_member(source, "inputs");
    if (given != NULL)
        json_value(&inputs, given);
    else
        text_append(&inputs.text, "{}");
    Status status = inputs.text.failed ? status_no_memory(0, "a job") : OK;
    if (status == OK)
        status = ledger_put(ledger, PUT_JOB, "siis", key, (int64_t)stage, version, text_string(&inputs.text));
    text_free(&inputs.text);
    return status;
}

/* From one file; damaged or absent is no failure, only no source. */
static Status try_source(Ledger *ledger, const char *key, char *path, bool *found)
{
    if (path == NULL) return no_path();
    Json *json = NULL;
    Status status = json_read_file(path, &json);
    if (status == OK) {
        status = put_job(ledger, key, json, path);
        *found = status == OK;
        json_destroy(json);
    }
    memory_free(path);
    StatusCode code = status_code(status);
    if (code == STATUS_OK || code == STATUS_NO_MEMORY || code == STATUS_IO || code == STATUS_LIBRARY) return status;
    status_free(status);
    return OK;
}

/* What a job is, from its last attempt's spec or its artifact's manifest. */
static Status describe_job(Ledger *ledger, const char *key)
{
    bool found = false;
    char *run = run_directory(ledger->work, key), **names = NULL;
    size_t count = 0;
    if (run == NULL) return no_path();
    Status status = directory_list_any(run, &names, &count);
    memory_free(run);
    for (size_t i = count; i-- > 0 && status == OK && !found;) {
        int64_t number;
        if (!parse_integer(names[i], &number)) continue;
        status = try_source(ledger, key, memory_format("%s/runs/%s/%s/" SPEC_NAME, ledger->work, key, names[i]),
                            &found);
    }
    names_free(names, count);
    if (status == OK && !found)
        status = try_source(ledger, key, memory_format("%s/artifacts/%s/" MANIFEST_NAME, ledger->work, key), &found);
    return status;
}

/* Studies ------------------------------------------------------------------------ */

typedef struct Import {
    Ledger *ledger;
    const char *study, *plan;
    bool current;    /* the latest plan of its study: its trials are kept */
    double latest;
    char *latest_id;
    const char *path;
} Import;

static Status look_at_head(void *context, const Json *head)
{
    Import *import = context;
    double recorded;
    TRY(json_get_real(head, "recorded", import->study, &recorded));
    if (recorded < import->latest) return OK;
    memory_free(import->latest_id);
    import->latest = recorded;
    import->latest_id = memory_copy_string(import->plan);
    return import->latest_id != NULL ? OK : no_path();
}

static Status take_head(void *context, const Json *head)
{
    const Import *import = context;
    const char *path;
    int64_t trials;
    double recorded;
    if (!import->current) return OK;
    TRY(json_get_string(head, "path", import->study, &path));
    TRY(json_get_integer(head, "trials", import->study, &trials));
    TRY(json_get_real(head, "recorded", import->study, &recorded));
    JsonWriter overrides = {0};
    if (json_member(head, "overrides") != NULL) json_value(&overrides, json_member(head, "overrides"));
    Status status = ledger_put(import->ledger, PUT_STUDY, "ssirss", import->study, path, trials, recorded, import->plan,
                               text_string(&overrides.text));
    text_free(&overrides.text);
    return status;
}

static Status take_job(void *context, const Json *job)
{
    const Import *import = context;
    const char *key;
    int64_t trials;
    TRY(json_get_string(job, "key", import->study, &key));
    TRY(json_get_integer(job, "trials", import->study, &trials));
    TRY(put_job(import->ledger, key, job, import->study));
    return ledger_put(import->ledger, PUT_PLAN_JOB, "sssi", import->study, import->plan, key, trials);
}

static Status put_trial(const Import *import, int64_t number, const Json *trial, const char *axes, const char *jobs)
{
    const char *variant, *group;
    int64_t seed;
    TRY(json_get_string(trial, "variant", import->study, &variant));
    TRY(json_get_string(trial, "group", import->study, &group));
    TRY(json_get_integer(trial, "seed", import->study, &seed));
    return ledger_put(import->ledger, PUT_TRIAL, "sississ", import->study, number, variant, group, seed, axes, jobs);
}

static Status take_trial(void *context, int64_t number, const Json *trial)
{
    const Import *import = context;
    if (!import->current) return OK;
    JsonWriter axes = {0}, jobs = {0};
    if (json_member(trial, "axes") != NULL) json_value(&axes, json_member(trial, "axes"));
    json_value(&jobs, json_member(trial, "jobs"));
    Status status = axes.text.failed || jobs.text.failed ? status_no_memory(0, "a trial") : OK;
    if (status == OK) status = put_trial(import, number, trial, text_string(&axes.text), text_string(&jobs.text));
    text_free(&axes.text);
    text_free(&jobs.text);
    return status;
}

/* A study that an earlier program recorded, as trials alone: it is known, and so are its jobs as far as they ran. */
static Status take_old_trial(void *context, int64_t number, const Json *trial)
{
    const Import *import = context;
    const Json *jobs = json_member(trial, "jobs");
    TRY(take_trial(context, number, trial));
    for (size_t i = 0; jobs->type == JSON_OBJECT && i < jobs->count; i++) {
        StageId stage;
        if (jobs->items[i].type != JSON_STRING || !stage_from_name(jobs->keys[i], &stage)) continue;
        TRY(ledger_put(import->ledger, PUT_JOB, "siis", jobs->items[i].string, (int64_t)stage, (int64_t)0, "{}"));
        TRY(ledger_put(import->ledger, PUT_PLAN_JOB, "sssi", import->study, import->plan, jobs->items[i].string,
                       (int64_t)1));
    }
    return ledger_put(import->ledger, PUT_STUDY, "ssirss", import->study, "", number + 1, 0.0, import->plan, "[]");
}

static Status import_study(Ledger *ledger, const char *study)
{
    static const StudyRecordTaker LOOK = {.head = look_at_head};
    static const StudyRecordTaker TAKE = {.head = take_head, .job = take_job, .trial = take_trial};
    static const StudyRecordTaker TAKE_OLD = {.trial = take_old_trial};
    char **ids;
    size_t count;
    TRY(study_records_list(ledger->work, study, &ids, &count));
    Import import = {.ledger = ledger, .study = study};
    Status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        import.plan = ids[i];
        status = study_record_read(ledger->work, study, ids[i], &LOOK, &import);
    }
    for (size_t i = 0; i < count && status == OK; i++) {
        import.plan = ids[i];
        import.current = import.latest_id == NULL || strcmp(import.latest_id, ids[i]) == 0;
        status = study_record_read(ledger->work, study, ids[i], import.latest_id != NULL ? &TAKE : &TAKE_OLD, &import);
    }
    memory_free(import.latest_id);
    names_free(ids, count);
    return status;
}

/* Whole ---------------------------------------------------------------------------- */

static bool is_key(const char *name)
{
    Hash128 hash;
    return hash_from_hex(name, &hash);
}

static Status each_key(Ledger *ledger, const char *below, Status (*take)(Ledger *ledger, const char *key))
{
    char **names;
    size_t count;
    TRY(list_below(ledger->work, below, &names, &count));
    Status status = OK;
    for (size_t i = 0; i < count && status == OK; i++)
        if (is_key(names[i])) status = take(ledger, names[i]);
    names_free(names, count);
    return status;
}

static Status import_if_known(Ledger *ledger, const char *key)
{
    bool known = false;
    Status status = ledger_ask(ledger, FIND_JOB, "s", key);
    while (ledger_next_row(ledger, FIND_JOB, &status)) known = true;
    return status == OK && known ? ledger_import_job(ledger, key, true) : status;
}

static Status count_rows(Ledger *ledger, const char *sql, int64_t *count)
{
    sqlite3_stmt *statement = NULL;
    TRY(ledger_result(ledger, sqlite3_prepare_v2(ledger->database, sql, -1, &statement, NULL)));
    int result = sqlite3_step(statement);
    *count = result == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return ledger_result(ledger, result);
}

Status ledger_import_everything(Ledger *ledger, LedgerRebuilt *rebuilt)
{
    char **studies;
    size_t count;
    /* What jobs are goes first: an earlier program's record of a study does not tell it. */
    TRY(each_key(ledger, "runs", describe_job));
    TRY(each_key(ledger, "artifacts", describe_job));
    TRY(list_below(ledger->work, "studies", &studies, &count));
    Status status = OK;
    for (size_t i = 0; i < count && status == OK; i++)
        if (studies[i][0] != '.') status = import_study(ledger, studies[i]);
    names_free(studies, count);
    TRY(status);
    TRY(each_key(ledger, "runs", import_if_known));
    TRY(each_key(ledger, "artifacts", import_if_known));
    TRY(ledger_put(ledger, DROP_UNKNOWN_JOBS, ""));
    TRY(ledger_flush(ledger));
    TRY(count_rows(ledger, "SELECT count(*) FROM studies", &rebuilt->studies));
    TRY(count_rows(ledger, "SELECT count(*) FROM jobs", &rebuilt->jobs));
    return count_rows(ledger, "SELECT count(*) FROM attempts", &rebuilt->attempts);
}

/* The journal of a writer that was killed belongs to the old file; SQLite would play it back into the new one. */
static Status remove_journal(const char *path)
{
    static const char *const ENDINGS[] = {"-journal", "-wal", "-shm"};
    Status status = OK;
    for (size_t i = 0; i < sizeof ENDINGS / sizeof ENDINGS[0] && status == OK; i++) {
        char *name = memory_format("%s%s", path, ENDINGS[i]);
        status = name != NULL ? file_remove(name) : no_path();
        memory_free(name);
    }
    if (status == OK) {
        char *lock = memory_format("%s.lock", path); /* of a killed process, where locks are leases */
        status = lock != NULL ? directory_remove(lock) : no_path();
        memory_free(lock);
    }
    return status;
}

static Status rebuild(const char *work, const char *path, LedgerRebuilt *rebuilt)
{
    char *temporary;
    TRY(file_temporary_name(path, &temporary));
    Ledger *fresh = NULL;
    Status status = ledger_create_private(work, temporary, &fresh);
    if (status == OK) status = ledger_import_everything(fresh, rebuilt);
    ledger_close(fresh);
    if (status == OK) status = remove_journal(path);
    if (status == OK)
        status = file_commit(temporary, path);
    else
        file_discard(temporary);
    memory_free(temporary);
    return status;
}

static Status check_work_directory(const char *work)
{
    static const char *const PARTS[] = {"studies", "runs", "artifacts"};
    bool found = false;
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) {
        char *path = path_join(work, PARTS[i]);
        if (path == NULL) return no_path();
        found |= file_exists(path);
        memory_free(path);
    }
    return found ? OK : status_error(STATUS_NOT_FOUND,
                                     "%s: no studies, runs or artifacts there: name a STUDY.yaml or --work",
                                     work);
}

Status ledger_rebuild(const char *work, LedgerRebuilt *rebuilt)
{
    *rebuilt = (LedgerRebuilt){0};
    TRY(check_work_directory(work));
    FileLock *lock = NULL;
    TRY(ledger_take_lock(work, &lock));
    char *path = path_join(work, LEDGER_NAME);
    Status status = path != NULL ? rebuild(work, path, rebuilt) : no_path();
    memory_free(path);
    file_unlock(lock);
    return status;
}
