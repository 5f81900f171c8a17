/* pair_sum, pair_score: all pairs of two sets of rows. */
#include "models/engine/cpu/loops.h"

enum { PAIR_ROWS = 8 }; /* rows whose parts of the gradient of w are summed together */

#include "models/engine/cpu/real_f32.h"
#include "models/engine/cpu/kernels_pairs.inc"
#include "models/engine/cpu/real_f64.h"
#include "models/engine/cpu/kernels_pairs.inc"

const OpKernels kernels_pair_sum[2] = {
    {.forward = pair_sum_forward_f32, .backward = pair_sum_backward_f32},
    {.forward = pair_sum_forward_f64, .backward = pair_sum_backward_f64},
};
const OpKernels kernels_pair_score[2] = {
    {.prepare = pair_score_prepare_f32, .forward = pair_score_forward_f32, .backward = pair_score_backward_f32},
    {.prepare = pair_score_prepare_f64, .forward = pair_score_forward_f64, .backward = pair_score_backward_f64},
};
