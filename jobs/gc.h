/* What a work directory holds that nothing needs: artifacts and runs of jobs
 * that no recorded study has, half-made outputs and checkpoints of attempts that
 * are over, temporary files of dead processes.
 *
 * A study needs the jobs of the latest plan recorded for it, and of the latest
 * for each set of overrides (jobs/study_record.h). A job that is at work is
 * needed by itself, with its inputs. So is what an unfinished job of a study
 * goes on from. */
#ifndef JOBS_GC_H
#define JOBS_GC_H

#include "jobs/ledger.h"

typedef struct GarbageItem {
    char *path;      /* below the work directory */
    const char *why;
    int64_t bytes;
    char key[HASH_HEX_SIZE]; /* of a job that goes with it; else "" */
} GarbageItem;

typedef struct Garbage {
    char *study;     /* whose record goes too, or NULL */
    GarbageItem *items;
    size_t count, capacity;
    int64_t bytes;
} Garbage;

typedef struct GarbageOptions {
    const char *forget; /* a study that is not wanted any more, or NULL; STATUS_NOT_FOUND where there is none */
    StageLookup lookup;
} GarbageOptions;

/* `ledger` is a writer's: nobody starts jobs meanwhile. Removes nothing. */
Status garbage_find(Ledger *ledger, const GarbageOptions *options, Garbage *garbage);
/* Removes it, and its rows. A kill leaves no half of an artifact under its name; the next call goes on. */
Status garbage_remove(Ledger *ledger, const Garbage *garbage);
void garbage_free(Garbage *garbage); /* after a failure too */

#endif
