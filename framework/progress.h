/* Progress of something long: a bar with rate and time left on a terminal,
 * plain lines at growing intervals elsewhere. Writes to standard error. */
#ifndef FRAMEWORK_PROGRESS_H
#define FRAMEWORK_PROGRESS_H

#include <stdint.h>

typedef struct Progress Progress;

/* `total` 0: unknown. `unit` is a plural ("images"). NULL where memory is
 * short; every function accepts NULL, so progress never fails its caller. */
Progress *progress_create(const char *label, int64_t total, const char *unit);
void progress_set_start(Progress *progress, int64_t done); /* work resumed, not done now: kept out of the rate */
void progress_update(Progress *progress, int64_t done, const char *note); /* note may be NULL */
void progress_destroy(Progress *progress); /* ends the line */

#endif
