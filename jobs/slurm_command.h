/* Slurm's own programs (sbatch, squeue, scontrol, scancel, sacct), called with
 * a clean environment and a time limit. */
#ifndef JOBS_SLURM_COMMAND_H
#define JOBS_SLURM_COMMAND_H

#include "framework/status.h"
#include "framework/text.h"

typedef struct SlurmOutput {
    int code;   /* exit code; 128 + N after signal N */
    Text out, err;
} SlurmOutput; /* zero-initialised by the call; freed by slurm_output_free, after a failure too */

/* Runs argv[0] of PATH. Variables that an outer job or its user has set for
 * Slurm's programs (SLURM_*, SBATCH_*, SQUEUE_* ...) do not reach it, but
 * SLURM_CONF, which tells the cluster, does. OK whatever its exit code;
 * STATUS_NOT_FOUND where there is no such program; STATUS_CHILD where it took
 * longer than `timeout` seconds and was killed: what it had asked for may have
 * been done all the same. */
Status slurm_command(const char *const *argv, double timeout, SlurmOutput *output);
void slurm_output_free(SlurmOutput *output);

/* The failure of a program that exited with another code than 0: its name and the last line of its standard error,
 * without Slurm's "error:". */
Status slurm_refusal(const char *program, const SlurmOutput *output);

/* Whether a variable (NAME=VALUE) is one that slurm_command keeps away. */
bool slurm_is_private_variable(const char *variable);

#endif
