/* What the layouts are called and where they keep things. */
#include <string.h>

#include "storage/coco.h"

#define X(format, name) name,
static const char *const FORMAT_NAMES[] = {IMPORT_FORMATS(X)};
#undef X
_Static_assert(sizeof FORMAT_NAMES / sizeof *FORMAT_NAMES == IMPORT_FORMAT_COUNT, "a name per format");

static const struct { const char *paths[2][IMPORT_PATH_COUNT], *classes; } LAYOUTS[] = {
    [IMPORT_COCO_PANOPTIC] = {{{"panoptic_train.json", "train", NULL}, {"panoptic_val.json", "val", NULL}}, NULL},
    [IMPORT_COCO_INSTANCES] = {{{"annotations/instances_train2017.json", "train2017", NULL},
                                {"annotations/instances_val2017.json", "val2017", NULL}}, NULL},
    [IMPORT_COCO_STUFF] = {{{NULL, "train2017", "stuffthingmaps/train2017"}, {NULL, "val2017", "stuffthingmaps/val2017"}},
                           "labels.txt"},
    [IMPORT_VOC] = {{{"ImageSets/Segmentation/train.txt", "JPEGImages", "SegmentationClass"},
                     {"ImageSets/Segmentation/val.txt", "JPEGImages", "SegmentationClass"}}, NULL},
    [IMPORT_ADE20K] = {{{NULL, "images/training", "annotations/training"},
                        {NULL, "images/validation", "annotations/validation"}}, "objectInfo150.txt"},
    [IMPORT_ADE20K_FULL] = {{{NULL, "images/training", "images/training"}, {NULL, "images/validation", "images/validation"}},
                            "classes.txt"},
};
_Static_assert(sizeof LAYOUTS / sizeof *LAYOUTS == IMPORT_FORMAT_COUNT, "a layout per format");

bool import_format_from_name(const char *name, ImportFormat *format)
{
    for (int f = 0; f < IMPORT_FORMAT_COUNT; f++) {
        if (strcmp(FORMAT_NAMES[f], name) != 0) continue;
        *format = (ImportFormat)f;
        return true;
    }
    return false;
}

const char *import_default_path(ImportFormat format, int split, int path)
{
    return LAYOUTS[format].paths[split][path];
}

const char *import_default_classes(ImportFormat format)
{
    return LAYOUTS[format].classes;
}
