/* What could start now, and which of it does. */
#include <string.h>

#include "framework/memory.h"
#include "jobs/runner_private.h"

/* A job that does not fit lets smaller ones pass so often, and so long; then nothing starts until it does. */
#define MOST_OVERTAKEN 16
#define LONGEST_OVERTAKEN 300.0

ExecutorTask runner_task(const Runner *runner, uint32_t job)
{
    ExecutorTask task = {.resources = runner->plan->jobs[job].resources, .alone = runner->jobs[job].alone};
    task.resources.memory = runner->jobs[job].memory;
    return task;
}

/* Heaps ------------------------------------------------------------------------------- */

/* Whether job a goes before b of the same class. */
static bool goes_before(const Runner *runner, uint32_t a, uint32_t b)
{
    int x = runner->jobs[a].priority, y = runner->jobs[b].priority;
    return x != y ? x > y : a < b;
}

static void sift_up(const Runner *runner, uint32_t *items, size_t at)
{
    for (; at > 0 && goes_before(runner, items[at], items[(at - 1) / 2]); at = (at - 1) / 2) {
        uint32_t kept = items[at];
        items[at] = items[(at - 1) / 2];
        items[(at - 1) / 2] = kept;
    }
}

static void sift_down(const Runner *runner, uint32_t *items, size_t count, size_t at)
{
    for (;;) {
        size_t first = at, left = 2 * at + 1;
        for (size_t child = left; child < left + 2 && child < count; child++)
            if (goes_before(runner, items[child], items[first])) first = child;
        if (first == at) return;
        uint32_t kept = items[at];
        items[at] = items[first];
        items[first] = kept;
        at = first;
    }
}

static uint32_t take_item(Runner *runner, ReadyClass *class, size_t at)
{
    uint32_t job = class->items[at];
    class->items[at] = class->items[--class->count];
    if (at < class->count) {
        sift_up(runner, class->items, at);
        sift_down(runner, class->items, class->count, at);
    }
    runner->jobs[job].queued = false;
    return job;
}

static bool is_alike(const ExecutorTask *a, const ExecutorTask *b)
{
    return a->resources.threads == b->resources.threads && a->resources.ranks == b->resources.ranks &&
           a->resources.gpus == b->resources.gpus && a->resources.memory == b->resources.memory && a->alone == b->alone;
}

static Status find_class(Runner *runner, uint32_t job, ReadyClass **class)
{
    ExecutorTask task = runner_task(runner, job);
    StageId stage = runner->plan->jobs[job].stage;
    for (size_t i = 0; i < runner->class_count; i++) {
        *class = &runner->classes[i];
        if ((*class)->stage == stage && is_alike(&(*class)->task, &task)) return OK;
    }
    if (runner->class_count == runner->class_capacity) {
        size_t capacity = runner->class_capacity > 0 ? runner->class_capacity * 2 : 16;
        ReadyClass *classes = memory_resize(runner->classes, capacity * sizeof *classes);
        if (classes == NULL) return status_no_memory(capacity * sizeof *classes, "queues of jobs");
        runner->classes = classes;
        runner->class_capacity = capacity;
    }
    *class = &runner->classes[runner->class_count++];
    **class = (ReadyClass){.stage = stage, .task = task};
    return OK;
}

/* Becoming ready ------------------------------------------------------------------------ */

static Status append(uint32_t **items, size_t *count, size_t *capacity, uint32_t job)
{
    if (*count == *capacity) {
        size_t larger = *capacity > 0 ? *capacity * 2 : 64;
        uint32_t *resized = memory_resize(*items, larger * sizeof *resized);
        if (resized == NULL) return status_no_memory(larger * sizeof *resized, "a queue of jobs");
        *items = resized;
        *capacity = larger;
    }
    (*items)[(*count)++] = job;
    return OK;
}

static Status enqueue(Runner *runner, uint32_t job)
{
    ReadyClass *class = NULL;
    TRY(find_class(runner, job, &class));
    TRY(append(&class->items, &class->count, &class->capacity, job));
    sift_up(runner, class->items, class->count - 1);
    return OK;
}

Status runner_make_ready(Runner *runner, uint32_t job)
{
    RunnerJob *own = &runner->jobs[job];
    if (own->queued) return OK;
    own->queued = true;
    if (own->not_before > runner_now())
        return append(&runner->resting, &runner->resting_count, &runner->resting_capacity, job);
    return enqueue(runner, job);
}

Status runner_wake(Runner *runner)
{
    double now = runner_now();
    for (size_t i = 0; i < runner->resting_count;) {
        uint32_t job = runner->resting[i];
        if (runner->jobs[job].state == STATE_WAITING && runner->jobs[job].not_before > now) {
            i++;
            continue;
        }
        runner->resting[i] = runner->resting[--runner->resting_count];
        if (runner->jobs[job].state == STATE_WAITING)
            TRY(enqueue(runner, job));
        else
            runner->jobs[job].queued = false;
    }
    return OK;
}

double runner_next_wake(const Runner *runner, double most)
{
    double now = runner_now(), least = most;
    for (size_t i = 0; i < runner->resting_count; i++) {
        double left = runner->jobs[runner->resting[i]].not_before - now;
        if (left < least) least = left;
    }
    return least > 0 ? least : 0.001;
}

/* Paused, cancelled and blocked jobs stay in their heap until they come up. */
static void drop_stale(Runner *runner, ReadyClass *class)
{
    while (class->count > 0 && runner->jobs[class->items[0]].state != STATE_WAITING) take_item(runner, class, 0);
}

bool runner_has_ready(const Runner *runner)
{
    for (size_t c = 0; c < runner->class_count; c++)
        for (size_t i = 0; i < runner->classes[c].count; i++)
            if (runner->jobs[runner->classes[c].items[i]].state == STATE_WAITING) return true;
    return runner->resting_count > 0;
}

/* Choosing ------------------------------------------------------------------------------- */

/* Until a job of the stage has shown that it works, one at a time is tried. */
static bool must_wait_for_first(const Runner *runner, StageId stage)
{
    return !runner->options->keep_going && !runner->proved[stage] && runner->running_of_stage[stage] > 0;
}

static const Trial *first_trial(const Runner *runner, uint32_t job)
{
    return &runner->plan->study->trials[runner->plan->jobs[job].first_trial];
}

/* How unlike a job is to those that have failed in its stage: 2 of another variant, 1 of another group of trials. */
static int newness(const Runner *runner, uint32_t job)
{
    int least = 2;
    const Trial *trial = first_trial(runner, job);
    for (size_t i = 0; i < runner->failure_count; i++) {
        uint32_t failed = runner->failures[i].job;
        if (runner->plan->jobs[failed].stage != runner->plan->jobs[job].stage) continue;
        const Trial *other = first_trial(runner, failed);
        int own = strcmp(trial->variant, other->variant) != 0 ? 2 : strcmp(trial->group, other->group) != 0 ? 1 : 0;
        if (own < least) least = own;
    }
    return least;
}

/* The place in the heap of the job to take: its first, but after a failure of an unproved stage, one unlike those. */
static size_t choose_item(const Runner *runner, const ReadyClass *class)
{
    size_t best = 0;
    if (runner->proved[class->stage] || runner->failure_count == 0) return best;
    int best_newness = newness(runner, class->items[0]);
    for (size_t i = 1; i < class->count && best_newness < 2; i++) {
        if (runner->jobs[class->items[i]].state != STATE_WAITING) continue;
        int own = newness(runner, class->items[i]);
        if (own < best_newness || (own == best_newness && !goes_before(runner, class->items[i], class->items[best])))
            continue;
        best = i;
        best_newness = own;
    }
    return best;
}

/* Whether class a goes before b: by priority, then the deeper stage, then order of the plan. */
static bool class_goes_before(const Runner *runner, const ReadyClass *a, const ReadyClass *b)
{
    int x = runner->jobs[a->items[0]].priority, y = runner->jobs[b->items[0]].priority;
    if (x != y) return x > y;
    return a->stage != b->stage ? a->stage > b->stage : a->items[0] < b->items[0];
}

/* The first class after `after` (NULL: of all) in that order; NULL where there is none. */
static ReadyClass *next_class(Runner *runner, const ReadyClass *after)
{
    ReadyClass *next = NULL;
    for (size_t i = 0; i < runner->class_count; i++) {
        ReadyClass *class = &runner->classes[i];
        if (class->count == 0 || class == after) continue;
        if (after != NULL && !class_goes_before(runner, after, class)) continue;
        if (next == NULL || class_goes_before(runner, class, next)) next = class;
    }
    return next;
}

static bool is_fed_up(const ReadyClass *class, double now)
{
    return class->overtaken >= MOST_OVERTAKEN ||
           (class->overtaken_since > 0 && now - class->overtaken_since > LONGEST_OVERTAKEN);
}

uint32_t runner_take_ready(Runner *runner)
{
    if (runner->options->jobs > 0 && runner->running_count >= (size_t)runner->options->jobs) return NO_JOB;
    double now = runner_now();
    for (size_t i = 0; i < runner->class_count; i++) drop_stale(runner, &runner->classes[i]);
    ReadyClass *taken = next_class(runner, NULL);
    for (; taken != NULL; taken = next_class(runner, taken)) {
        if (must_wait_for_first(runner, taken->stage)) continue;
        if (runner->executor->has_room(runner->executor, &taken->task)) break;
        if (is_fed_up(taken, now)) return NO_JOB; /* room is kept until it fits */
    }
    if (taken == NULL) return NO_JOB;
    for (ReadyClass *passed = next_class(runner, NULL); passed != taken; passed = next_class(runner, passed)) {
        if (must_wait_for_first(runner, passed->stage)) continue;
        passed->overtaken++;
        if (passed->overtaken_since <= 0) passed->overtaken_since = now;
    }
    taken->overtaken = 0;
    taken->overtaken_since = 0;
    return take_item(runner, taken, choose_item(runner, taken));
}
