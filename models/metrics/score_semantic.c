#include "models/metrics/score_semantic.h"

#include <string.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/progress.h"
#include "storage/label_map.h"

enum { VALUES = 65536 };

typedef struct Side {
    LabelMap map;
    int32_t *labels;
    size_t capacity;
} Side;

static void side_clear(Side *side)
{
    label_map_clear(&side->map);
    memory_free(side->labels);
}

static Status side_read(const char *folder, const char *name, const int32_t *class_of, Side *side)
{
    char *path = path_join(folder, name);
    Status status = path == NULL ? status_no_memory(256, "a path") : label_map_read(path, &side->map);
    if (status == OK && side->map.is_rgb)
        status = status_error(STATUS_INVALID, "%s: an RGB image; class labels are grey or palette PNGs", path);
    memory_free(path);
    TRY(status);
    const size_t pixels = (size_t)side->map.height * (size_t)side->map.width;
    if (pixels > side->capacity) {
        memory_free(side->labels);
        side->capacity = 0;
        side->labels = memory_alloc(pixels * sizeof *side->labels);
        if (side->labels == NULL) return status_no_memory(pixels * sizeof *side->labels, name);
        side->capacity = pixels;
    }
    for (size_t i = 0; i < pixels; i++) side->labels[i] = class_of[side->map.values[i]];
    return OK;
}

typedef struct Folders {
    const char *truth, *prediction;
    char **names;
    int64_t count;
    int32_t *class_of; /* [VALUES] */
} Folders;

static Status score_image(const Folders *folders, const char *name, Side sides[2], SemanticScore *score)
{
    TRY(side_read(folders->truth, name, folders->class_of, &sides[0]));
    TRY(side_read(folders->prediction, name, folders->class_of, &sides[1]));
    if (sides[0].map.height != sides[1].map.height || sides[0].map.width != sides[1].map.width)
        return status_error(STATUS_INVALID, "%s/%s: is %dx%d pixels, the truth %dx%d", folders->prediction, name,
                            sides[1].map.width, sides[1].map.height, sides[0].map.width, sides[0].map.height);
    return semantic_score_add(score, sides[0].labels, sides[1].labels,
                              (int64_t)sides[0].map.height * sides[0].map.width, name);
}

/* Each thread counts by itself. The first failure by name wins, so that the message does not depend on the threads. */
static Status score_all(const Folders *folders, SemanticScore *score)
{
    int64_t done = 0, failed_at = folders->count;
    Status failure = OK;
    Progress *progress = progress_create("score", folders->count, "images");
#pragma omp parallel
    {
        Side sides[2] = {{.labels = NULL}, {.labels = NULL}};
        SemanticScore own = {0};
        Status status = semantic_score_create(score->class_count, &own);
        int64_t failed = status == OK ? folders->count : -1;
#pragma omp for schedule(dynamic, 4)
        for (int64_t i = 0; i < folders->count; i++) {
            if (status == OK && (status = score_image(folders, folders->names[i], sides, &own)) != OK) failed = i;
#pragma omp critical
            progress_update(progress, ++done, NULL);
        }
#pragma omp critical
        {
            if (status == OK) {
                semantic_score_merge(score, &own);
            } else if (failed < failed_at) {
                status_free(failure);
                failure = status;
                failed_at = failed;
            } else {
                status_free(status);
            }
        }
        semantic_score_clear(&own);
        side_clear(&sides[0]);
        side_clear(&sides[1]);
    }
    progress_destroy(progress);
    return failure;
}

/* Only PNGs stay in the list. */
static void keep_pngs(Folders *folders, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const size_t length = strlen(folders->names[i]);
        if (length > 4 && strcmp(folders->names[i] + length - 4, ".png") == 0)
            folders->names[folders->count++] = folders->names[i];
        else memory_free(folders->names[i]);
    }
}

static Status fill_classes(const ClassTable *classes, Folders *folders)
{
    folders->class_of = memory_alloc((size_t)VALUES * sizeof *folders->class_of);
    if (folders->class_of == NULL) return status_no_memory((size_t)VALUES * 4, "classes");
    for (int i = 0; i < VALUES; i++) folders->class_of[i] = -1;
    for (int c = 0; c < classes->count; c++) {
        const int64_t id = classes->entries[c].id;
        if (id < 0 || id >= VALUES)
            return status_error(STATUS_INVALID, "category %lld (%s) can't be a pixel's value", (long long)id,
                                classes->entries[c].name);
        folders->class_of[id] = c;
    }
    return OK;
}

Status semantic_score_folders(const ClassTable *classes, const char *truth, const char *prediction,
                              SemanticScore *score, int64_t *images)
{
    Folders folders = {.truth = truth, .prediction = prediction};
    size_t count = 0;
    Status status = semantic_score_create(classes->count, score);
    if (status == OK) status = fill_classes(classes, &folders);
    if (status == OK) status = directory_list(truth, &folders.names, &count);
    if (status == OK) {
        keep_pngs(&folders, count);
        status = folders.count == 0 ? status_error(STATUS_NOT_FOUND, "%s: no PNG there", truth)
                                    : score_all(&folders, score);
        names_free(folders.names, (size_t)folders.count);
    }
    *images = folders.count;
    memory_free(folders.class_of);
    if (status != OK) semantic_score_clear(score);
    return status;
}
