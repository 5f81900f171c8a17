#include "jobs/events.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "framework/files.h"
#include "framework/json_lines.h"

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

typedef struct Reading {
    EventTaker take;
    void *context;
    int64_t *bad;
} Reading;

static Status take_line(void *context, const Json *line)
{
    const Reading *reading = context;
    const Json *name = json_member(line, "event"), *time = json_member(line, "time");
    EventKind kind;
    if (name != NULL && name->type == JSON_STRING && time != NULL && event_from_name(name->string, &kind))
        return reading->take(reading->context, kind, time->real, line);
    if (reading->bad != NULL) (*reading->bad)++;
    return OK;
}

Status events_read(const char *path, int64_t *offset, EventTaker take, void *context, int64_t *bad)
{
    Reading reading = {.take = take, .context = context, .bad = bad};
    return json_lines_read(path, offset, take_line, &reading);
}
