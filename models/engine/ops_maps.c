/* Building functions of the operations on feature maps: shapes are checked here, so that kernels need not. */
#include "models/engine/op.h"

/* Output size of a sliding window; 0 where the window does not fit. */
static int64_t window_count(int64_t size, int64_t kernel, int64_t stride, int64_t padding)
{
    int64_t room = size + padding - kernel;
    return room < 0 ? 0 : room / stride + 1;
}

static bool is_map(const Tensor *x)
{
    return x->rank == 4 && (x->dtype == DTYPE_F32 || x->dtype == DTYPE_F64);
}

/* attr.i: kernel height, kernel width; attr.conv: the geometry with its defaults filled in */
Tensor *graph_add_conv2d(Graph *g, Tensor *x, Tensor *w, Tensor *b, ConvGeometry geometry)
{
    if (x == NULL || w == NULL) return NULL;
    if (geometry.stride == 0) geometry.stride = 1;
    if (geometry.groups == 0) geometry.groups = 1;
    if (geometry.dilation == 0) geometry.dilation = 1;
    if (!is_map(x) || w->rank != 4)
        return graph_fail(g, "conv2d: the map and the weight must have rank 4, not %d and %d", x->rank, w->rank);
    if (geometry.stride < 1 || geometry.groups < 1 || geometry.dilation < 1 || geometry.pad_top < 0 ||
        geometry.pad_left < 0 || geometry.pad_bottom < 0 || geometry.pad_right < 0)
        return graph_fail(g, "conv2d: stride, groups, dilation and padding must not be negative");
    int64_t channels = x->shape[3], outputs = w->shape[0];
    if (channels % geometry.groups != 0 || outputs % geometry.groups != 0 ||
        w->shape[1] != channels / geometry.groups)
        return graph_fail(g, "conv2d: %lld channels in %d groups do not fit a weight of [%lld, %lld, ...]",
                          (long long)channels, geometry.groups, (long long)outputs, (long long)w->shape[1]);
    if (b != NULL && (b->rank != 1 || b->shape[0] != outputs))
        return graph_fail(g, "conv2d: the bias must have %lld elements", (long long)outputs);
    int64_t extent_y = (w->shape[2] - 1) * geometry.dilation + 1, extent_x = (w->shape[3] - 1) * geometry.dilation + 1;
    int64_t height = window_count(x->shape[1], extent_y, geometry.stride, geometry.pad_top + geometry.pad_bottom);
    int64_t width = window_count(x->shape[2], extent_x, geometry.stride, geometry.pad_left + geometry.pad_right);
    if (height < 1 || width < 1)
        return graph_fail(g, "conv2d: a %lldx%lld map is smaller than the %lldx%lld kernel", (long long)x->shape[1],
                          (long long)x->shape[2], (long long)extent_y, (long long)extent_x);
    Op *op = graph_new_op(g, OP_CONV2D, (Tensor *[]){x, w, b}, 3, 1u << 2, x->dtype, 4,
                          (int64_t[]){x->shape[0], height, width, outputs});
    if (op == NULL) return NULL;
    op->attr.conv = geometry;
    op->attr.i[0] = w->shape[2];
    op->attr.i[1] = w->shape[3];
    return op->out;
}

/* attr.i: kernel, stride, padding. saved: the I32 cell of each maximum within its sample's map. */
Tensor *graph_add_max_pool(Graph *g, Tensor *x, int kernel, int stride, int padding)
{
    if (x == NULL) return NULL;
    if (!is_map(x)) return graph_fail(g, "max_pool: the map must have rank 4, not %d", x->rank);
    if (kernel < 1 || stride < 1 || padding < 0 || padding * 2 > kernel)
        return graph_fail(g, "max_pool: kernel %d, stride %d, padding %d do not fit", kernel, stride, padding);
    int64_t height = window_count(x->shape[1], kernel, stride, 2 * (int64_t)padding);
    int64_t width = window_count(x->shape[2], kernel, stride, 2 * (int64_t)padding);
    if (height < 1 || width < 1)
        return graph_fail(g, "max_pool: a %lldx%lld map is smaller than the kernel", (long long)x->shape[1],
                          (long long)x->shape[2]);
    Op *op = graph_new_op(g, OP_MAX_POOL, &x, 1, 0, x->dtype, 4,
                          (int64_t[]){x->shape[0], height, width, x->shape[3]});
    if (op == NULL) return NULL;
    op->attr.i[0] = kernel;
    op->attr.i[1] = stride;
    op->attr.i[2] = padding;
    op->saved_bytes = op->out->count * (int64_t)sizeof(int32_t);
    return op->out;
}

static Tensor *add_resize(Graph *g, OpKind kind, const char *name, Tensor *x, int64_t height, int64_t width)
{
    if (x == NULL) return NULL;
    if (!is_map(x)) return graph_fail(g, "%s: the map must have rank 4, not %d", name, x->rank);
    if (height < 1 || width < 1)
        return graph_fail(g, "%s: no map of %lldx%lld", name, (long long)height, (long long)width);
    if (height == x->shape[1] && width == x->shape[2]) return x;
    Op *op = graph_new_op(g, kind, &x, 1, 0, x->dtype, 4, (int64_t[]){x->shape[0], height, width, x->shape[3]});
    return op == NULL ? NULL : op->out;
}

Tensor *graph_add_resize(Graph *g, Tensor *x, int64_t height, int64_t width)
{
    return add_resize(g, OP_RESIZE, "resize", x, height, width);
}

Tensor *graph_add_resize_nearest(Graph *g, Tensor *x, int64_t height, int64_t width)
{
    return add_resize(g, OP_RESIZE_NEAREST, "resize_nearest", x, height, width);
}

/* attr.i: height, width of the map and h, w of the mask */
Tensor *graph_add_attention_mask(Graph *g, Tensor *logits, int64_t height, int64_t width, int64_t h, int64_t w)
{
    if (logits == NULL) return NULL;
    if (logits->rank != 3 || height < 1 || width < 1 || h < 1 || w < 1 || logits->shape[2] != height * width)
        return graph_fail(g, "attention_mask: logits must be [N, Q, %lld*%lld]", (long long)height, (long long)width);
    Op *op = graph_new_op(g, OP_ATTENTION_MASK, &logits, 1, 0, DTYPE_U8, 3,
                          (int64_t[]){logits->shape[0], logits->shape[1], h * w});
    if (op == NULL) return NULL;
    op->out->needs_grad = false; /* a threshold has no gradient */
    op->attr.i[0] = height;
    op->attr.i[1] = width;
    op->attr.i[2] = h;
    op->attr.i[3] = w;
    return op->out;
}

#define MAX_LEVELS 4 /* so that the sizes fit attr.i */

/* attr.i: heads, levels, points, then h, w of each level */
Tensor *graph_add_deformable_attention(Graph *g, Tensor *value, Tensor *locations, Tensor *weights, int heads,
                                       int levels, int points, const int64_t *sizes)
{
    if (value == NULL || locations == NULL || weights == NULL) return NULL;
    if (value->rank != 3 || locations->rank != 3 || weights->rank != 3)
        return graph_fail(g, "deformable_attention: value, locations and weights must have rank 3");
    if (heads < 1 || points < 1 || levels < 1 || levels > MAX_LEVELS || value->shape[2] % heads != 0)
        return graph_fail(g, "deformable_attention: %d heads, %d levels (1 to %d) and %d points do not fit %lld channels",
                          heads, levels, MAX_LEVELS, points, (long long)value->shape[2]);
    int64_t cells = 0, samples = (int64_t)heads * levels * points;
    for (int l = 0; l < levels; l++) cells += sizes[2 * l] * sizes[2 * l + 1];
    if (cells != value->shape[1])
        return graph_fail(g, "deformable_attention: the levels have %lld cells, the value %lld", (long long)cells,
                          (long long)value->shape[1]);
    if (locations->shape[0] != value->shape[0] || weights->shape[0] != value->shape[0] ||
        locations->shape[1] != weights->shape[1] || locations->shape[2] != 2 * samples || weights->shape[2] != samples)
        return graph_fail(g, "deformable_attention: locations and weights must be [N, L, %lld] and [N, L, %lld]",
                          (long long)(2 * samples), (long long)samples);
    Op *op = graph_new_op(g, OP_DEFORMABLE, (Tensor *[]){value, locations, weights}, 3, 0, value->dtype, 3,
                          (int64_t[]){value->shape[0], weights->shape[1], value->shape[2]});
    if (op == NULL) return NULL;
    op->attr.i[0] = heads;
    op->attr.i[1] = levels;
    op->attr.i[2] = points;
    for (int l = 0; l < 2 * levels; l++) op->attr.i[3 + l] = sizes[l];
    return op->out;
}

/* attr.i: groups; attr.r: epsilon. saved: mean and 1/deviation of each sample's groups. scratch: five values for
 * each sample and channel. */
Tensor *graph_add_group_norm(Graph *g, Tensor *x, Tensor *scale, Tensor *shift, int groups, double epsilon)
{
    if (x == NULL || scale == NULL || shift == NULL) return NULL;
    if (!is_map(x)) return graph_fail(g, "group_norm: the map must have rank 4, not %d", x->rank);
    int64_t channels = x->shape[3];
    if (groups < 1 || channels % groups != 0)
        return graph_fail(g, "group_norm: %d groups do not divide %lld channels", groups, (long long)channels);
    if (scale->count != channels || shift->count != channels)
        return graph_fail(g, "group_norm: scale and shift must have %lld elements", (long long)channels);
    Op *op = graph_new_op(g, OP_GROUP_NORM, (Tensor *[]){x, scale, shift}, 3, 0, x->dtype, 4, x->shape);
    if (op == NULL) return NULL;
    op->attr.i[0] = groups;
    op->attr.r[0] = epsilon;
    op->saved_bytes = x->shape[0] * groups * 2 * dtype_size(x->dtype);
    op->scratch_bytes = x->shape[0] * channels * 5 * dtype_size(x->dtype);
    return op->out;
}
