/* A study as it was handed to Slurm: WORK/slurm/submissions/NAME.json, from
 * which later waves are made, by whoever runs a sync, without the study's file
 * (which may have been edited since). It names all jobs that were to do then,
 * what each asks of the cluster, and the copy of the program that runs them.
 * Beside it, WORK/runs/KEY/job.json of each job: all that an attempt needs. */
#ifndef JOBS_SLURM_SUBMISSION_H
#define JOBS_SLURM_SUBMISSION_H

#include "jobs/slurm_class.h"

#define JOB_SPEC_NAME "job.json" /* in WORK/runs/KEY: a spec.json without the name of an attempt */
#define SLURM_DIRECTORY "slurm"  /* in the work directory */

typedef struct SlurmSettings {
    int64_t pack, throttle, max_array, max_submit, canary, attempts;
    double backoff, timeout, lost, max_memory, poll;
    bool resubmit;
} SlurmSettings;

typedef struct SlurmJob {
    char key[HASH_HEX_SIZE];
    StageId stage;
    uint32_t class;
    uint32_t inputs[STAGE_COUNT]; /* of the same submission; NO_JOB where it was finished, or there is none */
} SlurmJob;

typedef struct SlurmSubmission {
    char *study, *program, *code;
    char *directory;      /* where it was submitted: relative paths of the study start from there */
    SlurmSettings settings;
    SlurmClass *classes;
    size_t class_count;
    SlurmJob *jobs;       /* inputs before what reads them */
    size_t count;
} SlurmSubmission;

/* The needed jobs of a plan. `program` is the one that runs them (program_snapshot). */
Status slurm_submission_create(const Plan *plan, const char *program, const char *code, SlurmSubmission **submission);
/* Writes job.json of every job for which `keep` does not hold: a job that Slurm has already keeps what it was
 * submitted with. Then the submission itself. */
typedef bool (*SlurmJobKeeper)(void *context, const char *key);
Status slurm_submission_write(const SlurmSubmission *submission, const Plan *plan, SlurmJobKeeper keep, void *context);
void slurm_submission_destroy(SlurmSubmission *submission);

/* All submissions of a work directory, sorted by name; none is fine. */
Status slurm_submissions_read(const char *work, SlurmSubmission ***submissions, size_t *count);
void slurm_submissions_free(SlurmSubmission **submissions, size_t count);

/* Copies this very program to WORK/bin/zeroth-DIGEST, once, so that queued jobs do not change when it is rebuilt. */
Status program_snapshot(const char *work, char **path);

#endif
