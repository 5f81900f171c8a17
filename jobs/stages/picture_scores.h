/* Scores of single images, beside their pictures: people look at the worst and the best first. */
#ifndef STAGES_PICTURE_SCORES_H
#define STAGES_PICTURE_SCORES_H

#include "models/metrics/panoptic.h"

#define PICTURE_SCORES "picture_scores" /* in an evaluate artifact: NNN.json of pictures/NNN.png */

/* Writes DIRECTORY/NNN.json: {"image", "pq", "pq_unseen", "miou", "miou_unseen"} of one image,
 * fractions over the classes that the metrics count in it; null where they count none. Labels are class indices
 * [pixels], -1 for void. */
Status picture_scores_write(const char *directory, int64_t index, const ClassTable *classes, const PanopticMap *truth,
                            const PanopticMap *prediction, const int32_t *truth_labels, const int32_t *labels,
                            const char *image);

#endif
