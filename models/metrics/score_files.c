#include "models/metrics/score_files.h"

#include <string.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/progress.h"
#include "storage/image.h"

/* One side of one image. */
typedef struct Side {
    Image picture;
    int32_t *ids;
    size_t id_capacity;
    PanopticSegment *segments;
    size_t segment_capacity;
    PanopticMap map;
} Side;

static void side_clear(Side *side)
{
    image_clear(&side->picture);
    memory_free(side->ids);
    memory_free(side->segments);
    *side = (Side){0};
}

static Status side_reserve(Side *side, size_t pixels, size_t segments)
{
    if (pixels > side->id_capacity) {
        memory_free(side->ids);
        side->ids = memory_alloc(pixels * sizeof *side->ids);
        side->id_capacity = side->ids == NULL ? 0 : pixels;
    }
    if (segments > side->segment_capacity) {
        memory_free(side->segments);
        side->segments = memory_alloc(segments * sizeof *side->segments);
        side->segment_capacity = side->segments == NULL ? 0 : segments;
    }
    if ((pixels > 0 && side->ids == NULL) || (segments > 0 && side->segments == NULL))
        return status_no_memory(pixels * sizeof *side->ids, "a segment map");
    return OK;
}

static Status side_read(const PanopticFile *truth, const PanopticFile *file, const char *folder,
                        const PanopticAnnotation *annotation, Side *side)
{
    char *path = path_join(folder, annotation->file_name);
    if (path == NULL)
        return status_no_memory(strlen(folder), "a path");
    Status status = image_read(path, &side->picture);
    memory_free(path);
    TRY(status);
    size_t pixels = (size_t)side->picture.height * (size_t)side->picture.width;
    TRY(side_reserve(side, pixels, (size_t)annotation->segment_count));
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *rgb = side->picture.rgb + 3 * i;
        side->ids[i] = rgb[0] + 256 * rgb[1] + 65536 * rgb[2];
    }
    for (int i = 0; i < annotation->segment_count; i++) {
        const PanopticEntry *entry = &annotation->segments[i];
        int class_index = panoptic_file_class(truth, entry->category_id);
        if (class_index < 0)
            return status_error(STATUS_INVALID, "%s: image %lld: segment %lld has category %lld, which %s does not "
                                "list", file->path, (long long)annotation->image_id, (long long)entry->id,
                                (long long)entry->category_id, truth->path);
        side->segments[i] = (PanopticSegment){(int32_t)entry->id, class_index, entry->area, entry->is_crowd};
    }
    side->map = (PanopticMap){side->picture.height, side->picture.width, side->ids, annotation->segment_count,
                              side->segments};
    return OK;
}

typedef struct Sources {
    const PanopticFile *truth, *prediction;
    const char *truth_folder, *prediction_folder;
} Sources;

static Status score_image(const Sources *sources, int place, Side sides[2], PanopticScore *score)
{
    const PanopticAnnotation *truth = &sources->truth->annotations[place];
    const PanopticAnnotation *prediction = panoptic_file_find(sources->prediction, truth->image_id);
    if (prediction == NULL)
        return status_error(STATUS_INVALID, "%s: no prediction for image %lld (%s of %s)", sources->prediction->path,
                            (long long)truth->image_id, truth->file_name, sources->truth->path);
    TRY(side_read(sources->truth, sources->truth, sources->truth_folder, truth, &sides[0]));
    TRY(side_read(sources->truth, sources->prediction, sources->prediction_folder, prediction, &sides[1]));
    Status status = panoptic_score_add(score, &sides[0].map, &sides[1].map, prediction->file_name);
    return status_wrap(status, "%s: image %lld", sources->prediction->path, (long long)truth->image_id);
}

/* Each thread counts by itself; whole numbers add up to the same in any order. The first failure by place wins, so
 * that the message does not depend on the threads either. */
static Status score_all(const Sources *sources, PanopticScore *score)
{
    int count = sources->truth->annotation_count, done = 0, failed_at = count;
    Status failure = OK;
    Progress *progress = progress_create("score", count, "images");
#pragma omp parallel
    {
        Side sides[2] = {{.ids = NULL}, {.ids = NULL}};
        PanopticScore own = {0};
        Status status = panoptic_score_create(score->class_count, &own);
        int failed = status == OK ? count : -1;
#pragma omp for schedule(dynamic, 4)
        for (int i = 0; i < count; i++) {
            if (status == OK) {
                status = score_image(sources, i, sides, &own);
                if (status != OK)
                    failed = i;
            }
#pragma omp critical
            progress_update(progress, ++done, NULL);
        }
#pragma omp critical
        {
            if (status == OK) {
                panoptic_score_merge(score, &own);
            } else if (failed < failed_at) {
                status_free(failure);
                failure = status;
                failed_at = failed;
            } else {
                status_free(status);
            }
        }
        panoptic_score_clear(&own);
        side_clear(&sides[0]);
        side_clear(&sides[1]);
    }
    progress_destroy(progress);
    return failure;
}

/* "a/gt.json" has its PNGs in "a/gt". */
static char *default_folder(const char *path)
{
    size_t length = strlen(path);
    if (length > 5 && strcmp(path + length - 5, ".json") == 0)
        length -= 5;
    return memory_format("%.*s", (int)length, path);
}

Status panoptic_score_files(const PanopticFile *truth, const char *truth_folder, const PanopticFile *prediction,
                            const char *prediction_folder, PanopticScore *score)
{
    char *truth_default = default_folder(truth->path), *prediction_default = default_folder(prediction->path);
    Status status = OK;
    *score = (PanopticScore){0};
    if (truth_default == NULL || prediction_default == NULL)
        status = status_no_memory(strlen(truth->path), "a path");
    if (status == OK)
        status = panoptic_score_create(truth->classes.count, score);
    if (status == OK) {
        Sources sources = {truth, prediction, truth_folder != NULL ? truth_folder : truth_default,
                           prediction_folder != NULL ? prediction_folder : prediction_default};
        status = score_all(&sources, score);
    }
    if (status != OK)
        panoptic_score_clear(score);
    memory_free(truth_default);
    memory_free(prediction_default);
    return status;
}
