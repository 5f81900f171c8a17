/* What users ask by files, while the runner runs. */
#include <stdio.h>

#include "jobs/attempt.h"
#include "jobs/runner_private.h"

static bool asks(const Runner *runner, ControlVerb verb, uint32_t job)
{
    return control_asks(&runner->requests, verb, runner->plan->jobs[job].key, runner->plan->study->name);
}

/* Running attempts are asked to stop, with a checkpoint; what comes of it is seen at their end. */
static void tell_running(Runner *runner)
{
    for (size_t i = 0; i < runner->running_count; i++) {
        RunningAttempt *attempt = &runner->running[i];
        bool paused = asks(runner, CONTROL_PAUSE, attempt->job), cancelled = asks(runner, CONTROL_CANCEL, attempt->job);
        attempt->paused = paused;
        attempt->cancelled = cancelled;
        if (attempt->told_by_user || !(paused || cancelled)) continue;
        attempt->told_by_user = true;
        const PlanJob *planned = &runner->plan->jobs[attempt->job];
        display_line(runner->display, "%-7s %-9s %.10s  writes a checkpoint and stops", cancelled ? "cancel" : "pause",
                     stage_name(planned->stage), planned->key);
        runner_stop_attempt(runner, attempt, false);
    }
}

/* A failed or left-out job gets its attempts anew. */
static void revive(Runner *runner, uint32_t job)
{
    RunnerJob *own = &runner->jobs[job];
    const PlanJob *planned = &runner->plan->jobs[job];
    own->left_out = false;
    own->stuck = own->backoffs = 0;
    own->not_before = 0;
    runner_forget_failures(runner, planned->stage);
    runner_set_state(runner, job, STATE_WAITING, NULL, NULL);
    display_line(runner->display, "retry   %-9s %.10s", stage_name(planned->stage), planned->key);
}

static void apply_to_job(Runner *runner, uint32_t job)
{
    RunnerJob *own = &runner->jobs[job];
    bool cancelled = asks(runner, CONTROL_CANCEL, job), paused = asks(runner, CONTROL_PAUSE, job);
    bool failed = own->state == STATE_FAILED || (own->state == STATE_BLOCKED && own->left_out);
    if (failed && asks(runner, CONTROL_RETRY, job)) revive(runner, job);
    if (own->state == STATE_WAITING && own->not_before > 0 && asks(runner, CONTROL_RETRY, job)) own->not_before = 0;
    bool waits = own->state == STATE_WAITING || own->state == STATE_PAUSED;
    if (cancelled && waits)
        runner_set_state(runner, job, STATE_CANCELLED, NULL, NULL);
    else if (paused && own->state == STATE_WAITING)
        runner_set_state(runner, job, STATE_PAUSED, NULL, NULL);
    else if ((!cancelled && own->state == STATE_CANCELLED) || (!paused && own->state == STATE_PAUSED))
        runner_set_state(runner, job, STATE_WAITING, NULL, NULL);
}

/* Requests to retry are done once. Those of jobs and studies that this runner has not are left for others. */
static void clear_retries(Runner *runner)
{
    const char *work = runner->plan->work, *study = runner->plan->study->name;
    if (control_asks(&runner->requests, CONTROL_RETRY, NULL, study))
        runner_note(runner, control_clear(work, CONTROL_RETRY, NULL, study));
    for (uint32_t job = 0; job < runner->plan->count; job++)
        if (control_asks(&runner->requests, CONTROL_RETRY, runner->plan->jobs[job].key, NULL))
            runner_note(runner, control_clear(work, CONTROL_RETRY, runner->plan->jobs[job].key, NULL));
}

static bool has_retries(const ControlRequests *requests)
{
    for (size_t i = 0; i < requests->count; i++)
        if (requests->items[i].verb == CONTROL_RETRY) return true;
    return false;
}

Status runner_look_at_control(Runner *runner)
{
    ControlRequests now;
    Status status = control_read(runner->plan->work, &now);
    if (status != OK) { /* a file system that lags: at the next look */
        status_free(status);
        return OK;
    }
    bool retries = has_retries(&now);
    if (control_equal(&now, &runner->requests) && !retries) {
        control_free(&now);
        return OK;
    }
    control_free(&runner->requests);
    runner->requests = now;
    tell_running(runner);
    for (uint32_t job = 0; job < runner->plan->count; job++)
        if (runner->plan->jobs[job].need == JOB_NEEDED) apply_to_job(runner, job);
    TRY(runner_settle(runner, NULL));
    if (retries) clear_retries(runner);
    return OK;
}
