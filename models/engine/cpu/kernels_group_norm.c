#include <math.h>

#include "models/engine/cpu/kernels.h"

#define CHUNK 64     /* channels reduced together: a cache line or more, and few enough for the registers */
#define ROW_BLOCK 64

#include "models/engine/cpu/real_f32.h"
#include "models/engine/cpu/kernels_group_norm.inc"
#include "models/engine/cpu/real_f64.h"
#include "models/engine/cpu/kernels_group_norm.inc"

const OpKernels kernels_group_norm[2] = {
    {.forward = group_norm_forward_f32, .backward = group_norm_backward_f32},
    {.forward = group_norm_forward_f64, .backward = group_norm_backward_f64},
};
