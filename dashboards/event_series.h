/* Curves that no stage writes, but that its events tell: how long a step takes, and how much of a processor it uses.
 * Read from events.jsonl of all attempts. */
#ifndef DASHBOARDS_EVENT_SERIES_H
#define DASHBOARDS_EVENT_SERIES_H

#include "dashboards/store.h"

#define EVENT_SERIES_ALL(X)                                                                     \
    X(SERIES_STEP_TIME, "step time (s)")      /* between two events, divided by the steps */   \
    X(SERIES_CPU, "processors in use")        /* processor time of rank 0 by wall time */

typedef enum EventSeries {
#define X(id, name) id,
    EVENT_SERIES_ALL(X)
#undef X
    EVENT_SERIES_COUNT
} EventSeries;

const char *event_series_name(EventSeries series);
bool event_series_find(const char *name, EventSeries *series);
/* The curve, made from all attempts; the cache's. */
Status event_series_get(Store *store, const char *key, EventSeries series, const Curve **curve);

#endif
