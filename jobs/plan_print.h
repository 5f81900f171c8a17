/* A plan as text for people. */
#ifndef JOBS_PLAN_PRINT_H
#define JOBS_PLAN_PRINT_H

#include <stdio.h>

#include "jobs/plan.h"

/* Stages with their jobs, resources and times, and what it comes to; the verdicts of halving, if any. Estimates come
 * from the ledger (plan_estimate). */
Status plan_print(const Plan *plan, FILE *out);
void plan_print_jobs(const Plan *plan, FILE *out);   /* one line per job */
void plan_print_trials(const Plan *plan, FILE *out); /* one line per trial, its jobs in it */
/* One line per group: where halving has it. */
Status plan_print_halving(const Plan *plan, size_t most, FILE *out);
/* Why jobs are to do: `job` in full where it is not NULL (the start of a key), else a line for each. */
Status plan_print_why(const Plan *plan, const char *job, FILE *out);

#endif
