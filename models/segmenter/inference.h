/* From queries to pictures: panoptic, semantic and instance results of one
 * image from class probabilities and mask logits (Cheng et al. 2022, published
 * code, with Zeroth's stores in mind: classes are those of the whole table). */
#ifndef SEGMENTER_INFERENCE_H
#define SEGMENTER_INFERENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "framework/status.h"

/* Queries of one image. Logits of masks cover exactly the output picture. */
typedef struct QuerySet {
    int queries, classes;          /* Q; C without no object */
    const float *probabilities;    /* [Q, C + 1], the last no object; rows sum to 1 */
    const float *mask_logits;      /* [Q, mask_height * mask_width] */
    int64_t mask_height, mask_width;
    int64_t height, width;         /* of the output */
} QuerySet;

/* Softmax of embeddings [Q, D] through a class head weight [C+1, D], bias
 * [C+1] or NULL -> probabilities [Q, C+1]. */
void inference_classify(const float *embeddings, int queries, int dim, const float *weight, const float *bias,
                        int classes, float *probabilities);

typedef struct PanopticConfig {
    double score;   /* 0.8: queries below are dropped */
    double overlap; /* 0.8: a segment that keeps less of its own area (probability >= 0.5) is dropped */
} PanopticConfig;
typedef struct PredictedSegment {
    int32_t id;          /* value in the map, from 1 */
    int32_t class_index;
    float score;         /* of its (first) query */
    int64_t area;        /* pixels in the map */
} PredictedSegment;
/* map int32 [height, width]: 0 none, else a segment's id. `is_thing` [C]:
 * segments of the same class merge where it is not a thing. `segments` has
 * room for Q. */
Status inference_panoptic(const QuerySet *set, const PanopticConfig *config, const bool *is_thing, int32_t *map,
                          PredictedSegment *segments, int *count);

/* labels int32 [height, width]: argmax over classes of sum_q p(c|q) sigmoid(mask_q). */
Status inference_semantic(const QuerySet *set, int32_t *labels);

typedef struct InstanceResult {
    int query;
    int32_t class_index;
    float score;         /* class probability x mean mask probability inside the mask */
    int64_t area;        /* pixels with logit > 0 */
} InstanceResult;
/* Of the `limit` (100) most probable (query, class) pairs, those of things
 * (all where is_thing is NULL), best score first; equal ones by query, then
 * class. `results` has room for limit. */
Status inference_instances(const QuerySet *set, const bool *is_thing, int limit, InstanceResult *results, int *count);
/* The mask of one query at output size: bytes 0 or 1 [height, width], logit > 0. */
Status inference_mask(const QuerySet *set, int query, uint8_t *mask);

#endif
