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
 *       generator.layers: {range: [1, 4]}                # 1, 2, 3; {range: [0, 10, 5]}: 0, 5
 *       generator.dropout: {linspace: [0, 0.4, 5]}       # 5 values, both ends
 *       train.rate: {logspace: [1e-4, 1e-2, 3]}          # 1e-4, 1e-3, 1e-2
 *       generator.primitives:                            # only where the condition holds
 *         {values: [50, 100], when: {generator.kind: primitive}}
 *       zip:                                             # walk together; a list of maps makes several
 *         data.unseen_file: [a.txt, b.txt]
 *         train.steps: [100, 200]
 *       points:                                          # single points, each a map of keys
 *         - {generator.noise: false}
 *         - {generator.dropout: 0, generator.layers: 1}
 *       random:                                          # `count` draws, all keys at once
 *         count: 20
 *         seed: 1
 *         keys:
 *           train.rate: {log_uniform: [1e-4, 1e-2]}
 *           generator.dropout: {uniform: [0, 0.3]}
 *           generator.rows: {choice: [32, 64, 96]}
 *     exclude:                    # optional: trials that match all of a map are left out
 *       - {generator.kind: gmmn, seed: 2}
 *     report:                     # optional, for `zeroth report`
 *       metrics: [pq_seen, pq_unseen]
 *       group_by: [variant, generator.primitives]   # default: variant and every axis but seed
 *
 * A trial is the base config, then its variant, then its axes' values, then
 * what the command line sets (KEY=VALUE, which also removes an axis of that
 * key). Two trials of one variant with equal configs are one. Paths are
 * relative to the study file; those of the command line to the current
 * directory. */
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
    const char *group;    /* "full, generator.primitives=100": what its seeds have in common */
    TrialValue *values;   /* of its axes; conditional axes last */
    size_t value_count;
    Config *config;       /* owned by the study */
    int64_t seed;
} Trial;

typedef struct Study {
    const char *path;     /* of the YAML file */
    const char *name;
    const char *work;     /* "" where neither file nor config says */
    Trial *trials;
    size_t trial_count;
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

#endif
