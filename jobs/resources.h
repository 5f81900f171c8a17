/* What a job takes of a machine while it runs. None of it is in a job's key:
 * the same job on other resources leaves the same artifact (but for
 * run.threads, whose help says so). */
#ifndef JOBS_RESOURCES_H
#define JOBS_RESOURCES_H

#include "framework/config.h"

typedef struct JobResources {
    int threads;     /* of each rank */
    int ranks;       /* 1 for a stage that cannot use more */
    int gpus;        /* of the whole job */
    double memory;   /* bytes of the whole job; 0: not counted */
    double time;     /* seconds an attempt may take; 0: no limit */
} JobResources;

/* The keys run.STAGE.*, or where those are unset run.*. `parallel`: whether the stage may have several ranks. */
JobResources resources_of(const Config *config, StageId stage, bool parallel);
int resources_cores(const JobResources *resources); /* threads x ranks */

#endif
