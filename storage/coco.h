/* Import of the COCO panoptic layout into shards. */
#ifndef STORAGE_COCO_H
#define STORAGE_COCO_H

#include "framework/comm.h"
#include "framework/hash.h"
#include "storage/dataset.h"

typedef struct CocoSource {
    const char *json, *images, *panoptic; /* file and two directories */
} CocoSource;

typedef struct ImportOptions {
    CocoSource train, val;
    char **unseen;        /* names */
    int unseen_count;
    bool ignore_unseen;   /* keep training images, unseen pixels void; otherwise drop them */
    int long_side;        /* 0: sizes kept */
    int shard_images;
    const char *output;   /* directory; exists */
} ImportOptions;

/* An import goes shard by shard: shard k of `import_shard_count` belongs to rank k % size, is written whole or not at
 * all, and is skipped when a rerun finds it complete with its checksum right. */
typedef struct Import Import;
Status import_create(const ImportOptions *options, Import **import); /* reads both JSON files; Local */
int64_t import_shard_count(const Import *import);
Status import_shard(Import *import, int64_t shard, bool *skipped, int64_t *images);
/* Writes manifest.json after all shards are there. Asserts that no training segment is of an unseen class. One rank. */
Status import_finish(Import *import);
void import_destroy(Import *import);

/* Content of the JSON files, and names and sizes of the images: what an import's result depends on. `parts` names them
 * one by one (hasher_begin_part): JSON, images, id maps, of training and then of validation; NULL: they have no names. */
Status import_fingerprint(const ImportOptions *options, const char *const parts[6], Hasher *hasher);
/* Names, one a line, '#' comments; freed by names_free of framework/files.h. */
Status unseen_names_read(const char *path, char ***names, size_t *count);

#endif
