/* Which jobs may be sent now. */
#include <stdlib.h>
#include <string.h>

#include "framework/memory.h"
#include "jobs/attempt.h"
#include "jobs/executor_slurm.h"

/* Whether `job` cannot start before `other` has finished. */
static bool comes_after(const Sync *sync, uint32_t job, uint32_t other)
{
    for (int input = 0; input < STAGE_COUNT; input++) {
        uint32_t from = sync->jobs[job].inputs[input];
        if (from != NO_JOB && (from == other || comes_after(sync, from, other))) return true;
    }
    return false;
}

/* What it must wait for in the queue; false where it cannot be queued yet. */
static bool find_waits(const Sync *sync, const SyncJob *job, Candidate *candidate)
{
    for (int input = 0; input < STAGE_COUNT; input++) {
        uint32_t from = job->inputs[input];
        if (from == NO_JOB || sync->jobs[from].state == STATE_FINISHED) continue;
        JobState state = sync->jobs[from].state;
        if ((state != STATE_QUEUED && state != STATE_RUNNING) || !sync->jobs[from].dependable) return false;
        candidate->waits[candidate->wait_count++] = from;
    }
    /* A generator waits for its extract already: what is behind both need only wait for the generator. */
    int kept = 0;
    for (int i = 0; i < candidate->wait_count; i++) {
        bool implied = false;
        for (int k = 0; k < candidate->wait_count && !implied; k++)
            implied = k != i && comes_after(sync, candidate->waits[k], candidate->waits[i]);
        if (!implied) candidate->waits[kept++] = candidate->waits[i];
    }
    candidate->wait_count = kept;
    return true;
}

static void fill_request(const Sync *sync, const SyncJob *job, Candidate *candidate)
{
    const SlurmSettings *settings = &job->submission->settings;
    const SlurmHistory *history = slurm_outcomes_find(&sync->outcomes, job->job->key);
    candidate->stage = job->job->stage;
    candidate->class = &job->submission->classes[job->job->class];
    candidate->submission = job->submission;
    candidate->memory = candidate->class->memory;
    candidate->exclude = "";
    if (history == NULL) return;
    if (history->memory > candidate->memory) candidate->memory = history->memory;
    if (settings->max_memory > 0 && candidate->memory > settings->max_memory) candidate->memory = settings->max_memory;
    candidate->exclude = history->exclude;
    if (history->backoffs > 0 && history->verdict == VERDICT_AGAIN)
        candidate->begin = history->ended + cause_backoff(settings->backoff, history->backoffs) - sync->now;
    if (candidate->begin < 0) candidate->begin = 0;
}

/* Canaries --------------------------------------------------------------------------------- */

typedef struct StageTally {
    size_t live, finished, failed, left;
} StageTally;

static void tally(const Sync *sync, StageTally tallies[STAGE_COUNT])
{
    memset(tallies, 0, sizeof(StageTally) * STAGE_COUNT);
    for (size_t i = 0; i < sync->count; i++) {
        StageTally *own = &tallies[sync->jobs[i].job->stage];
        JobState state = sync->jobs[i].state;
        if (state == STATE_FINISHED) own->finished++;
        else if (state == STATE_FAILED) own->failed++;
        else if (state == STATE_QUEUED || state == STATE_RUNNING || state == STATE_UNKNOWN) own->live++;
        else own->left++;
    }
}

/* How many jobs of a stage may be sent: one, while none has finished, where there are many. */
static size_t allowance(const Sync *sync, StageId stage, const StageTally *tally)
{
    int64_t limit = 0;
    for (size_t i = 0; i < sync->submission_count; i++)
        if (sync->submissions[i]->settings.canary > limit) limit = sync->submissions[i]->settings.canary;
    size_t all = tally->live + tally->finished + tally->failed + tally->left;
    (void)stage;
    if (sync->options->no_canary || limit == 0 || all < (size_t)limit || tally->finished > 0) return SIZE_MAX;
    return tally->live > 0 || tally->failed >= CANARY_FAILURES ? 0 : 1;
}

static void note_held(Sync *sync, StageId stage, const StageTally *tally, size_t held)
{
    sync->summary->held += held;
    if (held == 0) return;
    if (tally->failed >= CANARY_FAILURES)
        snprintf(sync->summary->note, sizeof sync->summary->note, "%zu %s jobs are not sent, since the first %zu failed: see "
                 "'zeroth status --failed', then retry, or submit with --no-canary", held, stage_name(stage), tally->failed);
    else if (sync->summary->note[0] == '\0')
        snprintf(sync->summary->note, sizeof sync->summary->note, "%zu %s jobs wait until one of them has finished "
                 "(--no-canary sends them at once)", held, stage_name(stage));
}

/* Order -------------------------------------------------------------------------------------- */

bool candidates_agree(const Candidate *a, const Candidate *b)
{
    return a->stage == b->stage && a->submission == b->submission && a->class == b->class && a->memory == b->memory &&
           (a->begin > 0) == (b->begin > 0) && strcmp(a->exclude, b->exclude) == 0;
}

/* What may start at once goes first, deepest stage first, so that trials end early; then what waits, in the order of
 * the stages. Like ones stand together. */
static int compare_candidates(const void *x, const void *y)
{
    const Candidate *a = x, *b = y;
    bool ready_a = a->wait_count == 0, ready_b = b->wait_count == 0;
    if (ready_a != ready_b) return ready_a ? -1 : 1;
    if (a->stage != b->stage) return (a->stage < b->stage) == ready_a ? 1 : -1;
    if (a->submission != b->submission) return a->submission < b->submission ? -1 : 1;
    if (a->class != b->class) return a->class < b->class ? -1 : 1;
    if (a->memory != b->memory) return a->memory < b->memory ? -1 : 1;
    if ((a->begin > 0) != (b->begin > 0)) return a->begin > 0 ? 1 : -1;
    int order = strcmp(a->exclude, b->exclude);
    if (order != 0) return order;
    return a->job < b->job ? -1 : a->job > b->job;
}

Status executor_slurm_choose(Sync *sync, Candidate **candidates, size_t *count)
{
    StageTally tallies[STAGE_COUNT];
    size_t allowed[STAGE_COUNT], held[STAGE_COUNT] = {0};
    *count = 0;
    *candidates = memory_alloc((sync->count + 1) * sizeof **candidates);
    if (*candidates == NULL) return status_no_memory(sync->count, "jobs to send");
    tally(sync, tallies);
    for (int stage = 0; stage < STAGE_COUNT; stage++) allowed[stage] = allowance(sync, (StageId)stage, &tallies[stage]);
    for (uint32_t i = 0; i < sync->count; i++) {
        const SyncJob *job = &sync->jobs[i];
        Candidate candidate = {.job = i};
        if (job->state != STATE_WAITING || !find_waits(sync, job, &candidate)) continue;
        if (candidate.wait_count > 0 && job->submission->settings.pack > 1) continue; /* packs are of ready jobs */
        if (allowed[job->job->stage] == 0) {
            held[job->job->stage]++;
            continue;
        }
        bool live; /* a local run's, perhaps */
        TRY(attempt_is_live(sync->work, job->job->key, &live, NULL));
        if (live) continue;
        fill_request(sync, job, &candidate);
        (*candidates)[(*count)++] = candidate;
        if (allowed[job->job->stage] != SIZE_MAX) allowed[job->job->stage]--;
    }
    for (int stage = 0; stage < STAGE_COUNT; stage++) note_held(sync, (StageId)stage, &tallies[stage], held[stage]);
    if (*count > 1) qsort(*candidates, *count, sizeof **candidates, compare_candidates);
    return OK;
}
