#include "models/layers/modules.h"

#include <stdio.h>

#define NORM_EPSILON 1e-5
#define MAX_NAME 256

typedef struct Name { char text[MAX_NAME]; } Name;

static Name join(const char *first, const char *second)
{
    Name name;
    snprintf(name.text, sizeof name.text, "%s%s", first, second);
    return name;
}

Tensor *module_parameter(const Scope *scope, const char *name, int rank, const int64_t *shape, Init init)
{
    Name full = join(scope->prefix, name);
    if (scope->graph == NULL) {
        Parameter *added = parameters_add(scope->parameters, full.text, rank, shape, init);
        if (added == NULL) return NULL; /* parameters_allocate says why */
        added->lr_multiplier = scope->lr_multiplier;
        added->frozen = scope->frozen;
        return NULL;
    }
    Parameter *found = parameters_find(scope->parameters, full.text);
    if (found == NULL) return graph_fail(scope->graph, "there is no parameter %s", full.text);
    return graph_add_parameter(scope->graph, found);
}

static Tensor *conv_weight(const Scope *scope, const char *name, const ConvShape *shape)
{
    int64_t groups = shape->geometry.groups == 0 ? 1 : shape->geometry.groups;
    return module_parameter(scope, join(name, ".weight").text, 4,
                            (int64_t[]){shape->out, shape->in / groups, shape->kernel, shape->kernel}, shape->init);
}

Tensor *module_conv(const Scope *scope, Tensor *x, const char *name, const ConvShape *shape)
{
    Tensor *weight = conv_weight(scope, name, shape), *bias = NULL;
    if (shape->bias) bias = module_parameter(scope, join(name, ".bias").text, 1, &shape->out, (Init){INIT_ZERO, 0});
    return scope->graph == NULL ? NULL : graph_add_conv2d(scope->graph, x, weight, bias, shape->geometry);
}

Tensor *module_conv_frozen_norm(const Scope *scope, Tensor *x, const char *name, const char *norm, const ConvShape *shape)
{
    Tensor *weight = conv_weight(scope, name, shape);
    Scope fixed = *scope;
    fixed.frozen = true;
    const Init one = {INIT_ONE, 0}, zero = {INIT_ZERO, 0};
    Tensor *gamma = module_parameter(&fixed, join(norm, ".weight").text, 1, &shape->out, one);
    Tensor *beta = module_parameter(&fixed, join(norm, ".bias").text, 1, &shape->out, zero);
    Tensor *mean = module_parameter(&fixed, join(norm, ".running_mean").text, 1, &shape->out, zero);
    Tensor *variance = module_parameter(&fixed, join(norm, ".running_var").text, 1, &shape->out, one);
    if (scope->graph == NULL) return NULL;
    weight = graph_add_fold_scale(scope->graph, weight, gamma, variance, NORM_EPSILON);
    Tensor *shift = graph_add_fold_shift(scope->graph, gamma, beta, mean, variance, NORM_EPSILON);
    return graph_add_conv2d(scope->graph, x, weight, shift, shape->geometry);
}

Tensor *module_linear(const Scope *scope, Tensor *x, const char *name, int64_t in, int64_t out, Init init, Init bias)
{
    Tensor *w = module_parameter(scope, join(name, ".weight").text, 2, (int64_t[]){out, in}, init);
    Tensor *b = module_parameter(scope, join(name, ".bias").text, 1, &out, bias);
    return scope->graph == NULL ? NULL : graph_add_linear(scope->graph, x, w, b);
}

Tensor *module_group_norm(const Scope *scope, Tensor *x, const char *name, int64_t channels, int groups, double start)
{
    Tensor *scale = module_parameter(scope, join(name, ".weight").text, 1, &channels, (Init){INIT_CONSTANT, start});
    Tensor *shift = module_parameter(scope, join(name, ".bias").text, 1, &channels, (Init){INIT_ZERO, 0});
    if (scope->graph == NULL) return NULL;
    return graph_add_group_norm(scope->graph, x, scale, shift, groups, NORM_EPSILON);
}

Tensor *module_layer_norm(const Scope *scope, Tensor *x, const char *name, int64_t channels)
{
    Tensor *scale = module_parameter(scope, join(name, ".weight").text, 1, &channels, (Init){INIT_ONE, 0});
    Tensor *shift = module_parameter(scope, join(name, ".bias").text, 1, &channels, (Init){INIT_ZERO, 0});
    return scope->graph == NULL ? NULL : graph_add_layer_norm(scope->graph, x, scale, shift, NORM_EPSILON);
}

Tensor *module_activation(const Scope *scope, Tensor *x, Activation activation)
{
    return scope->graph == NULL ? NULL : graph_add_activation(scope->graph, x, activation);
}

Tensor *module_sum(const Scope *scope, Tensor *a, Tensor *b)
{
    return scope->graph == NULL ? NULL : graph_add_sum(scope->graph, a, b);
}

int module_norm_groups(int64_t channels)
{
    int groups = channels / 4 < 32 ? (int)(channels / 4) : 32;
    while (groups > 1 && channels % groups != 0) groups--;
    return groups < 1 ? 1 : groups;
}
