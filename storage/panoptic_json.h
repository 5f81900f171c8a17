/* A COCO panoptic JSON file in memory, for scoring: categories, images and
 * annotations, of truth or of predictions. (Import reads the same layout as a
 * stream, see storage/coco.h; predictions are small, and need less.) */
#ifndef STORAGE_PANOPTIC_JSON_H
#define STORAGE_PANOPTIC_JSON_H

#include "storage/dataset.h"

typedef struct PanopticEntry {
    int64_t id;          /* R + 256 G + 65536 B in the PNG */
    int64_t category_id;
    int64_t area;        /* -1 where the file has none */
    bool is_crowd;
} PanopticEntry;

typedef struct PanopticAnnotation {
    int64_t image_id;
    char *file_name;     /* of the PNG */
    int segment_count;
    PanopticEntry *segments;
} PanopticAnnotation;

typedef struct PanopticFile {
    char *path;
    ClassTable classes;  /* is_unseen by a category's "split": "unseen"; empty where the file has no categories */
    bool has_split;      /* some category has a "split" */
    int annotation_count;
    PanopticAnnotation *annotations; /* by ascending image_id */
} PanopticFile;

/* STATUS_INVALID names file, entry and key of what is missing, of a wrong type, repeated or out of range.
 * Predictions need no categories: `needs_categories` false. */
Status panoptic_file_read(const char *path, bool needs_categories, PanopticFile *file);
/* The categories alone, of any file that has them. */
Status panoptic_categories_read(const char *path, ClassTable *classes);
void panoptic_file_clear(PanopticFile *file);
/* NULL where there is none. */
const PanopticAnnotation *panoptic_file_find(const PanopticFile *file, int64_t image_id);
/* Place in `classes` of a category id, or -1. */
int panoptic_file_class(const PanopticFile *file, int64_t category_id);
/* Makes exactly these classes unseen; STATUS_NOT_FOUND names one that the file does not have. */
Status panoptic_file_set_unseen(PanopticFile *file, char *const *names, size_t count);

#endif
