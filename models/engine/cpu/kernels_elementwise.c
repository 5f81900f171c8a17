/* activation, sum, product, scale, dropout.
 *
 * An output may share memory with an input (graph_inplace.c): out->data is
 * in[k]->data and out->grad is in[k]->grad. Then loops read and write the same
 * places, index by index, which `omp simd` allows, and there is nothing to
 * accumulate. */
#include "models/engine/cpu/dropout.h"
#include "models/engine/cpu/loops.h"

#include "models/engine/cpu/real_f32.h"
#include "models/engine/cpu/kernels_elementwise.inc"
#include "models/engine/cpu/real_f64.h"
#include "models/engine/cpu/kernels_elementwise.inc"

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
