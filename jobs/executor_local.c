/* Attempts as child processes of this one. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "framework/memory.h"
#include "jobs/executor.h"

extern char **environ;

typedef struct Child {
    pid_t pid;
    int cores;
    bool parallel;
} Child;

typedef struct Local {
    Executor base;
    char *program;
    bool itself; /* the program is this one */
    int cores, used, reserved;
    Child *children;
    int count, capacity;
    sigset_t mask_before;
} Local;

static int usable_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

static bool has_room(Executor *executor, const ExecutorTask *task)
{
    const Local *local = (const Local *)executor;
    int busy = local->used + local->reserved;
    return busy == 0 || busy + resources_cores(&task->resources) <= local->cores;
}

/* Starting ---------------------------------------------------------------------- */

#define MAX_ARGUMENTS 16

typedef struct Launch {
    const char *file; /* to execute; arguments[0] is its name */
    const char *arguments[MAX_ARGUMENTS];
    char **environment;
    char threads[40], ranks[16];
    int log;
} Launch;

static void fill_arguments(Launch *launch, const Local *local, const ExecutorTask *task)
{
    int n = 0;
    if (task->resources.ranks > 1) {
        snprintf(launch->ranks, sizeof launch->ranks, "%d", task->resources.ranks);
        const char *const MPIRUN[] = {"mpirun", "-n", launch->ranks, "--oversubscribe", "--bind-to", "none"};
        for (size_t i = 0; i < sizeof MPIRUN / sizeof MPIRUN[0]; i++) launch->arguments[n++] = MPIRUN[i];
    }
    launch->arguments[n++] = local->program;
    launch->arguments[n++] = "attempt";
    launch->arguments[n++] = task->spec;
    launch->arguments[n] = NULL;
    /* This very binary, though it may have been rebuilt and replaced since the run began. */
    launch->file = local->itself && task->resources.ranks == 1 ? "/proc/self/exe" : launch->arguments[0];
}

/* Ours go first: getenv finds the first of two. */
static Status fill_environment(Launch *launch, const ExecutorTask *task)
{
    size_t count = 0, n = 0;
    while (environ[count] != NULL) count++;
    launch->environment = memory_alloc((count + 8) * sizeof *launch->environment);
    if (launch->environment == NULL) return status_no_memory(count * sizeof *launch->environment, "an environment");
    snprintf(launch->threads, sizeof launch->threads, "OMP_NUM_THREADS=%d", task->resources.threads);
    launch->environment[n++] = launch->threads;
    /* OpenMP's threads spin while they wait, which on a machine with other work costs many times what they gain. */
    if (task->resources.threads > 1 && getenv("OMP_WAIT_POLICY") == NULL)
        launch->environment[n++] = (char *)"OMP_WAIT_POLICY=passive";
    if (task->resources.ranks > 1) {
        launch->environment[n++] = (char *)"OMPI_ALLOW_RUN_AS_ROOT=1";
        launch->environment[n++] = (char *)"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1";
    }
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], "OMP_NUM_THREADS=", 16) != 0) launch->environment[n++] = environ[i];
    launch->environment[n] = NULL;
    return OK;
}

/* In the child: only async-signal-safe calls. A session of its own, so that
 * Ctrl-C and the end of the terminal reach the runner alone. */
static void __attribute__((noreturn)) become(const Launch *launch, const sigset_t *mask)
{
    setsid();
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0) dup2(null, STDIN_FILENO);
    dup2(launch->log, STDOUT_FILENO);
    dup2(launch->log, STDERR_FILENO);
    sigprocmask(SIG_SETMASK, mask, NULL);
    environ = launch->environment;
    execvp(launch->file, (char *const *)(uintptr_t)launch->arguments);
    static const char MESSAGE[] = "zeroth: cannot start the program of this attempt\n";
    (void)!write(STDERR_FILENO, MESSAGE, sizeof MESSAGE - 1);
    _exit(127);
}

static Status start(Executor *executor, const ExecutorTask *task, int64_t *id)
{
    Local *local = (Local *)executor;
    if (local->count == local->capacity) {
        int capacity = local->capacity > 0 ? local->capacity * 2 : 8;
        Child *children = memory_resize(local->children, (size_t)capacity * sizeof *children);
        if (children == NULL) return status_no_memory((size_t)capacity * sizeof *children, "a table of processes");
        local->children = children;
        local->capacity = capacity;
    }
    Launch launch = {0};
    fill_arguments(&launch, local, task);
    TRY(fill_environment(&launch, task));
    launch.log = open(task->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    Status status = launch.log < 0 ? status_errno(errno, "open", task->log) : OK;
    pid_t pid = -1;
    if (status == OK) {
        pid = fork();
        if (pid == 0) become(&launch, &local->mask_before);
        if (pid < 0) status = status_errno(errno, "start a process for", task->spec);
    }
    if (launch.log >= 0) close(launch.log);
    memory_free(launch.environment);
    TRY(status);
    Child *child = &local->children[local->count++];
    *child = (Child){.pid = pid, .cores = resources_cores(&task->resources), .parallel = task->resources.ranks > 1};
    local->used += child->cores;
    *id = pid;
    return OK;
}

/* Waiting -------------------------------------------------------------------------- */

/* Children that have ended; only our own are asked for, so that others' keep. */
static int collect(Local *local, ExecutorEnd *ends, int capacity)
{
    int found = 0;
    for (int i = 0; i < local->count && found < capacity;) {
        int how = 0;
        pid_t result = waitpid(local->children[i].pid, &how, WNOHANG);
        if (result == 0 || (result < 0 && errno == EINTR)) {
            i++;
            continue;
        }
        ExecutorEnd *end = &ends[found++];
        *end = (ExecutorEnd){.id = local->children[i].pid, .exit_code = -1};
        if (result > 0 && WIFEXITED(how)) end->exit_code = WEXITSTATUS(how);
        if (result > 0 && WIFSIGNALED(how)) end->signal = WTERMSIG(how);
        /* mpirun tells of a rank's signal by 128 + its number. */
        if (local->children[i].parallel && end->exit_code > 128 && end->exit_code < 160) {
            end->signal = end->exit_code - 128;
            end->exit_code = -1;
        }
        local->used -= local->children[i].cores;
        local->children[i] = local->children[--local->count];
    }
    return found;
}

static Status wait_for_end(Executor *executor, double seconds, ExecutorEnd *ends, int capacity, int *count)
{
    Local *local = (Local *)executor;
    *count = collect(local, ends, capacity);
    if (*count > 0 || seconds <= 0) return OK;
    /* SIGCHLD is blocked, so one that came since stays pending and ends the wait at once. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    struct timespec timeout = {.tv_sec = (time_t)seconds,
                               .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    if (sigtimedwait(&set, NULL, &timeout) < 0 && errno != EAGAIN && errno != EINTR)
        return status_errno(errno, "wait for", "child processes");
    *count = collect(local, ends, capacity);
    return OK;
}

static void stop(Executor *executor, int64_t id, bool hard)
{
    const Local *local = (const Local *)executor;
    for (int i = 0; i < local->count; i++) {
        const Child *child = &local->children[i];
        if (child->pid != (pid_t)id) continue;
        /* mpirun passes SIGUSR1 on to its ranks, and takes SIGTERM as an order to kill them. */
        if (child->parallel)
            kill(child->pid, hard ? SIGTERM : SIGUSR1);
        else
            kill(child->pid, hard ? SIGKILL : SIGTERM);
    }
}

static void reserve(Executor *executor, const JobResources *resources)
{
    ((Local *)executor)->reserved += resources_cores(resources);
}

static void release(Executor *executor, const JobResources *resources)
{
    ((Local *)executor)->reserved -= resources_cores(resources);
}

static void destroy(Executor *executor)
{
    Local *local = (Local *)executor;
    if (local == NULL) return;
    sigprocmask(SIG_SETMASK, &local->mask_before, NULL);
    memory_free(local->children);
    memory_free(local->program);
    memory_free(local);
}

Status executor_local_create(const char *program, int cores, Executor **executor)
{
    *executor = NULL;
    Local *local = memory_alloc_zero(1, sizeof *local);
    if (local == NULL) return status_no_memory(sizeof *local, "an executor");
    char self[4096];
    if (program == NULL) {
        ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
        if (length <= 0) {
            memory_free(local);
            return status_errno(errno, "read", "/proc/self/exe");
        }
        self[length] = '\0';
        program = self;
    }
    local->base = (Executor){.name = "local", .has_room = has_room, .start = start, .wait = wait_for_end, .stop = stop,
                             .reserve = reserve, .release = release, .destroy = destroy};
    local->itself = program == self;
    local->cores = cores > 0 ? cores : usable_cores();
    local->program = memory_copy_string(program);
    if (local->program == NULL) {
        memory_free(local);
        return status_no_memory(strlen(program), "an executor");
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &local->mask_before);
    *executor = &local->base;
    return OK;
}
