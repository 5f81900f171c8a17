#include "jobs/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "framework/memory.h"

extern char **environ;

#define MAX_ARGUMENTS 16
#define MAX_SETTINGS 8

typedef struct Launch {
    const char *file; /* to execute; arguments[0] is its name */
    const char *arguments[MAX_ARGUMENTS];
    char **environment;
    char threads[40], ranks[16], gpus[400], self[4096];
} Launch;

static Status fill_arguments(Launch *launch, const char *program, const ExecutorTask *task)
{
    int n = 0;
    bool parallel = task->resources.ranks > 1;
    if (parallel) {
        snprintf(launch->ranks, sizeof launch->ranks, "%d", task->resources.ranks);
        const char *const MPIRUN[] = {"mpirun", "-n", launch->ranks, "--oversubscribe", "--bind-to", "none"};
        for (size_t i = 0; i < sizeof MPIRUN / sizeof MPIRUN[0]; i++) launch->arguments[n++] = MPIRUN[i];
    }
    /* In the child too, /proc/self/exe is this very binary; mpirun's is another. */
    const char *file = program;
    if (program == NULL && parallel) {
        ssize_t length = readlink("/proc/self/exe", launch->self, sizeof launch->self - 1);
        if (length <= 0) return status_errno(errno, "read", "/proc/self/exe");
        file = launch->self;
    } else if (program == NULL) {
        file = "/proc/self/exe";
    }
    launch->arguments[n++] = program == NULL && !parallel ? "zeroth" : file;
    launch->arguments[n++] = "attempt";
    launch->arguments[n++] = task->spec;
    launch->arguments[n] = NULL;
    launch->file = parallel ? launch->arguments[0] : file;
    return OK;
}

/* Ours go first, and theirs of the same name are left out. */
static Status fill_environment(Launch *launch, const ExecutorTask *task, const char *gpus)
{
    size_t count = 0, n = 0;
    while (environ[count] != NULL) count++;
    launch->environment = memory_alloc((count + MAX_SETTINGS) * sizeof *launch->environment);
    if (launch->environment == NULL) return status_no_memory(count * sizeof *launch->environment, "an environment");
    snprintf(launch->threads, sizeof launch->threads, "OMP_NUM_THREADS=%d", task->resources.threads);
    launch->environment[n++] = launch->threads;
    if (gpus != NULL) {
        snprintf(launch->gpus, sizeof launch->gpus, "CUDA_VISIBLE_DEVICES=%s", gpus);
        launch->environment[n++] = launch->gpus;
    }
    /* OpenMP's threads spin while they wait, which on a machine with other work costs many times what they gain. */
    if (task->resources.threads > 1 && getenv("OMP_WAIT_POLICY") == NULL)
        launch->environment[n++] = (char *)"OMP_WAIT_POLICY=passive";
    if (task->resources.ranks > 1) {
        launch->environment[n++] = (char *)"OMPI_ALLOW_RUN_AS_ROOT=1";
        launch->environment[n++] = (char *)"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1";
    }
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], "OMP_NUM_THREADS=", 16) != 0 &&
            (gpus == NULL || strncmp(environ[i], "CUDA_VISIBLE_DEVICES=", 21) != 0))
            launch->environment[n++] = environ[i];
    launch->environment[n] = NULL;
    return OK;
}

/* posix_spawn, not fork: a fork copies the page tables of a runner that may hold a plan of 100 000 jobs. */
static int spawn(const Launch *launch, int log, const sigset_t *mask, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int failed = posix_spawn_file_actions_init(&files);
    if (failed != 0) return failed;
    failed = posix_spawnattr_init(&attributes);
    if (failed == 0) {
        failed = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (failed == 0) failed = posix_spawn_file_actions_adddup2(&files, log, STDOUT_FILENO);
        if (failed == 0) failed = posix_spawn_file_actions_adddup2(&files, log, STDERR_FILENO);
        if (failed == 0) failed = posix_spawnattr_setsigmask(&attributes, mask);
        if (failed == 0) failed = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
        if (failed == 0)
            failed = posix_spawnp(pid, launch->file, &files, &attributes, (char *const *)(uintptr_t)launch->arguments,
                                  launch->environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

Status launch_attempt(const char *program, const ExecutorTask *task, const char *gpus, const sigset_t *mask, pid_t *pid)
{
    Launch launch = {0};
    TRY(fill_arguments(&launch, program, task));
    TRY(fill_environment(&launch, task, gpus));
    int log = open(task->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    Status status = log < 0 ? status_errno(errno, "open", task->log) : OK;
    if (status == OK) {
        int failed = spawn(&launch, log, mask, pid);
        if (failed == ENOENT && task->resources.ranks > 1)
            status = status_error(STATUS_NOT_FOUND, "mpirun is not in PATH: install Open MPI, or set run.ranks=1");
        else if (failed != 0)
            status = status_errno(failed, "start", launch.file);
    }
    if (log >= 0) close(log);
    memory_free(launch.environment);
    return status;
}
