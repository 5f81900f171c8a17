/* Predictions in files, in the forms that official scorers read:
 *
 * - panoptic:  panoptic.json and panoptic/STEM.png, COCO panoptic (panopticapi);
 * - instances: instances.json, COCO results with compressed run lengths (pycocotools);
 * - semantic:  semantic/STEM.png, grey PNGs of category ids, and semantic.json with the categories.
 *
 * STEM is the image's file name without its ending. Images can be added in any
 * order and by several processes into one directory, and again by a later one
 * after a kill: each leaves a part of its own, which the end joins in order. */
#ifndef STAGES_EXPORTS_H
#define STAGES_EXPORTS_H

#include "jobs/stages/prediction.h"

#define EXPORT_FORMS 3

typedef struct Exports Exports;
/* One image's queries, for masks of instances. */
typedef struct ExportImage {
    int64_t image_id;
    const char *file_name;
    const float *masks;
    int queries;
    int64_t mask_height, mask_width;
} ExportImage;

/* Whether each of `forms` is one of them, without making anything; `wanted`, which may be NULL, tells which are there. */
Status exports_check(const char *const *forms, int count, bool wanted[EXPORT_FORMS]);
/* `forms`: "panoptic", "instances", "semantic", in any number; STATUS_INVALID names one that is none of them. With no
 * form *exports is NULL, which the functions below take for "nothing to do". `classes` outlives it. */
Status exports_create(const char *directory, const char *const *forms, int count, const ClassTable *classes,
                      Exports **exports);
void exports_destroy(Exports *exports);
bool exports_wants_instances(const Exports *exports);
/* Whether the image of that number has been added. */
bool exports_has(const Exports *exports, int64_t number);
/* `prediction` is of this image, with instances where they are wanted. */
Status exports_add(Exports *exports, int64_t number, const ExportImage *image, Prediction *prediction);
/* Joins the parts of images 0 .. count-1, which are all there, and removes them. */
Status exports_finish(Exports *exports, int64_t count);

#endif
