/* The whole of a run: its loop, and how it stops. */
#include "jobs/runner.h"

#include <signal.h>
#include <time.h>

#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/attempt.h"
#include "jobs/runner_private.h"

#define WAIT_SECONDS 0.25
#define ENDS 32

/* Counted by the handler of SIGINT and SIGTERM, which does nothing else. */
static volatile sig_atomic_t stop_requests;

static void on_stop(int number)
{
    (void)number;
    stop_requests = stop_requests + 1;
}

static double read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double runner_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

double runner_wall(void)
{
    return read_clock(CLOCK_REALTIME);
}

void runner_note(Runner *runner, Status status)
{
    if (status == OK) return;
    if (runner->ledger_failed) {
        status_free(status);
        return;
    }
    runner->ledger_failed = true;
    display_clear(runner->display);
    log_status(LOG_LEVEL_WARNING, status_wrap(status, "the ledger falls behind (jobs go on, and the next run makes up for it)"));
}

/* Stopping ----------------------------------------------------------------------------------- */

static void stop_all(Runner *runner, bool hard)
{
    for (size_t i = 0; i < runner->running_count; i++) runner_stop_attempt(runner, &runner->running[i], hard);
}

static void watch_for_stop(Runner *runner, int *seen)
{
    int requests = stop_requests;
    bool fail = runner->options->fail_fast && runner->counts[STATE_FAILED] > 0;
    if (!runner->stopping && (requests > 0 || fail)) {
        runner->stopping = true;
        display_line(runner->display, "stopping: %zu running jobs write a checkpoint first%s", runner->running_count,
                     requests > 0 ? " (once more to kill them)" : "");
        stop_all(runner, false);
    } else if (runner->stopping && requests > *seen && requests > 1) {
        stop_all(runner, true);
    }
    *seen = requests;
}

/* The loop -------------------------------------------------------------------------------------- */

/* Ready from the start, or still at work for an earlier runner. What is paused
 * or cancelled is seen before anything starts. */
static Status begin(Runner *runner)
{
    for (uint32_t job = 0; job < runner->plan->count; job++) {
        const PlanJob *planned = &runner->plan->jobs[job];
        if (planned->need != JOB_NEEDED || runner->jobs[job].unfinished_inputs > 0) continue;
        bool live;
        TRY(attempt_is_live(runner->plan->work, planned->key, &live, NULL));
        TRY(live ? runner_adopt(runner, job) : runner_make_ready(runner, job));
    }
    return runner_look_at_control(runner);
}

/* A start that fails is the job's failure, so that the rest may go on. */
static Status start_ready(Runner *runner)
{
    TRY(runner_wake(runner));
    for (;;) {
        uint32_t job = runner_take_ready(runner);
        if (job == NO_JOB) return OK;
        Status status = runner_start(runner, job);
        if (status != OK) TRY(runner_start_failed(runner, job, status));
    }
}

static Status take_end(Runner *runner, const ExecutorEnd *end)
{
    for (size_t i = 0; i < runner->running_count; i++)
        if (!runner->running[i].adopted && runner->running[i].id == end->id) return runner_end(runner, i, end);
    return OK;
}

/* Whether nothing runs and nothing will, unless somebody starts it all again. */
static bool is_over(Runner *runner)
{
    if (runner->running_count > 0) return false;
    if (runner->stopping) return true;
    if (runner_has_ready(runner)) return false;
    if (runner->counts[STATE_PAUSED] == 0) return true;
    if (!runner->told_of_pause)
        display_line(runner->display, "paused: %zu jobs wait for 'zeroth resume' (Ctrl-C ends this run, and the pause stays)",
                     runner->counts[STATE_PAUSED]);
    runner->told_of_pause = true;
    return false;
}

static Status run_loop(Runner *runner)
{
    int seen = 0;
    for (;;) {
        watch_for_stop(runner, &seen);
        if (!runner->stopping) TRY(start_ready(runner));
        if (is_over(runner)) {
            /* A request that came since the last look is not left behind. */
            if (!runner->stopping) TRY(runner_look_at_control(runner));
            if (is_over(runner)) return OK;
            continue;
        }
        if (runner->running_count > 0) runner->told_of_pause = false;
        ExecutorEnd ends[ENDS];
        int count = 0;
        TRY(runner->executor->wait(runner->executor, runner_next_wake(runner, WAIT_SECONDS), ends, ENDS, &count));
        for (int i = 0; i < count; i++) TRY(take_end(runner, &ends[i]));
        TRY(runner_look(runner));
    }
}

/* Jobs that are only for trials which halving has stopped. */
static void mark_skipped(Runner *runner)
{
    for (size_t job = 0; job < runner->plan->count; job++)
        if (runner->plan->jobs[job].need == JOB_SKIPPED)
            runner_note(runner, ledger_set_state(runner->ledger, runner->plan->jobs[job].key, STATE_SKIPPED, "halving",
                                                 "its trials were stopped early: see 'zeroth plan --halving'"));
}

/* Whole ---------------------------------------------------------------------------------------------- */

static void sum_up(const Runner *runner, RunnerSummary *summary)
{
    summary->needed = runner->needed;
    summary->finished = runner->counts[STATE_FINISHED];
    summary->failed = runner->counts[STATE_FAILED];
    summary->blocked = runner->counts[STATE_BLOCKED];
    summary->cancelled = runner->counts[STATE_CANCELLED];
    summary->paused = runner->counts[STATE_PAUSED];
    summary->interrupted = runner->counts[STATE_INTERRUPTED];
    for (size_t job = 0; runner->jobs != NULL && job < runner->plan->count; job++)
        summary->left_out += runner->jobs[job].left_out;
    summary->blocked -= summary->left_out;
    summary->seconds = runner_now() - runner->began;
}

static Status verdict(const RunnerSummary *s, const char *work)
{
    if (s->failed > 0)
        return status_error(STATUS_CHILD, "%zu of %zu jobs failed%s: see 'zeroth status --failed --work %s'", s->failed,
                            s->needed, s->blocked + s->left_out > 0 ? ", and others wait for them" : "", work);
    if (s->finished == s->needed) return OK;
    if (s->cancelled > 0 && s->finished + s->cancelled + s->blocked == s->needed)
        return status_error(STATUS_INTERRUPTED, "%zu of %zu jobs done, %zu cancelled%s: 'zeroth retry' brings them back",
                            s->finished, s->needed, s->cancelled, s->blocked > 0 ? ", and others wait for them" : "");
    return status_error(STATUS_INTERRUPTED, "stopped with %zu of %zu jobs done: run the same command to go on",
                        s->finished, s->needed);
}

static void catch_stop(struct sigaction before[2])
{
    struct sigaction action = {.sa_handler = on_stop};
    sigemptyset(&action.sa_mask);
    stop_requests = 0;
    sigaction(SIGINT, &action, &before[0]);
    sigaction(SIGTERM, &action, &before[1]);
}

static void release(Runner *runner)
{
    for (size_t i = 0; i < runner->class_count; i++) memory_free(runner->classes[i].items);
    memory_free(runner->classes);
    memory_free(runner->resting);
    memory_free(runner->jobs);
    memory_free(runner->dependents);
    memory_free(runner->dependents_start);
    memory_free(runner->running);
    memory_free(runner->failures);
    control_free(&runner->requests);
    display_destroy(runner->display);
}

Status runner_run(const Plan *plan, Ledger *ledger, Executor *executor, const RunnerOptions *options,
                  RunnerSummary *summary)
{
    *summary = (RunnerSummary){0};
    Runner runner = {.plan = plan, .options = options, .ledger = ledger, .executor = executor,
                     .display = display_create(options->quiet), .began = runner_now()};
    struct sigaction before[2];
    catch_stop(before);
    /* Before the plan is recorded, the ledger tells which jobs have ended since it last heard of them. */
    runner_note(&runner, runner_catch_up(ledger, plan->work));
    Status status = ledger_record_plan(ledger, plan);
    if (status == OK) mark_skipped(&runner);
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        runner_note(&runner, ledger_mean_seconds(ledger, (StageId)stage, &runner.mean_seconds[stage]));
    if (status == OK) status = runner_build_graph(&runner);
    if (status == OK) status = begin(&runner);
    if (status == OK) status = run_loop(&runner);
    if (status != OK) stop_all(&runner, false);
    runner_note(&runner, ledger_flush(ledger));
    sum_up(&runner, summary);
    if (status == OK) status = verdict(summary, plan->work);
    sigaction(SIGINT, &before[0], NULL);
    sigaction(SIGTERM, &before[1], NULL);
    release(&runner);
    return status;
}
