/* From one image's queries to its panoptic, semantic and instance results: shared by the
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
    InstanceResult *instances; /* things, best score first; by prediction_find_instances */
    int instance_count;
    uint8_t *mask;             /* [height, width]: scratch */
    size_t pixel_capacity, query_capacity;
} Prediction;
void prediction_clear(Prediction *prediction);

/* Classifies embeddings [queries, D] and puts masks [queries, mask_height * mask_width] together at height x width. */
Status prediction_make(Prediction *prediction, const Classifier *classifier, const PanopticConfig *config,
                       const float *embeddings, const float *masks, int queries, int64_t mask_height,
                       int64_t mask_width, int height, int width);
PanopticMap prediction_map(const Prediction *prediction);

/* The instances of the same queries, after prediction_make. */
Status prediction_find_instances(Prediction *prediction, const Classifier *classifier, const float *masks, int queries,
                                 int64_t mask_height, int64_t mask_width);
/* Calls `use` for every instance in order of their queries, with its mask: bytes 0 or 1 [height, width]. */
Status prediction_each_mask(Prediction *prediction, const float *masks, int queries, int64_t mask_height,
                            int64_t mask_width, Status (*use)(void *context, int instance, const uint8_t *mask),
                            void *context);
/* Pixels that each instance shares with each segment of a map [height, width] (0 none, k the k-th), into common
 * [instances, segments], zeroed. */
Status prediction_overlap_instances(Prediction *prediction, const float *masks, int queries, int64_t mask_height,
                                    int64_t mask_width, const uint16_t *map, int segments, int64_t *common);

#endif
