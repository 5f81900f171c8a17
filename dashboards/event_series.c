#include "dashboards/event_series.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dashboards/work_files.h"
#include "framework/files.h"
#include "jobs/events.h"

static const char *const NAMES[] = {
#define X(id, name) [id] = name,
    EVENT_SERIES_ALL(X)
#undef X
};
static_assert(sizeof NAMES / sizeof NAMES[0] == EVENT_SERIES_COUNT, "every series has a name");

const char *event_series_name(EventSeries series)
{
    return NAMES[series];
}

bool event_series_find(const char *name, EventSeries *series)
{
    for (int i = 0; i < EVENT_SERIES_COUNT; i++) {
        if (strcmp(name, NAMES[i]) != 0) continue;
        *series = (EventSeries)i;
        return true;
    }
    return false;
}

typedef struct Reading {
    Curve *curve;
    EventSeries series;
    bool has_last;
    double last_time, last_cpu;
    int64_t last_step;
} Reading;

/* Events of a step's end: between two of them is the time of the steps between. */
static Status take_event(void *context, EventKind kind, double time, const Json *event)
{
    Reading *reading = context;
    const Json *step = json_member(event, "step"), *cpu = json_member(event, "cpu");
    bool wanted = reading->series == SERIES_CPU ? kind == EVENT_HEARTBEAT && cpu != NULL
                                                : kind == EVENT_METRICS || kind == EVENT_PROGRESS || kind == EVENT_BEGIN;
    if (!wanted || step == NULL || step->type != JSON_INTEGER) return OK;
    double used = cpu != NULL ? cpu->real : 0, seconds = time - reading->last_time;
    int64_t steps = step->integer - reading->last_step;
    if (reading->series == SERIES_STEP_TIME && reading->has_last && steps == 0) return OK;
    if (reading->has_last && seconds > 0 && step->integer >= reading->curve->next) {
        if (reading->series == SERIES_CPU)
            curve_add(reading->curve, step->integer, (used - reading->last_cpu) / seconds);
        else if (steps > 0)
            curve_add(reading->curve, step->integer, seconds / (double)steps);
    }
    reading->has_last = true;
    reading->last_time = time;
    reading->last_cpu = used;
    reading->last_step = step->integer;
    return OK;
}

static Status read_attempt(const char *work, const char *key, const char *attempt, Reading *reading)
{
    char *path = memory_format("runs/%s/%s/%s", key, attempt, EVENTS_NAME);
    int fd = -1;
    int64_t offset = 0;
    Status status = path == NULL ? status_no_memory(128, "a path") : work_open(work, path, &fd);
    memory_free(path);
    if (status_code(status) == STATUS_NOT_FOUND) { /* an attempt that has not begun to speak */
        status_free(status);
        return OK;
    }
    TRY(status);
    char *name = work_fd_path(fd);
    status = name == NULL ? status_no_memory(64, "a path") : events_read(name, &offset, take_event, reading, NULL);
    memory_free(name);
    close(fd);
    return status;
}

Status event_series_get(Store *store, const char *key, EventSeries series, const Curve **out)
{
    Curve *curve;
    char directory[64], **names;
    size_t count;
    *out = NULL;
    TRY(curve_cache_entry(store->curves, key, NAMES[series], &curve));
    curve_init(curve, 0);
    *out = curve;
    snprintf(directory, sizeof directory, "runs/%s", key);
    TRY(work_list(store->work, directory, &names, &count));
    Status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        int64_t number;
        Reading reading = {.curve = curve, .series = series};
        if (work_is_plain_name(names[i]) && parse_integer(names[i], &number))
            status = read_attempt(store->work, key, names[i], &reading);
    }
    names_free(names, count);
    return status;
}
