#include "models/metrics/semantic.h"

#include "framework/memory.h"

Status semantic_score_create(int class_count, SemanticScore *score)
{
    size_t cells = (size_t)class_count * ((size_t)class_count + 1);
    score->class_count = class_count;
    score->confusion = memory_alloc_zero(cells, sizeof *score->confusion);
    if (score->confusion == NULL && class_count > 0)
        return status_no_memory(cells * sizeof *score->confusion, "the confusion matrix");
    return OK;
}

void semantic_score_clear(SemanticScore *score)
{
    memory_free(score->confusion);
    *score = (SemanticScore){0};
}

Status semantic_score_add(SemanticScore *score, const int32_t *truth, const int32_t *prediction, int64_t pixels,
                          const char *name)
{
    int32_t count = score->class_count;
    for (int64_t i = 0; i < pixels; i++) /* first, so that a failure adds nothing */
        if (truth[i] < -1 || truth[i] >= count || prediction[i] < -1 || prediction[i] >= count)
            return status_error(STATUS_INVALID, "%s: class %d or %d at pixel %lld is not among the %d classes", name,
                                truth[i], prediction[i], (long long)i, count);
    for (int64_t i = 0; i < pixels; i++) {
        if (truth[i] < 0)
            continue;
        int32_t column = prediction[i] < 0 ? count : prediction[i];
        score->confusion[(int64_t)truth[i] * (count + 1) + column]++;
    }
    return OK;
}

void semantic_score_merge(SemanticScore *into, const SemanticScore *from)
{
    int64_t cells = (int64_t)into->class_count * (into->class_count + 1);
    for (int64_t i = 0; i < cells; i++)
        into->confusion[i] += from->confusion[i];
}

typedef struct ClassPixels { int64_t hit, truth, predicted; } ClassPixels;

static ClassPixels class_pixels(const SemanticScore *score, int class_index)
{
    int count = score->class_count;
    ClassPixels pixels = {0};
    const int64_t *row = score->confusion + (int64_t)class_index * (count + 1);
    for (int c = 0; c <= count; c++)
        pixels.truth += row[c];
    for (int c = 0; c < count; c++)
        pixels.predicted += score->confusion[(int64_t)c * (count + 1) + class_index];
    pixels.hit = row[class_index];
    return pixels;
}

bool semantic_iou_class(const SemanticScore *score, int class_index, double *iou, double *accuracy)
{
    ClassPixels pixels = class_pixels(score, class_index);
    *iou = *accuracy = 0.0;
    if (pixels.truth == 0)
        return false;
    *iou = (double)pixels.hit / (double)(pixels.truth + pixels.predicted - pixels.hit);
    *accuracy = (double)pixels.hit / (double)pixels.truth;
    return true;
}

SemanticQuality semantic_quality_group(const SemanticScore *score, const ClassTable *classes, MetricGroup group)
{
    SemanticQuality quality = {0};
    double weighted = 0.0, truth = 0.0, hit = 0.0;
    for (int c = 0; c < score->class_count; c++) {
        double iou, accuracy;
        if (!metric_group_has(group, &classes->entries[c]) || !semantic_iou_class(score, c, &iou, &accuracy))
            continue;
        ClassPixels pixels = class_pixels(score, c);
        quality.classes++;
        quality.miou += iou;
        quality.mean_accuracy += accuracy;
        weighted += iou * (double)pixels.truth;
        truth += (double)pixels.truth;
        hit += (double)pixels.hit;
    }
    if (quality.classes > 0) {
        quality.miou /= quality.classes;
        quality.mean_accuracy /= quality.classes;
        quality.fwiou = weighted / truth;
        quality.pixel_accuracy = hit / truth;
    }
    return quality;
}

SemanticQuality semantic_quality_harmonic(const SemanticScore *score, const ClassTable *classes)
{
    SemanticQuality seen = semantic_quality_group(score, classes, GROUP_SEEN);
    SemanticQuality unseen = semantic_quality_group(score, classes, GROUP_UNSEEN);
    if (seen.classes == 0 || unseen.classes == 0)
        return (SemanticQuality){0};
    return (SemanticQuality){metric_harmonic(seen.miou, unseen.miou), metric_harmonic(seen.fwiou, unseen.fwiou),
                             metric_harmonic(seen.mean_accuracy, unseen.mean_accuracy),
                             metric_harmonic(seen.pixel_accuracy, unseen.pixel_accuracy),
                             seen.classes + unseen.classes};
}
