/* Panoptic quality (Kirillov et al., "Panoptic Segmentation", CVPR 2019),
 * PQ = SQ x RQ, by the rules of the reference implementation, panopticapi:
 *
 * - A predicted and a true segment of one class match where IoU > 0.5. Their
 *   union leaves out the predicted pixels that are void in the truth.
 * - Crowd segments of the truth are neither matched nor missed.
 * - An unmatched predicted segment is no false positive where more than half
 *   of it lies on void or on the crowd segment of its own class (the last one
 *   listed, where an image has several).
 * - Per class PQ = sum of IoU / (TP + FP/2 + FN/2), SQ = sum of IoU / TP,
 *   RQ = TP / (TP + FP/2 + FN/2). A group's value is the plain mean over its
 *   classes with TP + FP + FN > 0.
 */
#ifndef MODELS_METRICS_PANOPTIC_H
#define MODELS_METRICS_PANOPTIC_H

#include <stdint.h>

#include "framework/status.h"
#include "models/metrics/groups.h"

/* A segment of a map. */
typedef struct PanopticSegment {
    int32_t id;          /* > 0; unique in its map */
    int32_t class_index; /* place in the ClassTable */
    int64_t area;        /* pixels; < 0: counted from the map. Only a true segment's is read, a predicted one's is
                            always counted, as panopticapi does. */
    bool is_crowd;
} PanopticSegment;

/* One image's segments, borrowed. */
typedef struct PanopticMap {
    int height, width;
    const int32_t *ids;  /* [height, width]; 0 is void */
    int segment_count;
    const PanopticSegment *segments;
} PanopticMap;

/* What has been counted of one class. Whole numbers only, so that sums over
 * images and ranks are the same in any order. */
typedef struct PanopticCounts {
    int64_t iou;         /* sum of matched IoUs in units of 2^-40 (room for 8 million matches) */
    int64_t true_positives, false_positives, false_negatives;
} PanopticCounts;
#define PANOPTIC_COUNTS_SIZE 4 /* int64_t per class, for sums across ranks: (int64_t *)score.counts */

typedef struct PanopticScore {
    int class_count;
    PanopticCounts *counts; /* [class_count] */
} PanopticScore;

Status panoptic_score_create(int class_count, PanopticScore *score);
void panoptic_score_clear(PanopticScore *score);
/* Adds one image. `name` is for errors: STATUS_INVALID where sizes differ, an id of the predicted map is not
 * among its segments or a predicted segment has no pixel, an id repeats, or a class index is out of range. Pixels of
 * the truth whose id is not listed count as a segment of no class. On failure nothing is added. */
Status panoptic_score_add(PanopticScore *score, const PanopticMap *truth, const PanopticMap *prediction,
                          const char *name);
/* Adds what another score counted; both have the same classes. */
void panoptic_score_merge(PanopticScore *into, const PanopticScore *from);

/* Fractions in [0, 1]. */
typedef struct PanopticQuality {
    double pq, sq, rq;
    int classes;         /* that the mean is over; 0: no value, and all three are 0 */
} PanopticQuality;
PanopticQuality panoptic_quality_class(const PanopticScore *score, int class_index);
PanopticQuality panoptic_quality_group(const PanopticScore *score, const ClassTable *classes, MetricGroup group);
/* Harmonic means of the seen and the unseen values, each of pq, sq and rq on its own; `classes` is that of both. */
PanopticQuality panoptic_quality_harmonic(const PanopticScore *score, const ClassTable *classes);

#endif
