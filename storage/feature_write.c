#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "framework/file_at.h"
#include "framework/files.h"
#include "framework/memory.h"
#include "storage/class_table.h"
#include "storage/feature_private.h"

/* How much there will be is known at the end only, and arrays lie in one piece:
 * so bulk collects in nameless files, which a kill leaves no trace of, and is
 * copied when its size is known. */
typedef struct Spool { int fd; int64_t bytes; } Spool;
enum { SPOOL_TRAIN = BULK_COUNT, SPOOL_COUNT };

enum { TRAIN_EMBEDDINGS, TRAIN_LABELS, EMBEDDINGS, MASKS, MAP, RGB, IMAGE_ID, SIZE, SEGMENT_OFFSET, NAME, CHECKSUM,
       SEGMENT_ID, SEGMENT_CLASS, SEGMENT_AREA, SEGMENT_CROWD, CLASS_VECTORS, HEAD_WEIGHT, HEAD_BIAS, CLASSES };

struct FeatureWriter {
    char *path;
    FeatureInfo info;
    char *classes_json;
    Spool spools[SPOOL_COUNT];
    Hasher *train_hasher;
    int32_t *labels;
    int64_t rows, row_capacity;
    FeatureTables tables;
    int64_t image_capacity, segment_capacity;
};

static Status copy_floats(const float *from, int64_t count, float **to)
{
    *to = memory_alloc(((size_t)count + 1) * sizeof **to);
    if (*to == NULL) return status_no_memory((size_t)count * sizeof **to, "a feature store");
    memcpy(*to, from, (size_t)count * sizeof **to);
    return OK;
}

static Status copy_info(const FeatureInfo *from, FeatureInfo *to)
{
    *to = (FeatureInfo){.embed_dim = from->embed_dim, .queries = from->queries, .vector_dim = from->vector_dim};
    TRY(class_table_copy(&from->classes, &to->classes));
    const int64_t head = from->classes.seen_count + 1;
    TRY(copy_floats(from->class_vectors, (int64_t)from->classes.count * from->vector_dim, &to->class_vectors));
    TRY(copy_floats(from->head_weight, head * from->embed_dim, &to->head_weight));
    TRY(copy_floats(from->head_bias, head, &to->head_bias));
    to->unseen_rule = memory_copy_string(from->unseen_rule);
    to->segmenter_digest = memory_copy_string(from->segmenter_digest);
    if (to->unseen_rule == NULL || to->segmenter_digest == NULL) return status_no_memory(64, "a feature store");
    return OK;
}

static Status open_spool(const char *path, Spool *spool)
{
    char *temporary;
    TRY(file_temporary_name(path, &temporary));
    spool->fd = open(temporary, O_RDWR | O_CLOEXEC);
    Status status = spool->fd < 0 ? status_errno(errno, "open", temporary) : OK;
    file_discard(temporary);
    memory_free(temporary);
    return status;
}

static Status spool_add(FeatureWriter *writer, int number, const void *data, int64_t bytes)
{
    Spool *spool = &writer->spools[number];
    TRY(file_write_at(spool->fd, writer->path, data, (size_t)bytes, spool->bytes));
    spool->bytes += bytes;
    return OK;
}

static Status set_up(FeatureWriter *writer, const char *path, const FeatureInfo *info)
{
    writer->path = memory_copy_string(path);
    writer->train_hasher = hasher_create();
    writer->tables.segment_offset = memory_alloc_zero(1, sizeof(int64_t));
    if (writer->path == NULL || writer->train_hasher == NULL || writer->tables.segment_offset == NULL)
        return status_no_memory(1024, path);
    if (info->embed_dim < 1 || info->queries < 1 || info->vector_dim < 1 || info->classes.count < 1)
        return status_error(STATUS_INTERNAL, "%s: a feature store without classes, queries or sizes", path);
    TRY(copy_info(info, &writer->info));
    class_table_count(&writer->info.classes);
    JsonWriter json = {0};
    class_table_write_json(&json, &info->classes);
    writer->classes_json = json.text.failed ? NULL : memory_copy_string(text_string(&json.text));
    text_free(&json.text);
    if (writer->classes_json == NULL) return status_no_memory(1024, path);
    for (int i = 0; i < SPOOL_COUNT; i++) TRY(open_spool(path, &writer->spools[i]));
    return OK;
}

Status feature_writer_create(const char *path, const FeatureInfo *info, FeatureWriter **out)
{
    *out = NULL;
    FeatureWriter *writer = memory_alloc_zero(1, sizeof *writer);
    if (writer == NULL) return status_no_memory(sizeof *writer, path);
    for (int i = 0; i < SPOOL_COUNT; i++) writer->spools[i].fd = -1;
    Status status = set_up(writer, path, info);
    if (status != OK) {
        feature_writer_abandon(writer);
        return status;
    }
    *out = writer;
    return OK;
}

void feature_writer_abandon(FeatureWriter *writer)
{
    if (writer == NULL) return;
    for (int i = 0; i < SPOOL_COUNT; i++)
        if (writer->spools[i].fd >= 0) close(writer->spools[i].fd);
    hasher_destroy(writer->train_hasher);
    feature_info_clear(&writer->info);
    feature_tables_clear(&writer->tables);
    memory_free(writer->classes_json);
    memory_free(writer->labels);
    memory_free(writer->path);
    memory_free(writer);
}

static bool all_finite(const float *values, int64_t count)
{
    bool finite = true;
    for (int64_t i = 0; i < count; i++) finite &= isfinite(values[i]) != 0;
    return finite;
}

static Status grow(void **block, int64_t capacity, size_t size, const char *path)
{
    void *larger = memory_resize(*block, (size_t)capacity * size);
    if (larger == NULL) return status_no_memory((size_t)capacity * size, path);
    *block = larger;
    return OK;
}

Status feature_writer_add_train(FeatureWriter *writer, const float *embeddings, const int32_t *labels, int64_t rows)
{
    const int64_t values = rows * writer->info.embed_dim;
    int64_t wrong = feature_wrong_label(&writer->info.classes, labels, rows);
    if (wrong >= 0)
        return status_error(STATUS_INTERNAL, "%s: training row %" PRId64 " has label %d, which is no seen class",
                            writer->path, writer->rows + wrong, labels[wrong]);
    if (!all_finite(embeddings, values))
        return status_error(STATUS_NON_FINITE, "%s: a training embedding isn't finite", writer->path);
    if (writer->rows + rows > writer->row_capacity) {
        int64_t capacity = (writer->rows + rows) * 3 / 2 + 1024;
        TRY(grow((void **)&writer->labels, capacity, sizeof *writer->labels, writer->path));
        writer->row_capacity = capacity;
    }
    TRY(spool_add(writer, SPOOL_TRAIN, embeddings, values * (int64_t)sizeof *embeddings));
    hasher_add(writer->train_hasher, embeddings, (size_t)values * sizeof *embeddings);
    memcpy(writer->labels + writer->rows, labels, (size_t)rows * sizeof *labels);
    writer->rows += rows;
    return OK;
}

static Status make_room(FeatureWriter *writer, int64_t segments)
{
    FeatureTables *tables = &writer->tables;
    const char *path = writer->path;
    if (tables->images == writer->image_capacity) {
        int64_t capacity = writer->image_capacity * 2 + 64;
        TRY(grow((void **)&tables->image_id, capacity, sizeof *tables->image_id, path));
        TRY(grow((void **)&tables->segment_offset, capacity + 1, sizeof *tables->segment_offset, path));
        TRY(grow((void **)&tables->size, capacity, FEATURE_SIZES * sizeof *tables->size, path));
        TRY(grow((void **)&tables->name, capacity, FEATURE_NAME_BYTES, path));
        TRY(grow((void **)&tables->checksum, capacity, FEATURE_SUMS * sizeof *tables->checksum, path));
        writer->image_capacity = capacity;
    }
    if (tables->segments + segments > writer->segment_capacity || writer->segment_capacity == 0) {
        int64_t capacity = (tables->segments + segments) * 2 + 64;
        TRY(grow((void **)&tables->segment_id, capacity, sizeof *tables->segment_id, path));
        TRY(grow((void **)&tables->segment_class, capacity, sizeof *tables->segment_class, path));
        TRY(grow((void **)&tables->segment_area, capacity, sizeof *tables->segment_area, path));
        TRY(grow((void **)&tables->segment_crowd, capacity, sizeof *tables->segment_crowd, path));
        writer->segment_capacity = capacity;
    }
    return OK;
}

static Status check_image(const FeatureWriter *writer, const FeatureImage *image)
{
    const FeatureInfo *info = &writer->info;
    if (image->height < 1 || image->width < 1 || image->mask_height < 1 || image->mask_width < 1 ||
        image->segment_count < 0 || image->segment_count > UINT16_MAX)
        return status_error(STATUS_INTERNAL, "%s: image %s has impossible sizes", writer->path, image->file_name);
    for (int32_t i = 0; i < image->segment_count; i++)
        if (image->segments[i].class_index < 0 || image->segments[i].class_index >= info->classes.count)
            return status_error(STATUS_INTERNAL, "%s: image %s: segment %d has no class", writer->path, image->file_name, i);
    if (!all_finite(image->embeddings, (int64_t)info->queries * info->embed_dim) ||
        !all_finite(image->masks, (int64_t)info->queries * image->mask_height * image->mask_width))
        return status_error(STATUS_NON_FINITE, "%s: image %s: an embedding or mask isn't finite", writer->path,
                            image->file_name);
    return OK;
}

Status feature_writer_add_image(FeatureWriter *writer, const FeatureImage *image)
{
    FeatureTables *tables = &writer->tables;
    TRY(check_image(writer, image));
    TRY(make_room(writer, image->segment_count));
    const int64_t n = tables->images;
    const int32_t size[FEATURE_SIZES] = {image->height, image->width, image->mask_height, image->mask_width,
                                         image->rgb != NULL};
    const void *data[BULK_COUNT] = {image->embeddings, image->masks, image->map, image->rgb};
    int64_t bytes[BULK_COUNT];
    feature_bulk_bytes(&writer->info, size, bytes);
    for (int b = 0; b < BULK_COUNT; b++) {
        TRY(spool_add(writer, b, data[b], bytes[b]));
        Hash128 hash = hash_bytes(bytes[b] > 0 ? data[b] : "", (size_t)bytes[b]);
        tables->checksum[n * FEATURE_SUMS + 2 * b] = hash.low;
        tables->checksum[n * FEATURE_SUMS + 2 * b + 1] = hash.high;
    }
    tables->image_id[n] = image->image_id;
    memcpy(tables->size + n * FEATURE_SIZES, size, sizeof size);
    char *name = tables->name + n * FEATURE_NAME_BYTES;
    memset(name, 0, FEATURE_NAME_BYTES);
    snprintf(name, FEATURE_NAME_BYTES, "%s", image->file_name);
    for (int32_t i = 0; i < image->segment_count; i++) {
        int64_t row = tables->segments++;
        tables->segment_id[row] = image->segments[i].id;
        tables->segment_class[row] = image->segments[i].class_index;
        tables->segment_area[row] = image->segments[i].area;
        tables->segment_crowd[row] = image->segments[i].is_crowd;
    }
    tables->images = n + 1;
    tables->segment_offset[n + 1] = tables->segments;
    return OK;
}

static Status lay_out(FeatureWriter *writer, Hdf5Writer *file)
{
    const FeatureInfo *info = &writer->info;
    const int64_t n = writer->tables.images, t = writer->tables.segments, head = info->classes.seen_count + 1;
    const Spool *spools = writer->spools;
    const struct { const char *name; Hdf5Type type; int rank; int64_t shape[3]; bool bulk; } arrays[] = {
        [TRAIN_EMBEDDINGS] = {"train_embeddings", HDF5_F32, 2, {writer->rows, info->embed_dim}, true},
        [TRAIN_LABELS] = {"train_labels", HDF5_I32, 1, {writer->rows}, false},
        [EMBEDDINGS] = {"embeddings", HDF5_F32, 3, {n, info->queries, info->embed_dim}, true},
        [MASKS] = {"masks", HDF5_F32, 1, {spools[BULK_MASKS].bytes / 4}, true},
        [MAP] = {"map", HDF5_U16, 1, {spools[BULK_MAP].bytes / 2}, true},
        [RGB] = {"rgb", HDF5_U8, 1, {spools[BULK_RGB].bytes}, true},
        [IMAGE_ID] = {"image_id", HDF5_I64, 1, {n}, false},
        [SIZE] = {"size", HDF5_I32, 2, {n, FEATURE_SIZES}, false},
        [SEGMENT_OFFSET] = {"segment_offset", HDF5_I64, 1, {n + 1}, false},
        [NAME] = {"name", HDF5_U8, 2, {n, FEATURE_NAME_BYTES}, false},
        [CHECKSUM] = {"checksum", HDF5_U64, 2, {n, FEATURE_SUMS}, false},
        [SEGMENT_ID] = {"segment_id", HDF5_I64, 1, {t}, false},
        [SEGMENT_CLASS] = {"segment_class", HDF5_I32, 1, {t}, false},
        [SEGMENT_AREA] = {"segment_area", HDF5_I32, 1, {t}, false},
        [SEGMENT_CROWD] = {"segment_crowd", HDF5_U8, 1, {t}, false},
        [CLASS_VECTORS] = {"class_vectors", HDF5_F32, 2, {info->classes.count, info->vector_dim}, false},
        [HEAD_WEIGHT] = {"head_weight", HDF5_F32, 2, {head, info->embed_dim}, false},
        [HEAD_BIAS] = {"head_bias", HDF5_F32, 1, {head}, false},
        [CLASSES] = {"classes", HDF5_U8, 1, {(int64_t)strlen(writer->classes_json)}, false},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        TRY(hdf5_writer_add(file, arrays[i].name, arrays[i].type, arrays[i].rank, arrays[i].shape, arrays[i].bulk));
    char hex[HASH_HEX_SIZE];
    hash_to_hex(hasher_result(writer->train_hasher), hex);
    TRY(hdf5_writer_attribute(file, "unseen_rule", info->unseen_rule));
    TRY(hdf5_writer_attribute(file, "segmenter_digest", info->segmenter_digest));
    TRY(hdf5_writer_attribute(file, "train_checksum", hex));
    TRY(hdf5_writer_attribute_integer(file, "queries", info->queries));
    return hdf5_writer_layout(file);
}

static Status put_all(const FeatureWriter *writer, Hdf5Writer *file)
{
    const FeatureTables *tables = &writer->tables;
    const struct { int array, spool; } bulk[] = {{TRAIN_EMBEDDINGS, SPOOL_TRAIN}, {EMBEDDINGS, BULK_EMBEDDINGS},
                                                 {MASKS, BULK_MASKS}, {MAP, BULK_MAP}, {RGB, BULK_RGB}};
    const struct { int array; const void *data; } tables_of[] = {
        {TRAIN_LABELS, writer->labels}, {IMAGE_ID, tables->image_id}, {SIZE, tables->size},
        {SEGMENT_OFFSET, tables->segment_offset}, {NAME, tables->name}, {CHECKSUM, tables->checksum},
        {SEGMENT_ID, tables->segment_id}, {SEGMENT_CLASS, tables->segment_class},
        {SEGMENT_AREA, tables->segment_area}, {SEGMENT_CROWD, tables->segment_crowd},
        {CLASS_VECTORS, writer->info.class_vectors}, {HEAD_WEIGHT, writer->info.head_weight},
        {HEAD_BIAS, writer->info.head_bias}, {CLASSES, writer->classes_json},
    };
    for (size_t i = 0; i < sizeof bulk / sizeof bulk[0]; i++) {
        const Spool *spool = &writer->spools[bulk[i].spool];
        TRY(hdf5_writer_copy(file, bulk[i].array, spool->fd, writer->path, 0, spool->bytes));
    }
    for (size_t i = 0; i < sizeof tables_of / sizeof tables_of[0]; i++)
        TRY(hdf5_writer_put_all(file, tables_of[i].array, tables_of[i].data));
    return OK;
}

Status feature_writer_finish(FeatureWriter *writer)
{
    Hdf5Writer *file = NULL;
    Status status = hdf5_writer_create(writer->path, FEATURE_KIND, FEATURE_STORE_VERSION, &file);
    if (status == OK) status = lay_out(writer, file);
    if (status == OK) status = put_all(writer, file);
    feature_writer_abandon(writer);
    if (status == OK) return hdf5_writer_commit(file);
    hdf5_writer_abandon(file);
    return status;
}
