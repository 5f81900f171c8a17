/* Successive halving: which groups of a study's trials go on to the next rung.
 *
 * Decisions are made anew from the metrics.json of finished artifacts whenever
 * a plan is made, and from nothing else: they are the same after any kill and
 * on any machine, and change where the study or its results do. A rung is
 * decided once every trial of every group that is left has finished it; a trial
 * that failed keeps it undecided. Groups rank by the mean of the metric over
 * their trials; a value that is null or absent makes that mean no number, which
 * ranks last. Equal ones rank in file order. */
#ifndef JOBS_HALVING_H
#define JOBS_HALVING_H

#include "framework/text.h"
#include "jobs/plan.h"

typedef struct HalvingGroup {
    int rung;       /* where it runs, or that after which it was skipped; from 0 */
    bool skipped;
    double metric;  /* its mean at the last rung that is decided; NaN: none, or no number */
} HalvingGroup;

typedef struct HalvingRung {
    size_t groups;  /* that run it */
    size_t kept;    /* that went on; 0: not decided yet, or the last */
    double last;    /* the mean of the last that went on */
} HalvingRung;

struct Halving {
    const StudyHalving *settings; /* the study's */
    HalvingGroup *groups;         /* [study's group_count] */
    HalvingRung *rungs;           /* [settings->rungs] */
    int rung;                     /* that runs now: all before it are decided */
    bool evaluates;               /* the plan goes as far as metrics, so that rungs can be decided */
};

/* `*halving` stays NULL where the study has none. A metric that no finished trial of a rung has is STATUS_NOT_FOUND.
 * The plan's finished jobs are known; its needs are not yet. */
Status halving_decide(const Plan *plan, Halving **halving);
void halving_destroy(Halving *halving);

/* Whether rungs wait for a verdict. */
bool halving_waits(const Halving *halving);
/* Of a trial's last job, where that is not finished: JOB_NEEDED, JOB_LATER or JOB_SKIPPED. */
JobNeed halving_need(const Halving *halving, const Plan *plan, size_t trial);
/* "in rung 2 of 3: pq.unseen 0.15 in the one before",
 * "skipped after rung 1 of 3: pq.unseen 0.12, the best 3 of 9 went on from 0.15". */
void halving_describe(const Halving *halving, size_t group, Text *out);

#endif
