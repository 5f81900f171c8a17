/* Multi-scale deformable attention. */
#include <math.h>
#include <string.h>

#include "models/engine/cpu/kernels.h"

#define CORNERS 4
#define LANES 16

#include "models/engine/cpu/real_f32.h"
#include "models/engine/cpu/kernels_deformable.inc"
#include "models/engine/cpu/real_f64.h"
#include "models/engine/cpu/kernels_deformable.inc"

const OpKernels kernels_deformable[2] = {
    {.forward = deformable_forward_f32, .backward = deformable_backward_f32},
    {.forward = deformable_forward_f64, .backward = deformable_backward_f64},
};
