/* What this machine has to give to jobs. */
#ifndef JOBS_MACHINE_H
#define JOBS_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_MAX_GPUS 64

int machine_cores(void);     /* that this process may use */
/* Bytes: nine tenths of the machine's memory, or of what a control group of
 * this process allows where that is less. 0: not to be found out. */
double machine_memory(void);
/* Numbers of the GPUs, as CUDA_VISIBLE_DEVICES counts them: those that this
 * process may see, or all for which there is a device file. Returns how many. */
int machine_gpus(int devices[MACHINE_MAX_GPUS]);
/* How many processes the kernel has killed for want of memory since it
 * started; -1: not to be found out. */
int64_t machine_memory_kills(void);

#endif
