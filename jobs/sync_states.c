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

Status sync_doom(Sync *sync, size_t wave, size_t task)
{
    if (sync->waves[wave].job == 0) return OK; /* perhaps queued: looked up again next time */
    if ((sync->doomed_count & (sync->doomed_count - 1)) == 0) { /* doubled at every power of two */
        size_t capacity = sync->doomed_count > 0 ? sync->doomed_count * 2 : 1;
        void *doomed = memory_resize(sync->doomed, capacity * sizeof *sync->doomed);
        if (doomed == NULL) return status_no_memory(capacity, "a list of jobs");
        sync->doomed = doomed;
    }
    sync->doomed[sync->doomed_count].wave = wave;
    sync->doomed[sync->doomed_count++].task = task;
    return OK;
}

static Status settle_state(Sync *sync, SyncJob *job)
{
    TRY(reset_retried(sync, job));
    bool cancelled = sync_asked(sync, job, CONTROL_CANCEL), paused = sync_asked(sync, job, CONTROL_PAUSE);
    if (job->wave != NO_TASK) { /* Slurm has it */
        bool unwanted = cancelled || paused || (job->state == STATE_QUEUED && is_blocked(sync, job));
        bool packed = sync->waves[job->wave].tasks[job->task].count > 1; /* others of the pack go on */
        return unwanted && !packed && job->state != STATE_UNKNOWN ? sync_doom(sync, job->wave, job->task) : OK;
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
    if (sync->dry != NULL) return OK;
    TRY(slurm_outcomes_flush(&sync->outcomes));
    return clear_retries(sync);
}

Status sync_cancel_doomed(Sync *sync)
{
    size_t count = sync->doomed_count, made = 0;
    if (count == 0) return OK;
    char(*texts)[48] = memory_alloc(count * sizeof *texts);
    const char **ids = memory_alloc(count * sizeof *ids);
    Status status = texts == NULL || ids == NULL ? status_no_memory(count, "a list of jobs") : OK;
    for (; made < count && status == OK; made++) {
        SlurmWave *wave = &sync->waves[sync->doomed[made].wave];
        size_t task = sync->doomed[made].task;
        slurm_task_id(wave, task, texts[made], sizeof texts[made]);
        ids[made] = texts[made];
        if (wave->tasks[task].cancelled) continue; /* and has not gone yet */
        sync->freed = true;
        status = slurm_wave_record_cancelled(wave, task);
    }
    if (status == OK) status = slurm_cancel(sync->timeout, ids, count);
    memory_free(ids);
    memory_free(texts);
    return status;
}
