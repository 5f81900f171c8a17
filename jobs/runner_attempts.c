/* How an attempt begins, or is taken over from an earlier runner, and how it is told to stop. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "framework/memory.h"
#include "framework/files.h"
#include "jobs/attempt_prepare.h"
#include "jobs/runner_private.h"

static Status no_path(void)
{
    return status_no_memory(0, "a path");
}

static void write_note(const Runner *runner, uint32_t job, char *out, size_t size)
{
    const PlanJob *planned = &runner->plan->jobs[job];
    const Study *study = runner->plan->study;
    const Trial *first = &study->trials[planned->first_trial];
    if (planned->trials > 1 && planned->trials == study->trial_count) {
        snprintf(out, size, "all %u trials", planned->trials);
        return;
    }
    int used = snprintf(out, size, "%s, seed %lld", first->group, (long long)first->seed);
    if (planned->trials > 1 && used >= 0 && (size_t)used < size)
        snprintf(out + used, size - (size_t)used, " and %u more", planned->trials - 1);
}

Status runner_add_running(Runner *runner, uint32_t job, int number, RunningAttempt **out)
{
    if (runner->running_count == runner->running_capacity) {
        size_t capacity = runner->running_capacity > 0 ? runner->running_capacity * 2 : 16;
        RunningAttempt *running = memory_resize(runner->running, capacity * sizeof *running);
        if (running == NULL) return status_no_memory(capacity * sizeof *running, "a table of attempts");
        runner->running = running;
        runner->running_capacity = capacity;
    }
    *out = &runner->running[runner->running_count++];
    **out = (RunningAttempt){.job = job, .began = runner_now()};
    write_note(runner, job, (*out)->note, sizeof (*out)->note);
    ledger_attempt_init(&(*out)->record, runner->plan->jobs[job].key, number);
    runner->running_of_stage[runner->plan->jobs[job].stage]++;
    runner_set_state(runner, job, STATE_RUNNING, NULL, NULL);
    return OK;
}

static Status launch(Runner *runner, uint32_t job, const char *directory, int number)
{
    char *spec = path_join(directory, SPEC_NAME), *log = path_join(directory, LOG_NAME);
    Status status = spec == NULL || log == NULL ? no_path() : OK;
    ExecutorTask task = runner_task(runner, job);
    task.spec = spec;
    task.log = log;
    int64_t id = 0;
    display_clear(runner->display); /* the executor may have a warning to show */
    if (status == OK) status = runner->executor->start(runner->executor, &task, &id);
    memory_free(log);
    memory_free(spec);
    TRY(status);
    RunningAttempt *attempt;
    TRY(runner_add_running(runner, job, number, &attempt));
    attempt->id = id;
    attempt->record.pid = id;
    runner_note(runner, ledger_put_attempt(runner->ledger, &attempt->record));
    return OK;
}

Status runner_start(Runner *runner, uint32_t job)
{
    const PlanJob *planned = &runner->plan->jobs[job];
    int number;
    char *directory;
    TRY(attempt_prepare(runner->plan, job, runner->options->code, &number, &directory));
    Status status = launch(runner, job, directory, number);
    memory_free(directory);
    if (status == OK)
        display_line(runner->display, "start   %-9s %.10s  %s%s", stage_name(planned->stage), planned->key,
                     runner->running[runner->running_count - 1].note, number > 1 ? "  (goes on)" : "");
    return status;
}

/* Taking over ------------------------------------------------------------------------- */

/* Which attempt it is that holds the job's lock: the newest that says it has
 * begun and not that it has ended. A later one may have tried to start, and
 * have found the lock taken. */
static int find_live_number(Runner *runner, const char *key, int last)
{
    for (int number = last; number > 0; number--) {
        LedgerAttempt record;
        ledger_attempt_init(&record, key, number);
        runner_note(runner, ledger_fold(runner->ledger, &record, NULL));
        if (record.started > 0 && record.state == STATE_RUNNING) return number;
    }
    return last;
}

Status runner_adopt(Runner *runner, uint32_t job)
{
    const PlanJob *planned = &runner->plan->jobs[job];
    int last;
    TRY(attempt_last_number(runner->plan->work, planned->key, &last));
    RunningAttempt *attempt;
    TRY(runner_add_running(runner, job, find_live_number(runner, planned->key, last), &attempt));
    attempt->adopted = true;
    /* Its process is known from its events: a stop that comes before the first look must find it. */
    runner_note(runner, ledger_fold(runner->ledger, &attempt->record, NULL));
    char host[sizeof attempt->record.host] = "";
    gethostname(host, sizeof host - 1);
    attempt->reserved_pid = strcmp(attempt->record.host, host) == 0 ? attempt->record.pid : 0;
    ExecutorTask task = runner_task(runner, job);
    runner->executor->reserve(runner->executor, &task, attempt->reserved_pid);
    display_line(runner->display, "adopt   %-9s %.10s  an earlier run left it running", stage_name(planned->stage),
                 planned->key);
    return OK;
}

/* Stopping ------------------------------------------------------------------------------ */

void runner_stop_attempt(Runner *runner, const RunningAttempt *attempt, bool hard)
{
    if (!attempt->adopted) {
        runner->executor->stop(runner->executor, attempt->id, hard);
        return;
    }
    if (attempt->reserved_pid <= 1) return; /* on another machine */
    /* Only while the job's lock is held: the number may be another process's since. */
    bool live = false;
    runner_note(runner, attempt_is_live(runner->plan->work, attempt->record.key, &live, NULL));
    if (live) kill((pid_t)attempt->reserved_pid, hard ? SIGKILL : SIGTERM);
}
