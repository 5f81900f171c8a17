/* linear, matmul, attention. */
#include <math.h>
#include <omp.h>

#include "framework/memory.h"
#include "models/engine/cpu/dropout.h"
#include "models/engine/cpu/loops.h"
#include "models/engine/cpu/onednn.h"

#include "models/engine/cpu/real_f32.h"
#include "models/engine/cpu/kernels_products.inc"
#include "models/engine/cpu/real_f64.h"
#include "models/engine/cpu/kernels_products.inc"

/* The forward of a linear with some rows is oneDNN's matmul: it reads the
 * weight as stored, [N, K], faster than sgemm does (by a tenth at 110 x 256 x
 * 256, by a third at 110 x 256 x 1024), and adds the bias on the way. With few
 * rows sgemm is faster, as it is for the products of the backward. */
enum { MATMUL_ROWS = 16 };

typedef struct LinearState {
    dnnl_stream_t stream;
    dnnl_primitive_t run;
    dnnl_memory_t memories[4];
    dnnl_exec_arg_t arguments[4];
    int count;
} LinearState;

static void linear_release(Op *op)
{
    LinearState *s = op->state;
    if (s == NULL) return;
    for (int i = 0; i < s->count; i++) dnnl_memory_destroy(s->memories[i]);
    if (s->run != NULL) dnnl_primitive_destroy(s->run);
    memory_free(s);
    op->state = NULL;
}

static Status add_argument(LinearState *s, int name, const dnnl_memory_desc_t *description, const void *data)
{
    TRY(onednn_memory(description, &s->memories[s->count]));
    s->arguments[s->count] = (dnnl_exec_arg_t){name, s->memories[s->count]};
    s->count++;
    return onednn_bind(s->memories[s->count - 1], data);
}

static Status linear_create(Op *op, LinearState *s)
{
    const Tensor *x = op->in[0], *w = op->in[1], *b = op->in[2];
    int64_t first = op->attr.i[0], n = op->attr.i[1], k = w->shape[1], m = x->count / k;
    dnnl_memory_desc_t xd, wd, bd, yd;
    ONEDNN_TRY(dnnl_memory_desc_init_by_strides(&xd, 2, (dnnl_dims_t){m, k}, dnnl_f32, (dnnl_dims_t){k, 1}));
    ONEDNN_TRY(dnnl_memory_desc_init_by_strides(&wd, 2, (dnnl_dims_t){k, n}, dnnl_f32, (dnnl_dims_t){1, k}));
    ONEDNN_TRY(dnnl_memory_desc_init_by_strides(&bd, 2, (dnnl_dims_t){1, n}, dnnl_f32, (dnnl_dims_t){n, 1}));
    ONEDNN_TRY(dnnl_memory_desc_init_by_strides(&yd, 2, (dnnl_dims_t){m, n}, dnnl_f32, (dnnl_dims_t){n, 1}));
    dnnl_matmul_desc_t matmul;
    ONEDNN_TRY(dnnl_matmul_desc_init(&matmul, &xd, &wd, b == NULL ? NULL : &bd, &yd));
    dnnl_engine_t engine;
    TRY(onednn_open(&engine, &s->stream));
    dnnl_primitive_desc_t description;
    ONEDNN_TRY(dnnl_primitive_desc_create(&description, &matmul, NULL, engine, NULL));
    dnnl_status_t status = dnnl_primitive_create(&s->run, description);
    dnnl_primitive_desc_destroy(description);
    TRY(onednn_check(status, "creating a product"));
    TRY(add_argument(s, DNNL_ARG_SRC, &xd, x->data));
    TRY(add_argument(s, DNNL_ARG_WEIGHTS, &wd, (const float *)w->data + first * k));
    TRY(add_argument(s, DNNL_ARG_DST, &yd, op->out->data));
    return b == NULL ? OK : add_argument(s, DNNL_ARG_BIAS, &bd, (const float *)b->data + first);
}

static Status linear_prepare(Op *op)
{
    if (op->in[0]->count / op->in[1]->shape[1] < MATMUL_ROWS) return OK;
    op->state = memory_alloc_zero(1, sizeof(LinearState));
    if (op->state == NULL) return status_no_memory(sizeof(LinearState), "a product");
    return linear_create(op, op->state);
}

static Status linear_forward_f32(Op *op)
{
    const LinearState *s = op->state;
    if (s == NULL) return linear_forward_plain_f32(op);
    return onednn_check(dnnl_primitive_execute(s->run, s->stream, s->count, s->arguments), "a product");
}

const OpKernels kernels_linear[2] = {
    {.prepare = linear_prepare, .forward = linear_forward_f32, .backward = linear_backward_f32, .release = linear_release},
    {.forward = linear_forward_plain_f64, .backward = linear_backward_f64},
};
const OpKernels kernels_matmul[2] = {
    {.forward = matmul_forward_f32, .backward = matmul_backward_f32},
    {.forward = matmul_forward_f64, .backward = matmul_backward_f64},
};
const OpKernels kernels_attention[2] = {
    {.prepare = attention_prepare_f32, .forward = attention_forward_f32, .backward = attention_backward_f32},
    {.prepare = attention_prepare_f64, .forward = attention_forward_f64, .backward = attention_backward_f64},
};
