/* A study: a YAML file that names a base config and what varies, and the
 * trials that it means.
 *
 *     name: demo                  # directory-safe; default: the file's name without .yaml
 *     work: zeroth-work           # ledger, runs, artifacts; beside this file; --work goes before it
 *     config:                     # base config: nested or dotted keys, see `zeroth config`
 *       generator: {primitives: 100}
 *       train.steps: 400
 *     variants:                   # optional: named overrides of the base
 *       vanilla: {generator.kind: gmmn}
 *       full: {}
 *     sweep:                      # optional: axes; every combination of all of them is run
 *       seed: [0, 1, 2]                                  # values
 *       generator.layers: {range: [1, 4]}                # 1, 2, 3; {range: [0, 10, 5]}: 0, 5; {range: 3}: 0, 1, 2
 *       generator.dropout: {linspace: [0, 0.4, 5]}       # 5 values, both ends
 *       train: {rate: {logspace: [1e-4, 1e-2, 3]}}       # 1e-4, 1e-3, 1e-2; log_range is another name for it
 *       generator.primitives:                            # only where the condition holds
 *         {values: [50, 100], when: {generator.kind: primitive}}
 *       zip:                                             # walk together; a list of maps makes several
 *         data.unseen_file: [a.txt, b.txt]
 *         train.steps: [100, 200]
 *         when: {variant: [full, vanilla]}               # optional
 *       points:                                          # single points, each a map of keys; with a condition:
 *         - {generator.noise: false}                     #   {values: [...], when: {...}}, or a list of such
 *         - {generator.dropout: 0, generator.layers: 1}
 *       random:                                          # `count` draws, all keys at once; a list makes several
 *         count: 20
 *         seed: 1
 *         keys:
 *           train.rate: {log_uniform: [1e-4, 1e-2]}
 *           generator.dropout: {uniform: [0, 0.3]}
 *           generator.rows: {choice: [32, 64, 96]}       # or just the list
 *         when: {generator.kind: primitive}              # optional
 *     exclude:                    # optional: trials that match all of a map are left out
 *       - {generator.kind: gmmn, seed: 2}
 *       - {variant: full, train.steps: {not: [100, 200]}}
 *     halving:                    # optional: successive halving, below
 *       {metric: pq.unseen, key: generator.steps, factor: 3, rungs: 3, maximize: true}
 *     report:                     # optional, for `zeroth report`
 *       metrics: [pq_seen, pq_unseen]
 *       group_by: [variant, generator.primitives]   # default: variant and every axis but seed
 *
 * Wherever keys are set, groups may be nested (train: {rate: ...}) or dotted.
 *
 * A trial is the base config, then its variant, then its axes' values, then
 * what the command line sets (KEY=VALUE, which also removes an axis of that
 * key). Two trials of one variant with equal configs are one. Paths are
 * relative to the study file; those of the command line to the current
 * directory.
 *
 * A condition is a map of keys, or `variant`, with a value, a list of values of
 * which any will do, or {not: VALUE or LIST}; all of a map must hold. It is
 * asked with the values of the base, the variant and the axes that are not
 * conditional or that set what it is about; where it does not hold, the axis
 * adds nothing. Refused, since nobody means them: an axis of keys that no stage
 * reads (run.threads: its trials would be equal), a key that two unconditional
 * axes set, a variant's value that an axis sets in every trial. Conditions and
 * exclusions that never hold are warned of.
 *
 * Halving: what competes are groups, the rows of the report: a variant with its
 * axes' values, over all its seeds. At rung r of R every group that is left runs
 * all its trials with `key` at full / factor^(R-1-r), rounded, 1 or more; the
 * last rung is the trials themselves. Once all of a rung are finished, the best
 * ceil(n / factor) groups by the mean of `metric` go on; jobs/halving.h. */
#ifndef JOBS_STUDY_H
#define JOBS_STUDY_H

#include "framework/config.h"
#include "framework/memory.h"

typedef struct TrialValue {
    const char *key;  /* as in the schema */
    const char *text; /* canonical, as config_text gives it */
} TrialValue;

typedef struct Trial {
    const char *variant;  /* "" where the study has none */
    const char *group;    /* "full, generator.primitives=100": what its seeds have in common; of a shorter trial,
                             ", rung 1 of 3" behind it */
    uint32_t group_index; /* in the study's groups */
    uint32_t full;        /* halving: the trial that it is a shorter form of; its own number where it is none */
    int rung;             /* halving: from 0; rungs - 1, and without halving 0, for the trials themselves */
    TrialValue *values;   /* of its axes; conditional axes last */
    size_t value_count;
    Config *config;       /* owned by the study */
    int64_t seed;
} Trial;

typedef struct StudyHalving {
    const char *metric; /* a key of metrics.json or its end; NULL: the study has no halving */
    const char *key;    /* as in the schema */
    int64_t factor;
    int rungs;          /* 1 without halving */
    bool maximize;
} StudyHalving;

typedef struct Study {
    const char *path;     /* of the YAML file */
    const char *name;
    const char *work;     /* "" where neither file nor config says */
    Trial *trials;
    size_t full_count;    /* trials [0, full_count) are the study's own */
    size_t trial_count;   /* the shorter ones of halving follow, rung by rung */
    StudyHalving halving;
    const char **groups;  /* of the study's own trials, in file order */
    size_t group_count;
    size_t duplicates;    /* trials that were equal to another and left out */
    size_t excluded;
    const char **axes;    /* keys that some trial has as a value, in file order */
    size_t axis_count;
    const char **variants;
    size_t variant_count;
    const char **metrics; /* report: metrics, or none */
    size_t metric_count;
    const char **group_by;/* report: group_by, or none */
    size_t group_by_count;
    const char **overrides; /* KEY=VALUE as given */
    size_t override_count;
    char *text;           /* the file as read, for the record */
    size_t bytes;
    Arena *arena;         /* all strings and arrays above */
} Study;

/* Reads and expands. `overrides` are KEY=VALUE texts. Errors name file and
 * line. More than STUDY_MAX_TRIALS trials are STATUS_INVALID. */
#define STUDY_MAX_TRIALS 1000000
Status study_read(const char *path, char *const *overrides, int override_count, Study **study);
void study_destroy(Study *study);

/* The number of the trial `full` at a rung: its shorter form, or itself at the last. */
size_t study_rung_trial(const Study *study, size_t full, int rung);
/* What the halving's key is at a rung where it is `full` at the last. */
int64_t study_rung_budget(const Study *study, int64_t full, int rung);

#endif
