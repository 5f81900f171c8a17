/* Between attempt*.c: one attempt, and what its files do for each other. */
#ifndef JOBS_ATTEMPT_PRIVATE_H
#define JOBS_ATTEMPT_PRIVATE_H

#include <stdatomic.h>

#include "framework/files.h"
#include "framework/progress.h"
#include "framework/threads.h"
#include "jobs/attempt.h"
#include "jobs/checkpoint_writer.h"

typedef struct Attempt {
    const AttemptSpec *spec;
    const Stage *stage;
    const char *code;
    Comm *comm;
    bool leads;        /* rank 0: writes events, checkpoints and the artifact */
    FileLock *lock;
    char *directory, *output, *events;
    StageContext context;
    char *inputs[STAGE_COUNT];
    void *state;
    int64_t step, total; /* steps finished, and all of them */
    int64_t stride;      /* metrics go to the events every so many steps */
    double started, last_progress, stop_time;
    Progress *progress;

    CheckpointWriter *writer;          /* NULL: none is needed */
    double last_checkpoint, last_wait; /* when it was handed over, and how long that took; at first, may take */
    double stepping_since, waited;     /* since the first step; for all copies so far */
    int64_t last_saved;                /* step of the newest checkpoint of this attempt; -1: none */

    Monitor monitor;           /* guards events.jsonl, and wakes the heartbeat */
    Thread heartbeat;
    bool beating, beat_ends;
    _Atomic int64_t beat_step; /* `step` as the heartbeat sees it */
} Attempt;

/* What rank 0 tells, in events.jsonl and on the terminal; the others tell nothing. attempt_report.c. */
Status attempt_report_begin(Attempt *attempt);
Status attempt_report_metrics(Attempt *attempt, const StageMetrics *metrics); /* of some steps */
Status attempt_report_progress(Attempt *attempt, const StageMetrics *metrics);
Status attempt_report_checkpoint(Attempt *attempt, int64_t step, double seconds, double waited); /* any thread */
Status attempt_report_warning(Attempt *attempt, const char *message);
Status attempt_report_end(Attempt *attempt, Status outcome);
/* A thread that tells every few seconds, later every 30, how much processor time the attempt has had. Ending it twice
 * is fine. */
Status attempt_start_heartbeat(Attempt *attempt);
void attempt_end_heartbeat(Attempt *attempt);

static inline void add_integer(JsonWriter *writer, const char *key, int64_t value)
{
    json_key(writer, key);
    json_integer(writer, value);
}

static inline void add_real(JsonWriter *writer, const char *key, double value)
{
    json_key(writer, key);
    json_real(writer, value);
}

static inline void add_string(JsonWriter *writer, const char *key, const char *value)
{
    json_key(writer, key);
    json_string(writer, value);
}

/* Removes all checkpoints of the job but the newest two. */
Status checkpoints_prune(const char *work, const char *key);
/* Renames a damaged checkpoint, so that it is not tried again. */
Status checkpoint_set_aside(const char *path);
/* After success: checkpoints and half-made outputs of all attempts go; specs, events and logs stay. */
Status attempts_clear(const char *work, const char *key);

#endif
