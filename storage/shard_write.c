#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "framework/memory.h"
#include "storage/shard.h"

enum { RGB, MAP, IMAGE_ID, SIZE, PIXEL_OFFSET, SEGMENT_OFFSET, NAME_OFFSET, NAMES, CHECKSUM, SEGMENT_ID, SEGMENT_CLASS,
       SEGMENT_AREA, SEGMENT_CROWD, CLASSES, FILE_OFFSET };
enum { HINT_BYTES = 8 << 20 };

struct ShardWriter {
    char *path;
    Hdf5Writer *file;
    ShardPlan plan; /* its pointers are not kept */
    bool training;
    const ClassTable *table;
    ShardIndex index;
    uint8_t *narrow; /* one map in bytes */
    size_t narrow_capacity;
    int64_t hinted; /* pixels whose write-back was started */
    int64_t files_hinted; /* bytes of files, likewise */
};

char *shard_path(const char *directory, const char *split, int64_t number)
{
    return memory_format("%s/%s-%05" PRId64 ".h5", directory, split, number);
}

static Status allocate(ShardWriter *writer)
{
    size_t images = (size_t)writer->plan.images, segments = (size_t)writer->plan.segments;
    ShardIndex *index = &writer->index;
    index->image_id = memory_alloc_zero(images + 1, sizeof *index->image_id);
    index->size = memory_alloc_zero(4 * images + 1, sizeof *index->size);
    index->pixel_offset = memory_alloc_zero(images + 1, sizeof *index->pixel_offset);
    index->segment_offset = memory_alloc_zero(images + 1, sizeof *index->segment_offset);
    index->name_offset = memory_alloc_zero(images + 1, sizeof *index->name_offset);
    index->names = memory_alloc_zero((size_t)writer->plan.name_bytes + 1, 1);
    index->checksum = memory_alloc_zero(4 * images + 1, sizeof *index->checksum);
    index->segment_id = memory_alloc_zero(segments + 1, sizeof *index->segment_id);
    index->segment_class = memory_alloc_zero(segments + 1, sizeof *index->segment_class);
    index->segment_area = memory_alloc_zero(segments + 1, sizeof *index->segment_area);
    index->segment_crowd = memory_alloc_zero(segments + 1, sizeof *index->segment_crowd);
    if (index->image_id == NULL || index->size == NULL || index->pixel_offset == NULL ||
        index->segment_offset == NULL || index->name_offset == NULL || index->names == NULL ||
        index->checksum == NULL || index->segment_id == NULL || index->segment_class == NULL ||
        index->segment_area == NULL || index->segment_crowd == NULL)
        return status_no_memory((images + segments) * 60, writer->path);
    if (!writer->plan.encoded) return OK;
    index->file_offset = memory_alloc_zero(images + 1, sizeof *index->file_offset);
    return index->file_offset == NULL ? status_no_memory(images * 8, writer->path) : OK;
}

static Status lay_out(ShardWriter *writer, const ShardPlan *plan)
{
    const int64_t n = plan->images, t = plan->segments, classes_bytes = (int64_t)strlen(plan->classes);
    const struct { const char *name; Hdf5Type type; int rank; int64_t shape[2]; bool bulk; } arrays[] = {
        [RGB] = {plan->encoded ? "files" : "rgb", HDF5_U8, 1, {plan->encoded ? plan->file_bytes : 3 * plan->pixels}, true},
        [MAP] = {"map", writer->index.map_bytes == 1 ? HDF5_U8 : HDF5_U16, 1, {plan->pixels}, true},
        [IMAGE_ID] = {"image_id", HDF5_I64, 1, {n}, false},
        [SIZE] = {"size", HDF5_I32, 2, {n, 4}, false},
        [PIXEL_OFFSET] = {"pixel_offset", HDF5_I64, 1, {n + 1}, false},
        [SEGMENT_OFFSET] = {"segment_offset", HDF5_I64, 1, {n + 1}, false},
        [NAME_OFFSET] = {"name_offset", HDF5_I64, 1, {n + 1}, false},
        [NAMES] = {"names", HDF5_U8, 1, {plan->name_bytes}, false},
        [CHECKSUM] = {"checksum", HDF5_U64, 2, {n, 4}, false},
        [SEGMENT_ID] = {"segment_id", HDF5_I64, 1, {t}, false},
        [SEGMENT_CLASS] = {"segment_class", HDF5_I32, 1, {t}, false},
        [SEGMENT_AREA] = {"segment_area", HDF5_I32, 1, {t}, false},
        [SEGMENT_CROWD] = {"segment_crowd", HDF5_U8, 1, {t}, false},
        [CLASSES] = {"classes", HDF5_U8, 1, {classes_bytes}, false},
        [FILE_OFFSET] = {"file_offset", HDF5_I64, 1, {n + 1}, false},
    };
    const size_t count = sizeof arrays / sizeof arrays[0] - !plan->encoded;
    for (size_t i = 0; i < count; i++)
        TRY(hdf5_writer_add(writer->file, arrays[i].name, arrays[i].type, arrays[i].rank, arrays[i].shape,
                            arrays[i].bulk));
    TRY(hdf5_writer_attribute(writer->file, "split", plan->split));
    TRY(hdf5_writer_attribute(writer->file, "unseen_rule", plan->unseen_rule));
    TRY(hdf5_writer_attribute(writer->file, "import_key", plan->import_key));
    /* A promise, kept by shard_writer_add: a training segment of an unseen class ends the import. */
    if (writer->training) TRY(hdf5_writer_attribute_integer(writer->file, "unseen_segments", 0));
    TRY(hdf5_writer_layout(writer->file));
    return hdf5_writer_put_all(writer->file, CLASSES, plan->classes);
}

Status shard_writer_create(const char *path, const ShardPlan *plan, ShardWriter **out)
{
    ShardWriter *writer = memory_alloc_zero(1, sizeof *writer);
    if (writer == NULL) return status_no_memory(sizeof *writer, path);
    writer->plan = *plan;
    writer->training = strcmp(plan->split, "train") == 0;
    writer->table = plan->table;
    writer->index.map_bytes = plan->image_segments <= UINT8_MAX ? 1 : 2;
    writer->path = memory_copy_string(path);
    Status status = writer->path == NULL ? status_no_memory(strlen(path), path) : allocate(writer);
    if (status == OK) status = hdf5_writer_create(path, "shard", DATASET_VERSION, &writer->file);
    if (status == OK) status = lay_out(writer, plan);
    if (status != OK) {
        shard_writer_abandon(writer);
        return status;
    }
    *out = writer;
    return OK;
}

static void start_write_back(ShardWriter *writer, int64_t pixels)
{
    int64_t fresh = pixels - writer->hinted;
    if (3 * fresh < HINT_BYTES) return;
    if (writer->plan.encoded) {
        const int64_t end = writer->index.file_offset[writer->index.images];
        hdf5_writer_hint(writer->file, RGB, writer->files_hinted, end - writer->files_hinted);
        writer->files_hinted = end;
    } else {
        hdf5_writer_hint(writer->file, RGB, 3 * writer->hinted, 3 * fresh);
    }
    hdf5_writer_hint(writer->file, MAP, writer->index.map_bytes * writer->hinted, writer->index.map_bytes * fresh);
    writer->hinted = pixels;
}

/* The map as it is stored. */
static Status narrow_map(ShardWriter *writer, const Sample *sample, const void **map)
{
    size_t pixels = (size_t)sample->height * (size_t)sample->width;
    *map = sample->map;
    if (writer->index.map_bytes == 2) return OK;
    if (sample->segment_count > UINT8_MAX)
        return status_error(STATUS_INTERNAL, "%s: %s: more segments than planned", writer->path, sample->file_name);
    if (pixels > writer->narrow_capacity) {
        memory_free(writer->narrow);
        writer->narrow_capacity = 0;
        writer->narrow = memory_alloc(pixels);
        if (writer->narrow == NULL) return status_no_memory(pixels, writer->path);
        writer->narrow_capacity = pixels;
    }
    const uint16_t *restrict from = sample->map;
    uint8_t *restrict to = writer->narrow;
    for (size_t i = 0; i < pixels; i++) to[i] = (uint8_t)from[i];
    *map = to;
    return OK;
}

static Status add_segments(ShardWriter *writer, const Sample *sample)
{
    ShardIndex *index = &writer->index;
    if (index->segments + sample->segment_count > writer->plan.segments)
        return status_error(STATUS_INTERNAL, "%s: %s: more segments than planned", writer->path, sample->file_name);
    for (int32_t i = 0; i < sample->segment_count; i++) {
        const Segment *segment = &sample->segments[i];
        int64_t row = index->segments++;
        if (writer->training && writer->table->entries[segment->class_index].is_unseen)
            return status_error(STATUS_INTERNAL, "%s: %s: a training segment of the unseen class %s", writer->path,
                                sample->file_name, writer->table->entries[segment->class_index].name);
        index->segment_id[row] = segment->id;
        index->segment_class[row] = segment->class_index;
        index->segment_area[row] = segment->area;
        index->segment_crowd[row] = segment->is_crowd;
    }
    return OK;
}

/* Pixels, or the file; `hash` is of what is stored. */
static Status put_image(ShardWriter *writer, const Sample *sample, const uint8_t *file, size_t bytes, Hash128 *hash)
{
    ShardIndex *index = &writer->index;
    const int64_t n = index->images;
    if (!writer->plan.encoded) {
        const int64_t pixels = (int64_t)sample->height * sample->width;
        *hash = hash_bytes(sample->rgb, (size_t)pixels * 3);
        return hdf5_writer_put(writer->file, RGB, 3 * index->pixel_offset[n], sample->rgb, 3 * pixels);
    }
    if (index->file_offset[n] + (int64_t)bytes > writer->plan.file_bytes)
        return status_error(STATUS_INVALID, "%s: %s: the file has grown while it was imported", writer->path,
                            sample->file_name);
    *hash = hash_bytes(file, bytes);
    index->file_offset[n + 1] = index->file_offset[n] + (int64_t)bytes;
    return hdf5_writer_put(writer->file, RGB, index->file_offset[n], file, (int64_t)bytes);
}

Status shard_writer_add(ShardWriter *writer, const Sample *sample, const uint8_t *file, size_t bytes)
{
    ShardIndex *index = &writer->index;
    int64_t n = index->images, pixels = (int64_t)sample->height * sample->width, at = index->pixel_offset[n];
    int64_t name_bytes = (int64_t)strlen(sample->file_name), name_at = index->name_offset[n];
    if (n >= writer->plan.images || at + pixels > writer->plan.pixels || name_at + name_bytes > writer->plan.name_bytes)
        return status_error(STATUS_INTERNAL, "%s: %s: more than planned", writer->path, sample->file_name);
    const void *stored;
    const int64_t map_bytes = index->map_bytes * pixels;
    TRY(narrow_map(writer, sample, &stored));
    TRY(add_segments(writer, sample));
    Hash128 rgb, map = hash_bytes(stored, (size_t)map_bytes);
    TRY(put_image(writer, sample, file, bytes, &rgb));
    TRY(hdf5_writer_put(writer->file, MAP, index->map_bytes * at, stored, map_bytes));
    start_write_back(writer, at + pixels);
    index->image_id[n] = sample->image_id;
    const int32_t size[4] = {sample->height, sample->width, sample->original_height, sample->original_width};
    memcpy(index->size + 4 * n, size, sizeof size);
    const uint64_t checksum[4] = {rgb.low, rgb.high, map.low, map.high};
    memcpy(index->checksum + 4 * n, checksum, sizeof checksum);
    memcpy(index->names + name_at, sample->file_name, (size_t)name_bytes);
    index->images = n + 1;
    index->pixel_offset[n + 1] = at + pixels;
    index->segment_offset[n + 1] = index->segments;
    index->name_offset[n + 1] = name_at + name_bytes;
    return OK;
}

static Status put_index(ShardWriter *writer)
{
    const ShardIndex *index = &writer->index;
    if (index->images != writer->plan.images || index->pixel_offset[index->images] != writer->plan.pixels ||
        index->name_offset[index->images] != writer->plan.name_bytes)
        return status_error(STATUS_INTERNAL, "%s: fewer images than planned", writer->path);
    if (writer->plan.encoded) TRY(hdf5_writer_put_all(writer->file, FILE_OFFSET, index->file_offset));
    TRY(hdf5_writer_put_all(writer->file, IMAGE_ID, index->image_id));
    TRY(hdf5_writer_put_all(writer->file, SIZE, index->size));
    TRY(hdf5_writer_put_all(writer->file, PIXEL_OFFSET, index->pixel_offset));
    TRY(hdf5_writer_put_all(writer->file, SEGMENT_OFFSET, index->segment_offset));
    TRY(hdf5_writer_put_all(writer->file, NAME_OFFSET, index->name_offset));
    TRY(hdf5_writer_put_all(writer->file, NAMES, index->names));
    TRY(hdf5_writer_put_all(writer->file, CHECKSUM, index->checksum));
    TRY(hdf5_writer_put_all(writer->file, SEGMENT_ID, index->segment_id));
    TRY(hdf5_writer_put_all(writer->file, SEGMENT_CLASS, index->segment_class));
    TRY(hdf5_writer_put_all(writer->file, SEGMENT_AREA, index->segment_area));
    return hdf5_writer_put_all(writer->file, SEGMENT_CROWD, index->segment_crowd);
}

Status shard_writer_commit(ShardWriter *writer)
{
    Status status = put_index(writer);
    if (status == OK) {
        status = hdf5_writer_commit(writer->file);
        writer->file = NULL;
    }
    shard_writer_abandon(writer);
    return status;
}

void shard_writer_abandon(ShardWriter *writer)
{
    if (writer == NULL) return;
    hdf5_writer_abandon(writer->file);
    shard_index_clear(&writer->index);
    memory_free(writer->narrow);
    memory_free(writer->path);
    memory_free(writer);
}
