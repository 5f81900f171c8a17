/* What the cluster says: all of the user's jobs in one squeue, its limits in
 * one scontrol, and what the accounting (where there is one) knows of jobs that
 * slurmctld has forgotten. */
#ifndef JOBS_SLURM_QUEUE_H
#define JOBS_SLURM_QUEUE_H

#include <stdint.h>

#include "jobs/causes.h"

typedef enum SlurmPhase { SLURM_QUEUED, SLURM_RUNNING, SLURM_ENDED } SlurmPhase;

/* state, name, phase, what it tells of an end (CAUSE_NONE: ask the attempt) */
#define SLURM_STATES(X)                                                       \
    X(SLURM_PENDING, "PENDING", SLURM_QUEUED, CAUSE_NONE)                     \
    X(SLURM_CONFIGURING, "CONFIGURING", SLURM_QUEUED, CAUSE_NONE)             \
    X(SLURM_REQUEUED, "REQUEUED", SLURM_QUEUED, CAUSE_NONE)                   \
    X(SLURM_REQUEUE_FED, "REQUEUE_FED", SLURM_QUEUED, CAUSE_NONE)             \
    X(SLURM_REQUEUE_HOLD, "REQUEUE_HOLD", SLURM_QUEUED, CAUSE_NONE)           \
    X(SLURM_SPECIAL_EXIT, "SPECIAL_EXIT", SLURM_QUEUED, CAUSE_NONE)           \
    X(SLURM_RESV_DEL_HOLD, "RESV_DEL_HOLD", SLURM_QUEUED, CAUSE_NONE)         \
    X(SLURM_STATE_RUNNING, "RUNNING", SLURM_RUNNING, CAUSE_NONE)              \
    X(SLURM_COMPLETING, "COMPLETING", SLURM_RUNNING, CAUSE_NONE)              \
    X(SLURM_SUSPENDED, "SUSPENDED", SLURM_RUNNING, CAUSE_NONE)                \
    X(SLURM_STOPPED, "STOPPED", SLURM_RUNNING, CAUSE_NONE)                    \
    X(SLURM_SIGNALING, "SIGNALING", SLURM_RUNNING, CAUSE_NONE)                \
    X(SLURM_STAGE_OUT, "STAGE_OUT", SLURM_RUNNING, CAUSE_NONE)                \
    X(SLURM_RESIZING, "RESIZING", SLURM_RUNNING, CAUSE_NONE)                  \
    X(SLURM_COMPLETED, "COMPLETED", SLURM_ENDED, CAUSE_NONE)                  \
    X(SLURM_FAILED, "FAILED", SLURM_ENDED, CAUSE_NONE)                        \
    X(SLURM_CANCELLED, "CANCELLED", SLURM_ENDED, CAUSE_NONE)                  \
    X(SLURM_REVOKED, "REVOKED", SLURM_ENDED, CAUSE_NONE)                      \
    X(SLURM_TIMEOUT, "TIMEOUT", SLURM_ENDED, CAUSE_TIME_LIMIT)                \
    X(SLURM_DEADLINE, "DEADLINE", SLURM_ENDED, CAUSE_TIME_LIMIT)              \
    X(SLURM_OUT_OF_MEMORY, "OUT_OF_MEMORY", SLURM_ENDED, CAUSE_OUT_OF_MEMORY) \
    X(SLURM_NODE_FAIL, "NODE_FAIL", SLURM_ENDED, CAUSE_NODE_FAILED)           \
    X(SLURM_BOOT_FAIL, "BOOT_FAIL", SLURM_ENDED, CAUSE_NODE_FAILED)           \
    X(SLURM_LAUNCH_FAILED, "LAUNCH_FAILED", SLURM_ENDED, CAUSE_NODE_FAILED)   \
    X(SLURM_PREEMPTED, "PREEMPTED", SLURM_ENDED, CAUSE_PREEMPTED)             \
    X(SLURM_NO_STATE, "unknown", SLURM_QUEUED, CAUSE_NONE) /* of a later Slurm: nothing is inferred from it */

typedef enum SlurmState {
#define X(state, name, phase, cause) state,
    SLURM_STATES(X)
#undef X
    SLURM_STATE_COUNT
} SlurmState;

const char *slurm_state_name(SlurmState state);
SlurmPhase slurm_state_phase(SlurmState state);
ExitCause slurm_state_cause(SlurmState state);
/* "CANCELLED by 0" is CANCELLED; SLURM_NO_STATE where there is none of that name. */
SlurmState slurm_state_from_name(const char *name);

typedef struct SlurmEntry {
    int64_t job;        /* of the array */
    int64_t task;       /* index in the array; -1: no array */
    SlurmState state;
    int restarts;       /* times that it was requeued */
    int exit_code;      /* of the batch script; -1: none */
    int signal;         /* that ended it; 0: none */
    char name[80], reason[56], start[32], nodes[192];
} SlurmEntry;

typedef struct SlurmQueue {
    SlurmEntry *items;  /* sorted by job and task */
    size_t count;
    size_t live;        /* not yet ended: what counts against a submit limit */
} SlurmQueue; /* zero-initialise; freed by slurm_queue_free, after a failure too */

/* All jobs of this user, those that ended a short while ago too. */
Status slurm_queue_read(double timeout, SlurmQueue *queue);
void slurm_queue_free(SlurmQueue *queue);
const SlurmEntry *slurm_queue_find(const SlurmQueue *queue, int64_t job, int64_t task); /* NULL where absent */
/* The array job of that name; 0 where there is none. */
int64_t slurm_queue_find_name(const SlurmQueue *queue, const char *name);

typedef struct SlurmLimits {
    int64_t max_array;  /* indices are below it */
    int64_t max_jobs;   /* in the cluster's queue */
    bool accounting;    /* sacct has something to say */
} SlurmLimits;
Status slurm_limits_read(double timeout, SlurmLimits *limits);

/* Adds what sacct knows of arrays (`jobs`), in the same form. */
Status slurm_accounting_read(double timeout, const int64_t *jobs, size_t count, SlurmQueue *queue);
/* The array job of that name, by sacct; 0 where it knows none. */
Status slurm_accounting_find_name(double timeout, const char *name, int64_t *job);

/* scancel for "JOB_TASK" texts, a hundred at a time. */
Status slurm_cancel(double timeout, const char *const *ids, size_t count);
/* Lets a held task go (scontrol release). */
Status slurm_release(double timeout, const char *id);

#endif
