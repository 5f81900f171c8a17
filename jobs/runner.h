/* Runs what a plan needs: ready jobs, deepest stage first, so that trials end
 * early and a broken config fails at every stage as soon as it can. A failed
 * job shows its last lines and blocks what depends on it; the rest goes on. */
#ifndef JOBS_RUNNER_H
#define JOBS_RUNNER_H

#include "jobs/executor.h"
#include "jobs/ledger.h"

typedef struct RunnerOptions {
    const char *code;   /* version of this program */
    bool fail_fast;     /* the first failure stops the rest, with checkpoints */
    bool quiet;
} RunnerOptions;

typedef struct RunnerSummary {
    size_t needed, finished, failed, blocked, interrupted;
    double seconds;
} RunnerSummary;

/* OK when all that was needed is finished; STATUS_CHILD where jobs failed;
 * STATUS_INTERRUPTED after Ctrl-C or SIGTERM, which ask every running job to
 * checkpoint and wait for it (a second one kills them). Jobs that an earlier
 * runner left running are waited for, not started twice. A killed attempt is
 * tried again while it makes progress (a newer checkpoint each time), and
 * run.attempts times without. `summary` is filled in any case. */
Status runner_run(const Plan *plan, Ledger *ledger, Executor *executor, const RunnerOptions *options,
                  RunnerSummary *summary);

/* Brings the ledger up to date with attempts that ended while nobody looked. */
Status runner_catch_up(Ledger *ledger, const char *work);

#endif
