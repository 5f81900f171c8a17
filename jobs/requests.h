/* What `zeroth pause`, `resume`, `cancel` and `retry` do: sets or takes away
 * requests (control.h) for a study or for jobs of it. */
#ifndef JOBS_REQUESTS_H
#define JOBS_REQUESTS_H

#include "jobs/control.h"
#include "jobs/ledger.h"

#define REQUEST_ACTIONS(X)             \
    X(REQUEST_PAUSE, "pause")          \
    X(REQUEST_RESUME, "resume")        \
    X(REQUEST_CANCEL, "cancel")        \
    X(REQUEST_RETRY, "retry")

typedef enum RequestAction {
#define X(action, name) action,
    REQUEST_ACTIONS(X)
#undef X
    REQUEST_ACTION_COUNT
} RequestAction;

/* False where no action has that name. */
bool request_action_from_name(const char *name, RequestAction *action);

/* Told of each thing done: a job's key, stage and state (NULL for the study as a whole), and what was done. */
typedef void (*RequestTeller)(void *context, const LedgerJob *job, const char *what);

/* For the whole study where `count` is 0; a study that has never run may be
 * paused or cancelled too. Else for the jobs of the study whose keys begin so:
 * each prefix must be of one job (STATUS_NOT_FOUND, STATUS_USAGE), and nothing
 * is done unless all are. */
Status request_jobs(const char *work, const char *study, RequestAction action, char *const *prefixes, size_t count,
                    RequestTeller tell, void *context);

#endif
