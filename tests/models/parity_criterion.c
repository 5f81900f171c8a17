/* criterion.h5: matching, losses and their gradients under given draws. The
 * file's batch runs image by image here, which must give the batch's numbers. */
#include <stdio.h>
#include <string.h>

#include "framework/memory.h"
#include "models/segmenter/criterion.h"
#include "tests/models/parity_file.h"

#define IMAGES 8
static const char *const HEAD_NAMES[2] = {"final", "aux0"}; /* in the order of the file's draws */

typedef struct Batch {
    ParityFile *file;
    ParityResult *result;
    CriterionConfig config;
    int64_t images, queries, classes, height, width;
    ParityData class_logits[2], mask_logits[2];
    float *class_grad[2], *mask_grad[2];
    uint16_t *maps[IMAGES];
    TargetSegment *segments[IMAGES];
    SegmentTarget targets[IMAGES];
    CriterionBatch denominators;
    ParityData uniforms[2][2 + IMAGES]; /* per head: matching of each image, then candidates and rest of all masks */
    int64_t image, first_mask;          /* the one being run; its place among all masks */
    double ce[2], mask[2], dice[2], total;
} Batch;

static void give_draws(void *context, int head, CriterionDraw draw, int mask, float *values, int64_t count)
{
    Batch *batch = context;
    int64_t which = draw == CRITERION_DRAW_MATCHING ? batch->image
                    : draw == CRITERION_DRAW_CANDIDATES ? batch->images : batch->images + 1;
    int64_t row = draw == CRITERION_DRAW_MATCHING ? 0 : batch->first_mask + mask;
    const ParityData *data = &batch->uniforms[head][which];
    if ((row + 1) * count <= data->count) memcpy(values, data->values + row * count, sizeof(float) * (size_t)count);
    else memset(values, 0, sizeof(float) * (size_t)count); /* then the losses differ, and that is reported */
}

static Status read_target(Batch *batch, int64_t image)
{
    char name[96];
    int32_t *labels = NULL;
    int64_t count = 0;
    ParityData masks = {0};
    snprintf(name, sizeof name, "input/targets/%lld/labels", (long long)image);
    TRY(parity_file_read_ints(batch->file, name, &labels, &count));
    snprintf(name, sizeof name, "input/targets/%lld/masks", (long long)image);
    Status status = parity_file_read(batch->file, name, &masks);
    if (status != OK) {
        memory_free(labels);
        return status;
    }
    int64_t area = masks.shape[1] * masks.shape[2];
    uint16_t *map = batch->maps[image] = memory_alloc_zero((size_t)area, sizeof *map);
    TargetSegment *segments = batch->segments[image] = memory_alloc_zero((size_t)count, sizeof *segments);
    if (map == NULL || segments == NULL || masks.rank != 3 || masks.shape[0] != count)
        status = status_error(STATUS_INVALID, "%s: unexpected shape", name);
    for (int64_t t = 0; status == OK && t < count; t++) {
        segments[t] = (TargetSegment){(int32_t)t + 1, labels[t]};
        for (int64_t i = 0; i < area; i++)
            if (masks.values[t * area + i] != 0) map[i] = (uint16_t)(t + 1);
    }
    batch->targets[image] = (SegmentTarget){.map = map, .height = masks.shape[1], .width = masks.shape[2],
                                            .segments = segments, .count = (int)count};
    memory_free(labels);
    memory_free(masks.values);
    return status;
}

static Status read_config(Batch *batch)
{
    CriterionConfig *c = &batch->config;
    TRY(parity_file_int(batch->file, "batch", &batch->images));
    TRY(parity_file_int(batch->file, "queries", &batch->queries));
    TRY(parity_file_int(batch->file, "classes", &batch->classes));
    TRY(parity_file_int(batch->file, "points", &c->points));
    TRY(parity_file_double(batch->file, "class_weight", &c->class_weight));
    TRY(parity_file_double(batch->file, "mask_weight", &c->mask_weight));
    TRY(parity_file_double(batch->file, "dice_weight", &c->dice_weight));
    TRY(parity_file_double(batch->file, "no_object_weight", &c->no_object_weight));
    TRY(parity_file_double(batch->file, "oversample_ratio", &c->oversample));
    TRY(parity_file_double(batch->file, "importance_sample_ratio", &c->importance));
    if (batch->images > IMAGES) return status_error(STATUS_INVALID, "%lld images", (long long)batch->images);
    return OK;
}

static Status read_batch(Batch *batch)
{
    char name[96];
    TRY(read_config(batch));
    for (int64_t i = 0; i < batch->images; i++) {
        TRY(read_target(batch, i));
        criterion_count(&batch->config, (int)batch->queries, batch->targets[i].count, &batch->denominators);
    }
    for (int h = 0; h < 2; h++) {
        snprintf(name, sizeof name, "input/%s/pred_logits", HEAD_NAMES[h]);
        TRY(parity_file_read(batch->file, name, &batch->class_logits[h]));
        snprintf(name, sizeof name, "input/%s/pred_masks", HEAD_NAMES[h]);
        TRY(parity_file_read(batch->file, name, &batch->mask_logits[h]));
        batch->class_grad[h] = memory_alloc_zero((size_t)batch->class_logits[h].count, sizeof(float));
        batch->mask_grad[h] = memory_alloc_zero((size_t)batch->mask_logits[h].count, sizeof(float));
        if (batch->class_grad[h] == NULL || batch->mask_grad[h] == NULL)
            return status_no_memory((size_t)batch->mask_logits[h].count * sizeof(float), "gradients");
        for (int64_t k = 0; k < batch->images + 2; k++) {
            snprintf(name, sizeof name, "input/uniform/%02lld", (long long)(h * (batch->images + 2) + k));
            TRY(parity_file_read(batch->file, name, &batch->uniforms[h][k]));
        }
    }
    batch->height = batch->mask_logits[0].shape[2];
    batch->width = batch->mask_logits[0].shape[3];
    return OK;
}

/* The reference's pairs of one head and image. */
static Status compare_match(Batch *batch, int head, int64_t image, const int32_t *query_target)
{
    char name[96];
    int32_t *queries = NULL, *targets = NULL;
    int64_t count = 0, target_count = 0;
    snprintf(name, sizeof name, "output/match/%s/%lld/query", HEAD_NAMES[head], (long long)image);
    Status status = parity_file_read_ints(batch->file, name, &queries, &count);
    snprintf(name, sizeof name, "output/match/%s/%lld/target", HEAD_NAMES[head], (long long)image);
    if (status == OK) status = parity_file_read_ints(batch->file, name, &targets, &target_count);
    if (status == OK) {
        int64_t matched = 0;
        for (int64_t q = 0; q < batch->queries; q++) matched += query_target[q] >= 0;
        bool same = matched == count && target_count == count;
        for (int64_t i = 0; same && i < count; i++) same = query_target[queries[i]] == targets[i];
        parity_note_output(batch->result, name, same ? 0 : 1);
    }
    memory_free(queries);
    memory_free(targets);
    return status;
}

static Status run_images(Batch *batch, Criterion *criterion)
{
    int32_t *query_target = memory_alloc_zero((size_t)(2 * batch->queries), sizeof *query_target);
    if (query_target == NULL) return status_no_memory(64, "matches");
    Status status = OK;
    for (int64_t i = 0; i < batch->images && status == OK; i++) {
        batch->image = i;
        CriterionHead heads[2];
        int64_t area = batch->queries * batch->height * batch->width, row = batch->queries * (batch->classes + 1);
        for (int h = 0; h < 2; h++)
            heads[h] = (CriterionHead){batch->class_logits[h].values + i * row, batch->mask_logits[h].values + i * area,
                                       batch->class_grad[h] + i * row, batch->mask_grad[h] + i * area};
        CriterionLosses losses;
        status = criterion_run(criterion, heads, 2, batch->height, batch->width, &batch->targets[i],
                               &batch->denominators, query_target, &losses);
        for (int h = 0; h < 2 && status == OK; h++) {
            batch->ce[h] += losses.ce[h];
            batch->mask[h] += losses.mask[h];
            batch->dice[h] += losses.dice[h];
            status = compare_match(batch, h, i, query_target + h * batch->queries);
        }
        batch->total += losses.total;
        batch->first_mask += batch->targets[i].count;
    }
    memory_free(query_target);
    return status;
}

static Status compare(Batch *batch)
{
    static const char *const suffix[2] = {"", "_0"};
    char name[96];
    float value;
    for (int h = 0; h < 2; h++) {
        const struct { const char *name; double value; } losses[3] = {
            {"loss_ce", batch->ce[h]}, {"loss_mask", batch->mask[h]}, {"loss_dice", batch->dice[h]}};
        for (int k = 0; k < 3; k++) {
            snprintf(name, sizeof name, "output/%s%s", losses[k].name, suffix[h]);
            value = (float)losses[k].value;
            TRY(parity_compare_output(batch->file, name, &value, 1, batch->result));
        }
        snprintf(name, sizeof name, "input_grad/%s/pred_logits", HEAD_NAMES[h]);
        TRY(parity_compare_gradient(batch->file, name, batch->class_grad[h], batch->class_logits[h].count, batch->result));
        snprintf(name, sizeof name, "input_grad/%s/pred_masks", HEAD_NAMES[h]);
        TRY(parity_compare_gradient(batch->file, name, batch->mask_grad[h], batch->mask_logits[h].count, batch->result));
    }
    value = (float)batch->total;
    return parity_compare_output(batch->file, "output/total", &value, 1, batch->result);
}

static void release_batch(Batch *batch)
{
    for (int h = 0; h < 2; h++) {
        memory_free(batch->class_logits[h].values);
        memory_free(batch->mask_logits[h].values);
        memory_free(batch->class_grad[h]);
        memory_free(batch->mask_grad[h]);
        for (int k = 0; k < 2 + IMAGES; k++) memory_free(batch->uniforms[h][k].values);
    }
    for (int i = 0; i < IMAGES; i++) {
        memory_free(batch->maps[i]);
        memory_free(batch->segments[i]);
    }
    parity_file_close(batch->file);
}

Status parity_criterion(const char *path, ParityResult *result)
{
    Batch batch = {.result = result};
    Criterion *criterion = NULL;
    Status status;
    TRY_GOTO(status, parity_file_open(path, &batch.file), done);
    TRY_GOTO(status, read_batch(&batch), done);
    TRY_GOTO(status, criterion_create(&batch.config, DTYPE_F32, (int)batch.queries, (int)batch.classes, &criterion), done);
    criterion_set_draws(criterion, give_draws, &batch);
    TRY_GOTO(status, run_images(&batch, criterion), done);
    TRY_GOTO(status, compare(&batch), done);
done:
    criterion_destroy(criterion);
    release_batch(&batch);
    return status;
}
