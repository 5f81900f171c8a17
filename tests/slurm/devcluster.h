/* A Slurm cluster of four nodes on this machine (slurm/devcluster), which goes when the program ends, and shell commands
 * to ask and disturb it. */
#ifndef TESTS_SLURM_DEVCLUSTER_H
#define TESTS_SLURM_DEVCLUSTER_H

#include <stdarg.h>
#include <time.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "tests/test.h"

/* Seconds that anything may take: Slurm looks at time limits but once in a while, and a loaded machine is slow. */
#define PATIENCE 300.0

static char *cluster_directory;
static pid_t cluster_owner;

/* Shell ------------------------------------------------------------------------ */

/* The standard output of a shell command that must succeed; freed by the caller. */
__attribute__((format(printf, 1, 2))) static inline char *shell(const char *format, ...)
{
    char command[4096];
    Text out = {0};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    FILE *pipe = popen(command, "r");
    CHECK(pipe != NULL);
    char block[4096];
    for (size_t got; (got = fread(block, 1, sizeof block, pipe)) > 0;) text_append_bytes(&out, block, got);
    int how = pclose(pipe);
    if (how != 0) TEST_FAIL("'%s' ended with %d: %s", command, how, text_string(&out));
    char *copy = memory_copy_string(text_string(&out));
    text_free(&out);
    while (copy[0] != '\0' && copy[strlen(copy) - 1] == '\n') copy[strlen(copy) - 1] = '\0';
    return copy;
}

#define SHELL(...) memory_free(shell(__VA_ARGS__))

/* The cluster -------------------------------------------------------------------- */

static inline void cluster_end(void)
{
    char command[512];
    if (getpid() != cluster_owner || cluster_directory == NULL) return;
    snprintf(command, sizeof command, "slurm/devcluster down --dir %s/cluster", cluster_directory);
    if (system(command) != 0) fprintf(stderr, "the cluster of %s did not go down\n", cluster_directory);
    if (getenv("E2E_KEEP") == NULL) status_free(directory_remove(cluster_directory));
    memory_free(cluster_directory);
    cluster_directory = NULL;
}

/* Starts it; skips the tests where there can be none. */
static inline void cluster_need(const char *settings)
{
    if (getuid() != 0) SKIP("a cluster of one's own takes root");
    if (system("command -v slurmctld >/dev/null 2>&1 && command -v munged >/dev/null 2>&1") != 0)
        SKIP("Slurm is not installed (make deps)");
    const char *base = getenv("TMPDIR");
    cluster_directory = memory_format("%s/zeroth-slurm-XXXXXX", base != NULL && base[0] != '\0' ? base : "/tmp");
    CHECK(cluster_directory != NULL && mkdtemp(cluster_directory) != NULL);
    cluster_owner = getpid();
    atexit(cluster_end);
    SHELL("slurm/devcluster up --dir %s/cluster %s 2>&1", cluster_directory, settings);
    char *conf = memory_format("%s/cluster/slurm.conf", cluster_directory);
    setenv("SLURM_CONF", conf, 1);
    memory_free(conf);
}

static inline double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline void pause_shortly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
}

/* Waits until a shell condition holds. */
__attribute__((format(printf, 1, 2))) static inline void await_shell(const char *format, ...)
{
    char command[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    for (double end = seconds_now() + PATIENCE; seconds_now() < end; pause_shortly())
        if (system(command) == 0) return;
    TEST_FAIL("in %.0f seconds it did not come to '%s'", PATIENCE, command);
}

#endif
