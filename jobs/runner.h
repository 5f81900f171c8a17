/* Runs what a plan needs: ready jobs by priority, then deepest stage first, so
 * that trials end early. One job of each stage goes first, and the rest follow
 * when it has shown that it works: so a broken config fails once or twice and
 * not a hundred times. A failed job shows its last lines and blocks what
 * depends on it; the rest goes on. What its users ask of it meanwhile (pause,
 * resume, cancel, retry) comes by files; see control.h. */
#ifndef JOBS_RUNNER_H
#define JOBS_RUNNER_H

#include "jobs/executor.h"
#include "jobs/ledger.h"

typedef struct RunnerOptions {
    const char *code;   /* version of this program */
    int jobs;           /* most at a time; 0: as many as fit */
    bool fail_fast;     /* the first failure stops the rest, with checkpoints */
    bool keep_going;    /* no job is left out because others of its stage failed alike */
    bool quiet;
} RunnerOptions;

typedef struct RunnerSummary {
    size_t needed, finished, failed, blocked, left_out, cancelled, paused, interrupted;
    double seconds;
} RunnerSummary;

/* Records the plan in the ledger and runs it. OK when all that was needed is
 * finished; STATUS_CHILD where jobs failed; STATUS_INTERRUPTED where jobs were
 * cancelled, and after Ctrl-C or SIGTERM, which ask every running job to
 * checkpoint and wait for it (a second one kills them). Jobs that an earlier
 * runner left running are waited for, not started twice. An attempt that ended
 * early is followed by another as causes.h says. `summary` is filled in any
 * case. */
Status runner_run(const Plan *plan, Ledger *ledger, Executor *executor, const RunnerOptions *options,
                  RunnerSummary *summary);

/* Brings the ledger up to date with attempts that began or ended while nobody
 * looked. runner_run does so first. */
Status runner_catch_up(Ledger *ledger, const char *work);

#endif
