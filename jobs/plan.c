#include "jobs/plan.h"

#include <assert.h>
#include <string.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/text.h"
#include "jobs/artifact.h"
#include "jobs/halving.h"
#include "jobs/hash_map.h"

/* Fingerprints read files, so each distinct set of a stage's values is asked once. */
typedef struct Fingerprint {
    Hash128 hash;     /* part of the job's key */
    const char *text; /* PlanJob's */
} Fingerprint;

typedef struct Fingerprints {
    HashMap known;
    Fingerprint *values;
    size_t count, capacity;
} Fingerprints;

typedef struct Planner {
    Plan *plan;
    const PlanOptions *options;
    HashMap keys;
    Fingerprints fingerprints;
    size_t capacity;
} Planner;

static const char *const NEED_NAMES[] = {
#define X(need, name) [need] = name,
    JOB_NEEDS(X)
#undef X
};
static_assert(sizeof NEED_NAMES / sizeof NEED_NAMES[0] == JOB_NEED_COUNT, "every need has a name");

const char *job_need_name(JobNeed need)
{
    return need < JOB_NEED_COUNT ? NEED_NAMES[need] : "?";
}

static Status no_memory(void)
{
    return status_no_memory(0, "a plan");
}

/* "KEY=HASH KEY=HASH" of the parts, or the whole hash. */
static Status describe_fingerprint(Arena *arena, const Hasher *hasher, Fingerprint *out)
{
    char hex[HASH_HEX_SIZE];
    Text text = {0};
    for (int i = 0; i < hasher_part_count(hasher); i++) {
        Hash128 hash;
        const char *name = hasher_part(hasher, i, &hash);
        hash_to_hex(hash, hex);
        text_format(&text, "%s%s=%s", i > 0 ? " " : "", name, hex);
    }
    hash_to_hex(out->hash, hex);
    if (hasher_part_count(hasher) == 0) text_append(&text, hex);
    out->text = text.failed ? NULL : arena_copy_string(arena, text_string(&text));
    text_free(&text);
    return out->text != NULL ? OK : no_memory();
}

static Status compute_fingerprint(Arena *arena, const Stage *stage, const Config *config, Fingerprint *out)
{
    Hasher *hasher = hasher_create();
    if (hasher == NULL) return no_memory();
    Status status = stage->fingerprint(config, hasher);
    out->hash = hasher_result(hasher);
    if (status == OK) status = describe_fingerprint(arena, hasher, out);
    hasher_destroy(hasher);
    return status;
}

static Status find_fingerprint(Planner *planner, const Stage *stage, const Config *config, Fingerprint *out)
{
    *out = (Fingerprint){.text = ""};
    if (stage->fingerprint == NULL) return OK;
    Fingerprints *all = &planner->fingerprints;
    Hasher *hasher = hasher_create();
    if (hasher == NULL) return no_memory();
    hasher_add_string(hasher, stage_name(stage->id));
    config_hash_stage(config, stage->id, hasher);
    config_hash_stage_paths(config, stage->id, hasher);
    Hash128 asked = hasher_result(hasher);
    hasher_destroy(hasher);
    uint32_t index;
    if (hash_map_find(&all->known, asked, &index)) {
        *out = all->values[index];
        return OK;
    }
    TRY(compute_fingerprint(planner->plan->arena, stage, config, out));
    if (all->count == all->capacity) {
        size_t capacity = all->capacity > 0 ? all->capacity * 2 : 16;
        Fingerprint *values = memory_resize(all->values, capacity * sizeof *values);
        if (values == NULL) return no_memory();
        all->values = values;
        all->capacity = capacity;
    }
    all->values[all->count] = *out;
    return hash_map_insert(&all->known, asked, (uint32_t)all->count++, &index);
}

static Status compute_key(const Planner *planner, const Stage *stage, const Config *config, Hash128 fingerprint,
                          const uint32_t *trial_jobs, Hash128 *key)
{
    Hasher *hasher = hasher_create();
    if (hasher == NULL) return no_memory();
    hasher_add_string(hasher, stage_name(stage->id));
    hasher_add_integer(hasher, stage->version);
    config_hash_stage(config, stage->id, hasher);
    hasher_add_integer(hasher, (int64_t)fingerprint.low);
    hasher_add_integer(hasher, (int64_t)fingerprint.high);
    for (int input = 0; input < STAGE_COUNT; input++)
        if ((stage->inputs & 1u << input) != 0) hasher_add_string(hasher, planner->plan->jobs[trial_jobs[input]].key);
    *key = hasher_result(hasher);
    hasher_destroy(hasher);
    return OK;
}

static Status add_job(Planner *planner, const Stage *stage, size_t trial, Hash128 key, const char *fingerprint,
                      const uint32_t *trial_jobs)
{
    Plan *plan = planner->plan;
    if (plan->count == planner->capacity) {
        size_t capacity = planner->capacity > 0 ? planner->capacity * 2 : 64;
        PlanJob *jobs = memory_resize(plan->jobs, capacity * sizeof *jobs);
        if (jobs == NULL) return no_memory();
        plan->jobs = jobs;
        planner->capacity = capacity;
    }
    const Config *config = plan->study->trials[trial].config;
    PlanJob *job = &plan->jobs[plan->count++];
    *job = (PlanJob){.stage = stage->id, .definition = stage, .config = config, .first_trial = (uint32_t)trial};
    hash_to_hex(key, job->key);
    job->fingerprint = fingerprint;
    for (int input = 0; input < STAGE_COUNT; input++)
        job->inputs[input] = (stage->inputs & 1u << input) != 0 ? trial_jobs[input] : NO_JOB;
    job->resources = resources_of(config, stage->id, stage->parallel);
    plan->stage_count[stage->id]++;
    return OK;
}

static Status plan_trial(Planner *planner, size_t trial)
{
    Plan *plan = planner->plan;
    uint32_t *trial_jobs = plan->trial_jobs + trial * STAGE_COUNT;
    for (int id = 0; id < STAGE_COUNT; id++) {
        trial_jobs[id] = NO_JOB;
        const Stage *stage = planner->options->lookup((StageId)id);
        if (stage == NULL || id > (int)planner->options->last) continue;
        for (int input = 0; input < STAGE_COUNT; input++)
            if ((stage->inputs & 1u << input) != 0 && (input >= id || trial_jobs[input] == NO_JOB))
                return status_error(STATUS_INTERNAL, "stage %s reads stage %s, which does not come before it",
                                    stage_name((StageId)id), stage_name((StageId)input));
        const Config *config = plan->study->trials[trial].config;
        Fingerprint fingerprint;
        Hash128 key;
        Status found = find_fingerprint(planner, stage, config, &fingerprint);
        TRY(plan->study->group_count > 1 ? status_wrap(found, "%s: %s", plan->study->path, plan->study->trials[trial].group)
                                         : status_wrap(found, "%s", plan->study->path));
        TRY(compute_key(planner, stage, config, fingerprint.hash, trial_jobs, &key));
        uint32_t index = 0;
        TRY(hash_map_insert(&planner->keys, key, (uint32_t)plan->count, &index));
        if (index == plan->count) TRY(add_job(planner, stage, trial, key, fingerprint.text, trial_jobs));
        trial_jobs[id] = index;
        plan->jobs[index].trials++;
    }
    return OK;
}

/* Looks for artifacts only where there is a directory of that name. */
static Status find_finished(Plan *plan)
{
    HashMap present = {0};
    Status status = work_list_keys(plan->work, "artifacts", &present);
    for (size_t i = 0; i < plan->count && status == OK; i++) {
        PlanJob *job = &plan->jobs[i];
        Hash128 key;
        uint32_t found;
        if (!hash_from_hex(job->key, &key) || !hash_map_find(&present, key, &found)) continue;
        Status sound = artifact_check(plan->work, job->key, false);
        if (sound == OK) {
            job->need = JOB_FINISHED;
        } else if (status_code(sound) == STATUS_CORRUPT || status_code(sound) == STATUS_NOT_FOUND) {
            job->damaged = true;
            sound = status_wrap(sound, "%s is damaged and will be made again", stage_name(job->stage));
            log_status(LOG_LEVEL_WARNING, sound);
        } else {
            status = sound;
        }
    }
    hash_map_free(&present);
    return status;
}

/* The job that a trial ends with; NO_JOB where the plan has no stage. */
static uint32_t last_job(const Plan *plan, size_t trial)
{
    for (int stage = STAGE_COUNT - 1; stage >= 0; stage--)
        if (plan->trial_jobs[trial * STAGE_COUNT + (size_t)stage] != NO_JOB)
            return plan->trial_jobs[trial * STAGE_COUNT + (size_t)stage];
    return NO_JOB;
}

/* From the last stages back: an unfinished job is for `need` where it ends a trial of that need or a job of that
 * need reads it. Jobs come after their inputs, so one pass does. Needs that were given before stay. */
static void mark(Plan *plan, JobNeed need)
{
    for (size_t trial = 0; trial < plan->study->trial_count; trial++) {
        uint32_t index = last_job(plan, trial);
        if (index == NO_JOB || plan->jobs[index].need != JOB_UNNEEDED) continue;
        if (halving_need(plan->halving, plan, trial) == need) plan->jobs[index].need = need;
    }
    for (size_t i = plan->count; i-- > 0;) {
        if (plan->jobs[i].need != need) continue;
        for (int input = 0; input < STAGE_COUNT; input++) {
            uint32_t from = plan->jobs[i].inputs[input];
            if (from != NO_JOB && plan->jobs[from].need == JOB_UNNEEDED) plan->jobs[from].need = need;
        }
    }
}

static void mark_needed(Plan *plan)
{
    mark(plan, JOB_NEEDED);
    if (plan->halving != NULL) {
        mark(plan, JOB_LATER);
        mark(plan, JOB_SKIPPED);
    }
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->jobs[i].need == JOB_FINISHED) plan->finished++;
        if (plan->jobs[i].need != JOB_NEEDED) continue;
        plan->needed++;
        plan->stage_needed[plan->jobs[i].stage]++;
    }
    plan->undecided = halving_waits(plan->halving) && plan->needed > 0;
}

/* What is finished stands, whatever the values would be refused for now. */
static Status check_jobs(const Plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        const PlanJob *job = &plan->jobs[i];
        const Trial *trial = &plan->study->trials[job->first_trial];
        if (job->definition->check == NULL || (job->need != JOB_NEEDED && job->need != JOB_LATER)) continue;
        TRY(status_wrap(job->definition->check(job->config), "%s: %s, seed %lld", plan->study->path, trial->group,
                        (long long)trial->seed));
    }
    return OK;
}

static Status fill(Planner *planner)
{
    Plan *plan = planner->plan;
    plan->work = memory_copy_string(planner->options->work);
    plan->arena = arena_create(4096);
    plan->trial_jobs = memory_alloc(plan->study->trial_count * STAGE_COUNT * sizeof *plan->trial_jobs);
    if (plan->work == NULL || plan->arena == NULL || plan->trial_jobs == NULL) return no_memory();
    for (size_t trial = 0; trial < plan->study->trial_count; trial++) TRY(plan_trial(planner, trial));
    for (size_t i = 0; i < plan->count; i++) plan->jobs[i].need = JOB_UNNEEDED;
    TRY(find_finished(plan));
    TRY(halving_decide(plan, &plan->halving));
    mark_needed(plan);
    return check_jobs(plan);
}

Status plan_create(const Study *study, const PlanOptions *options, Plan **out)
{
    *out = NULL;
    Plan *plan = memory_alloc_zero(1, sizeof *plan);
    if (plan == NULL) return no_memory();
    plan->study = study;
    plan->lookup = options->lookup;
    plan->last = options->last;
    Planner planner = {.plan = plan, .options = options};
    Status status = fill(&planner);
    hash_map_free(&planner.keys);
    hash_map_free(&planner.fingerprints.known);
    memory_free(planner.fingerprints.values);
    if (status == OK)
        *out = plan;
    else
        plan_destroy(plan);
    return status;
}

Status plan_renew(Plan **plan)
{
    PlanOptions options = {.work = (*plan)->work, .lookup = (*plan)->lookup, .last = (*plan)->last};
    Plan *renewed;
    TRY(plan_create((*plan)->study, &options, &renewed));
    plan_destroy(*plan);
    *plan = renewed;
    return OK;
}

void plan_destroy(Plan *plan)
{
    if (plan == NULL) return;
    memory_free(plan->work);
    memory_free(plan->jobs);
    memory_free(plan->trial_jobs);
    halving_destroy(plan->halving);
    arena_destroy(plan->arena);
    memory_free(plan);
}

uint32_t plan_trial_job(const Plan *plan, size_t trial, StageId stage)
{
    return plan->trial_jobs[trial * STAGE_COUNT + stage];
}

const char *plan_work_directory(const char *flag, const Study *study)
{
    if (flag != NULL && flag[0] != '\0') return flag;
    if (study != NULL && study->work[0] != '\0') return study->work;
    return "zeroth-work";
}
