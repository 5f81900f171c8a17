/* Between runner.c (what to start and when to stop) and runner_attempts.c (one
 * attempt's start and end). */
#ifndef JOBS_RUNNER_PRIVATE_H
#define JOBS_RUNNER_PRIVATE_H

#include "jobs/display.h"
#include "jobs/runner.h"

typedef struct RunnerJob {
    JobState state;
    uint32_t unfinished_inputs;
    int tries;              /* attempts that failed to get any further */
    int64_t best_step;      /* newest checkpoint that an attempt left */
} RunnerJob;

typedef struct RunningAttempt {
    uint32_t job;
    bool adopted;           /* of an earlier runner: no child of ours */
    int64_t id;             /* the executor's */
    double began;
    char note[96];          /* which trials it is for, for people */
    LedgerAttempt record;
} RunningAttempt;

typedef struct ReadyQueue {
    uint32_t *items;
    size_t head, count, capacity;
} ReadyQueue;

typedef struct Runner {
    const Plan *plan;
    const RunnerOptions *options;
    Ledger *ledger;
    Executor *executor;
    Display *display;
    RunnerSummary *summary;
    RunnerJob *jobs;                 /* [plan->count] */
    uint32_t *dependents, *dependents_start; /* of job i: dependents[start[i] .. start[i + 1]) */
    ReadyQueue ready[STAGE_COUNT];
    RunningAttempt *running;
    size_t running_count, running_capacity;
    double began, last_look, mean_seconds[STAGE_COUNT];
    size_t measured[STAGE_COUNT];
    bool stopping, ledger_failed;
} Runner;

double runner_now(void);
/* The ledger is a copy: its failure is told once, and the work goes on. Takes `status`. */
void runner_note(Runner *runner, Status status);

Status runner_start(Runner *runner, uint32_t job);
/* Puts a job on which another process is at work among the running ones. */
Status runner_adopt(Runner *runner, uint32_t job);
/* The attempt at `index` of `running` has ended; `end` is NULL for an adopted one. */
Status runner_end(Runner *runner, size_t index, const ExecutorEnd *end);

/* In runner.c. */
Status runner_make_ready(Runner *runner, uint32_t job);
Status runner_job_finished(Runner *runner, uint32_t job);
void runner_block_dependents(Runner *runner, uint32_t job);

#endif
