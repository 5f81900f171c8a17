/* Sends jobs to Slurm, in waves of arrays: the part of a sync that calls sbatch.
 *
 * A job may be sent once each of its inputs is finished or itself in the queue.
 * Jobs of one stage that ask for the same resources and wait for the same
 * things go as one array: behind nothing; behind one task (afterok); or each
 * behind the task of the same index in one other array (aftercorr), whichever
 * takes fewer arrays. What does not fit under the cluster's limits, or waits
 * for a canary, is left for a later sync.
 *
 * Declared in sync_private.h: Status executor_slurm_send(Sync *sync). */
#ifndef JOBS_EXECUTOR_SLURM_H
#define JOBS_EXECUTOR_SLURM_H

#include "jobs/sync_private.h"

/* How many failed canaries of a stage stop it. */
#define CANARY_FAILURES 3

/* One job that may be sent now. */
typedef struct Candidate {
    uint32_t job;            /* of sync->jobs */
    StageId stage;
    const SlurmClass *class;
    const SlurmSubmission *submission;
    double memory, begin;
    const char *exclude;
    /* The tasks that it must wait for, without those that another of them waits for itself. */
    uint32_t waits[STAGE_COUNT];
    int wait_count;
} Candidate;

/* executor_slurm_choose.c: what may be sent now, in the order in which it should be. Freed by memory_free. */
Status executor_slurm_choose(Sync *sync, Candidate **candidates, size_t *count);
/* Whether two may share an array, whatever they wait for. */
bool candidates_agree(const Candidate *a, const Candidate *b);

#endif
