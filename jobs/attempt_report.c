/* What an attempt tells while it runs. */
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "framework/log.h"
#include "jobs/attempt_private.h"
#include "jobs/events.h"

/* Seconds between two progress events, and between two heartbeats: a share of the attempt's age within limits, so that
 * short jobs are watched closely and the files of long ones stay small. */
#define SHORTEST_SILENCE 0.5
#define LONGEST_SILENCE 30.0
#define SHORTEST_BEAT 2.0
#define AGE_SHARE 0.02

static double silence(const Attempt *attempt, double shortest)
{
    double seconds = (thread_clock() - attempt->started) * AGE_SHARE;
    return seconds < shortest ? shortest : seconds > LONGEST_SILENCE ? LONGEST_SILENCE : seconds;
}

/* Main thread, heartbeat and checkpoint writer append to one file. */
static Status append(Attempt *attempt, JsonWriter *writer, bool sync)
{
    monitor_enter(&attempt->monitor);
    Status status = event_append(writer, attempt->events, sync);
    monitor_leave(&attempt->monitor);
    return status;
}

Status attempt_report_begin(Attempt *attempt)
{
    if (!attempt->leads) return OK;
    JsonWriter writer;
    event_begin(&writer, EVENT_BEGIN);
    add_integer(&writer, "step", attempt->step);
    add_integer(&writer, "total", attempt->total);
    add_string(&writer, "unit", attempt->stage->unit);
    return append(attempt, &writer, true);
}

Status attempt_report_metrics(Attempt *attempt, const StageMetrics *metrics)
{
    if (!attempt->leads || metrics->count == 0) return OK;
    if (attempt->step % attempt->stride != 0 && attempt->step != attempt->total) return OK;
    JsonWriter writer;
    event_begin(&writer, EVENT_METRICS);
    add_integer(&writer, "step", attempt->step);
    json_key(&writer, "values");
    json_begin_object(&writer);
    for (int i = 0; i < metrics->count; i++) add_real(&writer, metrics->items[i].name, metrics->items[i].value);
    json_end_object(&writer);
    return append(attempt, &writer, false);
}

/* The bar, and every while a progress event. */
Status attempt_report_progress(Attempt *attempt, const StageMetrics *metrics)
{
    if (!attempt->leads) return OK;
    char note[160] = "";
    size_t used = 0;
    for (int i = 0; i < metrics->count && i < 4; i++) {
        int n = snprintf(note + used, sizeof note - used, "%s%s %.4g", i > 0 ? "  " : "", metrics->items[i].name,
                         metrics->items[i].value);
        if (n < 0 || (size_t)n >= sizeof note - used) break;
        used += (size_t)n;
    }
    progress_update(attempt->progress, attempt->step, note[0] != '\0' ? note : NULL);
    double now = thread_clock();
    if (now - attempt->last_progress < silence(attempt, SHORTEST_SILENCE)) return OK;
    attempt->last_progress = now;
    JsonWriter writer;
    event_begin(&writer, EVENT_PROGRESS);
    add_integer(&writer, "step", attempt->step);
    add_integer(&writer, "total", attempt->total);
    return append(attempt, &writer, false);
}

Status attempt_report_checkpoint(Attempt *attempt, int64_t step, double seconds, double waited)
{
    JsonWriter writer;
    event_begin(&writer, EVENT_CHECKPOINT);
    add_integer(&writer, "step", step);
    add_real(&writer, "seconds", seconds);
    add_real(&writer, "waited", waited);
    return append(attempt, &writer, false);
}

Status attempt_report_warning(Attempt *attempt, const char *message)
{
    if (!attempt->leads) return OK;
    LOG_WARNING("%s", message);
    JsonWriter writer;
    event_begin(&writer, EVENT_WARNING);
    add_string(&writer, "message", message);
    return append(attempt, &writer, false);
}

static void add_cpu(const Attempt *attempt, JsonWriter *writer)
{
    struct timespec used = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    add_real(writer, "cpu", (double)used.tv_sec + (double)used.tv_nsec * 1e-9 - comm_waited(attempt->comm));
}

Status attempt_report_end(Attempt *attempt, Status outcome)
{
    if (!attempt->leads) return OK;
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    JsonWriter writer;
    event_begin(&writer, EVENT_END);
    add_string(&writer, "outcome", status_code_name(status_code(outcome)));
    add_string(&writer, "message", status_message(outcome));
    add_integer(&writer, "step", attempt->step);
    add_real(&writer, "seconds", thread_clock() - attempt->started);
    add_cpu(attempt, &writer);
    add_integer(&writer, "peak_memory", (int64_t)usage.ru_maxrss * 1024);
    return append(attempt, &writer, true);
}

/* Heartbeat --------------------------------------------------------------------- */

/* Inside the monitor. A beat that cannot be written is left out: the main thread will meet the cause. */
static void beat(Attempt *attempt)
{
    JsonWriter writer;
    event_begin(&writer, EVENT_HEARTBEAT);
    add_integer(&writer, "step", atomic_load(&attempt->beat_step));
    add_cpu(attempt, &writer);
    status_free(event_append(&writer, attempt->events, false));
}

static void *run_heartbeat(void *pointer)
{
    Attempt *attempt = pointer;
    double last = thread_clock();
    monitor_enter(&attempt->monitor);
    while (!attempt->beat_ends) {
        double left = last + silence(attempt, SHORTEST_BEAT) - thread_clock();
        if (left > 0) {
            monitor_wait(&attempt->monitor, left);
            continue;
        }
        beat(attempt);
        last = thread_clock();
    }
    monitor_leave(&attempt->monitor);
    return NULL;
}

Status attempt_start_heartbeat(Attempt *attempt)
{
    if (!attempt->leads) return OK;
    TRY(thread_start(run_heartbeat, attempt, &attempt->heartbeat));
    attempt->beating = true;
    return OK;
}

void attempt_end_heartbeat(Attempt *attempt)
{
    if (!attempt->beating) return;
    monitor_enter(&attempt->monitor);
    attempt->beat_ends = true;
    monitor_tell(&attempt->monitor);
    monitor_leave(&attempt->monitor);
    thread_join(&attempt->heartbeat);
    attempt->beating = false;
}
