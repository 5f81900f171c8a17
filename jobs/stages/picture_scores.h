/* Scores of single images, beside their pictures: people look at the worst and the best first. */
#ifndef STAGES_PICTURE_SCORES_H
#define STAGES_PICTURE_SCORES_H

#include "framework/json.h"
#include "models/metrics/panoptic.h"

#define PICTURE_SCORES_FILE "pictures.json" /* of an evaluate artifact: {"000.png": {"image", "pq", "miou", ...}} */

/* Writes {"image", "pq", "pq_unseen", "miou", "miou_unseen"} of one image: fractions over the classes that truth or
 * prediction have in it; null where they have none. Labels are class indices [pixels], -1 for void. */
Status picture_scores_write(JsonWriter *writer, const ClassTable *classes, const PanopticMap *truth,
                            const PanopticMap *prediction, const int32_t *truth_labels, const int32_t *labels,
                            const char *image);

#endif
