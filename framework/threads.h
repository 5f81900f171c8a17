/* Helper threads beside the main one, and what they wait on. No thread made
 * here takes signals: those reach the main thread, whose system calls they are
 * meant to interrupt. */
#ifndef FRAMEWORK_THREADS_H
#define FRAMEWORK_THREADS_H

#include <pthread.h>
#include <stdbool.h>

#include "framework/status.h"

typedef struct Thread { pthread_t handle; } Thread;
Status thread_start(void *(*run)(void *argument), void *argument, Thread *thread);
void thread_join(Thread *thread);

/* A lock with something to wait for. */
typedef struct Monitor {
    pthread_mutex_t lock;
    pthread_cond_t changed;
} Monitor;
void monitor_create(Monitor *monitor);
void monitor_destroy(Monitor *monitor);
void monitor_enter(Monitor *monitor);
void monitor_leave(Monitor *monitor);
/* Inside: leaves until told, or for `seconds` at most (negative: no limit), and enters again. May return for nothing. */
void monitor_wait(Monitor *monitor, double seconds);
void monitor_tell(Monitor *monitor); /* all who wait */

/* Seconds of the monotonic clock. */
double thread_clock(void);

#endif
