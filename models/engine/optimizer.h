/* Optimisers over Parameters, learning-rate schedules, clipping. */
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

#endif
