/* Starts an attempt as a process of this machine: in a session of its own, so
 * that Ctrl-C and the end of the terminal reach the runner alone. */
#ifndef JOBS_LAUNCH_H
#define JOBS_LAUNCH_H

#include <signal.h>
#include <sys/types.h>

#include "jobs/executor.h"

/* PROGRAM attempt SPEC, under mpirun where there are several ranks; NULL is the
 * program that runs now, though its file may have been replaced since. Standard
 * output and error are appended to the task's log. `gpus` is the value of
 * CUDA_VISIBLE_DEVICES, or NULL to leave it as it is; `mask` the process's
 * blocked signals. */
Status launch_attempt(const char *program, const ExecutorTask *task, const char *gpus, const sigset_t *mask,
                      pid_t *pid);

#endif
