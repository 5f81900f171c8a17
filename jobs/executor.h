/* What starts attempts somewhere and tells when they end. A small struct of
 * functions: `local` runs processes on this machine; another is one more file. */
#ifndef JOBS_EXECUTOR_H
#define JOBS_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/causes.h"
#include "jobs/resources.h"

typedef struct ExecutorTask {
    const char *spec;      /* path of spec.json */
    const char *log;       /* standard output and error are appended here */
    JobResources resources;
    bool alone;            /* nothing else beside it: it ran out of a memory that nobody declared */
} ExecutorTask;

typedef struct ExecutorEnd {
    int64_t id;
    int exit_code;         /* -1 where a signal ended it */
    int signal;            /* 0 where it exited */
    ExitCause told;        /* what the executor alone knows (memory, time, a node); CAUSE_NONE: nothing */
    int64_t peak_memory;   /* bytes, of its largest process; 0: not known */
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
    /* Room taken by an attempt that an earlier runner started and that runs yet; `pid` is its process where that is
     * on this machine, else 0. */
    void (*reserve)(Executor *executor, const ExecutorTask *task, int64_t pid);
    void (*release)(Executor *executor, const ExecutorTask *task, int64_t pid);
    void (*destroy)(Executor *executor);
};

/* What the local executor may give out. */
typedef struct LocalLimits {
    int cores;      /* 0: all that this process may use */
    double memory;  /* bytes; 0: nine tenths of this machine's, or of what its control group allows */
    int gpus;       /* -1: those found here */
} LocalLimits;

/* Processes of this machine: PROGRAM attempt SPEC. An attempt takes threads x
 * ranks cores, its memory and its GPUs, which it finds in CUDA_VISIBLE_DEVICES;
 * one that is larger than the machine runs alone, with a warning. Ranks above 1
 * run under mpirun. `program` NULL is this program. Blocks SIGCHLD in this
 * process until destroyed. */
Status executor_local_create(const char *program, const LocalLimits *limits, Executor **executor);

/* Steps of the Slurm allocation that this process runs in (salloc, or a batch
 * script of one's own): srun starts each attempt on nodes with room for it, by
 * the processors that the allocation has there. `mpi` is the NAME of srun
 * --mpi=NAME for attempts of several ranks. Otherwise as the local executor. */
bool executor_allocation_present(void);
Status executor_allocation_create(const char *program, const char *mpi, Executor **executor);

#endif
