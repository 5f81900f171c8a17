#include "jobs/watch.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "jobs/display.h"
#include "jobs/ledger.h"

#define WATCH_SECONDS 0.5
#define WATCH_ROWS 16

Status runner_find(const char *work, bool *live, char **holder)
{
    char *path = path_join(work, LEDGER_LOCK_NAME), *said = NULL;
    if (holder != NULL) *holder = NULL;
    if (path == NULL) return status_no_memory(strlen(work), "a path");
    Status status = file_lock_look(path, live, holder != NULL ? &said : NULL);
    memory_free(path);
    /* "PATH: held by process 12 on HOST since ...; what to do" */
    const char *by = said != NULL ? strstr(said, "held by ") : NULL;
    if (status == OK && by != NULL) {
        by += strlen("held by ");
        *holder = memory_format("%.*s", (int)strcspn(by, ";"), by);
        if (*holder == NULL) status = status_no_memory(strlen(by), "a name");
    }
    memory_free(said);
    return status;
}

typedef struct Watch {
    const char *study;
    Display *display;
    Ledger *ledger;
    double began, mean_seconds[STAGE_COUNT];
    int64_t counts[STAGE_COUNT][JOB_STATE_COUNT];
    DisplayRow rows[WATCH_ROWS];
    LedgerAttempt attempts[WATCH_ROWS];
    char stages[WATCH_ROWS][16];
    size_t row_count;
} Watch;

static double wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static Status take_running(void *context, const LedgerJob *job)
{
    Watch *watch = context;
    if (watch->row_count == WATCH_ROWS) return OK;
    size_t row = watch->row_count;
    LedgerAttempt *attempt = &watch->attempts[row];
    Status status = ledger_last_attempt(watch->ledger, job->key, attempt);
    if (status != OK) { /* between its start and the ledger's knowing of it */
        status_free(status);
        return OK;
    }
    double now = wall_clock();
    snprintf(watch->stages[row], sizeof watch->stages[row], "%s", job->stage);
    watch->rows[row] = (DisplayRow){.stage = watch->stages[row], .key = attempt->key, .unit = attempt->unit, .note = "",
                                    .step = attempt->step, .total = attempt->total,
                                    .seconds = attempt->started > 0 ? now - attempt->started : 0,
                                    .silence = attempt->updated > 0 ? now - attempt->updated : 0};
    watch->row_count++;
    return OK;
}

static int64_t count_state(const Watch *watch, JobState state)
{
    int64_t sum = 0;
    for (int stage = 0; stage < STAGE_COUNT; stage++) sum += watch->counts[stage][state];
    return sum;
}

static double estimate_left(const Watch *watch)
{
    double left = 0;
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        int64_t waiting = watch->counts[stage][STATE_WAITING] + watch->counts[stage][STATE_RUNNING];
        if (waiting > 0 && watch->mean_seconds[stage] <= 0) return 0;
        left += (double)waiting * watch->mean_seconds[stage];
    }
    int64_t running = count_state(watch, STATE_RUNNING);
    return running > 1 ? left / (double)running : left;
}

/* One look. A ledger that is just being written to, or is not there yet, is looked at again the next time. */
static Status look(Watch *watch, const char *work, WatchSummary *summary)
{
    if (watch->ledger == NULL) TRY(ledger_open_reader(work, &watch->ledger));
    TRY(ledger_count_jobs(watch->ledger, watch->study, watch->counts));
    watch->row_count = 0;
    LedgerFilter running = {.study = watch->study, .state = STATE_RUNNING};
    TRY(ledger_each_job(watch->ledger, &running, take_running, watch));
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        TRY(ledger_mean_seconds(watch->ledger, (StageId)stage, &watch->mean_seconds[stage]));
    summary->needed = 0;
    for (int state = 0; state < JOB_STATE_COUNT; state++) summary->needed += count_state(watch, (JobState)state);
    summary->done = count_state(watch, STATE_FINISHED);
    summary->failed = count_state(watch, STATE_FAILED);
    DisplayTotals totals = {.done = (size_t)summary->done, .needed = (size_t)summary->needed,
                            .failed = (size_t)summary->failed, .blocked = (size_t)count_state(watch, STATE_BLOCKED),
                            .paused = (size_t)count_state(watch, STATE_PAUSED),
                            .cancelled = (size_t)count_state(watch, STATE_CANCELLED),
                            .seconds = wall_clock() - watch->began, .seconds_left = estimate_left(watch)};
    if (summary->needed > 0) display_update(watch->display, &totals, watch->rows, watch->row_count);
    return OK;
}

/* Nothing of the study is left to do. */
static bool is_over(const Watch *watch, const WatchSummary *summary)
{
    return summary->needed > 0 && count_state(watch, STATE_RUNNING) + count_state(watch, STATE_WAITING) +
                                          count_state(watch, STATE_QUEUED) + count_state(watch, STATE_PAUSED) +
                                          count_state(watch, STATE_UNKNOWN) == 0;
}

Status watch_study(const char *work, const char *study, bool quiet, WatchSummary *summary)
{
    *summary = (WatchSummary){0};
    Watch watch = {.study = study, .display = display_create(quiet), .began = wall_clock()};
    Status status = OK;
    for (bool live = true; status == OK && live;) {
        status = runner_find(work, &live, NULL); /* before the look, so that its last deeds are seen */
        summary->seen |= live;
        if (status == OK) status = look(&watch, work, summary);
        bool unready = status_code(status) == STATUS_NOT_FOUND || status_code(status) == STATUS_LOCKED ||
                       status_code(status) == STATUS_VERSION;
        if (unready && live) {
            status_free(status);
            status = OK;
        }
        if (status != OK || is_over(&watch, summary)) break;
        if (live) nanosleep(&(struct timespec){.tv_nsec = (long)(WATCH_SECONDS * 1e9)}, NULL);
    }
    if (status == OK && summary->needed == 0)
        status = status_error(STATUS_NOT_FOUND, "no jobs of study '%s' in %s: run it first", study, work);
    display_destroy(watch.display);
    ledger_close(watch.ledger);
    return status;
}
