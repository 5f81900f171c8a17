/* Attempts as steps of the Slurm allocation that this process runs in: srun
 * starts each on a node of it that has room, whichever node this is. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "framework/memory.h"
#include "jobs/executor.h"
#include "jobs/slurm_command.h"

extern char **environ;

typedef struct Node {
    char name[72];
    int cores, used;
} Node;

/* What an attempt takes of one node. */
typedef struct Part {
    int node, cores;
} Part;

typedef struct Step {
    int64_t pid;          /* of srun; of the attempt, where an earlier runner left it */
    bool child;
    Part *parts;
    int part_count;
} Step;

typedef struct Allocation {
    Executor base;
    char *program, *mpi;
    Node *nodes;
    int node_count, cores;
    Step *steps;
    int count, capacity;
    sigset_t mask_before;
} Allocation;

/* Placing -------------------------------------------------------------------------- */

/* Ranks go to the first nodes with room for one; an attempt of one rank that fits nowhere waits for an empty node. The
 * parts are freed by memory_free. False where there is no room. */
static bool place(const Allocation *allocation, const JobResources *wanted, Part **parts, int *part_count)
{
    int left = wanted->ranks, running = allocation->count;
    *part_count = 0;
    *parts = memory_alloc((size_t)allocation->node_count * sizeof **parts);
    for (int i = 0; *parts != NULL && i < allocation->node_count && left > 0; i++) {
        const Node *node = &allocation->nodes[i];
        int ranks = (node->cores - node->used) / wanted->threads;
        /* More threads than any node has: alone on one. */
        if (ranks == 0 && node->used == 0 && wanted->threads > node->cores) ranks = 1;
        if (ranks > left) ranks = left;
        if (ranks == 0) continue;
        (*parts)[(*part_count)++] = (Part){.node = i, .cores = ranks * wanted->threads};
        left -= ranks;
    }
    /* More ranks than the allocation has room for: alone, on all of it, several to a core. */
    bool oversized = left > 0 && resources_cores(wanted) > allocation->cores && running == 0 && *part_count > 0;
    if (*parts != NULL && (left == 0 || oversized)) return true;
    memory_free(*parts);
    *parts = NULL;
    return false;
}

static bool has_room(Executor *executor, const ExecutorTask *task)
{
    const Allocation *allocation = (const Allocation *)executor;
    Part *parts;
    int count;
    if (task->alone && allocation->count > 0) return false;
    bool fits = place(allocation, &task->resources, &parts, &count);
    memory_free(parts);
    return fits;
}

static void give_back(Allocation *allocation, int index)
{
    Step *step = &allocation->steps[index];
    for (int i = 0; i < step->part_count; i++) allocation->nodes[step->parts[i].node].used -= step->parts[i].cores;
    memory_free(step->parts);
    *step = allocation->steps[--allocation->count];
}

static Status add_step(Allocation *allocation, Part *parts, int part_count, Step **out)
{
    if (allocation->count == allocation->capacity) {
        int capacity = allocation->capacity > 0 ? allocation->capacity * 2 : 8;
        Step *steps = memory_resize(allocation->steps, (size_t)capacity * sizeof *steps);
        if (steps == NULL) return status_no_memory((size_t)capacity * sizeof *steps, "a table of steps");
        allocation->steps = steps;
        allocation->capacity = capacity;
    }
    *out = &allocation->steps[allocation->count++];
    **out = (Step){.parts = parts, .part_count = part_count};
    for (int i = 0; i < part_count; i++) allocation->nodes[parts[i].node].used += parts[i].cores;
    return OK;
}

/* Starting ----------------------------------------------------------------------------- */

#define MAX_ARGUMENTS 24

typedef struct StepLaunch {
    const char *arguments[MAX_ARGUMENTS];
    char nodes[32], ranks[32], threads[48], mpi[64], gpus[32], environment_threads[32];
    Text list;
    char **environment;
} StepLaunch;

static void fill_arguments(StepLaunch *launch, const Allocation *allocation, const ExecutorTask *task, const Part *parts,
                           int part_count)
{
    const JobResources *wanted = &task->resources;
    bool crowded = resources_cores(wanted) > allocation->cores;
    snprintf(launch->nodes, sizeof launch->nodes, "--nodes=%d", part_count);
    snprintf(launch->ranks, sizeof launch->ranks, "--ntasks=%d", wanted->ranks);
    snprintf(launch->threads, sizeof launch->threads, "--cpus-per-task=%d", crowded ? 1 : wanted->threads);
    /* One rank does without MPI. */
    snprintf(launch->mpi, sizeof launch->mpi, "--mpi=%s", wanted->ranks > 1 ? allocation->mpi : "none");
    snprintf(launch->gpus, sizeof launch->gpus, "--gpus=%d", wanted->gpus);
    text_append(&launch->list, "--nodelist=");
    for (int i = 0; i < part_count; i++)
        text_format(&launch->list, "%s%s", i > 0 ? "," : "", allocation->nodes[parts[i].node].name);
    int n = 0;
    /* --mem=0: of the allocation's memory a step takes what it needs; else the first step would take all of it. */
    const char *const SRUN[] = {"srun", launch->nodes, text_string(&launch->list), launch->ranks, launch->threads,
                                launch->mpi, "--mem=0", "--kill-on-bad-exit=1", "--job-name=zeroth",
                                crowded ? "--overcommit" : "--exact"};
    for (size_t i = 0; i < sizeof SRUN / sizeof SRUN[0]; i++) launch->arguments[n++] = SRUN[i];
    if (wanted->gpus > 0) launch->arguments[n++] = launch->gpus;
    launch->arguments[n++] = allocation->program;
    launch->arguments[n++] = "attempt";
    launch->arguments[n++] = task->spec;
    launch->arguments[n] = NULL;
}

/* What the allocation's own shape would have srun do: every step says for itself. */
static bool is_shape(const char *variable)
{
    static const char *const NAMES[] = {"SLURM_NTASKS=", "SLURM_NPROCS=", "SLURM_NTASKS_PER_NODE=", "SLURM_CPUS_PER_TASK=",
                                        "SLURM_MEM_PER_NODE=", "SLURM_MEM_PER_CPU=", "SLURM_MEM_PER_GPU=", "SLURM_HOSTFILE=",
                                        "SLURM_DISTRIBUTION=", "SLURM_GPUS=", "SLURM_JOB_NAME=", "SLURM_NNODES=",
                                        "OMP_NUM_THREADS="};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (strncmp(variable, NAMES[i], strlen(NAMES[i])) == 0) return true;
    return false;
}

static Status fill_environment(StepLaunch *launch, const ExecutorTask *task)
{
    size_t count = 0, n = 0;
    while (environ[count] != NULL) count++;
    launch->environment = memory_alloc((count + 8) * sizeof *launch->environment);
    if (launch->environment == NULL) return status_no_memory(count, "an environment");
    snprintf(launch->environment_threads, sizeof launch->environment_threads, "OMP_NUM_THREADS=%d", task->resources.threads);
    launch->environment[n++] = launch->environment_threads;
    if (getenv("OMP_WAIT_POLICY") == NULL) launch->environment[n++] = (char *)(uintptr_t)"OMP_WAIT_POLICY=passive";
    launch->environment[n++] = (char *)(uintptr_t)"OMPI_ALLOW_RUN_AS_ROOT=1";
    launch->environment[n++] = (char *)(uintptr_t)"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1";
    for (size_t i = 0; i < count; i++)
        if (!is_shape(environ[i])) launch->environment[n++] = environ[i];
    launch->environment[n] = NULL;
    return OK;
}

/* In the child: only async-signal-safe calls. A session of its own, so that Ctrl-C reaches the runner alone. */
static void __attribute__((noreturn)) become(const StepLaunch *launch, int log, const sigset_t *mask)
{
    static const char MESSAGE[] = "zeroth: cannot start srun\n";
    setsid();
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0) dup2(null, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    sigprocmask(SIG_SETMASK, mask, NULL);
    environ = launch->environment;
    execvp(launch->arguments[0], (char *const *)(uintptr_t)launch->arguments);
    (void)!write(STDERR_FILENO, MESSAGE, sizeof MESSAGE - 1);
    _exit(127);
}

static Status spawn(const Allocation *allocation, const ExecutorTask *task, const Part *parts, int part_count, int64_t *pid)
{
    StepLaunch launch = {0};
    fill_arguments(&launch, allocation, task, parts, part_count);
    Status status = launch.list.failed ? status_no_memory(0, "a list of nodes") : fill_environment(&launch, task);
    int log = status == OK ? open(task->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    if (status == OK && log < 0) status = status_errno(errno, "open", task->log);
    if (status == OK) {
        pid_t child = fork();
        if (child == 0) become(&launch, log, &allocation->mask_before);
        if (child < 0) status = status_errno(errno, "start a process for", task->spec);
        *pid = child;
    }
    if (log >= 0) close(log);
    memory_free(launch.environment);
    text_free(&launch.list);
    return status;
}

static Status start(Executor *executor, const ExecutorTask *task, int64_t *id)
{
    Allocation *allocation = (Allocation *)executor;
    Part *parts;
    int part_count;
    Step *step = NULL;
    if (!place(allocation, &task->resources, &parts, &part_count))
        return status_error(STATUS_INTERNAL, "%s: started without room for it", task->spec);
    Status status = add_step(allocation, parts, part_count, &step);
    if (status != OK) {
        memory_free(parts);
        return status;
    }
    status = spawn(allocation, task, parts, part_count, id);
    if (status != OK) {
        give_back(allocation, allocation->count - 1);
        return status;
    }
    step->pid = *id;
    step->child = true;
    return OK;
}

/* Waiting --------------------------------------------------------------------------------- */

static int collect(Allocation *allocation, ExecutorEnd *ends, int capacity)
{
    int found = 0;
    for (int i = 0; i < allocation->count && found < capacity;) {
        const Step *step = &allocation->steps[i];
        int how = 0;
        pid_t result = step->child ? waitpid((pid_t)step->pid, &how, WNOHANG) : 0;
        if (result == 0 || (result < 0 && errno == EINTR)) {
            i++;
            continue;
        }
        ExecutorEnd *end = &ends[found++];
        *end = (ExecutorEnd){.id = step->pid, .exit_code = -1};
        if (result > 0 && WIFEXITED(how)) end->exit_code = WEXITSTATUS(how);
        if (result > 0 && WIFSIGNALED(how)) end->signal = WTERMSIG(how);
        /* srun tells of a task's signal by 128 + its number. */
        if (end->exit_code > 128 && end->exit_code < 160) {
            end->signal = end->exit_code - 128;
            end->exit_code = -1;
        }
        give_back(allocation, i);
    }
    return found;
}

static Status wait_for_end(Executor *executor, double seconds, ExecutorEnd *ends, int capacity, int *count)
{
    Allocation *allocation = (Allocation *)executor;
    *count = collect(allocation, ends, capacity);
    if (*count > 0 || seconds <= 0) return OK;
    /* SIGCHLD is blocked, so one that came since stays pending and ends the wait at once. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    struct timespec timeout = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    if (sigtimedwait(&set, NULL, &timeout) < 0 && errno != EAGAIN && errno != EINTR)
        return status_errno(errno, "wait for", "child processes");
    *count = collect(allocation, ends, capacity);
    return OK;
}

/* srun passes SIGUSR1 on to its tasks, and takes SIGTERM as an order to end the step. */
static void stop(Executor *executor, int64_t id, bool hard)
{
    const Allocation *allocation = (const Allocation *)executor;
    for (int i = 0; i < allocation->count; i++)
        if (allocation->steps[i].child && allocation->steps[i].pid == id) kill((pid_t)id, hard ? SIGTERM : SIGUSR1);
}

/* Where an attempt of an earlier runner is, nobody here knows: the first nodes with room stand for it. */
static void reserve(Executor *executor, const ExecutorTask *task, int64_t pid)
{
    Allocation *allocation = (Allocation *)executor;
    Part *parts;
    int count;
    Step *step;
    if (!place(allocation, &task->resources, &parts, &count)) return;
    Status status = add_step(allocation, parts, count, &step);
    if (status == OK) step->pid = pid;
    else memory_free(parts);
    status_free(status);
}

static void release(Executor *executor, const ExecutorTask *task, int64_t pid)
{
    Allocation *allocation = (Allocation *)executor;
    (void)task;
    for (int i = 0; i < allocation->count; i++) {
        if (allocation->steps[i].child || allocation->steps[i].pid != pid) continue;
        give_back(allocation, i);
        return;
    }
}

/* Making ------------------------------------------------------------------------------------- */

static void destroy(Executor *executor)
{
    Allocation *allocation = (Allocation *)executor;
    if (allocation == NULL) return;
    sigprocmask(SIG_SETMASK, &allocation->mask_before, NULL);
    while (allocation->count > 0) give_back(allocation, allocation->count - 1);
    memory_free(allocation->steps);
    memory_free(allocation->nodes);
    memory_free(allocation->program);
    memory_free(allocation->mpi);
    memory_free(allocation);
}

/* "2(x3),4": processors of each node, in the order of the node list. */
static Status read_cores(Allocation *allocation, const char *text)
{
    int node = 0;
    for (const char *at = text; *at != '\0' && node < allocation->node_count;) {
        char *end;
        long cores = strtol(at, &end, 10), times = 1;
        if (end == at || cores < 1) break;
        if (strncmp(end, "(x", 2) == 0) times = strtol(end + 2, &end, 10);
        at = end + strspn(end, "),");
        for (; times > 0 && node < allocation->node_count; times--) {
            allocation->nodes[node++].cores = (int)cores;
            allocation->cores += (int)cores;
        }
    }
    return node == allocation->node_count
               ? OK : status_error(STATUS_INVALID, "SLURM_JOB_CPUS_PER_NODE: '%s' does not tell of %d nodes", text, allocation->node_count);
}

/* One name a line, as scontrol prints them. */
static Status read_nodes(Allocation *allocation, const char *names)
{
    for (const char *line = names; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        Node *nodes = memory_resize(allocation->nodes, (size_t)(allocation->node_count + 1) * sizeof *nodes);
        if (nodes == NULL) return status_no_memory(0, "the nodes of an allocation");
        allocation->nodes = nodes;
        nodes[allocation->node_count] = (Node){0};
        snprintf(nodes[allocation->node_count++].name, sizeof nodes->name, "%.*s", (int)length, line);
        line += length + (line[length] == '\n');
    }
    return allocation->node_count > 0 ? OK : status_error(STATUS_CHILD, "scontrol names no node of this allocation");
}

static Status ask_nodes(Allocation *allocation)
{
    const char *cores = getenv("SLURM_JOB_CPUS_PER_NODE");
    const char *const argv[] = {"scontrol", "show", "hostnames", getenv("SLURM_JOB_NODELIST"), NULL};
    if (cores == NULL) return status_error(STATUS_NOT_FOUND, "SLURM_JOB_CPUS_PER_NODE is not set, though SLURM_JOB_NODELIST is");
    SlurmOutput output;
    Status status = slurm_command(argv, 60, &output);
    if (status == OK && output.code != 0) status = slurm_refusal("scontrol show hostnames", &output);
    if (status == OK) status = read_nodes(allocation, text_string(&output.out));
    slurm_output_free(&output);
    return status == OK ? read_cores(allocation, cores) : status;
}

static char *own_program(void)
{
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0) return NULL;
    self[length] = '\0';
    return memory_copy_string(self);
}

bool executor_allocation_present(void)
{
    return getenv("SLURM_JOB_ID") != NULL && getenv("SLURM_JOB_NODELIST") != NULL;
}

Status executor_allocation_create(const char *program, const char *mpi, Executor **executor)
{
    *executor = NULL;
    Allocation *allocation = memory_alloc_zero(1, sizeof *allocation);
    if (allocation == NULL) return status_no_memory(sizeof *allocation, "an executor");
    allocation->base = (Executor){.name = "allocation", .has_room = has_room, .start = start, .wait = wait_for_end,
                                  .stop = stop, .reserve = reserve, .release = release, .destroy = destroy};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &allocation->mask_before);
    allocation->program = program != NULL ? memory_copy_string(program) : own_program();
    allocation->mpi = memory_copy_string(strcmp(mpi, "mpirun") != 0 ? mpi : "pmix");
    Status status = allocation->program == NULL || allocation->mpi == NULL ? status_no_memory(0, "an executor")
                                                                           : ask_nodes(allocation);
    if (status == OK)
        *executor = &allocation->base;
    else
        destroy(&allocation->base);
    return status;
}
