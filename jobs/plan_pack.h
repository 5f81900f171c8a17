/* Packing the jobs of a plan on one machine, in thought. */
#ifndef JOBS_PLAN_PACK_H
#define JOBS_PLAN_PACK_H

#include "jobs/plan.h"

/* When the last needed job ends, if each takes seconds[i] and starts as soon as its inputs are there and it fits;
 * of those that do, the latest stage's first comes first. A job too large for the machine runs alone. */
Status plan_pack(const Plan *plan, const double *seconds, const HostResources *host, double *end);

#endif
