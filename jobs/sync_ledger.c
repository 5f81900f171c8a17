/* The ledger after a sync: states, attempts and results of the jobs that changed. */
#include <string.h>

#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/attempt_prepare.h"
#include "jobs/sync_private.h"

/* What the ledger believes of our jobs. */
typedef struct Belief {
    const Sync *sync;
    JobState *states;    /* [jobs]; JOB_STATE_COUNT where it knows none */
    int64_t *attempts;   /* [jobs] */
} Belief;

static Status take_belief(void *context, const LedgerJob *job)
{
    Belief *belief = context;
    const SyncJob *own = sync_find(belief->sync, job->key);
    if (own == NULL) return OK;
    belief->states[own - belief->sync->jobs] = job->state;
    belief->attempts[own - belief->sync->jobs] = job->attempts;
    return OK;
}

/* Attempts that the ledger does not know to their end. `live`: the last of them may still be at work. */
static Status fold_attempts(const Sync *sync, Ledger *ledger, const char *key, int64_t known, bool live, bool finished)
{
    int last;
    TRY(attempt_last_number(sync->work, key, &last));
    for (int number = known > 0 ? (int)known : 1; number <= last; number++) {
        LedgerAttempt attempt;
        bool told = false;
        ledger_attempt_init(&attempt, key, number);
        if (number == (int)known) {
            Status status = ledger_last_attempt(ledger, key, &attempt);
            if (status_code(status) == STATUS_NOT_FOUND) {
                status_free(status);
                ledger_attempt_init(&attempt, key, number);
            } else {
                TRY(status);
            }
        }
        TRY(ledger_fold(ledger, &attempt, &told));
        bool over = attempt.state == STATE_RUNNING && (number < last || !live) && (told || attempt.started > 0);
        if (!over) continue;
        attempt.state = finished && number == last ? STATE_FINISHED : STATE_KILLED;
        attempt.ended = attempt.updated;
        TRY(ledger_put_attempt(ledger, &attempt));
    }
    return OK;
}

static Status update_job(const Sync *sync, Ledger *ledger, const SyncJob *job, JobState believed, int64_t attempts)
{
    const char *key = job->job->key;
    bool running = job->state == STATE_RUNNING || job->state == STATE_QUEUED;
    if (believed == JOB_STATE_COUNT) return OK; /* no study of this ledger has it */
    if (job->state != believed || running)
        TRY(fold_attempts(sync, ledger, key, attempts, running, job->state == STATE_FINISHED));
    if (job->state == believed) return OK;
    const SlurmHistory *history = slurm_outcomes_find(&sync->outcomes, key);
    bool told = history != NULL && job->state != STATE_FINISHED && job->state != STATE_RUNNING;
    const char *cause = told && strcmp(history->cause, cause_name(CAUSE_NONE)) != 0 ? history->cause : NULL;
    const char *message = told ? history->message : NULL;
    if (job->state == STATE_CANCELLED) cause = "cancelled";
    if (job->state == STATE_UNKNOWN) {
        cause = "unknown";
        message = "Slurm has forgotten it, and it left neither a result nor a record: 'zeroth retry' starts it anew";
    }
    if (job->state == STATE_BLOCKED) {
        cause = "blocked";
        message = "an input failed or was cancelled";
    }
    TRY(ledger_set_state(ledger, key, job->state, cause, message));
    return job->state == STATE_FINISHED ? ledger_record_results(ledger, key) : OK;
}

static Status update(Sync *sync, Ledger *ledger)
{
    Belief belief = {.sync = sync, .states = memory_alloc((sync->count + 1) * sizeof *belief.states),
                     .attempts = memory_alloc_zero(sync->count + 1, sizeof *belief.attempts)};
    Status status = belief.states == NULL || belief.attempts == NULL ? status_no_memory(sync->count, "states of jobs") : OK;
    for (size_t i = 0; status == OK && i < sync->count; i++) belief.states[i] = JOB_STATE_COUNT;
    if (status == OK) status = ledger_each_job(ledger, &(LedgerFilter){.state = -1}, take_belief, &belief);
    for (size_t i = 0; status == OK && i < sync->count; i++) {
        sync->summary->changed |= belief.states[i] != JOB_STATE_COUNT && sync->jobs[i].state != belief.states[i];
        status = update_job(sync, ledger, &sync->jobs[i], belief.states[i], belief.attempts[i]);
    }
    memory_free(belief.attempts);
    memory_free(belief.states);
    return status;
}

Status sync_update_ledger(Sync *sync)
{
    Ledger *ledger;
    Status status = ledger_open_writer(sync->work, &ledger);
    if (status_code(status) == STATUS_LOCKED) { /* a local run, which does the same from the same directories */
        status_free(status);
        return OK;
    }
    TRY(status);
    status = sync->plan != NULL ? ledger_record_plan(ledger, sync->plan) : OK;
    if (status == OK) status = update(sync, ledger);
    if (status == OK) status = ledger_flush(ledger);
    ledger_close(ledger);
    return status;
}
