/* zeroth status [STUDY]: jobs and their states, from the ledger. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "commands/study_command.h"
#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "jobs/attempt.h"
#include "jobs/ledger.h"

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

typedef struct Listing {
    const char *work;
    int64_t shown;
} Listing;

static Status print_job(void *context, const LedgerJob *job)
{
    Listing *listing = context;
    char spent[16] = "", age[16];
    if (listing->shown++ == 0) printf("\n");
    if (job->seconds > 0) text_duration(job->seconds, spent, sizeof spent);
    double since = (double)time(NULL) - job->updated; /* whole seconds against parts of them */
    text_duration(since > 0 ? since : 0, age, sizeof age);
    printf("%-9s  %.*s  %-11s", job->stage, KEY_SHOWN, job->key, job_state_name(job->state));
    if (job->state == STATE_RUNNING) {
        /* What the ledger says may be of a runner that is gone; the job's lock knows. */
        bool live = false;
        Status status = attempt_is_live(listing->work, job->key, &live, NULL);
        if (status != OK) return status;
        if (job->total > 0) printf("  %lld/%lld", (long long)(job->step > 0 ? job->step : 0), (long long)job->total);
        printf(live ? "  last sign %s ago" : "  no process holds it: run the study again", age);
    } else {
        bool is_last = job->attempts <= 1 && job->cause[0] == '\0';
        printf("  %*s", is_last ? 0 : -7, spent);
    }
    if (job->attempts > 1) printf("  %lld attempts", (long long)job->attempts);
    if (job->cause[0] != '\0') printf("  %s: %s", job->cause, job->message);
    printf("\n");
    return OK;
}

/* The study's name: the argument itself, or what its YAML file says. */
static Status study_name(const Arguments *arguments, const CommonFlags *common, char **name, char **work)
{
    const char *argument = arguments->count > 0 ? arguments->items[0] : NULL;
    if (argument != NULL && is_study_file(argument)) return find_study(common, arguments, argument, name, work);
    *work = memory_copy_string(default_work(common));
    if (argument != NULL) *name = memory_copy_string(argument);
    return *work != NULL && (*name != NULL || argument == NULL) ? OK : status_no_memory(0, "a name");
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
    bool known = study == NULL;
    for (size_t i = 0; status == OK && i < name_count; i++) known |= study != NULL && strcmp(names[i], study) == 0;
    if (status == OK && !known)
        status = status_error(STATUS_NOT_FOUND, "no study '%s' in %s", study, work);
    if (status == OK) {
        printf("work directory %s; %s", work, study != NULL ? "study " : "studies");
        if (study != NULL) printf("%s", study);
        for (size_t i = 0; study == NULL && i < name_count; i++) printf("%s %s", i > 0 ? "," : "", names[i]);
        printf("\n\n");
        print_counts(counts);
    }
    static const JobState SHOWN[] = {STATE_RUNNING, STATE_INTERRUPTED, STATE_FAILED, STATE_KILLED, STATE_BLOCKED};
    Listing listing = {.work = work};
    for (size_t i = 0; status == OK && i < sizeof SHOWN / sizeof SHOWN[0]; i++) {
        LedgerFilter filter = {.study = study, .state = SHOWN[i]};
        bool wanted = failed_only ? SHOWN[i] == STATE_FAILED : SHOWN[i] != STATE_BLOCKED;
        if (wanted && !all) status = ledger_each_job(ledger, &filter, print_job, &listing);
    }
    LedgerFilter every = {.study = study, .state = -1};
    if (status == OK && all) status = ledger_each_job(ledger, &every, print_job, &listing);
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
    if (status == OK) status = study_name(&arguments, &common, &name, &work);
    if (status == OK) status = print_status(work, name, failed, all);
    memory_free(work);
    memory_free(name);
    arguments_free(&arguments);
    return command_end(status);
}
