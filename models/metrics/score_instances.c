#include "models/metrics/score_instances.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "framework/memory.h"
#include "framework/progress.h"

/* An id and the place of what has it; sorted by both. */
typedef struct Key { int64_t id, place; } Key;

static int compare_keys(const void *a, const void *b)
{
    const Key *x = a, *y = b;
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* The first key at or after `id`. */
static int64_t find_key(const Key *keys, int64_t count, int64_t id)
{
    int64_t low = 0, high = count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (keys[middle].id < id) low = middle + 1;
        else high = middle;
    }
    return low;
}

typedef struct Tables {
    const InstanceSet *truth, *results;
    Key *classes, *images;             /* ids of both */
    int64_t class_count, image_count;
    Key *sides[2];                     /* annotations of truth and results by their image's id */
} Tables;

static void tables_clear(Tables *tables)
{
    memory_free(tables->classes);
    memory_free(tables->images);
    memory_free(tables->sides[0]);
    memory_free(tables->sides[1]);
}

static Status sort_unique(Key *keys, int64_t count, const char *path, const char *what)
{
    qsort(keys, (size_t)count, sizeof *keys, compare_keys);
    for (int64_t i = 1; i < count; i++)
        if (keys[i].id == keys[i - 1].id)
            return status_error(STATUS_INVALID, "%s: %s: id %" PRId64 " occurs twice", path, what, keys[i].id);
    return OK;
}

static Status list_annotations(Tables *tables, int side)
{
    const InstanceSet *set = side == 0 ? tables->truth : tables->results;
    Key *keys = tables->sides[side];
    for (int64_t i = 0; i < set->annotation_count; i++) {
        const InstanceAnnotation *annotation = &set->annotations[i];
        keys[i] = (Key){annotation->image_id, i};
        int64_t place = find_key(tables->images, tables->image_count, annotation->image_id);
        if (place == tables->image_count || tables->images[place].id != annotation->image_id)
            return status_error(STATUS_INVALID, "%s: annotation %" PRId64 ": image_id %" PRId64 " is no image of %s",
                                set->set.path, i, annotation->image_id, tables->truth->set.path);
        place = find_key(tables->classes, tables->class_count, annotation->category_id);
        if (place == tables->class_count || tables->classes[place].id != annotation->category_id)
            return status_error(STATUS_INVALID, "%s: annotation %" PRId64 ": category_id %" PRId64 " is no category of %s",
                                set->set.path, i, annotation->category_id, tables->truth->set.path);
    }
    qsort(keys, (size_t)set->annotation_count, sizeof *keys, compare_keys);
    return OK;
}

static Status tables_fill(Tables *tables)
{
    const CocoSet *set = &tables->truth->set;
    tables->class_count = set->classes.count;
    tables->image_count = set->image_count;
    tables->classes = memory_alloc(((size_t)set->classes.count + 1) * sizeof(Key));
    tables->images = memory_alloc(((size_t)set->image_count + 1) * sizeof(Key));
    tables->sides[0] = memory_alloc(((size_t)tables->truth->annotation_count + 1) * sizeof(Key));
    tables->sides[1] = memory_alloc(((size_t)tables->results->annotation_count + 1) * sizeof(Key));
    if (tables->classes == NULL || tables->images == NULL || tables->sides[0] == NULL || tables->sides[1] == NULL)
        return status_no_memory((size_t)tables->results->annotation_count * sizeof(Key), "tables of annotations");
    for (int i = 0; i < set->classes.count; i++) tables->classes[i] = (Key){set->classes.entries[i].id, i};
    for (int64_t i = 0; i < set->image_count; i++) tables->images[i] = (Key){set->images[i].id, i};
    TRY(sort_unique(tables->classes, tables->class_count, set->path, "categories"));
    TRY(sort_unique(tables->images, tables->image_count, set->path, "images"));
    TRY(list_annotations(tables, 0));
    return list_annotations(tables, 1);
}

/* Masks of one side of one image. */
typedef struct Side {
    const Key *keys;
    int count;
    Rle *masks;
} Side;

static void side_clear(Side *side)
{
    for (int i = 0; side->masks != NULL && i < side->count; i++) rle_clear(&side->masks[i]);
    memory_free(side->masks);
}

static Status side_draw(const Tables *tables, int number, const CocoImage *image, Side *side)
{
    const InstanceSet *set = number == 0 ? tables->truth : tables->results;
    const int64_t first = find_key(tables->sides[number], set->annotation_count, image->id);
    int64_t end = first;
    while (end < set->annotation_count && tables->sides[number][end].id == image->id) end++;
    *side = (Side){.keys = tables->sides[number] + first, .count = (int)(end - first)};
    side->masks = memory_alloc_zero((size_t)side->count + 1, sizeof *side->masks);
    if (side->masks == NULL) return status_no_memory((size_t)side->count * sizeof *side->masks, "masks");
    for (int i = 0; i < side->count; i++)
        TRY(instance_set_mask(set, side->keys[i].place, image->height, image->width, &side->masks[i]));
    return OK;
}

static int32_t class_of(const Tables *tables, const InstanceAnnotation *annotation)
{
    return (int32_t)tables->classes[find_key(tables->classes, tables->class_count, annotation->category_id)].place;
}

static Status add_pairs(const Tables *tables, const CocoImage *image, const Side sides[2], InstanceScore *score)
{
    const int truths = sides[0].count, found = sides[1].count;
    TrueInstance *truth = memory_alloc(((size_t)truths + 1) * sizeof *truth);
    DetectedInstance *detections = memory_alloc(((size_t)found + 1) * sizeof *detections);
    int64_t *common = memory_alloc_zero((size_t)truths * (size_t)found + 1, sizeof *common);
    Status status = OK;
    if (truth == NULL || detections == NULL || common == NULL) {
        status = status_no_memory((size_t)truths * (size_t)found * sizeof *common, image->file_name);
    } else {
        for (int t = 0; t < truths; t++) {
            const InstanceAnnotation *annotation = &tables->truth->annotations[sides[0].keys[t].place];
            const int64_t pixels = rle_area(&sides[0].masks[t]);
            truth[t] = (TrueInstance){.class_index = class_of(tables, annotation), .pixels = pixels,
                                      .area = annotation->area < 0 ? (double)pixels : annotation->area,
                                      .is_crowd = annotation->is_crowd};
        }
        for (int d = 0; d < found; d++) {
            const InstanceAnnotation *annotation = &tables->results->annotations[sides[1].keys[d].place];
            detections[d] = (DetectedInstance){.class_index = class_of(tables, annotation), .score = annotation->score,
                                               .pixels = rle_area(&sides[1].masks[d])};
            for (int t = 0; t < truths; t++)
                if (truth[t].class_index == detections[d].class_index)
                    common[(int64_t)d * truths + t] = rle_common(&sides[1].masks[d], &sides[0].masks[t]);
        }
        const InstanceImage pairs = {.image_id = image->id, .truth_count = truths, .detection_count = found,
                                     .truths = truth, .detections = detections, .common = common};
        status = instance_score_add(score, &pairs, image->file_name);
    }
    memory_free(truth);
    memory_free(detections);
    memory_free(common);
    return status;
}

static Status score_image(const Tables *tables, int64_t number, InstanceScore *score)
{
    const CocoImage *image = &tables->truth->set.images[number];
    Side sides[2] = {{.count = 0}, {.count = 0}};
    Status status = side_draw(tables, 0, image, &sides[0]);
    if (status == OK) status = side_draw(tables, 1, image, &sides[1]);
    if (status == OK) status = add_pairs(tables, image, sides, score);
    side_clear(&sides[0]);
    side_clear(&sides[1]);
    return status;
}

/* Each thread counts by itself. The first failure by place wins, so that the message does not depend on the threads. */
static Status score_all(const Tables *tables, InstanceScore *score)
{
    int64_t done = 0, failed_at = tables->image_count;
    Status failure = OK;
    Progress *progress = progress_create("score", tables->image_count, "images");
#pragma omp parallel
    {
        InstanceScore own = {0};
        Status status = instance_score_create(score->class_count, &own);
        int64_t failed = status == OK ? tables->image_count : -1;
#pragma omp for schedule(dynamic, 4)
        for (int64_t i = 0; i < tables->image_count; i++) {
            if (status == OK && (status = score_image(tables, i, &own)) != OK) failed = i;
#pragma omp critical
            progress_update(progress, ++done, NULL);
        }
#pragma omp critical
        {
            if (status == OK) {
                status = instance_score_merge(score, &own);
                failed = -1;
            }
            if (status != OK && failed < failed_at) {
                status_free(failure);
                failure = status;
                failed_at = failed;
            } else {
                status_free(status);
            }
        }
        instance_score_clear(&own);
    }
    progress_destroy(progress);
    return failure;
}

Status instance_score_files(const InstanceSet *truth, const InstanceSet *results, InstanceScore *score)
{
    Tables tables = {.truth = truth, .results = results};
    Status status = instance_score_create(truth->set.classes.count, score);
    if (status == OK) status = tables_fill(&tables);
    if (status == OK) status = score_all(&tables, score);
    tables_clear(&tables);
    if (status != OK) instance_score_clear(score);
    return status;
}
