/* The training loss of a mask classifier (Cheng et al. 2022, "Masked-attention
 * Mask Transformer", section 3.3 and published code), on the CPU and outside
 * the graph, since the number of masks differs from image to image: reads the
 * heads' outputs, writes their gradients.
 *
 * One call is one image. A batch's loss is the sum over its images: the
 * denominators (masks of the batch, class weights of the batch) depend on the
 * targets only, so the caller counts them first (criterion_count) and hands
 * them to every call. */
#ifndef SEGMENTER_CRITERION_H
#define SEGMENTER_CRITERION_H

#include <stdint.h>

#include "models/engine/tensor.h"

#define CRITERION_MAX_HEADS 32

typedef struct CriterionConfig {
    double class_weight, mask_weight, dice_weight; /* 2, 5, 5: in matching and in the loss */
    double no_object_weight;                       /* 0.1, in the class cross-entropy */
    int64_t points;                                /* P, for matching and for each matched mask */
    double oversample;                             /* 3: candidates per point of the loss */
    double importance;                             /* 0.75: share of points taken where the mask is most uncertain */
    bool ignore_void;                              /* points on void pixels (value 0) weigh nothing; else they are background */
} CriterionConfig;
CriterionConfig criterion_default(void); /* P = 256, ignore_void false */

/* Ground truth of one image. */
typedef struct TargetSegment {
    int32_t value; /* in the map, 1 .. 65535 */
    int32_t label; /* [0, classes) */
} TargetSegment;
typedef struct SegmentTarget {
    const uint16_t *map; /* [height, width]: 0 void, other values segments; values without a row in `segments` are background */
    int64_t height, width;
    const TargetSegment *segments; /* distinct values */
    int count;
} SegmentTarget;

/* What a batch's images share. Start from zeros, call criterion_count for
 * every image's number of segments, over all ranks. */
typedef struct CriterionBatch {
    double num_masks;      /* segments of the batch */
    double ce_denominator; /* sum over all queries of the weights of their matched class */
    uint64_t seed, step, sample; /* key of the random points; `sample` differs within a batch */
} CriterionBatch;
void criterion_count(const CriterionConfig *config, int queries, int segments, CriterionBatch *batch);

/* One prediction head of one image, in the criterion's dtype. Logits of the
 * masks are [Q, mask_height * mask_width]. Gradients are overwritten; NULL:
 * not wanted (both or none). */
typedef struct CriterionHead {
    const void *class_logits; /* [Q, classes + 1], the last is no object */
    const void *mask_logits;
    void *class_grad, *mask_grad;
} CriterionHead;

/* This image's share of the batch's loss. */
typedef struct CriterionLosses {
    double total;                                  /* weighted, over all heads */
    int heads;
    double ce[CRITERION_MAX_HEADS];                /* not weighted */
    double mask[CRITERION_MAX_HEADS];
    double dice[CRITERION_MAX_HEADS];
    int64_t non_finite;                            /* matching costs that were NaN or infinite */
} CriterionLosses;

/* Uniform draws in [0, 1) from elsewhere than Philox, for comparisons:
 * `count` numbers (x, y pairs) for head `head`. */
typedef enum CriterionDraw {
    CRITERION_DRAW_MATCHING,   /* P points shared by all masks; mask is 0 */
    CRITERION_DRAW_CANDIDATES, /* oversample * P points of matched mask number `mask`, in order of query */
    CRITERION_DRAW_REST,       /* the points of that mask that are not chosen by uncertainty */
} CriterionDraw;
typedef void CriterionDrawHook(void *context, int head, CriterionDraw draw, int mask, float *values, int64_t count);

typedef struct Criterion Criterion; /* configuration and work space, for one thread */
/* dtype F32 or F64; `classes` without no object. */
Status criterion_create(const CriterionConfig *config, Dtype dtype, int queries, int classes, Criterion **criterion);
void criterion_destroy(Criterion *criterion);
void criterion_set_draws(Criterion *criterion, CriterionDrawHook *hook, void *context); /* NULL: Philox */

/* Losses and gradients of all heads; head h draws as head h. `query_target`
 * is [heads, Q] or NULL: the index in target->segments that each query is
 * matched to, or -1. Segments beyond Q stay unmatched. Never fails for
 * non-finite logits: they are counted, and show in the losses. */
Status criterion_run(Criterion *criterion, const CriterionHead *heads, int head_count, int64_t mask_height,
                     int64_t mask_width, const SegmentTarget *target, const CriterionBatch *batch,
                     int32_t *query_target, CriterionLosses *losses);
/* Matching only, of one head (drawing as head 0): query_target [Q]. */
Status criterion_match(Criterion *criterion, const CriterionHead *head, int64_t mask_height, int64_t mask_width,
                       const SegmentTarget *target, const CriterionBatch *batch, int32_t *query_target,
                       int64_t *non_finite);

#endif
