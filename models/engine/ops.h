/* The operations. Each is differentiable in every argument that is a
 * floating tensor unless said otherwise. Shapes in comments; `...` is any
 * number of leading dimensions, kept. Every op has float32 (oneDNN where it
 * has the operation) and float64 (plain loops) forms and a finite-difference
 * check of the latter, and agreement of the two, in tests/models. */
#ifndef ENGINE_OPS_H
#define ENGINE_OPS_H

#include "models/engine/graph.h"

typedef enum Activation { ACTIVATION_NONE, ACTIVATION_RELU, ACTIVATION_RELU6, ACTIVATION_LEAKY_RELU, /* slope 0.2 */
                          ACTIVATION_SIGMOID, ACTIVATION_TANH, ACTIVATION_GELU, ACTIVATION_COUNT } Activation;

/* -- products -- */
/* x [..., K], w [N, K], b [N] or NULL -> [..., N]: x w^T + b */
Tensor *graph_add_linear(Graph *g, Tensor *x, Tensor *w, Tensor *b);
/* rows [first, first + count) of w and b only: for stacked q, k, v weights. -> [..., count] */
Tensor *graph_add_linear_rows(Graph *g, Tensor *x, Tensor *w, Tensor *b, int64_t first, int64_t count);
/* a [B, M, K] (or [B, K, M] if transpose_a), b [B, K, N] (or [B, N, K]) -> [B, M, N]; rank 2 is B = 1, kept rank 2 */
Tensor *graph_add_matmul(Graph *g, Tensor *a, Tensor *b, bool transpose_a, bool transpose_b);
/* q [N, Lq, D], k and v [N, Lk, D] -> [N, Lq, D]: softmax(q k^T / sqrt(D/heads)) v per head. mask: U8
 * [N, Lq, Lk] or NULL, 1 = may not attend, shared by the heads; a row of all 1 attends everywhere. */
Tensor *graph_add_attention(Graph *g, Tensor *q, Tensor *k, Tensor *v, int heads, Tensor *mask);
/* The same with dropout of the softmax's values, in training only (PyTorch's MultiheadAttention). */
Tensor *graph_add_attention_dropout(Graph *g, Tensor *q, Tensor *k, Tensor *v, int heads, Tensor *mask, double p);

/* -- convolution and maps -- */
typedef struct ConvGeometry {
    int stride;                        /* both axes; 0 means 1 */
    int pad_top, pad_left, pad_bottom, pad_right;
    int groups;                        /* 0 means 1; channels: depthwise */
    int dilation;                      /* 0 means 1 */
} ConvGeometry;
/* x [N, H, W, C], w [O, C/groups, kh, kw], b [O] or NULL -> [N, H', W', O] */
Tensor *graph_add_conv2d(Graph *g, Tensor *x, Tensor *w, Tensor *b, ConvGeometry geometry);
/* x [N, H, W, C] -> [N, H', W', C]; padding counts as -infinity */
Tensor *graph_add_max_pool(Graph *g, Tensor *x, int kernel, int stride, int padding);
/* x [N, H, W, C] -> [N, height, width, C]: bilinear, align_corners = false (PyTorch's interpolate) */
Tensor *graph_add_resize(Graph *g, Tensor *x, int64_t height, int64_t width);
/* nearest neighbour, source index floor(i * in / out) */
Tensor *graph_add_resize_nearest(Graph *g, Tensor *x, int64_t height, int64_t width);
/* mask logits [N, Q, H*W] of a map height x width -> U8 [N, Q, h*w]: 1 where sigmoid(bilinear resize) < 0.5, a
 * row of all 1 becomes all 0 (Mask2Former). No gradient. */
Tensor *graph_add_attention_mask(Graph *g, Tensor *logits, int64_t height, int64_t width, int64_t h, int64_t w);
/* Multi-scale deformable attention (Zhu et al. 2021). value [N, S, D] with S the cells of all levels, level after
 * level; locations [N, L, heads*levels*points*2] as (x, y) in [0, 1] of each level; weights [N, L,
 * heads*levels*points] after softmax; sizes: levels pairs (h, w). Bilinear, zero outside, align_corners = false.
 * -> [N, L, D] */
Tensor *graph_add_deformable_attention(Graph *g, Tensor *value, Tensor *locations, Tensor *weights, int heads,
                                       int levels, int points, const int64_t *sizes);

/* -- a fixed batch norm folded into the convolution before it: conv(x, w) normed is conv(x, scaled w) + shift -- */
/* w [O, ...], gamma and variance [O] -> w, each row times its gamma / sqrt(variance + epsilon). Gradient to w only. */
Tensor *graph_add_fold_scale(Graph *g, Tensor *w, Tensor *gamma, Tensor *variance, double epsilon);
/* all [O] -> beta - mean * gamma / sqrt(variance + epsilon). No gradient. */
Tensor *graph_add_fold_shift(Graph *g, Tensor *gamma, Tensor *beta, Tensor *mean, Tensor *variance, double epsilon);

/* -- norms -- */
/* x [..., D], scale and shift [D] */
Tensor *graph_add_layer_norm(Graph *g, Tensor *x, Tensor *scale, Tensor *shift, double epsilon);
/* x [N, H, W, C], scale and shift [C]; groups divide C */
Tensor *graph_add_group_norm(Graph *g, Tensor *x, Tensor *scale, Tensor *shift, int groups, double epsilon);
/* x [..., D] -> x / max(|x|, epsilon) per row */
Tensor *graph_add_normalize(Graph *g, Tensor *x, double epsilon);

/* -- elementwise -- */
Tensor *graph_add_activation(Graph *g, Tensor *x, Activation activation);
/* a + b; b has a's shape, or is a's trailing dimensions (broadcast over the leading), or its leading dimension is 1 */
Tensor *graph_add_sum(Graph *g, Tensor *a, Tensor *b);
/* a * b, same shapes rule as sum */
Tensor *graph_add_product(Graph *g, Tensor *a, Tensor *b);
Tensor *graph_add_scale(Graph *g, Tensor *x, double factor);
/* Active in training only; scaled by 1/(1-p). p = 0 returns x itself. */
Tensor *graph_add_dropout(Graph *g, Tensor *x, double p);
/* x [..., D] -> softmax(x * factor) over the last dimension */
Tensor *graph_add_softmax(Graph *g, Tensor *x, double factor);
/* r [M, D], a [C, D], b [D] or NULL -> [M, C, D] : r_i + a_c + b, for pairwise networks */
Tensor *graph_add_pair_sum(Graph *g, Tensor *r, Tensor *a, Tensor *b);
/* The scores of all pairs, without the pairs in memory: w [1, D], s [1] -> [M, C] : w . h(r_i + a_c + b) + s, with
 * h(z) = z above 0 and slope * z below (0: ReLU) */
Tensor *graph_add_pair_score(Graph *g, Tensor *r, Tensor *a, Tensor *b, Tensor *w, Tensor *s, double slope);

/* -- shape -- */
Tensor *graph_add_reshape(Graph *g, Tensor *x, int rank, const int64_t *shape); /* shares memory; one -1 allowed */
/* concatenation along `axis`; equal elsewhere */
Tensor *graph_add_concat(Graph *g, Tensor *const *parts, int count, int axis);
/* x[..., first : first + count, ...] along `axis` */
Tensor *graph_add_slice(Graph *g, Tensor *x, int axis, int64_t first, int64_t count);
/* x [R, ...], rows I32 [M] in [0, R) -> [M, ...]; gradient scatters by addition, in row order */
Tensor *graph_add_gather(Graph *g, Tensor *x, Tensor *rows);
/* [N, A, B, C] -> [N, B, A, C] */
Tensor *graph_add_swap_middle(Graph *g, Tensor *x);

/* -- losses; all give scalars (rank 0) -- */
/* logits [M, C], labels I32 [M], class_weights [C] or NULL (no gradient): PyTorch's weighted mean. Labels outside
 * [0, C) are skipped rows. */
Tensor *graph_add_cross_entropy(Graph *g, Tensor *logits, Tensor *labels, Tensor *class_weights);
/* mean |a - b| */
Tensor *graph_add_l1_loss(Graph *g, Tensor *a, Tensor *b);
/* sum over rows and columns of p log(p / q), p = softmax(target * factor), q = softmax(x * factor) per row, then
 * times `scale`. x, target [M, C]; gradients to both unless an input without grad. */
Tensor *graph_add_softmax_kl(Graph *g, Tensor *x, Tensor *target, double factor, double scale);
/* sqrt(sum over sigmas of MMD_sigma(x, y)), RBF kernels exp(-|.|^2 / (2 sigma)); x [M, D], y [K, D] (Li et al.
 * 2015). The exact estimator is that of the published code: see method.md and the parity files. */
Tensor *graph_add_mmd_loss(Graph *g, Tensor *x, Tensor *y, const double *sigmas, int sigma_count);
Tensor *graph_add_mean(Graph *g, Tensor *x);      /* -> scalar */
Tensor *graph_add_total(Graph *g, Tensor *x);     /* sum of elements -> scalar */

#endif
