/* Pooling, resizing and attention masks of channels-last maps. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "framework/memory.h"
#include "models/engine/cpu/kernels.h"

/* One axis of a resize: output i mixes inputs low[i] and high[i], the latter with share weight[i]; and input i is
 * mixed into outputs first[i] up to, not including, last[i]. */
typedef struct Axis {
    int64_t in, out;
    int32_t *low, *high, *first, *last;
    double *weight;
} Axis;

typedef struct ResizeState {
    Axis y, x;
    int threads; /* that the scratch memory is for */
} ResizeState;

static void axis_free(Axis *axis)
{
    memory_free(axis->low);
    memory_free(axis->high);
    memory_free(axis->first);
    memory_free(axis->last);
    memory_free(axis->weight);
}

/* Bilinear with half-pixel centres (align_corners = false), or nearest: then low = high. */
static Status axis_fill(Axis *axis, int64_t in, int64_t out, bool bilinear)
{
    axis->in = in;
    axis->out = out;
    axis->low = memory_alloc_zero((size_t)out, sizeof(int32_t));
    axis->high = memory_alloc_zero((size_t)out, sizeof(int32_t));
    axis->weight = memory_alloc_zero((size_t)out, sizeof(double));
    axis->first = memory_alloc_zero((size_t)in, sizeof(int32_t));
    axis->last = memory_alloc_zero((size_t)in, sizeof(int32_t));
    if (axis->low == NULL || axis->high == NULL || axis->weight == NULL || axis->first == NULL || axis->last == NULL)
        return status_no_memory((size_t)(in + out) * sizeof(double), "a resize");
    for (int64_t i = 0; i < out; i++) {
        double at = ((double)i + 0.5) * (double)in / (double)out - 0.5;
        int64_t low = bilinear ? (int64_t)fmax(at, 0) : i * in / out;
        int64_t high = bilinear && low + 1 < in ? low + 1 : low;
        axis->low[i] = (int32_t)low;
        axis->high[i] = (int32_t)high;
        axis->weight[i] = bilinear ? fmax(at, 0) - (double)low : 0;
        for (int64_t j = low; j <= high; j++) {
            if (axis->last[j] == 0) axis->first[j] = (int32_t)i;
            axis->last[j] = (int32_t)i + 1;
        }
    }
    return OK;
}

/* The share of input `in` in output `out`. */
static double axis_share(const Axis *axis, int64_t in, int64_t out)
{
    double share = axis->low[out] == in ? 1 - axis->weight[out] : 0;
    return axis->high[out] == in ? share + axis->weight[out] : share;
}

static void resize_release(Op *op)
{
    ResizeState *s = op->state;
    if (s == NULL) return;
    axis_free(&s->y);
    axis_free(&s->x);
    memory_free(s);
    op->state = NULL;
}

static Status prepare_axes(Op *op, int64_t height, int64_t width, int64_t out_height, int64_t out_width, bool bilinear)
{
    ResizeState *s = memory_alloc_zero(1, sizeof *s);
    if (s == NULL) return status_no_memory(sizeof *s, "a resize");
    op->state = s;
    s->threads = cpu_threads;
    TRY(axis_fill(&s->y, height, out_height, bilinear));
    return axis_fill(&s->x, width, out_width, bilinear);
}

static Status resize_prepare(Op *op)
{
    const Tensor *in = op->in[0], *out = op->out;
    /* a blended line of the input (forward) or output (backward) for each thread */
    int64_t line = (in->shape[2] > out->shape[2] ? in->shape[2] : out->shape[2]) * in->shape[3];
    op->scratch_bytes = line * cpu_threads * dtype_size(in->dtype);
    return prepare_axes(op, in->shape[1], in->shape[2], out->shape[1], out->shape[2], op->kind == OP_RESIZE);
}

static Status attention_mask_prepare(Op *op)
{
    return prepare_axes(op, op->attr.i[0], op->attr.i[1], op->attr.i[2], op->attr.i[3], true);
}

#include "models/engine/cpu/real_f32.h"
#include "models/engine/cpu/kernels_maps.inc"
#include "models/engine/cpu/real_f64.h"
#include "models/engine/cpu/kernels_maps.inc"

const OpKernels kernels_max_pool[2] = {
    {.forward = max_pool_forward_f32, .backward = max_pool_backward_f32},
    {.forward = max_pool_forward_f64, .backward = max_pool_backward_f64},
};
const OpKernels kernels_resize[2] = {
    {.prepare = resize_prepare, .forward = resize_forward_f32, .backward = resize_backward_f32, .release = resize_release},
    {.prepare = resize_prepare, .forward = resize_forward_f64, .backward = resize_backward_f64, .release = resize_release},
};
const OpKernels kernels_resize_nearest[2] = {
    {.prepare = resize_prepare, .forward = nearest_forward_f32, .backward = nearest_backward_f32, .release = resize_release},
    {.prepare = resize_prepare, .forward = nearest_forward_f64, .backward = nearest_backward_f64, .release = resize_release},
};
const OpKernels kernels_attention_mask[2] = {
    {.prepare = attention_mask_prepare, .forward = attention_mask_forward_f32, .release = resize_release},
    {.prepare = attention_mask_prepare, .forward = attention_mask_forward_f64, .release = resize_release},
};
