/* Why a job is to do: what differs from the nearest finished job of its stage,
 * down to the values from which the difference comes.
 *
 * A finished job and all that it was made from are read from their manifests
 * (artifacts/KEY/artifact.json). What counts are the config values that the
 * stage and those before it read, the versions of these stages, and the
 * fingerprints of what they read from outside; a value that several stages read
 * counts once. Where the artifact of an input is gone, so is the knowledge of
 * its values, and its key counts for them. Nearest is the job with the fewest
 * differences, of equally near ones the newest. */
#ifndef JOBS_PLAN_WHY_H
#define JOBS_PLAN_WHY_H

#include "framework/text.h"
#include "jobs/plan.h"

typedef struct PlanWhy PlanWhy;

/* Reads manifests and, where there is one, the ledger. A manifest that cannot be read is passed over: its artifact is
 * no finished job either. `plan` outlives it. */
Status plan_why_create(const Plan *plan, PlanWhy **why);
void plan_why_destroy(PlanWhy *why);

/* One line without its end: "never run; nearest 0123456789 (2 differences): seed: 0 -> 1; ...". Of a job that is not
 * to do, what it is instead. With `whole` every difference has a line of its own. */
Status plan_why_tell(PlanWhy *why, uint32_t job, bool whole, Text *out);

/* The job whose key begins with `prefix`; STATUS_NOT_FOUND where there is none, STATUS_USAGE where there are many. */
Status plan_find_job(const Plan *plan, const char *prefix, uint32_t *job);

#endif
