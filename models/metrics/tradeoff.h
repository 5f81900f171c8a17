/* The trade-off between seen and unseen classes (Chao et al., "An Empirical
 * Study and Analysis of Generalized Zero-Shot Learning for Object Recognition
 * in the Wild", 2016): a bias is subtracted from the logits of all seen
 * classes and swept from minus to plus infinity; each stop is a point of the
 * seen and the unseen value, and the area under the curve that joins them
 * (AUSUC) says how good a model is at any balance of the two. */
#ifndef MODELS_METRICS_TRADEOFF_H
#define MODELS_METRICS_TRADEOFF_H

#include <stdint.h>

#include "framework/status.h"
#include "storage/dataset.h"

typedef struct TradeoffPoint {
    double bias, seen, unseen;
} TradeoffPoint;

/* By trapezoids along the seen value, from the last point (no seen class left) to the first; points by ascending bias.
 * A stretch where the seen value grows with the bias counts negative. */
double tradeoff_area(const TradeoffPoint *points, int count);

/* The bias of a class head [C + 1, D] (the last row is no object) with `shift` subtracted from its seen classes;
 * infinity takes all seen classes out of the contest, minus infinity all unseen ones. `out` [C + 1]. */
void tradeoff_shift_bias(const float *bias, const ClassTable *classes, double shift, float *out);

/* The largest shift that costs at most `budget` (0 to 1) of the training queries of seen classes which the head gets
 * right without one, every seen class weighing the same. It reads the training side of a feature store and nothing
 * else, so no label of an unseen class has a say in it; what it trades is the margin on seen queries over unseen
 * classes and no object. embeddings [rows, D], labels [rows] (C: no object, not read). 0 where no query is right. */
Status tradeoff_choose_shift(const float *embeddings, const int32_t *labels, int64_t rows, int dim, const float *weight,
                             const float *bias, const ClassTable *classes, double budget, double *shift);

#endif
