/* Studies, and one study: its jobs and results, whole or what changed. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "dashboards/endpoints_private.h"
#include "dashboards/progress.h"
#include "framework/files.h"
#include "jobs/ledger_query.h"

static double wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)(now.tv_nsec / 1000000) * 1e-3;
}

static Status write_study(void *context, const LedgerStudy *study)
{
    JsonWriter *writer = context;
    json_begin_object(writer);
    json_add_string(writer, "name", study->name);
    json_add_string(writer, "path", study->path);
    json_add_integer(writer, "trials", study->trials);
    json_add_real(writer, "recorded", study->recorded);
    json_end_object(writer);
    return OK;
}

Status answer_studies(Store *store, const Request *request, Answer *answer)
{
    (void)request;
    TRY(store_look(store));
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_add_string(&writer, "work", store->work);
    json_key(&writer, "studies");
    json_begin_array(&writer);
    Status status = store->ledger != NULL ? ledger_each_study(store->ledger, write_study, &writer) : OK;
    json_end_array(&writer);
    json_end_object(&writer);
    if (status == OK) return answer_json(&writer, answer);
    text_free(&writer.text);
    return status;
}

/* What does not change until the study is planned anew ------------------------- */

static void write_places(JsonWriter *writer, const uint32_t places[STAGE_COUNT])
{
    json_begin_array(writer);
    for (int i = 0; i < STAGE_COUNT; i++) json_integer(writer, places[i] == VIEW_NO_JOB ? -1 : (int64_t)places[i]);
    json_end_array(writer);
}

static void write_names(JsonWriter *writer)
{
    json_key(writer, "stages");
    json_begin_array(writer);
    for (int i = 0; i < STAGE_COUNT; i++) json_string(writer, stage_name((StageId)i));
    json_end_array(writer);
    json_key(writer, "states");
    json_begin_array(writer);
    for (int i = 0; i < JOB_STATE_COUNT; i++) json_string(writer, job_state_name((JobState)i));
    json_end_array(writer);
}

static void write_plan(const View *view, JsonWriter *writer)
{
    write_names(writer);
    json_key(writer, "keys");
    json_begin_array(writer);
    for (size_t i = 0; i < view->job_count; i++) json_string(writer, view->jobs[i].key);
    json_end_array(writer);
    json_key(writer, "stage");
    json_begin_array(writer);
    for (size_t i = 0; i < view->job_count; i++) json_integer(writer, view->jobs[i].stage);
    json_end_array(writer);
    json_key(writer, "inputs");
    json_begin_array(writer);
    for (size_t i = 0; i < view->job_count; i++) write_places(writer, view->jobs[i].inputs);
    json_end_array(writer);
    json_key(writer, "groups");
    json_begin_array(writer);
    for (size_t i = 0; i < view->group_count; i++) {
        const ViewTrial *first = &view->trials[view->groups[i].first_trial];
        json_begin_object(writer);
        json_add_string(writer, "name", view->groups[i].name);
        json_add_string(writer, "variant", first->variant);
        json_key(writer, "axes");
        json_raw(writer, first->axes);
        json_end_object(writer);
    }
    json_end_array(writer);
    json_key(writer, "trials");
    json_begin_array(writer);
    for (size_t i = 0; i < view->trial_count; i++) {
        json_begin_array(writer);
        json_integer(writer, view->trials[i].group_index);
        json_integer(writer, view->trials[i].seed);
        write_places(writer, view->trials[i].jobs);
        json_end_array(writer);
    }
    json_end_array(writer);
    json_key(writer, "settings");
    json_raw(writer, view->settings);
}

/* What changes ---------------------------------------------------------------- */

static void write_changed(const View *view, uint64_t since, JsonWriter *writer)
{
    json_key(writer, "jobs");
    json_begin_array(writer);
    for (size_t i = 0; i < view->job_count; i++) {
        const ViewJob *job = &view->jobs[i];
        if (job->changed <= since) continue;
        json_begin_array(writer); /* place, state, step, total, attempts, trials, seconds, updated[, cause, message] */
        json_integer(writer, (int64_t)i);
        json_integer(writer, job->state);
        json_integer(writer, job->step);
        json_integer(writer, job->total);
        json_integer(writer, job->attempts);
        json_integer(writer, job->trials);
        json_number(writer, job->seconds);
        json_integer(writer, (int64_t)job->updated);
        if (job->cause != NULL || job->message != NULL) {
            json_string(writer, job->cause);
            json_string(writer, job->message);
        }
        json_end_array(writer);
    }
    json_end_array(writer);
    json_key(writer, "metrics");
    json_begin_array(writer);
    for (size_t i = 0; i < view->metric_count; i++) json_string(writer, view->metrics[i]);
    json_end_array(writer);
    json_key(writer, "results");
    json_begin_object(writer);
    for (size_t i = 0; i < view->job_count; i++) {
        const ViewJob *job = &view->jobs[i];
        char place[24];
        if (job->changed <= since || job->result_count == 0) continue;
        snprintf(place, sizeof place, "%zu", i);
        json_key(writer, place);
        json_begin_array(writer);
        for (size_t m = 0; m < job->result_count; m++) json_number(writer, job->results[m]); /* exact ones: the table */
        json_end_array(writer);
    }
    json_end_object(writer);
}

Status answer_study(Store *store, const Request *request, Answer *answer)
{
    const char *name;
    int64_t since, epoch;
    View *view;
    TRY(request_text(request, "study", &name));
    TRY(request_integer(request, "since", 0, 0, INT64_MAX, &since));
    TRY(request_integer(request, "epoch", 0, 0, INT64_MAX, &epoch));
    TRY(store_view(store, name, &view));
    bool whole = since == 0 || (uint64_t)epoch != view->epoch || (uint64_t)since > view->change;
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_add_string(&writer, "study", view->study);
    json_add_integer(&writer, "epoch", (int64_t)view->epoch);
    json_add_integer(&writer, "change", (int64_t)view->change);
    json_add_real(&writer, "time", wall_clock());
    json_add_bool(&writer, "whole", whole);
    if (whole) {
        json_add_string(&writer, "path", view->path);
        json_add_string(&writer, "work", store->work);
        json_add_real(&writer, "recorded", view->recorded);
        write_plan(view, &writer);
    }
    if (whole || (uint64_t)since < view->change) write_changed(view, whole ? 0 : (uint64_t)since, &writer);
    json_key(&writer, "progress");
    Status status = progress_write_json(store, view, &writer);
    json_end_object(&writer);
    if (status == OK) return answer_json(&writer, answer);
    text_free(&writer.text);
    return status;
}
