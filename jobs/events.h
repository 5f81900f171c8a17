/* events.jsonl of an attempt: one JSON object a line, appended by the worker
 * and by nobody else. Every object has "time" (seconds since 1970) and
 * "event", one of:
 *
 *   start       host, pid, code, dirty, threads, ranks, seed, and the facts of jobs/provenance.h by their names
 *   begin       step (the one it goes on from, 0 for a fresh start), total, unit
 *   progress    step (finished so far), total
 *   heartbeat   step, cpu (seconds of processor time so far, of rank 0, less what it waited for other ranks):
 *               written by a thread of its own, so that a slow step (processor time grows) is told from a hung
 *               one (it does not)
 *   metrics     step, values {name: number}
 *   checkpoint  step, seconds (that a thread wrote), waited (seconds that steps waited for it)
 *   warning     message
 *   end         outcome (name of a status code), message, step, seconds, cpu, peak_memory (bytes)
 *
 * An attempt without "end" was killed, or runs yet. */
#ifndef JOBS_EVENTS_H
#define JOBS_EVENTS_H

#include "framework/json.h"
#include "framework/status.h"

#define EVENTS_NAME "events.jsonl"

#define EVENT_KINDS(X)               \
    X(EVENT_START, "start")          \
    X(EVENT_BEGIN, "begin")          \
    X(EVENT_PROGRESS, "progress")    \
    X(EVENT_HEARTBEAT, "heartbeat")  \
    X(EVENT_METRICS, "metrics")      \
    X(EVENT_CHECKPOINT, "checkpoint")\
    X(EVENT_WARNING, "warning")      \
    X(EVENT_END, "end")

typedef enum EventKind {
#define X(kind, name) kind,
    EVENT_KINDS(X)
#undef X
    EVENT_KIND_COUNT
} EventKind;

/* One record: event_begin, then members by json_key and json_*, then
 * event_append, which ends and frees it. With `sync` it is on the disk when the
 * call returns; for what must not be lost (begin, end). */
void event_begin(JsonWriter *writer, EventKind kind);
Status event_append(JsonWriter *writer, const char *path, bool sync);

/* Calls `take` for every whole line from byte *offset on, and moves *offset
 * behind the last of them. A torn last line is left for later; a whole line
 * that is no event is counted in *bad (may be NULL) and passed over. An absent
 * file has no events. */
typedef Status (*EventTaker)(void *context, EventKind kind, double time, const Json *event);
Status events_read(const char *path, int64_t *offset, EventTaker take, void *context, int64_t *bad);

#endif
