/* zeroth status [STUDY]: jobs and their states, from the ledger. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "commands/slurm_command.h"
#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/attempt.h"
#include "jobs/control.h"
#include "jobs/ledger.h"
#include "jobs/watch.h"

#define MOST_LINES 12       /* of one state, where not all are asked for */
#define MOST_READ 5000      /* waiting and blocked jobs are looked through for reasons up to so many */
#define SILENT_SECONDS 120.0

static void print_counts(int64_t counts[STAGE_COUNT][JOB_STATE_COUNT])
{
    bool shown[JOB_STATE_COUNT] = {false};
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        for (int state = 0; state < JOB_STATE_COUNT; state++) shown[state] |= counts[stage][state] > 0;
    printf("%-10s", "stage");
    for (int state = 0; state < JOB_STATE_COUNT; state++)
        if (shown[state]) printf(" %11s", job_state_name((JobState)state));
    printf("\n");
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        int64_t sum = 0;
        for (int state = 0; state < JOB_STATE_COUNT; state++) sum += counts[stage][state];
        if (sum == 0) continue;
        printf("%-10s", stage_name((StageId)stage));
        for (int state = 0; state < JOB_STATE_COUNT; state++)
            if (shown[state]) printf(" %11lld", (long long)counts[stage][state]);
        printf("\n");
    }
}

/* Jobs ----------------------------------------------------------------------------- */

typedef struct Reason {
    char stage[16], cause[24], message[200], key[HASH_HEX_SIZE];
    int64_t count;
} Reason;

typedef struct Listing {
    const char *work;
    Ledger *ledger;
    bool all;
    int64_t shown, of_state;
    Reason reasons[MOST_LINES]; /* of blocked, left-out and retried jobs: those with the same are one line */
    size_t reason_count;
    int64_t unexplained;
} Listing;

static double seconds_since(double then)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double since = (double)now.tv_sec + (double)now.tv_nsec * 1e-9 - then;
    return since > 0 ? since : 0;
}

/* How a running job is: at work, silent (its heartbeat is late), or idle (it lives and does nothing). */
static Status print_running(const Listing *listing, const LedgerJob *job)
{
    /* What the ledger says may be of a runner that is gone; the job's lock knows. */
    bool live = false;
    char age[16];
    LedgerAttempt attempt;
    TRY(attempt_is_live(listing->work, job->key, &live, NULL));
    Status found = ledger_last_attempt(listing->ledger, job->key, &attempt);
    status_free(found); /* then the fields are 0 */
    if (job->total > 0)
        printf("  %lld/%lld %s", (long long)(job->step > 0 ? job->step : 0), (long long)job->total, attempt.unit);
    double silence = seconds_since(attempt.updated > 0 ? attempt.updated : job->updated);
    double idle = attempt.active > 0 ? seconds_since(attempt.active) : 0;
    text_duration(silence, age, sizeof age);
    if (!live && job->attempts > 0 && attempt.started > 0) {
        printf("  no process holds it: run the study again");
    } else if (silence > SILENT_SECONDS) {
        printf("  stale: no sign for %s, and its process is there", age);
    } else if (idle > SILENT_SECONDS) {
        text_duration(idle, age, sizeof age);
        printf("  may hang: neither steps nor computes for %s", age);
    } else {
        printf("  last sign %s ago", age);
    }
    return OK;
}

static Status print_job(void *context, const LedgerJob *job)
{
    Listing *listing = context;
    char spent[16] = "";
    if (!listing->all && ++listing->of_state > MOST_LINES) return OK;
    if (listing->shown++ == 0) printf("\n");
    if (job->seconds > 0) text_duration(job->seconds, spent, sizeof spent);
    printf("%-9s  %.*s  %-11s", job->stage, KEY_SHOWN, job->key, job_state_name(job->state));
    if (job->state == STATE_RUNNING) {
        TRY(print_running(listing, job));
    } else {
        bool is_last = job->attempts <= 1 && job->cause[0] == '\0';
        printf("  %*s", is_last ? 0 : -7, spent);
    }
    if (job->attempts > 1) printf("  %lld attempts", (long long)job->attempts);
    if (job->cause[0] != '\0') printf("  %s: %s", job->cause, job->message);
    printf("\n");
    return OK;
}

static Status add_reason(void *context, const LedgerJob *job)
{
    Listing *listing = context;
    if (job->cause[0] == '\0') return OK; /* waiting for its turn, and no more */
    for (size_t i = 0; i < listing->reason_count; i++) {
        Reason *reason = &listing->reasons[i];
        if (strcmp(reason->stage, job->stage) != 0 || strcmp(reason->cause, job->cause) != 0 ||
            strncmp(reason->message, job->message, sizeof reason->message - 1) != 0)
            continue;
        reason->count++;
        return OK;
    }
    if (listing->reason_count == MOST_LINES) {
        listing->unexplained++;
        return OK;
    }
    Reason *reason = &listing->reasons[listing->reason_count++];
    *reason = (Reason){.count = 1};
    snprintf(reason->stage, sizeof reason->stage, "%s", job->stage);
    snprintf(reason->cause, sizeof reason->cause, "%s", job->cause);
    snprintf(reason->message, sizeof reason->message, "%s", job->message);
    snprintf(reason->key, sizeof reason->key, "%s", job->key);
    return OK;
}

static void print_reasons(Listing *listing, JobState state)
{
    for (size_t i = 0; i < listing->reason_count; i++) {
        const Reason *reason = &listing->reasons[i];
        if (listing->shown++ == 0) printf("\n");
        printf("%-9s  ", reason->stage);
        if (reason->count == 1) printf("%.*s", KEY_SHOWN, reason->key);
        else printf("%-5lld jobs", (long long)reason->count);
        printf("  %-11s  %s: %s\n", job_state_name(state), reason->cause, reason->message);
    }
    if (listing->unexplained > 0) printf("... and %lld more %s for other reasons (--all)\n", (long long)listing->unexplained,
                                         job_state_name(state));
    listing->reason_count = 0;
    listing->unexplained = 0;
}

/* Each state once: running and ended ones job by job, waiting and blocked ones by their reasons. */
static Status print_state(Listing *listing, const char *study, JobState state, int64_t count)
{
    bool by_reason = state == STATE_WAITING || state == STATE_BLOCKED || state == STATE_SKIPPED;
    LedgerFilter filter = {.study = study, .state = (int)state};
    if (count == 0 || (by_reason && count > MOST_READ)) return OK;
    if (by_reason) {
        TRY(ledger_each_job(listing->ledger, &filter, add_reason, listing));
        print_reasons(listing, state);
        return OK;
    }
    listing->of_state = 0;
    TRY(ledger_each_job(listing->ledger, &filter, print_job, listing));
    if (listing->of_state > MOST_LINES)
        printf("... and %lld more %s (--all)\n", (long long)(listing->of_state - MOST_LINES), job_state_name(state));
    return OK;
}

/* Whole ------------------------------------------------------------------------------- */

/* Who runs, and what its users have asked of the study as a whole. */
static Status print_runner(const char *work, const char *study)
{
    bool live;
    char *holder;
    ControlRequests requests;
    TRY(runner_find(work, &live, &holder));
    if (live) printf("run by %s\n", holder != NULL ? holder : "another process");
    memory_free(holder);
    TRY(control_read(work, &requests));
    for (size_t i = 0; i < requests.count; i++) {
        const ControlRequest *request = &requests.items[i];
        if (request->target[0] != '@' || request->verb == CONTROL_RETRY) continue;
        if (study != NULL && strcmp(request->target + 1, study) != 0) continue;
        bool paused = request->verb == CONTROL_PAUSE;
        printf("study %s is %s: 'zeroth %s' lets it go on\n", request->target + 1, paused ? "paused" : "cancelled",
               paused ? "resume" : "retry");
    }
    control_free(&requests);
    return OK;
}

static Status print_heading(const char *work, const char *study, char **names, size_t count)
{
    bool known = study == NULL;
    for (size_t i = 0; i < count; i++) known |= study != NULL && strcmp(names[i], study) == 0;
    if (!known) return status_error(STATUS_NOT_FOUND, "no study '%s' in %s", study, work);
    printf("work directory %s; %s", work, study != NULL ? "study " : "studies");
    if (study != NULL) printf("%s", study);
    for (size_t i = 0; study == NULL && i < count; i++) printf("%s %s", i > 0 ? "," : "", names[i]);
    printf("\n");
    TRY(print_runner(work, study));
    printf("\n");
    return OK;
}

static Status print_jobs(Ledger *ledger, const char *work, const char *study, bool failed_only, bool all,
                         int64_t counts[STAGE_COUNT][JOB_STATE_COUNT])
{
    static const JobState SHOWN[] = {STATE_RUNNING, STATE_QUEUED, STATE_UNKNOWN, STATE_INTERRUPTED, STATE_FAILED,
                                     STATE_KILLED, STATE_PAUSED, STATE_CANCELLED, STATE_SKIPPED, STATE_BLOCKED,
                                     STATE_WAITING};
    Listing listing = {.work = work, .ledger = ledger, .all = all || failed_only};
    LedgerFilter filter = {.study = study, .state = failed_only ? (int)STATE_FAILED : -1};
    if (all || failed_only) return ledger_each_job(ledger, &filter, print_job, &listing);
    for (size_t i = 0; i < sizeof SHOWN / sizeof SHOWN[0]; i++) {
        int64_t count = 0;
        for (int stage = 0; stage < STAGE_COUNT; stage++) count += counts[stage][SHOWN[i]];
        TRY(print_state(&listing, study, SHOWN[i], count));
    }
    return OK;
}

static Status print_status(const char *work, const char *study, bool failed_only, bool all)
{
    Ledger *ledger;
    TRY(ledger_open_reader(work, &ledger));
    int64_t counts[STAGE_COUNT][JOB_STATE_COUNT];
    char **names = NULL;
    size_t name_count = 0;
    Status status = ledger_count_jobs(ledger, study, counts);
    if (status == OK) status = ledger_list_studies(ledger, &names, &name_count);
    if (status == OK) status = print_heading(work, study, names, name_count);
    if (status == OK) print_counts(counts);
    if (status == OK) status = print_jobs(ledger, work, study, failed_only, all, counts);
    names_free(names, name_count);
    ledger_close(ledger);
    return status;
}

int command_status(int argc, char **argv)
{
    CommonFlags common = {0};
    Arguments arguments;
    bool failed = false, all = false;
    const Flag flags[] = {{"--failed", NULL, FLAG_SWITCH, &failed}, {"--all", "-a", FLAG_SWITCH, &all}};
    char *name = NULL, *work = NULL;
    Status status = flags_parse(flags, 2, &common, argc, argv, &arguments);
    if (status == OK) status = arguments_expect(&arguments, 0, 1, "STUDY");
    if (status == OK && arguments.count > 0) status = find_named_study(&common, &arguments, &name, &work);
    const char *of = work != NULL ? work : default_work(&common);
    if (status == OK) sync_beside(of, false);
    if (status == OK) status = print_status(of, name, failed, all);
    if (status == OK && !failed) status = sync_print(of, name, all ? SIZE_MAX : 20, stdout);
    memory_free(work);
    memory_free(name);
    arguments_free(&arguments);
    return command_end(status);
}
