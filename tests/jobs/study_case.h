/* A study in a directory of its own, planned with stages that a test may change, for tests of plans. */
#ifndef TESTS_JOBS_STUDY_CASE_H
#define TESTS_JOBS_STUDY_CASE_H

#include "jobs/artifact.h"
#include "jobs/plan.h"
#include "tests/test.h"

#include "tests/jobs/fake_stages.h"

typedef struct StudyCase {
    char *directory; /* of the study, and its work directory */
    Study *study;
    Plan *plan;
    StageLookup lookup;
    StageId last;
} StudyCase;

static inline void case_drop(StudyCase *c)
{
    plan_destroy(c->plan);
    study_destroy(c->study);
    c->plan = NULL;
    c->study = NULL;
}

/* Plans the study of this text; `lookup` and `last` are of the fake stages, all of them, where unset. */
static inline Status case_plan(StudyCase *c, const char *text)
{
    if (c->directory == NULL) c->directory = fake_directory();
    case_drop(c);
    fake_write(c->directory, "demo.yaml", text);
    char *path = path_join(c->directory, "demo.yaml");
    Status status = study_read(path, NULL, 0, &c->study);
    memory_free(path);
    PlanOptions options = {.work = c->directory,
                           .lookup = c->lookup != NULL ? c->lookup : fake_stage,
                           .last = c->last != 0 ? c->last : STAGE_COUNT};
    return status != OK ? status : plan_create(c->study, &options, &c->plan);
}

static inline void case_end(StudyCase *c)
{
    case_drop(c);
    CHECK_OK(directory_remove(c->directory));
    memory_free(c->directory);
    *c = (StudyCase){0};
}

static inline const PlanJob *case_job(const StudyCase *c, size_t trial, StageId stage)
{
    return &c->plan->jobs[plan_trial_job(c->plan, trial, stage)];
}

/* The job's artifact, as its stage would leave it, with these metrics (NULL: none). */
static inline void case_finish(const StudyCase *c, const PlanJob *job, const char *metrics)
{
    char *output = path_join(c->directory, "output");
    CHECK_OK(directory_create(output));
    fake_write(output, "result", "1");
    if (metrics != NULL) fake_write(output, METRICS_NAME, metrics);
    ArtifactInfo info = {.key = job->key, .stage = job->stage, .version = job->definition->version,
                         .config = job->config, .attempt = "0001", .code = "test", .fingerprint = job->fingerprint};
    for (int input = 0; input < STAGE_COUNT; input++)
        if (job->inputs[input] != NO_JOB) info.inputs[input] = c->plan->jobs[job->inputs[input]].key;
    CHECK_OK(artifact_commit(output, c->directory, &info));
    memory_free(output);
}

#endif
