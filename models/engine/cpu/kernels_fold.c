#include <math.h>

#include "models/engine/cpu/loops.h"

#include "models/engine/cpu/real_f32.h"
#include "models/engine/cpu/kernels_fold.inc"
#include "models/engine/cpu/real_f64.h"
#include "models/engine/cpu/kernels_fold.inc"

const OpKernels kernels_fold_scale[2] = {
    {.forward = fold_scale_forward_f32, .backward = fold_scale_backward_f32},
    {.forward = fold_scale_forward_f64, .backward = fold_scale_backward_f64},
};
const OpKernels kernels_fold_shift[2] = {
    {.forward = fold_shift_forward_f32},
    {.forward = fold_shift_forward_f64},
};
