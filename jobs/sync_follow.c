/* Following a submitted study to its end, from wherever its user is logged in. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "framework/log.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/display.h"
#include "jobs/slurm_submission.h"
#include "jobs/sync_private.h"

#define LONGEST_PAUSE 12 /* times slurm.poll, while nothing changes or Slurm does not answer */
#define PATIENCE 3600.0  /* seconds without an answer of Slurm's before following ends */

/* Set by SIGINT and SIGTERM, whose handler does nothing else. */
static volatile sig_atomic_t stop_requested;

static void on_stop(int number)
{
    (void)number;
    stop_requested = 1;
}

static double monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* States of the plan's jobs as the last sync left them. */
typedef struct Follow {
    const Plan *plan;
    const SyncOptions *options;
    Display *display;
    size_t last[JOB_STATE_COUNT];
    char note[256];
    double began, pause, poll, answered;
} Follow;

static size_t count_live(const SyncSummary *summary)
{
    return summary->states[STATE_QUEUED] + summary->states[STATE_RUNNING];
}

/* What could still come without anybody's doing: jobs in Slurm, and those that wait for them or for room. */
static bool is_over(const SyncSummary *summary)
{
    return !summary->skipped && count_live(summary) == 0 && summary->states[STATE_WAITING] == 0;
}

static void show(Follow *follow, const SyncSummary *summary)
{
    if (memcmp(follow->last, summary->states, sizeof follow->last) != 0) {
        char line[320];
        size_t used = 0;
        line[0] = '\0';
        for (int state = 0; state < JOB_STATE_COUNT; state++)
            if (summary->states[state] > 0 && used < sizeof line)
                used += (size_t)snprintf(line + used, sizeof line - used, "%s%zu %s", used > 0 ? ", " : "",
                                         summary->states[state], job_state_name((JobState)state));
        char spent[16];
        text_duration(monotonic() - follow->began, spent, sizeof spent);
        display_line(follow->display, "%-7s %s", spent, line);
        memcpy(follow->last, summary->states, sizeof follow->last);
    }
    if (strcmp(follow->note, summary->note) == 0) return;
    snprintf(follow->note, sizeof follow->note, "%s", summary->note);
    if (summary->note[0] != '\0') display_line(follow->display, "        %s", summary->note);
}

/* Shorter again after a change; ended by a signal. */
static void rest(Follow *follow, bool changed)
{
    follow->pause = changed ? follow->poll : follow->pause * 1.5;
    if (follow->pause > LONGEST_PAUSE * follow->poll) follow->pause = LONGEST_PAUSE * follow->poll;
    double end = monotonic() + follow->pause;
    while (!stop_requested && monotonic() < end) {
        double left = end - monotonic(), piece = left < 0.2 ? left : 0.2;
        if (piece > 0) nanosleep(&(struct timespec){.tv_nsec = (long)(piece * 1e9)}, NULL);
    }
}

static Status verdict(const Follow *follow, const SyncSummary *summary)
{
    const size_t *states = summary->states;
    size_t failed = states[STATE_FAILED], unknown = states[STATE_UNKNOWN], cancelled = states[STATE_CANCELLED];
    if (failed + unknown + cancelled + states[STATE_BLOCKED] + states[STATE_PAUSED] == 0) return OK;
    return status_error(STATUS_CHILD, "%zu jobs failed, %zu are unknown, %zu cancelled, %zu paused, %zu blocked by them: see "
                        "'zeroth status --work %s'", failed, unknown, cancelled, states[STATE_PAUSED], states[STATE_BLOCKED],
                        follow->plan->work);
}

/* One look. A cluster that does not answer is waited for: what it has goes on without us. */
static Status look(Follow *follow, SyncSummary *summary, bool *answered)
{
    Status status = sync_run(follow->plan->work, follow->options, summary);
    *answered = status == OK;
    if (status == OK) {
        follow->answered = monotonic();
        return OK;
    }
    bool waits = status_code(status) == STATUS_CHILD && !summary->refused && monotonic() - follow->answered < PATIENCE;
    if (!waits) return status;
    display_line(follow->display, "        %s: asked again later", status_message(status));
    status_free(status);
    return OK;
}

static Status follow_loop(Follow *follow)
{
    SyncSummary summary;
    TRY(sync_submit(follow->plan, follow->options, &summary));
    follow->poll = summary.poll > 0.01 ? summary.poll : 0.01;
    follow->pause = follow->poll;
    follow->answered = monotonic();
    show(follow, &summary);
    while (!is_over(&summary)) {
        rest(follow, summary.changed);
        if (stop_requested)
            return status_error(STATUS_INTERRUPTED, "no longer followed: %zu jobs stay in Slurm and go on; 'zeroth status' "
                                "shows them, 'zeroth cancel' ends them, the same command follows them again",
                                count_live(&summary));
        SyncSummary next;
        bool answered;
        TRY(look(follow, &next, &answered));
        if (!answered || next.skipped) {
            summary.changed = false;
            continue;
        }
        summary = next;
        show(follow, &summary);
    }
    return verdict(follow, &summary);
}

Status sync_follow(const Plan *plan, const SyncOptions *options, bool quiet)
{
    Follow follow = {.plan = plan, .options = options, .display = display_create(quiet), .began = monotonic()};
    struct sigaction action = {.sa_handler = on_stop}, before[2];
    sigemptyset(&action.sa_mask);
    stop_requested = 0;
    sigaction(SIGINT, &action, &before[0]);
    sigaction(SIGTERM, &action, &before[1]);
    Status status = follow_loop(&follow);
    sigaction(SIGINT, &before[0], NULL);
    sigaction(SIGTERM, &before[1], NULL);
    display_destroy(follow.display);
    return status;
}
