#include "storage/feature_set.h"

#include <string.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "storage/class_table.h"

struct FeatureSet {
    FeatureStore **parts;
    int64_t count;
    int64_t train_rows, images;
    float *embeddings;
    int32_t *labels;
};

char *feature_set_part_path(const char *directory, int64_t part)
{
    return memory_format("%s/features-%05lld.h5", directory, (long long)part);
}

/* Parts of one segmenter's run agree in all that a reader relies on. */
static Status check_part(const FeatureSet *set, const char *path)
{
    const FeatureInfo *first = feature_store_info(set->parts[0]);
    const FeatureInfo *info = feature_store_info(set->parts[set->count - 1]);
    if (info->embed_dim != first->embed_dim || info->queries != first->queries ||
        !class_table_equal(&info->classes, &first->classes) || info->vector_dim != first->vector_dim ||
        strcmp(info->segmenter_digest, first->segmenter_digest) != 0)
        return status_error(STATUS_CORRUPT, "%s: made by another segmenter than the first part beside it: remove the "
                            "directory and extract again", path);
    return OK;
}

static Status open_part(FeatureSet *set, const char *path)
{
    TRY(feature_store_open(path, &set->parts[set->count]));
    set->count++;
    TRY(check_part(set, path));
    set->train_rows += feature_store_train_rows(set->parts[set->count - 1]);
    set->images += feature_store_images(set->parts[set->count - 1]);
    return OK;
}

static Status open_parts(FeatureSet *set, const char *directory, char **names, size_t count)
{
    set->parts = memory_alloc_zero(count + 1, sizeof *set->parts);
    if (set->parts == NULL) return status_no_memory(count * sizeof *set->parts, "a feature store");
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(names[i]);
        if (strncmp(names[i], "features-", 9) != 0 || strcmp(names[i] + length - 3, ".h5") != 0) continue;
        char *path = path_join(directory, names[i]);
        if (path == NULL) return status_no_memory(length, "a path");
        Status status = open_part(set, path);
        memory_free(path);
        TRY(status);
    }
    if (set->count == 0)
        return status_error(STATUS_NOT_FOUND, "%s: no features-NNNNN.h5 in it: run the extract stage", directory);
    return OK;
}

Status feature_set_open(const char *directory, FeatureSet **out)
{
    char **names;
    size_t count;
    *out = NULL;
    TRY(directory_list(directory, &names, &count));
    FeatureSet *set = memory_alloc_zero(1, sizeof *set);
    Status status = set == NULL ? status_no_memory(sizeof *set, "a feature store")
                                : open_parts(set, directory, names, count);
    names_free(names, count);
    if (status != OK) {
        feature_set_close(set);
        return status;
    }
    *out = set;
    return OK;
}

void feature_set_close(FeatureSet *set)
{
    if (set == NULL) return;
    for (int64_t i = 0; i < set->count; i++) feature_store_close(set->parts[i]);
    memory_free(set->parts);
    memory_free(set->embeddings);
    memory_free(set->labels);
    memory_free(set);
}

const FeatureInfo *feature_set_info(const FeatureSet *set)
{
    return feature_store_info(set->parts[0]);
}

int64_t feature_set_train_rows(const FeatureSet *set)
{
    return set->train_rows;
}

static Status gather_train(FeatureSet *set)
{
    size_t dim = (size_t)feature_set_info(set)->embed_dim, rows = (size_t)set->train_rows;
    set->embeddings = memory_alloc((rows * dim + 1) * sizeof *set->embeddings);
    set->labels = memory_alloc((rows + 1) * sizeof *set->labels);
    if (set->embeddings == NULL || set->labels == NULL) return status_no_memory(rows * dim * 4, "training embeddings");
    size_t row = 0;
    for (int64_t i = 0; i < set->count; i++) {
        const float *embeddings;
        const int32_t *labels;
        size_t part = (size_t)feature_store_train_rows(set->parts[i]);
        if (part == 0) continue;
        TRY(feature_store_train(set->parts[i], &embeddings, &labels));
        memcpy(set->embeddings + row * dim, embeddings, part * dim * sizeof *embeddings);
        memcpy(set->labels + row, labels, part * sizeof *labels);
        row += part;
    }
    return OK;
}

Status feature_set_train(FeatureSet *set, const float **embeddings, const int32_t **labels)
{
    if (set->embeddings == NULL) {
        Status status = gather_train(set);
        if (status != OK) {
            memory_free(set->embeddings);
            memory_free(set->labels);
            set->embeddings = NULL;
            set->labels = NULL;
            return status;
        }
    }
    *embeddings = set->embeddings;
    *labels = set->labels;
    return OK;
}

int64_t feature_set_images(const FeatureSet *set)
{
    return set->images;
}

Status feature_set_image(FeatureSet *set, int64_t index, FeatureImage *image)
{
    int64_t left = index;
    for (int64_t i = 0; i < set->count; i++) {
        int64_t part = feature_store_images(set->parts[i]);
        if (left < part) return feature_store_image(set->parts[i], left, image);
        left -= part;
    }
    return status_error(STATUS_INTERNAL, "test image %lld of a feature store of %lld", (long long)index,
                        (long long)set->images);
}
