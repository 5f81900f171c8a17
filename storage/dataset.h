/* The sharded data set: HDF5 files SPLIT-00000.h5 ... and manifest.json with
 * the class table, split, sizes and checksums. Images are decoded RGB bytes, or
 * JPEG and PNG files that are decoded when read, in one contiguous dataset per
 * shard, so that a shuffled read is one read of the image's own bytes. Samples
 * are the same bits either way. */
#ifndef STORAGE_DATASET_H
#define STORAGE_DATASET_H

#include <stdint.h>

#include "framework/status.h"

#define DATASET_VERSION 1

typedef struct ClassEntry {
    int64_t id;          /* category id of the source */
    char *name;
    bool is_thing;
    bool is_unseen;
    uint8_t color[3];
} ClassEntry;

/* Classes in the order of the source's categories; a class index is a place in this table. */
typedef struct ClassTable {
    int count, seen_count, unseen_count;
    ClassEntry *entries;
} ClassTable;
Status class_table_copy(const ClassTable *from, ClassTable *to);
void class_table_clear(ClassTable *table);
int class_table_find(const ClassTable *table, const char *name); /* -1 where absent */
/* Seen classes in table order get 0 .. seen_count-1: the segmenter's labels. -1 for an unseen class. */
int class_table_seen_index(const ClassTable *table, int class_index);

typedef struct Segment {
    int64_t id;          /* as in the source's PNG */
    int32_t class_index;
    int32_t area;        /* pixels in the stored map */
    bool is_crowd;
} Segment;

/* One image; memory owned by the Sample and reused by the next read. */
typedef struct Sample {
    int64_t image_id;
    char file_name[256];
    int32_t height, width;
    int32_t original_height, original_width;
    uint8_t *rgb;        /* [height, width, 3] */
    uint16_t *map;       /* [height, width]: 0 void, k: segments[k - 1] */
    int32_t segment_count;
    Segment *segments;
    size_t rgb_capacity, map_capacity, segment_capacity;
    uint8_t *file, *full; /* scratch of encoded images: their files, and pixels before scaling */
    size_t file_capacity, full_capacity;
} Sample;
void sample_clear(Sample *sample);

typedef struct Dataset Dataset;
/* `split` is "train" or "val". Checks manifest, version and shard sizes, not checksums (dataset_verify does). */
Status dataset_open(const char *directory, const char *split, Dataset **dataset);
void dataset_close(Dataset *dataset);
int64_t dataset_count(const Dataset *dataset);
const ClassTable *dataset_classes(const Dataset *dataset);
const char *dataset_unseen_rule(const Dataset *dataset); /* "drop" or "ignore" */
/* `index` in [0, count). Thread-safe, with a sample for each thread. */
Status dataset_read(Dataset *dataset, int64_t index, Sample *sample);
/* Segments per class over the split, [classes]; from the index, no image read. */
Status dataset_class_counts(Dataset *dataset, int64_t *segments);

/* Every checksum and cross-reference of all splits; reports the first fault, or counts. */
Status dataset_verify(const char *directory, int64_t *images, int64_t *segments);

#endif
