/* Mask AP of results in files: COCO instance annotations and a results array. */
#ifndef MODELS_METRICS_SCORE_INSTANCES_H
#define MODELS_METRICS_SCORE_INSTANCES_H

#include "models/metrics/instances.h"
#include "storage/instance_json.h"

/* Scores every image of `truth`. Images are spread over the threads of OpenMP, which changes no bit. `score` is created
 * here, for truth->set.classes. Errors name file and annotation: an image or a category that the truth does not have,
 * an id that occurs twice, a mask that does not fit its image. */
Status instance_score_files(const InstanceSet *truth, const InstanceSet *results, InstanceScore *score);

#endif
