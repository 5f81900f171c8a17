/* zeroth logs [STUDY.yaml] JOB: the log of a job's last attempt. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "commands/study_command.h"
#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/artifact.h"
#include "jobs/attempt.h"

/* The one job below WORK/runs whose key begins so. */
static Status find_job(const char *work, const char *prefix, char key[HASH_HEX_SIZE])
{
    char *runs = path_join(work, "runs"), **names = NULL;
    size_t count = 0, found = 0;
    if (runs == NULL) return status_no_memory(0, "a path");
    Status status = directory_list(runs, &names, &count);
    memory_free(runs);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        return status_error(STATUS_NOT_FOUND, "%s: no jobs there: run a study first, or name its STUDY.yaml or --work", work);
    }
    TRY(status);
    for (size_t i = 0; i < count; i++)
        if (strncmp(names[i], prefix, strlen(prefix)) == 0 && strlen(names[i]) < HASH_HEX_SIZE && found++ == 0)
            strcpy(key, names[i]);
    names_free(names, count);
    if (found == 0) return status_error(STATUS_NOT_FOUND, "no job's key begins with '%s' in %s: see 'zeroth status --all'",
                                          prefix, work);
    if (found > 1) return status_error(STATUS_USAGE, "'%s' begins the keys of %zu jobs: give more digits", prefix, found);
    return OK;
}

static Status find_log(const char *work, const char *key, char **path)
{
    char *run = run_directory(work, key), **names = NULL;
    size_t count = 0;
    int last = 0;
    if (run == NULL) return status_no_memory(0, "a path");
    Status status = directory_list(run, &names, &count);
    memory_free(run);
    TRY(status);
    for (size_t i = 0; i < count; i++) {
        int64_t number;
        if (parse_integer(names[i], &number) && number > last && number < INT_MAX) last = (int)number;
    }
    names_free(names, count);
    char *directory = attempt_directory(work, key, last);
    *path = directory != NULL ? path_join(directory, LOG_NAME) : NULL;
    memory_free(directory);
    if (*path == NULL) return status_no_memory(0, "a path");
    return last > 0 ? OK : status_error(STATUS_NOT_FOUND, "job %s has no attempt yet", key);
}

/* Where the last `lines` lines begin. */
static off_t tail_start(int fd, int64_t lines)
{
    off_t at = lseek(fd, 0, SEEK_END);
    char block[4096];
    bool at_end = true;
    while (at > 0) {
        off_t from = at > (off_t)sizeof block ? at - (off_t)sizeof block : 0;
        ssize_t got = pread(fd, block, (size_t)(at - from), from);
        if (got <= 0) return 0;
        for (ssize_t i = got - 1; i >= 0; i--) {
            if (block[i] == '\n' && !at_end && --lines <= 0) return from + i + 1;
            at_end = false;
        }
        at = from;
    }
    return 0;
}

/* Copies to standard output; with `follow`, until the job's process has ended. */
static Status show(const char *path, const char *work, const char *key, int64_t lines, bool follow)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return status_errno(errno, "open", path);
    if (lines > 0) lseek(fd, tail_start(fd, lines), SEEK_SET);
    else lseek(fd, 0, SEEK_SET);
    Status status = OK;
    for (bool live = follow; status == OK;) {
        char block[65536];
        ssize_t got = read(fd, block, sizeof block);
        if (got < 0) status = status_errno(errno, "read", path);
        if (got > 0) {
            fwrite(block, 1, (size_t)got, stdout);
            continue;
        }
        fflush(stdout);
        if (!live) break;
        nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
        if (status == OK) status = attempt_is_live(work, key, &live, NULL); /* and once more after its end */
    }
    close(fd);
    return status;
}

int command_logs(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    bool follow = false;
    int64_t lines = 0;
    const Flag flags[] = {{"--follow", "-f", FLAG_SWITCH, &follow}, {"--lines", "-n", FLAG_INTEGER, &lines}};
    char key[HASH_HEX_SIZE], *path = NULL, *study = NULL, *of_study = NULL;
    Status status = flags_parse(flags, 2, &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 1, 2, "JOB");
    if (status == OK && arguments.count == 1 && is_study_file(arguments.items[0]))
        status = status_error(STATUS_USAGE, "logs: JOB is missing: 'zeroth status --all %s' lists them", arguments.items[0]);
    const char *work = default_work(&common);
    if (status == OK && arguments.count == 2) {
        status = find_study(&common, &arguments, arguments.items[0], &study, &of_study);
        work = of_study;
    }
    if (status == OK) status = find_job(work, arguments.items[arguments.count - 1], key);
    if (status == OK) status = find_log(work, key, &path);
    if (status == OK) status = show(path, work, key, lines, follow);
    memory_free(path);
    memory_free(study);
    memory_free(of_study);
    arguments_free(&arguments);
    return command_end(status);
}
