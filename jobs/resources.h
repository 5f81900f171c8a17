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

/* What jobs may use of this machine together. */
typedef struct HostResources {
    int cores;      /* run.cores, or those this process may run on */
    double memory;  /* run.host_memory, or nine tenths of the machine's; bytes */
    int gpus;       /* run.host_gpus; -1: those found by whoever runs the jobs */
    int jobs;       /* run.jobs; 0: as many as fit */
} HostResources;
HostResources resources_of_host(const Config *config);

#endif
