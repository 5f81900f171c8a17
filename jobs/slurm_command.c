#include "jobs/slurm_command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "framework/memory.h"

extern char **environ;

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

bool slurm_is_private_variable(const char *variable)
{
    static const char *const PREFIXES[] = {"SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCONTROL_", "SCANCEL_", "SINFO_",
                                           "SALLOC_", "SRUN_", "SLURMD_"};
    if (strncmp(variable, "SLURM_CONF=", 11) == 0) return false;
    for (size_t i = 0; i < sizeof PREFIXES / sizeof PREFIXES[0]; i++)
        if (strncmp(variable, PREFIXES[i], strlen(PREFIXES[i])) == 0) return true;
    return false;
}

/* The caller's environment without what is meant for Slurm's programs, and with messages in English. */
static char **clean_environment(void)
{
    size_t count = 0, n = 0;
    while (environ[count] != NULL) count++;
    char **clean = memory_alloc((count + 2) * sizeof *clean);
    if (clean == NULL) return NULL;
    clean[n++] = (char *)(uintptr_t)"LC_ALL=C";
    for (size_t i = 0; i < count; i++)
        if (!slurm_is_private_variable(environ[i]) && strncmp(environ[i], "LC_ALL=", 7) != 0) clean[n++] = environ[i];
    clean[n] = NULL;
    return clean;
}

/* In the child: only async-signal-safe calls. A group of its own, so that Ctrl-C ends no sbatch half-way. */
static void __attribute__((noreturn)) become(const char *const *argv, char **environment, const int out[2], const int err[2])
{
    sigset_t none;
    sigemptyset(&none);
    setpgid(0, 0);
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0) dup2(null, STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    environ = environment;
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(errno == ENOENT ? 127 : 126);
}

/* Reads both pipes until they are closed or time is up; true where they are closed. */
static bool drain(int out, int err, double deadline, SlurmOutput *output)
{
    struct pollfd fds[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
    Text *texts[2] = {&output->out, &output->err};
    int open_count = 2;
    while (open_count > 0) {
        double left = deadline - now_seconds();
        if (left <= 0) return false;
        int ready = poll(fds, 2, left > 1 ? 1000 : (int)(left * 1000) + 1);
        if (ready < 0 && errno != EINTR) return false;
        for (int i = 0; ready > 0 && i < 2; i++) {
            if (fds[i].fd < 0 || fds[i].revents == 0) continue;
            char block[16384];
            ssize_t got = read(fds[i].fd, block, sizeof block);
            if (got > 0) {
                text_append_bytes(texts[i], block, (size_t)got);
            } else if (got == 0 || errno != EINTR) {
                fds[i].fd = -1;
                open_count--;
            }
        }
    }
    return true;
}

/* The child's end; killed where it does not come in time. */
static bool reap(pid_t pid, bool in_time, double deadline, int *how)
{
    for (;;) {
        pid_t got = waitpid(pid, how, in_time ? WNOHANG : 0);
        if (got == pid) return in_time;
        if (got < 0 && errno != EINTR) {
            *how = 0;
            return in_time;
        }
        if (in_time && now_seconds() >= deadline) in_time = false;
        if (!in_time) kill(-pid, SIGKILL);
        else nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

static Status run_child(const char *const *argv, char **environment, double timeout, SlurmOutput *output)
{
    int out[2], err[2], how = 0;
    if (pipe2(out, O_CLOEXEC) != 0) return status_errno(errno, "make a pipe for", argv[0]);
    if (pipe2(err, O_CLOEXEC) != 0) {
        int cause = errno;
        close(out[0]);
        close(out[1]);
        return status_errno(cause, "make a pipe for", argv[0]);
    }
    pid_t pid = fork();
    if (pid == 0) become(argv, environment, out, err);
    int cause = errno;
    close(out[1]);
    close(err[1]);
    double deadline = now_seconds() + timeout;
    bool in_time = true;
    if (pid > 0) {
        setpgid(pid, pid); /* whichever of the two comes first */
        in_time = drain(out[0], err[0], deadline, output);
        if (!in_time) kill(-pid, SIGKILL);
        in_time = reap(pid, in_time, deadline, &how);
    }
    close(out[0]);
    close(err[0]);
    if (pid < 0) return status_errno(cause, "start", argv[0]);
    output->code = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
    if (!in_time)
        return status_error(STATUS_CHILD, "%s did not answer in %.0f seconds: is the cluster's controller (slurmctld) well?",
                            argv[0], timeout);
    if (output->code == 127 && output->out.length == 0)
        return status_error(STATUS_NOT_FOUND, "%s: not found: Slurm's programs must be in PATH (on a cluster: log in to a "
                            "login node, or load its Slurm module)", argv[0]);
    if (output->out.failed || output->err.failed) return status_no_memory(output->out.length, argv[0]);
    return OK;
}

Status slurm_command(const char *const *argv, double timeout, SlurmOutput *output)
{
    *output = (SlurmOutput){.code = -1};
    char **environment = clean_environment();
    if (environment == NULL) return status_no_memory(0, "an environment");
    Status status = run_child(argv, environment, timeout, output);
    memory_free(environment);
    return status;
}

void slurm_output_free(SlurmOutput *output)
{
    text_free(&output->out);
    text_free(&output->err);
    *output = (SlurmOutput){0};
}

Status slurm_refusal(const char *program, const SlurmOutput *output)
{
    /* Slurm repeats the gist in its last line. */
    const char *text = text_string(&output->err);
    size_t end = output->err.length;
    while (end > 0 && text[end - 1] == '\n') end--;
    size_t begin = end;
    while (begin > 0 && text[begin - 1] != '\n') begin--;
    const char *line = text + begin, *error = "error: ";
    const char *after = strstr(line, error);
    if (after != NULL && after < text + end) line = after + strlen(error);
    int length = (int)(text + end - line);
    if (length == 0) return status_error(STATUS_CHILD, "%s ended with code %d and said nothing", program, output->code);
    return status_error(STATUS_CHILD, "%s: %.*s", program, length, line);
}
