/* What a study needs: its trials' jobs, each once, with what is finished.
 *
 * A job's key is the hash of its stage's name and version, the config values
 * that the stage reads, the fingerprint of the files that it reads from
 * outside, and the keys of its inputs. Planning starts nothing and writes
 * nothing. */
#ifndef JOBS_PLAN_H
#define JOBS_PLAN_H

#include "jobs/resources.h"
#include "jobs/stage.h"
#include "jobs/study.h"

#define NO_JOB UINT32_MAX
#define KEY_SHOWN 10 /* digits of a key that people see */

#define JOB_NEEDS(X)                                                                                      \
    X(JOB_FINISHED, "finished")   /* its artifact is there                                             */ \
    X(JOB_UNNEEDED, "not needed") /* no artifact, and nothing that is left to do reads it              */ \
    X(JOB_NEEDED, "to do")                                                                                \
    X(JOB_LATER, "later")         /* halving: for a rung that waits for the verdict of an earlier one  */ \
    X(JOB_SKIPPED, "skipped")     /* halving: only for trials that were stopped early                  */

typedef enum JobNeed {
#define X(need, name) need,
    JOB_NEEDS(X)
#undef X
    JOB_NEED_COUNT
} JobNeed;

const char *job_need_name(JobNeed need);

typedef struct PlanJob {
    char key[HASH_HEX_SIZE];
    StageId stage;
    const Stage *definition;
    const Config *config;         /* of the first trial that has it; the study's */
    uint32_t inputs[STAGE_COUNT]; /* indices of jobs, or NO_JOB */
    uint32_t trials;              /* how many trials share it */
    uint32_t first_trial;
    JobNeed need;
    bool damaged;                 /* its artifact was there, and is no longer whole */
    JobResources resources;
    const char *fingerprint;      /* of what the stage reads from outside, the plan's: "KEY=HASH KEY=HASH", or one hash
                                     where the stage names no parts; "" where it reads nothing */
} PlanJob;

typedef struct Halving Halving; /* jobs/halving.h */

typedef struct Plan {
    const Study *study;           /* outlives the plan */
    char *work;
    PlanJob *jobs;                /* inputs before what reads them */
    size_t count;
    StageLookup lookup;           /* as planned with */
    StageId last;
    Arena *arena;                 /* of fingerprints */
    uint32_t *trial_jobs;         /* [trial_count, STAGE_COUNT]: index or NO_JOB */
    size_t finished, needed;
    size_t stage_count[STAGE_COUNT], stage_needed[STAGE_COUNT];
    Halving *halving;             /* verdicts; NULL where the study has none */
    bool undecided;               /* a later rung waits for what is needed now: do { run } while (undecided, renewed) */
} Plan;

typedef struct PlanOptions {
    const char *work;
    StageLookup lookup;
    StageId last;       /* jobs of later stages are left out; STAGE_COUNT: all stages */
} PlanOptions;

/* A fingerprint that fails (a data set that is absent, say) fails the plan, and
 * so do values of a job to do that do not fit together (Stage.check). A
 * damaged artifact is warned of and counts as not finished. Of a study with
 * halving the jobs of all rungs are there, and needed are those of the rungs
 * decided so far; where the plan stops before metrics, those of the first. */
Status plan_create(const Study *study, const PlanOptions *options, Plan **plan);
void plan_destroy(Plan *plan);
/* Replaces a plan by one of the same study, work directory and stages that knows what has finished since, as whoever
 * runs a plan that was undecided needs next. After a failure *plan is as before. */
Status plan_renew(Plan **plan);

/* The job of a trial's last stage: the one whose artifact holds its metrics. NO_JOB where the plan stops before. */
uint32_t plan_trial_job(const Plan *plan, size_t trial, StageId stage);

/* The work directory: `flag` (--work) if not NULL, else the study's, else "zeroth-work". `study` may be NULL. */
const char *plan_work_directory(const char *flag, const Study *study);

#endif
