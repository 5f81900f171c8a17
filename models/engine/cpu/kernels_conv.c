/* Convolution: oneDNN in float32, plain loops in float64. Maps are NHWC, which oneDNN takes as they are. Weights it
 * wants in blocks of its own choosing (twice the speed), so each run first copies them from the flat OIHW parameter,
 * a few percent of the work. Stride-1 1x1 convolutions go backward as matrix products, which add to the gradients
 * directly. */
#include <omp.h>
#include <string.h>

#include "framework/memory.h"
#include "models/engine/cpu/conv_plain.h"
#include "models/engine/cpu/gemm.h"
#include "models/engine/cpu/kernels.h"
#include "models/engine/cpu/onednn.h"

#define ALIGN(bytes) (((int64_t)(bytes) + 63) / 64 * 64)
#define PROBES 64

/* One of the three passes: its primitive, and the copy of the weights (or of their gradient) in its own layout. */
typedef struct Pass {
    dnnl_primitive_desc_t description;
    dnnl_primitive_t run, reorder;
    dnnl_memory_t weights, pad; /* pad: oneDNN's own scratch memory */
    int64_t weights_bytes, pad_bytes;
} Pass;

typedef struct ConvState {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    bool pointwise;
    Pass forward, data, filter; /* `filter`: gradient of the weights */
    dnnl_memory_t x, y, flat, bias, gx, gy, flat_gradient, bias_gradient;
    dnnl_memory_desc_t x_description, y_description, bias_description, flat_description, any_description;
    /* Of a frozen parameter the copy is kept, as long as a sample of its values stays the same. */
    void *kept;
    bool kept_valid;
    float probes[PROBES];
} ConvState;

static void destroy_pass(Pass *pass)
{
    if (pass->run != NULL) dnnl_primitive_destroy(pass->run);
    if (pass->reorder != NULL) dnnl_primitive_destroy(pass->reorder);
    if (pass->description != NULL) dnnl_primitive_desc_destroy(pass->description);
    if (pass->weights != NULL) dnnl_memory_destroy(pass->weights);
    if (pass->pad != NULL) dnnl_memory_destroy(pass->pad);
}

static void conv_release(Op *op)
{
    ConvState *s = op->state;
    if (s == NULL) return;
    destroy_pass(&s->forward);
    destroy_pass(&s->data);
    destroy_pass(&s->filter);
    dnnl_memory_t memories[] = {s->x, s->y, s->flat, s->bias, s->gx, s->gy, s->flat_gradient, s->bias_gradient};
    for (size_t i = 0; i < sizeof memories / sizeof memories[0]; i++)
        if (memories[i] != NULL) dnnl_memory_destroy(memories[i]);
    memory_free(s->kept);
    memory_free(s);
    op->state = NULL;
}

static Status describe(const Op *op, ConvState *s)
{
    const Tensor *x = op->in[0], *w = op->in[1], *y = op->out;
    int64_t groups = op->attr.conv.groups;
    dnnl_dims_t xd = {x->shape[0], x->shape[3], x->shape[1], x->shape[2]};
    dnnl_dims_t yd = {y->shape[0], y->shape[3], y->shape[1], y->shape[2]};
    dnnl_dims_t wd = {w->shape[0], w->shape[1], w->shape[2], w->shape[3]};
    dnnl_dims_t gd = {groups, w->shape[0] / groups, w->shape[1], w->shape[2], w->shape[3]};
    dnnl_dims_t bd = {w->shape[0]};
    int rank = groups > 1 ? 5 : 4;
    dnnl_dim_t *dims = groups > 1 ? gd : wd;
    ONEDNN_TRY(dnnl_memory_desc_init_by_tag(&s->x_description, 4, xd, dnnl_f32, dnnl_nhwc));
    ONEDNN_TRY(dnnl_memory_desc_init_by_tag(&s->y_description, 4, yd, dnnl_f32, dnnl_nhwc));
    ONEDNN_TRY(dnnl_memory_desc_init_by_tag(&s->bias_description, 1, bd, dnnl_f32, dnnl_a));
    ONEDNN_TRY(dnnl_memory_desc_init_by_tag(&s->any_description, rank, dims, dnnl_f32, dnnl_format_tag_any));
    ONEDNN_TRY(dnnl_memory_desc_init_by_tag(&s->flat_description, rank, dims, dnnl_f32,
                                            groups > 1 ? dnnl_goihw : dnnl_oihw));
    TRY(onednn_memory(&s->x_description, &s->x));
    TRY(onednn_memory(&s->y_description, &s->y));
    TRY(onednn_memory(&s->flat_description, &s->flat));
    return onednn_memory(&s->bias_description, &s->bias);
}

/* Finishes a pass from the description of its convolution. */
static Status create_pass(ConvState *s, Pass *pass, dnnl_convolution_desc_t *convolution, dnnl_query_t weights,
                          bool to_own)
{
    dnnl_primitive_attr_t attributes;
    ONEDNN_TRY(dnnl_primitive_attr_create(&attributes));
    dnnl_status_t status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&pass->description, convolution, attributes, s->engine,
                                            s->forward.description);
    dnnl_primitive_attr_destroy(attributes);
    TRY(onednn_check(status, "describing a convolution"));
    ONEDNN_TRY(dnnl_primitive_create(&pass->run, pass->description));
    const dnnl_memory_desc_t *own = dnnl_primitive_desc_query_md(pass->description, weights, 0);
    const dnnl_memory_desc_t *pad = dnnl_primitive_desc_query_md(pass->description, dnnl_query_scratchpad_md, 0);
    pass->weights_bytes = ALIGN(dnnl_memory_desc_get_size(own));
    pass->pad_bytes = pad == NULL ? 0 : ALIGN(dnnl_memory_desc_get_size(pad));
    TRY(onednn_memory(own, &pass->weights));
    if (pass->pad_bytes > 0) TRY(onednn_memory(pad, &pass->pad));
    if (to_own && dnnl_memory_desc_equal(own, &s->flat_description)) return OK;
    dnnl_primitive_desc_t reorder;
    ONEDNN_TRY(dnnl_primitive_attr_create(&attributes));
    if (!to_own) { /* gradients are added to what is there */
        dnnl_post_ops_t add;
        status = dnnl_post_ops_create(&add);
        if (status == dnnl_success) status = dnnl_post_ops_append_sum(add, 1);
        if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attributes, add);
        dnnl_post_ops_destroy(add);
    }
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&reorder, to_own ? &s->flat_description : own, s->engine,
                                                    to_own ? own : &s->flat_description, s->engine, attributes);
    dnnl_primitive_attr_destroy(attributes);
    TRY(onednn_check(status, "describing a copy of weights"));
    status = dnnl_primitive_create(&pass->reorder, reorder);
    dnnl_primitive_desc_destroy(reorder);
    return onednn_check(status, "creating a copy of weights");
}

static int64_t pass_bytes(const Pass *pass)
{
    return pass->weights_bytes + pass->pad_bytes;
}

static void raise(int64_t *value, int64_t least)
{
    if (*value < least) *value = least;
}

static Status prepare_backward(Op *op, ConvState *s, const dnnl_dim_t *strides, const dnnl_dim_t *dilates,
                               const dnnl_dim_t *before, const dnnl_dim_t *after)
{
    dnnl_convolution_desc_t description;
    int64_t bias_bytes = ALIGN(op->out->shape[3] * (int64_t)sizeof(float));
    raise(&op->scratch_bytes, bias_bytes);
    if (s->pointwise) return OK;
    TRY(onednn_memory(&s->y_description, &s->gy));
    if (op->in[0]->needs_grad) {
        ONEDNN_TRY(dnnl_dilated_convolution_backward_data_desc_init(
            &description, dnnl_convolution_direct, &s->x_description, &s->any_description, &s->y_description, strides,
            dilates, before, after));
        TRY(create_pass(s, &s->data, &description, dnnl_query_weights_md, true));
        TRY(onednn_memory(&s->x_description, &s->gx));
        raise(&op->scratch_bytes, pass_bytes(&s->data) + ALIGN(op->in[0]->count * (int64_t)sizeof(float)));
    }
    if (op->in[1]->needs_grad) {
        bool bias = op->in[2] != NULL && op->in[2]->needs_grad;
        ONEDNN_TRY(dnnl_dilated_convolution_backward_weights_desc_init(
            &description, dnnl_convolution_direct, &s->x_description, &s->any_description,
            bias ? &s->bias_description : NULL, &s->y_description, strides, dilates, before, after));
        /* Of depthwise weights oneDNN adds up as many parts as it has threads; one, for bits that don't depend on it. */
        bool depthwise = op->attr.conv.groups > 1 && op->in[1]->shape[1] == 1;
        if (depthwise) omp_set_num_threads(1);
        Status status = create_pass(s, &s->filter, &description, dnnl_query_diff_weights_md, false);
        if (depthwise) omp_set_num_threads(cpu_threads);
        TRY(status);
        TRY(onednn_memory(&s->flat_description, &s->flat_gradient));
        if (bias) TRY(onednn_memory(&s->bias_description, &s->bias_gradient));
        raise(&op->scratch_bytes, pass_bytes(&s->filter) + bias_bytes);
    }
    return OK;
}

static Status conv_prepare(Op *op)
{
    const ConvGeometry *c = &op->attr.conv;
    ConvState *s = memory_alloc_zero(1, sizeof *s);
    if (s == NULL) return status_no_memory(sizeof *s, "a convolution");
    op->state = s;
    TRY(onednn_open(&s->engine, &s->stream));
    s->pointwise = op->attr.i[0] == 1 && op->attr.i[1] == 1 && c->stride == 1 && c->groups == 1 && c->pad_top == 0 &&
                   c->pad_left == 0 && c->pad_bottom == 0 && c->pad_right == 0;
    TRY(describe(op, s));
    dnnl_dims_t strides = {c->stride, c->stride}, dilates = {c->dilation - 1, c->dilation - 1};
    dnnl_dims_t before = {c->pad_top, c->pad_left}, after = {c->pad_bottom, c->pad_right};
    dnnl_convolution_desc_t description;
    bool training = graph_is_training(op->graph);
    ONEDNN_TRY(dnnl_dilated_convolution_forward_desc_init(
        &description, training ? dnnl_forward_training : dnnl_forward_inference, dnnl_convolution_direct,
        &s->x_description, &s->any_description, op->in[2] == NULL ? NULL : &s->bias_description, &s->y_description,
        strides, dilates, before, after));
    TRY(create_pass(s, &s->forward, &description, dnnl_query_weights_md, true));
    raise(&op->scratch_bytes, pass_bytes(&s->forward));
    const Parameter *parameter = op->in[1]->parameter;
    if (parameter != NULL && parameter->frozen && s->forward.reorder != NULL) {
        s->kept = memory_alloc_aligned((size_t)s->forward.weights_bytes);
        if (s->kept == NULL) return status_no_memory((size_t)s->forward.weights_bytes, "a convolution's weights");
    }
    return training ? prepare_backward(op, s, strides, dilates, before, after) : OK;
}

/* Whether the kept copy still is one of `weights`; notes them as seen. */
static bool kept_is_current(ConvState *s, const float *weights, int64_t count)
{
    bool same = s->kept_valid;
    for (int64_t i = 0; i < PROBES; i++) {
        float value = weights[i * (count - 1) / (PROBES - 1)];
        if (memcmp(&value, &s->probes[i], sizeof value) != 0) same = false;
        s->probes[i] = value;
    }
    s->kept_valid = true;
    return same;
}

/* Binds the pass's weights and pad, the weights filled from the flat ones; both lie at `memory`. */
static Status arrange_weights(const Op *op, ConvState *s, Pass *pass, char *memory)
{
    if (pass->pad != NULL) TRY(onednn_bind(pass->pad, memory + pass->weights_bytes));
    if (pass->reorder == NULL) return onednn_bind(pass->weights, op->in[1]->data);
    bool keep = pass == &s->forward && s->kept != NULL;
    bool current = keep && kept_is_current(s, op->in[1]->data, op->in[1]->count);
    TRY(onednn_bind(pass->weights, keep ? s->kept : memory));
    if (current) return OK;
    TRY(onednn_bind(s->flat, op->in[1]->data));
    dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, s->flat}, {DNNL_ARG_TO, pass->weights}};
    return onednn_check(dnnl_primitive_execute(pass->reorder, s->stream, 2, arguments), "copying weights");
}

/* oneDNN skips arguments it does not know of, but not empty ones: those go. */
static Status execute(const ConvState *s, const Pass *pass, const dnnl_exec_arg_t *arguments, int count)
{
    dnnl_exec_arg_t present[6];
    int n = 0;
    for (int i = 0; i < count; i++)
        if (arguments[i].memory != NULL) present[n++] = arguments[i];
    if (pass->pad != NULL) present[n++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, pass->pad};
    return onednn_check(dnnl_primitive_execute(pass->run, s->stream, n, present), "a convolution");
}

static Status conv_forward(Op *op)
{
    ConvState *s = op->state;
    TRY(arrange_weights(op, s, &s->forward, op->scratch));
    TRY(onednn_bind(s->x, op->in[0]->data));
    TRY(onednn_bind(s->y, op->out->data));
    bool bias = op->in[2] != NULL;
    if (bias) TRY(onednn_bind(s->bias, op->in[2]->data));
    dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, s->x},
                                   {DNNL_ARG_WEIGHTS, s->forward.weights},
                                   {DNNL_ARG_BIAS, bias ? s->bias : NULL},
                                   {DNNL_ARG_DST, s->y}};
    return execute(s, &s->forward, arguments, 4);
}

static void add_to(float *restrict sum, const float *restrict more, int64_t count)
{
#pragma omp parallel for simd schedule(static) if (cpu_parallel(count))
    for (int64_t i = 0; i < count; i++) sum[i] += more[i];
}

/* Sums over cells per channel, by blocks of rows so that long sums lose little. */
static void bias_gradient(const Op *op, float *sum)
{
    enum { ROWS = 64, CHANNELS = 64 };
    const float *g = op->out->grad;
    int64_t channels = op->out->shape[3], rows = op->out->count / channels;
#pragma omp parallel for schedule(static) if (cpu_parallel(op->out->count))
    for (int64_t c = 0; c < channels; c += CHANNELS) {
        int64_t width = channels - c < CHANNELS ? channels - c : CHANNELS;
        float total[CHANNELS] = {0};
        for (int64_t first = 0; first < rows; first += ROWS) {
            int64_t last = first + ROWS < rows ? first + ROWS : rows;
            float part[CHANNELS] = {0};
            for (int64_t i = first; i < last; i++)
                for (int64_t j = 0; j < width; j++) part[j] += g[i * channels + c + j];
            for (int64_t j = 0; j < width; j++) total[j] += part[j];
        }
        for (int64_t j = 0; j < width; j++) sum[c + j] = op->accumulate[2] ? sum[c + j] + total[j] : total[j];
    }
}

static void pointwise_backward(Op *op)
{
    int64_t outputs = op->out->shape[3], channels = op->in[0]->shape[3], rows = op->out->count / outputs;
    if (op_wants_grad(op, 0))
        gemm_f32(false, false, rows, channels, outputs, 1, op->out->grad, outputs, op->in[1]->data, channels,
                 op->accumulate[0] ? 1 : 0, op->in[0]->grad, channels);
    if (op_wants_grad(op, 1))
        gemm_f32(true, false, outputs, channels, rows, 1, op->out->grad, outputs, op->in[0]->data, channels,
                 op->accumulate[1] ? 1 : 0, op->in[1]->grad, channels);
    if (op_wants_grad(op, 2)) bias_gradient(op, op->in[2]->grad);
}

static Status input_gradient(Op *op, ConvState *s)
{
    float *apart = (float *)((char *)op->scratch + pass_bytes(&s->data));
    TRY(arrange_weights(op, s, &s->data, op->scratch));
    TRY(onednn_bind(s->gy, op->out->grad));
    TRY(onednn_bind(s->gx, op->accumulate[0] ? apart : op->in[0]->grad));
    dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_DIFF_DST, s->gy}, {DNNL_ARG_WEIGHTS, s->data.weights}, {DNNL_ARG_DIFF_SRC, s->gx}};
    TRY(execute(s, &s->data, arguments, 3));
    if (op->accumulate[0]) add_to(op->in[0]->grad, apart, op->in[0]->count);
    return OK;
}

static Status weight_gradient(Op *op, ConvState *s)
{
    char *pad = (char *)op->scratch + s->filter.weights_bytes;
    float *bias = (float *)(pad + s->filter.pad_bytes);
    TRY(onednn_bind(s->filter.weights, op->scratch));
    if (s->filter.pad != NULL) TRY(onednn_bind(s->filter.pad, pad));
    if (s->bias_gradient != NULL) TRY(onednn_bind(s->bias_gradient, bias));
    TRY(onednn_bind(s->x, op->in[0]->data));
    TRY(onednn_bind(s->gy, op->out->grad));
    dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, s->x},
                                   {DNNL_ARG_DIFF_DST, s->gy},
                                   {DNNL_ARG_DIFF_WEIGHTS, s->filter.weights},
                                   {DNNL_ARG_DIFF_BIAS, s->bias_gradient}};
    TRY(execute(s, &s->filter, arguments, 4));
    if (!op->accumulate[1]) memset(op->in[1]->grad, 0, (size_t)op->in[1]->count * sizeof(float));
    TRY(onednn_bind(s->flat_gradient, op->in[1]->grad));
    dnnl_exec_arg_t copy[] = {{DNNL_ARG_FROM, s->filter.weights}, {DNNL_ARG_TO, s->flat_gradient}};
    TRY(onednn_check(dnnl_primitive_execute(s->filter.reorder, s->stream, 2, copy), "adding a weight's gradient"));
    if (s->bias_gradient == NULL) return OK;
    float *sum = op->in[2]->grad;
    if (!op->accumulate[2]) memset(sum, 0, (size_t)op->in[2]->count * sizeof *sum);
    add_to(sum, bias, op->in[2]->count);
    return OK;
}

static Status conv_backward(Op *op)
{
    ConvState *s = op->state;
    if (s->pointwise) {
        pointwise_backward(op);
        return OK;
    }
    if (op_wants_grad(op, 0)) TRY(input_gradient(op, s));
    if (op_wants_grad(op, 1))
        TRY(weight_gradient(op, s));
    else if (op_wants_grad(op, 2))
        bias_gradient(op, op->in[2]->grad);
    return OK;
}

const OpKernels kernels_conv2d[2] = {
    {.prepare = conv_prepare, .forward = conv_forward, .backward = conv_backward, .release = conv_release},
    {.forward = conv_plain_forward, .backward = conv_plain_backward},
};
