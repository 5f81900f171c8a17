/* What the import's files share; for them alone. */
#ifndef STORAGE_IMPORT_PRIVATE_H
#define STORAGE_IMPORT_PRIVATE_H

#include "storage/coco.h"
#include "storage/coco_json.h"
#include "storage/id_map.h"
#include "storage/image.h"
#include "storage/instance_json.h"
#include "storage/label_classes.h"
#include "storage/label_map.h"
#include "storage/manifest.h"
#include "storage/shard.h"

enum { IMPORT_MOST_SEGMENTS = 65536 };

/* One split of the source: its files, and the images that are kept. */
typedef struct ImportSplit {
    char *json, *images, *panoptic; /* NULL where the layout has none */
    char *objects;       /* of voc: SegmentationObject, where it is there */
    CocoSet set;
    InstanceSet instances; /* of coco_instances: the masks; images and classes are in `set` */
    int64_t *drawn_from; /* of coco_instances: annotation of each of set.segments */
    int64_t *kept;       /* places in set.images. Labels tell their classes only when they are read: of those, images
                            that the rule drops are among them. */
    int64_t kept_count;
    int64_t first_shard, shard_count;
} ImportSplit;

/* Buffers that every image passes through. */
typedef struct ImportBuffers {
    IdMapReader *maps;
    Image image, scaled;
    uint8_t *file, *photograph; /* a PNG's bytes, and the photograph's */
    size_t file_capacity, photograph_capacity, photograph_bytes;
    LabelMap labels, objects;
    Rle rle;
    uint8_t *mask;
    uint16_t *map;
    size_t map_capacity; /* of map and mask */
    int64_t *areas;      /* [IMPORT_MOST_SEGMENTS] */
    uint32_t *ids;       /* [IMPORT_MOST_SEGMENTS] */
    uint16_t *numbers;   /* [IMPORT_MOST_SEGMENTS]: source's segment to stored segment */
    CocoSegment *found;  /* [IMPORT_MOST_SEGMENTS]: of the labels read last */
    int32_t found_count;
    Sample sample;       /* rgb and map point into the buffers above */
} ImportBuffers;

struct Import {
    ImportFormat format;
    ImportSplit splits[SPLIT_COUNT];
    ClassTable classes;
    LabelClasses labels; /* of label PNGs */
    char *classes_json;
    char *output;
    bool ignore_unseen, encoded;
    int long_side, shard_images;
    ImportBuffers buffers;
};

/* Whether a split's segments are known only when its PNGs are read. */
static inline bool import_has_labels(ImportFormat format)
{
    return format >= IMPORT_COCO_STUFF;
}

Status import_buffers_create(ImportBuffers *buffers);
void import_buffers_clear(ImportBuffers *buffers);
/* A file's bytes into *buffer, which is grown; up to 1 GiB. */
Status import_read_file(uint8_t **buffer, size_t *capacity, const char *path, size_t *bytes);
/* Room for maps of so many pixels. */
Status import_reserve_map(ImportBuffers *buffers, size_t pixels, const char *path);
/* Size at which an image is stored. */
void import_stored_size(const Import *import, const CocoImage *image, int32_t *height, int32_t *width);
/* Reads, checks, scales; the result is import->buffers.sample until the next call. `segments`: the image's. */
Status import_image(Import *import, int split, const CocoImage *image, const CocoSegment *segments);

/* Instances: reads the annotations into split->set and split->instances, which are joined once the classes are known. */
Status import_instances_read(ImportSplit *split);
Status import_instances_join(ImportSplit *split, const ClassTable *classes);
/* buffers.map and areas of the image's segments. */
Status import_instances_draw(Import *import, int split, const CocoImage *image, int32_t segment_count);

/* Labels: lists the images of a split into split->set. */
Status import_labels_list(Import *import, int split);
/* buffers.map, areas and found: the image's segments, by class and instance. `*height`, `*width`: the PNG's. */
Status import_labels_read(Import *import, int split, const CocoImage *image, int32_t *height, int32_t *width);

#endif
