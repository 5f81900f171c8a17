/* The checkpoints of a job, over all its attempts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/artifact.h"
#include "jobs/attempt_private.h"

#define PREFIX "checkpoint-"
#define SUFFIX ".h5"
#define KEPT 2

char *checkpoint_path(const char *directory, int64_t step)
{
    return memory_format("%s/" PREFIX "%010lld" SUFFIX, directory, (long long)step);
}

static bool parse_name(const char *name, int64_t *step)
{
    size_t length = strlen(name), prefix = strlen(PREFIX), suffix = strlen(SUFFIX);
    char digits[24];
    if (length <= prefix + suffix || length - prefix - suffix >= sizeof digits) return false;
    if (strncmp(name, PREFIX, prefix) != 0 || strcmp(name + length - suffix, SUFFIX) != 0) return false;
    memcpy(digits, name + prefix, length - prefix - suffix);
    digits[length - prefix - suffix] = '\0';
    return parse_integer(digits, step) && *step >= 0;
}

static int newest_first(const void *a, const void *b)
{
    const CheckpointFile *x = a, *y = b;
    if (x->step != y->step) return x->step > y->step ? -1 : 1;
    return -strcmp(x->path, y->path); /* the later attempt first */
}

static Status list_attempt(const char *directory, CheckpointFile **files, size_t *count)
{
    char **names;
    size_t name_count;
    Status status = directory_list(directory, &names, &name_count);
    if (status != OK) { /* not a directory, or gone: nothing there */
        status_free(status);
        return OK;
    }
    for (size_t i = 0; i < name_count && status == OK; i++) {
        int64_t step;
        if (!parse_name(names[i], &step)) continue;
        CheckpointFile *larger = memory_resize(*files, (*count + 1) * sizeof *larger);
        if (larger != NULL) *files = larger;
        char *path = larger != NULL ? path_join(directory, names[i]) : NULL;
        if (path == NULL)
            status = status_no_memory(sizeof *larger, "a list of checkpoints");
        else
            (*files)[(*count)++] = (CheckpointFile){.path = path, .step = step};
    }
    names_free(names, name_count);
    return status;
}

/* Calls `visit` for every attempt directory of the job. */
static Status each_attempt(const char *work, const char *key,
                           Status (*visit)(const char *directory, CheckpointFile **files, size_t *count),
                           CheckpointFile **files, size_t *count)
{
    char *run = run_directory(work, key), **names = NULL;
    size_t name_count = 0;
    if (run == NULL) return status_no_memory(0, "a path");
    Status status = directory_list(run, &names, &name_count);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        status = OK;
    }
    for (size_t i = 0; i < name_count && status == OK; i++) {
        char *directory = path_join(run, names[i]);
        status = directory != NULL ? visit(directory, files, count) : status_no_memory(0, "a path");
        memory_free(directory);
    }
    names_free(names, name_count);
    memory_free(run);
    return status;
}

Status checkpoints_list(const char *work, const char *key, CheckpointFile **files, size_t *count)
{
    *files = NULL;
    *count = 0;
    Status status = each_attempt(work, key, list_attempt, files, count);
    if (status != OK) {
        checkpoints_free(*files, *count);
        *files = NULL;
        *count = 0;
        return status;
    }
    if (*count > 1) qsort(*files, *count, sizeof **files, newest_first);
    return OK;
}

void checkpoints_free(CheckpointFile *files, size_t count)
{
    for (size_t i = 0; i < count; i++) memory_free(files[i].path);
    memory_free(files);
}

Status checkpoints_prune(const char *work, const char *key)
{
    CheckpointFile *files;
    size_t count;
    TRY(checkpoints_list(work, key, &files, &count));
    Status status = OK;
    for (size_t i = KEPT; i < count && status == OK; i++) status = file_remove(files[i].path);
    checkpoints_free(files, count);
    return status;
}

Status checkpoint_set_aside(const char *path)
{
    char *aside = memory_format("%s.damaged", path);
    if (aside == NULL) return status_no_memory(strlen(path), "a path");
    Status status = rename(path, aside) == 0 ? OK : file_remove(path);
    memory_free(aside);
    return status;
}

/* Checkpoints, damaged ones and half-made output of one attempt. */
static Status clear_attempt(const char *directory, CheckpointFile **files, size_t *count)
{
    (void)files;
    (void)count;
    char **names;
    size_t name_count;
    Status status = directory_list(directory, &names, &name_count);
    if (status != OK) {
        status_free(status);
        return OK;
    }
    for (size_t i = 0; i < name_count && status == OK; i++) {
        bool leftover = strncmp(names[i], PREFIX, strlen(PREFIX)) == 0 || strncmp(names[i], "." PREFIX, strlen("." PREFIX)) == 0;
        if (!leftover && strcmp(names[i], OUTPUT_NAME) != 0) continue;
        char *path = path_join(directory, names[i]);
        status = path != NULL ? directory_remove(path) : status_no_memory(0, "a path");
        memory_free(path);
    }
    names_free(names, name_count);
    return status;
}

Status attempts_clear(const char *work, const char *key)
{
    return each_attempt(work, key, clear_attempt, NULL, NULL);
}
