/* The feature store's file; for its writer and reader alone.
 *
 *   train_embeddings f32 [R, D]      bulk, checksum in the attribute train_checksum
 *   train_labels     i32 [R]
 *   embeddings       f32 [N, Q, D]   bulk
 *   masks            f32 [M]         bulk: the images' [Q, mask height, mask width], one after the other
 *   map              u16 [P]         bulk: the images' [height, width]
 *   rgb              u8  [B]         bulk: [height, width, 3] of the images that keep a picture
 *   image_id         i64 [N]
 *   size             i32 [N, 5]      height, width, mask height, mask width, 1 where a picture is kept
 *   segment_offset   i64 [N + 1]
 *   name             u8  [N, 256]
 *   checksum         u64 [N, 8]      XXH3-128 (low, high) of embeddings, masks, map, rgb
 *   segment_id i64, segment_class i32, segment_area i32, segment_crowd u8 [T]
 *   class_vectors f32 [C, V], head_weight f32 [S + 1, D], head_bias f32 [S + 1], classes u8 (JSON)
 * and the attributes unseen_rule, segmenter_digest, train_checksum, queries. */
#ifndef STORAGE_FEATURE_PRIVATE_H
#define STORAGE_FEATURE_PRIVATE_H

#include "storage/feature_store.h"
#include "storage/hdf5_file.h"

#define FEATURE_KIND "features"
enum { FEATURE_NAME_BYTES = 256, FEATURE_SIZES = 5, FEATURE_SUMS = 8 };

/* Bulk of images, in the order of their checksums. */
enum { BULK_EMBEDDINGS, BULK_MASKS, BULK_MAP, BULK_RGB, BULK_COUNT };

typedef struct FeatureTables {
    int64_t images, segments;
    int64_t *image_id, *segment_offset;
    int32_t *size;
    char *name;
    uint64_t *checksum;
    int64_t *segment_id;
    int32_t *segment_class, *segment_area;
    uint8_t *segment_crowd;
} FeatureTables;
void feature_tables_clear(FeatureTables *tables);
/* Bytes of each bulk part of an image of these sizes. */
void feature_bulk_bytes(const FeatureInfo *info, const int32_t size[FEATURE_SIZES], int64_t bytes[BULK_COUNT]);
/* No class of `labels` is unseen or out of range; the first row that is, or -1. */
int64_t feature_wrong_label(const ClassTable *classes, const int32_t *labels, int64_t rows);

#endif
