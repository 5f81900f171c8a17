/* Building functions of the folded batch norm: shapes are checked here, so that kernels need not. */
#include "models/engine/op.h"

static bool is_row_vector(const Tensor *x, int64_t rows)
{
    return x->rank == 1 && x->shape[0] == rows && tensor_is_real(x);
}

/* attr.r: epsilon. saved: the factor of each row. */
Tensor *graph_add_fold_scale(Graph *g, Tensor *w, Tensor *gamma, Tensor *variance, double epsilon)
{
    if (w == NULL || gamma == NULL || variance == NULL) return NULL;
    if (!tensor_is_real(w) || w->rank < 1 || !is_row_vector(gamma, w->shape[0]) || !is_row_vector(variance, w->shape[0]))
        return graph_fail(g, "fold_scale: gamma %s and variance %s do not fit the weight %s", shape_text(gamma).text,
                          shape_text(variance).text, shape_text(w).text);
    Op *op = graph_new_op(g, OP_FOLD_SCALE, (Tensor *[]){w, gamma, variance}, 3, 0, w->dtype, w->rank, w->shape);
    if (op == NULL) return NULL;
    op->out->needs_grad = w->needs_grad;
    op->attr.r[0] = epsilon;
    op->saved_bytes = w->shape[0] * dtype_size(w->dtype);
    return op->out;
}

/* attr.r: epsilon */
Tensor *graph_add_fold_shift(Graph *g, Tensor *gamma, Tensor *beta, Tensor *mean, Tensor *variance, double epsilon)
{
    if (gamma == NULL || beta == NULL || mean == NULL || variance == NULL) return NULL;
    int64_t rows = gamma->shape[0];
    if (!is_row_vector(gamma, rows) || !is_row_vector(beta, rows) || !is_row_vector(mean, rows) ||
        !is_row_vector(variance, rows))
        return graph_fail(g, "fold_shift: gamma %s, beta %s, mean %s and variance %s do not fit", shape_text(gamma).text,
                          shape_text(beta).text, shape_text(mean).text, shape_text(variance).text);
    Op *op = graph_new_op(g, OP_FOLD_SHIFT, (Tensor *[]){gamma, beta, mean, variance}, 4, 0, gamma->dtype, 1, &rows);
    if (op == NULL) return NULL;
    op->out->needs_grad = false;
    op->attr.r[0] = epsilon;
    return op->out;
}
