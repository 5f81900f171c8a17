/* One execution of a job, in a process of its own (`zeroth attempt SPEC`).
 * Whoever starts it makes WORK/runs/KEY/NNNN/ with spec.json; the attempt adds
 * events.jsonl, checkpoint-STEP.h5 and output/, and at last renames output/ to
 * WORK/artifacts/KEY. It holds WORK/runs/KEY/lock all the while, so that one
 * job never runs twice at a time, whatever became of its runner. */
#ifndef JOBS_ATTEMPT_H
#define JOBS_ATTEMPT_H

#include "jobs/stage.h"

#define SPEC_NAME "spec.json"
#define LOG_NAME "log"       /* standard output and error of the process */
#define OUTPUT_NAME "output"
#define LOCK_NAME "lock"     /* in WORK/runs/KEY */

/* All an attempt needs to know: spec.json. Also the record of its exact config. */
typedef struct AttemptSpec {
    char *work;
    char *key;
    char *name;                 /* directory below runs/KEY: "0001" */
    char *code;                 /* version of the program that planned it */
    StageId stage;
    int version;                /* of the stage, when planned */
    Config *config;             /* every key */
    char *inputs[STAGE_COUNT];  /* keys of artifacts, or NULL */
    char *fingerprint;          /* of what the stage reads from outside; NULL: nothing */
    int threads, ranks;
    double checkpoint_seconds;
    double time_limit;          /* seconds; 0: none. The attempt stops short of it, as for SIGTERM */
} AttemptSpec;

Status attempt_spec_write(const AttemptSpec *spec, const char *path);
Status attempt_spec_read(const char *path, AttemptSpec **spec);
void attempt_spec_destroy(AttemptSpec *spec);

/* Runs the attempt to its end: OK with the artifact in place;
 * STATUS_INTERRUPTED after SIGTERM, SIGINT, SIGUSR1 or near the time limit,
 * with a checkpoint; STATUS_LOCKED where another process is at this job; else
 * what went wrong. The `end` event tells the same. Collective under mpirun. */
Status attempt_run(const char *spec_path, StageLookup lookup, const char *code);

/* Whether a live process holds the job's lock; `*holder` (may be NULL) says who, freed by memory_free. */
Status attempt_is_live(const char *work, const char *key, bool *live, char **holder);

/* Checkpoints of a job, newest first, over all its attempts. */
typedef struct CheckpointFile {
    char *path;
    int64_t step; /* the next one to do */
} CheckpointFile;
Status checkpoints_list(const char *work, const char *key, CheckpointFile **files, size_t *count);
void checkpoints_free(CheckpointFile *files, size_t count);
char *checkpoint_path(const char *attempt_directory, int64_t step);

#endif
