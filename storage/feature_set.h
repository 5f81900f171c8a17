/* A feature store in parts: features-00000.h5, features-00001.h5, ... in one
 * directory, each a whole feature store (feature_store.h) of some images. A
 * job that is killed redoes no finished part, and ranks write parts of their
 * own. Read as one. */
#ifndef STORAGE_FEATURE_SET_H
#define STORAGE_FEATURE_SET_H

#include "storage/feature_store.h"

/* "DIRECTORY/features-NNNNN.h5", freed by memory_free; NULL without memory. */
char *feature_set_part_path(const char *directory, int64_t part);

typedef struct FeatureSet FeatureSet;
/* Opens all parts, in order; they must agree in class table and sizes. */
Status feature_set_open(const char *directory, FeatureSet **set);
void feature_set_close(FeatureSet *set);
const FeatureInfo *feature_set_info(const FeatureSet *set);
int64_t feature_set_train_rows(const FeatureSet *set);
/* The train sides of all parts, [rows, D] and [rows], owned by the set, read on first use. */
Status feature_set_train(FeatureSet *set, const float **embeddings, const int32_t **labels);
int64_t feature_set_images(const FeatureSet *set);
Status feature_set_image(FeatureSet *set, int64_t index, FeatureImage *image); /* of the test side */

#endif
