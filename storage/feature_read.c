#include <inttypes.h>
#include <string.h>

#include "framework/memory.h"
#include "storage/class_table.h"
#include "storage/feature_private.h"
#include "storage/image_decode.h"

struct FeatureStore {
    char *path;
    Hdf5Reader *reader;
    FeatureInfo info;
    FeatureTables tables;
    const Hdf5Array *train, *bulk[BULK_COUNT];
    int64_t *offsets[BULK_COUNT]; /* [images + 1] bytes: where each image's part starts */
    int64_t rows;
    int32_t *labels;
    float *embeddings;            /* NULL until asked for */
};

void feature_info_clear(FeatureInfo *info)
{
    class_table_clear(&info->classes);
    memory_free(info->class_vectors);
    memory_free(info->head_weight);
    memory_free(info->head_bias);
    memory_free(info->unseen_rule);
    memory_free(info->segmenter_digest);
    *info = (FeatureInfo){0};
}

void feature_image_clear(FeatureImage *image)
{
    memory_free(image->embeddings);
    memory_free(image->masks);
    memory_free(image->map);
    memory_free(image->segments);
    memory_free(image->rgb);
    *image = (FeatureImage){0};
}

void feature_tables_clear(FeatureTables *tables)
{
    memory_free(tables->image_id);
    memory_free(tables->segment_offset);
    memory_free(tables->size);
    memory_free(tables->name);
    memory_free(tables->checksum);
    memory_free(tables->segment_id);
    memory_free(tables->segment_class);
    memory_free(tables->segment_area);
    memory_free(tables->segment_crowd);
    *tables = (FeatureTables){0};
}

void feature_bulk_bytes(const FeatureInfo *info, const int32_t size[FEATURE_SIZES], int64_t bytes[BULK_COUNT])
{
    const int64_t pixels = (int64_t)size[0] * size[1];
    bytes[BULK_EMBEDDINGS] = (int64_t)info->queries * info->embed_dim * (int64_t)sizeof(float);
    bytes[BULK_MASKS] = (int64_t)info->queries * size[2] * size[3] * (int64_t)sizeof(float);
    bytes[BULK_MAP] = pixels * (int64_t)sizeof(uint16_t);
    bytes[BULK_RGB] = size[4] != 0 ? pixels * 3 : 0;
}

int64_t feature_wrong_label(const ClassTable *classes, const int32_t *labels, int64_t rows)
{
    for (int64_t i = 0; i < rows; i++) {
        int32_t label = labels[i];
        if (label < 0 || label > classes->count || (label < classes->count && classes->entries[label].is_unseen)) return i;
    }
    return -1;
}

/* ---- opening ---- */

static Status load_info(FeatureStore *store)
{
    FeatureInfo *info = &store->info;
    const Hdf5Reader *reader = store->reader;
    const Hdf5Array *array;
    const int64_t any[2] = {-1, -1};
    char *classes;
    const char *rule, *digest;
    int64_t queries;
    TRY(hdf5_reader_load(reader, "classes", HDF5_U8, 1, any, (void **)&classes, &array));
    Status status = class_table_parse(classes, (size_t)array->bytes, store->path, &info->classes);
    memory_free(classes);
    TRY(status);
    const int64_t vectors[2] = {info->classes.count, -1}, head[2] = {info->classes.seen_count + 1, -1};
    TRY(hdf5_reader_load(reader, "class_vectors", HDF5_F32, 2, vectors, (void **)&info->class_vectors, &array));
    info->vector_dim = (int)array->shape[1];
    TRY(hdf5_reader_load(reader, "head_weight", HDF5_F32, 2, head, (void **)&info->head_weight, &array));
    info->embed_dim = (int)array->shape[1];
    TRY(hdf5_reader_load(reader, "head_bias", HDF5_F32, 1, head, (void **)&info->head_bias, NULL));
    TRY(hdf5_reader_integer(reader, "queries", &queries));
    TRY(hdf5_reader_text(reader, "unseen_rule", &rule));
    TRY(hdf5_reader_text(reader, "segmenter_digest", &digest));
    if (queries < 1 || queries > 1 << 20 || info->embed_dim < 1 || info->embed_dim > 1 << 20 || info->vector_dim < 1)
        return status_error(STATUS_CORRUPT, "%s: sizes out of range", store->path);
    info->queries = (int)queries;
    info->unseen_rule = memory_copy_string(rule);
    info->segmenter_digest = memory_copy_string(digest);
    return info->unseen_rule == NULL || info->segmenter_digest == NULL ? status_no_memory(64, store->path) : OK;
}

static Status load_tables(FeatureStore *store)
{
    FeatureTables *tables = &store->tables;
    const Hdf5Reader *reader = store->reader;
    const Hdf5Array *array;
    const int64_t any = -1;
    TRY(hdf5_reader_load(reader, "image_id", HDF5_I64, 1, &any, (void **)&tables->image_id, &array));
    const int64_t n = tables->images = array->shape[0], more = n + 1;
    const int64_t size[2] = {n, FEATURE_SIZES}, name[2] = {n, FEATURE_NAME_BYTES}, sums[2] = {n, FEATURE_SUMS};
    TRY(hdf5_reader_load(reader, "size", HDF5_I32, 2, size, (void **)&tables->size, NULL));
    TRY(hdf5_reader_load(reader, "segment_offset", HDF5_I64, 1, &more, (void **)&tables->segment_offset, NULL));
    TRY(hdf5_reader_load(reader, "name", HDF5_U8, 2, name, (void **)&tables->name, NULL));
    TRY(hdf5_reader_load(reader, "checksum", HDF5_U64, 2, sums, (void **)&tables->checksum, NULL));
    TRY(hdf5_reader_load(reader, "segment_id", HDF5_I64, 1, &any, (void **)&tables->segment_id, &array));
    const int64_t t = tables->segments = array->shape[0];
    TRY(hdf5_reader_load(reader, "segment_class", HDF5_I32, 1, &t, (void **)&tables->segment_class, NULL));
    TRY(hdf5_reader_load(reader, "segment_area", HDF5_I32, 1, &t, (void **)&tables->segment_area, NULL));
    return hdf5_reader_load(reader, "segment_crowd", HDF5_U8, 1, &t, (void **)&tables->segment_crowd, NULL);
}

static bool tables_in_range(const FeatureStore *store)
{
    const FeatureTables *tables = &store->tables;
    bool good = tables->segment_offset[0] == 0 && tables->segment_offset[tables->images] == tables->segments;
    for (int64_t i = 0; good && i < tables->images; i++) {
        int64_t segments = tables->segment_offset[i + 1] - tables->segment_offset[i];
        good = segments >= 0 && segments <= UINT16_MAX && tables->name[(i + 1) * FEATURE_NAME_BYTES - 1] == '\0';
        for (int k = 0; k < 4; k++) {
            int32_t side = tables->size[i * FEATURE_SIZES + k];
            good = good && side >= 1 && side <= IMAGE_MAX_SIDE;
        }
    }
    for (int64_t i = 0; good && i < tables->segments; i++)
        good = tables->segment_class[i] >= 0 && tables->segment_class[i] < store->info.classes.count;
    return good;
}

static Status place_images(FeatureStore *store)
{
    const int64_t n = store->tables.images;
    for (int b = 0; b < BULK_COUNT; b++) {
        store->offsets[b] = memory_alloc_zero((size_t)n + 1, sizeof *store->offsets[b]);
        if (store->offsets[b] == NULL) return status_no_memory((size_t)n * 8, store->path);
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t bytes[BULK_COUNT];
        feature_bulk_bytes(&store->info, store->tables.size + i * FEATURE_SIZES, bytes);
        for (int b = 0; b < BULK_COUNT; b++) store->offsets[b][i + 1] = store->offsets[b][i] + bytes[b];
    }
    for (int b = 0; b < BULK_COUNT; b++)
        if (store->offsets[b][n] != store->bulk[b]->bytes)
            return status_error(STATUS_CORRUPT, "%s: %s has %" PRId64 " bytes, its images need %" PRId64, store->path,
                                store->bulk[b]->name, store->bulk[b]->bytes, store->offsets[b][n]);
    return OK;
}

static Status open_store(FeatureStore *store)
{
    TRY(hdf5_reader_open(store->path, FEATURE_KIND, FEATURE_STORE_VERSION, &store->reader));
    TRY(load_info(store));
    TRY(load_tables(store));
    const Hdf5Reader *reader = store->reader;
    const Hdf5Array *array;
    const int64_t any = -1, train[2] = {-1, store->info.embed_dim};
    const int64_t embeddings[3] = {store->tables.images, store->info.queries, store->info.embed_dim};
    TRY(hdf5_reader_expect(reader, "train_embeddings", HDF5_F32, 2, train, &store->train));
    store->rows = store->train->shape[0];
    TRY(hdf5_reader_load(reader, "train_labels", HDF5_I32, 1, &store->rows, (void **)&store->labels, &array));
    TRY(hdf5_reader_expect(reader, "embeddings", HDF5_F32, 3, embeddings, &store->bulk[BULK_EMBEDDINGS]));
    TRY(hdf5_reader_expect(reader, "masks", HDF5_F32, 1, &any, &store->bulk[BULK_MASKS]));
    TRY(hdf5_reader_expect(reader, "map", HDF5_U16, 1, &any, &store->bulk[BULK_MAP]));
    TRY(hdf5_reader_expect(reader, "rgb", HDF5_U8, 1, &any, &store->bulk[BULK_RGB]));
    if (!tables_in_range(store)) return status_error(STATUS_CORRUPT, "%s: tables out of range", store->path);
    int64_t wrong = feature_wrong_label(&store->info.classes, store->labels, store->rows);
    if (wrong >= 0)
        return status_error(STATUS_CORRUPT, "%s: training row %" PRId64 " has label %d, which is no seen class",
                            store->path, wrong, store->labels[wrong]);
    return place_images(store);
}

Status feature_store_open(const char *path, FeatureStore **out)
{
    *out = NULL;
    FeatureStore *store = memory_alloc_zero(1, sizeof *store);
    if (store == NULL) return status_no_memory(sizeof *store, path);
    store->path = memory_copy_string(path);
    Status status = store->path == NULL ? status_no_memory(strlen(path), path) : open_store(store);
    if (status != OK) {
        feature_store_close(store);
        return status;
    }
    *out = store;
    return OK;
}

void feature_store_close(FeatureStore *store)
{
    if (store == NULL) return;
    hdf5_reader_close(store->reader);
    feature_info_clear(&store->info);
    feature_tables_clear(&store->tables);
    for (int b = 0; b < BULK_COUNT; b++) memory_free(store->offsets[b]);
    memory_free(store->labels);
    memory_free(store->embeddings);
    memory_free(store->path);
    memory_free(store);
}

const FeatureInfo *feature_store_info(const FeatureStore *store)
{
    return &store->info;
}

int64_t feature_store_train_rows(const FeatureStore *store)
{
    return store->rows;
}

int64_t feature_store_images(const FeatureStore *store)
{
    return store->tables.images;
}

/* ---- reading ---- */

static Status read_train(FeatureStore *store, float *embeddings)
{
    const char *stored;
    char hex[HASH_HEX_SIZE];
    TRY(hdf5_reader_read(store->reader, store->train, 0, embeddings, store->train->bytes));
    TRY(hdf5_reader_text(store->reader, "train_checksum", &stored));
    hash_to_hex(hash_bytes(embeddings, (size_t)store->train->bytes), hex);
    if (strcmp(hex, stored) != 0)
        return status_error(STATUS_CORRUPT, "%s: checksum of the training embeddings doesn't match; extract them anew",
                            store->path);
    return OK;
}

Status feature_store_train(FeatureStore *store, const float **embeddings, const int32_t **labels)
{
    if (store->embeddings == NULL) {
        store->embeddings = memory_alloc((size_t)store->train->bytes + 1);
        if (store->embeddings == NULL) return status_no_memory((size_t)store->train->bytes, store->path);
        Status status = read_train(store, store->embeddings);
        if (status != OK) {
            memory_free(store->embeddings);
            store->embeddings = NULL;
            return status;
        }
    }
    *embeddings = store->embeddings;
    *labels = store->labels;
    return OK;
}

static Status read_part(const FeatureStore *store, int64_t index, int part, void **data)
{
    const int64_t start = store->offsets[part][index], bytes = store->offsets[part][index + 1] - start;
    const uint64_t *checksum = store->tables.checksum + index * FEATURE_SUMS + 2 * part;
    if (bytes == 0) return OK;
    *data = memory_alloc((size_t)bytes);
    if (*data == NULL) return status_no_memory((size_t)bytes, store->path);
    TRY(hdf5_reader_read(store->reader, store->bulk[part], start, *data, bytes));
    Hash128 hash = hash_bytes(*data, (size_t)bytes);
    if (hash.low != checksum[0] || hash.high != checksum[1])
        return status_error(STATUS_CORRUPT, "%s: checksum of %s of image %" PRId64 " doesn't match; extract it anew",
                            store->path, store->bulk[part]->name, store->tables.image_id[index]);
    return OK;
}

/* Checksums hold, so a fault here is a writer's; but what reads the map takes its numbers for places of segments. */
static Status check_map(const FeatureStore *store, const FeatureImage *image)
{
    const size_t pixels = (size_t)image->height * (size_t)image->width;
    for (size_t i = 0; i < pixels; i++)
        if (image->map[i] > image->segment_count)
            return status_error(STATUS_CORRUPT, "%s: image %s: its map holds %u, of %d segments", store->path,
                                image->file_name, (unsigned)image->map[i], image->segment_count);
    return OK;
}

static Status read_image(const FeatureStore *store, int64_t index, FeatureImage *image)
{
    const FeatureTables *tables = &store->tables;
    const int32_t *size = tables->size + index * FEATURE_SIZES;
    const int64_t first = tables->segment_offset[index];
    image->image_id = tables->image_id[index];
    memcpy(image->file_name, tables->name + index * FEATURE_NAME_BYTES, FEATURE_NAME_BYTES);
    image->height = size[0];
    image->width = size[1];
    image->mask_height = size[2];
    image->mask_width = size[3];
    image->segment_count = (int32_t)(tables->segment_offset[index + 1] - first);
    image->segments = memory_alloc(((size_t)image->segment_count + 1) * sizeof *image->segments);
    if (image->segments == NULL) return status_no_memory((size_t)image->segment_count, store->path);
    for (int32_t i = 0; i < image->segment_count; i++)
        image->segments[i] = (Segment){.id = tables->segment_id[first + i],
                                       .class_index = tables->segment_class[first + i],
                                       .area = tables->segment_area[first + i],
                                       .is_crowd = tables->segment_crowd[first + i] != 0};
    TRY(read_part(store, index, BULK_EMBEDDINGS, (void **)&image->embeddings));
    TRY(read_part(store, index, BULK_MASKS, (void **)&image->masks));
    TRY(read_part(store, index, BULK_MAP, (void **)&image->map));
    TRY(check_map(store, image));
    return read_part(store, index, BULK_RGB, (void **)&image->rgb);
}

Status feature_store_image(FeatureStore *store, int64_t index, FeatureImage *image)
{
    if (index < 0 || index >= store->tables.images)
        return status_error(STATUS_INTERNAL, "%s: image %" PRId64 " of %" PRId64 " asked for", store->path, index,
                            store->tables.images);
    *image = (FeatureImage){0};
    Status status = read_image(store, index, image);
    if (status != OK) feature_image_clear(image);
    return status;
}

static Status verify_image(FeatureStore *store, int64_t index)
{
    FeatureImage image;
    TRY(feature_store_image(store, index, &image));
    feature_image_clear(&image);
    return OK;
}

Status feature_store_verify(const char *path)
{
    FeatureStore *store;
    const float *embeddings;
    const int32_t *labels;
    TRY(feature_store_open(path, &store));
    Status status = feature_store_train(store, &embeddings, &labels);
    for (int64_t i = 0; status == OK && i < store->tables.images; i++) status = verify_image(store, i);
    feature_store_close(store);
    return status;
}
