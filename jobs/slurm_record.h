/* What an attempt under Slurm leaves in its directory besides its events:
 *
 *   slurm.json   at its start: wave, task, Slurm job, node, how often requeued, memory
 *   exit.json    at its end: exit code and signal of its process, how far its job got
 *
 * An attempt with the first and without the second was ended together with the
 * process that watched it. WAVE/ends/INDEX is the task's own last word. */
#ifndef JOBS_SLURM_RECORD_H
#define JOBS_SLURM_RECORD_H

#include "jobs/causes.h"
#include "jobs/slurm_wave.h"
#include "jobs/stage.h"

/* What the events of an attempt say, in short. */
typedef struct AttemptSummary {
    bool began, said;        /* there is an event; an "end" */
    StatusCode outcome;      /* of the end */
    char message[400], host[72];
    int64_t begin_step, step, checkpoint_step; /* -1: none */
} AttemptSummary;
Status attempt_summary_read(const char *work, const char *key, int number, AttemptSummary *summary);

/* How far a job has got when an attempt ends: its newest checkpoint, or what it
 * began from; for a stage that keeps none, its last step. -1: nowhere. */
int64_t attempt_reached(const AttemptSummary *summary, bool keeps_checkpoints);

typedef struct SlurmStart {
    char token[TOKEN_SIZE], node[72];
    int64_t index, job;
    int restart;             /* SLURM_RESTART_COUNT */
    double memory;           /* bytes given to the Slurm job; 0: not known */
} SlurmStart;

typedef struct SlurmExit {
    int exit_code, signal;   /* of the attempt's process; -1 and its signal where one ended it */
    bool stopped;            /* Slurm (or a user by it) asked the task to end */
    bool requeued;           /* the task has asked Slurm to start it anew */
    int64_t reached;
    int stuck;               /* attempts in a row of this task, this one too, that got no further; preempted ones left out */
} SlurmExit;

/* All that is on record of one attempt. */
typedef struct SlurmRecord {
    int number;              /* of the attempt; 0: there is none */
    bool started, ended;     /* slurm.json and exit.json are there */
    SlurmStart start;
    SlurmExit exit;
    AttemptSummary summary;
} SlurmRecord;

Status slurm_start_write(const char *attempt_directory, const SlurmStart *start);
Status slurm_exit_write(const char *attempt_directory, const SlurmExit *exit);
Status slurm_record_read(const char *work, const char *key, int number, SlurmRecord *record);
Status slurm_record_read_last(const char *work, const char *key, SlurmRecord *record);

/* A task's last word: it ended in that run of it (counted by requeues) with that code. */
typedef struct SlurmTaskEnd {
    int restart, code;
    bool requeued;
} SlurmTaskEnd;
Status slurm_task_end_write(const SlurmWave *wave, int64_t index, const SlurmTaskEnd *end);
Status slurm_task_end_read(const SlurmWave *wave, int64_t index, bool *found, SlurmTaskEnd *end);

#endif
