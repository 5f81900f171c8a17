#include "jobs/control.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/memory.h"

static const char *const VERBS[] = {
#define X(verb, name) [verb] = name,
    CONTROL_VERBS(X)
#undef X
};
static_assert(sizeof VERBS / sizeof VERBS[0] == CONTROL_VERB_COUNT, "every verb has a name");

const char *control_verb_name(ControlVerb verb)
{
    return verb < CONTROL_VERB_COUNT ? VERBS[verb] : "?";
}

/* Splits "TARGET.VERB" in place: a study's name may hold points, a verb none. */
static bool parse_name(char *name, ControlRequest *request)
{
    char *point = strrchr(name, '.');
    if (name[0] == '.' || point == NULL) return false;
    for (int verb = 0; verb < CONTROL_VERB_COUNT; verb++) {
        if (strcmp(point + 1, VERBS[verb]) != 0) continue;
        *point = '\0';
        *request = (ControlRequest){.verb = (ControlVerb)verb, .target = name};
        return true;
    }
    return false;
}

static int by_target(const void *a, const void *b)
{
    const ControlRequest *x = a, *y = b;
    int order = strcmp(x->target, y->target);
    return order != 0 ? order : (int)x->verb - (int)y->verb;
}

Status control_read(const char *work, ControlRequests *requests)
{
    *requests = (ControlRequests){0};
    char *directory = path_join(work, CONTROL_DIRECTORY);
    if (directory == NULL) return status_no_memory(strlen(work), "a path");
    Status status = directory_list(directory, &requests->names, &requests->name_count);
    memory_free(directory);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        return OK;
    }
    TRY(status);
    if (requests->name_count == 0) return OK;
    requests->items = memory_alloc(requests->name_count * sizeof *requests->items);
    if (requests->items == NULL) {
        control_free(requests);
        return status_no_memory(sizeof *requests->items, "a list of requests");
    }
    for (size_t i = 0; i < requests->name_count; i++)
        if (parse_name(requests->names[i], &requests->items[requests->count])) requests->count++;
    qsort(requests->items, requests->count, sizeof *requests->items, by_target);
    return OK;
}

void control_free(ControlRequests *requests)
{
    names_free(requests->names, requests->name_count);
    memory_free(requests->items);
    *requests = (ControlRequests){0};
}

static bool has_target(const ControlRequests *requests, ControlVerb verb, const char *target)
{
    ControlRequest wanted = {.verb = verb, .target = target};
    return requests->count > 0 &&
           bsearch(&wanted, requests->items, requests->count, sizeof wanted, by_target) != NULL;
}

bool control_asks(const ControlRequests *requests, ControlVerb verb, const char *key, const char *study)
{
    char target[160];
    if (key != NULL && has_target(requests, verb, key)) return true;
    if (study == NULL) return false;
    snprintf(target, sizeof target, "@%s", study);
    return has_target(requests, verb, target);
}

bool control_equal(const ControlRequests *a, const ControlRequests *b)
{
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (by_target(&a->items[i], &b->items[i]) != 0) return false;
    return true;
}

static char *request_path(const char *work, ControlVerb verb, const char *key, const char *study)
{
    return memory_format("%s/" CONTROL_DIRECTORY "/%s%s.%s", work, key != NULL ? "" : "@", key != NULL ? key : study,
                         VERBS[verb]);
}

Status control_set(const char *work, ControlVerb verb, const char *key, const char *study)
{
    char host[128] = "unknown-host", when[32] = "", line[256];
    if (gethostname(host, sizeof host) == 0) host[sizeof host - 1] = '\0';
    time_t now = time(NULL);
    struct tm broken;
    if (localtime_r(&now, &broken) != NULL) strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &broken);
    int length = snprintf(line, sizeof line, "user %ld, process %d on %s, %s\n", (long)getuid(), (int)getpid(), host, when);
    char *directory = path_join(work, CONTROL_DIRECTORY), *path = request_path(work, verb, key, study);
    Status status = directory == NULL || path == NULL ? status_no_memory(strlen(work), "a path") : OK;
    if (status == OK) status = directory_create(directory);
    if (status == OK) status = file_write(path, line, (size_t)length);
    memory_free(path);
    memory_free(directory);
    return status;
}

Status control_clear(const char *work, ControlVerb verb, const char *key, const char *study)
{
    char *path = request_path(work, verb, key, study);
    if (path == NULL) return status_no_memory(strlen(work), "a path");
    Status status = file_remove(path);
    memory_free(path);
    return status;
}
