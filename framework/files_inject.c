/* Faults at the points where a file can be torn; see files_inject. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "framework/files_private.h"
#include "framework/log.h"
#include "framework/text.h"

static const char *const POINT_NAMES[] = {
#define X(point, name) name,
    FILES_POINTS(X)
#undef X
};
_Static_assert(sizeof POINT_NAMES / sizeof POINT_NAMES[0] == FILES_POINT_COUNT, "one name for each point");
static const char *const FAULT_NAMES[] = {"none", "kill", "short", "nospace"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t environment_once = PTHREAD_ONCE_INIT;
static FilesPoint struck_point;
static FilesFault struck_fault = FAULT_NONE;
static int64_t passages_left;

static int find_name(const char *const *names, int count, const char *name, size_t length)
{
    for (int i = 0; i < count; i++)
        if (strlen(names[i]) == length && strncmp(names[i], name, length) == 0) return i;
    return -1;
}

static Status set_injection(const char *specification)
{
    FilesPoint point = FILES_OPEN;
    FilesFault fault = FAULT_NONE;
    int64_t count = 0;
    if (specification != NULL) {
        size_t point_length = strcspn(specification, ":");
        const char *kind = specification + point_length + (specification[point_length] == ':');
        size_t kind_length = strcspn(kind, ":");
        int found_point = find_name(POINT_NAMES, FILES_POINT_COUNT, specification, point_length);
        int found_fault = find_name(FAULT_NAMES, 4, kind, kind_length);
        bool counted = kind[kind_length] != ':' || (parse_integer(kind + kind_length + 1, &count) && count >= 0);
        if (found_point < 0 || found_fault <= 0 || !counted)
            return status_error(STATUS_USAGE, "file injection \"%s\" is not POINT:KIND[:COUNT] with POINT open, write, "
                                "sync, rename or dirsync and KIND kill, short or nospace", specification);
        point = (FilesPoint)found_point;
        fault = (FilesFault)found_fault;
        if (fault == FAULT_SHORT && point != FILES_WRITE)
            return status_error(STATUS_USAGE, "file injection \"%s\": only a write can be short", specification);
    }
    pthread_mutex_lock(&lock);
    struck_point = point;
    struck_fault = fault;
    passages_left = count;
    pthread_mutex_unlock(&lock);
    return OK;
}

static void read_environment(void)
{
    const char *specification = getenv("ZEROTH_FILES_INJECT");
    if (specification != NULL && *specification != '\0') log_status(LOG_LEVEL_WARNING, set_injection(specification));
}

Status files_inject(const char *specification)
{
    pthread_once(&environment_once, read_environment);
    return set_injection(specification);
}

FilesFault files_fault(FilesPoint point)
{
    pthread_once(&environment_once, read_environment);
    FilesFault fault = FAULT_NONE;
    pthread_mutex_lock(&lock);
    if (struck_fault != FAULT_NONE && struck_point == point && passages_left-- == 0) {
        fault = struck_fault;
        struck_fault = FAULT_NONE;
    }
    pthread_mutex_unlock(&lock);
    return fault;
}

bool files_fault_fails(FilesPoint point)
{
    FilesFault fault = files_fault(point);
    if (fault == FAULT_KILL) files_kill();
    if (fault == FAULT_NO_SPACE) errno = ENOSPC;
    return fault == FAULT_NO_SPACE;
}

void files_kill(void)
{
    kill(getpid(), SIGKILL);
    for (;;) pause();
}
