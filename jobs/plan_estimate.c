#include "jobs/plan_estimate.h"

#include "framework/memory.h"
#include "jobs/hash_map.h"
#include "jobs/ledger.h"
#include "jobs/plan_pack.h"

static Status no_memory(void)
{
    return status_no_memory(0, "an estimate");
}

/* What finished jobs of a stage took; apart those of one attempt, whose seconds are of the whole job. */
typedef struct Pace {
    double seconds, steps;
    int64_t jobs;
} Pace;

typedef struct Estimator {
    const Plan *plan;
    HashMap jobs;      /* key: index in the plan */
    double *left;      /* [jobs]: the share of the job that is to do */
    double *seconds;   /* [jobs] */
    Pace whole[STAGE_COUNT], any[STAGE_COUNT];
} Estimator;

/* The ledger ---------------------------------------------------------------------- */

static void add_pace(Pace *pace, const LedgerJob *job)
{
    pace->seconds += job->seconds;
    pace->steps += job->total > 0 ? (double)job->total : 0;
    pace->jobs++;
}

static Status take_job(void *context, const LedgerJob *job)
{
    Estimator *estimator = context;
    StageId stage;
    Hash128 hash;
    uint32_t index;
    if (job->state == STATE_FINISHED && job->seconds > 0 && stage_from_name(job->stage, &stage)) {
        add_pace(&estimator->any[stage], job);
        if (job->attempts == 1) add_pace(&estimator->whole[stage], job);
    } else if (job->state != STATE_FINISHED && job->step > 0 && job->total > job->step &&
               hash_from_hex(job->key, &hash) && hash_map_find(&estimator->jobs, hash, &index)) {
        estimator->left[index] = 1 - (double)job->step / (double)job->total;
    }
    return OK;
}

/* Times --------------------------------------------------------------------------- */

static const Pace *pace_of(const Estimator *estimator, StageId stage)
{
    return estimator->whole[stage].jobs > 0 ? &estimator->whole[stage] : &estimator->any[stage];
}

static double seconds_of(const Estimator *estimator, uint32_t index)
{
    const PlanJob *job = &estimator->plan->jobs[index];
    const Pace *pace = pace_of(estimator, job->stage);
    const char *steps = job->definition->steps_key;
    if (pace->jobs == 0) return 0;
    double whole = steps != NULL && pace->steps > 0
                       ? pace->seconds / pace->steps * (double)config_integer(job->config, steps)
                       : pace->seconds / (double)pace->jobs;
    return whole * estimator->left[index];
}

static void add_job(const Estimator *estimator, uint32_t index, PlanEstimate *out)
{
    const PlanJob *job = &estimator->plan->jobs[index];
    StageEstimate *stage = &out->stages[job->stage];
    double seconds = estimator->seconds[index];
    stage->known = pace_of(estimator, job->stage)->jobs > 0;
    stage->jobs++;
    stage->seconds += seconds;
    stage->core_seconds += seconds * resources_cores(&job->resources);
    stage->gpu_seconds += seconds * job->resources.gpus;
    out->unknown += !stage->known;
}

static Status estimate(Estimator *estimator, PlanEstimate *out)
{
    const Plan *plan = estimator->plan;
    for (size_t i = 0; i < plan->count; i++) {
        Hash128 hash = {0};
        uint32_t found;
        estimator->left[i] = 1;
        hash_from_hex(plan->jobs[i].key, &hash);
        TRY(hash_map_insert(&estimator->jobs, hash, (uint32_t)i, &found));
    }
    TRY(ledger_each_known_job(estimator->plan->work, take_job, estimator));
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->jobs[i].need != JOB_NEEDED) continue;
        estimator->seconds[i] = seconds_of(estimator, (uint32_t)i);
        add_job(estimator, (uint32_t)i, out);
    }
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        out->core_seconds += out->stages[stage].core_seconds;
        out->gpu_seconds += out->stages[stage].gpu_seconds;
    }
    return plan_pack(plan, estimator->seconds, &out->host, &out->seconds);
}

Status plan_estimate(const Plan *plan, PlanEstimate *out)
{
    *out = (PlanEstimate){.host = resources_of_host(plan->study->trials[0].config)};
    Estimator estimator = {.plan = plan,
                           .left = memory_alloc_zero(plan->count + 1, sizeof *estimator.left),
                           .seconds = memory_alloc_zero(plan->count + 1, sizeof *estimator.seconds)};
    Status status = estimator.left == NULL || estimator.seconds == NULL ? no_memory() : estimate(&estimator, out);
    hash_map_free(&estimator.jobs);
    memory_free(estimator.left);
    memory_free(estimator.seconds);
    return status;
}
