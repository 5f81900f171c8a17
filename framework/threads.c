#include "framework/threads.h"

#include <signal.h>
#include <time.h>

Status thread_start(void *(*run)(void *argument), void *argument, Thread *thread)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a thread starts with the mask of its maker */
    int result = pthread_create(&thread->handle, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result == 0 ? OK : status_errno(result, "start", "a thread");
}

void thread_join(Thread *thread)
{
    pthread_join(thread->handle, NULL);
}

void monitor_create(Monitor *monitor)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&monitor->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&monitor->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

void monitor_destroy(Monitor *monitor)
{
    pthread_cond_destroy(&monitor->changed);
    pthread_mutex_destroy(&monitor->lock);
}

void monitor_enter(Monitor *monitor)
{
    pthread_mutex_lock(&monitor->lock);
}

void monitor_leave(Monitor *monitor)
{
    pthread_mutex_unlock(&monitor->lock);
}

void monitor_wait(Monitor *monitor, double seconds)
{
    if (seconds < 0) {
        pthread_cond_wait(&monitor->changed, &monitor->lock);
        return;
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    time_t whole = (time_t)seconds;
    until.tv_sec += whole;
    until.tv_nsec += (long)((seconds - (double)whole) * 1e9);
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&monitor->changed, &monitor->lock, &until);
}

void monitor_tell(Monitor *monitor)
{
    pthread_cond_broadcast(&monitor->changed);
}

double thread_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
