/* WORK/slurm/outcomes.jsonl: what became of every task that was sent, one line
 * each, appended by whoever syncs and never changed. Replayed, it tells of each
 * job what the next wave must know: whether it is tried again, with how much
 * memory, on which nodes not. */
#ifndef JOBS_SLURM_OUTCOMES_H
#define JOBS_SLURM_OUTCOMES_H

#include "framework/json.h"
#include "jobs/causes.h"
#include "jobs/hash_map.h"
#include "jobs/slurm_wave.h"

/* verdict, name */
#define SLURM_VERDICTS(X)                                                             \
    X(VERDICT_FINISHED, "finished")                                                   \
    X(VERDICT_AGAIN, "again")         /* it is submitted anew                      */ \
    X(VERDICT_RETURNED, "returned")   /* likewise; it never began, so nothing counts */ \
    X(VERDICT_FAILED, "failed")                                                       \
    X(VERDICT_CANCELLED, "cancelled") /* by its user; left until retried           */ \
    X(VERDICT_RESET, "reset")         /* its user had it tried again from scratch  */

typedef enum SlurmVerdict {
#define X(verdict, name) verdict,
    SLURM_VERDICTS(X)
#undef X
    SLURM_VERDICT_COUNT
} SlurmVerdict;
const char *slurm_verdict_name(SlurmVerdict verdict);

typedef struct SlurmOutcome {
    const char *token;   /* of the wave; "" for a reset */
    int64_t index;       /* of the task */
    const char *key, *cause, *message, *node;
    SlurmVerdict verdict;
    int64_t reached;     /* newest checkpoint, see slurm_record.h */
    double memory;       /* bytes it had; 0: nobody knows */
} SlurmOutcome;

/* What is known of a job after all of its outcomes. */
typedef struct SlurmHistory {
    char key[HASH_HEX_SIZE];
    SlurmVerdict verdict;    /* the last */
    bool known;              /* there was one */
    char cause[24], message[400];
    int64_t reached;         /* best so far; -1: nothing */
    int stuck;               /* ends since that count and got no further */
    int backoffs;            /* ends since that back off */
    double ended;            /* when the last was written */
    double memory;           /* bytes to ask for; 0: as its class says */
    char exclude[200];       /* nodes that failed it, with commas */
} SlurmHistory;

typedef struct SlurmOutcomes {
    char *path;
    HashMap by_key;          /* key → index of histories */
    SlurmHistory *histories;
    size_t count, capacity;
    HashMap settled;         /* hash of (token, index, key) */
    Text pending;            /* lines not yet on the disk */
} SlurmOutcomes; /* zero-initialise; freed by slurm_outcomes_free, after a failure too */

Status slurm_outcomes_read(const char *work, SlurmOutcomes *outcomes);
void slurm_outcomes_free(SlurmOutcomes *outcomes);
/* NULL where nothing has happened to it. Valid until the next slurm_outcomes_add. */
const SlurmHistory *slurm_outcomes_find(const SlurmOutcomes *outcomes, const char *key);
bool slurm_outcomes_settled(const SlurmOutcomes *outcomes, const char *token, int64_t index, const char *key);
/* Takes it into account at once; slurm_outcomes_flush writes it. */
Status slurm_outcomes_add(SlurmOutcomes *outcomes, const SlurmOutcome *outcome);
Status slurm_outcomes_flush(SlurmOutcomes *outcomes);

#endif
