/* One attempt: its directory and start, and what its end means. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/artifact.h"
#include "jobs/attempt_prepare.h"
#include "jobs/runner_private.h"

#define TAIL_LINES 10

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

/* Starting ------------------------------------------------------------------------ */

static Status add_running(Runner *runner, uint32_t job, int number, RunningAttempt **out)
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
    runner->jobs[job].state = STATE_RUNNING;
    return OK;
}

static Status launch(Runner *runner, uint32_t job, const char *directory, int number)
{
    const PlanJob *planned = &runner->plan->jobs[job];
    char *spec = path_join(directory, SPEC_NAME), *log = path_join(directory, LOG_NAME);
    Status status = spec == NULL || log == NULL ? no_path() : OK;
    ExecutorTask task = {.spec = spec, .log = log, .resources = planned->resources};
    int64_t id = 0;
    if (status == OK) status = runner->executor->start(runner->executor, &task, &id);
    memory_free(log);
    memory_free(spec);
    TRY(status);
    RunningAttempt *attempt;
    TRY(add_running(runner, job, number, &attempt));
    attempt->id = id;
    attempt->record.pid = id;
    runner_note(runner, ledger_put_attempt(runner->ledger, &attempt->record));
    runner_note(runner, ledger_set_state(runner->ledger, planned->key, STATE_RUNNING, NULL, NULL));
    /* On the disk before anything can happen: a killed runner's successor looks there for it. */
    runner_note(runner, ledger_flush(runner->ledger));
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

Status runner_adopt(Runner *runner, uint32_t job)
{
    const PlanJob *planned = &runner->plan->jobs[job];
    int number;
    TRY(attempt_last_number(runner->plan->work, planned->key, &number));
    RunningAttempt *attempt;
    TRY(add_running(runner, job, number, &attempt));
    attempt->adopted = true;
    /* Its process is known from its events: a stop that comes before the first look must find it. */
    runner_note(runner, ledger_fold(runner->ledger, &attempt->record, NULL));
    runner->executor->reserve(runner->executor, &(ExecutorTask){.resources = planned->resources}, attempt->record.pid);
    runner_note(runner, ledger_set_state(runner->ledger, planned->key, STATE_RUNNING, NULL, NULL));
    display_line(runner->display, "adopt   %-9s %.10s  an earlier run left it running", stage_name(planned->stage),
                 planned->key);
    return OK;
}

/* Ending --------------------------------------------------------------------------- */

/* The last lines of a log, each indented; nothing where there is none. */
static void show_tail(Runner *runner, const RunningAttempt *attempt)
{
    char *directory = attempt_directory(runner->plan->work, attempt->record.key, attempt->record.number);
    char *path = directory != NULL ? path_join(directory, LOG_NAME) : NULL, *data = NULL;
    size_t bytes = 0;
    Status status = path != NULL ? file_read(path, (size_t)256 << 20, &data, &bytes) : no_path();
    if (status == OK) {
        while (bytes > 0 && data[bytes - 1] == '\n') data[--bytes] = '\0';
        size_t at = bytes;
        for (int lines = 0; at > 0; at--)
            if (data[at - 1] == '\n' && ++lines == TAIL_LINES) break;
        for (char *line = data + at; *line != '\0';) {
            size_t length = strcspn(line, "\n");
            display_line(runner->display, "        | %.*s", (int)length, line);
            line += length + (line[length] == '\n');
        }
    }
    status_free(status);
    memory_free(data);
    memory_free(path);
    memory_free(directory);
}

static const char *advice(StatusCode code, bool killed)
{
    if (killed)
        return "it was killed; if memory was short, run fewer at a time (run.cores) or smaller batches, and run again";
    switch (code) {
    case STATUS_INVALID:
    case STATUS_NOT_FOUND: return "correct the study or the data it names, and run again";
    case STATUS_CORRUPT: return "remove or restore the file it names, and run again";
    case STATUS_NO_SPACE: return "free some space and run again: finished jobs and checkpoints are kept";
    case STATUS_NO_MEMORY: return "run fewer at a time (run.cores) or smaller batches, and run again";
    case STATUS_NON_FINITE: return "a lower learning rate or clipping may help; then run again";
    default: return "see its whole log, correct the cause, and run again: finished jobs are kept";
    }
}

static void fail_job(Runner *runner, const RunningAttempt *attempt, const char *cause, const char *message, bool killed)
{
    const PlanJob *planned = &runner->plan->jobs[attempt->job];
    RunnerJob *job = &runner->jobs[attempt->job];
    job->state = STATE_FAILED;
    runner->summary->failed++;
    runner_note(runner, ledger_set_state(runner->ledger, planned->key, STATE_FAILED, cause, message));
    size_t before = runner->summary->blocked;
    runner_block_dependents(runner, attempt->job);
    display_line(runner->display, "FAILED  %-9s %.10s  %s: %s", stage_name(planned->stage), planned->key, cause, message);
    show_tail(runner, attempt);
    display_line(runner->display, "        %s", advice(status_code_from_name(cause), killed));
    display_line(runner->display, "        whole log: zeroth logs %.10s --work %s", planned->key, runner->plan->work);
    if (runner->summary->blocked > before)
        display_line(runner->display, "        %zu jobs that depend on it are left out", runner->summary->blocked - before);
}

static Status finish_job(Runner *runner, const RunningAttempt *attempt)
{
    const PlanJob *planned = &runner->plan->jobs[attempt->job];
    char spent[16];
    double seconds = runner_now() - attempt->began;
    text_duration(seconds, spent, sizeof spent);
    runner->jobs[attempt->job].state = STATE_FINISHED;
    runner->summary->finished++;
    runner->measured[planned->stage]++;
    runner->mean_seconds[planned->stage] +=
        (seconds - runner->mean_seconds[planned->stage]) / (double)runner->measured[planned->stage];
    runner_note(runner, ledger_set_state(runner->ledger, planned->key, STATE_FINISHED, NULL, NULL));
    runner_note(runner, ledger_record_results(runner->ledger, planned->key));
    display_line(runner->display, "done    %-9s %.10s  %s  %zu of %zu", stage_name(planned->stage), planned->key, spent,
                 runner->summary->finished, runner->summary->needed);
    return runner_job_finished(runner, attempt->job);
}

/* Whether an attempt that was cut short may be followed by another: freely
 * while it gets further each time, and run.attempts times otherwise. */
static bool may_retry(Runner *runner, const RunningAttempt *attempt)
{
    RunnerJob *job = &runner->jobs[attempt->job];
    int64_t reached = attempt->record.checkpoint_step > attempt->record.begin_step ? attempt->record.checkpoint_step
                                                                                   : attempt->record.begin_step;
    if (reached > job->best_step) {
        job->best_step = reached;
        return true;
    }
    return ++job->tries < config_integer(runner->plan->jobs[attempt->job].config, "run.attempts");
}

static Status cut_short(Runner *runner, RunningAttempt *attempt, const ExecutorEnd *end)
{
    const PlanJob *planned = &runner->plan->jobs[attempt->job];
    bool killed = attempt->record.state != STATE_INTERRUPTED;
    if (killed) {
        attempt->record.state = STATE_KILLED;
        attempt->record.ended = attempt->record.updated;
        runner_note(runner, ledger_put_attempt(runner->ledger, &attempt->record));
    }
    if (runner->stopping) {
        runner->jobs[attempt->job].state = STATE_INTERRUPTED;
        runner->summary->interrupted++;
        runner_note(runner, ledger_set_state(runner->ledger, planned->key, STATE_INTERRUPTED, NULL, NULL));
        display_line(runner->display, "stopped %-9s %.10s  after step %lld of %lld", stage_name(planned->stage),
                     planned->key, (long long)attempt->record.step, (long long)attempt->record.total);
        return OK;
    }
    char what[80] = "ended without a word";
    if (end != NULL && end->signal != 0)
        snprintf(what, sizeof what, "killed by signal %d (%s)", end->signal, strsignal(end->signal));
    else if (!killed)
        snprintf(what, sizeof what, "stopped by a signal");
    if (!may_retry(runner, attempt)) {
        fail_job(runner, attempt, "killed", what, true);
        return OK;
    }
    display_line(runner->display, "again   %-9s %.10s  %s", stage_name(planned->stage), planned->key, what);
    runner_note(runner, ledger_set_state(runner->ledger, planned->key, STATE_WAITING, "killed", what));
    return runner_make_ready(runner, attempt->job);
}

/* The code that an exit code of the attempt stands for. */
static StatusCode code_of_exit(int exit_code)
{
    for (int code = 0; code < STATUS_CODE_COUNT; code++)
        if (status_exit_code((StatusCode)code) == exit_code) return (StatusCode)code;
    return STATUS_CHILD;
}

static Status end_without_artifact(Runner *runner, RunningAttempt *attempt, const ExecutorEnd *end)
{
    if (end != NULL && end->exit_code == status_exit_code(STATUS_LOCKED) && attempt->record.state == STATE_RUNNING)
        return runner_adopt(runner, attempt->job); /* another process is at this very job */
    bool silent = attempt->record.state == STATE_RUNNING && (end == NULL || end->signal != 0);
    if (attempt->record.state == STATE_INTERRUPTED || silent) return cut_short(runner, attempt, end);
    if (attempt->record.state == STATE_FAILED) {
        fail_job(runner, attempt, attempt->record.outcome, attempt->record.message, false);
        return OK;
    }
    /* It exited, and its events do not say why: a failure before it could write them, or of writing them. */
    StatusCode code = end != NULL ? code_of_exit(end->exit_code) : STATUS_CHILD;
    char message[512], place[400];
    snprintf(place, sizeof place, "%s/runs/%s/%04d", runner->plan->work, attempt->record.key, attempt->record.number);
    if (code == STATUS_NO_SPACE)
        snprintf(message, sizeof message, "%s: no space left for events and log", place);
    else
        snprintf(message, sizeof message, "%s: ended with exit code %d and no result", place,
                 end != NULL ? end->exit_code : -1);
    attempt->record.state = STATE_FAILED;
    runner_note(runner, ledger_put_attempt(runner->ledger, &attempt->record));
    fail_job(runner, attempt, status_code_name(code), message, false);
    return OK;
}

Status runner_end(Runner *runner, size_t index, const ExecutorEnd *end)
{
    RunningAttempt attempt = runner->running[index];
    const PlanJob *planned = &runner->plan->jobs[attempt.job];
    runner->running[index] = runner->running[--runner->running_count];
    if (attempt.adopted) runner->executor->release(runner->executor, &(ExecutorTask){.resources = planned->resources}, attempt.record.pid);
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
    return end_without_artifact(runner, &attempt, end);
}
