/* A COCO panoptic JSON in compact form. Private to storage/. */
#ifndef STORAGE_COCO_JSON_H
#define STORAGE_COCO_JSON_H

#include "framework/memory.h"
#include "storage/dataset.h"

/* Eight bytes: a large file holds millions. */
typedef struct CocoSegment {
    uint32_t id : 24;
    uint32_t is_crowd : 1;
    int32_t class_index; /* the category's id until coco_resolve */
} CocoSegment;

typedef struct CocoImage {
    int64_t id;
    const char *file_name;     /* in the arena, as all names */
    const char *map_name;      /* of its annotation; NULL until coco_resolve */
    int64_t first_segment;
    int32_t segment_count;
    int32_t height, width;
} CocoImage;

typedef struct CocoAnnotation {
    int64_t image_id;
    const char *file_name;
    int64_t first_segment;
    int32_t segment_count;
} CocoAnnotation;

typedef struct CocoSet {
    const char *path;
    CocoImage *images;
    int64_t image_count, image_capacity;
    CocoAnnotation *annotations;
    int64_t annotation_count, annotation_capacity;
    CocoSegment *segments;
    int64_t segment_count, segment_capacity;
    ClassTable classes;      /* in the order of the file's categories; none is unseen yet */
    int class_capacity;
    Arena *names;
} CocoSet;

/* Reads the file as a stream and checks each entry by itself. `path` must outlive the set. */
Status coco_json_read(const char *path, CocoSet *set);
/* Joins images, annotations and categories: no duplicate ids, no dangling
 * references, one annotation an image. Segments' classes become places in `classes`. */
Status coco_resolve(CocoSet *set, const ClassTable *classes);
void coco_set_clear(CocoSet *set);
/* Whether a file's name leads nowhere but into its directory: no "..", not absolute. */
bool coco_name_stays_inside(const char *name);

#endif
