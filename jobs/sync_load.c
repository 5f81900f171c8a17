/* What the work directory says: submissions, outcomes, open waves, artifacts, requests. */
#include <string.h>
#include <time.h>

#include "framework/memory.h"
#include "jobs/artifact.h"
#include "jobs/sync_private.h"

static Status no_memory(void)
{
    return status_no_memory(0, "the jobs of all submissions");
}

/* Appends the jobs of one submission that no earlier one has; `places` maps its numbers to ours. */
static Status add_submission(Sync *sync, const SlurmSubmission *submission, uint32_t *places)
{
    for (size_t i = 0; i < submission->count; i++) {
        const SlurmJob *job = &submission->jobs[i];
        Hash128 hash;
        if (!hash_from_hex(job->key, &hash)) return no_memory();
        TRY(hash_map_insert(&sync->by_key, hash, (uint32_t)sync->count, &places[i]));
        if (places[i] != sync->count) continue;
        SyncJob *added = &sync->jobs[sync->count++];
        *added = (SyncJob){.submission = submission, .job = job, .state = STATE_WAITING, .wave = NO_TASK, .task = NO_TASK};
        for (int input = 0; input < STAGE_COUNT; input++)
            added->inputs[input] = job->inputs[input] != NO_JOB ? places[job->inputs[input]] : NO_JOB;
    }
    return OK;
}

static Status merge_submissions(Sync *sync)
{
    size_t most = 0, all = 0;
    for (size_t i = 0; i < sync->submission_count; i++) {
        size_t count = sync->submissions[i]->count;
        all += count;
        if (count > most) most = count;
    }
    uint32_t *places = memory_alloc((most + 1) * sizeof *places);
    sync->jobs = memory_alloc_zero(all + 1, sizeof *sync->jobs);
    Status status = places == NULL || sync->jobs == NULL ? no_memory() : OK;
    for (size_t i = 0; status == OK && i < sync->submission_count; i++)
        status = add_submission(sync, sync->submissions[i], places);
    memory_free(places);
    return status;
}

Status sync_load(Sync *sync)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    sync->now = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    if (sync->submissions == NULL) TRY(slurm_submissions_read(sync->work, &sync->submissions, &sync->submission_count));
    TRY(merge_submissions(sync));
    sync->timeout = 60;
    sync->summary->used = sync->submission_count > 0;
    for (size_t i = 0; i < sync->submission_count; i++) {
        const SlurmSettings *settings = &sync->submissions[i]->settings;
        sync->timeout = settings->timeout;
        if (sync->summary->poll <= 0 || settings->poll < sync->summary->poll) sync->summary->poll = settings->poll;
    }
    sync->summary->timeout = sync->timeout;
    TRY(slurm_outcomes_read(sync->work, &sync->outcomes));
    TRY(slurm_waves_read(sync->work, &sync->waves, &sync->wave_count));
    TRY(control_read(sync->work, &sync->requests));
    return work_list_keys(sync->work, "artifacts", &sync->artifacts);
}

void sync_free(Sync *sync)
{
    slurm_submissions_free(sync->submissions, sync->submission_count);
    slurm_outcomes_free(&sync->outcomes);
    slurm_waves_free(sync->waves, sync->wave_count);
    slurm_queue_free(&sync->queue);
    slurm_queue_free(&sync->accounts);
    control_free(&sync->requests);
    hash_map_free(&sync->by_key);
    hash_map_free(&sync->artifacts);
    memory_free(sync->doomed);
    memory_free(sync->jobs);
    status_free(sync->refusal);
}

SyncJob *sync_find(const Sync *sync, const char *key)
{
    Hash128 hash;
    uint32_t index;
    if (!hash_from_hex(key, &hash) || !hash_map_find(&sync->by_key, hash, &index)) return NULL;
    return &sync->jobs[index];
}

bool sync_asked(const Sync *sync, const SyncJob *job, ControlVerb verb)
{
    return control_asks(&sync->requests, verb, job->job->key, job->submission->study);
}
