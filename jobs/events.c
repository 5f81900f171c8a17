#include "jobs/events.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/memory.h"

static const char *const NAMES[] = {
#define X(kind, name) [kind] = name,
    EVENT_KINDS(X)
#undef X
};
static_assert(sizeof NAMES / sizeof NAMES[0] == EVENT_KIND_COUNT, "every event has a name");

static bool event_from_name(const char *name, EventKind *kind)
{
    for (int i = 0; i < EVENT_KIND_COUNT; i++) {
        if (strcmp(name, NAMES[i]) != 0) continue;
        *kind = (EventKind)i;
        return true;
    }
    return false;
}

void event_begin(JsonWriter *writer, EventKind kind)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *writer = (JsonWriter){0};
    json_begin_object(writer);
    json_key(writer, "time");
    json_real(writer, (double)now.tv_sec + (double)(now.tv_nsec / 1000000) * 1e-3);
    json_key(writer, "event");
    json_string(writer, NAMES[kind]);
}

Status event_append(JsonWriter *writer, const char *path, bool sync)
{
    json_end_object(writer);
    text_append(&writer->text, "\n");
    Status status = writer->text.failed ? status_no_memory(writer->text.length, "an event")
                                        : file_append(path, writer->text.data, writer->text.length, sync);
    text_free(&writer->text);
    return status;
}

/* Whole lines from `offset` on, as far as the file goes now. */
static Status read_tail(const char *path, int64_t offset, char **data, size_t *bytes)
{
    *data = NULL;
    *bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? OK : status_errno(errno, "open", path);
    struct stat info;
    Status status = fstat(fd, &info) != 0 ? status_errno(errno, "look at", path) : OK;
    size_t wanted = status == OK && info.st_size > offset ? (size_t)(info.st_size - offset) : 0;
    if (wanted > 0 && (*data = memory_alloc(wanted)) == NULL) status = status_no_memory(wanted, path);
    while (status == OK && *bytes < wanted) {
        ssize_t got = pread(fd, *data + *bytes, wanted - *bytes, (off_t)(offset + (int64_t)*bytes));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = status_errno(errno, "read", path);
        if (got <= 0) break;
        *bytes += (size_t)got;
    }
    close(fd);
    return status;
}

static Status take_line(const char *line, size_t length, const char *path, EventTaker take, void *context, int64_t *bad)
{
    Json *event;
    Status status = json_parse(line, length, path, &event);
    if (status_code(status) == STATUS_NO_MEMORY) return status;
    const Json *name = status == OK ? json_member(event, "event") : NULL;
    const Json *time = status == OK ? json_member(event, "time") : NULL;
    EventKind kind;
    bool sound = name != NULL && name->type == JSON_STRING && time != NULL && event_from_name(name->string, &kind);
    status_free(status);
    status = OK;
    if (sound)
        status = take(context, kind, time->real, event);
    else if (bad != NULL)
        (*bad)++;
    json_destroy(event);
    return status;
}

Status events_read(const char *path, int64_t *offset, EventTaker take, void *context, int64_t *bad)
{
    char *data;
    size_t bytes;
    Status status = read_tail(path, *offset, &data, &bytes);
    size_t at = 0;
    while (status == OK && at < bytes) {
        const char *end = memchr(data + at, '\n', bytes - at);
        if (end == NULL) break;
        size_t length = (size_t)(end - (data + at));
        status = take_line(data + at, length, path, take, context, bad);
        if (status == OK) {
            at += length + 1;
            *offset += (int64_t)length + 1;
        }
    }
    memory_free(data);
    return status;
}
