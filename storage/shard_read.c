#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "framework/file_at.h"
#include "framework/memory.h"
#include "storage/class_table.h"
#include "storage/image_decode.h"
#include "storage/shard.h"

void shard_index_clear(ShardIndex *index)
{
    memory_free(index->image_id);
    memory_free(index->size);
    memory_free(index->pixel_offset);
    memory_free(index->segment_offset);
    memory_free(index->name_offset);
    memory_free(index->file_offset);
    memory_free(index->names);
    memory_free(index->checksum);
    memory_free(index->segment_id);
    memory_free(index->segment_class);
    memory_free(index->segment_area);
    memory_free(index->segment_crowd);
    class_table_clear(&index->classes);
    memory_free(index->split);
    memory_free(index->unseen_rule);
    memory_free(index->import_key);
    *index = (ShardIndex){0};
}

static Status copy_attribute(const Hdf5Reader *reader, const char *name, char **copy)
{
    const char *text;
    TRY(hdf5_reader_text(reader, name, &text));
    *copy = memory_copy_string(text);
    return *copy == NULL ? status_no_memory(strlen(text), name) : OK;
}

static Status load_images(const Hdf5Reader *reader, ShardIndex *index)
{
    const Hdf5Array *array;
    const int64_t any = -1;
    TRY(hdf5_reader_load(reader, "image_id", HDF5_I64, 1, &any, (void **)&index->image_id, &array));
    const int64_t n = index->images = array->shape[0], more = n + 1;
    const int64_t four[2] = {n, 4};
    TRY(hdf5_reader_load(reader, "size", HDF5_I32, 2, four, (void **)&index->size, NULL));
    TRY(hdf5_reader_load(reader, "pixel_offset", HDF5_I64, 1, &more, (void **)&index->pixel_offset, NULL));
    TRY(hdf5_reader_load(reader, "segment_offset", HDF5_I64, 1, &more, (void **)&index->segment_offset, NULL));
    TRY(hdf5_reader_load(reader, "name_offset", HDF5_I64, 1, &more, (void **)&index->name_offset, NULL));
    return hdf5_reader_load(reader, "checksum", HDF5_U64, 2, four, (void **)&index->checksum, NULL);
}

/* Where the pixels or the files of images are. */
static Status find_images(const Hdf5Reader *reader, const char *path, int64_t pixels, ShardIndex *index)
{
    const Hdf5Array *array;
    const int64_t any = -1, more = index->images + 1, bytes = pixels <= INT64_MAX / 3 ? 3 * pixels : 0;
    if (hdf5_reader_find(reader, "files") == NULL) {
        TRY(hdf5_reader_expect(reader, "rgb", HDF5_U8, 1, &bytes, &array));
    } else {
        TRY(hdf5_reader_load(reader, "file_offset", HDF5_I64, 1, &more, (void **)&index->file_offset, NULL));
        TRY(hdf5_reader_expect(reader, "files", HDF5_U8, 1, &any, &array));
        bool good = index->file_offset[0] == 0 && index->file_offset[index->images] <= array->bytes;
        for (int64_t i = 0; good && i < index->images; i++) good = index->file_offset[i] <= index->file_offset[i + 1];
        if (!good) return status_error(STATUS_CORRUPT, "%s: files out of range", path);
    }
    index->rgb_at = array->offset;
    return OK;
}

static Status load_rest(const Hdf5Reader *reader, const char *path, ShardIndex *index, int64_t *rows, int64_t *names,
                        int64_t *pixels)
{
    const Hdf5Array *array;
    const int64_t any = -1;
    TRY(hdf5_reader_load(reader, "names", HDF5_U8, 1, &any, (void **)&index->names, &array));
    *names = array->shape[0];
    TRY(hdf5_reader_load(reader, "segment_id", HDF5_I64, 1, &any, (void **)&index->segment_id, &array));
    *rows = array->shape[0];
    TRY(hdf5_reader_load(reader, "segment_class", HDF5_I32, 1, rows, (void **)&index->segment_class, NULL));
    TRY(hdf5_reader_load(reader, "segment_area", HDF5_I32, 1, rows, (void **)&index->segment_area, NULL));
    TRY(hdf5_reader_load(reader, "segment_crowd", HDF5_U8, 1, rows, (void **)&index->segment_crowd, NULL));
    array = hdf5_reader_find(reader, "map");
    index->map_bytes = array != NULL && array->type == HDF5_U8 ? 1 : 2;
    TRY(hdf5_reader_expect(reader, "map", index->map_bytes == 1 ? HDF5_U8 : HDF5_U16, 1, &any, &array));
    *pixels = array->shape[0];
    index->map_at = array->offset;
    TRY(find_images(reader, path, *pixels, index));
    char *classes;
    TRY(hdf5_reader_load(reader, "classes", HDF5_U8, 1, &any, (void **)&classes, &array));
    Status status = class_table_parse(classes, (size_t)array->bytes, path, &index->classes);
    memory_free(classes);
    return status;
}

/* The digest holds, so a fault here is a writer's defect; but what reads the index trusts it blindly. */
static bool images_in_range(const ShardIndex *index, int64_t rows, int64_t names, int64_t pixels)
{
    const int64_t n = index->images;
    bool good = index->pixel_offset[0] == 0 && index->segment_offset[0] == 0 && index->name_offset[0] == 0 &&
                index->pixel_offset[n] == pixels && index->segment_offset[n] <= rows && index->name_offset[n] == names;
    for (int64_t i = 0; good && i < n; i++) /* each starts at 0, so none is negative, and differences can't overflow */
        good = index->pixel_offset[i] <= index->pixel_offset[i + 1] && index->name_offset[i] <= index->name_offset[i + 1] &&
               index->segment_offset[i] <= index->segment_offset[i + 1];
    for (int64_t i = 0; good && i < n; i++) {
        const int32_t *size = index->size + 4 * i;
        int64_t segments = index->segment_offset[i + 1] - index->segment_offset[i];
        int64_t name = index->name_offset[i + 1] - index->name_offset[i];
        good = size[0] >= 1 && size[1] >= 1 && size[0] <= IMAGE_MAX_SIDE && size[1] <= IMAGE_MAX_SIDE &&
               (int64_t)size[0] * size[1] == index->pixel_offset[i + 1] - index->pixel_offset[i] && segments >= 0 &&
               segments <= (index->map_bytes == 1 ? UINT8_MAX : UINT16_MAX) && name >= 0 && name < 256;
    }
    return good;
}

static bool segments_in_range(const ShardIndex *index)
{
    bool good = true;
    for (int64_t i = 0; good && i < index->segments; i++)
        good = index->segment_class[i] >= 0 && index->segment_class[i] < index->classes.count && index->segment_area[i] > 0;
    return good;
}

static Status read_index(const Hdf5Reader *reader, const char *path, ShardIndex *index)
{
    int64_t rows, names, pixels;
    TRY(load_images(reader, index));
    TRY(load_rest(reader, path, index, &rows, &names, &pixels));
    TRY(copy_attribute(reader, "split", &index->split));
    TRY(copy_attribute(reader, "unseen_rule", &index->unseen_rule));
    TRY(copy_attribute(reader, "import_key", &index->import_key));
    memcpy(index->digest, hdf5_reader_digest(reader), sizeof index->digest);
    index->bytes = hdf5_reader_bytes(reader);
    if (!images_in_range(index, rows, names, pixels)) return status_error(STATUS_CORRUPT, "%s: index out of range", path);
    index->segments = index->segment_offset[index->images];
    if (!segments_in_range(index)) return status_error(STATUS_CORRUPT, "%s: segments out of range", path);
    for (int64_t i = 0; i < index->segments; i++)
        index->unseen_segments += index->classes.entries[index->segment_class[i]].is_unseen;
    return OK;
}

Status shard_index_read(const char *path, ShardIndex *index)
{
    *index = (ShardIndex){0};
    Hdf5Reader *reader;
    TRY(hdf5_reader_open(path, "shard", DATASET_VERSION, &reader));
    Status status = read_index(reader, path, index);
    hdf5_reader_close(reader);
    if (status != OK) shard_index_clear(index);
    return status;
}

static Status grow(void **block, size_t *capacity, size_t count, size_t size)
{
    if (count <= *capacity) return OK;
    memory_free(*block);
    *capacity = 0;
    *block = memory_alloc(count * size);
    if (*block == NULL) return status_no_memory(count * size, "an image");
    *capacity = count;
    return OK;
}

static Status fill_segments(const ShardIndex *index, int64_t image, Sample *sample)
{
    int64_t first = index->segment_offset[image], count = index->segment_offset[image + 1] - first;
    TRY(grow((void **)&sample->segments, &sample->segment_capacity, (size_t)count, sizeof *sample->segments));
    sample->segment_count = (int32_t)count;
    for (int64_t i = 0; i < count; i++)
        sample->segments[i] = (Segment){.id = index->segment_id[first + i],
                                        .class_index = index->segment_class[first + i],
                                        .area = index->segment_area[first + i],
                                        .is_crowd = index->segment_crowd[first + i] != 0};
    return OK;
}

static Status read_checked(int fd, const char *path, void *to, size_t bytes, int64_t offset, const uint64_t checksum[2],
                           bool *same)
{
    TRY(file_read_at(fd, path, to, bytes, offset));
    Hash128 hash = hash_bytes(to, bytes);
    *same = *same && hash.low == checksum[0] && hash.high == checksum[1];
    return OK;
}

/* The image's file, decoded and scaled as the import would have done it. */
static Status read_encoded(const ShardIndex *index, int fd, const char *path, int64_t image, Sample *sample, bool *same)
{
    const int64_t at = index->file_offset[image];
    const size_t bytes = (size_t)(index->file_offset[image + 1] - at);
    TRY(grow((void **)&sample->file, &sample->file_capacity, bytes + 1, 1));
    TRY(read_checked(fd, path, sample->file, bytes, index->rgb_at + at, index->checksum + 4 * image, same));
    if (!*same) return OK;
    const bool scaled = sample->height != sample->original_height || sample->width != sample->original_width;
    Image decoded = {.rgb = scaled ? sample->full : sample->rgb,
                     .capacity = scaled ? sample->full_capacity : sample->rgb_capacity};
    Status status = image_decode(sample->file, bytes, sample->file_name, &decoded);
    *(scaled ? &sample->full : &sample->rgb) = decoded.rgb; /* it may have been moved */
    *(scaled ? &sample->full_capacity : &sample->rgb_capacity) = decoded.capacity;
    TRY(status_wrap(status, "%s", path));
    if (decoded.height != sample->original_height || decoded.width != sample->original_width)
        return status_error(STATUS_CORRUPT, "%s: image %s is not of the size that its index says", path, sample->file_name);
    if (!scaled) return OK;
    Image to = {.rgb = sample->rgb, .capacity = sample->rgb_capacity};
    status = image_resize(&decoded, sample->height, sample->width, &to);
    sample->rgb = to.rgb;
    sample->rgb_capacity = to.capacity;
    return status;
}

/* Bytes to numbers, in place: they lie in the second half of `map`. */
static void widen_map(uint16_t *map, size_t pixels)
{
    enum { PIECE = 4096 };
    uint8_t piece[PIECE];
    const uint8_t *bytes = (const uint8_t *)map + pixels;
    for (size_t done = 0; done < pixels; done += PIECE) {
        size_t count = pixels - done < PIECE ? pixels - done : PIECE;
        memcpy(piece, bytes + done, count); /* as the numbers may overwrite them */
        for (size_t i = 0; i < count; i++) map[done + i] = piece[i];
    }
}

Status shard_read_image(const ShardIndex *index, int fd, const char *path, int64_t image, Sample *sample)
{
    const int32_t *size = index->size + 4 * image;
    const uint64_t *checksum = index->checksum + 4 * image;
    size_t pixels = (size_t)size[0] * (size_t)size[1];
    int64_t at = index->pixel_offset[image], name = index->name_offset[image];
    if (index->file_offset == NULL) TRY(grow((void **)&sample->rgb, &sample->rgb_capacity, pixels * 3, 1));
    TRY(grow((void **)&sample->map, &sample->map_capacity, pixels, sizeof *sample->map));
    sample->image_id = index->image_id[image];
    size_t name_bytes = (size_t)(index->name_offset[image + 1] - name);
    memcpy(sample->file_name, index->names + name, name_bytes);
    sample->file_name[name_bytes] = '\0';
    sample->height = size[0];
    sample->width = size[1];
    sample->original_height = size[2];
    sample->original_width = size[3];
    TRY(fill_segments(index, image, sample));
    bool same = true;
    const size_t map_bytes = pixels * (size_t)index->map_bytes;
    uint8_t *map = (uint8_t *)sample->map + (pixels * sizeof *sample->map - map_bytes);
    if (index->file_offset != NULL) TRY(read_encoded(index, fd, path, image, sample, &same));
    else TRY(read_checked(fd, path, sample->rgb, pixels * 3, index->rgb_at + 3 * at, checksum, &same));
    TRY(read_checked(fd, path, map, map_bytes, index->map_at + index->map_bytes * at, checksum + 2, &same));
    if (index->map_bytes == 1) widen_map(sample->map, pixels);
    if (!same)
        return status_error(STATUS_CORRUPT, "%s: checksum of image %s (id %" PRId64 ") doesn't match; import the shard anew",
                            path, sample->file_name, sample->image_id);
    return OK;
}

/* Map against segments: every number is a segment's, and every area is right. */
static Status check_map(const Sample *sample, int64_t *areas)
{
    size_t pixels = (size_t)sample->height * (size_t)sample->width;
    memset(areas, 0, ((size_t)UINT16_MAX + 1) * sizeof *areas);
    for (size_t i = 0; i < pixels; i++) areas[sample->map[i]]++;
    for (int32_t k = 0; k < UINT16_MAX; k++) {
        bool known = k < sample->segment_count;
        if (areas[k + 1] != (known ? sample->segments[k].area : 0))
            return status_error(STATUS_CORRUPT, "image %s (id %" PRId64 "): segment %d has %" PRId64 " pixels, not %d",
                                sample->file_name, sample->image_id, k + 1, areas[k + 1],
                                known ? sample->segments[k].area : 0);
    }
    return OK;
}

Status shard_verify(const ShardIndex *index, const char *path, Sample *sample)
{
    int64_t *areas = memory_alloc(((size_t)UINT16_MAX + 1) * sizeof *areas);
    if (areas == NULL) return status_no_memory(((size_t)UINT16_MAX + 1) * sizeof *areas, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    Status status = fd < 0 ? status_errno(errno, "open", path) : OK;
    for (int64_t i = 0; status == OK && i < index->images; i++) {
        status = shard_read_image(index, fd, path, i, sample);
        if (status == OK) status = status_wrap(check_map(sample, areas), "%s", path);
    }
    if (fd >= 0) close(fd);
    memory_free(areas);
    return status;
}
