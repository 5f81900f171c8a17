/* Building functions of products, norms and elementwise operations: shapes are
 * checked here, so that kernels need not. */
#include "models/engine/op.h"

static int64_t last_of(const Tensor *x)
{
    return x->rank == 0 ? 1 : x->shape[x->rank - 1];
}

static int64_t real_bytes(const Tensor *x, int64_t elements)
{
    return elements * dtype_size(x->dtype);
}

static bool is_vector(const Tensor *x, int64_t count)
{
    return x->rank == 1 && x->shape[0] == count && tensor_is_real(x);
}

Tensor *graph_add_linear(Graph *g, Tensor *x, Tensor *w, Tensor *b)
{
    return graph_add_linear_rows(g, x, w, b, 0, w == NULL ? 0 : w->shape[0]);
}

/* attr.i: first row, number of rows */
Tensor *graph_add_linear_rows(Graph *g, Tensor *x, Tensor *w, Tensor *b, int64_t first, int64_t count)
{
    if (x == NULL || w == NULL) return graph_fail(g, "linear: an input is missing");
    if (!tensor_is_real(x) || !tensor_is_real(w) || x->rank < 1 || w->rank != 2 || last_of(x) != w->shape[1])
        return graph_fail(g, "linear: x %s does not fit the weight %s: its last dimension must be the weight's",
                          shape_text(x).text, shape_text(w).text);
    if (b != NULL && !is_vector(b, w->shape[0]))
        return graph_fail(g, "linear: the bias %s does not fit the weight %s", shape_text(b).text, shape_text(w).text);
    if (first < 0 || count < 1 || first + count > w->shape[0])
        return graph_fail(g, "linear: rows %lld to %lld are not all in the weight %s", (long long)first,
                          (long long)(first + count), shape_text(w).text);
    int64_t shape[TENSOR_MAX_RANK];
    for (int d = 0; d < x->rank; d++) shape[d] = x->shape[d];
    shape[x->rank - 1] = count;
    Op *op = graph_new_op(g, OP_LINEAR, (Tensor *[]){x, w, b}, 3, 1u << 2, x->dtype, x->rank, shape);
    if (op == NULL) return NULL;
    op->attr.i[0] = first;
    op->attr.i[1] = count;
    return op->out;
}

/* attr.i: transpose_a, transpose_b */
Tensor *graph_add_matmul(Graph *g, Tensor *a, Tensor *b, bool transpose_a, bool transpose_b)
{
    if (a == NULL || b == NULL) return graph_fail(g, "matmul: an input is missing");
    int r = a->rank;
    bool fits = tensor_is_real(a) && tensor_is_real(b) && (r == 2 || r == 3) && b->rank == r;
    if (fits && r == 3) fits = a->shape[0] == b->shape[0];
    if (fits) fits = a->shape[transpose_a ? r - 2 : r - 1] == b->shape[transpose_b ? r - 1 : r - 2];
    if (!fits)
        return graph_fail(g, "matmul: a %s%s and b %s%s do not fit", shape_text(a).text, transpose_a ? " transposed" : "",
                          shape_text(b).text, transpose_b ? " transposed" : "");
    int64_t shape[3] = {a->shape[0]};
    shape[r - 2] = a->shape[transpose_a ? r - 1 : r - 2];
    shape[r - 1] = b->shape[transpose_b ? r - 2 : r - 1];
    Op *op = graph_new_op(g, OP_MATMUL, (Tensor *[]){a, b}, 2, 0, a->dtype, r, shape);
    if (op == NULL) return NULL;
    op->attr.i[0] = transpose_a;
    op->attr.i[1] = transpose_b;
    return op->out;
}

Tensor *graph_add_attention(Graph *g, Tensor *q, Tensor *k, Tensor *v, int heads, Tensor *mask)
{
    return graph_add_attention_dropout(g, q, k, v, heads, mask, 0);
}

/* attr.i: heads. attr.r: p. saved: the probabilities [N, heads, Lq, Lk], as the backend likes them. */
Tensor *graph_add_attention_dropout(Graph *g, Tensor *q, Tensor *k, Tensor *v, int heads, Tensor *mask, double p)
{
    if (!(p >= 0 && p < 1)) return graph_fail(g, "attention: p = %g is not in [0, 1)", p);
    if (q == NULL || k == NULL || v == NULL) return graph_fail(g, "attention: an input is missing");
    bool real = tensor_is_real(q) && tensor_is_real(k) && tensor_is_real(v);
    if (!real || q->rank != 3 || k->rank != 3 || !tensor_same_shape(k, v) || q->shape[0] != k->shape[0] ||
        q->shape[2] != k->shape[2])
        return graph_fail(g, "attention: q %s, k %s and v %s do not fit", shape_text(q).text, shape_text(k).text,
                          shape_text(v).text);
    if (heads < 1 || q->shape[2] % heads != 0)
        return graph_fail(g, "attention: %d heads do not divide %lld", heads, (long long)q->shape[2]);
    int64_t n = q->shape[0], rows = q->shape[1], columns = k->shape[1];
    if (mask != NULL && (mask->dtype != DTYPE_U8 || mask->count != n * rows * columns))
        return graph_fail(g, "attention: the mask %s is not [%lld, %lld, %lld] u8", shape_text(mask).text, (long long)n,
                          (long long)rows, (long long)columns);
    Op *op = graph_new_op(g, OP_ATTENTION, (Tensor *[]){q, k, v, mask}, 4, 1u << 3, q->dtype, 3, q->shape);
    if (op == NULL) return NULL;
    op->attr.i[0] = heads;
    op->attr.r[0] = p;
    op->saved_bytes = real_bytes(q, n * heads * rows * columns);
    return op->out;
}

/* attr.r: epsilon. saved: mean and 1 / standard deviation of each row. */
Tensor *graph_add_layer_norm(Graph *g, Tensor *x, Tensor *scale, Tensor *shift, double epsilon)
{
    if (x == NULL || scale == NULL || shift == NULL) return graph_fail(g, "layer_norm: an input is missing");
    if (!tensor_is_real(x) || x->rank < 1 || !is_vector(scale, last_of(x)) || !is_vector(shift, last_of(x)))
        return graph_fail(g, "layer_norm: x %s does not fit scale %s and shift %s", shape_text(x).text,
                          shape_text(scale).text, shape_text(shift).text);
    Op *op = graph_new_op(g, OP_LAYER_NORM, (Tensor *[]){x, scale, shift}, 3, 0, x->dtype, x->rank, x->shape);
    if (op == NULL) return NULL;
    op->attr.r[0] = epsilon;
    op->saved_bytes = real_bytes(x, 2 * tensor_leading(x, 1));
    return op->out;
}

/* attr.r: epsilon. saved: each row's factor; negative where epsilon made it. */
Tensor *graph_add_normalize(Graph *g, Tensor *x, double epsilon)
{
    if (x == NULL) return graph_fail(g, "normalize: the input is missing");
    if (!tensor_is_real(x) || x->rank < 1) return graph_fail(g, "normalize: x %s has no rows", shape_text(x).text);
    if (!(epsilon > 0)) return graph_fail(g, "normalize: epsilon %g is not positive", epsilon);
    Op *op = graph_new_op(g, OP_NORMALIZE, &x, 1, 0, x->dtype, x->rank, x->shape);
    if (op == NULL) return NULL;
    op->attr.r[0] = epsilon;
    op->saved_bytes = real_bytes(x, tensor_leading(x, 1));
    return op->out;
}

/* attr.i: the Activation */
Tensor *graph_add_activation(Graph *g, Tensor *x, Activation activation)
{
    if (x == NULL) return graph_fail(g, "activation: the input is missing");
    if (!tensor_is_real(x)) return graph_fail(g, "activation: x %s is not real", shape_text(x).text);
    if (activation < 0 || activation >= ACTIVATION_COUNT) return graph_fail(g, "activation: no kind %d", (int)activation);
    if (activation == ACTIVATION_NONE) return x;
    Op *op = graph_new_op(g, OP_ACTIVATION, &x, 1, 0, x->dtype, x->rank, x->shape);
    if (op == NULL) return NULL;
    op->attr.i[0] = activation;
    return op->out;
}

/* Whether b, repeated, fills a: then b is the innermost block of a. */
static bool repeats_into(const Tensor *a, const Tensor *b)
{
    if (!tensor_is_real(a) || !tensor_is_real(b) || b->rank > a->rank) return false;
    if (b->count == 1) return true;
    for (int d = 0; d < b->rank; d++) {
        bool leading_one = d == 0 && b->rank == a->rank && b->shape[0] == 1;
        if (b->shape[d] != a->shape[a->rank - b->rank + d] && !leading_one) return false;
    }
    return true;
}

static Tensor *add_pairwise(Graph *g, OpKind kind, const char *name, Tensor *a, Tensor *b)
{
    if (a == NULL || b == NULL) return graph_fail(g, "%s: an input is missing", name);
    if (!repeats_into(a, b))
        return graph_fail(g, "%s: b %s is not of a's shape %s, nor its trailing dimensions", name, shape_text(b).text,
                          shape_text(a).text);
    Op *op = graph_new_op(g, kind, (Tensor *[]){a, b}, 2, 0, a->dtype, a->rank, a->shape);
    return op == NULL ? NULL : op->out;
}

Tensor *graph_add_sum(Graph *g, Tensor *a, Tensor *b)
{
    return add_pairwise(g, OP_SUM, "sum", a, b);
}

Tensor *graph_add_product(Graph *g, Tensor *a, Tensor *b)
{
    return add_pairwise(g, OP_PRODUCT, "product", a, b);
}

/* attr.r: factor */
Tensor *graph_add_scale(Graph *g, Tensor *x, double factor)
{
    if (x == NULL) return graph_fail(g, "scale: the input is missing");
    if (!tensor_is_real(x)) return graph_fail(g, "scale: x %s is not real", shape_text(x).text);
    Op *op = graph_new_op(g, OP_SCALE, &x, 1, 0, x->dtype, x->rank, x->shape);
    if (op == NULL) return NULL;
    op->attr.r[0] = factor;
    return op->out;
}

/* attr.r: p. saved: one byte an element, 1 = kept. */
Tensor *graph_add_dropout(Graph *g, Tensor *x, double p)
{
    if (x == NULL) return graph_fail(g, "dropout: the input is missing");
    if (!tensor_is_real(x)) return graph_fail(g, "dropout: x %s is not real", shape_text(x).text);
    if (!(p >= 0 && p < 1)) return graph_fail(g, "dropout: p = %g is not in [0, 1)", p);
    if (p == 0) return x;
    Op *op = graph_new_op(g, OP_DROPOUT, &x, 1, 0, x->dtype, x->rank, x->shape);
    if (op == NULL) return NULL;
    op->attr.r[0] = p;
    op->saved_bytes = x->count;
    return op->out;
}

/* attr.r: factor */
Tensor *graph_add_softmax(Graph *g, Tensor *x, double factor)
{
    if (x == NULL) return graph_fail(g, "softmax: the input is missing");
    if (!tensor_is_real(x) || x->rank < 1) return graph_fail(g, "softmax: x %s has no rows", shape_text(x).text);
    Op *op = graph_new_op(g, OP_SOFTMAX, &x, 1, 0, x->dtype, x->rank, x->shape);
    if (op == NULL) return NULL;
    op->attr.r[0] = factor;
    return op->out;
}

Tensor *graph_add_pair_sum(Graph *g, Tensor *r, Tensor *a, Tensor *b)
{
    if (r == NULL || a == NULL) return graph_fail(g, "pair_sum: an input is missing");
    if (!tensor_is_real(r) || !tensor_is_real(a) || r->rank != 2 || a->rank != 2 || r->shape[1] != a->shape[1] ||
        (b != NULL && !is_vector(b, r->shape[1])))
        return graph_fail(g, "pair_sum: r %s, a %s and b %s do not fit", shape_text(r).text, shape_text(a).text,
                          shape_text(b).text);
    Op *op = graph_new_op(g, OP_PAIR_SUM, (Tensor *[]){r, a, b}, 3, 1u << 2, r->dtype, 3,
                          (int64_t[]){r->shape[0], a->shape[0], r->shape[1]});
    return op == NULL ? NULL : op->out;
}

/* attr.r: slope. scratch is asked for by the backend. */
Tensor *graph_add_pair_score(Graph *g, Tensor *r, Tensor *a, Tensor *b, Tensor *w, Tensor *s, double slope)
{
    if (r == NULL || a == NULL || b == NULL || w == NULL || s == NULL)
        return graph_fail(g, "pair_score: an input is missing");
    bool fits = tensor_is_real(r) && tensor_is_real(a) && tensor_is_real(w) && tensor_is_real(s) && r->rank == 2 &&
                a->rank == 2 && r->shape[1] == a->shape[1] && is_vector(b, r->shape[1]) && w->count == r->shape[1] &&
                s->count == 1;
    if (!fits)
        return graph_fail(g, "pair_score: r %s, a %s, b %s, w %s and s %s do not fit", shape_text(r).text,
                          shape_text(a).text, shape_text(b).text, shape_text(w).text, shape_text(s).text);
    Op *op = graph_new_op(g, OP_PAIR_SCORE, (Tensor *[]){r, a, b, w, s}, 5, 0, r->dtype, 2,
                          (int64_t[]){r->shape[0], a->shape[0]});
    if (op == NULL) return NULL;
    op->attr.r[0] = slope;
    return op->out;
}
