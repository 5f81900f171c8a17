#include "jobs/stages/prediction.h"

#include "framework/memory.h"
#include "models/metrics/instances.h"

void prediction_clear(Prediction *prediction)
{
    memory_free(prediction->ids);
    memory_free(prediction->labels);
    memory_free(prediction->segments);
    memory_free(prediction->scores);
    memory_free(prediction->probabilities);
    memory_free(prediction->found);
    memory_free(prediction->is_thing);
    memory_free(prediction->instances);
    memory_free(prediction->mask);
    *prediction = (Prediction){0};
}

static Status reserve_pixels(Prediction *p, size_t pixels)
{
    if (pixels <= p->pixel_capacity) return OK;
    memory_free(p->ids);
    memory_free(p->labels);
    memory_free(p->mask);
    p->pixel_capacity = 0;
    p->ids = memory_alloc(pixels * sizeof *p->ids);
    p->labels = memory_alloc(pixels * sizeof *p->labels);
    p->mask = memory_alloc(pixels);
    if (p->ids == NULL || p->labels == NULL || p->mask == NULL) return status_no_memory(pixels * 8, "a prediction");
    p->pixel_capacity = pixels;
    return OK;
}

static Status reserve_queries(Prediction *p, size_t queries, size_t classes)
{
    if (queries <= p->query_capacity) return OK;
    memory_free(p->segments);
    memory_free(p->scores);
    memory_free(p->probabilities);
    memory_free(p->found);
    memory_free(p->is_thing);
    p->query_capacity = 0;
    p->segments = memory_alloc(queries * sizeof *p->segments);
    p->scores = memory_alloc(queries * sizeof *p->scores);
    p->probabilities = memory_alloc(queries * (classes + 1) * sizeof *p->probabilities);
    p->found = memory_alloc(queries * sizeof *p->found);
    p->is_thing = memory_alloc(classes * sizeof *p->is_thing);
    if (p->segments == NULL || p->scores == NULL || p->probabilities == NULL || p->found == NULL || p->is_thing == NULL)
        return status_no_memory(queries * classes * 4, "a prediction");
    p->query_capacity = queries;
    return OK;
}

Status prediction_make(Prediction *p, const Classifier *classifier, const PanopticConfig *config,
                       const float *embeddings, const float *masks, int queries, int64_t mask_height,
                       int64_t mask_width, int height, int width)
{
    int classes = classifier->classes.count;
    TRY(reserve_pixels(p, (size_t)height * (size_t)width));
    TRY(reserve_queries(p, (size_t)queries, (size_t)classes));
    for (int c = 0; c < classes; c++) p->is_thing[c] = classifier->classes.entries[c].is_thing;
    inference_classify(embeddings, queries, classifier->embed_dim, classifier->weight, classifier->bias, classes,
                       p->probabilities);
    QuerySet set = {.queries = queries, .classes = classes, .probabilities = p->probabilities, .mask_logits = masks,
                    .mask_height = mask_height, .mask_width = mask_width, .height = height, .width = width};
    TRY(inference_panoptic(&set, config, p->is_thing, p->ids, p->found, &p->segment_count));
    TRY(inference_semantic(&set, p->labels));
    for (int i = 0; i < p->segment_count; i++) {
        p->segments[i] = (PanopticSegment){.id = p->found[i].id, .class_index = p->found[i].class_index,
                                           .area = p->found[i].area};
        p->scores[i] = p->found[i].score;
    }
    p->height = height;
    p->width = width;
    return OK;
}

PanopticMap prediction_map(const Prediction *p)
{
    return (PanopticMap){.height = p->height, .width = p->width, .ids = p->ids, .segment_count = p->segment_count,
                         .segments = p->segments};
}

Status prediction_find_instances(Prediction *p, const Classifier *classifier, const float *masks, int queries,
                                 int64_t mask_height, int64_t mask_width)
{
    if (p->instances == NULL) p->instances = memory_alloc(INSTANCE_MAX_DETECTIONS * sizeof *p->instances);
    if (p->instances == NULL) return status_no_memory(INSTANCE_MAX_DETECTIONS * sizeof *p->instances, "instances");
    const QuerySet set = {.queries = queries, .classes = classifier->classes.count, .probabilities = p->probabilities,
                          .mask_logits = masks, .mask_height = mask_height, .mask_width = mask_width,
                          .height = p->height, .width = p->width};
    TRY(inference_instances(&set, p->is_thing, INSTANCE_MAX_DETECTIONS, p->instances, &p->instance_count));
    int kept = 0; /* a query without a pixel detects nothing, and a class out of the contest is none */
    for (int i = 0; i < p->instance_count; i++)
        if (p->instances[i].area > 0 && p->instances[i].score > 0) p->instances[kept++] = p->instances[i];
    p->instance_count = kept;
    return OK;
}

Status prediction_each_mask(Prediction *p, const float *masks, int queries, int64_t mask_height, int64_t mask_width,
                            Status (*use)(void *context, int instance, const uint8_t *mask), void *context)
{
    const QuerySet set = {.queries = queries, .classes = 1, .mask_logits = masks, .mask_height = mask_height,
                          .mask_width = mask_width, .height = p->height, .width = p->width};
    for (int q = 0; q < queries; q++) {
        bool made = false;
        for (int i = 0; i < p->instance_count; i++) {
            if (p->instances[i].query != q) continue;
            if (!made) TRY(inference_mask(&set, q, p->mask));
            made = true;
            TRY(use(context, i, p->mask));
        }
    }
    return OK;
}

typedef struct Overlaps {
    const uint16_t *map;
    int64_t pixels, *common;
    int segments;
} Overlaps;

static Status count_overlaps(void *context, int instance, const uint8_t *mask)
{
    const Overlaps *overlaps = context;
    int64_t *row = overlaps->common + (int64_t)instance * overlaps->segments;
    for (int64_t i = 0; i < overlaps->pixels; i++)
        if (mask[i] != 0 && overlaps->map[i] != 0) row[overlaps->map[i] - 1]++;
    return OK;
}

Status prediction_overlap_instances(Prediction *p, const float *masks, int queries, int64_t mask_height,
                                    int64_t mask_width, const uint16_t *map, int segments, int64_t *common)
{
    Overlaps overlaps = {map, (int64_t)p->height * p->width, common, segments};
    return prediction_each_mask(p, masks, queries, mask_height, mask_width, count_overlaps, &overlaps);
}
