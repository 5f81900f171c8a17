/* Between the parts of the runner:
 *     runner.c            the whole, its loop, and stopping
 *     runner_graph.c      who waits for whom, and the states that follow
 *     runner_ready.c      what could start now, and what does
 *     runner_attempts.c   how an attempt begins, or is adopted
 *     runner_ends.c       what its end means
 *     runner_failures.c   what a failure means, also for others
 *     runner_catch_up.c   what earlier runners did not write down
 *     runner_control.c    what users ask
 *     runner_look.c       looking at running attempts, and showing them */
#ifndef JOBS_RUNNER_PRIVATE_H
#define JOBS_RUNNER_PRIVATE_H

#include "jobs/attempt.h"
#include "jobs/control.h"
#include "jobs/display.h"
#include "jobs/runner.h"

typedef struct RunnerJob {
    JobState state;
    uint32_t unfinished_inputs;
    int priority;           /* the highest of its trials */
    bool queued;            /* in a ready class, or among those that back off */
    bool left_out;          /* blocked because others of its stage failed alike */
    bool alone;             /* ran out of a memory that nobody declared */
    double memory;          /* bytes that it is expected to need; grows when they are too few */
    int stuck;              /* attempts in a row that got no further */
    int backoffs;           /* ends in a row that back off */
    int64_t best_step;      /* furthest that an attempt has left behind */
    double not_before;      /* runner_now of the next attempt */
} RunnerJob;

typedef struct RunningAttempt {
    uint32_t job;
    bool adopted;           /* of an earlier runner: no child of ours */
    int64_t id;             /* the executor's */
    int64_t reserved_pid;   /* of an adopted one, as the executor was told */
    double began;           /* by runner_now */
    double kill_at;         /* by runner_now: when it is killed if it still runs; 0: never */
    ExitCause told;         /* why the runner ended it; CAUSE_NONE: it did not */
    bool paused, cancelled; /* asked to stop for that */
    bool ended;             /* its mpirun has, as `end` says, and its ranks have not yet */
    ExecutorEnd end;
    bool told_by_user;      /* ever asked so: its end counts for nothing */
    char note[96];          /* which trials it is for, for people */
    LedgerAttempt record;
} RunningAttempt;

/* Ready jobs that want the same of the machine: a heap by priority, then by order of the plan. */
typedef struct ReadyClass {
    StageId stage;
    ExecutorTask task;
    uint32_t *items;
    size_t count, capacity;
    int overtaken;          /* how many went before it because they fitted and it did not */
    double overtaken_since; /* by runner_now; 0: not */
} ReadyClass;

/* A failure that other jobs may share. */
typedef struct Failure {
    uint32_t job;
    char message[200];      /* without its numbers and keys */
} Failure;

typedef struct Runner {
    const Plan *plan;
    const RunnerOptions *options;
    Ledger *ledger;
    Executor *executor;
    Display *display;
    RunnerJob *jobs;                 /* [plan->count] */
    size_t counts[JOB_STATE_COUNT];  /* of the needed jobs */
    size_t needed;
    uint32_t *dependents, *dependents_start; /* of job i: dependents[start[i] .. start[i + 1]) */
    ReadyClass *classes;
    size_t class_count, class_capacity;
    uint32_t *resting;               /* jobs that back off */
    size_t resting_count, resting_capacity;
    RunningAttempt *running;
    size_t running_count, running_capacity, running_of_stage[STAGE_COUNT];
    bool proved[STAGE_COUNT];        /* a job of the stage has shown that it works */
    Failure *failures;
    size_t failure_count, failure_capacity;
    ControlRequests requests;
    double began, last_look, mean_seconds[STAGE_COUNT];
    size_t measured[STAGE_COUNT];
    bool stopping, ledger_failed, told_of_pause;
} Runner;

double runner_now(void);  /* monotonic */
double runner_wall(void); /* seconds since 1970, as in events */
/* The ledger is a copy: its failure is told once, and the work goes on. Takes `status`. */
void runner_note(Runner *runner, Status status);

/* runner_graph.c */
Status runner_build_graph(Runner *runner);
/* State of a needed job here and in the ledger; `cause` and `message` may be NULL. */
void runner_set_state(Runner *runner, uint32_t job, JobState state, const char *cause, const char *message);
Status runner_job_finished(Runner *runner, uint32_t job);
/* Blocks what waits for failed, cancelled or blocked jobs, frees what no longer does, and makes ready what may start.
 * Returns in `*blocked` (may be NULL) how many were blocked. */
Status runner_settle(Runner *runner, size_t *blocked);

/* runner_ready.c */
/* For a waiting job whose inputs are finished; it may have to rest first. */
Status runner_make_ready(Runner *runner, uint32_t job);
/* Moves those whose rest is over. */
Status runner_wake(Runner *runner);
/* Seconds until the next of them may start, at most `most`. */
double runner_next_wake(const Runner *runner, double most);
/* The job to start now; NO_JOB where none may or fits. */
uint32_t runner_take_ready(Runner *runner);
bool runner_has_ready(const Runner *runner);
ExecutorTask runner_task(const Runner *runner, uint32_t job);

/* runner_attempts.c */
Status runner_start(Runner *runner, uint32_t job);
/* A place among the running ones; the job's state follows. */
Status runner_add_running(Runner *runner, uint32_t job, int number, RunningAttempt **attempt);
/* Puts a job on which another process is at work among the running ones. */
Status runner_adopt(Runner *runner, uint32_t job);
void runner_stop_attempt(Runner *runner, const RunningAttempt *attempt, bool hard);

/* runner_ends.c */
/* The attempt at `index` of `running` has ended; `end` is NULL for an adopted one. */
Status runner_end(Runner *runner, size_t index, const ExecutorEnd *end);

/* runner_failures.c */
/* `attempt` is NULL for a job that could not even be started. */
Status runner_fail_job(Runner *runner, uint32_t job, const RunningAttempt *attempt, ExitCause cause, const char *message);
/* The same by the status of the start, which it takes; without memory it is returned. */
Status runner_start_failed(Runner *runner, uint32_t job, Status status);
/* Forgets failures of a stage, so that its jobs are tried afresh. */
void runner_forget_failures(Runner *runner, StageId stage);

/* runner_catch_up.c */
/* Folds every attempt of a job from its directory; those that ended without a word count as killed. */
Status runner_fold_all(Ledger *ledger, const char *work, const char *key, int first, int last);

/* runner_control.c */
Status runner_look_at_control(Runner *runner);

/* runner_look.c */
/* At most every half second; does nothing in between. */
Status runner_look(Runner *runner);

#endif
