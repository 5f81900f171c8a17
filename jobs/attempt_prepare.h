/* What comes before an attempt, whoever starts it: its directory and spec. */
#ifndef JOBS_ATTEMPT_PREPARE_H
#define JOBS_ATTEMPT_PREPARE_H

#include "jobs/attempt.h"
#include "jobs/plan.h"

/* The highest number among the job's attempts; 0 where there are none. */
Status attempt_last_number(const char *work, const char *key, int *number);
/* Makes WORK/runs/KEY/NNNN with spec.json, NNNN after all that are there;
 * `*directory` is freed by memory_free. One process at a time does this for a
 * work directory: the one that holds the ledger's lock. */
Status attempt_prepare(const Plan *plan, uint32_t job, const char *code, int *number, char **directory);

#endif
