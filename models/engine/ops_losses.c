/* Building functions of the losses. */
#include "models/engine/op.h"

/* saved: the probabilities [M, C], then 1 / the sum of the rows' weights. */
Tensor *graph_add_cross_entropy(Graph *g, Tensor *logits, Tensor *labels, Tensor *class_weights)
{
    if (logits == NULL || labels == NULL) return graph_fail(g, "cross_entropy: an input is missing");
    if (!tensor_is_real(logits) || logits->rank != 2 || labels->dtype != DTYPE_I32 || labels->rank != 1 ||
        labels->shape[0] != logits->shape[0])
        return graph_fail(g, "cross_entropy: logits %s and labels %s do not fit: [M, C] and I32 [M]",
                          shape_text(logits).text, shape_text(labels).text);
    /* Inputs keep their memory to themselves, so that backward may read them (graph_plan.c). */
    if (labels->producer != NULL) return graph_fail(g, "cross_entropy: the labels must be an input");
    if (class_weights != NULL) {
        if (!tensor_is_real(class_weights) || class_weights->rank != 1 || class_weights->shape[0] != logits->shape[1])
            return graph_fail(g, "cross_entropy: logits %s and class weights %s do not fit", shape_text(logits).text,
                              shape_text(class_weights).text);
        if (class_weights->producer != NULL || class_weights->needs_grad)
            return graph_fail(g, "cross_entropy: the class weights must be an input or constant without gradient");
    }
    Op *op = graph_new_op(g, OP_CROSS_ENTROPY, (Tensor *[]){logits, labels, class_weights}, 3, 1u << 2, logits->dtype, 0, NULL);
    if (op == NULL) return NULL;
    op->saved_bytes = (logits->count + 1) * dtype_size(logits->dtype);
    return op->out;
}

Tensor *graph_add_l1_loss(Graph *g, Tensor *a, Tensor *b)
{
    if (a == NULL || b == NULL) return graph_fail(g, "l1_loss: an input is missing");
    if (!tensor_is_real(a) || !tensor_is_real(b) || !tensor_same_shape(a, b))
        return graph_fail(g, "l1_loss: a %s and b %s do not fit", shape_text(a).text, shape_text(b).text);
    Op *op = graph_new_op(g, OP_L1_LOSS, (Tensor *[]){a, b}, 2, 0, a->dtype, 0, NULL);
    return op == NULL ? NULL : op->out;
}

/* attr.r: factor, scale. saved: p, q and log(p / q), each [M, C]; then [M] terms of the sum. */
Tensor *graph_add_softmax_kl(Graph *g, Tensor *x, Tensor *target, double factor, double scale)
{
    if (x == NULL || target == NULL) return graph_fail(g, "softmax_kl: an input is missing");
    if (!tensor_is_real(x) || !tensor_is_real(target) || x->rank != 2 || !tensor_same_shape(x, target))
        return graph_fail(g, "softmax_kl: x %s and target %s do not fit", shape_text(x).text, shape_text(target).text);
    Op *op = graph_new_op(g, OP_SOFTMAX_KL, (Tensor *[]){x, target}, 2, 0, x->dtype, 0, NULL);
    if (op == NULL) return NULL;
    op->attr.r[0] = factor;
    op->attr.r[1] = scale;
    op->saved_bytes = (3 * x->count + x->shape[0]) * dtype_size(x->dtype);
    return op->out;
}

/* attr.i: number of sigmas; attr.r: the sigmas. With T = M + K rows in all,
 * saved: [T, T], what a pair's kernels add to the derivative by its distance.
 * scratch: norms and row sums of the rows. */
Tensor *graph_add_mmd_loss(Graph *g, Tensor *x, Tensor *y, const double *sigmas, int sigma_count)
{
    if (x == NULL || y == NULL) return graph_fail(g, "mmd_loss: an input is missing");
    if (!tensor_is_real(x) || !tensor_is_real(y) || x->rank != 2 || y->rank != 2 || x->shape[1] != y->shape[1])
        return graph_fail(g, "mmd_loss: x %s and y %s do not fit", shape_text(x).text, shape_text(y).text);
    if (sigma_count < 1 || sigma_count > 8) return graph_fail(g, "mmd_loss: %d sigmas are not 1 to 8", sigma_count);
    Op *op = graph_new_op(g, OP_MMD_LOSS, (Tensor *[]){x, y}, 2, 0, x->dtype, 0, NULL);
    if (op == NULL) return NULL;
    int64_t rows = x->shape[0] + y->shape[0];
    op->attr.i[0] = sigma_count;
    for (int s = 0; s < sigma_count; s++) {
        if (!(sigmas[s] > 0)) return graph_fail(g, "mmd_loss: sigma %g is not positive", sigmas[s]);
        op->attr.r[s] = sigmas[s];
    }
    op->saved_bytes = rows * rows * dtype_size(x->dtype);
    op->scratch_bytes = 2 * rows * dtype_size(x->dtype);
    return op->out;
}

static Tensor *add_reduction(Graph *g, OpKind kind, const char *name, Tensor *x)
{
    if (x == NULL) return graph_fail(g, "%s: the input is missing", name);
    if (!tensor_is_real(x)) return graph_fail(g, "%s: x %s is not real", name, shape_text(x).text);
    Op *op = graph_new_op(g, kind, &x, 1, 0, x->dtype, 0, NULL);
    return op == NULL ? NULL : op->out;
}

Tensor *graph_add_mean(Graph *g, Tensor *x)
{
    return add_reduction(g, OP_MEAN, "mean", x);
}

Tensor *graph_add_total(Graph *g, Tensor *x)
{
    return add_reduction(g, OP_TOTAL, "total", x);
}
