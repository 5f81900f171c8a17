/* Slurm and the directories brought together: what became of the jobs that were
 * sent, and what is sent next. No daemon does this: every command that is run,
 * and the end of every batch job, does.
 *
 * Three sources are asked: artifacts, events and records in the work directory;
 * squeue, once; and sacct, where the cluster keeps accounts, for what slurmctld
 * has forgotten. Where none of them says what became of a job, it is `unknown`
 * and stays so until one does or its user has it tried again; nothing is
 * inferred from its absence.
 *
 * One process at a time syncs a work directory, under WORK/slurm/lock. The
 * ledger is brought up to date too, unless another process writes it: it is
 * only a copy. */
#ifndef JOBS_SYNC_H
#define JOBS_SYNC_H

#include <stdio.h>

#include "jobs/ledger.h"

typedef struct SyncOptions {
    StageLookup lookup;
    const char *code;   /* version of this program */
    bool submit;        /* sends what may be sent */
    bool wait;          /* for another process that syncs; else it is told to do so once more, and this one goes */
    bool no_canary;     /* sends the whole of a stage at once */
} SyncOptions;

typedef struct SyncSummary {
    bool used;          /* jobs of this work directory were ever submitted */
    bool skipped;       /* another process does it */
    bool refused;       /* Slurm said no to what only its user can mend */
    bool again;         /* jobs were taken out of the queue: one more look deals with them */
    bool changed;       /* something happened since the last sync */
    size_t states[JOB_STATE_COUNT]; /* of the jobs of all submissions */
    size_t sent, waves; /* jobs and arrays sent now */
    size_t held;        /* jobs that wait for a canary, or for room in the queue */
    char note[256];     /* why nothing more is sent, for people; "" where all is well */
    double poll;        /* slurm.poll of the submissions */
    double timeout;     /* slurm.timeout */
} SyncSummary;

/* STATUS_CHILD where Slurm refused what only its user can mend (a partition
 * that is not there, say), or does not answer: what is queued already goes on
 * all the same. */
Status sync_run(const char *work, const SyncOptions *options, SyncSummary *summary);

/* Hands a plan to Slurm: records it as a submission, then syncs. Jobs that are
 * queued or run already, whoever submitted them, are not sent again and keep
 * what they were submitted with. */
Status sync_submit(const Plan *plan, const SyncOptions *options, SyncSummary *summary);
/* What sync_submit would send first, as scripts and sbatch lines; nothing is written or sent. */
Status sync_dry_run(const Plan *plan, const SyncOptions *options, FILE *out);

/* Submits and syncs until nothing of the plan is left to do. STATUS_INTERRUPTED
 * after Ctrl-C or SIGTERM: the jobs stay in Slurm. STATUS_CHILD where jobs
 * failed, or are unknown or cancelled. */
Status sync_follow(const Plan *plan, const SyncOptions *options, bool quiet);

/* The jobs of a study (NULL: all) that Slurm has: ids, nodes, states, reasons,
 * expected starts; at most `most` lines. Nothing where none were submitted. */
Status sync_print(const char *work, const char *study, size_t most, FILE *out);

#endif
