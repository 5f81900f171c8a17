/* Building: tensors and ops are appended in the order of the calls, which is
 * the order in which they run. */
#include "models/engine/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "models/engine/graph_private.h"

static const char *const op_names[] = {
#define X(kind, name) [kind] = #name,
    OP_KINDS(X)
#undef X
};
_Static_assert(sizeof op_names / sizeof op_names[0] == OP_KIND_COUNT, "every op has a name");

const char *op_kind_name(OpKind kind)
{
    return op_names[kind];
}

bool graph_grow(void **items, int count, int *capacity, size_t item_size)
{
    if (count < *capacity) return true;
    int wanted = *capacity == 0 ? 64 : *capacity * 2;
    void *grown = memory_resize(*items, (size_t)wanted * item_size);
    if (grown == NULL) return false;
    *items = grown;
    *capacity = wanted;
    return true;
}

Status graph_create(const Backend *backend, Dtype dtype, Graph **graph)
{
    *graph = NULL;
    if (dtype != DTYPE_F32 && dtype != DTYPE_F64)
        return status_error(STATUS_INTERNAL, "a graph computes in f32 or f64, not %s", dtype_name(dtype));
    Graph *g = memory_alloc_zero(1, sizeof *g);
    if (g == NULL) return status_no_memory(sizeof *g, "a graph");
    g->backend = backend;
    g->dtype = dtype;
    g->arena = arena_create(16384);
    if (g->arena == NULL) {
        memory_free(g);
        return status_no_memory(16384, "a graph");
    }
    *graph = g;
    return OK;
}

void graph_destroy(Graph *graph)
{
    if (graph == NULL) return;
    for (int i = 0; graph->kernels != NULL && i < graph->op_count; i++) {
        if (graph->kernels[i] != NULL && graph->kernels[i]->release != NULL) graph->kernels[i]->release(graph->ops[i]);
    }
    if (graph->memory != NULL) graph->backend->deallocate(graph->memory);
    if (graph->scratch != NULL) graph->backend->deallocate(graph->scratch);
    memory_free(graph->kernels);
    memory_free(graph->goes_back);
    memory_free(graph->buffers);
    memory_free(graph->tensors);
    memory_free(graph->ops);
    memory_free(graph->constants);
    memory_free(graph->outputs);
    status_free(graph->failure);
    arena_destroy(graph->arena);
    memory_free(graph);
}

Dtype graph_dtype(const Graph *graph)
{
    return graph->dtype;
}

int64_t graph_memory_bytes(const Graph *graph)
{
    return graph->memory_bytes + graph->scratch_bytes;
}

int64_t graph_op_count(const Graph *graph)
{
    return graph->op_count;
}

Tensor *graph_fail(Graph *graph, const char *format, ...)
{
    if (graph->failure != OK) return NULL;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    graph->failure = status_error(STATUS_INVALID, "%s", text);
    return NULL;
}

static Tensor *fail_memory(Graph *graph, size_t bytes)
{
    if (graph->failure == OK) graph->failure = status_no_memory(bytes, "a graph");
    return NULL;
}

static Tensor *new_tensor(Graph *graph, Dtype dtype, int rank, const int64_t *shape, const char *what)
{
    if (graph->failure != OK) return NULL;
    if (graph->compiled) return graph_fail(graph, "%s: the graph is compiled already", what);
    if (rank < 0 || rank > TENSOR_MAX_RANK) return graph_fail(graph, "%s: rank %d is not 0 to %d", what, rank, TENSOR_MAX_RANK);
    int64_t count = 1;
    for (int d = 0; d < rank; d++) {
        if (shape[d] < 1) return graph_fail(graph, "%s: dimension %d is %lld, not positive", what, d, (long long)shape[d]);
        if (count > INT64_MAX / 16 / shape[d]) return graph_fail(graph, "%s: too large", what);
        count *= shape[d];
    }
    Tensor *tensor = arena_alloc(graph->arena, sizeof *tensor);
    if (tensor == NULL || !graph_grow((void **)&graph->tensors, graph->tensor_count, &graph->tensor_capacity, sizeof(Tensor *)))
        return fail_memory(graph, sizeof *tensor);
    *tensor = (Tensor){.graph = graph, .dtype = dtype, .rank = rank, .shape = {1, 1, 1, 1}, .count = count,
                       .last_backward = -1};
    for (int d = 0; d < rank; d++) tensor->shape[d] = shape[d];
    tensor->id = graph->tensor_count;
    graph->tensors[graph->tensor_count++] = tensor;
    return tensor;
}

Tensor *graph_add_input(Graph *graph, Dtype dtype, int rank, const int64_t *shape, bool want_grad)
{
    bool real = dtype == DTYPE_F32 || dtype == DTYPE_F64;
    if (real && dtype != graph->dtype)
        return graph_fail(graph, "input: is %s in a graph of %s", dtype_name(dtype), dtype_name(graph->dtype));
    Tensor *tensor = new_tensor(graph, dtype, rank, shape, "input");
    if (tensor == NULL) return NULL;
    tensor->is_input = true;
    tensor->needs_grad = tensor->want_input_grad = want_grad && real;
    return tensor;
}

Tensor *graph_add_constant(Graph *graph, int rank, const int64_t *shape, const double *values)
{
    Tensor *tensor = new_tensor(graph, graph->dtype, rank, shape, "constant");
    if (tensor == NULL) return NULL;
    size_t bytes = (size_t)tensor->count * sizeof(double);
    double *kept = arena_alloc(graph->arena, bytes);
    if (kept == NULL ||
        !graph_grow((void **)&graph->constants, graph->constant_count, &graph->constant_capacity, sizeof *graph->constants))
        return fail_memory(graph, bytes);
    memcpy(kept, values, bytes);
    graph->constants[graph->constant_count++] = (ConstantValues){tensor, kept};
    return tensor;
}

Tensor *graph_add_parameter(Graph *graph, Parameter *parameter)
{
    if (parameter == NULL) return graph_fail(graph, "parameter: declared without memory, or under a name taken already");
    for (int i = 0; i < graph->tensor_count; i++) {
        if (graph->tensors[i]->parameter == parameter) return graph->tensors[i];
    }
    Tensor *tensor = new_tensor(graph, graph->dtype, parameter->rank, parameter->shape, parameter->name);
    if (tensor == NULL) return NULL;
    tensor->parameter = parameter;
    tensor->needs_grad = !parameter->frozen;
    return tensor;
}

Tensor *graph_mark_output(Tensor *tensor)
{
    if (tensor == NULL) return NULL;
    tensor->is_output = true;
    Graph *graph = tensor->graph;
    Tensor *root = tensor_root(tensor);
    for (int i = 0; i < graph->output_count; i++) {
        if (graph->outputs[i] == root) return tensor;
    }
    if (!graph_grow((void **)&graph->outputs, graph->output_count, &graph->output_capacity, sizeof(Tensor *)))
        return fail_memory(graph, sizeof(Tensor *));
    root->is_output = true;
    graph->outputs[graph->output_count++] = root;
    return tensor;
}

Op *graph_new_op(Graph *graph, OpKind kind, Tensor *const *in, int input_count, unsigned optional, Dtype dtype,
                 int rank, const int64_t *shape)
{
    bool needs_grad = false;
    for (int k = 0; k < input_count; k++) {
        if (in[k] == NULL) {
            if ((optional >> k & 1) != 0) continue;
            graph_fail(graph, "%s: input %d is missing", op_names[kind], k);
            return NULL;
        }
        needs_grad |= in[k]->needs_grad;
    }
    if (input_count > OP_MAX_INPUTS) {
        graph_fail(graph, "%s: %d inputs, at most %d", op_names[kind], input_count, OP_MAX_INPUTS);
        return NULL;
    }
    Tensor *out = new_tensor(graph, dtype, rank, shape, op_names[kind]);
    if (out == NULL) return NULL;
    Op *op = arena_alloc(graph->arena, sizeof *op);
    if (op == NULL || !graph_grow((void **)&graph->ops, graph->op_count, &graph->op_capacity, sizeof(Op *))) {
        fail_memory(graph, sizeof *op);
        return NULL;
    }
    *op = (Op){.graph = graph, .kind = kind, .index = graph->op_count, .input_count = input_count, .out = out};
    for (int k = 0; k < input_count; k++) op->in[k] = in[k];
    out->producer = op;
    out->needs_grad = needs_grad && (dtype == DTYPE_F32 || dtype == DTYPE_F64);
    graph->ops[graph->op_count++] = op;
    return op;
}

Tensor *graph_add_reshape(Graph *graph, Tensor *x, int rank, const int64_t *shape)
{
    if (x == NULL) return NULL;
    if (rank < 0 || rank > TENSOR_MAX_RANK) return graph_fail(graph, "reshape: rank %d is not 0 to %d", rank, TENSOR_MAX_RANK);
    int64_t wanted[TENSOR_MAX_RANK] = {0}, known = 1;
    int open = -1;
    for (int d = 0; d < rank; d++) {
        wanted[d] = shape[d];
        if (shape[d] != -1) known *= shape[d];
        else if (open >= 0) return graph_fail(graph, "reshape: two dimensions are -1");
        else open = d;
    }
    if (open >= 0 && known > 0) wanted[open] = x->count / known;
    Tensor *tensor = new_tensor(graph, x->dtype, rank, wanted, "reshape");
    if (tensor == NULL) return NULL;
    if (tensor->count != x->count)
        return graph_fail(graph, "reshape: %lld elements cannot become %lld", (long long)x->count, (long long)tensor->count);
    tensor->alias_of = tensor_root(x);
    tensor->needs_grad = x->needs_grad;
    tensor->producer = x->producer;
    return tensor;
}
