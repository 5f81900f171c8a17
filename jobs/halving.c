#include "jobs/halving.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "framework/memory.h"
#include "jobs/artifact.h"

static Status no_memory(void)
{
    return status_no_memory(0, "halving");
}

/* Means ---------------------------------------------------------------------- */

/* What one rung's groups come to. */
typedef struct Tally {
    double *sums;    /* [groups] */
    size_t *counts;
    size_t found;    /* trials that have the metric, as a number or null */
} Tally;

static void tally_clear(Tally *tally)
{
    memory_free(tally->sums);
    memory_free(tally->counts);
}

static bool is_left(const Halving *halving, const Trial *trial)
{
    return !halving->groups[trial->group_index].skipped;
}

/* The value as metrics.json has it; NaN for null and for what is not there. */
static Status read_metric(const Plan *plan, const char *key, const char *name, double *value, bool *found)
{
    Json *metrics;
    *value = (double)NAN;
    *found = false;
    TRY(artifact_read_metrics(plan->work, key, &metrics));
    const Json *item = artifact_find_metric(metrics, name, NULL);
    *found = item != NULL;
    if (item != NULL && item->type != JSON_NULL) *value = item->real;
    json_destroy(metrics);
    return OK;
}

static Status tally_trial(const Plan *plan, const Halving *halving, const PlanJob *job, size_t group, Tally *tally)
{
    double value;
    bool found;
    TRY(read_metric(plan, job->key, halving->settings->metric, &value, &found));
    tally->sums[group] += value;
    tally->counts[group]++;
    tally->found += found;
    return OK;
}

/* `*done` is false, and nothing read, where a trial of the rung is not finished. */
static Status tally_rung(const Plan *plan, const Halving *halving, Tally *tally, bool *done)
{
    const Study *study = plan->study;
    *done = true;
    for (int pass = 0; pass < 2 && *done; pass++)
        for (size_t t = 0; t < study->full_count; t++) {
            if (!is_left(halving, &study->trials[t])) continue;
            uint32_t index = plan_trial_job(plan, study_rung_trial(study, t, halving->rung), STAGE_EVALUATE);
            if (pass == 0)
                *done &= plan->jobs[index].need == JOB_FINISHED;
            else
                TRY(tally_trial(plan, halving, &plan->jobs[index], study->trials[t].group_index, tally));
        }
    if (*done && tally->found == 0)
        return status_error(STATUS_NOT_FOUND, "%s: halving: no trial of rung %d has a metric '%s': name a key of its "
                            "metrics.json or the end of one, as pq.unseen or semantic.miou.seen", study->path,
                            halving->rung + 1, halving->settings->metric);
    return OK;
}

/* Ranks ---------------------------------------------------------------------- */

typedef struct Rank {
    double metric; /* the larger the better */
    size_t group;
} Rank;

static int compare_ranks(const void *left, const void *right)
{
    const Rank *a = left, *b = right;
    bool a_none = isnan(a->metric), b_none = isnan(b->metric);
    if (a_none != b_none) return a_none ? 1 : -1;
    if (!a_none && a->metric != b->metric) return a->metric > b->metric ? -1 : 1;
    return (a->group > b->group) - (a->group < b->group);
}

static Status decide_rung(const Plan *plan, Halving *halving, const Tally *tally)
{
    size_t count = plan->study->group_count, left = 0;
    Rank *ranks = memory_alloc((count + 1) * sizeof *ranks);
    if (ranks == NULL) return no_memory();
    for (size_t g = 0; g < count; g++) {
        HalvingGroup *group = &halving->groups[g];
        if (group->skipped) continue;
        group->metric = tally->sums[g] / (double)tally->counts[g];
        ranks[left++] = (Rank){halving->settings->maximize ? group->metric : -group->metric, g};
    }
    qsort(ranks, left, sizeof *ranks, compare_ranks);
    size_t factor = (size_t)halving->settings->factor, kept = (left + factor - 1) / factor;
    for (size_t i = 0; i < left; i++) {
        HalvingGroup *group = &halving->groups[ranks[i].group];
        group->skipped = i >= kept;
        if (i < kept) group->rung++;
    }
    HalvingRung *rung = &halving->rungs[halving->rung];
    rung->kept = kept;
    rung->last = halving->groups[ranks[kept - 1].group].metric;
    halving->rungs[++halving->rung].groups = kept;
    memory_free(ranks);
    return OK;
}

/* Whole ---------------------------------------------------------------------- */

static Status try_rung(const Plan *plan, Halving *halving, bool *decided)
{
    size_t count = plan->study->group_count;
    Tally tally = {.sums = memory_alloc_zero(count, sizeof *tally.sums),
                   .counts = memory_alloc_zero(count, sizeof *tally.counts)};
    Status status = tally.sums == NULL || tally.counts == NULL ? no_memory() : OK;
    if (status == OK) status = tally_rung(plan, halving, &tally, decided);
    if (status == OK && *decided) status = decide_rung(plan, halving, &tally);
    tally_clear(&tally);
    return status;
}

Status halving_decide(const Plan *plan, Halving **out)
{
    const Study *study = plan->study;
    *out = NULL;
    if (study->halving.metric == NULL) return OK;
    Halving *halving = memory_alloc_zero(1, sizeof *halving);
    if (halving == NULL) return no_memory();
    halving->settings = &study->halving;
    halving->evaluates = plan_trial_job(plan, 0, STAGE_EVALUATE) != NO_JOB;
    halving->groups = memory_alloc_zero(study->group_count, sizeof *halving->groups);
    halving->rungs = memory_alloc_zero((size_t)study->halving.rungs, sizeof *halving->rungs);
    Status status = halving->groups == NULL || halving->rungs == NULL ? no_memory() : OK;
    for (size_t g = 0; status == OK && g < study->group_count; g++) halving->groups[g].metric = (double)NAN;
    if (status == OK) halving->rungs[0].groups = study->group_count;
    bool decided = halving->evaluates;
    while (status == OK && decided && halving->rung + 1 < study->halving.rungs)
        status = try_rung(plan, halving, &decided);
    if (status == OK)
        *out = halving;
    else
        halving_destroy(halving);
    return status;
}

void halving_destroy(Halving *halving)
{
    if (halving == NULL) return;
    memory_free(halving->groups);
    memory_free(halving->rungs);
    memory_free(halving);
}

bool halving_waits(const Halving *halving)
{
    return halving != NULL && halving->evaluates && halving->rung + 1 < halving->settings->rungs;
}

JobNeed halving_need(const Halving *halving, const Plan *plan, size_t trial)
{
    if (halving == NULL) return JOB_NEEDED;
    const Trial *which = &plan->study->trials[trial];
    const HalvingGroup *group = &halving->groups[which->group_index];
    if (which->rung > group->rung) return group->skipped ? JOB_SKIPPED : JOB_LATER;
    return JOB_NEEDED;
}

static void append_metric(Text *out, double metric)
{
    isnan(metric) ? text_append(out, "no number") : text_format(out, "%.4g", metric);
}

void halving_describe(const Halving *halving, size_t index, Text *out)
{
    const HalvingGroup *group = &halving->groups[index];
    const HalvingRung *rung = &halving->rungs[group->rung];
    bool last = group->rung + 1 == halving->settings->rungs;
    if (last)
        text_append(out, "went on to the last rung");
    else
        text_format(out, "%s rung %d of %d", group->skipped ? "skipped after" : "in", group->rung + 1,
                    halving->settings->rungs);
    if (!group->skipped && group->rung == 0) return;
    text_format(out, ": %s ", halving->settings->metric);
    append_metric(out, group->metric);
    if (!group->skipped) {
        text_append(out, " in the one before");
        return;
    }
    text_format(out, ", the best %zu of %zu went on from ", rung->kept, rung->groups);
    append_metric(out, rung->last);
}
