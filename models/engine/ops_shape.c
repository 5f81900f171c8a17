/* Building functions that only move numbers. (A reshape is in graph.c.) */
#include "models/engine/op.h"

/* attr.i: axis */
Tensor *graph_add_concat(Graph *g, Tensor *const *parts, int count, int axis)
{
    if (count < 1 || count > OP_MAX_INPUTS)
        return graph_fail(g, "concat: %d parts are not 1 to %d", count, OP_MAX_INPUTS);
    const Tensor *first = parts[0];
    int64_t total = 0;
    for (int k = 0; k < count; k++) {
        const Tensor *part = parts[k];
        if (part == NULL) return graph_fail(g, "concat: part %d is missing", k);
        bool fits = tensor_is_real(part) && part->rank == first->rank && axis >= 0 && axis < first->rank;
        for (int d = 0; fits && d < first->rank; d++) fits = d == axis || part->shape[d] == first->shape[d];
        if (!fits)
            return graph_fail(g, "concat: part %d %s does not fit part 0 %s along axis %d", k, shape_text(part).text,
                              shape_text(first).text, axis);
        total += part->shape[axis];
    }
    int64_t shape[TENSOR_MAX_RANK];
    for (int d = 0; d < first->rank; d++) shape[d] = first->shape[d];
    shape[axis] = total;
    Op *op = graph_new_op(g, OP_CONCAT, parts, count, 0, first->dtype, first->rank, shape);
    if (op == NULL) return NULL;
    op->attr.i[0] = axis;
    return op->out;
}

/* attr.i: axis, first, count */
Tensor *graph_add_slice(Graph *g, Tensor *x, int axis, int64_t first, int64_t count)
{
    if (x == NULL) return graph_fail(g, "slice: the input is missing");
    if (!tensor_is_real(x) || axis < 0 || axis >= x->rank || first < 0 || count < 1 || first + count > x->shape[axis])
        return graph_fail(g, "slice: %lld to %lld of axis %d are not all in %s", (long long)first,
                          (long long)(first + count), axis, shape_text(x).text);
    int64_t shape[TENSOR_MAX_RANK];
    for (int d = 0; d < x->rank; d++) shape[d] = x->shape[d];
    shape[axis] = count;
    Op *op = graph_new_op(g, OP_SLICE, &x, 1, 0, x->dtype, x->rank, shape);
    if (op == NULL) return NULL;
    op->attr.i[0] = axis;
    op->attr.i[1] = first;
    op->attr.i[2] = count;
    return op->out;
}

Tensor *graph_add_gather(Graph *g, Tensor *x, Tensor *rows)
{
    if (x == NULL || rows == NULL) return graph_fail(g, "gather: an input is missing");
    if (!tensor_is_real(x) || x->rank < 1 || rows->dtype != DTYPE_I32 || rows->rank != 1)
        return graph_fail(g, "gather: x %s and rows %s do not fit: rows are I32 [M]", shape_text(x).text,
                          shape_text(rows).text);
    /* Inputs keep their memory to themselves, so that backward may read them (graph_plan.c). */
    if (rows->producer != NULL) return graph_fail(g, "gather: the rows must be an input");
    int64_t shape[TENSOR_MAX_RANK] = {rows->shape[0]};
    for (int d = 1; d < x->rank; d++) shape[d] = x->shape[d];
    Op *op = graph_new_op(g, OP_GATHER, (Tensor *[]){x, rows}, 2, 0, x->dtype, x->rank, shape);
    return op == NULL ? NULL : op->out;
}

Tensor *graph_add_swap_middle(Graph *g, Tensor *x)
{
    if (x == NULL) return graph_fail(g, "swap_middle: the input is missing");
    if (!tensor_is_real(x) || x->rank != 4) return graph_fail(g, "swap_middle: x %s is not of rank 4", shape_text(x).text);
    Op *op = graph_new_op(g, OP_SWAP_MIDDLE, &x, 1, 0, x->dtype, 4,
                          (int64_t[]){x->shape[0], x->shape[2], x->shape[1], x->shape[3]});
    return op == NULL ? NULL : op->out;
}
