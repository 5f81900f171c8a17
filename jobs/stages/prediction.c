#include "jobs/stages/prediction.h"

#include "framework/memory.h"

void prediction_clear(Prediction *prediction)
{
    memory_free(prediction->ids);
    memory_free(prediction->labels);
    memory_free(prediction->segments);
    memory_free(prediction->scores);
    memory_free(prediction->probabilities);
    memory_free(prediction->found);
    memory_free(prediction->is_thing);
    *prediction = (Prediction){0};
}

static Status reserve_pixels(Prediction *p, size_t pixels)
{
    if (pixels <= p->pixel_capacity) return OK;
    memory_free(p->ids);
    memory_free(p->labels);
    p->pixel_capacity = 0;
    p->ids = memory_alloc(pixels * sizeof *p->ids);
    p->labels = memory_alloc(pixels * sizeof *p->labels);
    if (p->ids == NULL || p->labels == NULL) return status_no_memory(pixels * 8, "a prediction");
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
