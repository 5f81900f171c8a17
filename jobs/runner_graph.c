/* Who waits for whom, and the states that follow from others' states. */
#include <stdio.h>
#include <string.h>

#include "framework/memory.h"
#include "jobs/runner_private.h"

static bool is_needed(const Runner *runner, uint32_t job)
{
    return runner->plan->jobs[job].need == JOB_NEEDED;
}

static bool is_edge(const Runner *runner, uint32_t job, int input)
{
    uint32_t from = runner->plan->jobs[job].inputs[input];
    return is_needed(runner, job) && from != NO_JOB && is_needed(runner, from);
}

/* Who waits for whom, as one array with a start for each job. */
static Status link_jobs(Runner *runner)
{
    size_t count = runner->plan->count, edges = 0;
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
    return OK;
}

/* A job's priority is the highest of its trials. */
static void set_priorities(Runner *runner)
{
    const Plan *plan = runner->plan;
    for (size_t job = 0; job < plan->count; job++) runner->jobs[job].priority = INT32_MIN;
    for (size_t trial = 0; trial < plan->study->trial_count; trial++) {
        int priority = (int)config_integer(plan->study->trials[trial].config, "run.priority");
        for (int stage = 0; stage < STAGE_COUNT; stage++) {
            uint32_t job = plan->trial_jobs[trial * STAGE_COUNT + (size_t)stage];
            if (job != NO_JOB && runner->jobs[job].priority < priority) runner->jobs[job].priority = priority;
        }
    }
}

Status runner_build_graph(Runner *runner)
{
    size_t count = runner->plan->count;
    runner->jobs = memory_alloc_zero(count + 1, sizeof *runner->jobs);
    runner->dependents_start = memory_alloc_zero(count + 2, sizeof *runner->dependents_start);
    if (runner->jobs == NULL || runner->dependents_start == NULL) return status_no_memory(count, "a graph of jobs");
    TRY(link_jobs(runner));
    set_priorities(runner);
    for (uint32_t job = 0; job < count; job++) {
        const PlanJob *planned = &runner->plan->jobs[job];
        runner->jobs[job].state = is_needed(runner, job) ? STATE_WAITING : STATE_FINISHED;
        runner->jobs[job].memory = planned->resources.memory;
        runner->needed += is_needed(runner, job);
        runner->proved[planned->stage] |= planned->need == JOB_FINISHED;
    }
    runner->counts[STATE_WAITING] = runner->needed;
    return OK;
}

void runner_set_state(Runner *runner, uint32_t job, JobState state, const char *cause, const char *message)
{
    RunnerJob *own = &runner->jobs[job];
    runner->counts[own->state]--;
    runner->counts[state]++;
    own->state = state;
    runner_note(runner, ledger_set_state(runner->ledger, runner->plan->jobs[job].key, state, cause, message));
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

/* The first input that will not come; NO_JOB where all may. */
static uint32_t dead_input(const Runner *runner, uint32_t job)
{
    for (int input = 0; input < STAGE_COUNT; input++) {
        uint32_t from = runner->plan->jobs[job].inputs[input];
        if (!is_edge(runner, job, input)) continue;
        JobState state = runner->jobs[from].state;
        if (state == STATE_FAILED || state == STATE_CANCELLED || state == STATE_BLOCKED) return from;
    }
    return NO_JOB;
}

static void block(Runner *runner, uint32_t job, uint32_t by)
{
    const RunnerJob *input = &runner->jobs[by];
    const PlanJob *planned = &runner->plan->jobs[by];
    char message[96];
    snprintf(message, sizeof message, "%s %.10s %s", stage_name(planned->stage), planned->key,
             input->left_out ? "was left out" : input->state == STATE_BLOCKED ? "is blocked" : job_state_name(input->state));
    runner_set_state(runner, job, STATE_BLOCKED, "blocked", message);
}

Status runner_settle(Runner *runner, size_t *blocked)
{
    size_t count = 0;
    for (uint32_t job = 0; job < runner->plan->count; job++) { /* inputs come before what reads them */
        RunnerJob *own = &runner->jobs[job];
        if (own->state != STATE_WAITING && (own->state != STATE_BLOCKED || own->left_out)) continue;
        uint32_t dead = dead_input(runner, job);
        if (dead != NO_JOB && own->state == STATE_WAITING) {
            block(runner, job, dead);
            count++;
        } else if (dead == NO_JOB && own->state == STATE_BLOCKED) {
            runner_set_state(runner, job, STATE_WAITING, NULL, NULL);
        }
        if (own->state == STATE_WAITING && own->unfinished_inputs == 0 && !own->queued) TRY(runner_make_ready(runner, job));
    }
    if (blocked != NULL) *blocked = count;
    return OK;
}
