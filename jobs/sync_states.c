/* States of the jobs that Slurm does not have, and what their users ask. */
#include <stdio.h>
#include <string.h>

#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/sync_private.h"

static bool has_artifact(const Sync *sync, const char *key)
{
    Hash128 hash;
    uint32_t found;
    return hash_from_hex(key, &hash) && hash_map_find(&sync->artifacts, hash, &found);
}

/* A failed or cancelled job that its user has tried again forgets its history. */
static Status reset_retried(Sync *sync, const SyncJob *job)
{
    const SlurmHistory *history = slurm_outcomes_find(&sync->outcomes, job->job->key);
    bool ended = history != NULL && (history->verdict == VERDICT_FAILED || history->verdict == VERDICT_CANCELLED);
    if (!ended || !sync_asked(sync, job, CONTROL_RETRY)) return OK;
    SlurmOutcome outcome = {.token = "", .key = job->job->key, .cause = cause_name(CAUSE_NONE), .message = "", .node = "",
                            .verdict = VERDICT_RESET, .reached = -1};
    sync->summary->changed = true;
    return slurm_outcomes_add(&sync->outcomes, &outcome);
}

static JobState state_of_history(const Sync *sync, const char *key)
{
    const SlurmHistory *history = slurm_outcomes_find(&sync->outcomes, key);
    if (history == NULL) return STATE_WAITING;
    if (history->verdict == VERDICT_FAILED) return STATE_FAILED;
    return history->verdict == VERDICT_CANCELLED ? STATE_CANCELLED : STATE_WAITING;
}

/* Whether one of its inputs will not come. Inputs are settled first. */
static bool is_blocked(const Sync *sync, const SyncJob *job)
{
    for (int input = 0; input < STAGE_COUNT; input++) {
        if (job->inputs[input] == NO_JOB) continue;
        JobState state = sync->jobs[job->inputs[input]].state;
        if (state == STATE_FAILED || state == STATE_BLOCKED || state == STATE_CANCELLED) return true;
    }
    return false;
}

/* A task that its user wants no more, or whose input will not come. */
static void doom(Sync *sync, SyncJob *job)
{
    char id[48];
    const SlurmWave *wave = &sync->waves[job->wave];
    if (wave->job == 0) return; /* perhaps queued: looked up again next time */
    if (wave->tasks[job->task].count > 1) return; /* others of the pack go on */
    slurm_task_id(wave, job->task, id, sizeof id);
    text_format(&sync->doomed, "%s\n", id);
}

static Status settle_state(Sync *sync, SyncJob *job)
{
    TRY(reset_retried(sync, job));
    bool cancelled = sync_asked(sync, job, CONTROL_CANCEL), paused = sync_asked(sync, job, CONTROL_PAUSE);
    if (job->wave != NO_TASK) { /* Slurm has it */
        bool unwanted = cancelled || paused || (job->state == STATE_QUEUED && is_blocked(sync, job));
        if (unwanted && job->state != STATE_UNKNOWN) doom(sync, job);
        return OK;
    }
    if (has_artifact(sync, job->job->key)) job->state = STATE_FINISHED;
    else if (cancelled) job->state = STATE_CANCELLED;
    else job->state = state_of_history(sync, job->job->key);
    if (job->state != STATE_WAITING) return OK;
    if (is_blocked(sync, job)) job->state = STATE_BLOCKED;
    else if (paused) job->state = STATE_PAUSED;
    return OK;
}

/* Requests that all of their jobs have heard are taken away. */
static Status clear_retries(Sync *sync)
{
    for (size_t i = 0; i < sync->requests.count; i++) {
        const ControlRequest *request = &sync->requests.items[i];
        if (request->verb != CONTROL_RETRY) continue;
        bool study = request->target[0] == '@', ours = false;
        for (size_t s = 0; study && s < sync->submission_count; s++)
            ours |= strcmp(sync->submissions[s]->study, request->target + 1) == 0;
        if (!study) ours = sync_find(sync, request->target) != NULL;
        if (ours) TRY(control_clear(sync->work, CONTROL_RETRY, study ? NULL : request->target, study ? request->target + 1 : NULL));
    }
    return OK;
}

Status sync_settle_states(Sync *sync)
{
    for (size_t i = 0; i < sync->count; i++) TRY(settle_state(sync, &sync->jobs[i]));
    TRY(slurm_outcomes_flush(&sync->outcomes));
    return clear_retries(sync);
}

Status sync_cancel_doomed(Sync *sync)
{
    if (sync->doomed.failed) return status_no_memory(sync->doomed.length, "a list of jobs");
    size_t count = 0, n = 0;
    for (size_t i = 0; i < sync->doomed.length; i++) count += sync->doomed.data[i] == '\n';
    if (count == 0) return OK;
    const char **ids = memory_alloc(count * sizeof *ids);
    if (ids == NULL) return status_no_memory(count, "a list of jobs");
    for (char *rest = sync->doomed.data, *line; n < count && (line = strsep(&rest, "\n")) != NULL;) ids[n++] = line;
    Status status = slurm_cancel(sync->timeout, ids, n);
    memory_free(ids);
    text_free(&sync->doomed);
    sync->summary->changed = true;
    return status;
}
