/* A study as the dashboard sees it: a copy of its part of the ledger in
 * memory, brought up to date by view_refresh. Every change of a job gets a
 * number, so that a page asks for what changed since it last looked, and the
 * answer does not depend on anybody's clock. */
#ifndef DASHBOARDS_VIEW_H
#define DASHBOARDS_VIEW_H

#include "framework/memory.h"
#include "jobs/hash_map.h"
#include "jobs/ledger.h"

#define VIEW_NO_JOB UINT32_MAX

typedef struct ViewJob {
    char key[HASH_HEX_SIZE];
    StageId stage;
    JobState state;
    char *cause, *message;        /* NULL where there is none */
    int64_t attempts, step, total, trials;
    double seconds, updated;
    uint32_t inputs[STAGE_COUNT]; /* places in `jobs`, or VIEW_NO_JOB */
    uint64_t changed;             /* number of its last change */
    double *results;              /* [result_count], by the view's metrics; NaN where it has none */
    size_t result_count;
} ViewJob;

typedef struct ViewTrial {
    const char *variant, *group;
    const char *axes;             /* JSON object of texts */
    int64_t seed;
    uint32_t jobs[STAGE_COUNT];   /* or VIEW_NO_JOB */
    uint32_t group_index;
    uint32_t last;                /* the job that holds its results, or VIEW_NO_JOB */
} ViewTrial;

typedef struct ViewGroup {        /* trials that differ in their seeds alone */
    const char *name;
    uint32_t first_trial, trials;
} ViewGroup;

typedef struct View {
    char *study, *path;           /* name; YAML file */
    double recorded;
    ViewJob *jobs;                /* by stage and key */
    size_t job_count;
    HashMap places;               /* of keys in `jobs` */
    ViewTrial *trials;
    size_t trial_count;
    ViewGroup *groups;            /* in the order of the study */
    size_t group_count;
    char **metrics;               /* names of results */
    size_t metric_count;
    char *settings;               /* JSON object: variant to {key: text} of what the variants of study.yaml set */
    uint64_t epoch;               /* changes when the study is planned anew: all places are others then */
    uint64_t change;              /* number of the last change */
    double latest;                /* the newest `updated` of all jobs */
    uint64_t refreshes;
    Arena *arena;                 /* texts of trials and groups */
} View;

/* STATUS_NOT_FOUND where the ledger has no such study. */
Status view_create(Ledger *ledger, const char *work, const char *study, View **view);
void view_destroy(View *view); /* NULL is fine */
/* Reads jobs again; after a new plan, everything. */
Status view_refresh(View *view, Ledger *ledger, const char *work);
/* VIEW_NO_JOB where the study has none of that key. */
uint32_t view_find_job(const View *view, const char *key);
/* -1 where no job has such a result. */
int view_find_metric(const View *view, const char *name);
/* A trial's result, or NaN. */
double view_result(const View *view, size_t trial, int metric);

#endif
