/* What a failure means: for its job, for those that depend on it, and for others that may share it. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "jobs/runner_private.h"

#define TAIL_LINES 10

/* The last lines of a log, each indented; nothing where there is none. */
static void show_tail(Runner *runner, const RunningAttempt *attempt)
{
    char *path = memory_format("%s/runs/%s/%04d/" LOG_NAME, runner->plan->work, attempt->record.key,
                               attempt->record.number), *data = NULL;
    size_t bytes = 0;
    Status status = path != NULL ? file_read(path, (size_t)256 << 20, &data, &bytes) : status_no_memory(0, "a path");
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
}

/* The message without numbers, keys and paths' digits: so that two jobs' are equal where the fault is. */
static void generalise(const char *message, char *out, size_t size)
{
    size_t used = 0;
    for (const char *at = message; *at != '\0' && used + 2 < size;) {
        size_t digits = strspn(at, "0123456789abcdef");
        bool is_number = digits > 0 && isdigit((unsigned char)*at);
        if (is_number || digits >= 8) {
            out[used++] = '#';
            at += digits;
            continue;
        }
        size_t plain = digits > 0 ? digits : 1; /* a word may begin with such letters */
        for (size_t i = 0; i < plain && used + 2 < size; i++) out[used++] = *at++;
    }
    out[used] = '\0';
}

void runner_forget_failures(Runner *runner, StageId stage)
{
    for (size_t i = 0; i < runner->failure_count;) {
        if (runner->plan->jobs[runner->failures[i].job].stage == stage)
            runner->failures[i] = runner->failures[--runner->failure_count];
        else
            i++;
    }
}

static Status add_failure(Runner *runner, uint32_t job, const char *message, Failure **failure)
{
    if (runner->failure_count == runner->failure_capacity) {
        size_t capacity = runner->failure_capacity > 0 ? runner->failure_capacity * 2 : 16;
        Failure *failures = memory_resize(runner->failures, capacity * sizeof *failures);
        if (failures == NULL) return status_no_memory(capacity * sizeof *failures, "a list of failures");
        runner->failures = failures;
        runner->failure_capacity = capacity;
    }
    *failure = &runner->failures[runner->failure_count++];
    (*failure)->job = job;
    generalise(message, (*failure)->message, sizeof (*failure)->message);
    return OK;
}

static const char *group_of(const Runner *runner, uint32_t job)
{
    return runner->plan->study->trials[runner->plan->jobs[job].first_trial].group;
}

/* Whether a job of the stage and group has finished or is at work: then the group is not at fault. */
static bool group_works(const Runner *runner, StageId stage, const char *group)
{
    for (uint32_t job = 0; job < runner->plan->count; job++) {
        const PlanJob *planned = &runner->plan->jobs[job];
        if (planned->stage != stage || (planned->need != JOB_NEEDED && planned->need != JOB_FINISHED)) continue;
        JobState state = runner->jobs[job].state;
        if ((state == STATE_FINISHED || state == STATE_RUNNING) && strcmp(group_of(runner, job), group) == 0) return true;
    }
    return false;
}

/* The waiting jobs of the stage, or of its group only, are not tried. */
static size_t leave_out(Runner *runner, StageId stage, const char *group, size_t alike, const char *message)
{
    char why[400];
    size_t count = 0;
    snprintf(why, sizeof why, "%zu failed alike: %s", alike, message);
    for (uint32_t job = 0; job < runner->plan->count; job++) {
        RunnerJob *own = &runner->jobs[job];
        if (runner->plan->jobs[job].stage != stage || own->state != STATE_WAITING) continue;
        if (group != NULL && strcmp(group_of(runner, job), group) != 0) continue;
        own->left_out = true;
        runner_set_state(runner, job, STATE_BLOCKED, "left-out", why);
        count++;
    }
    return count;
}

/* After a failure that comes of study, data or program. Two alike of two groups
 * of trials speak for the rest of a stage of which no job has worked yet; two
 * of one group, whose trials differ only by seed, for the rest of the group. */
static Status judge_others(Runner *runner, uint32_t job, const char *message)
{
    Failure *own = NULL;
    if (runner->options->keep_going) return OK;
    TRY(add_failure(runner, job, message, &own));
    StageId stage = runner->plan->jobs[job].stage;
    const char *group = group_of(runner, job);
    size_t alike = 0, of_group = 0, left = 0;
    for (size_t i = 0; i < runner->failure_count; i++) {
        const Failure *other = &runner->failures[i];
        if (runner->plan->jobs[other->job].stage != stage || strcmp(other->message, own->message) != 0) continue;
        alike++;
        of_group += strcmp(group_of(runner, other->job), group) == 0;
    }
    if (alike > of_group && !runner->proved[stage])
        left = leave_out(runner, stage, NULL, alike, message);
    else if (of_group >= 2 && !group_works(runner, stage, group))
        left = leave_out(runner, stage, group, of_group, message);
    if (left > 0)
        display_line(runner->display, "        left out: %zu more jobs of this stage, since %zu failed alike "
                     "(--keep-going tries all)", left, alike > of_group ? alike : of_group);
    return OK;
}

Status runner_fail_job(Runner *runner, uint32_t job, const RunningAttempt *attempt, ExitCause cause, const char *message)
{
    const PlanJob *planned = &runner->plan->jobs[job];
    const CauseRule *rule = cause_rule(cause);
    size_t blocked;
    runner_set_state(runner, job, STATE_FAILED, rule->name, message);
    display_line(runner->display, "FAILED  %-9s %.10s  %s: %s", stage_name(planned->stage), planned->key, rule->name,
                 message);
    if (attempt != NULL) show_tail(runner, attempt);
    display_line(runner->display, "        %s", rule->advice);
    if (attempt != NULL)
        display_line(runner->display, "        whole log: zeroth logs %.10s --work %s", planned->key, runner->plan->work);
    if (rule->shared) TRY(judge_others(runner, job, message));
    TRY(runner_settle(runner, &blocked));
    if (blocked > 0) display_line(runner->display, "        %zu jobs that depend on it wait for that", blocked);
    return OK;
}

Status runner_start_failed(Runner *runner, uint32_t job, Status status)
{
    if (status_code(status) == STATUS_NO_MEMORY) return status;
    Status failed = runner_fail_job(runner, job, NULL, cause_of_status(status_code(status)), status_message(status));
    status_free(status);
    return failed;
}
