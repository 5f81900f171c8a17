#include "dashboards/progress.h"

#include <math.h>
#include <string.h>

#include "dashboards/endpoints_private.h"
#include "jobs/attempt.h"

static bool is_left(JobState state)
{
    switch (state) {
    case STATE_WAITING:
    case STATE_RUNNING:
    case STATE_INTERRUPTED:
    case STATE_KILLED:
    case STATE_QUEUED:
    case STATE_UNKNOWN: return true;
    default: return false;
    }
}

typedef struct Progress {
    const View *view;
    const char *work;
    JsonWriter *writer;
    double promised[STAGE_COUNT];         /* sums of seconds that running attempts will take */
    int64_t promised_count[STAGE_COUNT];
    int64_t running;
} Progress;

static void write_running(Progress *progress, uint32_t place, const LedgerAttempt *attempt)
{
    JsonWriter *writer = progress->writer;
    bool live = false;
    Status status = attempt_is_live(progress->work, attempt->key, &live, NULL);
    bool unknown = status != OK; /* of a lock that cannot be looked at nothing is claimed */
    status_free(status);
    json_begin_object(writer);
    json_add_integer(writer, "job", place);
    json_add_integer(writer, "attempt", attempt->number);
    json_add_string(writer, "host", attempt->host);
    json_add_real(writer, "started", attempt->started);
    json_add_real(writer, "updated", attempt->updated);
    json_add_integer(writer, "begin", attempt->begin_step);
    json_add_integer(writer, "step", attempt->step);
    json_add_integer(writer, "total", attempt->total);
    json_add_string(writer, "unit", attempt->unit);
    json_add_bool(writer, "live", live || unknown);
    json_end_object(writer);
}

static void add_running(Progress *progress, uint32_t place, const LedgerAttempt *attempt)
{
    StageId stage = progress->view->jobs[place].stage;
    int64_t begin = attempt->begin_step > 0 ? attempt->begin_step : 0, done = attempt->step - begin;
    if (done > 0 && attempt->total > 0 && attempt->updated > attempt->started) {
        progress->promised[stage] += (attempt->updated - attempt->started) / (double)done * (double)attempt->total;
        progress->promised_count[stage]++;
    }
    write_running(progress, place, attempt);
}

/* The last attempts of running jobs, as many as are shown. */
static Status add_all_running(Progress *progress, Ledger *ledger)
{
    for (size_t i = 0; i < progress->view->job_count; i++) {
        LedgerAttempt attempt;
        if (progress->view->jobs[i].state != STATE_RUNNING || progress->running++ >= PROGRESS_SHOWN) continue;
        Status status = ledger_last_attempt(ledger, progress->view->jobs[i].key, &attempt);
        if (status_code(status) == STATUS_NOT_FOUND) { /* it is about to be written */
            status_free(status);
            continue;
        }
        TRY(status);
        add_running(progress, (uint32_t)i, &attempt);
    }
    return OK;
}

static double seconds_left(const Progress *progress)
{
    const View *view = progress->view;
    double finished[STAGE_COUNT] = {0}, mean[STAGE_COUNT], left = 0;
    int64_t count[STAGE_COUNT] = {0};
    for (size_t i = 0; i < view->job_count; i++) {
        const ViewJob *job = &view->jobs[i];
        if (job->state != STATE_FINISHED || job->seconds <= 0) continue;
        finished[job->stage] += job->seconds;
        count[job->stage]++;
    }
    for (int s = 0; s < STAGE_COUNT; s++) {
        mean[s] = (double)NAN;
        if (progress->promised_count[s] > 0) mean[s] = progress->promised[s] / (double)progress->promised_count[s];
        if (count[s] > 0) mean[s] = finished[s] / (double)count[s];
    }
    for (size_t i = 0; i < view->job_count; i++) {
        const ViewJob *job = &view->jobs[i];
        if (!is_left(job->state)) continue;
        double share = job->total > 0 && job->step > 0 ? 1 - (double)job->step / (double)job->total : 1;
        left += mean[job->stage] * (share > 0 ? share : 0); /* NaN where nothing is known of the stage */
    }
    return left / (double)(progress->running > 0 ? progress->running : 1);
}

Status progress_write_json(Store *store, const View *view, JsonWriter *writer)
{
    Progress progress = {.view = view, .work = store->work, .writer = writer};
    int64_t counts[STAGE_COUNT][JOB_STATE_COUNT] = {{0}};
    for (size_t i = 0; i < view->job_count; i++) counts[view->jobs[i].stage][view->jobs[i].state]++;
    json_begin_object(writer);
    json_key(writer, "counts");
    json_begin_array(writer);
    for (int s = 0; s < STAGE_COUNT; s++) {
        json_begin_array(writer);
        for (int i = 0; i < JOB_STATE_COUNT; i++) json_integer(writer, counts[s][i]);
        json_end_array(writer);
    }
    json_end_array(writer);
    json_key(writer, "running");
    json_begin_array(writer);
    Status status = add_all_running(&progress, store->ledger);
    json_end_array(writer);
    json_add_integer(writer, "runs", progress.running);
    json_key(writer, "left");
    json_number(writer, seconds_left(&progress));
    json_end_object(writer);
    return status;
}
