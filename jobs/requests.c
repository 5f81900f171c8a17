#include "jobs/requests.h"

#include <assert.h>
#include <string.h>

#include "framework/memory.h"

static const char *const ACTIONS[] = {
#define X(action, name) [action] = name,
    REQUEST_ACTIONS(X)
#undef X
};
static_assert(sizeof ACTIONS / sizeof ACTIONS[0] == REQUEST_ACTION_COUNT, "every action has a name");

bool request_action_from_name(const char *name, RequestAction *action)
{
    for (int i = 0; i < REQUEST_ACTION_COUNT; i++) {
        if (strcmp(name, ACTIONS[i]) != 0) continue;
        *action = (RequestAction)i;
        return true;
    }
    return false;
}

typedef struct Found {
    char key[HASH_HEX_SIZE], stage[16];
    JobState state;
    size_t count; /* jobs whose keys begin with the prefix */
} Found;

static Status take_job(void *context, const LedgerJob *job)
{
    Found *found = context;
    if (found->count++ > 0) return OK;
    strcpy(found->key, job->key);
    strncpy(found->stage, job->stage, sizeof found->stage - 1);
    found->state = job->state;
    return OK;
}

static Status find_job(Ledger *ledger, const char *study, const char *prefix, Found *found)
{
    *found = (Found){0};
    LedgerFilter filter = {.study = study, .prefix = prefix, .state = -1};
    TRY(ledger_each_job(ledger, &filter, take_job, found));
    if (found->count == 0)
        return status_error(STATUS_NOT_FOUND, "no job of study '%s' has a key that begins with '%s': see 'zeroth status --all'",
                            study, prefix);
    if (found->count > 1)
        return status_error(STATUS_USAGE, "'%s' begins the keys of %zu jobs: give more digits", prefix, found->count);
    return OK;
}

static const char *what_it_does(RequestAction action, JobState state)
{
    bool stopped = state == STATE_CANCELLED || state == STATE_FAILED;
    if (state == STATE_FINISHED) return "is finished already";
    switch (action) {
    case REQUEST_PAUSE: return stopped ? "has ended; it pauses if it is retried" : "is paused";
    case REQUEST_RESUME: return state == STATE_PAUSED ? "is resumed" : "may go on";
    case REQUEST_CANCEL: return "is cancelled";
    default: return "is tried again";
    }
}

static Status apply(const char *work, RequestAction action, const char *key, const char *study)
{
    switch (action) {
    case REQUEST_PAUSE: return control_set(work, CONTROL_PAUSE, key, study);
    case REQUEST_RESUME: return control_clear(work, CONTROL_PAUSE, key, study);
    case REQUEST_CANCEL: return control_set(work, CONTROL_CANCEL, key, study);
    default:
        TRY(control_clear(work, CONTROL_CANCEL, key, study));
        return control_set(work, CONTROL_RETRY, key, study);
    }
}

/* Requests for single jobs of a study, taken away with the study's own: "resume" of all is of all. */
static Status clear_jobs(const char *work, const char *study, ControlVerb verb)
{
    ControlRequests requests;
    Ledger *ledger = NULL;
    Status opened = ledger_open_reader(work, &ledger);
    if (status_code(opened) == STATUS_NOT_FOUND) { /* it has never run: no job has been asked for */
        status_free(opened);
        return OK;
    }
    TRY(opened);
    Status status = control_read(work, &requests);
    for (size_t i = 0; i < requests.count && status == OK; i++) {
        if (requests.items[i].verb != verb || requests.items[i].target[0] == '@') continue;
        Found found = {0};
        LedgerFilter filter = {.study = study, .prefix = requests.items[i].target, .state = -1};
        status = ledger_each_job(ledger, &filter, take_job, &found);
        if (status == OK && found.count > 0) status = control_clear(work, verb, requests.items[i].target, NULL);
    }
    control_free(&requests);
    ledger_close(ledger);
    return status;
}

static Status request_study(const char *work, const char *study, RequestAction action, RequestTeller tell, void *context)
{
    TRY(apply(work, action, NULL, study));
    if (action == REQUEST_RESUME) TRY(clear_jobs(work, study, CONTROL_PAUSE));
    if (action == REQUEST_RETRY) TRY(clear_jobs(work, study, CONTROL_CANCEL));
    tell(context, NULL, action == REQUEST_PAUSE    ? "is paused"
                        : action == REQUEST_RESUME ? "is resumed"
                        : action == REQUEST_CANCEL ? "is cancelled"
                                                   : "has its failed and cancelled jobs tried again");
    return OK;
}

Status request_jobs(const char *work, const char *study, RequestAction action, char *const *prefixes, size_t count,
                    RequestTeller tell, void *context)
{
    if (count == 0) return request_study(work, study, action, tell, context);
    Found *found = memory_alloc_zero(count, sizeof *found);
    Ledger *ledger = NULL;
    Status status = found != NULL ? ledger_open_reader(work, &ledger) : status_no_memory(count * sizeof *found, "a list of jobs");
    for (size_t i = 0; i < count && status == OK; i++) status = find_job(ledger, study, prefixes[i], &found[i]);
    for (size_t i = 0; i < count && status == OK; i++) {
        /* A finished job needs no more, but a request that is there already goes. */
        bool done = found[i].state == STATE_FINISHED && (action == REQUEST_PAUSE || action == REQUEST_CANCEL);
        if (!done) status = apply(work, action, found[i].key, study);
        LedgerJob job = {.key = found[i].key, .stage = found[i].stage, .state = found[i].state};
        if (status == OK) tell(context, &job, what_it_does(action, found[i].state));
    }
    ledger_close(ledger);
    memory_free(found);
    return status;
}
