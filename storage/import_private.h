/* What the import's files share; for them alone. */
#ifndef STORAGE_IMPORT_PRIVATE_H
#define STORAGE_IMPORT_PRIVATE_H

#include "storage/coco.h"
#include "storage/coco_json.h"
#include "storage/id_map.h"
#include "storage/image.h"
#include "storage/manifest.h"
#include "storage/shard.h"

/* One split of the source: its files, and the images that are kept. */
typedef struct ImportSplit {
    char *json, *images, *panoptic;
    CocoSet set;
    int64_t *kept;       /* places in set.images */
    int64_t kept_count;
    int64_t first_shard, shard_count;
} ImportSplit;

/* Buffers that every image passes through. */
typedef struct ImportBuffers {
    IdMapReader *maps;
    Image image, scaled;
    uint8_t *file;
    size_t file_capacity;
    uint16_t *map;
    size_t map_capacity;
    int64_t *areas;      /* [65536] */
    uint32_t *ids;       /* [65536] */
    uint16_t *numbers;   /* [65536]: source's segment to stored segment */
    Sample sample;       /* rgb and map point into the buffers above */
} ImportBuffers;

struct Import {
    ImportSplit splits[SPLIT_COUNT];
    ClassTable classes;
    char *classes_json;
    char *output;
    bool ignore_unseen;
    int long_side, shard_images;
    ImportBuffers buffers;
};

Status import_buffers_create(ImportBuffers *buffers);
void import_buffers_clear(ImportBuffers *buffers);
/* Size at which an image is stored. */
void import_stored_size(const Import *import, const CocoImage *image, int32_t *height, int32_t *width);
/* Reads, checks, scales; the result is import->buffers.sample until the next call. */
Status import_image(Import *import, int split, const CocoImage *image);

#endif
