/* Semantic segmentation by its confusion matrix, over all images at once:
 * IoU_c = TP / (TP + FP + FN) in pixels, with void pixels of the truth left
 * out. A mean is over the classes that have true pixels, as detectron2's
 * evaluator takes it. */
#ifndef MODELS_METRICS_SEMANTIC_H
#define MODELS_METRICS_SEMANTIC_H

#include <stdint.h>

#include "framework/status.h"
#include "models/metrics/groups.h"

typedef struct SemanticScore {
    int class_count;
    int64_t *confusion; /* [class_count, class_count + 1] pixels, truth by prediction; the last column is "no class" */
} SemanticScore;

Status semantic_score_create(int class_count, SemanticScore *score);
void semantic_score_clear(SemanticScore *score);
/* Class indices per pixel; -1 is void in the truth and "no class" in the prediction. STATUS_INVALID names `name` where
 * an index is out of range; on failure nothing is added. */
Status semantic_score_add(SemanticScore *score, const int32_t *truth, const int32_t *prediction, int64_t pixels,
                          const char *name);
void semantic_score_merge(SemanticScore *into, const SemanticScore *from);

/* IoU and recall ("accuracy") of one class; false where it has no true pixel. */
bool semantic_iou_class(const SemanticScore *score, int class_index, double *iou, double *accuracy);

/* Fractions in [0, 1]. */
typedef struct SemanticQuality {
    double miou;
    double fwiou;          /* IoU weighted by true pixels, within the group */
    double mean_accuracy;  /* mean recall */
    double pixel_accuracy; /* of all the group's true pixels */
    int classes;           /* that the means are over; 0: no value, and all are 0 */
} SemanticQuality;
SemanticQuality semantic_quality_group(const SemanticScore *score, const ClassTable *classes, MetricGroup group);
/* Harmonic means of the seen and the unseen values. */
SemanticQuality semantic_quality_harmonic(const SemanticScore *score, const ClassTable *classes);

#endif
