/* From one image's queries to its panoptic result and picture: shared by the
 * evaluate stage and the predict command. */
#ifndef STAGES_PREDICTION_H
#define STAGES_PREDICTION_H

#include "jobs/stages/classifier_file.h"
#include "models/metrics/panoptic.h"
#include "models/segmenter/inference.h"

/* One prediction and the memory it is made in, reused from image to image. Zero-initialise. */
typedef struct Prediction {
    int height, width;
    int32_t *ids;              /* [height, width]: 0 none, else a segment's id */
    int32_t *labels;           /* [height, width]: class index of every pixel */
    PanopticSegment *segments;
    float *scores;             /* of segments */
    int segment_count;
    float *probabilities;      /* [Q, C + 1] */
    PredictedSegment *found;
    bool *is_thing;            /* [C] */
    size_t pixel_capacity, query_capacity;
} Prediction;
void prediction_clear(Prediction *prediction);

/* Classifies embeddings [queries, D] and puts masks [queries, mask_height * mask_width] together at height x width. */
Status prediction_make(Prediction *prediction, const Classifier *classifier, const PanopticConfig *config,
                       const float *embeddings, const float *masks, int queries, int64_t mask_height,
                       int64_t mask_width, int height, int width);
PanopticMap prediction_map(const Prediction *prediction);

#endif
