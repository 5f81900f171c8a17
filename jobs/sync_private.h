/* Between sync*.c and executor_slurm.c. */
#ifndef JOBS_SYNC_PRIVATE_H
#define JOBS_SYNC_PRIVATE_H

#include "jobs/control.h"
#include "jobs/slurm_outcomes.h"
#include "jobs/slurm_queue.h"
#include "jobs/slurm_record.h"
#include "jobs/sync.h"

#define NO_TASK SIZE_MAX

typedef struct SyncJob {
    const SlurmSubmission *submission;
    const SlurmJob *job;
    uint32_t inputs[STAGE_COUNT];  /* of sync->jobs */
    JobState state;
    bool held_back;                /* a user's request keeps it from being sent */
    size_t wave, task;             /* where Slurm has it; NO_TASK where it has not */
    bool dependable;               /* its Slurm job is known, so that others may be queued behind it */
} SyncJob;

typedef struct Sync {
    const char *work;
    const Plan *plan;              /* just submitted; NULL: none */
    const SyncOptions *options;
    SyncSummary *summary;
    SlurmSubmission **submissions;
    size_t submission_count;
    SyncJob *jobs;                 /* of all submissions, each key once; inputs first */
    size_t count;
    HashMap by_key;
    SlurmOutcomes outcomes;
    SlurmWave *waves;              /* open ones */
    size_t wave_count;
    SlurmQueue queue, accounts;
    SlurmLimits limits;
    bool limits_known;
    ControlRequests requests;
    HashMap artifacts;             /* keys that have a directory */
    double now;                    /* seconds since 1970 */
    double timeout;
    struct { size_t wave, task; } *doomed; /* to be cancelled */
    size_t doomed_count;
    bool freed;                    /* some were, and their jobs can be dealt with now */
    bool settled;                  /* the states of all jobs are known */
    FILE *dry;                     /* where a dry run is shown; NULL: the real thing */
    Status refusal;                /* what the user must mend */
} Sync;

/* sync_load.c: all but what Slurm says. `sync` is freed by sync_free, after a failure too. */
Status sync_load(Sync *sync);
void sync_free(Sync *sync);
SyncJob *sync_find(const Sync *sync, const char *key); /* NULL where absent */

/* sync_evidence.c: asks Slurm, and settles or places every task that was sent. */
Status sync_look(Sync *sync);

/* sync_states.c: states of the jobs that Slurm does not have; cancels what its user does not want. */
Status sync_settle_states(Sync *sync);
Status sync_cancel_doomed(Sync *sync);
Status sync_doom(Sync *sync, size_t wave, size_t task); /* cancels it in sync_cancel_doomed */
bool sync_asked(const Sync *sync, const SyncJob *job, ControlVerb verb);

/* executor_slurm.c: sends what may be sent. */
Status executor_slurm_send(Sync *sync);

/* sync_ledger.c */
Status sync_update_ledger(Sync *sync);

#endif
