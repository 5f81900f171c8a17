/* Panoptic quality of predictions in files: COCO panoptic JSON with a folder of PNGs. */
#ifndef MODELS_METRICS_SCORE_FILES_H
#define MODELS_METRICS_SCORE_FILES_H

#include "models/metrics/panoptic.h"
#include "storage/panoptic_json.h"

/* Scores every annotated image of `truth`; predictions of other images are not looked at. `*_folder` NULL: the JSON
 * file's path without ".json". Images are spread over the threads of OpenMP, which changes no bit. `score` is created
 * here, for truth->classes. Errors name file and image: no prediction for an image, an id that is in a PNG but not in
 * its JSON or the reverse, a category that the truth does not have, sizes that differ. */
Status panoptic_score_files(const PanopticFile *truth, const char *truth_folder, const PanopticFile *prediction,
                            const char *prediction_folder, PanopticScore *score);

#endif
