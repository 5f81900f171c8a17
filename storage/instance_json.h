/* COCO instance annotations and results: JSON in which every object has a mask
 * of its own, as polygons or run lengths. Read as a stream; the masks are kept
 * as the file gives them and drawn when they are asked for. */
#ifndef STORAGE_INSTANCE_JSON_H
#define STORAGE_INSTANCE_JSON_H

#include "storage/coco_json.h"
#include "storage/rle.h"

typedef enum InstanceMask { MASK_NONE, MASK_POLYGONS, MASK_COUNTS, MASK_TEXT } InstanceMask;

typedef struct InstanceAnnotation {
    int64_t image_id;
    int64_t category_id;
    double area;            /* < 0: the file has none */
    double score;           /* of a result */
    bool is_crowd;
    InstanceMask mask;
    int32_t height, width;  /* that run lengths give; 0 of polygons */
    int64_t first, count;   /* numbers, or bytes of text. Polygons: their count, then of each its numbers' count and
                               its numbers. */
} InstanceAnnotation;

typedef struct InstanceSet {
    CocoSet set;            /* images and classes; no annotations and no segments */
    bool has_split;         /* some category has a "split", seen or unseen */
    InstanceAnnotation *annotations;
    int64_t annotation_count, annotation_capacity;
    double *numbers;
    int64_t number_count, number_capacity;
    char *text;
    int64_t text_count, text_capacity;
} InstanceSet;

/* An object with images, annotations and categories (whose "isthing" is 1 unless given), or, where `results`, an array
 * of annotations with scores. Each entry is checked by itself; errors name it. `path` must outlive the set. */
Status instance_json_read(const char *path, bool results, InstanceSet *set);
void instance_set_clear(InstanceSet *set);
/* The mask at the image's size: the union of its polygons. Errors name file and annotation. */
Status instance_set_mask(const InstanceSet *set, int64_t annotation, int height, int width, Rle *mask);

#endif
