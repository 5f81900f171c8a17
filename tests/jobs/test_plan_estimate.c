/* How long a plan takes: packing by hand-made times, and times from a ledger. */
#include "jobs/ledger.h"
#include "jobs/plan_estimate.h"
#include "jobs/plan_pack.h"
#include "tests/jobs/study_case.h"

/* Seconds of a job by its stage. */
static double packed(const StudyCase *c, const double stage_seconds[STAGE_COUNT], HostResources host)
{
    double end, *seconds = memory_alloc_zero(c->plan->count, sizeof *seconds);
    for (size_t i = 0; i < c->plan->count; i++) seconds[i] = stage_seconds[c->plan->jobs[i].stage];
    CHECK_OK(plan_pack(c->plan, seconds, &host, &end));
    memory_free(seconds);
    return end;
}

static void test_packing(void)
{
    static const double TIMES[STAGE_COUNT] = {10, 100, 5, 20, 1};
    StudyCase c = {0};
    /* One shard; two seeds with a backbone and an extract each; four generators and evaluations. */
    CHECK_OK(case_plan(&c, "sweep: {seed: [0, 1], generator.layers: [1, 2]}\n"));
    CHECK_NEAR(packed(&c, TIMES, (HostResources){.cores = 1, .memory = 1}), 10 + 200 + 10 + 80 + 4, 1e-9);
    CHECK_NEAR(packed(&c, TIMES, (HostResources){.cores = 2, .memory = 1}), 10 + 100 + 5 + 2 * 21, 1e-9);
    CHECK_NEAR(packed(&c, TIMES, (HostResources){.cores = 64, .memory = 1}), 10 + 100 + 5 + 20 + 1, 1e-9);
    CHECK_NEAR(packed(&c, TIMES, (HostResources){.cores = 64, .memory = 1, .jobs = 1}), 304, 1e-9);
    case_drop(&c);
    /* Two of these fill four cores; and by memory no two fit. */
    CHECK_OK(case_plan(&c, "config: {run.threads: 2, run.generator.memory: 3M}\n"
                           "sweep: {seed: [0, 1], generator.layers: [1, 2]}\n"));
    HostResources large = {.cores = 4, .memory = 1e9}, narrow = {.cores = 4, .memory = 5 * 1048576.0};
    CHECK_NEAR(packed(&c, TIMES, large), 10 + 100 + 5 + 2 * 21, 1e-9);
    CHECK_NEAR(packed(&c, TIMES, narrow), 10 + 100 + 5 + 4 * 20 + 1, 1e-9);
    case_drop(&c);
    /* GPUs: each backbone asks for the only one. A job too large for the machine runs alone. */
    CHECK_OK(case_plan(&c, "config: {run.backbone.gpus: 1, run.shard.threads: 100}\nsweep: {seed: [0, 1]}\n"));
    CHECK_NEAR(packed(&c, TIMES, (HostResources){.cores = 4, .memory = 1, .gpus = -1}), 10 + 200 + 5 + 20 + 1, 1e-9);
    CHECK_NEAR(packed(&c, TIMES, (HostResources){.cores = 4, .memory = 1, .gpus = 2}), 10 + 100 + 5 + 20 + 1, 1e-9);
    case_end(&c);
}

/* An attempt of so many steps and seconds, finished or stopped at `step`. */
static void record(Ledger *ledger, const PlanJob *job, JobState state, int64_t step, int64_t total, double seconds)
{
    LedgerAttempt attempt;
    ledger_attempt_init(&attempt, job->key, 1);
    attempt.state = state;
    attempt.step = step;
    attempt.total = total;
    attempt.seconds = seconds;
    CHECK_OK(ledger_put_attempt(ledger, &attempt));
    CHECK_OK(ledger_set_state(ledger, job->key, state, NULL, NULL));
}

static void test_estimate(void)
{
    StudyCase c = {.lookup = NULL};
    PlanEstimate estimate;
    Ledger *ledger;
    CHECK_OK(case_plan(&c, "config: {run.cores: 2, run.threads: 2, run.generator.gpus: 1}\nsweep: {seed: [0]}\n"));
    CHECK_OK(plan_estimate(c.plan, &estimate)); /* no ledger yet */
    CHECK_INT(estimate.unknown, 5);
    CHECK_NEAR(estimate.seconds, 0, 0);
    CHECK_OK(ledger_open_writer(c.directory, &ledger));
    for (int stage = 0; stage < STAGE_EVALUATE; stage++) {
        const PlanJob *job = case_job(&c, 0, (StageId)stage);
        case_finish(&c, job, NULL);
    }
    CHECK_OK(case_plan(&c, "config: {run.cores: 2, run.threads: 2, run.generator.gpus: 1}\nsweep: {seed: [0, 1]}\n"));
    CHECK_OK(ledger_record_plan(ledger, c.plan));
    for (int stage = 0; stage < STAGE_EVALUATE; stage++)
        record(ledger, case_job(&c, 0, (StageId)stage), STATE_FINISHED, 50, 50, 10 + stage);
    CHECK_OK(ledger_flush(ledger));
    CHECK_OK(plan_estimate(c.plan, &estimate));
    CHECK_INT(estimate.unknown, 2); /* evaluate */
    CHECK(!estimate.stages[STAGE_EVALUATE].known);
    CHECK_INT(estimate.stages[STAGE_SHARD].jobs, 0);
    CHECK_NEAR(estimate.stages[STAGE_BACKBONE].seconds, 11, 1e-9);
    CHECK_NEAR(estimate.core_seconds, 2 * (11 + 12 + 13), 1e-9);
    CHECK_NEAR(estimate.gpu_seconds, 13, 1e-9);
    CHECK_NEAR(estimate.seconds, 11 + 12 + 13, 1e-9);
    /* A fifth of the backbone is left to do. */
    record(ledger, case_job(&c, 1, STAGE_BACKBONE), STATE_INTERRUPTED, 40, 50, 9);
    CHECK_OK(ledger_flush(ledger));
    CHECK_OK(plan_estimate(c.plan, &estimate));
    CHECK_NEAR(estimate.stages[STAGE_BACKBONE].seconds, 11 * 0.2, 1e-9);
    ledger_close(ledger);
    case_end(&c);
}

static const Stage *stepped_stage(StageId id)
{
    static Stage changed[STAGE_COUNT];
    changed[id] = *fake_stage(id);
    if (id == STAGE_GENERATOR) changed[id].steps_key = "generator.steps";
    return &changed[id];
}

/* Where a stage's time goes by steps, another number of them takes another time. */
static void test_estimate_by_steps(void)
{
    StudyCase c = {.lookup = stepped_stage};
    PlanEstimate estimate;
    Ledger *ledger;
    CHECK_OK(case_plan(&c, "config: {generator.steps: 100}\n"));
    case_finish(&c, case_job(&c, 0, STAGE_GENERATOR), NULL);
    CHECK_OK(ledger_open_writer(c.directory, &ledger));
    CHECK_OK(ledger_record_plan(ledger, c.plan));
    record(ledger, case_job(&c, 0, STAGE_GENERATOR), STATE_FINISHED, 100, 100, 50);
    ledger_close(ledger);
    CHECK_OK(case_plan(&c, "sweep: {generator.steps: [10, 1000]}\n"));
    CHECK_OK(plan_estimate(c.plan, &estimate));
    CHECK_NEAR(estimate.stages[STAGE_GENERATOR].seconds, 5 + 500, 1e-9);
    case_end(&c);
}

TEST_MAIN(TEST(test_packing), TEST(test_estimate), TEST(test_estimate_by_steps))
