/* The inside of a graph, for graph.c, graph_plan.c, graph_run.c and the
 * planner's test. */
#ifndef ENGINE_GRAPH_PRIVATE_H
#define ENGINE_GRAPH_PRIVATE_H

#include "framework/memory.h"
#include "models/engine/graph.h"
#include "models/engine/op.h"

/* A span of the plan's memory and when it is in use. Time is the position in
 * the run: op i goes forward at i, backward at 2n - 1 - i (n ops). */
typedef struct PlanBuffer {
    int64_t bytes, offset;
    int64_t from, to; /* inclusive */
    void **place;     /* where the address goes */
} PlanBuffer;

typedef struct ConstantValues {
    Tensor *tensor;
    const double *values; /* in the graph's arena */
} ConstantValues;

struct Graph {
    const Backend *backend;
    Dtype dtype;
    Arena *arena; /* tensors, ops, kept constants */
    Status failure;
    bool compiled, training;
    bool no_sharing; /* test hook: every buffer lives for the whole run */

    Tensor **tensors;
    int tensor_count, tensor_capacity;
    Op **ops;
    int op_count, op_capacity;
    ConstantValues *constants;
    int constant_count, constant_capacity;
    Tensor **outputs; /* roots, each once */
    int output_count, output_capacity;

    /* from graph_compile on */
    const OpKernels **kernels; /* one per op */
    bool *goes_back;           /* one per op: whether backward runs it */
    PlanBuffer *buffers;
    int buffer_count, buffer_capacity;
    void *memory, *scratch;
    int64_t memory_bytes, scratch_bytes;
    uint64_t seed, step, sample;
    GraphGradientHook *hook; /* may be NULL */
    void *hook_context;
};

const char *op_kind_name(OpKind kind);

/* The tensor whose memory this one shares: itself unless a reshape. */
static inline Tensor *tensor_root(Tensor *tensor)
{
    while (tensor->alias_of != NULL) tensor = tensor->alias_of;
    return tensor;
}

/* An array in `*items` with room for one more; false without memory. */
bool graph_grow(void **items, int count, int *capacity, size_t item_size);

/* What the backward of an op reads of its forward's tensors. */
bool op_backward_reads_inputs(const Op *op);
bool op_backward_reads_output(const Op *op);

/* Makes outputs of elementwise ops aliases of inputs that nobody else wants. Before graph_plan. */
Status graph_share_in_place(Graph *graph);

/* Decides which ops go backward, which gradients exist and accumulate, and
 * where everything lies; sets graph->buffers and memory_bytes, not memory. */
Status graph_plan(Graph *graph);

#endif
