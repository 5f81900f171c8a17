/* Optimisers over Parameters, learning-rate schedules, clipping, and the fixed
 * tree that sums gradients over the samples of a batch. */
#ifndef ENGINE_OPTIMIZER_H
#define ENGINE_OPTIMIZER_H

#include "models/engine/parameters.h"

typedef enum OptimizerKind { OPTIMIZER_SGD, OPTIMIZER_ADAM, OPTIMIZER_ADAMW, OPTIMIZER_KIND_COUNT } OptimizerKind;
typedef struct OptimizerConfig {
    OptimizerKind kind;
    double momentum;             /* SGD */
    double beta1, beta2, epsilon;/* Adam: 0.9, 0.999, 1e-8 */
    double weight_decay;         /* decoupled for AdamW, L2 for the others */
} OptimizerConfig;

typedef struct Optimizer Optimizer;
Status optimizer_create(OptimizerConfig config, Parameters *parameters, Optimizer **optimizer);
void optimizer_destroy(Optimizer *optimizer);
/* One update with learning rate `rate` (times each parameter's multiplier), as
 * PyTorch's SGD, Adam, AdamW; reads parameters->grads. */
Status optimizer_step(Optimizer *optimizer, double rate);
/* State for checkpoints: the moments as flat arrays like parameters->values
 * (NULL where the kind has none) and the number of steps taken. */
void optimizer_state(Optimizer *optimizer, void **first, void **second, int64_t **steps);

/* Scales all gradients so that their global L2 norm is at most `limit` (0:
 * no clipping); gives the norm before. STATUS_NON_FINITE where it is not finite. */
Status optimizer_clip(Parameters *parameters, double limit, double *norm);

typedef enum ScheduleKind { SCHEDULE_CONSTANT, SCHEDULE_STEPS, SCHEDULE_COSINE, SCHEDULE_POLY, SCHEDULE_KIND_COUNT } ScheduleKind;
typedef struct Schedule {
    ScheduleKind kind;
    double rate;            /* base learning rate */
    int64_t total_steps;
    int64_t warmup_steps;   /* linear from 0 */
    double milestones[2];   /* STEPS: fractions of total at which the rate is multiplied by 0.1 */
} Schedule;
double schedule_rate(const Schedule *schedule, int64_t step);

/* Sums per-sample gradients in one fixed binary tree over sample indices
 * 0..samples-1 (samples a power of two is not required: the tree is that of
 * the next power of two with missing leaves skipped), so that the bits do not
 * depend on how samples are spread over ranks. Push in index order. */
typedef struct GradientTree GradientTree;
Status gradient_tree_create(int64_t elements, Dtype dtype, GradientTree **tree);
void gradient_tree_reset(GradientTree *tree);
Status gradient_tree_push(GradientTree *tree, const void *gradient);
/* The sum of all pushed, times `factor`, into `out`. */
Status gradient_tree_finish(GradientTree *tree, double factor, void *out);
void gradient_tree_destroy(GradientTree *tree);

#endif
