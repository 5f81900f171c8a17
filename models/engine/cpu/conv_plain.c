#include "models/engine/cpu/conv_plain.h"

#include <string.h>

/* One multiplication of the convolution: all three passes are sums over these. */
typedef struct Term { int64_t x, w, y; } Term; /* element indices */
typedef void Visitor(void *context, Term term);

/* Visits the terms of output pixel (n, oy, ox) in a fixed order. */
static void visit_pixel(const Op *op, int64_t n, int64_t oy, int64_t ox, Visitor *visit, void *context)
{
    const Tensor *in = op->in[0], *weight = op->in[1];
    const ConvGeometry *c = &op->attr.conv;
    int64_t outputs = weight->shape[0], depth = weight->shape[1], per_group = outputs / c->groups;
    for (int64_t o = 0; o < outputs; o++)
        for (int64_t ky = 0; ky < weight->shape[2]; ky++)
            for (int64_t kx = 0; kx < weight->shape[3]; kx++) {
                int64_t iy = oy * c->stride - c->pad_top + ky * c->dilation;
                int64_t ix = ox * c->stride - c->pad_left + kx * c->dilation;
                if (iy < 0 || ix < 0 || iy >= in->shape[1] || ix >= in->shape[2]) continue;
                for (int64_t i = 0; i < depth; i++)
                    visit(context,
                          (Term){((n * in->shape[1] + iy) * in->shape[2] + ix) * in->shape[3] + o / per_group * depth + i,
                                 ((o * depth + i) * weight->shape[2] + ky) * weight->shape[3] + kx,
                                 ((n * op->out->shape[1] + oy) * op->out->shape[2] + ox) * outputs + o});
            }
}

static void visit_all(const Op *op, Visitor *visit, void *context)
{
    for (int64_t n = 0; n < op->out->shape[0]; n++)
        for (int64_t oy = 0; oy < op->out->shape[1]; oy++)
            for (int64_t ox = 0; ox < op->out->shape[2]; ox++) visit_pixel(op, n, oy, ox, visit, context);
}

typedef struct Arrays { const double *a, *b; double *sum; } Arrays;

static void add_output(void *context, Term t)
{
    Arrays *v = context;
    v->sum[t.y] += v->a[t.x] * v->b[t.w];
}

static void add_input_gradient(void *context, Term t)
{
    Arrays *v = context;
    v->sum[t.x] += v->a[t.y] * v->b[t.w];
}

static void add_weight_gradient(void *context, Term t)
{
    Arrays *v = context;
    v->sum[t.w] += v->a[t.y] * v->b[t.x];
}

Status conv_plain_forward(Op *op)
{
    double *y = op->out->data;
    const double *bias = op->in[2] == NULL ? NULL : op->in[2]->data;
    int64_t outputs = op->out->shape[3];
    for (int64_t i = 0; i < op->out->count; i++) y[i] = bias == NULL ? 0 : bias[i % outputs];
    visit_all(op, add_output, &(Arrays){op->in[0]->data, op->in[1]->data, y});
    return OK;
}

Status conv_plain_backward(Op *op)
{
    const double *g = op->out->grad;
    int64_t outputs = op->out->shape[3];
    for (int k = 0; k < 3; k++) {
        if (!op_wants_grad(op, k)) continue;
        double *sum = op->in[k]->grad;
        if (!op->accumulate[k]) memset(sum, 0, (size_t)op->in[k]->count * sizeof *sum);
        if (k == 0) visit_all(op, add_input_gradient, &(Arrays){g, op->in[1]->data, sum});
        if (k == 1) visit_all(op, add_weight_gradient, &(Arrays){g, op->in[0]->data, sum});
        for (int64_t i = 0; k == 2 && i < op->out->count; i++) sum[i % outputs] += g[i];
    }
    return OK;
}
