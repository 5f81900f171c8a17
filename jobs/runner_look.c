/* Looking at running attempts: their events, whether they hang or are over their time, and showing them. */
#include <stdio.h>

#include "framework/text.h"
#include "jobs/attempt.h"
#include "jobs/runner_private.h"

#define LOOK_SECONDS 0.5   /* between two looks */
#define LEAVE_SECONDS 60.0 /* from an attempt's last word to its exit */

/* An attempt that was told to stop has so long for its checkpoint before it is killed: a tenth of its limit. */
static double grace(double limit)
{
    double seconds = limit * 0.1;
    return seconds < 2 ? 2 : seconds > 60 ? 60 : seconds;
}

static void end_early(Runner *runner, RunningAttempt *attempt, ExitCause told, double limit)
{
    const PlanJob *planned = &runner->plan->jobs[attempt->job];
    double now = runner_now();
    attempt->told = told;
    attempt->kill_at = now + grace(limit);
    display_line(runner->display, "%-7s %-9s %.10s  is told to stop", cause_name(told), stage_name(planned->stage),
                 planned->key);
    runner_stop_attempt(runner, attempt, false);
}

/* An attempt hangs where it has neither made a step nor used a processor for
 * run.hang. It stops short of its time limit by itself; one that does not is
 * stopped. */
static void watch_over(Runner *runner, RunningAttempt *attempt)
{
    const PlanJob *planned = &runner->plan->jobs[attempt->job];
    const LedgerAttempt *record = &attempt->record;
    double hang = config_real(planned->config, "run.hang"), now = runner_now(), wall = runner_wall();
    double since = now - attempt->began;
    double idle = record->active > 0 && wall - record->active < since ? wall - record->active : since;
    double age = attempt->adopted && record->started > 0 ? wall - record->started : since;
    bool ended = record->state != STATE_RUNNING; /* it has said its last word, and may yet hang in a library's exit */
    if (ended && attempt->kill_at <= 0) attempt->kill_at = now + LEAVE_SECONDS;
    if (attempt->kill_at > 0) {
        if (now < attempt->kill_at) return;
        attempt->kill_at = now + grace(0);
        runner_stop_attempt(runner, attempt, true);
    } else if (hang > 0 && idle > hang) {
        end_early(runner, attempt, CAUSE_HUNG, hang);
    } else if (planned->resources.time > 0 && age > planned->resources.time) {
        end_early(runner, attempt, CAUSE_TIME_LIMIT, planned->resources.time);
    }
}

static Status look_at_adopted(Runner *runner)
{
    for (size_t i = 0; i < runner->running_count;) {
        const RunningAttempt *attempt = &runner->running[i];
        bool live = true;
        if (attempt->adopted)
            TRY(attempt_is_live(runner->plan->work, runner->plan->jobs[attempt->job].key, &live, NULL));
        if (live)
            i++;
        else
            TRY(runner_end(runner, i, NULL)); /* which puts another in its place */
    }
    return OK;
}

/* Showing ------------------------------------------------------------------------------------ */

static double estimate_left(const Runner *runner)
{
    double left = 0;
    size_t of_stage[STAGE_COUNT] = {0};
    for (size_t i = 0; i < runner->plan->count; i++)
        if (runner->jobs[i].state == STATE_WAITING || runner->jobs[i].state == STATE_RUNNING)
            of_stage[runner->plan->jobs[i].stage]++;
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        if (of_stage[stage] > 0 && runner->mean_seconds[stage] <= 0) return 0;
        left += (double)of_stage[stage] * runner->mean_seconds[stage];
    }
    double now = runner_now();
    for (size_t i = 0; i < runner->running_count; i++) {
        double mean = runner->mean_seconds[runner->plan->jobs[runner->running[i].job].stage];
        left -= now - runner->running[i].began < mean ? now - runner->running[i].began : mean;
    }
    return runner->running_count > 0 ? left / (double)runner->running_count : left;
}

static void show(Runner *runner)
{
    enum { ROWS = 16 };
    DisplayRow rows[ROWS];
    size_t count = runner->running_count < ROWS ? runner->running_count : ROWS;
    double now = runner_now(), wall = runner_wall();
    if (!display_is_due(runner->display, now - runner->began)) return;
    for (size_t i = 0; i < count; i++) {
        const RunningAttempt *attempt = &runner->running[i];
        const PlanJob *planned = &runner->plan->jobs[attempt->job];
        rows[i] = (DisplayRow){.stage = stage_name(planned->stage), .key = planned->key, .unit = attempt->record.unit,
                               .note = attempt->note, .step = attempt->record.step,
                               .total = attempt->record.total, .seconds = now - attempt->began,
                               .silence = attempt->record.updated > 0 ? wall - attempt->record.updated : 0};
    }
    const size_t *counts = runner->counts;
    DisplayTotals totals = {.done = counts[STATE_FINISHED], .needed = runner->needed, .failed = counts[STATE_FAILED],
                            .blocked = counts[STATE_BLOCKED], .paused = counts[STATE_PAUSED],
                            .cancelled = counts[STATE_CANCELLED], .seconds = now - runner->began,
                            .seconds_left = estimate_left(runner)};
    display_update(runner->display, &totals, rows, count);
}

Status runner_look(Runner *runner)
{
    double now = runner_now();
    if (now - runner->last_look < LOOK_SECONDS) return OK;
    runner->last_look = now;
    for (size_t i = 0; i < runner->running_count; i++) {
        RunningAttempt *attempt = &runner->running[i];
        runner_note(runner, ledger_fold(runner->ledger, &attempt->record, NULL));
        if (attempt->record.begin_step >= 0 && attempt->record.step > attempt->record.begin_step)
            runner->proved[runner->plan->jobs[attempt->job].stage] = true;
        watch_over(runner, attempt);
    }
    TRY(look_at_adopted(runner));
    if (!runner->stopping) TRY(runner_look_at_control(runner));
    runner_note(runner, ledger_flush(runner->ledger));
    show(runner);
    return OK;
}
