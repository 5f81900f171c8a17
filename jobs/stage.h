/* A stage of the pipeline: what it reads, what it makes, and how it goes on
 * after a kill. The loop around it (steps, checkpoints, signals, progress,
 * metrics) is written once, in attempt.c. */
#ifndef JOBS_STAGE_H
#define JOBS_STAGE_H

#include "framework/comm.h"
#include "framework/config.h"
#include "storage/checkpoint.h"

/* What an attempt gives its stage. Valid from start to destroy. */
typedef struct StageContext {
    const Config *config;
    uint64_t seed;
    const char *inputs[STAGE_COUNT]; /* artifact directory of each stage that this one reads; NULL for others */
    const char *output;              /* existing temporary directory; becomes the artifact when finish succeeds. A
                                        stage without `save` finds there what its earlier attempts left. */
    Comm *comm;
    int threads;
    bool (*stopping)(void *stop);    /* true after SIGTERM, SIGUSR1 or near the time limit; may be polled in a step */
    void *stop;
} StageContext;

#define STAGE_MAX_METRICS 16
/* Named numbers of one step, shown in progress and kept in events.jsonl. */
typedef struct StageMetrics {
    int count;
    struct { const char *name; double value; } items[STAGE_MAX_METRICS]; /* names are string literals */
} StageMetrics;
void stage_metric(StageMetrics *metrics, const char *name, double value); /* drops what does not fit */

typedef struct Stage {
    StageId id;
    int version;              /* part of a job's key; raise it when results change */
    unsigned inputs;          /* bits 1 << StageId of the artifacts it reads */
    const char *unit;         /* of progress: "steps", "images" */
    bool parallel;            /* may run under several ranks, to the same bytes; all but the generator, whose loss is over
                               * pairs of a step's rows and whose step is too short to be worth sharing */
    /* Hashes what the stage reads from outside the work directory (files named by CONFIG_PATH keys) into a job's
     * key. NULL: nothing. Fast: called in every plan. What each key leads to is a part of the hash by its name
     * (hasher_begin_part), so that a changed file is told by its key. */
    Status (*fingerprint)(const Config *config, Hasher *hasher);
    /* Opens inputs, allocates, builds. `*total` is the number of steps. Collective. */
    Status (*start)(const StageContext *context, void **state, int64_t *total);
    /* Step number `step`, from 0. Of a stage with `save`, a step is the same work on any number of ranks. A rank that
     * fails goes on to where the others wait for it (comm_agree). STATUS_INTERRUPTED only if `stopping` made it give up half-way, leaving the
     * state as before the step. Collective. */
    Status (*step)(void *state, int64_t step, StageMetrics *metrics);
    /* Lists the state after the last finished step: `kind` says what it is, as for checkpoint_write. The arrays stay
     * the stage's and are copied before its next call, and a thread writes the copy, so this is quick and allocates
     * no more than the list. All that a rank needs to go on is in rank 0's state: steps leave it so. NULL: a stage
     * that goes on from its partial output instead: it makes whole pieces in context->output, where it finds those
     * of its earlier attempts, and skips them. Rank 0 only. */
    Status (*save)(void *state, int64_t next_step, const char **kind, ArrayList *arrays);
    /* Restores what save listed, from the file that was written, and tells the next step. The file may be from an
     * attempt on another number of ranks. Collective. */
    Status (*load)(void *state, const char *path, int64_t *next_step);
    /* Writes the artifact into context->output after the last step. Collective. */
    Status (*finish)(void *state);
    void (*destroy)(void *state);
    /* Whether the values fit together, as far as that can be told before anything runs; the message names the key.
     * Called by plan_create once for each job of the stage that is to do. NULL: nothing to check. */
    Status (*check)(const Config *config);
    /* The key that is the number of steps, by which times are estimated; NULL: none is. */
    const char *steps_key;
} Stage;

/* Registered stages, by id. */
const Stage *stage_get(StageId id);
/* Plan, runner and attempt get the registry as an argument, so that tests can run stages of their own. */
typedef const Stage *(*StageLookup)(StageId id);
extern const Stage STAGE_DEF_SHARD, STAGE_DEF_BACKBONE, STAGE_DEF_EXTRACT, STAGE_DEF_GENERATOR, STAGE_DEF_EVALUATE;

#endif
