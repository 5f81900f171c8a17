/* What one array of Slurm's is made of: jobs that ask for the same. */
#ifndef JOBS_SLURM_CLASS_H
#define JOBS_SLURM_CLASS_H

#include "framework/json.h"
#include "jobs/plan.h"

typedef struct SlurmClass {
    char *options;      /* of sbatch, one a line, quoted for #SBATCH; but memory and time, which may differ by attempt */
    char *modules;      /* shell lines */
    char *lines;        /* shell lines */
    char *exports;      /* names of variables, with commas */
    char *mpi;          /* "mpirun", or the NAME of srun --mpi=NAME */
    char *template;     /* path, or "" for the built-in script */
    int ranks, threads;
    double memory;      /* bytes; 0: the cluster's default */
    double time;        /* seconds of one job; 0: the partition's */
    double signal_before;
    bool requeue;
} SlurmClass;

/* From the config and the resources of a planned job. */
Status slurm_class_of_job(const PlanJob *job, SlurmClass *class);
bool slurm_class_equal(const SlurmClass *a, const SlurmClass *b);
void slurm_class_free(SlurmClass *class);
void slurm_class_write(const SlurmClass *class, JsonWriter *writer);
Status slurm_class_read(const Json *json, const char *path, SlurmClass *class);

#endif
