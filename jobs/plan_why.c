#include "jobs/plan_why.h"

#include <string.h>

#include "framework/files.h"
#include "jobs/artifact.h"
#include "jobs/halving.h"
#include "jobs/ledger.h"
#include "jobs/plan_facts.h"

#define MOST_SHOWN 4 /* differences in one line */

/* What the ledger says of a job. */
typedef struct Past {
    JobState state;
    int64_t attempts, step, total;
    const char *cause, *message;
} Past;

struct PlanWhy {
    const Plan *plan;
    FactBook book;
    Facts facts;       /* of the job that is asked about */
    HashMap past_of;   /* job's key: number in `past` */
    Past *past;
    size_t past_count, past_capacity;
};

static Status no_memory(void)
{
    return status_no_memory(0, "why jobs are to do");
}

/* The ledger ------------------------------------------------------------------ */

static Status keep_past(void *context, const LedgerJob *job)
{
    PlanWhy *why = context;
    Hash128 hash;
    uint32_t number;
    if (!hash_from_hex(job->key, &hash)) return OK;
    if (why->past_count == why->past_capacity) {
        size_t capacity = why->past_capacity > 0 ? why->past_capacity * 2 : 64;
        Past *past = memory_resize(why->past, capacity * sizeof *past);
        if (past == NULL) return no_memory();
        why->past = past;
        why->past_capacity = capacity;
    }
    Past *past = &why->past[why->past_count];
    *past = (Past){.state = job->state, .attempts = job->attempts, .step = job->step, .total = job->total,
                   .cause = arena_copy_string(why->book.arena, job->cause != NULL ? job->cause : ""),
                   .message = arena_copy_string(why->book.arena, job->message != NULL ? job->message : "")};
    if (past->cause == NULL || past->message == NULL) return no_memory();
    return hash_map_insert(&why->past_of, hash, (uint32_t)why->past_count++, &number);
}

static const Past *find_past(const PlanWhy *why, const PlanJob *job)
{
    Hash128 hash;
    uint32_t number;
    bool found = hash_from_hex(job->key, &hash) && hash_map_find(&why->past_of, hash, &number);
    return found ? &why->past[number] : NULL;
}

/* The job itself ---------------------------------------------------------------- */

static Status tell_damage(const PlanWhy *why, const PlanJob *job, Text *out)
{
    Status status = artifact_check(why->plan->work, job->key, false);
    if (status_code(status) == STATUS_NO_MEMORY) return status;
    text_format(out, "its artifact is damaged: %s", status_message(status));
    status_free(status);
    return OK;
}

static void tell_past(const Past *past, Text *out)
{
    switch (past->state) {
    case STATE_FAILED:
        text_format(out, "last attempt failed: %s: %s", past->cause, past->message);
        break;
    case STATE_KILLED: text_append(out, "last attempt was killed"); break;
    case STATE_INTERRUPTED: text_append(out, "interrupted"); break;
    case STATE_FINISHED: text_append(out, "its artifact is gone"); break;
    case STATE_WAITING: text_append(out, past->attempts > 0 ? "not finished" : "never run"); break;
    default: text_append(out, job_state_name(past->state)); break;
    }
    if (past->total > 0 && past->step > 0 && past->state != STATE_FINISHED)
        text_format(out, " at step %lld of %lld", (long long)past->step, (long long)past->total);
}

static Status tell_itself(const PlanWhy *why, const PlanJob *job, Text *out)
{
    const Past *past = find_past(why, job);
    if (job->damaged) return tell_damage(why, job, out);
    if (past != NULL) {
        tell_past(past, out);
        return OK;
    }
    char *run = run_directory(why->plan->work, job->key);
    if (run == NULL) return no_memory();
    text_append(out, file_exists(run) ? "an earlier attempt did not finish" : "never run");
    memory_free(run);
    return OK;
}

/* Differences -------------------------------------------------------------------- */

typedef struct Listing {
    const PlanWhy *why;
    Text *out;
    bool whole;
    uint32_t told, total;
} Listing;

/* Begins a difference; false where enough are told. */
static bool begin_difference(Listing *listing)
{
    bool shown = listing->whole || listing->told < MOST_SHOWN;
    listing->told++;
    if (shown) text_append(listing->out, listing->whole ? "\n  " : listing->told == 1 ? ": " : "; ");
    return shown;
}

static void tell_change(Listing *listing, const char *name, uint32_t before, uint32_t now)
{
    const char *from = facts_text(&listing->why->book, before), *to = facts_text(&listing->why->book, now);
    if (!begin_difference(listing)) return;
    text_format(listing->out, "%s: %s -> %s", name, from[0] != '\0' ? from : "\"\"", to[0] != '\0' ? to : "\"\"");
}

/* The "KEY=HASH" at `text`: its length, and that of the key in it, 0 where there is none. */
static size_t part_length(const char *text, size_t *key)
{
    size_t length = strcspn(text, " ");
    const char *equals = memchr(text, '=', length);
    *key = equals != NULL ? (size_t)(equals - text) : 0;
    return length;
}

static bool has_part(const char *fingerprint, const char *part, size_t bytes)
{
    for (size_t key, length; *fingerprint != '\0'; fingerprint += length, fingerprint += *fingerprint == ' ') {
        length = part_length(fingerprint, &key);
        if (length == bytes && strncmp(fingerprint, part, bytes) == 0) return true;
    }
    return false;
}

/* Names the parts that are no longer what they were; false where the fingerprint has none. */
static bool tell_parts(Listing *listing, const char *now, const char *before)
{
    bool any = false;
    for (size_t key, length; *now != '\0'; now += length, now += *now == ' ') {
        length = part_length(now, &key);
        if (key == 0 || has_part(before, now, length)) continue;
        text_format(listing->out, "%s%.*s", any ? ", " : "", (int)key, now);
        any = true;
    }
    return any;
}

/* The files that a stage reads from outside are others: changed where they are, or behind another path. */
static void tell_files(Listing *listing, int stage, const Facts *now, const Facts *before)
{
    const FactBook *book = &listing->why->book;
    if (!begin_difference(listing)) return;
    text_format(listing->out, "%s reads other files by ", stage_name((StageId)stage));
    if (!tell_parts(listing, facts_text(book, now->fingerprints[stage]), facts_text(book, before->fingerprints[stage])))
        text_append(listing->out, "its paths");
    for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++)
        if ((CONFIG_SCHEMA[i].stages & 1u << stage) != 0 && now->paths[i] != before->paths[i] &&
            before->paths[i] > FACT_UNKNOWN)
            text_format(listing->out, " (%s: %s -> %s)", CONFIG_SCHEMA[i].name, facts_text(book, before->paths[i]),
                        facts_text(book, now->paths[i]));
}

static void tell_stage(Listing *listing, int stage, const Facts *now, const Facts *before)
{
    char name[64];
    if (facts_is_unknown(before, stage)) {
        if (facts_key_differs(now, before, stage) && begin_difference(listing))
            text_format(listing->out, "input %s: %.*s -> %.*s, and the former's artifact is gone",
                        stage_name((StageId)stage), KEY_SHOWN, facts_text(&listing->why->book, before->keys[stage]),
                        KEY_SHOWN, facts_text(&listing->why->book, now->keys[stage]));
        return;
    }
    snprintf(name, sizeof name, "version of stage %s", stage_name((StageId)stage));
    if (before->versions[stage] != now->versions[stage])
        tell_change(listing, name, before->versions[stage], now->versions[stage]);
    if (facts_files_differ(now, before, stage)) tell_files(listing, stage, now, before);
}

static void tell_differences(Listing *listing, const Facts *before)
{
    const Facts *now = &listing->why->facts;
    for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++)
        if (now->values[i] != before->values[i] && before->values[i] != FACT_UNKNOWN)
            tell_change(listing, CONFIG_SCHEMA[i].name, before->values[i], now->values[i]);
    for (int stage = 0; stage < STAGE_COUNT; stage++) tell_stage(listing, stage, now, before);
    for (uint32_t i = 0; i < before->strays; i++)
        if (begin_difference(listing))
            text_format(listing->out, i == 0 ? "%s is no key any more" : "and others like %s", before->stray);
    if (!listing->whole && listing->told > MOST_SHOWN)
        text_format(listing->out, "; and %u more", listing->told - MOST_SHOWN);
}

static Status tell_nearest(PlanWhy *why, uint32_t index, bool whole, Text *out)
{
    const PlanJob *job = &why->plan->jobs[index];
    const FinishedJob *nearest;
    uint32_t distance = 0;
    TRY(facts_of_job(&why->book, why->plan, index, &why->facts));
    TRY(facts_find_nearest(&why->book, &why->facts, job->stage, job->key, &nearest, &distance));
    if (nearest == NULL) {
        text_append(out, "; no earlier job of this stage is finished");
        return OK;
    }
    if (distance == 0) {
        text_format(out, "; nearest %.*s has the same values: files that it reads from outside changed, or it is of an "
                    "earlier program", KEY_SHOWN, nearest->key);
        return OK;
    }
    text_format(out, "; against the nearest finished one, %.*s, %u difference%s", KEY_SHOWN, nearest->key, distance,
                distance == 1 ? "" : "s");
    Listing listing = {.why = why, .out = out, .whole = whole};
    tell_differences(&listing, &nearest->facts);
    return OK;
}

static void tell_halving(const PlanWhy *why, const PlanJob *job, Text *out)
{
    const Trial *trial = &why->plan->study->trials[job->first_trial];
    bool later = job->need == JOB_LATER;
    text_append(out, later ? "waits for the verdict of an earlier rung; its group is " : "its group was ");
    halving_describe(why->plan->halving, trial->group_index, out);
}

Status plan_why_tell(PlanWhy *why, uint32_t index, bool whole, Text *out)
{
    const PlanJob *job = &why->plan->jobs[index];
    switch (job->need) {
    case JOB_FINISHED: text_append(out, "finished: its artifact is there"); break;
    case JOB_UNNEEDED: text_append(out, "not needed: what reads it is finished"); break;
    case JOB_LATER:
    case JOB_SKIPPED: tell_halving(why, job, out); break;
    case JOB_NEEDED:
    case JOB_NEED_COUNT:
        TRY(tell_itself(why, job, out));
        if (job->damaged) break; /* it is the nearest itself */
        TRY(tell_nearest(why, index, whole, out));
    }
    return out->failed ? no_memory() : OK;
}

/* Whole --------------------------------------------------------------------------- */

Status plan_why_create(const Plan *plan, PlanWhy **out)
{
    *out = NULL;
    PlanWhy *why = memory_alloc_zero(1, sizeof *why);
    if (why == NULL) return no_memory();
    why->plan = plan;
    Status status = facts_read(&why->book, plan->work);
    if (status == OK) status = facts_allocate(&why->book, &why->facts);
    if (status == OK) status = ledger_each_known_job(why->plan->work, keep_past, why);
    if (status == OK)
        *out = why;
    else
        plan_why_destroy(why);
    return status;
}

void plan_why_destroy(PlanWhy *why)
{
    if (why == NULL) return;
    facts_clear(&why->book);
    hash_map_free(&why->past_of);
    memory_free(why->past);
    memory_free(why);
}

Status plan_find_job(const Plan *plan, const char *prefix, uint32_t *job)
{
    size_t length = strlen(prefix);
    *job = NO_JOB;
    for (size_t i = 0; i < plan->count; i++) {
        if (strncmp(plan->jobs[i].key, prefix, length) != 0) continue;
        if (*job != NO_JOB)
            return status_error(STATUS_USAGE, "'%s' begins the keys of several jobs, as %.*s and %.*s: give more of it",
                                prefix, KEY_SHOWN, plan->jobs[*job].key, KEY_SHOWN, plan->jobs[i].key);
        *job = (uint32_t)i;
    }
    if (*job != NO_JOB) return OK;
    return status_error(STATUS_NOT_FOUND, "no job of %s begins with '%s': 'zeroth plan %s --jobs' lists them",
                        plan->study->name, prefix, plan->study->path);
}
