#include "jobs/slurm_task.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "jobs/artifact.h"
#include "jobs/attempt.h"
#include "jobs/attempt_prepare.h"
#include "jobs/slurm_command.h"
#include "jobs/slurm_record.h"
#include "jobs/sync.h"

#define LAG_SECONDS 60 /* a wave's files may reach a node so much later than its jobs do */

/* The only things that a handler touches. */
static volatile sig_atomic_t asked_to_stop, asked_to_checkpoint;
static volatile sig_atomic_t child; /* process id; 0: none */
static volatile sig_atomic_t child_is_launcher;

/* mpirun and srun pass SIGUSR1 on to their ranks, and take SIGTERM as an order to kill them. */
static void on_signal(int number)
{
    if (number == SIGUSR1) asked_to_checkpoint = 1;
    else asked_to_stop = 1;
    int saved = errno;
    if (child > 0) kill((pid_t)child, child_is_launcher ? SIGUSR1 : SIGTERM);
    errno = saved;
}

static void catch_signals(void)
{
    static const int SIGNALS[] = {SIGUSR1, SIGTERM, SIGINT};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof SIGNALS / sizeof SIGNALS[0]; i++) sigaction(SIGNALS[i], &action, NULL);
    signal(SIGHUP, SIG_IGN);
}

typedef struct Task {
    SlurmWave wave;
    char *work;
    StageLookup lookup;
    const SlurmWaveTask *own;
    int64_t job;
    int restart;
    double memory;
    char node[HOST_NAME_MAX + 1];
} Task;

static Status no_memory(void)
{
    return status_no_memory(0, "a task");
}

/* The cluster's word on this task ------------------------------------------------------ */

static int64_t variable(const char *name, int64_t otherwise)
{
    const char *text = getenv(name);
    int64_t value;
    return text != NULL && parse_integer(text, &value) ? value : otherwise;
}

static void read_environment(Task *task)
{
    task->job = variable("SLURM_ARRAY_JOB_ID", variable("SLURM_JOB_ID", 0));
    task->restart = (int)variable("SLURM_RESTART_COUNT", 0);
    double megabytes = (double)variable("SLURM_MEM_PER_NODE", 0);
    if (megabytes <= 0)
        megabytes = (double)variable("SLURM_MEM_PER_CPU", 0) * (double)task->wave.ranks * (double)task->wave.threads;
    task->memory = megabytes * (1 << 20);
    const char *node = getenv("SLURMD_NODENAME");
    if (node != NULL) snprintf(task->node, sizeof task->node, "%s", node);
    else gethostname(task->node, sizeof task->node - 1);
}

/* On a network file system the node may see the wave a while after the submitter wrote it. */
static Status read_wave(const char *directory, SlurmWave *wave)
{
    for (int waited = 0;; waited++) {
        Status status = slurm_wave_read(directory, wave);
        if (status_code(status) != STATUS_NOT_FOUND || waited == LAG_SECONDS) return status;
        status_free(status);
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    }
}

/* WAVE is WORK/slurm/waves/TOKEN. */
static Status find_work(const char *directory, char **work)
{
    *work = memory_copy_string(directory);
    if (*work == NULL) return no_memory();
    for (int up = 0; up < 3; up++) {
        char *slash = strrchr(*work, '/');
        if (slash == NULL || slash == *work) return status_error(STATUS_USAGE, "%s: no wave of a work directory", directory);
        *slash = '\0';
    }
    return OK;
}

/* One attempt ---------------------------------------------------------------------------- */

/* spec.json of a new attempt: what was recorded when the job was submitted, with the attempt's name. */
static Status prepare(const Task *task, const char *key, int *number, char **directory)
{
    char *run = run_directory(task->work, key), *from = run != NULL ? path_join(run, JOB_SPEC_NAME) : NULL, *path = NULL;
    AttemptSpec *spec = NULL;
    *directory = NULL;
    Status status = from == NULL ? no_memory() : attempt_spec_read(from, &spec);
    if (status == OK) status = attempt_make_directory(task->work, key, number, directory);
    if (status == OK && (path = path_join(*directory, SPEC_NAME)) == NULL) status = no_memory();
    if (status == OK) {
        memory_free(spec->name);
        spec->name = memory_copy_string(path_name(*directory));
        status = spec->name == NULL ? no_memory() : attempt_spec_write(spec, path);
    }
    SlurmStart start = {.index = task->own->index, .job = task->job, .restart = task->restart, .memory = task->memory};
    memcpy(start.token, task->wave.token, sizeof start.token);
    snprintf(start.node, sizeof start.node, "%.71s", task->node);
    if (status == OK) status = slurm_start_write(*directory, &start);
    attempt_spec_destroy(spec);
    memory_free(path);
    memory_free(from);
    memory_free(run);
    return status;
}

#define MAX_ARGUMENTS 16

typedef struct Launch {
    const char *arguments[MAX_ARGUMENTS];
    char ranks[16], threads[32], mpi[64];
} Launch;

static void fill_launch(const Task *task, const char *spec, Launch *launch)
{
    const SlurmWave *wave = &task->wave;
    int n = 0;
    snprintf(launch->ranks, sizeof launch->ranks, "%d", wave->ranks);
    snprintf(launch->threads, sizeof launch->threads, "--cpus-per-task=%d", wave->threads);
    snprintf(launch->mpi, sizeof launch->mpi, "--mpi=%s", wave->mpi);
    if (wave->ranks > 1 && strcmp(wave->mpi, "mpirun") == 0) {
        const char *const MPIRUN[] = {"mpirun", "-n", launch->ranks, "--bind-to", "none"};
        for (size_t i = 0; i < sizeof MPIRUN / sizeof MPIRUN[0]; i++) launch->arguments[n++] = MPIRUN[i];
    } else if (wave->ranks > 1) {
        const char *const SRUN[] = {"srun", launch->mpi, "--ntasks", launch->ranks, launch->threads, "--kill-on-bad-exit=1"};
        for (size_t i = 0; i < sizeof SRUN / sizeof SRUN[0]; i++) launch->arguments[n++] = SRUN[i];
    }
    launch->arguments[n++] = wave->program;
    launch->arguments[n++] = "attempt";
    launch->arguments[n++] = spec;
    launch->arguments[n] = NULL;
}

static void set_environment(const Task *task)
{
    char threads[16];
    snprintf(threads, sizeof threads, "%d", task->wave.threads);
    setenv("OMP_NUM_THREADS", threads, 1);
    setenv("OMP_WAIT_POLICY", "passive", 0);
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 0);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 0);
}

/* Starts the attempt with signals blocked, so that none falls between the fork and the note of its process. */
static Status start(const Task *task, const Launch *launch, const char *log)
{
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return status_errno(errno, "open", log);
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY);
        if (null >= 0) dup2(null, STDIN_FILENO);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        sigprocmask(SIG_SETMASK, &before, NULL);
        execvp(launch->arguments[0], (char *const *)(uintptr_t)launch->arguments);
        fprintf(stderr, "zeroth: cannot start %s: %s\n", launch->arguments[0], strerror(errno));
        _exit(127);
    }
    int cause = errno;
    child = pid > 0 ? pid : 0;
    child_is_launcher = task->wave.ranks > 1;
    /* Asked already, before there was a child to tell. */
    bool stop = asked_to_stop || asked_to_checkpoint;
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(fd);
    if (pid < 0) return status_errno(cause, "start", launch->arguments[0]);
    if (stop) kill(pid, task->wave.ranks > 1 ? SIGUSR1 : SIGTERM);
    return OK;
}

static void wait_for_child(const Task *task, SlurmExit *end)
{
    int how = 0;
    while (waitpid((pid_t)child, &how, 0) < 0 && errno == EINTR) {}
    child = 0;
    end->exit_code = WIFEXITED(how) ? WEXITSTATUS(how) : -1;
    end->signal = WIFSIGNALED(how) ? WTERMSIG(how) : 0;
    /* Launchers tell of a rank's signal by 128 + its number. */
    if (task->wave.ranks > 1 && end->exit_code > 128 && end->exit_code < 160) {
        end->signal = end->exit_code - 128;
        end->exit_code = -1;
    }
}

/* Attempts of this task in a row, up to `number`, that got no further than what came before them. Those that Slurm
 * ended early on its own account are passed over. */
static Status count_stuck(const Task *task, const char *key, int number, bool keeps, SlurmExit *end)
{
    int64_t best = -1;
    end->stuck = 0;
    for (int i = 1; i <= number; i++) {
        SlurmRecord record;
        TRY(slurm_record_read(task->work, key, i, &record));
        int64_t reached = attempt_reached(&record.summary, keeps);
        bool ours = record.started && strcmp(record.start.token, task->wave.token) == 0;
        bool stopped = i == number ? end->stopped : !record.ended || record.exit.stopped;
        if (reached > best) end->stuck = 0;
        else if (ours && !stopped) end->stuck++;
        if (reached > best) best = reached;
    }
    end->reached = best;
    return OK;
}

static bool interrupted(const SlurmExit *end)
{
    return end->exit_code == status_exit_code(STATUS_INTERRUPTED);
}

/* Sends this task back to the queue. Written down before: Slurm ends this process at once. */
static Status requeue(const Task *task, const char *directory, SlurmExit *end)
{
    char id[48];
    end->requeued = true;
    TRY(slurm_exit_write(directory, end));
    TRY(slurm_task_end_write(&task->wave, task->own->index,
                             &(SlurmTaskEnd){.restart = task->restart, .code = end->exit_code, .requeued = true}));
    snprintf(id, sizeof id, "%lld_%lld", (long long)task->job, (long long)task->own->index);
    const char *const argv[] = {"scontrol", "requeue", id, NULL};
    SlurmOutput output;
    Status status = slurm_command(argv, task->wave.timeout, &output);
    if (status == OK && output.code == 0) LOG_INFO("back to the queue: scontrol requeue %s", id);
    else if (status == OK) status = slurm_refusal("scontrol requeue", &output);
    slurm_output_free(&output);
    if (status == OK) return OK;
    log_status(LOG_LEVEL_WARNING, status_wrap(status, "not requeued, and left to the next sync"));
    end->requeued = false;
    return slurm_exit_write(directory, end);
}

static Status run_attempt(const Task *task, const char *key, SlurmExit *end)
{
    int number;
    char *directory, *spec = NULL, *log = NULL;
    Status status = prepare(task, key, &number, &directory);
    if (status == OK) {
        spec = path_join(directory, SPEC_NAME);
        log = path_join(directory, LOG_NAME);
        if (spec == NULL || log == NULL) status = no_memory();
    }
    Launch launch;
    if (status == OK) {
        fill_launch(task, spec, &launch);
        LOG_INFO("%s %.10s, attempt %s on %s; log: %s", stage_name(task->wave.stage), key, path_name(directory), task->node, log);
        status = start(task, &launch, log);
    }
    if (status == OK) {
        wait_for_child(task, end);
        end->stopped = asked_to_stop;
        const Stage *stage = task->lookup(task->wave.stage);
        status = count_stuck(task, key, number, stage != NULL && stage->save != NULL, end);
    }
    if (status == OK) {
        bool again = interrupted(end) && task->wave.requeue && !end->stopped && end->stuck < task->wave.attempts;
        status = again ? requeue(task, directory, end) : slurm_exit_write(directory, end);
    }
    memory_free(log);
    memory_free(spec);
    memory_free(directory);
    return status;
}

/* Whole ---------------------------------------------------------------------------------------- */

/* The first job that fails gives its exit code to the task; one that stopped ends the task. */
static Status run_jobs(const Task *task, SlurmTaskEnd *last)
{
    for (uint32_t i = 0; i < task->own->count && !asked_to_stop && !asked_to_checkpoint; i++) {
        const char *key = task->wave.keys[task->own->first + i];
        Status done = artifact_check(task->work, key, false);
        bool finished = done == OK;
        status_free(done);
        if (finished) continue;
        SlurmExit end = {.exit_code = -1};
        TRY(run_attempt(task, key, &end));
        int code = end.signal != 0 ? 128 + end.signal : end.exit_code;
        if (code != 0 && last->code == 0) last->code = code;
        last->requeued = end.requeued;
        if (interrupted(&end)) {
            last->code = end.exit_code;
            break;
        }
    }
    if ((asked_to_stop || asked_to_checkpoint) && last->code == 0 && task->own->count > 1)
        last->code = status_exit_code(STATUS_INTERRUPTED); /* between two jobs of a pack */
    return OK;
}

static Status verdict(const SlurmTaskEnd *last)
{
    if (last->code == 0) return OK;
    if (last->code == status_exit_code(STATUS_INTERRUPTED))
        return status_error(STATUS_INTERRUPTED, "stopped with a checkpoint%s", last->requeued ? ", and back to the queue" : "");
    return status_error(STATUS_CHILD, "a job of this task failed with exit code %d: see its log", last->code);
}

static Status run_task(Task *task, int64_t index, const char *code)
{
    for (size_t i = 0; i < task->wave.count; i++)
        if (task->wave.tasks[i].index == index) task->own = &task->wave.tasks[i];
    if (task->own == NULL)
        return status_error(STATUS_USAGE, "%s: has no task %lld", task->wave.directory, (long long)index);
    read_environment(task);
    set_environment(task);
    SlurmTaskEnd last = {.restart = task->restart};
    Status status = run_jobs(task, &last);
    if (status == OK && last.requeued) return verdict(&last);
    if (status != OK) last.code = status_exit_code(status_code(status));
    status = status_first(status, slurm_task_end_write(&task->wave, index, &last));
    if (task->wave.resubmit && !asked_to_stop) {
        SyncOptions options = {.lookup = task->lookup, .code = code, .submit = true};
        SyncSummary summary;
        Status synced = sync_run(task->work, &options, &summary);
        if (synced != OK) log_status(LOG_LEVEL_WARNING, status_wrap(synced, "sync"));
    }
    return status != OK ? status : verdict(&last);
}

Status slurm_task_run(const char *wave_directory, int64_t index, StageLookup lookup, const char *code)
{
    Task task = {.lookup = lookup};
    catch_signals();
    Status status = read_wave(wave_directory, &task.wave);
    if (status == OK) status = find_work(wave_directory, &task.work);
    if (status == OK) status = run_task(&task, index, code);
    memory_free(task.work);
    slurm_wave_free(&task.wave);
    return status;
}
