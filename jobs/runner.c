/* What to start next, and when to stop. */
#include "jobs/runner.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/artifact.h"
#include "jobs/attempt.h"
#include "jobs/runner_private.h"

#define WAIT_SECONDS 0.25
#define LOOK_SECONDS 0.5 /* between two looks at the events of running attempts */
#define ENDS 32

/* Counted by the handler of SIGINT and SIGTERM, which does nothing else. */
static volatile sig_atomic_t stop_requests;

static void on_stop(int number)
{
    (void)number;
    stop_requests = stop_requests + 1;
}

double runner_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
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

/* The graph ---------------------------------------------------------------------------- */

Status runner_make_ready(Runner *runner, uint32_t job)
{
    ReadyQueue *queue = &runner->ready[runner->plan->jobs[job].stage];
    if (queue->count == queue->capacity) {
        size_t capacity = queue->capacity > 0 ? queue->capacity * 2 : 64;
        uint32_t *items = memory_resize(queue->items, capacity * sizeof *items);
        if (items == NULL) return status_no_memory(capacity * sizeof *items, "a queue of jobs");
        queue->items = items;
        queue->capacity = capacity;
    }
    queue->items[queue->count++] = job;
    runner->jobs[job].state = STATE_WAITING;
    return OK;
}

Status runner_job_finished(Runner *runner, uint32_t job)
{
    for (uint32_t i = runner->dependents_start[job]; i < runner->dependents_start[job + 1]; i++) {
        uint32_t dependent = runner->dependents[i];
        if (--runner->jobs[dependent].unfinished_inputs == 0 && runner->jobs[dependent].state == STATE_WAITING)
            TRY(runner_make_ready(runner, dependent));
    }
    return OK;
}

/* Stages are few, so the depth of this recursion is too. */
void runner_block_dependents(Runner *runner, uint32_t job)
{
    for (uint32_t i = runner->dependents_start[job]; i < runner->dependents_start[job + 1]; i++) {
        uint32_t dependent = runner->dependents[i];
        if (runner->jobs[dependent].state != STATE_WAITING) continue;
        runner->jobs[dependent].state = STATE_BLOCKED;
        runner->summary->blocked++;
        char message[96];
        snprintf(message, sizeof message, "%s %.10s failed", stage_name(runner->plan->jobs[job].stage),
                 runner->plan->jobs[job].key);
        runner_note(runner, ledger_set_state(runner->ledger, runner->plan->jobs[dependent].key, STATE_BLOCKED, "blocked",
                                             message));
        runner_block_dependents(runner, dependent);
    }
}

static bool is_edge(const Runner *runner, uint32_t job, int input)
{
    uint32_t from = runner->plan->jobs[job].inputs[input];
    return runner->plan->jobs[job].need == JOB_NEEDED && from != NO_JOB && runner->plan->jobs[from].need == JOB_NEEDED;
}

/* Who waits for whom, as one array with a start for each job. */
static Status build_graph(Runner *runner)
{
    size_t count = runner->plan->count, edges = 0;
    runner->jobs = memory_alloc_zero(count + 1, sizeof *runner->jobs);
    runner->dependents_start = memory_alloc_zero(count + 2, sizeof *runner->dependents_start);
    if (runner->jobs == NULL || runner->dependents_start == NULL) return status_no_memory(count, "a graph of jobs");
    uint32_t *start = runner->dependents_start;
    for (uint32_t job = 0; job < count; job++)
        for (int input = 0; input < STAGE_COUNT; input++)
            if (is_edge(runner, job, input)) {
                start[runner->plan->jobs[job].inputs[input] + 2]++;
                runner->jobs[job].unfinished_inputs++;
                edges++;
            }
    for (size_t i = 2; i < count + 2; i++) start[i] += start[i - 1];
    runner->dependents = memory_alloc((edges + 1) * sizeof *runner->dependents);
    if (runner->dependents == NULL) return status_no_memory(edges, "a graph of jobs");
    /* Filling moves start[i + 1] from where i begins to where it ends. */
    for (uint32_t job = 0; job < count; job++)
        for (int input = 0; input < STAGE_COUNT; input++)
            if (is_edge(runner, job, input))
                runner->dependents[start[runner->plan->jobs[job].inputs[input] + 1]++] = job;
    for (uint32_t job = 0; job < count; job++) {
        runner->jobs[job].state = runner->plan->jobs[job].need == JOB_NEEDED ? STATE_WAITING : STATE_FINISHED;
        runner->summary->needed += runner->plan->jobs[job].need == JOB_NEEDED;
    }
    return OK;
}

/* Ready from the start, or still at work for an earlier runner. */
static Status fill_ready(Runner *runner)
{
    for (uint32_t job = 0; job < runner->plan->count; job++) {
        const PlanJob *planned = &runner->plan->jobs[job];
        if (planned->need != JOB_NEEDED || runner->jobs[job].unfinished_inputs > 0) continue;
        bool live;
        TRY(attempt_is_live(runner->plan->work, planned->key, &live, NULL));
        TRY(live ? runner_adopt(runner, job) : runner_make_ready(runner, job));
    }
    return OK;
}

/* Choosing ------------------------------------------------------------------------------- */

static bool fits(const Runner *runner, uint32_t job)
{
    const PlanJob *planned = &runner->plan->jobs[job];
    ExecutorTask task = {.resources = planned->resources};
    return runner->executor->has_room(runner->executor, &task);
}

/* The deepest ready job that fits; NO_JOB where none does. A stage's jobs go in order. */
static uint32_t take_ready(Runner *runner)
{
    for (int stage = STAGE_COUNT - 1; stage >= 0; stage--) {
        ReadyQueue *queue = &runner->ready[stage];
        if (queue->head == queue->count || !fits(runner, queue->items[queue->head])) continue;
        return queue->items[queue->head++];
    }
    return NO_JOB;
}

/* A start that fails is the job's failure, so that the rest may go on. */
static Status start_ready(Runner *runner)
{
    for (;;) {
        uint32_t job = take_ready(runner);
        if (job == NO_JOB) return OK;
        Status status = runner_start(runner, job);
        if (status == OK) continue;
        if (status_code(status) == STATUS_NO_MEMORY) return status;
        const PlanJob *planned = &runner->plan->jobs[job];
        display_line(runner->display, "FAILED  %-9s %.10s  %s", stage_name(planned->stage), planned->key,
                     status_message(status));
        runner->jobs[job].state = STATE_FAILED;
        runner->summary->failed++;
        runner_note(runner, ledger_set_state(runner->ledger, planned->key, STATE_FAILED,
                                             status_code_name(status_code(status)), status_message(status)));
        runner_block_dependents(runner, job);
        status_free(status);
    }
}

/* Stopping ----------------------------------------------------------------------------------- */

static void stop_all(Runner *runner, bool hard)
{
    char host[sizeof runner->running->record.host] = "";
    gethostname(host, sizeof host - 1);
    for (size_t i = 0; i < runner->running_count; i++) {
        const RunningAttempt *attempt = &runner->running[i];
        if (!attempt->adopted)
            runner->executor->stop(runner->executor, attempt->id, hard);
        else if (attempt->record.pid > 1 && strcmp(attempt->record.host, host) == 0)
            kill((pid_t)attempt->record.pid, hard ? SIGKILL : SIGTERM);
    }
}

static void watch_for_stop(Runner *runner, int *seen)
{
    int requests = stop_requests;
    bool fail = runner->options->fail_fast && runner->summary->failed > 0;
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

/* Looking ---------------------------------------------------------------------------------------- */

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
    double now = runner_now();
    for (size_t i = 0; i < count; i++) {
        const RunningAttempt *attempt = &runner->running[i];
        const PlanJob *planned = &runner->plan->jobs[attempt->job];
        rows[i] = (DisplayRow){.stage = stage_name(planned->stage), .key = planned->key, .unit = attempt->record.unit,
                               .note = attempt->note, .step = attempt->record.step,
                               .total = attempt->record.total, .seconds = now - attempt->began};
    }
    DisplayTotals totals = {.done = runner->summary->finished, .needed = runner->summary->needed,
                            .failed = runner->summary->failed, .blocked = runner->summary->blocked,
                            .seconds = now - runner->began, .seconds_left = estimate_left(runner)};
    display_update(runner->display, &totals, rows, count);
}

static Status look(Runner *runner)
{
    double now = runner_now();
    if (now - runner->last_look < LOOK_SECONDS) return OK;
    runner->last_look = now;
    for (size_t i = 0; i < runner->running_count; i++)
        runner_note(runner, ledger_fold(runner->ledger, &runner->running[i].record, NULL));
    TRY(look_at_adopted(runner));
    runner_note(runner, ledger_flush(runner->ledger));
    show(runner);
    return OK;
}

static Status take_end(Runner *runner, const ExecutorEnd *end)
{
    for (size_t i = 0; i < runner->running_count; i++)
        if (!runner->running[i].adopted && runner->running[i].id == end->id) return runner_end(runner, i, end);
    return OK;
}

static Status run_loop(Runner *runner)
{
    int seen = 0;
    for (;;) {
        watch_for_stop(runner, &seen);
        if (!runner->stopping) TRY(start_ready(runner));
        if (runner->running_count == 0) return OK;
        ExecutorEnd ends[ENDS];
        int count = 0;
        TRY(runner->executor->wait(runner->executor, WAIT_SECONDS, ends, ENDS, &count));
        for (int i = 0; i < count; i++) TRY(take_end(runner, &ends[i]));
        TRY(look(runner));
    }
}

/* Whole ---------------------------------------------------------------------------------------------- */

Status runner_catch_up(Ledger *ledger, const char *work)
{
    LedgerAttempt *attempts;
    size_t count;
    Status status = ledger_list_running(ledger, &attempts, &count);
    for (size_t i = 0; i < count && status == OK; i++) {
        bool live = false;
        status = ledger_fold(ledger, &attempts[i], NULL);
        if (status == OK) status = attempt_is_live(work, attempts[i].key, &live, NULL);
        if (status != OK || live || attempts[i].state != STATE_RUNNING) continue;
        Status found = artifact_check(work, attempts[i].key, false);
        attempts[i].state = found == OK ? STATE_FINISHED : STATE_KILLED;
        status_free(found);
        status = ledger_put_attempt(ledger, &attempts[i]);
    }
    memory_free(attempts);
    return status;
}

static Status verdict(const Runner *runner)
{
    const RunnerSummary *s = runner->summary;
    if (s->failed > 0)
        return status_error(STATUS_CHILD, "%zu of %zu jobs failed%s: see 'zeroth status --failed --work %s'", s->failed,
                            s->needed, s->blocked > 0 ? ", and others wait for them" : "", runner->plan->work);
    if (s->finished < s->needed)
        return status_error(STATUS_INTERRUPTED, "stopped with %zu of %zu jobs done: run the same command to go on",
                            s->finished, s->needed);
    return OK;
}

static void catch_stop(struct sigaction before[2])
{
    struct sigaction action = {.sa_handler = on_stop}; /* no SA_RESTART: it ends the wait */
    sigemptyset(&action.sa_mask);
    stop_requests = 0;
    sigaction(SIGINT, &action, &before[0]);
    sigaction(SIGTERM, &action, &before[1]);
}

static void release(Runner *runner)
{
    for (int stage = 0; stage < STAGE_COUNT; stage++) memory_free(runner->ready[stage].items);
    memory_free(runner->jobs);
    memory_free(runner->dependents);
    memory_free(runner->dependents_start);
    memory_free(runner->running);
    display_destroy(runner->display);
}

Status runner_run(const Plan *plan, Ledger *ledger, Executor *executor, const RunnerOptions *options,
                  RunnerSummary *summary)
{
    *summary = (RunnerSummary){0};
    Runner runner = {.plan = plan, .options = options, .ledger = ledger, .executor = executor, .summary = summary,
                     .display = display_create(options->quiet), .began = runner_now()};
    struct sigaction before[2];
    catch_stop(before);
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        runner_note(&runner, ledger_mean_seconds(ledger, (StageId)stage, &runner.mean_seconds[stage]));
    runner_note(&runner, runner_catch_up(ledger, plan->work));
    Status status = build_graph(&runner);
    if (status == OK) status = fill_ready(&runner);
    if (status == OK) status = run_loop(&runner);
    if (status != OK) stop_all(&runner, false);
    runner_note(&runner, ledger_flush(ledger));
    summary->seconds = runner_now() - runner.began;
    if (status == OK) status = verdict(&runner);
    sigaction(SIGINT, &before[0], NULL);
    sigaction(SIGTERM, &before[1], NULL);
    release(&runner);
    return status;
}
