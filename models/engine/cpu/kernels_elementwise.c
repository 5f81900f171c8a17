/* activation, sum, product, scale, dropout.
 *
 * The planner may let an output share memory with an input (graph_plan.c,
 * share_in_place): out->data is in[k]->data and out->grad is in[k]->grad. Then
 * loops read and write the same places, index by index, which `omp simd`
 * allows, and there is nothing to accumulate. */
#include "framework/random.h"
#include "models/engine/cpu/loops.h"

/* -- activations: y of x; the derivative of y, or for GELU of x -- */
#include "models/engine/cpu/real_f32.h"
#include "models/engine/cpu/kernels_elementwise.inc"
#include "models/engine/cpu/real_f64.h"
#include "models/engine/cpu/kernels_elementwise.inc"

enum { DROP_LANES = 16, DROP_BLOCK = 4 * DROP_LANES };

/* DROP_LANES Philox4x32-10 blocks side by side: 64 bytes, 1 where the draw is
 * below `keep`. The key names seed, step, sample and op; the counter the place. */
static void drop_block(const uint32_t key[2], const uint32_t high[2], uint64_t block, uint32_t keep, uint8_t *kept)
{
    uint32_t c[4][DROP_LANES], k0 = key[0], k1 = key[1];
    for (uint32_t l = 0; l < DROP_LANES; l++) {
        uint64_t place = block * DROP_LANES + l;
        c[0][l] = (uint32_t)place;
        c[1][l] = (uint32_t)(place >> 32);
        c[2][l] = high[0];
        c[3][l] = high[1];
    }
    for (int round = 0; round < 10; round++) {
        for (int l = 0; l < DROP_LANES; l++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c[0][l], p1 = (uint64_t)0xCD9E8D57u * c[2][l];
            c[0][l] = (uint32_t)(p1 >> 32) ^ c[1][l] ^ k0;
            c[1][l] = (uint32_t)p1;
            c[2][l] = (uint32_t)(p0 >> 32) ^ c[3][l] ^ k1;
            c[3][l] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int w = 0; w < 4; w++) {
        for (int l = 0; l < DROP_LANES; l++) kept[w * DROP_LANES + l] = c[w][l] < keep;
    }
}

/* The op's mask for this forward. The same for float32 and float64. */
static void draw_mask(Op *op)
{
    uint64_t seed, step, sample;
    graph_random_position(op->graph, &seed, &step, &sample);
    Random random = random_stream(seed, RANDOM_DROPOUT, step, sample);
    uint32_t key[2] = {random_bits(&random), random_bits(&random)};
    uint32_t high[2] = {random_bits(&random), (uint32_t)op->index};
    uint32_t keep = (uint32_t)((1 - op->attr.r[0]) * 4294967295.0);
    uint8_t *kept = op->saved;
    int64_t count = op->out->count, blocks = count / DROP_BLOCK;
#pragma omp parallel for schedule(static) if (cpu_parallel(count))
    for (int64_t b = 0; b < blocks; b++) drop_block(key, high, (uint64_t)b, keep, kept + b * DROP_BLOCK);
    if (blocks * DROP_BLOCK < count) {
        uint8_t rest[DROP_BLOCK];
        drop_block(key, high, (uint64_t)blocks, keep, rest);
        memcpy(kept + blocks * DROP_BLOCK, rest, (size_t)(count - blocks * DROP_BLOCK));
    }
}

static Status dropout_forward_f32(Op *op)
{
    draw_mask(op);
    masked_put_f32(op->in[0]->data, op->saved, op->out->data, op->out->count, op->attr.r[0], false);
    return OK;
}

static Status dropout_forward_f64(Op *op)
{
    draw_mask(op);
    masked_put_f64(op->in[0]->data, op->saved, op->out->data, op->out->count, op->attr.r[0], false);
    return OK;
}

const OpKernels kernels_activation[2] = {
    {.forward = activation_forward_f32, .backward = activation_backward_f32},
    {.forward = activation_forward_f64, .backward = activation_backward_f64},
};
const OpKernels kernels_sum[2] = {
    {.forward = sum_forward_f32, .backward = sum_backward_f32},
    {.forward = sum_forward_f64, .backward = sum_backward_f64},
};
const OpKernels kernels_product[2] = {
    {.forward = product_forward_f32, .backward = product_backward_f32},
    {.forward = product_forward_f64, .backward = product_backward_f64},
};
const OpKernels kernels_scale[2] = {
    {.forward = scale_forward_f32, .backward = scale_backward_f32},
    {.forward = scale_forward_f64, .backward = scale_backward_f64},
};
const OpKernels kernels_dropout[2] = {
    {.forward = dropout_forward_f32, .backward = dropout_backward_f32},
    {.forward = dropout_forward_f64, .backward = dropout_backward_f64},
};
