#include "storage/describe.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "storage/checkpoint.h"
#include "storage/feature_set.h"
#include "storage/hdf5_file.h"
#include "storage/manifest.h"
#include "storage/shard.h"

#define HOLDS_NOTHING "%s: neither a data set, a feature store nor a checkpoint"

typedef enum StoreKind { STORE_DATASET, STORE_FEATURE_PARTS, STORE_FEATURES, STORE_SHARD, STORE_CHECKPOINT } StoreKind;

static Status find_kind(const char *path, StoreKind *kind)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return status_error(STATUS_NOT_FOUND, "%s: no such file or directory", path);
    if (S_ISDIR(info.st_mode)) {
        char *manifest = manifest_path(path), *part = feature_set_part_path(path, 0);
        bool named = manifest != NULL && part != NULL;
        bool is_dataset = named && file_exists(manifest), is_features = named && file_exists(part);
        memory_free(manifest);
        memory_free(part);
        if (!named) return status_no_memory(strlen(path), "a path");
        *kind = is_dataset ? STORE_DATASET : STORE_FEATURE_PARTS;
        if (is_dataset || is_features) return OK;
        return status_error(STATUS_INVALID, HOLDS_NOTHING " ('zeroth data import' makes a data set of COCO layout)", path);
    }
    char name[32];
    int version;
    TRY(hdf5_identify(path, name, &version));
    if (strcmp(name, "features") == 0) *kind = STORE_FEATURES;
    else if (strcmp(name, "checkpoint") == 0) *kind = STORE_CHECKPOINT;
    else if (strcmp(name, "shard") == 0) *kind = STORE_SHARD;
    else return status_error(STATUS_INVALID, HOLDS_NOTHING, path);
    return OK;
}

/* ---- describing ---- */

static int name_width(const ClassTable *classes)
{
    int width = 5;
    for (int i = 0; i < classes->count; i++) {
        int length = (int)strlen(classes->entries[i].name);
        if (length > width) width = length;
    }
    return width < 40 ? width : 40;
}

static void print_class(const ClassTable *classes, int index, int width, FILE *out)
{
    const ClassEntry *entry = &classes->entries[index];
    fprintf(out, "  %-*s  %-5s  %-6s", width, entry->name, entry->is_thing ? "thing" : "stuff",
            entry->is_unseen ? "UNSEEN" : "seen");
}

static int64_t split_bytes(const ManifestSplit *split)
{
    int64_t bytes = 0;
    for (int64_t i = 0; i < split->shard_count; i++) bytes += split->shards[i].bytes;
    return bytes;
}

static Status count_classes(const char *path, int split, int64_t **counts)
{
    Dataset *dataset;
    TRY(dataset_open(path, SPLIT_NAMES[split], &dataset));
    *counts = memory_alloc_zero((size_t)dataset_classes(dataset)->count, sizeof **counts);
    Status status = *counts == NULL ? status_no_memory(1024, path) : dataset_class_counts(dataset, *counts);
    dataset_close(dataset);
    return status;
}

static void print_dataset(const char *path, const Manifest *manifest, int64_t *const counts[SPLIT_COUNT], FILE *out)
{
    const ClassTable *classes = &manifest->classes;
    const int width = name_width(classes);
    fprintf(out, "%s: data set, version %d\n", path, DATASET_VERSION);
    fprintf(out, "  unseen rule  %s: training images with an unseen class %s\n", manifest->unseen_rule,
            strcmp(manifest->unseen_rule, "drop") == 0 ? "are left out" : "keep its pixels as void");
    if (manifest->long_side > 0) fprintf(out, "  long side    at most %" PRId64 " pixels\n", manifest->long_side);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const ManifestSplit *split = &manifest->splits[s];
        char size[32];
        text_bytes((double)split_bytes(split), size, sizeof size);
        fprintf(out, "  %-11s  %" PRId64 " images, %" PRId64 " segments in %" PRId64 " shard%s, %s\n", SPLIT_NAMES[s],
                split->images, split->segments, split->shard_count, split->shard_count == 1 ? "" : "s", size);
    }
    fprintf(out, "  classes      %d: %d seen, %d unseen; their segments:\n\n", classes->count, classes->seen_count,
            classes->unseen_count);
    fprintf(out, "  %-*s  %-5s  %-6s  %9s  %9s\n", width, "class", "kind", "split", SPLIT_NAMES[SPLIT_TRAIN],
            SPLIT_NAMES[SPLIT_VAL]);
    for (int i = 0; i < classes->count; i++) {
        print_class(classes, i, width, out);
        fprintf(out, "  %9" PRId64 "  %9" PRId64 "\n", counts[SPLIT_TRAIN][i], counts[SPLIT_VAL][i]);
    }
}

static Status describe_dataset(const char *path, FILE *out)
{
    Manifest manifest;
    int64_t *counts[SPLIT_COUNT] = {NULL};
    TRY(manifest_read(path, &manifest));
    Status status = OK;
    for (int s = 0; status == OK && s < SPLIT_COUNT; s++) status = count_classes(path, s, &counts[s]);
    if (status == OK) print_dataset(path, &manifest, counts, out);
    for (int s = 0; s < SPLIT_COUNT; s++) memory_free(counts[s]);
    manifest_clear(&manifest);
    return status;
}

/* Sums over the parts of a feature store. */
typedef struct FeatureCounts {
    int64_t rows, no_object, images;
    int64_t *class_rows, *class_segments;
} FeatureCounts;

static Status count_part(FeatureStore *store, FeatureCounts *counts)
{
    const float *embeddings;
    const int32_t *labels;
    const int classes = feature_store_info(store)->classes.count;
    TRY(feature_store_train(store, &embeddings, &labels));
    counts->rows += feature_store_train_rows(store);
    counts->images += feature_store_images(store);
    for (int64_t i = 0; i < feature_store_train_rows(store); i++)
        *(labels[i] < classes ? &counts->class_rows[labels[i]] : &counts->no_object) += 1;
    for (int64_t i = 0; i < feature_store_images(store); i++) {
        FeatureImage image = {0};
        TRY(feature_store_image(store, i, &image));
        for (int32_t k = 0; k < image.segment_count; k++) counts->class_segments[image.segments[k].class_index]++;
        feature_image_clear(&image);
    }
    return OK;
}

static void print_features(const char *path, const FeatureInfo *info, const FeatureCounts *counts, FILE *out)
{
    const ClassTable *classes = &info->classes;
    const int width = name_width(classes);
    fprintf(out, "%s: feature store, version %d\n", path, FEATURE_STORE_VERSION);
    fprintf(out, "  segmenter    %s\n  unseen rule  %s\n", info->segmenter_digest, info->unseen_rule);
    fprintf(out, "  sizes        embeddings of %d, %d queries an image, class vectors of %d\n", info->embed_dim,
            info->queries, info->vector_dim);
    fprintf(out, "  train        %" PRId64 " rows, %" PRId64 " of them no object\n", counts->rows, counts->no_object);
    fprintf(out, "  test         %" PRId64 " images\n", counts->images);
    fprintf(out, "  classes      %d: %d seen, %d unseen\n\n", classes->count, classes->seen_count, classes->unseen_count);
    fprintf(out, "  %-*s  %-5s  %-6s  %10s  %13s\n", width, "class", "kind", "split", "train rows", "test segments");
    for (int i = 0; i < classes->count; i++) {
        print_class(classes, i, width, out);
        fprintf(out, "  %10" PRId64 "  %13" PRId64 "\n", counts->class_rows[i], counts->class_segments[i]);
    }
}

/* `path` is one store, or a directory of parts that are known to agree. */
static Status describe_stores(const char *path, bool is_directory, FILE *out)
{
    FeatureCounts counts = {0};
    FeatureStore *first;
    char *name = is_directory ? feature_set_part_path(path, 0) : memory_copy_string(path);
    if (name == NULL) return status_no_memory(strlen(path), "a path");
    Status status = feature_store_open(name, &first);
    if (status == OK) {
        const FeatureInfo *info = feature_store_info(first);
        counts.class_rows = memory_alloc_zero(2 * (size_t)info->classes.count, sizeof *counts.class_rows);
        if (counts.class_rows == NULL) status = status_no_memory((size_t)info->classes.count * 16, path);
        else counts.class_segments = counts.class_rows + info->classes.count;
        if (status == OK) status = count_part(first, &counts);
        for (int64_t i = 1; is_directory && status == OK; i++) {
            FeatureStore *part;
            memory_free(name);
            name = feature_set_part_path(path, i);
            if (name == NULL || !file_exists(name)) break;
            status = feature_store_open(name, &part);
            if (status != OK) break;
            status = count_part(part, &counts);
            feature_store_close(part);
        }
        if (status == OK) print_features(path, info, &counts, out);
        feature_store_close(first);
    }
    memory_free(counts.class_rows);
    memory_free(name);
    return status;
}

static Status describe_features(const char *path, bool is_directory, FILE *out)
{
    if (is_directory) {
        FeatureSet *set;
        TRY(feature_set_open(path, &set)); /* that the parts agree */
        feature_set_close(set);
    }
    return describe_stores(path, is_directory, out);
}

static const char *const ARRAY_TYPE_NAMES[] = {"float32", "float64", "int32", "int64", "uint8"};
_Static_assert(sizeof ARRAY_TYPE_NAMES / sizeof ARRAY_TYPE_NAMES[0] == ARRAY_TYPE_COUNT, "a name for each type");

static Status describe_checkpoint(const char *path, FILE *out)
{
    Checkpoint *checkpoint;
    TRY(checkpoint_read(path, NULL, &checkpoint));
    const char *header = checkpoint_header(checkpoint);
    int64_t values = 0;
    fprintf(out, "%s: checkpoint of kind %s\n  digest  %s\n", path, checkpoint_kind(checkpoint),
            checkpoint_digest(checkpoint));
    fprintf(out, "  header  %.400s%s\n", header, strlen(header) > 400 ? " ..." : "");
    for (int i = 0; i < checkpoint_count(checkpoint); i++) {
        const NamedArray *array = checkpoint_array(checkpoint, i);
        int64_t count = 1;
        fprintf(out, "  %-50s %-8s [", array->name, ARRAY_TYPE_NAMES[array->type]);
        for (int k = 0; k < array->rank; k++) {
            fprintf(out, "%s%" PRId64, k > 0 ? ", " : "", array->shape[k]);
            count *= array->shape[k];
        }
        fputs("]\n", out);
        values += count;
    }
    fprintf(out, "  %d arrays, %" PRId64 " numbers\n", checkpoint_count(checkpoint), values);
    checkpoint_destroy(checkpoint);
    return OK;
}

static Status describe_shard(const char *path, FILE *out)
{
    ShardIndex index;
    TRY(shard_index_read(path, &index));
    fprintf(out, "%s: shard of split %s, version %d\n  %" PRId64 " images, %" PRId64 " segments, %d classes (%d unseen), "
            "rule %s\n  digest  %s\n", path, index.split, DATASET_VERSION, index.images, index.segments,
            index.classes.count, index.classes.unseen_count, index.unseen_rule, index.digest);
    shard_index_clear(&index);
    return OK;
}

Status store_describe(const char *path, FILE *out)
{
    StoreKind kind;
    TRY(find_kind(path, &kind));
    switch (kind) {
    case STORE_DATASET: return describe_dataset(path, out);
    case STORE_FEATURE_PARTS: return describe_features(path, true, out);
    case STORE_FEATURES: return describe_features(path, false, out);
    case STORE_SHARD: return describe_shard(path, out);
    case STORE_CHECKPOINT: return describe_checkpoint(path, out);
    }
    return status_error(STATUS_INTERNAL, "%s: a store of no kind", path);
}

/* ---- verifying ---- */

static Status verify_parts(const char *path, int64_t *parts)
{
    FeatureSet *set;
    TRY(feature_set_open(path, &set)); /* that the parts agree */
    feature_set_close(set);
    for (*parts = 0;; ++*parts) {
        char *part = feature_set_part_path(path, *parts);
        if (part == NULL) return status_no_memory(strlen(path), "a path");
        bool there = file_exists(part);
        Status status = there ? feature_store_verify(part) : OK;
        memory_free(part);
        if (status != OK || !there) return status;
    }
}

static Status verify_shard(const char *path)
{
    ShardIndex index;
    Sample sample = {0};
    TRY(shard_index_read(path, &index));
    Status status = shard_verify(&index, path, &sample);
    sample_clear(&sample);
    shard_index_clear(&index);
    return status;
}

Status store_verify(const char *path, FILE *out)
{
    StoreKind kind;
    int64_t images = 0, segments = 0;
    Checkpoint *checkpoint = NULL;
    TRY(find_kind(path, &kind));
    switch (kind) {
    case STORE_DATASET:
        TRY(dataset_verify(path, &images, &segments));
        fprintf(out, "%s: %" PRId64 " images, %" PRId64 " segments: ", path, images, segments);
        break;
    case STORE_FEATURE_PARTS:
        TRY(verify_parts(path, &images));
        fprintf(out, "%s: feature store of %" PRId64 " parts: ", path, images);
        break;
    case STORE_FEATURES:
        TRY(feature_store_verify(path));
        fprintf(out, "%s: feature store: ", path);
        break;
    case STORE_SHARD:
        TRY(verify_shard(path));
        fprintf(out, "%s: shard: ", path);
        break;
    case STORE_CHECKPOINT:
        TRY(checkpoint_read(path, NULL, &checkpoint));
        fprintf(out, "%s: checkpoint of %d arrays: ", path, checkpoint_count(checkpoint));
        checkpoint_destroy(checkpoint);
        break;
    }
    fputs("every checksum and reference holds\n", out);
    return OK;
}
