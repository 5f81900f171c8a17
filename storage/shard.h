/* One shard file: images of one split. Private to storage/.
 *
 *   rgb             u8  [3 P]     bulk: decoded pixels of all images, one after the other; or, in their stead,
 *   files           u8  [B]       bulk: JPEG and PNG files as they came, of the original size
 *   file_offset     i64 [N + 1]   first byte of each in `files`; there where `files` is
 *   map             u8  [P]       bulk: segment of each pixel, 0 void, k the image's k-th segment;
 *                                 u16 where an image of the shard has over 255 segments
 *   image_id        i64 [N]
 *   size            i32 [N, 4]    height, width, original height, original width
 *   pixel_offset    i64 [N + 1]   first pixel of each image
 *   segment_offset  i64 [N + 1]   first row of each image in the segment tables
 *   name_offset     i64 [N + 1]   first byte of each file name in `names`
 *   names           u8
 *   checksum        u64 [N, 4]    XXH3-128 (low, high) of the image's rgb or file bytes, then of its map bytes
 *   segment_id      i64 [T]       rows past segment_offset[N] are unused: T is what the source
 *   segment_class   i32 [T]       announced, and scaling an image down can lose segments
 *   segment_area    i32 [T]
 *   segment_crowd   u8  [T]
 *   classes         u8            class table as JSON
 * and the attributes split, unseen_rule, import_key, unseen_segments. */
#ifndef STORAGE_SHARD_H
#define STORAGE_SHARD_H

#include "storage/dataset.h"
#include "storage/hdf5_file.h"

typedef struct ShardIndex {
    int64_t images, segments;     /* N, and rows in use */
    int64_t *image_id, *pixel_offset, *segment_offset, *name_offset;
    int64_t *file_offset;         /* NULL: images are stored as pixels */
    int32_t *size;
    char *names;
    uint64_t *checksum;
    int64_t *segment_id;
    int32_t *segment_class, *segment_area;
    uint8_t *segment_crowd;
    ClassTable classes;
    char *split, *unseen_rule, *import_key;
    int64_t unseen_segments;      /* of unseen classes */
    int64_t rgb_at, map_at;       /* offsets of the bulk in the file; rgb_at also of `files` */
    int map_bytes;                /* of one pixel: 1 or 2 */
    int64_t bytes;                /* of the file */
    char digest[HASH_HEX_SIZE];
} ShardIndex;

/* Reads and checks all but the bulk; every number in the index is then in range. */
Status shard_index_read(const char *path, ShardIndex *index);
void shard_index_clear(ShardIndex *index);

/* One image of an open shard file, checked against its checksums. Thread-safe, with a sample for each thread. */
Status shard_read_image(const ShardIndex *index, int fd, const char *path, int64_t image, Sample *sample);

/* Every image against its checksums, and every map against its segments. */
Status shard_verify(const ShardIndex *index, const char *path, Sample *sample);

/* "DIRECTORY/SPLIT-NNNNN.h5", freed by memory_free; NULL without memory. */
char *shard_path(const char *directory, const char *split, int64_t number);

typedef struct ShardPlan {
    const char *split, *unseen_rule, *import_key;
    const char *classes;     /* JSON */
    const ClassTable *table; /* of those classes */
    int64_t images, pixels, segments, name_bytes; /* segments: the most there can be */
    int32_t image_segments;  /* the most there can be in one image */
    bool encoded;            /* files instead of pixels */
    int64_t file_bytes;      /* of them: the most there can be */
} ShardPlan;

typedef struct ShardWriter ShardWriter;
Status shard_writer_create(const char *path, const ShardPlan *plan, ShardWriter **writer);
/* `file` and its bytes: the image's, read where the plan is encoded. */
Status shard_writer_add(ShardWriter *writer, const Sample *sample, const uint8_t *file, size_t bytes);
/* All images of the plan must be there. Frees the writer, also on failure. */
Status shard_writer_commit(ShardWriter *writer);
void shard_writer_abandon(ShardWriter *writer);

#endif
