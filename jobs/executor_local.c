/* Attempts as child processes of this one, packed by cores, memory and GPUs. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "framework/log.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/executor.h"
#include "jobs/launch.h"
#include "jobs/machine.h"

/* What one attempt takes. */
typedef struct Share {
    int cores;
    double memory;
    uint64_t gpus;    /* bits of the machine's devices */
    bool alone;
} Share;

/* A child, or an attempt that an earlier runner left. */
typedef struct Occupant {
    int64_t pid;
    bool child, parallel, told_hard;
    Share share;
} Occupant;

typedef struct Local {
    Executor base;
    char *program;    /* NULL: this one */
    int cores, gpus;
    double memory;    /* 0: not counted */
    int devices[MACHINE_MAX_GPUS]; /* their numbers; a share's bits count these */
    Occupant *occupants;
    int count, capacity;
    int64_t memory_kills;
    bool warned;
    sigset_t mask_before;
} Local;

/* Packing ----------------------------------------------------------------------- */

static Share used_share(const Local *local)
{
    Share used = {0};
    for (int i = 0; i < local->count; i++) {
        used.cores += local->occupants[i].share.cores;
        used.memory += local->occupants[i].share.memory;
        used.gpus |= local->occupants[i].share.gpus;
        used.alone |= local->occupants[i].share.alone;
    }
    return used;
}

static bool is_too_large(const Local *local, const JobResources *resources)
{
    return resources_cores(resources) > local->cores || resources->gpus > local->gpus ||
           (local->memory > 0 && resources->memory > local->memory);
}

static bool has_room(Executor *executor, const ExecutorTask *task)
{
    const Local *local = (const Local *)executor;
    const JobResources *wanted = &task->resources;
    if (local->count == 0) return true;
    Share used = used_share(local);
    if (task->alone || used.alone || is_too_large(local, wanted)) return false;
    return used.cores + resources_cores(wanted) <= local->cores &&
           (local->memory <= 0 || used.memory + wanted->memory <= local->memory) &&
           __builtin_popcountll(used.gpus) + wanted->gpus <= local->gpus;
}

static Share take_share(const Local *local, const ExecutorTask *task)
{
    uint64_t used = used_share(local).gpus, taken = 0;
    for (int device = 0, left = task->resources.gpus; device < local->gpus && left > 0; device++)
        if ((used & UINT64_C(1) << device) == 0) {
            taken |= UINT64_C(1) << device;
            left--;
        }
    return (Share){.cores = resources_cores(&task->resources), .memory = task->resources.memory, .gpus = taken,
                   .alone = task->alone || is_too_large(local, &task->resources)};
}

static void warn_of_size(Local *local, const JobResources *resources)
{
    if (local->warned || !is_too_large(local, resources)) return;
    local->warned = true;
    char wanted[16], given[16];
    text_bytes(resources->memory, wanted, sizeof wanted);
    text_bytes(local->memory, given, sizeof given);
    LOG_WARNING("a job wants %d cores, %s of memory and %d GPUs, where there are %d, %s and %d: it runs alone",
                resources_cores(resources), wanted, resources->gpus, local->cores, given, local->gpus);
}

/* The value of CUDA_VISIBLE_DEVICES; false where the machine has no GPU to assign. */
static bool name_devices(const Local *local, uint64_t gpus, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (int device = 0; device < local->gpus && used < size; device++)
        if ((gpus & UINT64_C(1) << device) != 0)
            used += (size_t)snprintf(out + used, size - used, "%s%d", used > 0 ? "," : "", local->devices[device]);
    return local->gpus > 0;
}

static Status make_occupant(Local *local, Occupant **occupant)
{
    if (local->count == local->capacity) {
        int capacity = local->capacity > 0 ? local->capacity * 2 : 8;
        Occupant *occupants = memory_resize(local->occupants, (size_t)capacity * sizeof *occupants);
        if (occupants == NULL) return status_no_memory((size_t)capacity * sizeof *occupants, "a table of processes");
        local->occupants = occupants;
        local->capacity = capacity;
    }
    *occupant = &local->occupants[local->count];
    return OK;
}

static Status start(Executor *executor, const ExecutorTask *task, int64_t *id)
{
    Local *local = (Local *)executor;
    Occupant *occupant = NULL;
    char gpus[MACHINE_MAX_GPUS * 6];
    TRY(make_occupant(local, &occupant));
    warn_of_size(local, &task->resources);
    Share share = take_share(local, task);
    bool assigned = name_devices(local, share.gpus, gpus, sizeof gpus);
    pid_t pid;
    TRY(launch_attempt(local->program, task, assigned ? gpus : NULL, &local->mask_before, &pid));
    *occupant = (Occupant){.pid = pid, .child = true, .parallel = task->resources.ranks > 1, .share = share};
    local->count++;
    *id = pid;
    return OK;
}

/* Attempts of an earlier runner --------------------------------------------------- */

/* The devices that a living process was given, from its environment. */
static uint64_t devices_of(const Local *local, int64_t pid)
{
    char path[64], text[65536];
    uint64_t found = 0;
    snprintf(path, sizeof path, "/proc/%lld/environ", (long long)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) return 0;
    size_t bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[bytes] = '\0';
    for (const char *at = text; at < text + bytes; at += strlen(at) + 1) {
        if (strncmp(at, "CUDA_VISIBLE_DEVICES=", 21) != 0) continue;
        for (const char *number = at + 20; number != NULL && number[1] != '\0'; number = strchr(number + 1, ','))
            for (int device = 0; device < local->gpus; device++)
                if (strtol(number + 1, NULL, 10) == local->devices[device]) found |= UINT64_C(1) << device;
        break;
    }
    return found;
}

static void reserve(Executor *executor, const ExecutorTask *task, int64_t pid)
{
    Local *local = (Local *)executor;
    Occupant *occupant = NULL;
    Status status = make_occupant(local, &occupant);
    if (status != OK) { /* then the machine is a little fuller than it was meant to be */
        log_status(LOG_LEVEL_WARNING, status);
        return;
    }
    Share share = take_share(local, task);
    if (task->resources.gpus > 0 && pid > 0) share.gpus = devices_of(local, pid);
    *occupant = (Occupant){.pid = pid, .share = share};
    local->count++;
}

static void release(Executor *executor, const ExecutorTask *task, int64_t pid)
{
    Local *local = (Local *)executor;
    for (int i = 0; i < local->count; i++) {
        const Occupant *occupant = &local->occupants[i];
        if (occupant->child || occupant->pid != pid || occupant->share.cores != resources_cores(&task->resources)) continue;
        local->occupants[i] = local->occupants[--local->count];
        return;
    }
}

/* Waiting -------------------------------------------------------------------------- */

/* Whether the kernel has killed for want of memory since the last look. */
static bool memory_was_short(Local *local)
{
    int64_t before = local->memory_kills;
    local->memory_kills = machine_memory_kills();
    return before >= 0 && local->memory_kills > before;
}

static void describe_end(Local *local, const Occupant *child, int how, ExecutorEnd *end)
{
    if (WIFEXITED(how)) end->exit_code = WEXITSTATUS(how);
    if (WIFSIGNALED(how)) end->signal = WTERMSIG(how);
    /* mpirun tells of a rank's signal by 128 + its number. */
    if (child->parallel && end->exit_code > 128 && end->exit_code < 160) {
        end->signal = end->exit_code - 128;
        end->exit_code = -1;
    }
    if (end->signal == SIGKILL && memory_was_short(local)) end->told = CAUSE_OUT_OF_MEMORY;
}

/* Children that have ended; only our own are asked for, so that others' keep. */
static int collect(Local *local, ExecutorEnd *ends, int capacity)
{
    int found = 0;
    for (int i = 0; i < local->count && found < capacity;) {
        const Occupant *occupant = &local->occupants[i];
        int how = 0;
        struct rusage usage = {0};
        pid_t result = occupant->child ? wait4((pid_t)occupant->pid, &how, WNOHANG, &usage) : 0;
        if (result == 0 || (result < 0 && errno == EINTR)) {
            i++;
            continue;
        }
        ExecutorEnd *end = &ends[found++];
        *end = (ExecutorEnd){.id = occupant->pid, .exit_code = -1, .peak_memory = (int64_t)usage.ru_maxrss * 1024};
        if (result > 0) describe_end(local, occupant, how, end);
        local->occupants[i] = local->occupants[--local->count];
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
    Local *local = (Local *)executor;
    for (int i = 0; i < local->count; i++) {
        Occupant *child = &local->occupants[i];
        if (!child->child || child->pid != id) continue;
        /* mpirun passes SIGUSR1 on to its ranks, and takes SIGTERM as an order to kill them. One that does not heed it
         * is killed at the second time; Open MPI's ranks end by themselves when they miss it. */
        bool through_mpirun = child->parallel && !child->told_hard;
        if (hard)
            kill((pid_t)child->pid, through_mpirun ? SIGTERM : SIGKILL);
        else
            kill((pid_t)child->pid, child->parallel ? SIGUSR1 : SIGTERM);
        child->told_hard |= hard;
    }
}

/* Whole -------------------------------------------------------------------------------- */

static void destroy(Executor *executor)
{
    Local *local = (Local *)executor;
    if (local == NULL) return;
    sigprocmask(SIG_SETMASK, &local->mask_before, NULL);
    memory_free(local->occupants);
    memory_free(local->program);
    memory_free(local);
}

static void find_limits(Local *local, const LocalLimits *limits)
{
    local->cores = limits->cores > 0 ? limits->cores : machine_cores();
    local->memory = limits->memory > 0 ? limits->memory : machine_memory();
    local->gpus = machine_gpus(local->devices);
    /* More than were found: their numbers go on from there, for who knows better. */
    for (int device = local->gpus; device < limits->gpus && device < MACHINE_MAX_GPUS; device++)
        local->devices[device] = device > 0 ? local->devices[device - 1] + 1 : 0;
    if (limits->gpus >= 0) local->gpus = limits->gpus < MACHINE_MAX_GPUS ? limits->gpus : MACHINE_MAX_GPUS;
    local->memory_kills = machine_memory_kills();
}

Status executor_local_create(const char *program, const LocalLimits *limits, Executor **executor)
{
    *executor = NULL;
    Local *local = memory_alloc_zero(1, sizeof *local);
    if (local == NULL) return status_no_memory(sizeof *local, "an executor");
    local->base = (Executor){.name = "local", .has_room = has_room, .start = start, .wait = wait_for_end, .stop = stop,
                             .reserve = reserve, .release = release, .destroy = destroy};
    local->program = program != NULL ? memory_copy_string(program) : NULL;
    if (program != NULL && local->program == NULL) {
        memory_free(local);
        return status_no_memory(strlen(program), "an executor");
    }
    find_limits(local, limits);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &local->mask_before);
    *executor = &local->base;
    return OK;
}
