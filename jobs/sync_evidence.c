/* What became of every task that was sent, by the three sources. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/artifact.h"
#include "jobs/attempt.h"
#include "jobs/sync_private.h"

/* Everything known of one job of one task. */
typedef struct Evidence {
    SlurmWave *wave;
    size_t task;
    const char *key;
    const SlurmEntry *entry;   /* squeue's; NULL where it knows none */
    const SlurmEntry *account; /* sacct's; likewise */
    SlurmRecord record;
    bool ours;                 /* the job's last attempt is of this task */
    bool fresh;                /* ... and of the run of it that Slurm knows of */
    bool task_ended;
    SlurmTaskEnd task_end;
} Evidence;

static bool keeps_checkpoints(const Sync *sync, StageId stage)
{
    const Stage *definition = sync->options->lookup(stage);
    return definition != NULL && definition->save != NULL;
}

/* Lost answers -------------------------------------------------------------------------- */

/* A wave without an answer: looked up by its token; given up once no queue has shown it for long enough. */
static Status look_up_wave(Sync *sync, SlurmWave *wave)
{
    if (sync->dry != NULL) return OK;
    int64_t job = slurm_queue_find_name(&sync->queue, wave->name);
    if (job == 0 && sync->limits.accounting) TRY(slurm_accounting_find_name(sync->timeout, wave->name, &job));
    if (job != 0) {
        LOG_INFO("%s was submitted as Slurm job %lld, though sbatch's answer was lost", wave->name, (long long)job);
        return slurm_wave_record_sent(wave, job);
    }
    double lost = 60;
    for (size_t i = 0; i < sync->submission_count; i++)
        if (strcmp(sync->submissions[i]->study, wave->study) == 0) lost = sync->submissions[i]->settings.lost;
    if (sync->now - wave->created < lost) return OK;
    return slurm_wave_record_refused(wave, "sbatch gave no answer, and no queue shows the job");
}

static Status read_limits(Sync *sync)
{
    if (sync->limits_known) return OK;
    TRY(slurm_limits_read(sync->timeout, &sync->limits));
    sync->limits_known = true;
    return OK;
}

/* sacct is asked once, for all arrays of which squeue misses a task that is not settled. */
static Status read_accounts(Sync *sync)
{
    int64_t *jobs = memory_alloc((sync->wave_count + 1) * sizeof *jobs);
    size_t count = 0;
    if (jobs == NULL) return status_no_memory(sync->wave_count, "a list of jobs");
    for (size_t i = 0; i < sync->wave_count; i++) {
        const SlurmWave *wave = &sync->waves[i];
        bool missing = false;
        for (size_t t = 0; wave->job != 0 && t < wave->count && !missing; t++)
            missing = slurm_queue_find(&sync->queue, wave->job, wave->tasks[t].index) == NULL;
        if (missing) jobs[count++] = wave->job;
    }
    Status status = count > 0 ? read_limits(sync) : OK;
    if (status == OK && sync->limits.accounting) {
        status = slurm_accounting_read(sync->timeout, jobs, count, &sync->accounts);
        /* The accounting may be down for hours; the other sources go on without it. */
        if (status_code(status) == STATUS_CHILD) {
            log_status(LOG_LEVEL_WARNING, status);
            status = OK;
        }
    }
    memory_free(jobs);
    return status;
}

/* Placing and settling --------------------------------------------------------------------- */

static void place(Sync *sync, const Evidence *evidence, JobState state)
{
    SyncJob *job = sync_find(sync, evidence->key);
    if (job == NULL) return;
    job->state = state;
    job->wave = (size_t)(evidence->wave - sync->waves);
    job->task = evidence->task;
    job->dependable = evidence->wave->job != 0 && state != STATE_UNKNOWN;
}

static Status settle(Sync *sync, const Evidence *evidence, SlurmVerdict verdict, ExitCause cause, const char *message)
{
    const SlurmEntry *said = evidence->entry != NULL ? evidence->entry : evidence->account;
    const char *node = evidence->ours ? evidence->record.start.node : said != NULL ? said->nodes : "";
    SlurmOutcome outcome = {.token = evidence->wave->token, .index = evidence->wave->tasks[evidence->task].index,
                            .key = evidence->key, .cause = cause_name(cause), .message = message, .node = node,
                            .verdict = verdict, .reached = -1,
                            .memory = evidence->ours ? evidence->record.start.memory : 0};
    if (evidence->record.number > 0)
        outcome.reached = attempt_reached(&evidence->record.summary, keeps_checkpoints(sync, evidence->wave->stage));
    if (evidence->ours && evidence->record.ended && evidence->record.exit.reached > outcome.reached)
        outcome.reached = evidence->record.exit.reached;
    sync->summary->changed = true;
    if (verdict == VERDICT_FINISHED) { /* it may be newer than the listing of artifacts */
        Hash128 hash;
        uint32_t found;
        if (hash_from_hex(evidence->key, &hash)) TRY(hash_map_insert(&sync->artifacts, hash, 0, &found));
    }
    if (verdict == VERDICT_AGAIN || verdict == VERDICT_FAILED || verdict == VERDICT_CANCELLED)
        LOG_INFO("%s %.10s: %s: %s%s%s", stage_name(evidence->wave->stage), evidence->key, slurm_verdict_name(verdict),
                 cause == CAUSE_NONE ? "" : cause_name(cause), cause == CAUSE_NONE ? "" : ": ", message);
    return slurm_outcomes_add(&sync->outcomes, &outcome);
}

static SlurmState ended_state(const Evidence *evidence)
{
    if (evidence->entry != NULL) return evidence->entry->state;
    return evidence->account != NULL ? evidence->account->state : SLURM_NO_STATE;
}

/* Whether Slurm wrote into the batch shell's log that it ended it for its memory. Where cgroups don't limit memory
 * the state says only that it was killed. */
static bool log_tells_of_memory(const Evidence *evidence)
{
    static const char *const WORDS[] = {"oom-kill event", "oom_kill event", "xceeded memory limit", "xceeded job memory limit"};
    char *path = memory_format("%s/log/%lld_%lld", evidence->wave->directory, (long long)evidence->wave->job,
                               (long long)evidence->wave->tasks[evidence->task].index), *text = NULL;
    size_t bytes;
    bool found = false;
    Status status = path == NULL ? status_no_memory(0, "a path") : file_read(path, 64 << 20, &text, &bytes);
    for (size_t i = 0; status == OK && i < sizeof WORDS / sizeof WORDS[0]; i++) found |= strstr(text, WORDS[i]) != NULL;
    status_free(status);
    memory_free(text);
    memory_free(path);
    return found;
}

/* Why it ended, from what Slurm and the attempt say. */
static ExitCause find_cause(const Evidence *evidence)
{
    const SlurmEntry *said = evidence->entry != NULL ? evidence->entry : evidence->account;
    EndEvidence end = {.exit_code = said != NULL ? said->exit_code : -1, .signal = said != NULL ? said->signal : 0,
                       .told = said != NULL ? slurm_state_cause(said->state) : CAUSE_NONE};
    if (evidence->ours) {
        end.said = evidence->record.summary.said;
        end.outcome = evidence->record.summary.outcome;
    }
    if (evidence->ours && evidence->record.ended) {
        const SlurmExit *left = &evidence->record.exit;
        end.exit_code = left->exit_code;
        end.signal = left->signal;
        bool stopped_itself = left->exit_code == status_exit_code(STATUS_INTERRUPTED) && !left->stopped;
        if (end.told == CAUSE_NONE && stopped_itself) end.told = CAUSE_TIME_LIMIT;
    }
    bool killed = end.signal == SIGKILL || (end.told == CAUSE_NONE && !end.said && !evidence->record.ended);
    if (killed && end.told == CAUSE_NONE && log_tells_of_memory(evidence)) end.told = CAUSE_OUT_OF_MEMORY;
    return cause_of_end(&end);
}

/* What people are told of an end. */
static void describe(const Evidence *evidence, ExitCause cause, char *out, size_t size)
{
    const SlurmWave *wave = evidence->wave;
    const AttemptSummary *summary = &evidence->record.summary;
    long long index = (long long)wave->tasks[evidence->task].index;
    if (evidence->ours && summary->said && summary->outcome != STATUS_INTERRUPTED) {
        snprintf(out, size, "%s", summary->message);
        return;
    }
    SlurmState state = ended_state(evidence);
    const char *node = evidence->ours ? evidence->record.start.node : "";
    int used = snprintf(out, size, "Slurm job %lld_%lld%s%s", (long long)wave->job, index, node[0] ? " on " : "", node);
    if (used < 0 || (size_t)used >= size) return;
    if (!evidence->ours)
        snprintf(out + used, size - (size_t)used, " ended (%s) before its attempt began: see %s/log/%lld_%lld",
                 slurm_state_name(state), wave->directory, (long long)wave->job, index);
    else if (state != SLURM_NO_STATE && slurm_state_cause(state) != CAUSE_NONE)
        snprintf(out + used, size - (size_t)used, " ended as %s after step %lld", slurm_state_name(state), (long long)summary->step);
    else if (evidence->record.ended && evidence->record.exit.signal != 0)
        snprintf(out + used, size - (size_t)used, " was killed by signal %d after step %lld", evidence->record.exit.signal,
                 (long long)summary->step);
    else if (cause == CAUSE_TIME_LIMIT)
        snprintf(out + used, size - (size_t)used, " stopped near its time limit after step %lld", (long long)summary->step);
    else
        snprintf(out + used, size - (size_t)used, " ended with code %d after step %lld",
                 evidence->record.ended ? evidence->record.exit.exit_code : -1, (long long)summary->step);
}

/* An end without an artifact: again, or failed, by the rule of its cause. */
static Status judge(Sync *sync, const Evidence *evidence)
{
    ExitCause cause = find_cause(evidence);
    const CauseRule *rule = cause_rule(cause);
    char what[400], message[640];
    describe(evidence, cause, what, sizeof what);
    if (!rule->again) return settle(sync, evidence, VERDICT_FAILED, cause, what);
    TRY(settle(sync, evidence, VERDICT_AGAIN, cause, what));
    const SlurmHistory *history = slurm_outcomes_find(&sync->outcomes, evidence->key);
    int64_t attempts = evidence->wave->attempts;
    int stuck = evidence->ours && evidence->record.ended ? evidence->record.exit.stuck : 0;
    if (history->stuck > stuck) stuck = history->stuck;
    if (rule->counts == COUNTS_NEVER || stuck < attempts) return OK;
    snprintf(message, sizeof message, "%d attempts in a row without a new checkpoint: %s", stuck, what);
    return settle(sync, evidence, VERDICT_FAILED, cause, message);
}

/* Sources ------------------------------------------------------------------------------------- */

static Status gather(Sync *sync, Evidence *evidence)
{
    const SlurmWave *wave = evidence->wave;
    int64_t index = wave->tasks[evidence->task].index;
    evidence->entry = slurm_queue_find(&sync->queue, wave->job, index);
    evidence->account = slurm_queue_find(&sync->accounts, wave->job, index);
    TRY(slurm_record_read_last(sync->work, evidence->key, &evidence->record));
    const SlurmStart *start = &evidence->record.start;
    evidence->ours = evidence->record.started && strcmp(start->token, wave->token) == 0 && start->index == index;
    TRY(slurm_task_end_read(wave, index, &evidence->task_ended, &evidence->task_end));
    int restarts = evidence->entry != NULL ? evidence->entry->restarts : start->restart;
    evidence->fresh = evidence->ours && start->restart == restarts;
    return OK;
}

/* In the queue, or at work. */
static Status place_live(Sync *sync, const Evidence *evidence)
{
    const SlurmEntry *entry = evidence->entry;
    if (slurm_state_phase(entry->state) == SLURM_QUEUED) {
        /* What it waits for has failed or was cancelled: it would wait for ever. Once cancelled its job is free again,
         * and is blocked, or sent behind another attempt, by what became of its inputs. */
        if (strstr(entry->reason, "DependencyNeverSatisfied") != NULL)
            TRY(sync_doom(sync, (size_t)(evidence->wave - sync->waves), evidence->task));
        if (sync->dry == NULL && strstr(entry->reason, "launch") != NULL && strstr(entry->reason, "held") != NULL) {
            char id[48];
            slurm_task_id(evidence->wave, evidence->task, id, sizeof id);
            LOG_INFO("Slurm job %s is held after a failed start, and released", id);
            status_free(slurm_release(sync->timeout, id));
        }
        place(sync, evidence, STATE_QUEUED);
        return OK;
    }
    /* Its task may say that it is over before Slurm does: when it syncs at its own end. */
    bool over = evidence->fresh && evidence->record.ended && !evidence->record.exit.requeued &&
                evidence->record.exit.exit_code != status_exit_code(STATUS_INTERRUPTED);
    if (over) return judge(sync, evidence);
    place(sync, evidence, STATE_RUNNING);
    return OK;
}

static Status settle_ended(Sync *sync, const Evidence *evidence)
{
    SlurmState state = ended_state(evidence);
    bool self_made = evidence->ours && evidence->record.summary.said && evidence->record.summary.outcome != STATUS_INTERRUPTED;
    if (state == SLURM_CANCELLED && !self_made) {
        bool own = evidence->wave->tasks[evidence->task].cancelled;
        return settle(sync, evidence, own ? VERDICT_RETURNED : VERDICT_CANCELLED, CAUSE_NONE,
                      own ? "" : "cancelled in Slurm (scancel)");
    }
    /* A later job of a pack, whose turn never came. */
    if (!evidence->ours && evidence->wave->tasks[evidence->task].count > 1 && evidence->task_ended)
        return settle(sync, evidence, VERDICT_RETURNED, CAUSE_NONE, "its task ended before its turn");
    /* Slurm saw it end well, yet there is no artifact: it may show up late on a network file system. */
    if (state == SLURM_COMPLETED) {
        place(sync, evidence, STATE_UNKNOWN);
        return OK;
    }
    return judge(sync, evidence);
}

/* Slurm has forgotten it: the attempt's own records, or a live lock, or nobody knows. */
static Status settle_forgotten(Sync *sync, const Evidence *evidence)
{
    bool live = false;
    TRY(attempt_is_live(sync->work, evidence->key, &live, NULL));
    bool self_made = evidence->ours && (evidence->record.ended || evidence->record.summary.said);
    if (live) place(sync, evidence, STATE_RUNNING);
    else if (self_made && !evidence->record.exit.requeued) return judge(sync, evidence);
    else if (evidence->wave->tasks[evidence->task].cancelled) return settle(sync, evidence, VERDICT_RETURNED, CAUSE_NONE, "");
    else if (!evidence->ours && evidence->task_ended && !evidence->task_end.requeued)
        return settle(sync, evidence, VERDICT_RETURNED, CAUSE_NONE, "its task ended before its turn");
    else place(sync, evidence, STATE_UNKNOWN);
    return OK;
}

/* Looked at after squeue was asked, so that a job which ended in between is not taken for one that left nothing. A
 * damaged artifact counts as none. */
static Status check_artifact(const Sync *sync, const char *key, bool *sound)
{
    Status status = artifact_check(sync->work, key, false);
    *sound = status == OK;
    if (status_code(status) == STATUS_CORRUPT) {
        log_status(LOG_LEVEL_WARNING, status);
        return OK;
    }
    if (status_code(status) != STATUS_NOT_FOUND) return status;
    status_free(status);
    return OK;
}

/* A user's retry of a job that is unknown: it is given up here and free again. */
static bool given_up(const Sync *sync, const Evidence *evidence)
{
    const SyncJob *job = sync_find(sync, evidence->key);
    return job != NULL && job->state == STATE_UNKNOWN && sync_asked(sync, job, CONTROL_RETRY);
}

static Status look_at_job(Sync *sync, SlurmWave *wave, size_t task, const char *key, size_t *open)
{
    if (slurm_outcomes_settled(&sync->outcomes, wave->token, wave->tasks[task].index, key)) return OK;
    Evidence evidence = {.wave = wave, .task = task, .key = key};
    bool sound;
    TRY(check_artifact(sync, key, &sound));
    if (sound) return settle(sync, &evidence, VERDICT_FINISHED, CAUSE_NONE, "");
    TRY(gather(sync, &evidence));
    Status status;
    if (evidence.entry != NULL && slurm_state_phase(evidence.entry->state) != SLURM_ENDED)
        status = place_live(sync, &evidence);
    else if (evidence.entry != NULL || evidence.account != NULL)
        status = settle_ended(sync, &evidence);
    else
        status = settle_forgotten(sync, &evidence);
    if (status == OK && given_up(sync, &evidence)) {
        status = settle(sync, &evidence, VERDICT_RESET, CAUSE_NONE, "given up by its user");
        SyncJob *job = sync_find(sync, key);
        job->state = STATE_WAITING;
        job->wave = job->task = NO_TASK;
    }
    *open += !slurm_outcomes_settled(&sync->outcomes, wave->token, wave->tasks[task].index, key);
    return status;
}

static Status look_at_wave(Sync *sync, SlurmWave *wave)
{
    size_t open = 0;
    if (wave->job == 0) {
        TRY(look_up_wave(sync, wave));
        if (wave->refused) {
            sync->summary->changed = true;
            return OK;
        }
    }
    for (size_t task = 0; task < wave->count; task++)
        for (uint32_t i = 0; i < wave->tasks[task].count; i++) {
            const char *key = wave->keys[wave->tasks[task].first + i];
            if (wave->job != 0) {
                TRY(look_at_job(sync, wave, task, key, &open));
                continue;
            }
            Evidence evidence = {.wave = wave, .task = task, .key = key}; /* perhaps queued, perhaps not */
            place(sync, &evidence, STATE_QUEUED);
            open++;
        }
    if (sync->dry != NULL) return OK;
    TRY(slurm_outcomes_flush(&sync->outcomes)); /* before the wave is closed, which nobody looks at again */
    return open == 0 ? slurm_wave_close(wave) : OK;
}

Status sync_look(Sync *sync)
{
    if (sync->wave_count == 0) return OK;
    TRY(slurm_queue_read(sync->timeout, &sync->queue));
    TRY(read_accounts(sync));
    bool any_lost = false;
    for (size_t i = 0; i < sync->wave_count; i++) any_lost |= sync->waves[i].job == 0;
    if (any_lost) TRY(read_limits(sync));
    for (size_t i = 0; i < sync->wave_count; i++) TRY(look_at_wave(sync, &sync->waves[i]));
    return OK;
}
