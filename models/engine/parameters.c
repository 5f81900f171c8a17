#include "models/engine/parameters.h"

#include <math.h>
#include <string.h>

#include "framework/memory.h"
#include "framework/random.h"

enum { ROUND_ELEMENTS = 16 }; /* so that every float32 value starts a cache line */

/* What parameters_create makes: the public part is its first member. */
typedef struct Storage {
    Parameters public;
    int capacity;
    Status failure; /* the first of parameters_add */
} Storage;

Status parameters_create(Dtype dtype, Parameters **parameters)
{
    *parameters = NULL;
    Storage *storage = memory_alloc_zero(1, sizeof *storage);
    if (storage == NULL) return status_no_memory(sizeof *storage, "parameters");
    storage->public.dtype = dtype;
    *parameters = &storage->public;
    return OK;
}

static void free_parameter(Parameter *parameter)
{
    if (parameter == NULL) return;
    memory_free(parameter->name);
    memory_free(parameter);
}

static Parameter *fail(Storage *storage, Parameter *parameter, Status failure)
{
    free_parameter(parameter);
    storage->failure = status_first(storage->failure, failure);
    return NULL;
}

static Parameter *new_parameter(const char *name, int rank, const int64_t *shape, Init init)
{
    Parameter *parameter = memory_alloc_zero(1, sizeof *parameter);
    if (parameter == NULL) return NULL;
    parameter->name = memory_copy_string(name);
    if (parameter->name == NULL) {
        memory_free(parameter);
        return NULL;
    }
    parameter->rank = rank;
    parameter->count = 1;
    for (int d = 0; d < TENSOR_MAX_RANK; d++) {
        parameter->shape[d] = d < rank ? shape[d] : 1;
        parameter->count *= parameter->shape[d];
    }
    parameter->init = init;
    parameter->lr_multiplier = 1;
    parameter->decay = rank >= 2;
    return parameter;
}

Parameter *parameters_add(Parameters *parameters, const char *name, int rank, const int64_t *shape, Init init)
{
    Storage *storage = (Storage *)parameters;
    if (rank < 0 || rank > TENSOR_MAX_RANK)
        return fail(storage, NULL, status_error(STATUS_INTERNAL, "parameter %s: rank %d is not 0 to %d", name, rank, TENSOR_MAX_RANK));
    for (int d = 0; d < rank; d++) {
        if (shape[d] < 1)
            return fail(storage, NULL, status_error(STATUS_INTERNAL, "parameter %s: dimension %d is %lld, not positive", name, d,
                                                    (long long)shape[d]));
    }
    if (parameters->values != NULL)
        return fail(storage, NULL, status_error(STATUS_INTERNAL, "parameter %s: declared after the allocation", name));
    if (parameters_find(parameters, name) != NULL)
        return fail(storage, NULL, status_error(STATUS_INTERNAL, "parameter %s: declared twice", name));
    Parameter *parameter = new_parameter(name, rank, shape, init);
    if (parameter == NULL) return fail(storage, NULL, status_no_memory(sizeof *parameter, name));
    if (parameters->count == storage->capacity) {
        int wanted = storage->capacity == 0 ? 64 : storage->capacity * 2;
        Parameter **grown = memory_resize(parameters->items, (size_t)wanted * sizeof *grown);
        if (grown == NULL) return fail(storage, parameter, status_no_memory((size_t)wanted * sizeof *grown, "parameters"));
        parameters->items = grown;
        storage->capacity = wanted;
    }
    parameter->offset = parameters->total;
    parameters->total += (parameter->count + ROUND_ELEMENTS - 1) / ROUND_ELEMENTS * ROUND_ELEMENTS;
    parameters->items[parameters->count++] = parameter;
    return parameter;
}

Parameter *parameters_find(const Parameters *parameters, const char *name)
{
    for (int i = 0; i < parameters->count; i++) {
        if (strcmp(parameters->items[i]->name, name) == 0) return parameters->items[i];
    }
    return NULL;
}

/* Half the width, or standard deviation, of the parameter's draws. */
static double init_width(const Parameter *p)
{
    double fan_in = p->rank < 2 ? (double)p->count : (double)(p->count / p->shape[0]);
    double fan_out = p->rank < 2 ? (double)p->count : (double)(p->count / p->shape[1]);
    switch (p->init.kind) {
    case INIT_NORMAL:
    case INIT_UNIFORM: return p->init.scale;
    case INIT_XAVIER_UNIFORM: return p->init.scale * sqrt(6 / (fan_in + fan_out));
    case INIT_KAIMING_NORMAL: return p->init.scale * sqrt(2 / fan_in);
    case INIT_KAIMING_UNIFORM: return p->init.scale * sqrt(1 / fan_in);
    case INIT_ZERO:
    case INIT_ONE:
    case INIT_CONSTANT:
    case INIT_KIND_COUNT: break;
    }
    return 0;
}

static void store(const Parameter *p, Dtype dtype, int64_t i, double value)
{
    if (dtype == DTYPE_F32) ((float *)p->value)[i] = (float)value;
    else ((double *)p->value)[i] = value;
}

static void initialise(const Parameter *p, Dtype dtype, uint64_t seed)
{
    bool normal = p->init.kind == INIT_NORMAL || p->init.kind == INIT_KAIMING_NORMAL;
    double width = init_width(p);
    double constant = p->init.kind == INIT_ONE ? 1 : p->init.kind == INIT_CONSTANT ? p->init.scale : 0;
    Random random = random_stream(seed, RANDOM_INIT, random_name_key(p->name), 0);
    for (int64_t i = 0; i < p->count; i++) {
        if (width == 0) store(p, dtype, i, constant);
        else if (normal) store(p, dtype, i, width * random_normal(&random));
        else store(p, dtype, i, width * (2 * random_uniform(&random) - 1));
    }
}

Status parameters_allocate(Parameters *parameters, uint64_t seed)
{
    Storage *storage = (Storage *)parameters;
    if (storage->failure != OK) {
        Status failure = storage->failure;
        storage->failure = OK;
        return failure;
    }
    if (parameters->values != NULL) return status_error(STATUS_INTERNAL, "parameters: allocated twice");
    size_t size = (size_t)dtype_size(parameters->dtype), bytes = (size_t)parameters->total * size;
    parameters->values = memory_alloc_aligned(bytes);
    parameters->grads = memory_alloc_aligned(bytes);
    if (parameters->values == NULL || parameters->grads == NULL) {
        memory_free(parameters->values);
        memory_free(parameters->grads);
        parameters->values = parameters->grads = NULL;
        return status_no_memory(bytes, "parameters");
    }
    memset(parameters->values, 0, bytes);
    memset(parameters->grads, 0, bytes);
    for (int i = 0; i < parameters->count; i++) {
        Parameter *p = parameters->items[i];
        p->value = (char *)parameters->values + (size_t)p->offset * size;
        p->grad = (char *)parameters->grads + (size_t)p->offset * size;
        initialise(p, parameters->dtype, seed);
    }
    return OK;
}

void parameters_zero_grad(Parameters *parameters)
{
    if (parameters->grads != NULL)
        memset(parameters->grads, 0, (size_t)parameters->total * (size_t)dtype_size(parameters->dtype));
}

/* By the bits: all ones in the exponent. */
static bool all_finite(const void *values, int64_t count, Dtype dtype)
{
    uint32_t bad = 0;
    if (dtype == DTYPE_F32) {
        const uint32_t *bits = values;
        for (int64_t i = 0; i < count; i++) bad |= (bits[i] & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
    } else {
        const double *reals = values;
        for (int64_t i = 0; i < count; i++) bad |= isfinite(reals[i]) ? 0u : 1u;
    }
    return bad == 0;
}

Status parameters_check_finite(const Parameters *parameters, bool gradients)
{
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *p = parameters->items[i];
        if (!all_finite(gradients ? p->grad : p->value, p->count, parameters->dtype))
            return status_error(STATUS_NON_FINITE, "the %s of %s is not finite", gradients ? "gradient" : "value", p->name);
    }
    return OK;
}

void parameters_destroy(Parameters *parameters)
{
    if (parameters == NULL) return;
    for (int i = 0; i < parameters->count; i++) free_parameter(parameters->items[i]);
    memory_free(parameters->items);
    memory_free(parameters->values);
    memory_free(parameters->grads);
    status_free(((Storage *)parameters)->failure);
    memory_free(parameters);
}
