/* cross_entropy, l1_loss, softmax_kl, mmd_loss, mean, total. Sums over many
 * terms are made in double, piece by piece in a fixed order. */
#include "models/engine/cpu/loops.h"

#include "models/engine/cpu/real_f32.h"
#include "models/engine/cpu/kernels_losses.inc"
#include "models/engine/cpu/real_f64.h"
#include "models/engine/cpu/kernels_losses.inc"

const OpKernels kernels_cross_entropy[2] = {
    {.prepare = cross_entropy_prepare_f32, .forward = cross_entropy_forward_f32, .backward = cross_entropy_backward_f32},
    {.prepare = cross_entropy_prepare_f64, .forward = cross_entropy_forward_f64, .backward = cross_entropy_backward_f64},
};
const OpKernels kernels_l1_loss[2] = {
    {.forward = l1_loss_forward_f32, .backward = l1_loss_backward_f32},
    {.forward = l1_loss_forward_f64, .backward = l1_loss_backward_f64},
};
const OpKernels kernels_softmax_kl[2] = {
    {.forward = softmax_kl_forward_f32, .backward = softmax_kl_backward_f32},
    {.forward = softmax_kl_forward_f64, .backward = softmax_kl_backward_f64},
};
const OpKernels kernels_mmd_loss[2] = {
    {.forward = mmd_loss_forward_f32, .backward = mmd_loss_backward_f32},
    {.forward = mmd_loss_forward_f64, .backward = mmd_loss_backward_f64},
};
const OpKernels kernels_mean[2] = {
    {.forward = mean_forward_f32, .backward = mean_backward_f32},
    {.forward = mean_forward_f64, .backward = mean_backward_f64},
};
const OpKernels kernels_total[2] = {
    {.forward = total_forward_f32, .backward = total_backward_f32},
    {.forward = total_forward_f64, .backward = total_backward_f64},
};
