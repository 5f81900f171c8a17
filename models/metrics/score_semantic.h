/* Semantic segmentation of predictions in files: two folders of label PNGs. */
#ifndef MODELS_METRICS_SCORE_SEMANTIC_H
#define MODELS_METRICS_SCORE_SEMANTIC_H

#include "models/metrics/semantic.h"

/* Scores every PNG in `truth` against the one of the same name in `prediction`. A pixel's value is a category's id in
 * `classes`; any other value is void in the truth, and no class in the prediction. Images are spread over the threads
 * of OpenMP, which changes no bit. `score` is created here. Errors name the file. */
Status semantic_score_folders(const ClassTable *classes, const char *truth, const char *prediction,
                              SemanticScore *score, int64_t *images);

#endif
