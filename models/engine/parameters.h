/* The learned numbers of a model: named tensors in one flat buffer, with one
 * flat buffer of gradients beside it, so that optimiser, checkpoint and
 * reduction see plain arrays. Names are the published PyTorch names, shapes
 * PyTorch's too (Linear [out, in], convolution [out, in/groups, kh, kw]). */
#ifndef ENGINE_PARAMETERS_H
#define ENGINE_PARAMETERS_H

#include "models/engine/tensor.h"

typedef enum InitKind {
    INIT_ZERO, INIT_ONE,
    INIT_CONSTANT,        /* scale */
    INIT_NORMAL,          /* mean 0, standard deviation scale */
    INIT_UNIFORM,         /* [-scale, scale) */
    INIT_XAVIER_UNIFORM,  /* Glorot: +-scale*sqrt(6 / (fan_in + fan_out)) */
    INIT_KAIMING_NORMAL,  /* He: sqrt(2 / fan_in) * scale, for ReLU */
    INIT_KAIMING_UNIFORM, /* PyTorch's default of Linear and Conv: +-scale*sqrt(1 / fan_in) */
    INIT_KIND_COUNT
} InitKind;

typedef struct Init { InitKind kind; double scale; } Init;

struct Parameter {
    char *name;
    int rank;
    int64_t shape[TENSOR_MAX_RANK];
    int64_t count;
    int64_t offset;       /* in elements, a multiple of 16 */
    void *value, *grad;   /* into the flat buffers; set by parameters_allocate */
    Init init;
    double lr_multiplier; /* 1; 0 never changes */
    bool decay;           /* weight decay applies; false for biases, norms, embeddings */
    bool frozen;          /* no gradient is computed, no update made */
};

typedef struct Parameters {
    Dtype dtype; /* F32 or F64 */
    Parameter **items;
    int count;
    int64_t total;        /* elements of a flat buffer, padding included */
    void *values, *grads; /* 64-byte aligned; padding stays 0 */
} Parameters;

Status parameters_create(Dtype dtype, Parameters **parameters);
/* Declares one; its memory comes with parameters_allocate. The result belongs
 * to `parameters`; NULL where memory is short or the name is taken, and then
 * parameters_allocate fails and says so. `decay` starts as rank >= 2. */
Parameter *parameters_add(Parameters *parameters, const char *name, int rank, const int64_t *shape, Init init);
Parameter *parameters_find(const Parameters *parameters, const char *name);
/* Buffers, filled by each parameter's Init. A parameter's draws depend on seed
 * and its name only. */
Status parameters_allocate(Parameters *parameters, uint64_t seed);
void parameters_zero_grad(Parameters *parameters);
/* STATUS_NON_FINITE with the first offender's name where a value or gradient is NaN or infinite. */
Status parameters_check_finite(const Parameters *parameters, bool gradients);
void parameters_destroy(Parameters *parameters);

#endif
