/* What users ask of a study that runs or will run: files below WORK/control/,
 * so that it works whether or not a runner is alive, and from another host.
 *
 *     KEY.pause   @NAME.pause     a job, or every job of a study: stops with a checkpoint, until resumed
 *     KEY.cancel  @NAME.cancel    the same, until retried; what depends on it is blocked
 *     KEY.retry   @NAME.retry     failed jobs are tried again; taken away by the runner that did so
 *
 * A file holds who asked and when, for people. Runners look often: all
 * requests are read by one listing of the directory, and no file is opened. */
#ifndef JOBS_CONTROL_H
#define JOBS_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include "framework/status.h"

#define CONTROL_DIRECTORY "control" /* in the work directory */

#define CONTROL_VERBS(X)         \
    X(CONTROL_PAUSE, "pause")    \
    X(CONTROL_CANCEL, "cancel")  \
    X(CONTROL_RETRY, "retry")

typedef enum ControlVerb {
#define X(verb, name) verb,
    CONTROL_VERBS(X)
#undef X
    CONTROL_VERB_COUNT
} ControlVerb;

const char *control_verb_name(ControlVerb verb);

typedef struct ControlRequest {
    ControlVerb verb;
    const char *target; /* KEY, or @NAME of a study */
} ControlRequest;

typedef struct ControlRequests {
    char **names;            /* of the files; the targets point into them */
    size_t name_count;
    ControlRequest *items;   /* sorted by target */
    size_t count;
} ControlRequests;

/* All requests now, freed by control_free (after a failure too). No directory: none. Other files are passed over. */
Status control_read(const char *work, ControlRequests *requests);
void control_free(ControlRequests *requests);
/* Whether the job, or the study (NULL: not asked for), is what a request names. */
bool control_asks(const ControlRequests *requests, ControlVerb verb, const char *key, const char *study);
bool control_equal(const ControlRequests *a, const ControlRequests *b);

/* Sets a request, whole or not at all; again is fine. `study` is used where `key` is NULL. */
Status control_set(const char *work, ControlVerb verb, const char *key, const char *study);
/* Takes it away; absent is fine. */
Status control_clear(const char *work, ControlVerb verb, const char *key, const char *study);

#endif
