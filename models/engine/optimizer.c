/* SGD, Adam and AdamW as PyTorch has them, each one pass over a parameter. */
#include "models/engine/optimizer.h"

#include <math.h>
#include <string.h>

#include "framework/memory.h"
#include "models/engine/cpu/kernels.h"

enum { STEP_CHUNK = 8192, NORM_PARTS = 256 };

struct Optimizer {
    OptimizerConfig config;
    Parameters *parameters;
    void *first, *second;
    int64_t steps;
};

/* What one step does to every element of one parameter. */
typedef struct Update {
    double rate;         /* this parameter's */
    double shrink;       /* AdamW: 1 - rate * decay */
    double l2;           /* SGD, Adam: added to the gradient times the value */
    double momentum;     /* SGD */
    double beta1, beta2, epsilon;
    double step_size;    /* rate / (1 - beta1^t) */
    double inverse_root; /* 1 / sqrt(1 - beta2^t) */
} Update;

#include "models/engine/cpu/real_f32.h"
#include "models/engine/optimizer.inc"
#include "models/engine/cpu/real_f64.h"
#include "models/engine/optimizer.inc"

static Status allocate_moment(const Parameters *parameters, void **moment)
{
    size_t bytes = (size_t)parameters->total * (size_t)dtype_size(parameters->dtype);
    *moment = memory_alloc_aligned(bytes);
    if (*moment == NULL) return status_no_memory(bytes, "the optimiser's moments");
    memset(*moment, 0, bytes);
    return OK;
}

Status optimizer_create(OptimizerConfig config, Parameters *parameters, Optimizer **optimizer)
{
    *optimizer = NULL;
    if (parameters->values == NULL) return status_error(STATUS_INTERNAL, "optimiser: the parameters are not allocated yet");
    Optimizer *o = memory_alloc_zero(1, sizeof *o);
    if (o == NULL) return status_no_memory(sizeof *o, "an optimiser");
    o->config = config;
    o->parameters = parameters;
    bool adam = config.kind != OPTIMIZER_SGD;
    Status status = OK;
    if (adam || config.momentum != 0) status = allocate_moment(parameters, &o->first);
    if (status == OK && adam) status = allocate_moment(parameters, &o->second);
    if (status != OK) {
        optimizer_destroy(o);
        return status;
    }
    *optimizer = o;
    return OK;
}

void optimizer_destroy(Optimizer *optimizer)
{
    if (optimizer == NULL) return;
    memory_free(optimizer->first);
    memory_free(optimizer->second);
    memory_free(optimizer);
}

static Update make_update(const Optimizer *o, const Parameter *p, double rate)
{
    const OptimizerConfig *c = &o->config;
    double decay = p->decay ? c->weight_decay : 0;
    Update u = {.rate = rate * p->lr_multiplier, .momentum = c->momentum, .beta1 = c->beta1, .beta2 = c->beta2,
                .epsilon = c->epsilon, .shrink = 1};
    if (c->kind == OPTIMIZER_ADAMW) u.shrink = 1 - u.rate * decay;
    else u.l2 = decay;
    if (c->kind != OPTIMIZER_SGD) {
        u.step_size = u.rate / (1 - pow(c->beta1, (double)o->steps));
        u.inverse_root = 1 / sqrt(1 - pow(c->beta2, (double)o->steps));
    }
    return u;
}

Status optimizer_step(Optimizer *optimizer, double rate)
{
    const Parameters *parameters = optimizer->parameters;
    optimizer->steps++;
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *p = parameters->items[i];
        if (p->frozen || p->lr_multiplier == 0) continue;
        Update update = make_update(optimizer, p, rate);
        if (parameters->dtype == DTYPE_F32) step_parameter_f32(optimizer, p, &update);
        else step_parameter_f64(optimizer, p, &update);
    }
    return OK;
}

void optimizer_state(Optimizer *optimizer, void **first, void **second, int64_t **steps)
{
    *first = optimizer->first;
    *second = optimizer->second;
    *steps = &optimizer->steps;
}

/* As PyTorch's clip_grad_norm_. The parts are cut by the number of elements
 * only, so that the sum does not depend on the number of threads. */
Status optimizer_clip(Parameters *parameters, double limit, double *norm)
{
    bool f32 = parameters->dtype == DTYPE_F32;
    double parts[NORM_PARTS], sum = 0;
    int64_t total = parameters->total, size = (total / NORM_PARTS / 16 + 1) * 16;
#pragma omp parallel for schedule(static) if (cpu_parallel(total))
    for (int part = 0; part < NORM_PARTS; part++) {
        int64_t first = part * size < total ? part * size : total, last = first + size < total ? first + size : total;
        parts[part] = f32 ? squares_f32((const float *)parameters->grads + first, last - first)
                          : squares_f64((const double *)parameters->grads + first, last - first);
    }
    for (int part = 0; part < NORM_PARTS; part++) sum += parts[part];
    *norm = sqrt(sum);
    if (!isfinite(*norm)) {
        Status status = parameters_check_finite(parameters, true);
        return status != OK ? status : status_error(STATUS_NON_FINITE, "the norm of the gradients is not finite");
    }
    double factor = limit / (*norm + 1e-6);
    if (limit <= 0 || factor >= 1) return OK;
    if (f32) multiply_f32(parameters->grads, total, factor);
    else multiply_f64(parameters->grads, total, factor);
    return OK;
}
