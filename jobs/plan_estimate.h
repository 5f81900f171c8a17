/* How long what a plan needs will take, by what the ledger tells of earlier
 * jobs. A stage whose time grows with a number of steps (Stage.steps_key) is
 * reckoned by seconds per step, another by the mean of its jobs; a job that was
 * interrupted counts for the steps that it lacks. How times change with ranks,
 * threads or config is not known here: it is an estimate. */
#ifndef JOBS_PLAN_ESTIMATE_H
#define JOBS_PLAN_ESTIMATE_H

#include "jobs/plan.h"

typedef struct StageEstimate {
    bool known;           /* the ledger has a finished job of this stage */
    size_t jobs;          /* to do */
    double seconds;       /* of them all, one after the other */
    double core_seconds, gpu_seconds;
} StageEstimate;

typedef struct PlanEstimate {
    StageEstimate stages[STAGE_COUNT];
    double core_seconds, gpu_seconds; /* of the stages that are known */
    double seconds;       /* on this machine: jobs packed as they become ready, the latest stage first, by cores,
                             memory, GPUs (where run.host_gpus does not say how many: as many as one job asks for) and
                             run.jobs */
    size_t unknown;       /* jobs to do of stages that are not known: they count for nothing */
    HostResources host;
} PlanEstimate;

/* Of what is needed now: later rungs of halving are not in it. */
Status plan_estimate(const Plan *plan, PlanEstimate *out);

#endif
