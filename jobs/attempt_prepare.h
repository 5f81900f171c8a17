/* What comes before an attempt, whoever starts it: its directory and spec. */
#ifndef JOBS_ATTEMPT_PREPARE_H
#define JOBS_ATTEMPT_PREPARE_H

#include "jobs/attempt.h"
#include "jobs/plan.h"

/* The highest number among the job's attempts; 0 where there are none. */
Status attempt_last_number(const char *work, const char *key, int *number);
/* Makes WORK/runs/KEY/NNNN, NNNN after all that are there: no two callers get
 * the same. `*directory` is freed by memory_free. */
Status attempt_make_directory(const char *work, const char *key, int *number, char **directory);
/* The same, with the spec.json of a planned job. */
Status attempt_prepare(const Plan *plan, uint32_t job, const char *code, int *number, char **directory);
/* The specification alone, to `path`. `name` is the attempt's, or "" where there is none yet. */
Status attempt_write_spec(const Plan *plan, uint32_t job, const char *code, const char *name, const char *path);

#endif
