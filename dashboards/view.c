#include "dashboards/view.h"

#include <math.h>
#include <string.h>

#include "dashboards/variants.h"
#include "framework/log.h"
#include "jobs/ledger_query.h"

#define LATELY 60.0  /* seconds before the newest change in which others may still be unread */
#define ALL_EVERY 20 /* refreshes */

static Status no_memory(void)
{
    return status_no_memory(0, "a study's jobs");
}

/* What the callbacks of one reading share. */
typedef struct Reading {
    View *view;
    Ledger *ledger;
    size_t capacity;      /* of the array that is read */
    uint32_t *finished;   /* jobs that have become finished */
    size_t finished_count, finished_capacity;
    bool strange;         /* a job that the view does not know */
} Reading;

static void clear_jobs(View *view)
{
    for (size_t i = 0; i < view->job_count; i++) {
        memory_free(view->jobs[i].cause);
        memory_free(view->jobs[i].message);
        memory_free(view->jobs[i].results);
    }
    memory_free(view->jobs);
    view->jobs = NULL;
    view->job_count = 0;
    hash_map_free(&view->places);
    view->places = (HashMap){0};
    for (size_t i = 0; i < view->metric_count; i++) memory_free(view->metrics[i]);
    memory_free(view->metrics);
    view->metrics = NULL;
    view->metric_count = 0;
    memory_free(view->trials);
    memory_free(view->groups);
    view->trials = NULL;
    view->groups = NULL;
    view->trial_count = view->group_count = 0;
    memory_free(view->settings);
    view->settings = NULL;
}

void view_destroy(View *view)
{
    if (view == NULL) return;
    clear_jobs(view);
    if (view->arena != NULL) arena_destroy(view->arena);
    memory_free(view->study);
    memory_free(view->path);
    memory_free(view);
}

uint32_t view_find_job(const View *view, const char *key)
{
    Hash128 hash;
    uint32_t place;
    if (key == NULL || !hash_from_hex(key, &hash) || !hash_map_find(&view->places, hash, &place)) return VIEW_NO_JOB;
    return place;
}

int view_find_metric(const View *view, const char *name)
{
    for (size_t i = 0; i < view->metric_count; i++)
        if (strcmp(view->metrics[i], name) == 0) return (int)i;
    return -1;
}

double view_result(const View *view, size_t trial, int metric)
{
    uint32_t last = view->trials[trial].last;
    if (last == VIEW_NO_JOB || metric < 0 || (size_t)metric >= view->jobs[last].result_count) return (double)NAN;
    return view->jobs[last].results[metric];
}

/* Jobs ---------------------------------------------------------------------- */

static bool same_text(const char *mine, const char *theirs)
{
    return strcmp(mine != NULL ? mine : "", theirs) == 0;
}

static Status set_text(char **mine, const char *theirs)
{
    if (same_text(*mine, theirs)) return OK;
    memory_free(*mine);
    *mine = NULL;
    if (theirs[0] == '\0') return OK;
    *mine = memory_copy_string(theirs);
    return *mine != NULL ? OK : no_memory();
}

static bool same_job(const ViewJob *mine, const LedgerJob *theirs)
{
    return mine->state == theirs->state && mine->attempts == theirs->attempts && mine->step == theirs->step &&
           mine->total == theirs->total && mine->seconds == theirs->seconds && mine->updated == theirs->updated &&
           mine->trials == theirs->trials && same_text(mine->cause, theirs->cause) &&
           same_text(mine->message, theirs->message);
}

static Status copy_job(View *view, ViewJob *mine, const LedgerJob *theirs)
{
    if (theirs->updated > view->latest) view->latest = theirs->updated;
    mine->state = theirs->state;
    mine->attempts = theirs->attempts;
    mine->step = theirs->step;
    mine->total = theirs->total;
    mine->seconds = theirs->seconds;
    mine->updated = theirs->updated;
    mine->trials = theirs->trials;
    mine->changed = view->change;
    TRY(set_text(&mine->cause, theirs->cause));
    return set_text(&mine->message, theirs->message);
}

static Status add_job(void *context, const LedgerJob *job)
{
    Reading *reading = context;
    View *view = reading->view;
    Hash128 hash;
    uint32_t found;
    StageId stage;
    if (!hash_from_hex(job->key, &hash) || !stage_from_name(job->stage, &stage)) return OK; /* of a later program */
    if (view->job_count == reading->capacity) {
        size_t capacity = reading->capacity == 0 ? 256 : 2 * reading->capacity;
        ViewJob *larger = memory_resize(view->jobs, capacity * sizeof *larger);
        if (larger == NULL) return no_memory();
        view->jobs = larger;
        reading->capacity = capacity;
    }
    TRY(hash_map_insert(&view->places, hash, (uint32_t)view->job_count, &found));
    ViewJob *mine = &view->jobs[view->job_count++];
    *mine = (ViewJob){.stage = stage};
    memcpy(mine->key, job->key, HASH_HEX_SIZE);
    for (int i = 0; i < STAGE_COUNT; i++) mine->inputs[i] = VIEW_NO_JOB;
    return copy_job(view, mine, job);
}

static Status note_finished(Reading *reading, uint32_t place)
{
    if (reading->finished_count == reading->finished_capacity) {
        size_t capacity = reading->finished_capacity == 0 ? 16 : 2 * reading->finished_capacity;
        uint32_t *larger = memory_resize(reading->finished, capacity * sizeof *larger);
        if (larger == NULL) return no_memory();
        reading->finished = larger;
        reading->finished_capacity = capacity;
    }
    reading->finished[reading->finished_count++] = place;
    return OK;
}

static Status update_job(void *context, const LedgerJob *job)
{
    Reading *reading = context;
    uint32_t place = view_find_job(reading->view, job->key);
    if (place == VIEW_NO_JOB) {
        reading->strange = true;
        return OK;
    }
    ViewJob *mine = &reading->view->jobs[place];
    if (same_job(mine, job)) return OK;
    if (job->state == STATE_FINISHED && mine->state != STATE_FINISHED) TRY(note_finished(reading, place));
    reading->view->change++;
    return copy_job(reading->view, mine, job);
}

/* Puts the places of a JSON object's keys (stage to key) into `places`. */
static Status read_places(const View *view, const char *text, uint32_t places[STAGE_COUNT])
{
    Json *object;
    for (int i = 0; i < STAGE_COUNT; i++) places[i] = VIEW_NO_JOB;
    if (text[0] == '\0') return OK;
    TRY(json_parse(text, strlen(text), "the ledger", &object));
    for (size_t i = 0; object->type == JSON_OBJECT && i < object->count; i++) {
        StageId stage;
        if (stage_from_name(object->keys[i], &stage) && object->items[i].type == JSON_STRING)
            places[stage] = view_find_job(view, object->items[i].string);
    }
    json_destroy(object);
    return OK;
}

static Status take_inputs(void *context, const char *key, const char *inputs)
{
    View *view = context;
    uint32_t place = view_find_job(view, key);
    return place == VIEW_NO_JOB ? OK : read_places(view, inputs, view->jobs[place].inputs);
}

/* Results ------------------------------------------------------------------- */

static Status add_metric(View *view, const char *name, int *index)
{
    *index = view_find_metric(view, name);
    if (*index >= 0) return OK;
    char **larger = memory_resize(view->metrics, (view->metric_count + 1) * sizeof *larger);
    if (larger == NULL) return no_memory();
    view->metrics = larger;
    if ((view->metrics[view->metric_count] = memory_copy_string(name)) == NULL) return no_memory();
    *index = (int)view->metric_count++;
    return OK;
}

static Status take_result(void *context, const char *key, const char *name, double value)
{
    View *view = context;
    uint32_t place = view_find_job(view, key);
    int index;
    if (place == VIEW_NO_JOB) return OK;
    TRY(add_metric(view, name, &index));
    ViewJob *job = &view->jobs[place];
    if ((size_t)index >= job->result_count) {
        size_t count = view->metric_count;
        double *larger = memory_resize(job->results, count * sizeof *larger);
        if (larger == NULL) return no_memory();
        for (size_t i = job->result_count; i < count; i++) larger[i] = (double)NAN;
        job->results = larger;
        job->result_count = count;
    }
    job->results[index] = value;
    return OK;
}

/* Trials -------------------------------------------------------------------- */

static Status take_trial(void *context, const LedgerTrial *trial)
{
    Reading *reading = context;
    View *view = reading->view;
    if (view->trial_count == reading->capacity) {
        size_t capacity = reading->capacity == 0 ? 256 : 2 * reading->capacity;
        ViewTrial *larger = memory_resize(view->trials, capacity * sizeof *larger);
        if (larger == NULL) return no_memory();
        view->trials = larger;
        reading->capacity = capacity;
    }
    ViewTrial *mine = &view->trials[view->trial_count++];
    *mine = (ViewTrial){.seed = trial->seed, .last = VIEW_NO_JOB};
    mine->variant = arena_copy_string(view->arena, trial->variant);
    mine->group = arena_copy_string(view->arena, trial->group);
    mine->axes = arena_copy_string(view->arena, trial->axes[0] != '\0' ? trial->axes : "{}");
    if (mine->variant == NULL || mine->group == NULL || mine->axes == NULL) return no_memory();
    TRY(read_places(view, trial->jobs, mine->jobs));
    mine->last = mine->jobs[STAGE_EVALUATE];
    return OK;
}

/* Groups of trials by name, found by the hash of it. */
static Status make_groups(View *view)
{
    HashMap map = {0};
    Status status = OK;
    view->groups = memory_alloc_zero(view->trial_count + 1, sizeof *view->groups);
    if (view->groups == NULL) return no_memory();
    for (size_t t = 0; t < view->trial_count && status == OK; t++) {
        ViewTrial *trial = &view->trials[t];
        uint32_t group;
        status = hash_map_insert(&map, hash_bytes(trial->group, strlen(trial->group)), (uint32_t)view->group_count, &group);
        if (status != OK) break;
        if (group == view->group_count)
            view->groups[view->group_count++] = (ViewGroup){.name = trial->group, .first_trial = (uint32_t)t};
        view->groups[group].trials++;
        trial->group_index = group;
    }
    hash_map_free(&map);
    return status;
}

/* All ------------------------------------------------------------------------ */

typedef struct StudyLook {
    const char *name;
    char *path;
    double recorded;
    bool found;
} StudyLook;

static Status look_at_study(void *context, const LedgerStudy *study)
{
    StudyLook *look = context;
    if (strcmp(study->name, look->name) != 0) return OK;
    look->found = true;
    look->recorded = study->recorded;
    look->path = memory_copy_string(study->path);
    return look->path != NULL ? OK : no_memory();
}

static Status load(View *view, Ledger *ledger, const char *work)
{
    Reading reading = {.view = view, .ledger = ledger};
    LedgerFilter filter = {.study = view->study, .state = -1};
    clear_jobs(view);
    if (view->arena == NULL) view->arena = arena_create(1 << 16);
    if (view->arena == NULL) return no_memory();
    arena_reset(view->arena);
    view->epoch++;
    view->change++;
    TRY(ledger_each_job(ledger, &filter, add_job, &reading));
    TRY(ledger_each_inputs(ledger, view->study, take_inputs, view));
    reading.capacity = 0;
    TRY(ledger_each_trial(ledger, view->study, take_trial, &reading));
    TRY(make_groups(view));
    TRY(ledger_each_study_result(ledger, view->study, take_result, view));
    return variants_read(work, view->study, &view->settings);
}

Status view_create(Ledger *ledger, const char *work, const char *study, View **out)
{
    *out = NULL;
    StudyLook look = {.name = study};
    Status status = ledger_each_study(ledger, look_at_study, &look);
    if (status == OK && !look.found) status = status_error(STATUS_NOT_FOUND, "no study '%s' in %s", study, work);
    View *view = status == OK ? memory_alloc_zero(1, sizeof *view) : NULL;
    if (view == NULL) {
        memory_free(look.path);
        return status != OK ? status : no_memory();
    }
    view->path = look.path;
    view->recorded = look.recorded;
    view->study = memory_copy_string(study);
    status = view->study == NULL ? no_memory() : load(view, ledger, work);
    if (status == OK)
        *out = view;
    else
        view_destroy(view);
    return status;
}

Status view_refresh(View *view, Ledger *ledger, const char *work)
{
    StudyLook look = {.name = view->study};
    TRY(ledger_each_study(ledger, look_at_study, &look));
    if (!look.found) return status_error(STATUS_NOT_FOUND, "no study '%s' in %s", view->study, work);
    memory_free(view->path);
    view->path = look.path;
    Reading reading = {.view = view, .ledger = ledger};
    bool planned_anew = look.recorded != view->recorded;
    Status status = OK;
    if (!planned_anew) {
        /* What was written lately is read each time; all, now and then, for clocks may be set back. */
        bool all = ++view->refreshes % ALL_EVERY == 0;
        status = ledger_each_changed(ledger, view->study, all ? 0 : view->latest - LATELY, update_job, &reading);
        for (size_t i = 0; status == OK && i < reading.finished_count; i++)
            status = ledger_each_job_result(ledger, view->jobs[reading.finished[i]].key, take_result, view);
    }
    memory_free(reading.finished);
    if (status == OK && (planned_anew || reading.strange)) {
        view->recorded = look.recorded;
        status = load(view, ledger, work);
    }
    return status;
}
