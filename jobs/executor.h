/* What starts attempts somewhere and tells when they end. A small struct of
 * functions: `local` runs processes on this machine; another is one more file. */
#ifndef JOBS_EXECUTOR_H
#define JOBS_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/resources.h"

typedef struct ExecutorTask {
    const char *spec;      /* path of spec.json */
    const char *log;       /* standard output and error are appended here */
    JobResources resources;
} ExecutorTask;

typedef struct ExecutorEnd {
    int64_t id;
    int exit_code;         /* -1 where a signal ended it */
    int signal;            /* 0 where it exited */
} ExecutorEnd;

typedef struct Executor Executor;
struct Executor {
    const char *name;
    /* Whether the task could start now, beside what runs. */
    bool (*has_room)(Executor *executor, const ExecutorTask *task);
    Status (*start)(Executor *executor, const ExecutorTask *task, int64_t *id);
    /* Waits up to `seconds` for attempts to end, less if a signal arrives.
     * Fills up to `capacity` ends. */
    Status (*wait)(Executor *executor, double seconds, ExecutorEnd *ends, int capacity, int *count);
    /* Asks the attempt to checkpoint and exit; with `hard`, ends it at once. */
    void (*stop)(Executor *executor, int64_t id, bool hard);
    /* Room taken by attempts that an earlier runner started and that run yet. */
    void (*reserve)(Executor *executor, const JobResources *resources);
    void (*release)(Executor *executor, const JobResources *resources);
    void (*destroy)(Executor *executor);
};

/* Processes of this machine: PROGRAM attempt SPEC. `cores` 0 means all that
 * this process may use. An attempt takes threads x ranks cores; one that is
 * larger than all of them runs alone. Ranks above 1 run under mpirun. `program`
 * NULL is this program. Blocks SIGCHLD in this process until destroyed. */
Status executor_local_create(const char *program, int cores, Executor **executor);

#endif
