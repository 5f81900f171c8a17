/* A graph of tensor operations: built once per set of shapes by plain C calls
 * (ops.h), its memory planned, then run many times forward and backward.
 *
 * Building functions return the output tensor, or NULL after a mistake
 * (shapes that do not fit, no memory). The first mistake is kept in the graph,
 * later calls given NULL do nothing, and graph_compile returns it: callers
 * need not check each call.
 *
 *     Graph *g;
 *     TRY(graph_create(backend_cpu(), DTYPE_F32, &g));
 *     Tensor *x = graph_add_input(g, DTYPE_F32, 2, (int64_t[]){8, 16}, false);
 *     Tensor *y = graph_add_linear(g, x, graph_add_parameter(g, w), graph_add_parameter(g, b));
 *     graph_mark_output(y);
 *     TRY(graph_compile(g, true));
 *     memcpy(x->data, ...); TRY(graph_forward(g));
 *     memcpy(y->grad, ...); TRY(graph_backward(g));    // adds to w->grad, b->grad
 *
 * Tensors and ops belong to the graph. Parameters belong to their Parameters,
 * must be allocated before graph_compile, and may be shared by many graphs. */
#ifndef ENGINE_GRAPH_H
#define ENGINE_GRAPH_H

#include "models/engine/backend.h"
#include "models/engine/parameters.h"
#include "models/engine/tensor.h"

/* `dtype`, F32 or F64, is that of all computed tensors. */
Status graph_create(const Backend *backend, Dtype dtype, Graph **graph);
void graph_destroy(Graph *graph);
Dtype graph_dtype(const Graph *graph);

/* An input the caller fills before each forward. `want_grad`: graph_backward
 * leaves d/d(input) in ->grad (overwritten each time). dtype is the graph's,
 * I32 or U8. */
Tensor *graph_add_input(Graph *graph, Dtype dtype, int rank, const int64_t *shape, bool want_grad);
/* A constant, converted from doubles once. */
Tensor *graph_add_constant(Graph *graph, int rank, const int64_t *shape, const double *values);
/* The tensor of a parameter; the same one when asked again. */
Tensor *graph_add_parameter(Graph *graph, Parameter *parameter);
/* Keeps data (and, if compiled for training, a grad the caller may seed) valid
 * after the run. Only outputs and inputs may be read by the caller. Returns
 * its argument; NULL is fine. */
Tensor *graph_mark_output(Tensor *tensor);

/* Plans memory and prepares every op. `training`: backward will be run, and
 * dropout is active. Call once. Without training, activations share memory. */
Status graph_compile(Graph *graph, bool training);
/* Random ops (dropout) of the next forward draw from (seed, step, sample). */
void graph_set_random(Graph *graph, uint64_t seed, uint64_t step, uint64_t sample);
Status graph_forward(Graph *graph);
/* Zeroes the gradients of all outputs, so that the caller seeds only some. */
void graph_zero_output_grads(Graph *graph);
/* From the outputs' ->grad, set by the caller since the last forward. Adds to
 * the gradients of parameters, overwrites those of inputs. */
Status graph_backward(Graph *graph);
/* Called by graph_backward after every op, for whoever does something else meanwhile: with each parameter whose gradient
 * no later op of this pass adds to, then with NULL. Parameters that the pass doesn't reach are not told. NULL: none. */
typedef void GraphGradientHook(void *context, const Parameter *final);
void graph_set_gradient_hook(Graph *graph, GraphGradientHook *hook, void *context);

int64_t graph_memory_bytes(const Graph *graph); /* of the plan, parameters excluded */
int64_t graph_op_count(const Graph *graph);
/* Reports a mistake of a building function: keeps the first, returns NULL.
 * For ops.h and layers. */
Tensor *graph_fail(Graph *graph, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
