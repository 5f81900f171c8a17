#include "jobs/sync.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/sync_private.h"

static Status no_path(void)
{
    return status_no_memory(0, "a path");
}

/* The lock --------------------------------------------------------------------------------- */

typedef struct SyncLock {
    FileLock *lock;
    char *path, *again; /* `again` asks whoever holds the lock for one more round */
} SyncLock;

static void unlock(SyncLock *lock)
{
    file_unlock(lock->lock);
    memory_free(lock->path);
    memory_free(lock->again);
    *lock = (SyncLock){0};
}

/* Takes the lock. Where another process has it: waits, or leaves word for it and gives up (`*taken` false). */
static Status take_lock(const char *work, bool wait, SyncLock *lock, bool *taken)
{
    char *directory = path_join(work, SLURM_DIRECTORY);
    *lock = (SyncLock){0};
    *taken = false;
    if (directory != NULL) {
        lock->path = path_join(directory, "lock");
        lock->again = path_join(directory, "again");
    }
    Status status = lock->path == NULL || lock->again == NULL ? no_path() : directory_create(directory);
    memory_free(directory);
    /* Word is left before the lock is tried: its holder looks for it after letting go. */
    if (status == OK && !wait) status = file_write(lock->again, "", 0);
    while (status == OK && !*taken) {
        status = file_lock(lock->path, &lock->lock);
        *taken = status == OK;
        if (status_code(status) != STATUS_LOCKED) break;
        status_free(status);
        status = OK;
        if (!wait) break;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    if (status != OK || !*taken) unlock(lock);
    return status;
}

/* One round -------------------------------------------------------------------------------------- */

static void count_states(Sync *sync)
{
    memset(sync->summary->states, 0, sizeof sync->summary->states);
    for (size_t i = 0; i < sync->count; i++) sync->summary->states[sync->jobs[i].state]++;
}

static void note(Status status)
{
    if (status != OK) log_status(LOG_LEVEL_WARNING, status_wrap(status, "the ledger falls behind (it is only a copy)"));
}

/* With everything loaded. */
static Status bring_together(Sync *sync)
{
    TRY(sync_look(sync));
    TRY(sync_settle_states(sync));
    sync->settled = true;
    if (sync->dry == NULL) TRY(sync_cancel_doomed(sync));
    sync->summary->again = sync->freed;
    if (sync->options->submit || sync->dry != NULL) TRY(executor_slurm_send(sync));
    count_states(sync);
    return OK;
}

static Status run_round(const char *work, const Plan *plan, const SyncOptions *options, SyncSummary *summary)
{
    Sync sync = {.work = work, .plan = plan, .options = options, .summary = summary};
    Status status = sync_load(&sync);
    if (status == OK && (sync.submission_count > 0 || sync.wave_count > 0)) {
        status = bring_together(&sync);
        status = status_first(status, slurm_outcomes_flush(&sync.outcomes));
        if (sync.count > 0 && sync.settled) note(sync_update_ledger(&sync));
    }
    if (status == OK) {
        summary->refused = sync.refusal != OK;
        status = sync.refusal;
        sync.refusal = OK;
    }
    sync_free(&sync);
    return status;
}

/* Rounds as long as others ask for them: a job that ends while its last fellow syncs must not be forgotten. */
static Status run_rounds(const char *work, const SyncLock *lock, const Plan *plan, const SyncOptions *options,
                         SyncSummary *summary)
{
    Status status;
    do {
        TRY(file_remove(lock->again));
        bool changed = summary->changed;
        size_t sent = summary->sent, waves = summary->waves;
        *summary = (SyncSummary){0};
        status = run_round(work, plan, options, summary);
        summary->changed |= changed;
        summary->sent += sent;
        summary->waves += waves;
        plan = NULL;
    } while (status == OK && (summary->again || file_exists(lock->again)));
    return status;
}

static bool ever_used(const char *work)
{
    char *path = path_join(work, SLURM_DIRECTORY "/submissions");
    bool used = path != NULL && access(path, F_OK) == 0;
    memory_free(path);
    return used;
}

Status sync_run(const char *work, const SyncOptions *options, SyncSummary *summary)
{
    *summary = (SyncSummary){0};
    if (!ever_used(work)) return OK;
    for (bool once_more = true; once_more;) {
        SyncLock lock;
        bool taken;
        TRY(take_lock(work, options->wait, &lock, &taken));
        if (!taken) {
            summary->used = summary->skipped = true;
            return OK;
        }
        Status status = run_rounds(work, &lock, NULL, options, summary);
        file_unlock(lock.lock);
        lock.lock = NULL;
        /* Word that was left after the last look at it, by one who then found the lock held. */
        once_more = status == OK && file_exists(lock.again);
        unlock(&lock);
        TRY(status);
    }
    return OK;
}

/* Submitting ---------------------------------------------------------------------------------------- */

typedef struct LiveKeys {
    HashMap set;
} LiveKeys;

/* Jobs that Slurm has, or may have. */
static Status find_live_keys(const Sync *sync, LiveKeys *keys)
{
    for (size_t i = 0; i < sync->wave_count; i++) {
        const SlurmWave *wave = &sync->waves[i];
        for (size_t t = 0; t < wave->count; t++)
            for (uint32_t k = 0; k < wave->tasks[t].count; k++) {
                const char *key = wave->keys[wave->tasks[t].first + k];
                Hash128 hash;
                uint32_t found;
                if (hash_from_hex(key, &hash) &&
                    !slurm_outcomes_settled(&sync->outcomes, wave->token, wave->tasks[t].index, key))
                    TRY(hash_map_insert(&keys->set, hash, 0, &found));
            }
    }
    return OK;
}

/* Their specifications stay as they were submitted. */
static bool keep_spec(void *context, const char *key)
{
    const LiveKeys *keys = context;
    Hash128 hash;
    uint32_t found;
    return hash_from_hex(key, &hash) && hash_map_find(&keys->set, hash, &found);
}

static Status write_submission(const Plan *plan, const SyncOptions *options)
{
    SyncSummary summary = {0};
    Sync sync = {.work = plan->work, .options = options, .summary = &summary};
    SlurmSubmission *submission = NULL;
    LiveKeys live = {0};
    char *program = NULL;
    Status status = sync_load(&sync);
    if (status == OK) status = find_live_keys(&sync, &live);
    if (status == OK) status = program_snapshot(plan->work, &program);
    if (status == OK) status = slurm_submission_create(plan, program, options->code, &submission);
    if (status == OK) status = slurm_submission_write(submission, plan, keep_spec, &live);
    slurm_submission_destroy(submission);
    hash_map_free(&live.set);
    memory_free(program);
    sync_free(&sync);
    return status;
}

Status sync_submit(const Plan *plan, const SyncOptions *options, SyncSummary *summary)
{
    SyncLock lock;
    bool taken;
    *summary = (SyncSummary){0};
    TRY(take_lock(plan->work, true, &lock, &taken));
    Status status = write_submission(plan, options);
    if (status == OK) status = run_rounds(plan->work, &lock, plan, options, summary);
    unlock(&lock);
    return status;
}

Status sync_dry_run(const Plan *plan, const SyncOptions *options, FILE *out)
{
    SyncSummary summary = {0};
    Sync sync = {.work = plan->work, .options = options, .summary = &summary, .dry = out};
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0) return status_errno(errno, "read", "/proc/self/exe");
    self[length] = '\0';
    sync.submissions = memory_alloc_zero(1, sizeof *sync.submissions);
    if (sync.submissions == NULL) return status_no_memory(0, "a submission");
    Status status = slurm_submission_create(plan, self, options->code, &sync.submissions[0]);
    sync.submission_count = status == OK;
    if (status == OK) status = sync_load(&sync);
    if (status == OK) status = bring_together(&sync);
    if (status == OK && summary.note[0] != '\0') fprintf(out, "# %s\n", summary.note);
    sync_free(&sync);
    return status;
}
