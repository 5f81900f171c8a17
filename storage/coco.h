/* Import of data sets into shards. Public layouts, by name:
 *
 * - coco_panoptic:  a panoptic JSON and a directory of id PNGs;
 * - coco_instances: an instances JSON (polygons, run lengths, crowds). Where
 *   objects overlap the smaller one is above; crowds lie below all. What no
 *   object covers is void, and so is what is covered whole: it is left out;
 * - coco_stuff:     label PNGs of the value "category id - 1", 255 void;
 * - voc:            SegmentationClass, and SegmentationObject beside it where
 *   there is one, from which things get their instances; 255 void;
 * - ade20k:         SceneParsing: label PNGs, 0 void;
 * - ade20k_full:    NAME_seg.png beside NAME.jpg at any depth: class R / 10 *
 *   256 + G, instance B.
 *
 * A label that the class file does not list is void. */
#ifndef STORAGE_COCO_H
#define STORAGE_COCO_H

#include "framework/comm.h"
#include "framework/hash.h"
#include "storage/dataset.h"

#define IMPORT_FORMATS(X)                         \
    X(IMPORT_COCO_PANOPTIC, "coco_panoptic")      \
    X(IMPORT_COCO_INSTANCES, "coco_instances")    \
    X(IMPORT_COCO_STUFF, "coco_stuff")            \
    X(IMPORT_VOC, "voc")                          \
    X(IMPORT_ADE20K, "ade20k")                    \
    X(IMPORT_ADE20K_FULL, "ade20k_full")
typedef enum ImportFormat {
#define X(format, name) format,
    IMPORT_FORMATS(X)
#undef X
    IMPORT_FORMAT_COUNT
} ImportFormat;
bool import_format_from_name(const char *name, ImportFormat *format);

/* One split's files. */
typedef struct CocoSource {
    const char *json;     /* annotations; of label PNGs a list of names, one a line, or NULL: every PNG in `panoptic` */
    const char *images;   /* directory */
    const char *panoptic; /* directory of PNGs: ids or labels. Not of coco_instances. */
} CocoSource;
enum { IMPORT_PATH_ANNOTATIONS, IMPORT_PATH_IMAGES, IMPORT_PATH_PNGS, IMPORT_PATH_COUNT };
/* Where a layout keeps a split's files (0 train, 1 val), below the data set's directory; NULL: nowhere, or, of
 * coco_panoptic's PNGs, at the JSON's path without ".json". */
const char *import_default_path(ImportFormat format, int split, int path);
/* The layout's class file, likewise; NULL: none is needed. */
const char *import_default_classes(ImportFormat format);

typedef struct ImportOptions {
    CocoSource train, val;
    ImportFormat format;
    const char *classes;  /* class file of label PNGs (storage/label_classes.h); NULL: the format's own classes */
    char **unseen;        /* names */
    int unseen_count;
    bool ignore_unseen;   /* keep training images, unseen pixels void; otherwise drop them */
    bool encoded;         /* store JPEG and PNG files as they are, to be decoded when read; otherwise pixels */
    int long_side;        /* 0: sizes kept */
    int shard_images;
    const char *output;   /* directory; exists */
} ImportOptions;

/* An import goes shard by shard: shard k of `import_shard_count` belongs to rank k % size, is written whole or not at
 * all, and is skipped when a rerun finds it complete with its checksum right. */
typedef struct Import Import;
Status import_create(const ImportOptions *options, Import **import); /* reads both splits' annotations; Local */
int64_t import_shard_count(const Import *import);
Status import_shard(Import *import, int64_t shard, bool *skipped, int64_t *images);
/* Writes manifest.json after all shards are there. Asserts that no training segment is of an unseen class. One rank. */
Status import_finish(Import *import);
void import_destroy(Import *import);

/* Content of the annotation files, and names and sizes of the images: what an import's result depends on. `parts` names
 * them one by one (hasher_begin_part): annotations, images, PNGs, of training and then of validation, and the class
 * file; NULL: they have no names. */
Status import_fingerprint(const ImportOptions *options, const char *const parts[7], Hasher *hasher);
/* Names, one a line, '#' comments; freed by names_free of framework/files.h. */
Status unseen_names_read(const char *path, char ***names, size_t *count);

#endif
