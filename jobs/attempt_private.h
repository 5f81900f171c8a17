/* Between attempt*.c. */
#ifndef JOBS_ATTEMPT_PRIVATE_H
#define JOBS_ATTEMPT_PRIVATE_H

#include "jobs/attempt.h"

/* Removes all checkpoints of the job but the newest two. */
Status checkpoints_prune(const char *work, const char *key);
/* Renames a damaged checkpoint, so that it is not tried again. */
Status checkpoint_set_aside(const char *path);
/* After success: checkpoints and half-made outputs of all attempts go; specs, events and logs stay. */
Status attempts_clear(const char *work, const char *key);

#endif
