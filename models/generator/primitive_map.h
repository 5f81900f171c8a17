/* Which classes attend to which primitives, from the weights that a generator
 * job leaves. It is the attention of the first layer: what comes before it
 * holds neither noise nor dropout, so that the map is a fact of the weights;
 * from the second layer on it depends on the noise that is drawn. */
#ifndef GENERATOR_PRIMITIVE_MAP_H
#define GENERATOR_PRIMITIVE_MAP_H

#include "storage/checkpoint.h"

/* `vectors` [classes, vector_dim], as the generator was given them. `*map` [classes, *primitives]: mean over the heads of
 * the attention's weights; every row sums to 1; freed by memory_free. STATUS_NOT_FOUND where the weights are of a
 * generator without primitives. */
Status primitive_map(const Checkpoint *weights, const float *vectors, int classes, int vector_dim, int heads, float **map,
                     int *primitives);

#endif
