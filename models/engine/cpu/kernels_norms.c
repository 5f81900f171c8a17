/* layer_norm, normalize, softmax: operations along rows. */
#include "models/engine/cpu/loops.h"

enum { NORM_ROWS = 32 }; /* rows whose parts of the parameters' gradients are summed together */

#include "models/engine/cpu/real_f32.h"
#include "models/engine/cpu/kernels_norms.inc"
#include "models/engine/cpu/real_f64.h"
#include "models/engine/cpu/kernels_norms.inc"

const OpKernels kernels_layer_norm[2] = {
    {.prepare = layer_norm_prepare_f32, .forward = layer_norm_forward_f32, .backward = layer_norm_backward_f32},
    {.prepare = layer_norm_prepare_f64, .forward = layer_norm_forward_f64, .backward = layer_norm_backward_f64},
};
const OpKernels kernels_normalize[2] = {
    {.forward = normalize_forward_f32, .backward = normalize_backward_f32},
    {.forward = normalize_forward_f64, .backward = normalize_backward_f64},
};
const OpKernels kernels_softmax[2] = {
    {.forward = softmax_forward_f32, .backward = softmax_backward_f32},
    {.forward = softmax_forward_f64, .backward = softmax_backward_f64},
};
