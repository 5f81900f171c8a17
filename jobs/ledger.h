/* The ledger: WORK/ledger.sqlite, what is known of studies, trials, jobs,
 * attempts and metrics, for commands and the dashboard to ask. The directories
 * are the truth; the ledger is folded from them, holds nothing that they do not
 * tell, and can be rebuilt equal (ledger_rebuild). What its writer decides
 * (states of jobs, ends of attempts that said nothing) is therefore on the disk
 * before it is in the ledger (jobs/verdicts.h), as are the plans
 * (jobs/study_record.h).
 *
 * One process writes at a time, under the lock WORK/ledger.lock; any number
 * read. The journal is SQLite's rollback journal: WAL needs shared memory,
 * which network file systems lack. Writes gather in a transaction until
 * ledger_flush. */
#ifndef JOBS_LEDGER_H
#define JOBS_LEDGER_H

#include "framework/config.h"
#include "framework/json.h"
#include "jobs/plan.h"

#define LEDGER_NAME "ledger.sqlite"
#define LEDGER_LOCK_NAME "ledger.lock"
#define LEDGER_VERSION 2

/* Of jobs and, but for waiting and blocked, of attempts. */
#define JOB_STATES(X)                  \
    X(STATE_WAITING, "waiting")        \
    X(STATE_RUNNING, "running")        \
    X(STATE_FINISHED, "finished")      \
    X(STATE_FAILED, "failed")          \
    X(STATE_INTERRUPTED, "interrupted")/* stopped with a checkpoint */ \
    X(STATE_KILLED, "killed")          /* ended without a word    */ \
    X(STATE_BLOCKED, "blocked")        /* an input failed         */ \
    X(STATE_PAUSED, "paused")          /* by its user, until resumed */ \
    X(STATE_CANCELLED, "cancelled")    /* by its user, until retried */ \
    X(STATE_SKIPPED, "skipped")        /* its trials were stopped early */ \
    X(STATE_QUEUED, "queued")          /* in a cluster's queue    */ \
    X(STATE_UNKNOWN, "unknown")        /* the sources do not say  */

typedef enum JobState {
#define X(state, name) state,
    JOB_STATES(X)
#undef X
    JOB_STATE_COUNT
} JobState;

const char *job_state_name(JobState state);
bool job_state_from_name(const char *name, JobState *state);

typedef struct Ledger Ledger;

/* A writer makes work directory and ledger where they are absent, and fails
 * with STATUS_LOCKED, naming the holder, where another process writes. A
 * reader fails with STATUS_NOT_FOUND where there is no ledger. A ledger of an
 * earlier schema is brought to this one by a writer, with all that is in it; for
 * a reader it is STATUS_VERSION, as one of a later schema is for both. */
Status ledger_open_writer(const char *work, Ledger **ledger);
Status ledger_open_reader(const char *work, Ledger **ledger);
void ledger_close(Ledger *ledger); /* a writer's last look at what runs, and flush; failures are logged */
Status ledger_flush(Ledger *ledger);

/* Study, trials and jobs of a plan; states are set from it: finished, or
 * waiting. What earlier runners left behind of its jobs is folded in. Plans of
 * one study with other overrides stay recorded beside it; the latest is the one
 * that the study's name stands for. */
Status ledger_record_plan(Ledger *ledger, const Plan *plan);

/* What is known of one attempt: a row, and where its events were read to. */
typedef struct LedgerAttempt {
    char key[HASH_HEX_SIZE];
    int number;
    JobState state;
    char host[72], code[72], compiler[40], unit[24], outcome[24];
    char message[512];        /* of the end, shortened */
    int64_t pid, threads, ranks;
    double started, ended, updated; /* seconds since 1970; 0: not yet */
    int64_t begin_step, step, total, checkpoint_step; /* -1: none yet */
    double seconds;
    double cpu;               /* seconds of processor time, by its last heartbeat */
    double active;            /* when it was last seen to step or to compute; 0: not yet */
    int64_t peak_memory;
    int64_t offset;           /* bytes of events.jsonl folded in */
    int64_t bad;              /* lines that were no events */
    int64_t losses;           /* the ledger's own */
} LedgerAttempt;

void ledger_attempt_init(LedgerAttempt *attempt, const char *key, int number);
/* Folds events written since into row and metrics; `*changed` (may be NULL) tells whether there were any. Events
 * that are folded in again change nothing. */
Status ledger_fold(Ledger *ledger, LedgerAttempt *attempt, bool *changed);
/* A verdict on the attempt, of which its events say nothing: that it was launched, or how it ended. Writes its row as
 * it is. */
Status ledger_put_attempt(Ledger *ledger, const LedgerAttempt *attempt);
/* A verdict on the job. `cause` is the name of a status code, or "killed"; NULL clears both texts. */
Status ledger_set_state(Ledger *ledger, const char *key, JobState state, const char *cause, const char *message);
/* A finished job: its final metrics (metrics.json) become results. */
Status ledger_record_results(Ledger *ledger, const char *key);

/* Reading ------------------------------------------------------------------ */

typedef struct LedgerJob {
    const char *key, *stage, *cause, *message; /* valid in the callback */
    JobState state;
    int64_t attempts, step, total;
    double seconds, updated;
    int64_t trials;     /* of the study asked for, else of all */
} LedgerJob;

typedef struct LedgerFilter {
    const char *study;  /* NULL: all */
    const char *prefix; /* of keys; NULL: all */
    int state;          /* JobState, or -1 */
} LedgerFilter;

typedef Status (*LedgerJobTaker)(void *context, const LedgerJob *job);
/* Jobs by stage and key. */
Status ledger_each_job(Ledger *ledger, const LedgerFilter *filter, LedgerJobTaker take, void *context);
/* All jobs of WORK's ledger, for what is only better for knowing them: no ledger has none, and one that cannot be read
 * is warned of and has none. Without memory: STATUS_NO_MEMORY. */
Status ledger_each_known_job(const char *work, LedgerJobTaker take, void *context);
/* Numbers of jobs per stage and state. */
Status ledger_count_jobs(Ledger *ledger, const char *study, int64_t counts[STAGE_COUNT][JOB_STATE_COUNT]);
/* Names of the studies, latest first, freed by names_free. */
Status ledger_list_studies(Ledger *ledger, char ***names, size_t *count);
/* The last attempt of a job; STATUS_NOT_FOUND where there is none. */
Status ledger_last_attempt(Ledger *ledger, const char *key, LedgerAttempt *attempt);
/* Attempts that the ledger believes to run, freed by memory_free. */
Status ledger_list_running(Ledger *ledger, LedgerAttempt **attempts, size_t *count);
/* The mean seconds of finished attempts of a stage; 0 where there are none. */
Status ledger_mean_seconds(Ledger *ledger, StageId stage, double *seconds);

/* All that is known of one job as a JSON object: config, inputs, studies, attempts with their provenance, results, and
 * where its files are. `prefix` is the start of its key; STATUS_NOT_FOUND and, for several, STATUS_USAGE say so. */
Status ledger_show(Ledger *ledger, const char *prefix, JsonWriter *writer);

/* Keeping -------------------------------------------------------------------- */

typedef struct LedgerRebuilt {
    int64_t studies, jobs, attempts;
} LedgerRebuilt;
/* Makes the ledger anew from the directories, equal to the one it replaces where that agreed with them. Under the
 * writer's lock; the old one stands until the new one is whole. */
Status ledger_rebuild(const char *work, LedgerRebuilt *rebuilt);

typedef void (*LedgerTeller)(void *context, const char *line);
/* Tells each disagreement between ledger and directories, and each artifact that is damaged (with `full`, checksums are
 * compared too). Jobs that are at work just now are left out. OK with *found 0 where all is well. */
Status ledger_check(const char *work, bool full, LedgerTeller tell, void *context, int64_t *found);

/* Takes the study's records out of the ledger; jobs that only it had stay as far as the directories have them. */
Status ledger_forget_study(Ledger *ledger, const char *study);
/* Takes a job out whose directories are gone. */
Status ledger_forget_job(Ledger *ledger, const char *key);
const char *ledger_work(const Ledger *ledger);

#endif
