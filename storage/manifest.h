/* manifest.json of a sharded data set. Private to storage/. */
#ifndef STORAGE_MANIFEST_H
#define STORAGE_MANIFEST_H

#include "framework/hash.h"
#include "storage/dataset.h"

typedef struct ManifestShard {
    char *file; /* name in the directory */
    int64_t images, segments, bytes;
    char digest[HASH_HEX_SIZE];
} ManifestShard;

enum { SPLIT_TRAIN, SPLIT_VAL, SPLIT_COUNT };
extern const char *const SPLIT_NAMES[SPLIT_COUNT];

typedef struct ManifestSplit {
    int64_t images, segments, shard_count;
    ManifestShard *shards;
} ManifestSplit;

typedef struct Manifest {
    ClassTable classes;
    char *unseen_rule;
    int64_t long_side;
    ManifestSplit splits[SPLIT_COUNT];
} Manifest;

char *manifest_path(const char *directory); /* freed by memory_free; NULL without memory */
Status manifest_read(const char *directory, Manifest *manifest);
Status manifest_write(const char *directory, const Manifest *manifest); /* atomic */
void manifest_clear(Manifest *manifest);
Status manifest_add_shard(ManifestSplit *split, const char *file, int64_t images, int64_t segments, int64_t bytes,
                          const char *digest);

#endif
