/* The processes of a run, and the events that its attempts have told: the
 * clock of tests that kill at moments which do not depend on the machine. */
#ifndef TESTS_COMMANDS_PROCESSES_H
#define TESTS_COMMANDS_PROCESSES_H

#include "jobs/attempt.h"
#include "jobs/events.h"
#include "tests/commands/e2e.h"

#define MAX_PROCESSES 256

/* Living processes below `root`, deepest last. */
static inline int descendants(pid_t root, pid_t *found)
{
    int count = 0;
    char **names;
    size_t name_count;
    CHECK_OK(directory_list("/proc", &names, &name_count));
    for (int from = -1; from < count; from++) {
        pid_t parent = from < 0 ? root : found[from];
        for (size_t i = 0; i < name_count && count < MAX_PROCESSES; i++) {
            int64_t pid;
            char path[64], line[512] = "";
            if (!parse_integer(names[i], &pid)) continue;
            snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
            FILE *file = fopen(path, "r");
            if (file == NULL) continue; /* it ended meanwhile */
            bool got = fgets(line, sizeof line, file) != NULL;
            fclose(file);
            const char *after_name = got ? strrchr(line, ')') : NULL;
            int ppid = 0;
            if (after_name != NULL && sscanf(after_name, ") %*c %d", &ppid) == 1 && ppid == parent) found[count++] = (pid_t)pid;
        }
    }
    names_free(names, name_count);
    return count;
}

static inline bool is_worker(pid_t pid)
{
    char path[64], line[4096];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) return false;
    size_t bytes = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[bytes] = '\0';
    return memmem(line, bytes, "\0attempt", 9) != NULL;
}

/* How many events all attempts together have told: the clock of these tests. */
static inline int count_events(const char *work)
{
    int count = 0;
    char **jobs = NULL, **attempts = NULL;
    size_t job_count = 0, attempt_number = 0;
    const char *runs = text("%s/runs", work);
    if (!is_directory(runs)) return 0;
    CHECK_OK(directory_list(runs, &jobs, &job_count));
    for (size_t j = 0; j < job_count; j++) {
        char path[1024], *data;
        size_t bytes;
        snprintf(path, sizeof path, "%s/%s", runs, jobs[j]);
        if (!is_directory(path)) continue;
        CHECK_OK(directory_list(path, &attempts, &attempt_number));
        for (size_t a = 0; a < attempt_number; a++) {
            snprintf(path, sizeof path, "%s/%s/%s/" EVENTS_NAME, runs, jobs[j], attempts[a]);
            if (!file_exists(path)) continue;
            CHECK_OK(file_read(path, 0, &data, &bytes));
            for (size_t i = 0; i < bytes; i++) count += data[i] == '\n';
            memory_free(data);
        }
        names_free(attempts, attempt_number);
    }
    names_free(jobs, job_count);
    return count;
}

typedef struct Moment {
    const char *work;
    int events;
} Moment;

static inline bool has_come(void *context)
{
    const Moment *moment = context;
    return count_events(moment->work) >= moment->events;
}

#endif
