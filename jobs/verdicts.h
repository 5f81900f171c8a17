/* verdicts.jsonl in WORK/runs/KEY: what was decided about a job and its
 * attempts by whoever held the ledger's lock. Events tell what an attempt did;
 * that a job has failed for good, waits for another, or was cancelled, and that
 * an attempt which ended without a word was killed, only its runner knows. One
 * line a decision:
 *
 *     {"time", "state", "cause", "message"}                                       of the job
 *     {"time", "attempt", "state", "host", "pid", "started", "ended", "outcome", "message", "seconds",
 *      "peak_memory"}
 *
 * The last of a job's lines holds, and is what the ledger says. */
#ifndef JOBS_VERDICTS_H
#define JOBS_VERDICTS_H

#include "jobs/ledger.h"

/* `cause` and `message` may be NULL. */
Status verdict_append_job(const char *work, const char *key, double time, JobState state, const char *cause,
                          const char *message);
Status verdict_append_attempt(const char *work, double time, const LedgerAttempt *attempt);

typedef struct Verdicts {
    bool decided;             /* there is a line about the job */
    double time;
    JobState state;
    char *cause, *message;    /* or NULL */
    LedgerAttempt *attempts;  /* in order of their lines; only what a line says is filled, `updated` is its time */
    size_t count;
} Verdicts;

/* Lines that are no verdicts are passed over. */
Status verdicts_read(const char *work, const char *key, Verdicts *verdicts);
void verdicts_free(Verdicts *verdicts);
/* What is known of the attempt before its events are folded in (false where there is no line about it); then what its
 * end left, if it did not tell that itself later. */
bool verdicts_begin_attempt(const Verdicts *verdicts, LedgerAttempt *attempt);
void verdicts_end_attempt(const Verdicts *verdicts, LedgerAttempt *attempt);

#endif
