/* One task of an array at work on a node: `zeroth task WAVE INDEX`, which the
 * batch script becomes. It runs the attempts of its jobs one after another,
 * passes signals on to them, leaves records (slurm_record.h), sends itself back
 * to the queue where an attempt stopped with a checkpoint, and ends with a sync
 * so that the next wave is sent though nobody is logged in. */
#ifndef JOBS_SLURM_TASK_H
#define JOBS_SLURM_TASK_H

#include "jobs/stage.h"

/* OK where all of its jobs have their artifacts; STATUS_INTERRUPTED where one
 * stopped with a checkpoint; else the first failure. A job that fails does not
 * keep the others of its task from running. */
Status slurm_task_run(const char *wave_directory, int64_t index, StageLookup lookup, const char *code);

#endif
