/* Curves of a job: their names, and one of them with as many points as a screen shows. */
#include <math.h>
#include <string.h>

#include "dashboards/endpoints_private.h"
#include "dashboards/event_series.h"
#include "jobs/ledger_query.h"

#define MOST_POINTS (2 * CURVE_CELLS)

static Status write_name(void *context, const char *name)
{
    json_string(context, name);
    return OK;
}

Status answer_series(Store *store, const Request *request, Answer *answer)
{
    const char *key;
    Ledger *ledger;
    TRY(request_key(request, &key));
    TRY(store_ledger(store, &ledger));
    JsonWriter writer = {0};
    json_begin_object(&writer);
    json_key(&writer, "names");
    json_begin_array(&writer);
    Status status = ledger_each_metric(ledger, key, write_name, &writer);
    for (int i = 0; status == OK && i < EVENT_SERIES_COUNT; i++) json_string(&writer, event_series_name((EventSeries)i));
    json_end_array(&writer);
    json_end_object(&writer);
    if (status == OK) return answer_json(&writer, answer);
    text_free(&writer.text);
    return status;
}

/* Where attempts of the job began, and how they ended. */
static Status write_mark(void *context, const LedgerAttempt *attempt, const char *provenance)
{
    (void)provenance;
    JsonWriter *writer = context;
    json_begin_object(writer);
    json_add_integer(writer, "attempt", attempt->number);
    json_add_integer(writer, "begin", attempt->begin_step);
    json_add_integer(writer, "step", attempt->step);
    json_add_string(writer, "state", job_state_name(attempt->state));
    json_end_object(writer);
    return OK;
}

static Status write_curve(const Curve *curve, Ledger *ledger, const char *key, size_t limit, JsonWriter *writer)
{
    int64_t *steps = memory_alloc(limit * sizeof *steps);
    double *values = memory_alloc(limit * sizeof *values);
    Status status = steps == NULL || values == NULL ? status_no_memory(limit * 16, "a curve") : OK;
    size_t count = status == OK ? curve_thin(curve, limit, steps, values) : 0;
    json_begin_object(writer);
    json_add_integer(writer, "count", curve->count);
    json_add_integer(writer, "gaps", curve->gaps);
    json_key(writer, "steps");
    json_begin_array(writer);
    for (size_t i = 0; i < count; i++) json_integer(writer, steps[i]);
    json_end_array(writer);
    json_key(writer, "values");
    json_begin_array(writer);
    for (size_t i = 0; i < count; i++) json_number(writer, values[i]);
    json_end_array(writer);
    json_key(writer, "attempts");
    json_begin_array(writer);
    if (status == OK) status = ledger_each_attempt(ledger, key, write_mark, writer);
    json_end_array(writer);
    json_end_object(writer);
    memory_free(steps);
    memory_free(values);
    return status;
}

Status answer_curve(Store *store, const Request *request, Answer *answer)
{
    const char *key, *metric;
    int64_t points, first, last;
    Ledger *ledger;
    Curve *part = NULL;
    const Curve *curve = NULL;
    EventSeries series;
    TRY(request_key(request, &key));
    TRY(request_text(request, "metric", &metric));
    TRY(request_integer(request, "points", 800, 4, MOST_POINTS, &points));
    TRY(request_integer(request, "first", 0, 0, INT64_MAX, &first));
    TRY(request_integer(request, "last", INT64_MAX, 0, INT64_MAX, &last));
    TRY(store_ledger(store, &ledger));
    bool whole = first == 0 && last == INT64_MAX;
    Status status;
    if (event_series_find(metric, &series))
        status = event_series_get(store, key, series, &curve);
    else if (whole)
        status = curve_cache_get(store->curves, ledger, key, metric, &curve);
    else
        status = curve_read(ledger, key, metric, first, last, &part);
    JsonWriter writer = {0};
    if (status == OK) status = write_curve(part != NULL ? part : curve, ledger, key, (size_t)points, &writer);
    memory_free(part);
    if (status == OK) return answer_json(&writer, answer);
    text_free(&writer.text);
    return status;
}
