#include "storage/dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "storage/class_table.h"
#include "storage/manifest.h"
#include "storage/shard.h"

/* A data set of many shards must not use up the process's descriptors (often
 * 1024): the one opened longest ago is closed for the next. */
enum { MAX_OPEN = 256 };

typedef struct DatasetShard {
    char *path;
    int fd; /* -1: closed */
    int64_t first; /* number of its first image in the split */
    ShardIndex index;
} DatasetShard;

struct Dataset {
    Manifest manifest;
    DatasetShard *shards;
    int64_t shard_count, image_count;
    int64_t opened[MAX_OPEN]; /* ring of open shards */
    int open_count, oldest;
    pthread_mutex_t lock;     /* of all above from `opened` on, and of the shards' descriptors */
};

void sample_clear(Sample *sample)
{
    memory_free(sample->rgb);
    memory_free(sample->map);
    memory_free(sample->segments);
    memory_free(sample->file);
    memory_free(sample->full);
    *sample = (Sample){0};
}

static Status check_shard(const ManifestShard *listed, const Manifest *manifest, const char *split,
                          const DatasetShard *shard)
{
    const ShardIndex *index = &shard->index;
    if (strcmp(listed->digest, index->digest) != 0 || listed->images != index->images ||
        listed->segments != index->segments || listed->bytes != index->bytes)
        return status_error(STATUS_CORRUPT, "%s: not the shard that manifest.json lists; import the data set anew",
                            shard->path);
    if (strcmp(index->split, split) != 0 || strcmp(index->unseen_rule, manifest->unseen_rule) != 0 ||
        !class_table_equal(&index->classes, &manifest->classes))
        return status_error(STATUS_CORRUPT, "%s: split, rule or classes differ from manifest.json's", shard->path);
    if (index->unseen_segments > 0 && strcmp(split, SPLIT_NAMES[SPLIT_TRAIN]) == 0)
        return status_error(STATUS_CORRUPT, "%s: %" PRId64 " training segments of unseen classes", shard->path,
                            index->unseen_segments);
    return OK;
}

static Status open_shards(Dataset *dataset, const char *directory, const char *split, const ManifestSplit *listed)
{
    dataset->shards = memory_alloc_zero((size_t)listed->shard_count + 1, sizeof *dataset->shards);
    if (dataset->shards == NULL) return status_no_memory((size_t)listed->shard_count, directory);
    for (int64_t i = 0; i < listed->shard_count; i++) {
        DatasetShard *shard = &dataset->shards[i];
        shard->fd = -1;
        shard->path = path_join(directory, listed->shards[i].file);
        dataset->shard_count++;
        if (shard->path == NULL) return status_no_memory(strlen(directory), "a shard's name");
        TRY(shard_index_read(shard->path, &shard->index));
        TRY(check_shard(&listed->shards[i], &dataset->manifest, split, shard));
        shard->first = dataset->image_count;
        dataset->image_count += shard->index.images;
    }
    return OK;
}

Status dataset_open(const char *directory, const char *split, Dataset **out)
{
    *out = NULL;
    int number = 0;
    while (number < SPLIT_COUNT && strcmp(SPLIT_NAMES[number], split) != 0) number++;
    if (number == SPLIT_COUNT) return status_error(STATUS_INVALID, "%s: no split \"%s\"", directory, split);
    Dataset *dataset = memory_alloc_zero(1, sizeof *dataset);
    if (dataset == NULL) return status_no_memory(sizeof *dataset, directory);
    pthread_mutex_init(&dataset->lock, NULL);
    Status status = manifest_read(directory, &dataset->manifest);
    if (status == OK) status = open_shards(dataset, directory, split, &dataset->manifest.splits[number]);
    if (status != OK) {
        dataset_close(dataset);
        return status;
    }
    *out = dataset;
    return OK;
}

void dataset_close(Dataset *dataset)
{
    if (dataset == NULL) return;
    for (int64_t i = 0; i < dataset->shard_count; i++) {
        if (dataset->shards[i].fd >= 0) close(dataset->shards[i].fd);
        memory_free(dataset->shards[i].path);
        shard_index_clear(&dataset->shards[i].index);
    }
    memory_free(dataset->shards);
    manifest_clear(&dataset->manifest);
    pthread_mutex_destroy(&dataset->lock);
    memory_free(dataset);
}

int64_t dataset_count(const Dataset *dataset)
{
    return dataset->image_count;
}

const ClassTable *dataset_classes(const Dataset *dataset)
{
    return &dataset->manifest.classes;
}

const char *dataset_unseen_rule(const Dataset *dataset)
{
    return dataset->manifest.unseen_rule;
}

static Status ensure_open(Dataset *dataset, int64_t number)
{
    DatasetShard *shard = &dataset->shards[number];
    if (shard->fd >= 0) return OK;
    shard->fd = open(shard->path, O_RDONLY | O_CLOEXEC);
    if (shard->fd < 0) return status_errno(errno, "open", shard->path);
    if (dataset->open_count < MAX_OPEN) {
        dataset->opened[dataset->open_count++] = number;
        return OK;
    }
    DatasetShard *left = &dataset->shards[dataset->opened[dataset->oldest]];
    close(left->fd);
    left->fd = -1;
    dataset->opened[dataset->oldest] = number;
    dataset->oldest = (dataset->oldest + 1) % MAX_OPEN;
    return OK;
}

/* The last shard that starts at or before `index`. */
static int64_t find_shard(const Dataset *dataset, int64_t index)
{
    int64_t low = 0, high = dataset->shard_count - 1;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (dataset->shards[middle].first <= index) low = middle;
        else high = middle - 1;
    }
    return low;
}

/* A descriptor of the caller's own, which another thread can't close for a shard of its choice. */
static Status borrow(Dataset *dataset, DatasetShard *shard, int *fd)
{
    pthread_mutex_lock(&dataset->lock);
    Status status = ensure_open(dataset, shard - dataset->shards);
    if (status == OK && (*fd = fcntl(shard->fd, F_DUPFD_CLOEXEC, 0)) < 0) status = status_errno(errno, "open", shard->path);
    pthread_mutex_unlock(&dataset->lock);
    return status;
}

Status dataset_read(Dataset *dataset, int64_t index, Sample *sample)
{
    if (index < 0 || index >= dataset->image_count)
        return status_error(STATUS_INTERNAL, "image %" PRId64 " of %" PRId64 " asked for", index, dataset->image_count);
    DatasetShard *shard = &dataset->shards[find_shard(dataset, index)];
    int fd = -1;
    TRY(borrow(dataset, shard, &fd));
    Status status = shard_read_image(&shard->index, fd, shard->path, index - shard->first, sample);
    close(fd);
    return status;
}

Status dataset_class_counts(Dataset *dataset, int64_t *segments)
{
    memset(segments, 0, (size_t)dataset->manifest.classes.count * sizeof *segments);
    for (int64_t i = 0; i < dataset->shard_count; i++)
        for (int64_t k = 0; k < dataset->shards[i].index.segments; k++)
            segments[dataset->shards[i].index.segment_class[k]]++;
    return OK;
}

static Status verify_split(const char *directory, const char *split, int64_t *images, int64_t *segments)
{
    Dataset *dataset;
    Sample sample = {0};
    TRY(dataset_open(directory, split, &dataset));
    Status status = OK;
    for (int64_t i = 0; status == OK && i < dataset->shard_count; i++) {
        status = shard_verify(&dataset->shards[i].index, dataset->shards[i].path, &sample);
        *images += dataset->shards[i].index.images;
        *segments += dataset->shards[i].index.segments;
    }
    sample_clear(&sample);
    dataset_close(dataset);
    return status;
}

Status dataset_verify(const char *directory, int64_t *images, int64_t *segments)
{
    *images = *segments = 0;
    Status status = OK;
    for (int s = 0; status == OK && s < SPLIT_COUNT; s++)
        status = verify_split(directory, SPLIT_NAMES[s], images, segments);
    return status;
}
