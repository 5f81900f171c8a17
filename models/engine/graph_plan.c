/* The memory planner. Every buffer's life is an interval on the line of the
 * run, forward then backward; buffers whose lives do not meet may share
 * memory. Offsets are given greedily, the largest buffer first, each at the
 * lowest place free during its life (Pisarchyk and Lee, "Efficient memory
 * management for deep neural net inference", 2020). */
#include <stdlib.h>

#include "models/engine/graph_private.h"

#define ALIGNMENT 64

enum { READS_NOTHING = 0, READS_IN = 1, READS_OUT = 2, READS_BOTH = READS_IN | READS_OUT };

/* What the backward of each op reads of its forward's tensors: those must stay. */
static const unsigned char backward_reads[] = {
    [OP_LINEAR] = READS_IN, [OP_MATMUL] = READS_IN, [OP_ATTENTION] = READS_IN, [OP_CONV2D] = READS_IN,
    [OP_MAX_POOL] = READS_IN, [OP_RESIZE] = READS_NOTHING, [OP_RESIZE_NEAREST] = READS_NOTHING,
    [OP_ATTENTION_MASK] = READS_NOTHING, [OP_DEFORMABLE] = READS_IN, [OP_LAYER_NORM] = READS_IN,
    [OP_GROUP_NORM] = READS_IN, [OP_NORMALIZE] = READS_OUT, [OP_ACTIVATION] = READS_BOTH, [OP_SUM] = READS_NOTHING,
    [OP_PRODUCT] = READS_IN, [OP_SCALE] = READS_NOTHING, [OP_DROPOUT] = READS_NOTHING, [OP_SOFTMAX] = READS_OUT,
    [OP_PAIR_SUM] = READS_NOTHING, [OP_PAIR_SCORE] = READS_IN, [OP_CONCAT] = READS_NOTHING, [OP_SLICE] = READS_NOTHING,
    [OP_GATHER] = READS_NOTHING, [OP_SWAP_MIDDLE] = READS_NOTHING,
    [OP_CROSS_ENTROPY] = READS_NOTHING, [OP_L1_LOSS] = READS_IN, [OP_SOFTMAX_KL] = READS_NOTHING, [OP_MMD_LOSS] = READS_BOTH,
    [OP_MEAN] = READS_NOTHING, [OP_TOTAL] = READS_NOTHING,
    [OP_FOLD_SCALE] = READS_NOTHING, [OP_FOLD_SHIFT] = READS_NOTHING,
};
_Static_assert(sizeof backward_reads / sizeof backward_reads[0] == OP_KIND_COUNT, "every op has its row");

/* A tensor's life while it is being worked out; -1: never. Only roots' are used. */
typedef struct Life {
    int64_t data_from, data_to, grad_from, grad_to;
    bool gets_grad;   /* some op that goes backward, or the caller, gives it one */
    bool initialised; /* on the way backward: an op has written it already */
} Life;

/* An activation's kind decides which of its tensors its derivative is written in. */
static unsigned reads_of(const Op *op)
{
    if (op->kind != OP_ACTIVATION) return backward_reads[op->kind];
    return op->attr.i[0] == ACTIVATION_GELU ? READS_IN : READS_OUT;
}

bool op_backward_reads_inputs(const Op *op)
{
    return (reads_of(op) & READS_IN) != 0;
}

bool op_backward_reads_output(const Op *op)
{
    return (reads_of(op) & READS_OUT) != 0;
}

static Status add_buffer(Graph *g, int64_t bytes, int64_t from, int64_t to, void **place)
{
    if (!graph_grow((void **)&g->buffers, g->buffer_count, &g->buffer_capacity, sizeof *g->buffers))
        return status_no_memory(sizeof *g->buffers, "a graph's plan");
    if (g->no_sharing) {
        from = 0;
        to = INT64_MAX;
    }
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    g->buffers[g->buffer_count++] = (PlanBuffer){.bytes = bytes, .from = from, .to = to, .place = place};
    return OK;
}

/* Which gradients exist: a tensor gets one from the caller if it is an output,
 * or from an op that itself has one to pass on. */
static void find_gradients(Graph *g, Life *lives)
{
    for (int i = 0; i < g->output_count; i++) {
        if (g->outputs[i]->needs_grad) lives[g->outputs[i]->id].gets_grad = true;
    }
    for (int i = g->op_count - 1; i >= 0; i--) {
        Op *op = g->ops[i];
        g->goes_back[i] = lives[tensor_root(op->out)->id].gets_grad && g->kernels[i]->backward != NULL;
        for (int k = 0; g->goes_back[i] && k < op->input_count; k++) {
            if (op->in[k] == NULL || !op->in[k]->needs_grad) continue;
            lives[tensor_root(op->in[k])->id].gets_grad = true;
            tensor_root(op->in[k])->last_backward = i;
        }
    }
}

/* Walks the run once, forward and backward, stretching lives to every use. */
static void find_lives(Graph *g, Life *lives)
{
    int64_t n = g->op_count;
    for (int i = 0; i < n; i++) {
        Op *op = g->ops[i];
        int64_t back = 2 * n - 1 - i;
        unsigned reads = g->goes_back[i] ? reads_of(op) : READS_NOTHING;
        Life *out = &lives[tensor_root(op->out)->id];
        if (out->data_from < 0) out->data_from = i;
        if (out->data_to < i) out->data_to = i;
        if ((reads & READS_OUT) != 0 && out->data_to < back) out->data_to = back;
        if (out->gets_grad && out->grad_to < back) out->grad_to = back;
        for (int k = 0; k < op->input_count; k++) {
            if (op->in[k] == NULL) continue;
            Life *in = &lives[tensor_root(op->in[k])->id];
            int64_t last = (reads & READS_IN) != 0 ? back : i;
            if (in->data_to < last) in->data_to = last;
            /* Later ops go backward earlier: the last consumer sets the start. */
            if (g->goes_back[i] && op->in[k]->needs_grad) in->grad_from = back;
        }
    }
}

/* The first op to reach a gradient on the way backward overwrites it, the
 * others add; those of parameters and outputs hold something from the start. */
static void find_accumulation(Graph *g, Life *lives)
{
    for (int i = 0; i < g->tensor_count; i++) {
        const Tensor *t = g->tensors[i];
        lives[i].initialised = t->parameter != NULL || t->is_output;
    }
    for (int i = g->op_count - 1; i >= 0; i--) {
        Op *op = g->ops[i];
        for (int k = 0; g->goes_back[i] && k < op->input_count; k++) {
            if (op->in[k] == NULL || !op->in[k]->needs_grad) continue;
            Life *in = &lives[tensor_root(op->in[k])->id];
            op->accumulate[k] = in->initialised;
            in->initialised = true;
        }
    }
}

static Status add_tensor_buffers(Graph *g, Life *lives)
{
    int64_t end = INT64_MAX;
    for (int i = 0; i < g->tensor_count; i++) {
        Tensor *t = g->tensors[i];
        Life *life = &lives[i];
        if (t->alias_of != NULL) continue;
        if (t->parameter != NULL) {
            t->data = t->parameter->value;
            t->grad = g->training && t->needs_grad ? t->parameter->grad : NULL;
            continue;
        }
        int64_t bytes = t->count * dtype_size(t->dtype);
        bool kept = t->is_output || t->producer == NULL; /* outputs, inputs and constants share with nothing */
        TRY(add_buffer(g, bytes, kept ? 0 : life->data_from, kept ? end : life->data_to, &t->data));
        if (!g->training || !t->needs_grad || !(life->gets_grad || t->want_input_grad)) continue;
        bool grad_kept = t->is_output || t->is_input;
        TRY(add_buffer(g, bytes, grad_kept ? 0 : life->grad_from, grad_kept ? end : life->grad_to, &t->grad));
    }
    for (int i = 0; i < g->op_count; i++) {
        Op *op = g->ops[i];
        int64_t last = g->goes_back[i] ? 2 * (int64_t)g->op_count - 1 - i : i;
        if (op->saved_bytes > 0) TRY(add_buffer(g, op->saved_bytes, i, last, &op->saved));
    }
    return OK;
}

static int compare_size(const void *a, const void *b)
{
    const PlanBuffer *x = *(PlanBuffer *const *)a, *y = *(PlanBuffer *const *)b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x < y ? -1 : x > y; /* qsort is not stable; the plan must be the same every time */
}

/* `placed` holds the buffers with an offset, by offset. */
static void place_buffer(PlanBuffer *buffer, PlanBuffer **placed, int placed_count)
{
    int64_t offset = 0;
    for (int i = 0; i < placed_count; i++) {
        const PlanBuffer *other = placed[i];
        if (other->to < buffer->from || buffer->to < other->from) continue;
        if (other->offset >= offset + buffer->bytes) break;
        if (other->offset + other->bytes > offset) offset = other->offset + other->bytes;
    }
    buffer->offset = offset;
    int at = placed_count;
    while (at > 0 && placed[at - 1]->offset > offset) {
        placed[at] = placed[at - 1];
        at--;
    }
    placed[at] = buffer;
}

static Status place_buffers(Graph *g)
{
    if (g->buffer_count == 0) return OK;
    size_t bytes = (size_t)g->buffer_count * sizeof(PlanBuffer *);
    PlanBuffer **order = memory_alloc(bytes), **placed = memory_alloc(bytes);
    if (order == NULL || placed == NULL) {
        memory_free(order);
        memory_free(placed);
        return status_no_memory(bytes, "a graph's plan");
    }
    for (int i = 0; i < g->buffer_count; i++) order[i] = &g->buffers[i];
    qsort(order, (size_t)g->buffer_count, sizeof *order, compare_size);
    g->memory_bytes = 0;
    for (int i = 0; i < g->buffer_count; i++) {
        place_buffer(order[i], placed, i);
        int64_t end = order[i]->offset + order[i]->bytes;
        if (end > g->memory_bytes) g->memory_bytes = end;
    }
    memory_free(order);
    memory_free(placed);
    return OK;
}

Status graph_plan(Graph *g)
{
    size_t bytes = (size_t)(g->tensor_count + 1) * sizeof(Life);
    Life *lives = memory_alloc(bytes);
    if (lives == NULL) return status_no_memory(bytes, "a graph's plan");
    for (int i = 0; i < g->tensor_count; i++) lives[i] = (Life){-1, -1, -1, -1, false, false};
    if (g->training) find_gradients(g, lives);
    find_lives(g, lives);
    if (g->training) find_accumulation(g, lives);
    Status status = add_tensor_buffers(g, lives);
    if (status == OK) status = place_buffers(g);
    memory_free(lives);
    return status;
}
