/* Following a study that another process runs: the same display, from the
 * ledger as a reader. Whoever watches changes nothing, and may be stopped
 * without anything else being stopped. */
#ifndef JOBS_WATCH_H
#define JOBS_WATCH_H

#include <stdbool.h>

#include "framework/status.h"

/* Whether a process runs studies in the work directory; `*holder` (may be NULL): "process 12 on HOST since ...", or
 * NULL; freed by memory_free. */
Status runner_find(const char *work, bool *live, char **holder);

typedef struct WatchSummary {
    long long done, needed, failed; /* jobs of the study */
    bool seen;                      /* a runner was there */
} WatchSummary;

/* Until every job of the study is finished or has come to nothing, or no
 * process holds the work directory any more. STATUS_NOT_FOUND where there is no
 * such study in its ledger, and no runner that could be about to record it. */
Status watch_study(const char *work, const char *study, bool quiet, WatchSummary *summary);

#endif
