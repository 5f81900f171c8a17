/* What earlier runners did not write down: a runner that is killed leaves
 * attempts that the ledger has never heard of, or whose end it has not. */
#include <stdlib.h>
#include <string.h>

#include "framework/files.h"
#include "framework/json.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/artifact.h"
#include "jobs/attempt_prepare.h"
#include "jobs/runner_private.h"

/* Whether the artifact is this attempt's work: the manifest names who made it. */
static bool made_artifact(const char *work, const LedgerAttempt *attempt)
{
    char *path = memory_format("%s/artifacts/%s/" MANIFEST_NAME, work, attempt->key);
    Json *manifest = NULL;
    Status status = path != NULL ? json_read_file(path, &manifest) : status_no_memory(0, "a path");
    const Json *name = status == OK ? json_member(manifest, "attempt") : NULL;
    int64_t number = 0;
    bool made = name != NULL && name->type == JSON_STRING && parse_integer(name->string, &number) &&
                number == attempt->number;
    status_free(status);
    json_destroy(manifest);
    memory_free(path);
    return made;
}

/* An attempt that has ended without a word: it was killed, unless that was after its last deed. */
static Status close_attempt(Ledger *ledger, const char *work, LedgerAttempt *attempt)
{
    if (attempt->state != STATE_RUNNING) return OK;
    attempt->state = made_artifact(work, attempt) ? STATE_FINISHED : STATE_KILLED;
    attempt->ended = attempt->updated;
    return ledger_put_attempt(ledger, attempt);
}

Status runner_fold_all(Ledger *ledger, const char *work, const char *key, int first, int last)
{
    for (int number = first; number <= last; number++) {
        LedgerAttempt attempt;
        bool told;
        ledger_attempt_init(&attempt, key, number);
        TRY(ledger_fold(ledger, &attempt, &told));
        if (told) TRY(close_attempt(ledger, work, &attempt)); /* else it never began */
    }
    return OK;
}

/* Attempts that the ledger believes to run. */
static Status close_running(Ledger *ledger, const char *work)
{
    LedgerAttempt *attempts;
    size_t count;
    Status status = ledger_list_running(ledger, &attempts, &count);
    for (size_t i = 0; i < count && status == OK; i++) {
        bool live = false;
        status = ledger_fold(ledger, &attempts[i], NULL);
        if (status == OK) status = attempt_is_live(work, attempts[i].key, &live, NULL);
        if (status == OK && !live) status = close_attempt(ledger, work, &attempts[i]);
    }
    memory_free(attempts);
    return status;
}

typedef struct Behind {
    const char *work;
    char **runs;       /* names below WORK/runs, sorted */
    size_t run_count;
    char (*keys)[HASH_HEX_SIZE];
    int *known;        /* attempts of each that the ledger knows */
    size_t count, capacity;
} Behind;

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes note of an unfinished job that has been begun: it may have more attempts than the ledger knows. */
static Status take_unfinished(void *context, const LedgerJob *job)
{
    Behind *behind = context;
    if (job->state == STATE_FINISHED || behind->run_count == 0 ||
        bsearch(&job->key, behind->runs, behind->run_count, sizeof *behind->runs, compare_names) == NULL)
        return OK;
    if (behind->count == behind->capacity) {
        size_t capacity = behind->capacity > 0 ? behind->capacity * 2 : 64;
        char(*keys)[HASH_HEX_SIZE] = memory_resize(behind->keys, capacity * sizeof *keys);
        if (keys != NULL) behind->keys = keys;
        int *known = memory_resize(behind->known, capacity * sizeof *known);
        if (known != NULL) behind->known = known;
        if (keys == NULL || known == NULL) return status_no_memory(capacity * sizeof *keys, "a list of jobs");
        behind->capacity = capacity;
    }
    strcpy(behind->keys[behind->count], job->key);
    behind->known[behind->count++] = (int)job->attempts;
    return OK;
}

static Status bring_up(Ledger *ledger, const Behind *behind, size_t index)
{
    const char *key = behind->keys[index];
    int last;
    bool live;
    TRY(attempt_last_number(behind->work, key, &last));
    TRY(attempt_is_live(behind->work, key, &live, NULL));
    /* One that is at work is folded as it goes on. */
    if (!live) TRY(runner_fold_all(ledger, behind->work, key, behind->known[index] + 1, last));
    Status found = artifact_check(behind->work, key, false);
    bool finished = found == OK;
    status_free(found);
    if (!finished) return OK;
    TRY(ledger_set_state(ledger, key, STATE_FINISHED, NULL, NULL));
    return ledger_record_results(ledger, key);
}

Status runner_catch_up(Ledger *ledger, const char *work)
{
    Behind behind = {.work = work};
    char *runs = path_join(work, "runs");
    if (runs == NULL) return status_no_memory(0, "a path");
    Status status = directory_list(runs, &behind.runs, &behind.run_count);
    memory_free(runs);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        return OK; /* nothing has ever been run here */
    }
    if (status == OK) status = close_running(ledger, work);
    if (status == OK) status = ledger_each_job(ledger, &(LedgerFilter){.state = -1}, take_unfinished, &behind);
    for (size_t i = 0; i < behind.count && status == OK; i++) status = bring_up(ledger, &behind, i);
    names_free(behind.runs, behind.run_count);
    memory_free(behind.keys);
    memory_free(behind.known);
    return status;
}
