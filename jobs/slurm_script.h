/* The batch script of a wave and the sbatch that sends it. */
#ifndef JOBS_SLURM_SCRIPT_H
#define JOBS_SLURM_SCRIPT_H

#include "jobs/slurm_wave.h"

/* What differs between waves of one class. */
typedef struct SlurmRequest {
    const SlurmClass *class;
    const SlurmSettings *settings;
    const char *directory;   /* where the job runs */
    double memory;           /* bytes; 0: the cluster's default */
    const char *exclude;     /* nodes; "" for none */
    double begin;            /* seconds from now before which no task may start; 0: at once */
    const char *dependency;  /* "afterok:12", "aftercorr:12"; "" for none */
    uint32_t pack;           /* the most jobs that one task does */
} SlurmRequest;

/* The script, by the class's template or the built-in one. Freed by memory_free. */
Status slurm_script_render(const SlurmRequest *request, const SlurmWave *wave, char **script);

#define SBATCH_ARGUMENTS 16
/* sbatch's arguments: valid until freed. */
typedef struct SbatchLine {
    const char *argv[SBATCH_ARGUMENTS];
    char *texts[SBATCH_ARGUMENTS];
    int count;
} SbatchLine;
Status sbatch_line_create(const SlurmRequest *request, const SlurmWave *wave, SbatchLine *line);
void sbatch_line_free(SbatchLine *line);

#endif
