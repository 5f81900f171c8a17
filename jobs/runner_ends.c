/* What the end of an attempt means for its job: that it is finished, tried again, stopped as asked, or failed. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/artifact.h"
#include "jobs/attempt_prepare.h"
#include "jobs/runner_private.h"

#define RANKS_GRACE 5.0 /* seconds in which ranks end by themselves after their mpirun */

/* Finishing --------------------------------------------------------------------------- */

static Status finish_job(Runner *runner, const RunningAttempt *attempt)
{
    const PlanJob *planned = &runner->plan->jobs[attempt->job];
    char spent[16];
    double seconds = runner_now() - attempt->began;
    text_duration(seconds, spent, sizeof spent);
    runner->proved[planned->stage] = true;
    runner->measured[planned->stage]++;
    runner->mean_seconds[planned->stage] +=
        (seconds - runner->mean_seconds[planned->stage]) / (double)runner->measured[planned->stage];
    runner_set_state(runner, attempt->job, STATE_FINISHED, NULL, NULL);
    runner_note(runner, ledger_record_results(runner->ledger, planned->key));
    display_line(runner->display, "done    %-9s %.10s  %s  %zu of %zu", stage_name(planned->stage), planned->key, spent,
                 runner->counts[STATE_FINISHED], runner->needed);
    return runner_job_finished(runner, attempt->job);
}

/* Trying again -------------------------------------------------------------------------- */

/* The step that an attempt leaves to the next: of its newest checkpoint, or
 * where the stage goes on from its partial output, of that. */
static int64_t step_reached(const Runner *runner, const RunningAttempt *attempt)
{
    const LedgerAttempt *record = &attempt->record;
    if (runner->plan->jobs[attempt->job].definition->save == NULL) return record->step;
    return record->checkpoint_step > record->begin_step ? record->checkpoint_step : record->begin_step;
}

static bool may_try_again(Runner *runner, const RunningAttempt *attempt, const CauseRule *rule)
{
    RunnerJob *job = &runner->jobs[attempt->job];
    int64_t reached = step_reached(runner, attempt);
    bool further = reached > job->best_step;
    if (further) {
        job->best_step = reached;
        job->stuck = job->backoffs = 0;
    }
    if (!rule->again) return false;
    if (rule->counts == COUNTS_NEVER || (further && rule->counts == COUNTS_STUCK)) return true;
    return ++job->stuck < config_integer(runner->plan->jobs[attempt->job].config, "run.attempts");
}

/* What it had used: by its own word, or by the executor's. */
static void give_more_memory(Runner *runner, const RunningAttempt *attempt, const ExecutorEnd *end)
{
    RunnerJob *job = &runner->jobs[attempt->job];
    int64_t used = attempt->record.peak_memory > 0 || end == NULL ? attempt->record.peak_memory : end->peak_memory;
    double peak = 1.5 * (double)used;
    if (job->memory <= 0) {
        job->alone = true;
        return;
    }
    job->memory *= 2;
    if (job->memory < peak) job->memory = peak;
}

static Status try_again(Runner *runner, const RunningAttempt *attempt, const ExecutorEnd *end, ExitCause cause,
                        const char *what)
{
    const PlanJob *planned = &runner->plan->jobs[attempt->job];
    const CauseRule *rule = cause_rule(cause);
    RunnerJob *job = &runner->jobs[attempt->job];
    char when[48] = "", message[640], more[16];
    double pause = 0;
    if (rule->more_memory) {
        give_more_memory(runner, attempt, end);
        text_bytes(job->memory, more, sizeof more);
        snprintf(when, sizeof when, job->alone ? "; again, alone" : "; again with %s", more);
    }
    if (rule->backs_off) pause = cause_backoff(config_real(planned->config, "run.backoff"), ++job->backoffs);
    if (pause > 0) {
        time_t then = (time_t)(runner_wall() + pause + 0.5);
        struct tm broken;
        job->not_before = runner_now() + pause;
        if (localtime_r(&then, &broken) != NULL) strftime(when, sizeof when, "; again at %H:%M:%S", &broken);
    }
    snprintf(message, sizeof message, "%s%s", what, when);
    display_line(runner->display, "again   %-9s %.10s  %s", stage_name(planned->stage), planned->key, message);
    runner_set_state(runner, attempt->job, STATE_WAITING, rule->name, message);
    return runner_make_ready(runner, attempt->job);
}

/* Without an artifact --------------------------------------------------------------------- */

static void describe(const Runner *runner, const RunningAttempt *attempt, const ExecutorEnd *end, ExitCause cause,
                     char *out, size_t size)
{
    const LedgerAttempt *record = &attempt->record;
    const JobResources *wanted = &runner->plan->jobs[attempt->job].resources;
    char spent[16];
    if (cause == CAUSE_HUNG) {
        text_duration(config_real(runner->plan->jobs[attempt->job].config, "run.hang"), spent, sizeof spent);
        snprintf(out, size, "neither stepped nor computed for %s, after step %lld", spent, (long long)record->step);
    } else if (cause == CAUSE_TIME_LIMIT) {
        text_duration(wanted->time, spent, sizeof spent);
        snprintf(out, size, "its time of %s was up, after step %lld", spent, (long long)record->step);
    } else if (record->outcome[0] != '\0' && cause != CAUSE_INTERRUPTED) {
        snprintf(out, size, "%s", record->message);
    } else if (end != NULL && end->signal != 0) {
        snprintf(out, size, "killed by signal %d (%s)%s", end->signal, strsignal(end->signal),
                 cause == CAUSE_OUT_OF_MEMORY ? ", the kernel being short of memory" : "");
    } else if (cause == CAUSE_INTERRUPTED) {
        snprintf(out, size, "stopped by a signal");
    } else if (cause == CAUSE_NO_SPACE) {
        snprintf(out, size, "%s/runs/%s/%04d: no space left for events and log", runner->plan->work, record->key,
                 record->number);
    } else if (end != NULL && end->exit_code >= 0) {
        snprintf(out, size, "%s/runs/%s/%04d: ended with exit code %d and no result", runner->plan->work, record->key,
                 record->number, end->exit_code);
    } else {
        snprintf(out, size, "ended without a word");
    }
}

/* What the executor or the runner itself knows of the end. An attempt that stopped short of its time limit does so
 * within the last tenth of it, or the last minute. */
static ExitCause told_of_end(const Runner *runner, const RunningAttempt *attempt, const ExecutorEnd *end)
{
    const LedgerAttempt *record = &attempt->record;
    double limit = runner->plan->jobs[attempt->job].resources.time, margin = limit * 0.1 < 60 ? limit * 0.1 : 60;
    if (attempt->told != CAUSE_NONE) return attempt->told;
    if (end != NULL && end->told != CAUSE_NONE) return end->told;
    if (limit > 0 && record->state == STATE_INTERRUPTED && record->seconds >= limit - margin) return CAUSE_TIME_LIMIT;
    return CAUSE_NONE;
}

static ExitCause find_cause(const Runner *runner, const RunningAttempt *attempt, const ExecutorEnd *end)
{
    EndEvidence evidence = {.said = attempt->record.outcome[0] != '\0',
                            .outcome = status_code_from_name(attempt->record.outcome),
                            .exit_code = end != NULL ? end->exit_code : -1,
                            .signal = end != NULL ? end->signal : 0,
                            .told = told_of_end(runner, attempt, end)};
    return cause_of_end(&evidence);
}

static Status end_by_request(Runner *runner, const RunningAttempt *attempt)
{
    const PlanJob *planned = &runner->plan->jobs[attempt->job];
    const LedgerAttempt *record = &attempt->record;
    JobState state = attempt->cancelled ? STATE_CANCELLED : runner->stopping ? STATE_INTERRUPTED : STATE_PAUSED;
    char message[96];
    snprintf(message, sizeof message, "after step %lld of %lld", (long long)record->step, (long long)record->total);
    display_line(runner->display, "%-7s %-9s %.10s  %s", state == STATE_INTERRUPTED ? "stopped" : job_state_name(state),
                 stage_name(planned->stage), planned->key, record->total > 0 ? message : "before its first step");
    runner_set_state(runner, attempt->job, state, NULL, NULL);
    return attempt->cancelled ? runner_settle(runner, NULL) : OK;
}

static Status end_without_artifact(Runner *runner, RunningAttempt *attempt, const ExecutorEnd *end)
{
    ExitCause cause = find_cause(runner, attempt, end);
    const CauseRule *rule = cause_rule(cause);
    if (attempt->record.state == STATE_RUNNING) {
        attempt->record.state = STATE_KILLED;
        attempt->record.ended = attempt->record.updated;
        runner_note(runner, ledger_put_attempt(runner->ledger, &attempt->record));
    }
    if (cause == CAUSE_LOCKED) {
        bool live;
        TRY(attempt_is_live(runner->plan->work, attempt->record.key, &live, NULL));
        if (live) return runner_adopt(runner, attempt->job); /* another process is at this very job */
    }
    bool again = may_try_again(runner, attempt, rule);
    if (cause == CAUSE_LOCKED) { /* it was, and is no more */
        runner_set_state(runner, attempt->job, STATE_WAITING, NULL, NULL);
        return runner_make_ready(runner, attempt->job);
    }
    bool asked = attempt->cancelled || ((runner->stopping || attempt->paused) && rule->again);
    if (asked) return end_by_request(runner, attempt);
    if (attempt->told_by_user && rule->again) { /* and resumed since */
        runner_set_state(runner, attempt->job, STATE_WAITING, NULL, NULL);
        return runner_make_ready(runner, attempt->job);
    }
    char what[512];
    describe(runner, attempt, end, cause, what, sizeof what);
    return again ? try_again(runner, attempt, end, cause, what) : runner_fail_job(runner, attempt->job, attempt, cause, what);
}

/* mpirun has ended, and rank 0 has not: it holds the job's lock yet. Open MPI's
 * ranks end when they miss mpirun; until then nobody else may begin, and if
 * they do not, they are made to. */
static Status outlives_its_launcher(Runner *runner, const RunningAttempt *attempt, const ExecutorEnd *end, bool *outlives)
{
    char host[sizeof attempt->record.host] = "";
    *outlives = false;
    gethostname(host, sizeof host - 1);
    if (end == NULL || runner->plan->jobs[attempt->job].resources.ranks == 1 || attempt->record.state != STATE_RUNNING ||
        attempt->record.started <= 0 || strcmp(attempt->record.host, host) != 0)
        return OK;
    return attempt_is_live(runner->plan->work, attempt->record.key, outlives, NULL);
}

static Status wait_for_ranks(Runner *runner, const RunningAttempt *attempt, const ExecutorEnd *end)
{
    RunningAttempt *kept;
    TRY(runner_add_running(runner, attempt->job, attempt->record.number, &kept));
    *kept = *attempt;
    kept->adopted = kept->ended = true;
    kept->end = *end;
    kept->reserved_pid = attempt->record.pid;
    kept->kill_at = runner_now() + RANKS_GRACE;
    ExecutorTask task = runner_task(runner, attempt->job);
    runner->executor->reserve(runner->executor, &task, kept->reserved_pid);
    return OK;
}

Status runner_end(Runner *runner, size_t index, const ExecutorEnd *executor_end)
{
    RunningAttempt attempt = runner->running[index];
    const ExecutorEnd *end = attempt.ended ? &attempt.end : executor_end;
    const PlanJob *planned = &runner->plan->jobs[attempt.job];
    runner->running[index] = runner->running[--runner->running_count];
    runner->running_of_stage[planned->stage]--;
    if (attempt.adopted) {
        ExecutorTask task = runner_task(runner, attempt.job);
        int last = attempt.record.number;
        runner->executor->release(runner->executor, &task, attempt.reserved_pid);
        runner_note(runner, attempt_last_number(runner->plan->work, planned->key, &last));
        runner_note(runner, runner_fold_all(runner->ledger, runner->plan->work, planned->key, 1, last));
    }
    runner_note(runner, ledger_fold(runner->ledger, &attempt.record, NULL));
    /* The artifact decides: an attempt may be killed after its last deed. */
    Status found = artifact_check(runner->plan->work, planned->key, false);
    if (found == OK) {
        if (attempt.record.state == STATE_RUNNING) {
            attempt.record.state = STATE_FINISHED;
            runner_note(runner, ledger_put_attempt(runner->ledger, &attempt.record));
        }
        return finish_job(runner, &attempt);
    }
    status_free(found);
    bool outlives = false;
    if (!attempt.ended) TRY(outlives_its_launcher(runner, &attempt, end, &outlives));
    return outlives ? wait_for_ranks(runner, &attempt, end) : end_without_artifact(runner, &attempt, end);
}
