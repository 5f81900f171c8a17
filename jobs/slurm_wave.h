/* One array as it was, or is to be, handed to sbatch: WORK/slurm/waves/TOKEN/
 *
 *   intent.json   written before sbatch is called: what, for which study, and how
 *   tasks         one line for each task of the array: "INDEX KEY [KEY ...]"
 *   script        the batch script
 *   sent.json     the cluster's job number, or
 *   refused.json  what sbatch said instead; the jobs are free again
 *   cancelled     indices of tasks that a sync has cancelled, written before it did: a task that is cancelled
 *                 while it waits leaves no trace in Slurm
 *   ends/INDEX    what a task says when it ends (slurm_task.h)
 *   log/          what the batch shells print; attempts have logs of their own
 *   closed        every task is accounted for: nobody need look here again
 *
 * The token is in the name of the Slurm job, STAGE.TOKEN: after an sbatch that
 * gave no answer the cluster is asked for it before anything is sent again. */
#ifndef JOBS_SLURM_WAVE_H
#define JOBS_SLURM_WAVE_H

#include "jobs/slurm_submission.h"

#define TOKEN_SIZE 13 /* 12 hexadecimal digits and NUL */

typedef struct SlurmWaveTask {
    int64_t index;         /* in the array */
    uint32_t first, count; /* keys[first .. first + count) */
    bool cancelled;        /* by a sync */
} SlurmWaveTask;

typedef struct SlurmWave {
    char token[TOKEN_SIZE];
    char name[32];         /* of the Slurm job */
    char *directory, *study, *program, *mpi;
    StageId stage;
    double created;        /* seconds since 1970 */
    int ranks, threads;
    bool requeue, resubmit;
    double timeout;        /* of Slurm's commands */
    int64_t attempts;      /* run.attempts */
    int64_t job;           /* 0: not known */
    bool refused;
    SlurmWaveTask *tasks;  /* by index */
    size_t count;
    char (*keys)[HASH_HEX_SIZE];
    size_t key_count;
} SlurmWave;

/* Fills token, name and directory of a new wave. */
Status slurm_wave_name(SlurmWave *wave, const char *work);
/* Makes the directory with intent.json, tasks and script, whole or not at all. `argv` is recorded for people. */
Status slurm_wave_write(const SlurmWave *wave, const char *script, const char *const *argv);
Status slurm_wave_record_sent(SlurmWave *wave, int64_t job);
Status slurm_wave_record_refused(SlurmWave *wave, const char *message);
Status slurm_wave_record_cancelled(SlurmWave *wave, size_t task);
Status slurm_wave_close(const SlurmWave *wave);

Status slurm_wave_read(const char *directory, SlurmWave *wave);
void slurm_wave_free(SlurmWave *wave);
/* The waves that are neither refused nor closed. A directory that is no wave is warned of and passed over. */
Status slurm_waves_read(const char *work, SlurmWave **waves, size_t *count);
void slurm_waves_free(SlurmWave *waves, size_t count);

/* "JOB_INDEX" of a task, for Slurm's commands. */
void slurm_task_id(const SlurmWave *wave, size_t task, char *out, size_t size);

#endif
