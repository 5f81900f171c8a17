/* concat, slice, gather, swap_middle: operations that only move numbers. */
#include "models/engine/cpu/loops.h"

#include "models/engine/cpu/real_f32.h"
#include "models/engine/cpu/kernels_shape.inc"
#include "models/engine/cpu/real_f64.h"
#include "models/engine/cpu/kernels_shape.inc"

const OpKernels kernels_concat[2] = {
    {.forward = concat_forward_f32, .backward = concat_backward_f32},
    {.forward = concat_forward_f64, .backward = concat_backward_f64},
};
const OpKernels kernels_slice[2] = {
    {.forward = slice_forward_f32, .backward = slice_backward_f32},
    {.forward = slice_forward_f64, .backward = slice_backward_f64},
};
const OpKernels kernels_gather[2] = {
    {.forward = gather_forward_f32, .backward = gather_backward_f32},
    {.forward = gather_forward_f64, .backward = gather_backward_f64},
};
const OpKernels kernels_swap_middle[2] = {
    {.forward = swap_middle_forward_f32, .backward = swap_middle_backward_f32},
    {.forward = swap_middle_forward_f64, .backward = swap_middle_backward_f64},
};
