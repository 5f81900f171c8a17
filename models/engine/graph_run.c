/* Compiling and running. */
#include <string.h>

#include "models/engine/graph_private.h"

/* Without training a dropout does nothing: its output becomes another name of
 * its input, and the op goes. */
static void drop_dropouts(Graph *g)
{
    int kept = 0;
    for (int i = 0; i < g->op_count; i++) {
        Op *op = g->ops[i];
        if (op->kind == OP_DROPOUT) op->out->alias_of = tensor_root(op->in[0]);
        else g->ops[kept++] = op;
    }
    g->op_count = kept;
    for (int i = 0; i < g->tensor_count; i++) {
        if (g->tensors[i]->is_output) tensor_root(g->tensors[i])->is_output = true;
    }
}

static Status find_kernels(Graph *g)
{
    for (int i = 0; i < g->op_count; i++) {
        int kind = (int)g->ops[i]->kind;
        g->kernels[i] = g->backend->kernels(kind, g->dtype);
        if (g->kernels[i] == NULL)
            return status_error(STATUS_INTERNAL, "the %s backend has no %s for %s", g->backend->name, op_kind_name(g->ops[i]->kind),
                                dtype_name(g->dtype));
    }
    return OK;
}

static Status upload_constants(Graph *g)
{
    int64_t largest = 0;
    for (int i = 0; i < g->constant_count; i++) {
        if (g->constants[i].tensor->count > largest) largest = g->constants[i].tensor->count;
    }
    if (largest == 0) return OK;
    float *narrow = memory_alloc((size_t)largest * sizeof *narrow);
    if (narrow == NULL) return status_no_memory((size_t)largest * sizeof *narrow, "a graph's constants");
    Status status = OK;
    for (int i = 0; i < g->constant_count && status == OK; i++) {
        const Tensor *t = g->constants[i].tensor;
        const double *values = g->constants[i].values;
        for (int64_t j = 0; j < t->count; j++) narrow[j] = (float)values[j];
        const void *from = t->dtype == DTYPE_F64 ? (const void *)values : narrow;
        status = g->backend->upload(t->data, from, (size_t)(t->count * dtype_size(t->dtype)));
    }
    memory_free(narrow);
    return status;
}

static Status check_parameters(const Graph *g)
{
    for (int i = 0; i < g->tensor_count; i++) {
        const Parameter *p = g->tensors[i]->parameter;
        if (p != NULL && p->value == NULL)
            return status_error(STATUS_INTERNAL, "graph: parameter %s is not allocated yet", p->name);
    }
    return OK;
}

/* Addresses: first the buffers', then those of the tensors that share them. */
static Status allocate(Graph *g)
{
    if (g->memory_bytes > 0) TRY(g->backend->allocate((size_t)g->memory_bytes, &g->memory));
    for (int i = 0; i < g->buffer_count; i++) *g->buffers[i].place = (char *)g->memory + g->buffers[i].offset;
    for (int i = 0; i < g->tensor_count; i++) {
        Tensor *t = g->tensors[i];
        if (t->alias_of == NULL) continue;
        t->data = tensor_root(t)->data;
        t->grad = tensor_root(t)->grad;
    }
    return OK;
}

/* One scratch block serves all ops, as only one runs at a time. */
static Status prepare(Graph *g)
{
    for (int i = 0; i < g->op_count; i++) {
        if (g->kernels[i]->prepare != NULL) TRY(g->kernels[i]->prepare(g->ops[i]));
        if (g->ops[i]->scratch_bytes > g->scratch_bytes) g->scratch_bytes = g->ops[i]->scratch_bytes;
    }
    if (g->scratch_bytes > 0) TRY(g->backend->allocate((size_t)g->scratch_bytes, &g->scratch));
    for (int i = 0; i < g->op_count; i++) g->ops[i]->scratch = g->scratch;
    return OK;
}

Status graph_compile(Graph *g, bool training)
{
    if (g->failure != OK) {
        Status failure = g->failure;
        g->failure = OK;
        g->compiled = true; /* it cannot be used, nor compiled again */
        return failure;
    }
    if (g->compiled) return status_error(STATUS_INTERNAL, "graph: compiled twice");
    g->compiled = true;
    g->training = training;
    TRY(check_parameters(g));
    if (!training) drop_dropouts(g);
    size_t count = (size_t)g->op_count + 1;
    g->kernels = memory_alloc_zero(count, sizeof *g->kernels);
    g->goes_back = memory_alloc_zero(count, sizeof *g->goes_back);
    if (g->kernels == NULL || g->goes_back == NULL) return status_no_memory(count * sizeof *g->kernels, "a graph");
    TRY(find_kernels(g));
    if (!g->no_sharing) TRY(graph_share_in_place(g));
    TRY(graph_plan(g));
    TRY(allocate(g));
    TRY(upload_constants(g));
    return prepare(g);
}

void graph_set_random(Graph *g, uint64_t seed, uint64_t step, uint64_t sample)
{
    g->seed = seed;
    g->step = step;
    g->sample = sample;
}

void graph_random_position(const Graph *g, uint64_t *seed, uint64_t *step, uint64_t *sample)
{
    *seed = g->seed;
    *step = g->step;
    *sample = g->sample;
}

bool graph_is_training(const Graph *g)
{
    return g->training;
}

void graph_zero_output_grads(Graph *g)
{
    static const char zeros[4096];
    for (int i = 0; i < g->output_count; i++) {
        const Tensor *t = g->outputs[i];
        int64_t bytes = t->grad == NULL ? 0 : t->count * dtype_size(t->dtype);
        for (int64_t at = 0; at < bytes; at += (int64_t)sizeof zeros) {
            int64_t piece = bytes - at < (int64_t)sizeof zeros ? bytes - at : (int64_t)sizeof zeros;
            status_free(g->backend->upload((char *)t->grad + at, zeros, (size_t)piece));
        }
    }
}

Status graph_forward(Graph *g)
{
    if (g->kernels == NULL) return status_error(STATUS_INTERNAL, "graph: run before it was compiled");
    for (int i = 0; i < g->op_count; i++) TRY(g->kernels[i]->forward(g->ops[i]));
    return OK;
}

void graph_set_gradient_hook(Graph *g, GraphGradientHook *hook, void *context)
{
    g->hook = hook;
    g->hook_context = context;
}

static void tell_hook(const Graph *g, const Op *op, int index)
{
    for (int k = 0; k < op->input_count; k++) {
        const Tensor *root = op->in[k] != NULL ? tensor_root(op->in[k]) : NULL;
        bool told = root == NULL || root->parameter == NULL || !root->needs_grad || root->last_backward != index;
        for (int before = 0; before < k && !told; before++)
            told = op->in[before] != NULL && tensor_root(op->in[before]) == root;
        if (!told) g->hook(g->hook_context, root->parameter);
    }
    g->hook(g->hook_context, NULL);
}

Status graph_backward(Graph *g)
{
    if (!g->training) return status_error(STATUS_INTERNAL, "graph: not compiled for training");
    for (int i = g->op_count - 1; i >= 0; i--) {
        if (!g->goes_back[i]) continue;
        TRY(g->kernels[i]->backward(g->ops[i]));
        if (g->hook != NULL) tell_hook(g, g->ops[i], i);
    }
    return OK;
}
