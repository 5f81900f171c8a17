/* Private to the criterion: its loops over sampled points, in float32 and
 * float64. Points are (x, y) pairs in [0, 1] over the whole field; values
 * between pixel centres are bilinear, zero outside (PyTorch's grid_sample,
 * align_corners = false). */
#ifndef SEGMENTER_CRITERION_POINTS_H
#define SEGMENTER_CRITERION_POINTS_H

#include <stdbool.h>
#include <stdint.h>

#define POINT_BLOCK 256 /* points worked on at once: the block's arrays stay in the first cache */

typedef struct TargetField {
    const uint16_t *map;
    int64_t height, width;
    const int16_t *index; /* [65536]: the segment of a map value, or -1 */
    bool ignore_void;
} TargetField;

/* Sums over points p, of weight w_p (0 on ignored pixels), for logits x_q and target masks t. */
typedef struct PairSums {
    double *product;  /* [Q, T]: w t x */
    double *overlap;  /* [Q, T]: w t sigmoid(x) */
    double *softplus; /* [Q]: w log(1 + exp(x)) */
    double *sigmoid;  /* [Q]: w sigmoid(x) */
    double *target;   /* [T]: w t */
    double weight;    /* w */
} PairSums;

/* One mask's share of the loss and how to scale its gradient. */
typedef struct MaskLoss {
    double mask_factor, dice_factor; /* in: of the two terms in the gradient */
    double mask, dice;               /* out: mean cross-entropy and dice loss of the mask */
} MaskLoss;

#define POINT_FUNCTIONS(REAL, SUFFIX)                                                                                 \
    /* Adds nothing: overwrites all of `sums`. target_block: [T, POINT_BLOCK]. */                                     \
    void points_pair_sums_##SUFFIX(const REAL *logits, int queries, int64_t height, int64_t width,                    \
                                   const TargetField *target, int targets, const float *xy, int64_t count,            \
                                   REAL *target_block, PairSums *sums);                                               \
    /* |logit| as bits of a float32, which order as it does. */                                                       \
    void points_certainty_##SUFFIX(const REAL *logits, int64_t height, int64_t width, const float *xy, int64_t count, \
                                   uint32_t *keys);                                                                   \
    /* Losses of one mask against one segment value; adds to `grad` unless NULL. kept: [3 * count]. */                \
    void points_mask_loss_##SUFFIX(const REAL *logits, REAL *grad, int64_t height, int64_t width,                     \
                                   const TargetField *target, uint16_t value, const float *xy, int64_t count,         \
                                   REAL *kept, MaskLoss *loss);                                                       \
    /* Row softmax in double. */                                                                                      \
    void points_softmax_##SUFFIX(const REAL *logits, int rows, int columns, double *probabilities,                    \
                                 double *log_normalizers);                                                            \
    /* grad = factor_r * (p - 1{c = label_r}) unless NULL; returns sum_r weight_r * nll_r. */                         \
    double points_class_loss_##SUFFIX(const REAL *logits, REAL *grad, int rows, int columns, const double *probs,     \
                                      const double *log_normalizers, const int32_t *labels, const double *weights,    \
                                      double factor);

POINT_FUNCTIONS(float, f32)
POINT_FUNCTIONS(double, f64)

#endif
