/* What the dashboard asks of a ledger: whole studies, curves, attempts. Every
 * function reads in one short transaction of its own, so that a run's writes
 * wait for milliseconds at most; strings are valid in the callback alone. A
 * callback that fails ends the reading, and its failure is returned. */
#ifndef JOBS_LEDGER_QUERY_H
#define JOBS_LEDGER_QUERY_H

#include "jobs/ledger.h"

/* A number that changes when another process has written the ledger. Reads one page of the file. */
Status ledger_data_version(Ledger *ledger, int64_t *version);

typedef struct LedgerStudy {
    const char *name, *path; /* of its YAML file */
    int64_t trials;
    double recorded;         /* when it was last planned; seconds since 1970 */
} LedgerStudy;
typedef Status (*LedgerStudyTaker)(void *context, const LedgerStudy *study);
/* Latest first. */
Status ledger_each_study(Ledger *ledger, LedgerStudyTaker take, void *context);

typedef struct LedgerTrial {
    int64_t number, seed;
    const char *variant, *group; /* as in Trial */
    const char *axes, *jobs;     /* JSON objects: key to canonical text, stage to job's key */
} LedgerTrial;
typedef Status (*LedgerTrialTaker)(void *context, const LedgerTrial *trial);
/* In their order in the study. */
Status ledger_each_trial(Ledger *ledger, const char *study, LedgerTrialTaker take, void *context);

/* `inputs`: a JSON object, stage to key. */
typedef Status (*LedgerInputsTaker)(void *context, const char *key, const char *inputs);
Status ledger_each_inputs(Ledger *ledger, const char *study, LedgerInputsTaker take, void *context);

/* Jobs of a study that were written at `since` (seconds since 1970) or later, in no order. */
Status ledger_each_changed(Ledger *ledger, const char *study, double since, LedgerJobTaker take, void *context);

/* `provenance`: a JSON object of what made it (jobs/provenance.h), or "". */
typedef Status (*LedgerAttemptTaker)(void *context, const LedgerAttempt *attempt, const char *provenance);
/* Attempts of a job, first to last. */
Status ledger_each_attempt(Ledger *ledger, const char *key, LedgerAttemptTaker take, void *context);

/* Final metrics: of all jobs of a study, or of one job. */
typedef Status (*LedgerResultTaker)(void *context, const char *key, const char *name, double value);
Status ledger_each_study_result(Ledger *ledger, const char *study, LedgerResultTaker take, void *context);
Status ledger_each_job_result(Ledger *ledger, const char *key, LedgerResultTaker take, void *context);

/* Names of the metrics that a job has over its steps, sorted. As many seeks as there are names. */
typedef Status (*LedgerNameTaker)(void *context, const char *name);
Status ledger_each_metric(Ledger *ledger, const char *key, LedgerNameTaker take, void *context);
/* Points of one curve with a step in [first, last], in order of steps; a value that is no number is NaN. */
typedef Status (*LedgerPointTaker)(void *context, int64_t step, double value);
Status ledger_each_point(Ledger *ledger, const char *key, const char *name, int64_t first, int64_t last,
                         LedgerPointTaker take, void *context);

#endif
