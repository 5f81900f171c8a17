/* How far a study is: jobs by stage and state, what runs where, and an
 * estimate of the time left. */
#ifndef DASHBOARDS_PROGRESS_H
#define DASHBOARDS_PROGRESS_H

#include "dashboards/store.h"
#include "framework/json.h"

#define PROGRESS_SHOWN 200 /* running attempts that are listed */

/* {"counts": [[by state] by stage], "left": seconds or null, "runs": count, "running": [{"job", "attempt", "host",
 *  "started", "updated", "step", "total", "begin", "unit", "live"}]}
 * "left" is what is left to do if as many jobs go on at a time as run now (at least one) and each takes its stage's
 * mean: of finished jobs, or where there is none, of what the running ones promise; null where a stage has neither.
 * "live": a process holds the job's lock. */
Status progress_write_json(Store *store, const View *view, JsonWriter *writer);

#endif
