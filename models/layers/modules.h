/* Layers with their parameters. A network is written once, as calls of these: run without a graph, they declare the
 * parameters; run with one, they build it from those same parameters. */
#ifndef LAYERS_MODULES_H
#define LAYERS_MODULES_H

#include "models/engine/ops.h"

typedef struct Scope {
    Graph *graph;           /* NULL: parameters are declared, all results are NULL */
    Parameters *parameters;
    const char *prefix;     /* put before every name as it is: "backbone." */
    double lr_multiplier;   /* of what is declared */
    bool frozen;
} Scope;

/* All names are within the scope. Functions take and return NULL tensors while declaring and after a mistake in the
 * graph, as those of ops.h do. */
Tensor *module_parameter(const Scope *scope, const char *name, int rank, const int64_t *shape, Init init);

typedef struct ConvShape {
    int64_t in, out;
    int64_t kernel;        /* square */
    ConvGeometry geometry;
    bool bias;
    Init init;             /* of the weight; the bias starts at 0 */
} ConvShape;
/* NAME.weight [out, in/groups, kernel, kernel] and NAME.bias [out] */
Tensor *module_conv(const Scope *scope, Tensor *x, const char *name, const ConvShape *shape);
/* The same without bias, then a batch norm of fixed scale, shift and statistics, folded into the weight: NORM.weight,
 * .bias, .running_mean and .running_var [out], the identity at first and never trained; epsilon 1e-5. */
Tensor *module_conv_frozen_norm(const Scope *scope, Tensor *x, const char *name, const char *norm, const ConvShape *shape);
/* NAME.weight [out, in], drawn from `init`, and NAME.bias [out], from `bias` */
Tensor *module_linear(const Scope *scope, Tensor *x, const char *name, int64_t in, int64_t out, Init init, Init bias);
/* NAME.weight, starting at `start`, and NAME.bias, at 0; epsilon 1e-5 */
Tensor *module_group_norm(const Scope *scope, Tensor *x, const char *name, int64_t channels, int groups, double start);
Tensor *module_layer_norm(const Scope *scope, Tensor *x, const char *name, int64_t channels);
Tensor *module_activation(const Scope *scope, Tensor *x, Activation activation);
Tensor *module_sum(const Scope *scope, Tensor *a, Tensor *b);

/* Groups for a group norm: the largest divisor of `channels` up to 32 that leaves at least 4 channels in a group. */
int module_norm_groups(int64_t channels);

#endif
