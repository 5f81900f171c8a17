/* The feature store: all that the stages after the segmenter read, in one
 * HDF5 file (features.h5). D is the embedding size, Q queries per image, C
 * classes; a label is a class index, or C for "no object". */
#ifndef STORAGE_FEATURE_STORE_H
#define STORAGE_FEATURE_STORE_H

#include "storage/dataset.h"

#define FEATURE_STORE_VERSION 1

/* Facts of the whole store. */
typedef struct FeatureInfo {
    ClassTable classes;
    int embed_dim, queries, vector_dim;
    float *class_vectors;   /* [C, vector_dim] */
    float *head_weight;     /* [S+1, D]: the segmenter's class head; seen classes in table order, then no object */
    float *head_bias;       /* [S+1] */
    char *unseen_rule;
    char *segmenter_digest; /* of the weights that made the features */
} FeatureInfo;
void feature_info_clear(FeatureInfo *info);

/* One test image. */
typedef struct FeatureImage {
    int64_t image_id;
    char file_name[256];
    int32_t height, width;           /* of the ground truth */
    int32_t mask_height, mask_width; /* of the mask logits */
    float *embeddings;               /* [Q, D] */
    float *masks;                    /* [Q, mask_height * mask_width] logits, covering exactly the image */
    uint16_t *map;                   /* [height, width], as in Sample */
    int32_t segment_count;
    Segment *segments;
    uint8_t *rgb;                    /* [height, width, 3], or NULL where no picture is kept */
} FeatureImage;
void feature_image_clear(FeatureImage *image); /* frees what a read allocated */

typedef struct FeatureWriter FeatureWriter;
/* Appends to temporary files beside `path` until finished. */
Status feature_writer_create(const char *path, const FeatureInfo *info, FeatureWriter **writer);
Status feature_writer_add_train(FeatureWriter *writer, const float *embeddings, const int32_t *labels, int64_t rows);
Status feature_writer_add_image(FeatureWriter *writer, const FeatureImage *image);
Status feature_writer_finish(FeatureWriter *writer); /* flush, checksum, rename; frees the writer also on failure */
void feature_writer_abandon(FeatureWriter *writer);

typedef struct FeatureStore FeatureStore;
Status feature_store_open(const char *path, FeatureStore **store); /* version and sizes checked */
void feature_store_close(FeatureStore *store);
const FeatureInfo *feature_store_info(const FeatureStore *store);
int64_t feature_store_train_rows(const FeatureStore *store);
/* The whole train side, [rows, D] and [rows], owned by the store, read on first use. Every label is seen or C: asserted. */
Status feature_store_train(FeatureStore *store, const float **embeddings, const int32_t **labels);
int64_t feature_store_images(const FeatureStore *store);
Status feature_store_image(FeatureStore *store, int64_t index, FeatureImage *image);
Status feature_store_verify(const char *path); /* checksum and cross-references */

#endif
