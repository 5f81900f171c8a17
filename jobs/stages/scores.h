/* What an evaluation counts: the stored queries of every test image under each
 * setting of the classifier ("view"), scored as panoptic, semantic and
 * instance segmentation.
 *
 * - general: all classes compete, with the calibrated bias;
 * - strict: only unseen classes compete, and in the truth what is of a seen
 *   class is void (instances of seen classes are left out, as published);
 * - the points of the trade-off curve, from "no unseen class competes" over
 *   calibration.curve to "no seen class competes", without instances.
 *
 * Counts are whole numbers and records of detections, so ranks can count apart
 * and be summed: the sums do not depend on how the images were dealt out. */
#ifndef STAGES_SCORES_H
#define STAGES_SCORES_H

#include "framework/comm.h"
#include "framework/config.h"
#include "framework/json.h"
#include "jobs/stages/prediction.h"
#include "storage/checkpoint.h"
#include "storage/feature_store.h"

typedef struct Scores Scores;
/* `classifier` outlives the scores; its bias is the calibrated one already, `shift` of it the calibration's. */
Status scores_create(const Config *config, const Classifier *classifier, double shift, Scores **scores);
void scores_destroy(Scores *scores);
/* Counts one image in every view. `truth` and `labels` (class index of each pixel, -1 void) are the image's truth.
 * `prediction` is the general view's afterwards, with instances. */
Status scores_add(Scores *scores, const FeatureImage *image, int queries, const PanopticMap *truth,
                  const int32_t *labels, Prediction *prediction);
void scores_reset(Scores *scores);
/* Moves what all ranks have counted to rank 0; the others start anew. Collective. */
Status scores_gather(Scores *scores, Comm *comm);
/* Adds what others counted, of the same classifier and config. */
Status scores_merge(Scores *into, const Scores *from);
/* Members of metrics.json. */
Status scores_write_json(const Scores *scores, JsonWriter *writer);

/* The state as arrays of a checkpoint, with the next step; they stay the scores' and the caller's. */
Status scores_list(const Scores *scores, int64_t *next_step, ArrayList *arrays);
Status scores_load(Scores *scores, const char *path, const char *kind, int64_t *next_step);

#endif
