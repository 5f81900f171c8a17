/* linear, matmul, attention. */
#include <math.h>
#include <omp.h>

#include "models/engine/cpu/loops.h"

#include "models/engine/cpu/real_f32.h"
#include "models/engine/cpu/kernels_products.inc"
#include "models/engine/cpu/real_f64.h"
#include "models/engine/cpu/kernels_products.inc"

const OpKernels kernels_linear[2] = {
    {.forward = linear_forward_f32, .backward = linear_backward_f32},
    {.forward = linear_forward_f64, .backward = linear_backward_f64},
};
const OpKernels kernels_matmul[2] = {
    {.forward = matmul_forward_f32, .backward = matmul_backward_f32},
    {.forward = matmul_forward_f64, .backward = matmul_backward_f64},
};
const OpKernels kernels_attention[2] = {
    {.prepare = attention_prepare_f32, .forward = attention_forward_f32, .backward = attention_backward_f32},
    {.prepare = attention_prepare_f64, .forward = attention_forward_f64, .backward = attention_backward_f64},
};
