#include "models/metrics/panoptic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "framework/memory.h"

_Static_assert(sizeof(PanopticCounts) == PANOPTIC_COUNTS_SIZE * sizeof(int64_t), "counts are summed as integers");
#define IOU_UNIT 1099511627776.0 /* 2^40 */

Status panoptic_score_create(int class_count, PanopticScore *score)
{
    score->class_count = class_count;
    score->counts = memory_alloc_zero((size_t)class_count, sizeof *score->counts);
    if (score->counts == NULL && class_count > 0)
        return status_no_memory((size_t)class_count * sizeof *score->counts, "panoptic counts");
    return OK;
}

void panoptic_score_clear(PanopticScore *score)
{
    memory_free(score->counts);
    *score = (PanopticScore){0};
}

void panoptic_score_merge(PanopticScore *into, const PanopticScore *from)
{
    for (int c = 0; c < into->class_count; c++) {
        into->counts[c].iou += from->counts[c].iou;
        into->counts[c].true_positives += from->counts[c].true_positives;
        into->counts[c].false_positives += from->counts[c].false_positives;
        into->counts[c].false_negatives += from->counts[c].false_negatives;
    }
}

/* Ids of one map in ascending order with their places, for look-up by pixel. */
typedef struct IdPlace { int32_t id, place; } IdPlace;

static int compare_ids(const void *a, const void *b)
{
    int32_t x = ((const IdPlace *)a)->id, y = ((const IdPlace *)b)->id;
    return (x > y) - (x < y);
}

static Status index_segments(const PanopticMap *map, int class_count, const char *side, const char *name, IdPlace *index)
{
    for (int i = 0; i < map->segment_count; i++) {
        const PanopticSegment *segment = &map->segments[i];
        if (segment->id <= 0)
            return status_error(STATUS_INVALID, "%s: %s segment id %d: ids start at 1 (0 is void)", name, side,
                                segment->id);
        if (segment->class_index < 0 || segment->class_index >= class_count)
            return status_error(STATUS_INVALID, "%s: %s segment %d has class %d of %d", name, side, segment->id,
                                segment->class_index, class_count);
        index[i] = (IdPlace){segment->id, i};
    }
    qsort(index, (size_t)map->segment_count, sizeof *index, compare_ids);
    for (int i = 1; i < map->segment_count; i++)
        if (index[i].id == index[i - 1].id)
            return status_error(STATUS_INVALID, "%s: %s segment id %d is listed twice", name, side, index[i].id);
    return OK;
}

/* Place of an id, or -1. */
static int find_id(const IdPlace *index, int count, int32_t id)
{
    int low = 0, high = count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (index[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && index[low].id == id ? index[low].place : -1;
}

/* What one image's counting needs. Rows of `common`: 0 void, 1 .. truths, then ids that no truth segment lists.
 * Columns: 0 void, 1 .. predictions. */
typedef struct Overlap {
    int truths, predictions;
    IdPlace *truth_index, *prediction_index;
    int64_t *common;           /* [truths + 2, predictions + 1] pixels */
    int64_t *truth_area, *prediction_area;
    bool *truth_matched, *prediction_matched;
} Overlap;

static int64_t common_at(const Overlap *overlap, int truth_row, int prediction_column)
{
    return overlap->common[(int64_t)truth_row * (overlap->predictions + 1) + prediction_column];
}

static void overlap_clear(Overlap *overlap)
{
    memory_free(overlap->truth_index);
    memory_free(overlap->prediction_index);
    memory_free(overlap->common);
    memory_free(overlap->truth_area);
    memory_free(overlap->prediction_area);
    memory_free(overlap->truth_matched);
    memory_free(overlap->prediction_matched);
}

static Status overlap_create(const PanopticMap *truth, const PanopticMap *prediction, Overlap *overlap)
{
    size_t truths = (size_t)truth->segment_count, predictions = (size_t)prediction->segment_count;
    *overlap = (Overlap){.truths = truth->segment_count, .predictions = prediction->segment_count};
    overlap->truth_index = memory_alloc_zero(truths + 1, sizeof(IdPlace));
    overlap->prediction_index = memory_alloc_zero(predictions + 1, sizeof(IdPlace));
    overlap->common = memory_alloc_zero((truths + 2) * (predictions + 1), sizeof(int64_t));
    overlap->truth_area = memory_alloc_zero(truths + 1, sizeof(int64_t));
    overlap->prediction_area = memory_alloc_zero(predictions + 1, sizeof(int64_t));
    overlap->truth_matched = memory_alloc_zero(truths + 1, sizeof(bool));
    overlap->prediction_matched = memory_alloc_zero(predictions + 1, sizeof(bool));
    if (overlap->truth_index && overlap->prediction_index && overlap->common && overlap->truth_area &&
        overlap->prediction_area && overlap->truth_matched && overlap->prediction_matched)
        return OK;
    overlap_clear(overlap);
    return status_no_memory((truths + 2) * (predictions + 1) * sizeof(int64_t), "segment overlaps");
}

static Status count_pixels(const PanopticMap *truth, const PanopticMap *prediction, const char *name, Overlap *overlap)
{
    int64_t pixels = (int64_t)truth->height * truth->width;
    int64_t run = 0;
    for (int64_t i = 0; i < pixels; i += run) { /* runs of equal ids are looked up once */
        int32_t t = truth->ids[i], p = prediction->ids[i];
        for (run = 1; i + run < pixels && truth->ids[i + run] == t && prediction->ids[i + run] == p;)
            run++;
        int row = 0, column = 0;
        if (t != 0) {
            int place = find_id(overlap->truth_index, overlap->truths, t);
            row = place < 0 ? overlap->truths + 1 : place + 1;
        }
        if (p != 0) {
            column = find_id(overlap->prediction_index, overlap->predictions, p) + 1;
            if (column == 0)
                return status_error(STATUS_INVALID, "%s: segment id %d is in the predicted map but not among its "
                                    "segments", name, p);
        }
        overlap->common[(int64_t)row * (overlap->predictions + 1) + column] += run;
    }
    for (int row = 0; row < overlap->truths + 2; row++)
        for (int column = 1; column <= overlap->predictions; column++)
            overlap->prediction_area[column - 1] += common_at(overlap, row, column);
    for (int t = 0; t < overlap->truths; t++) {
        for (int column = 0; column <= overlap->predictions; column++)
            overlap->truth_area[t] += common_at(overlap, t + 1, column);
        if (truth->segments[t].area >= 0)
            overlap->truth_area[t] = truth->segments[t].area;
    }
    for (int p = 0; p < overlap->predictions; p++)
        if (overlap->prediction_area[p] == 0)
            return status_error(STATUS_INVALID, "%s: predicted segment id %d has no pixel in the map", name,
                                prediction->segments[p].id);
    return OK;
}

static void match_segments(const PanopticMap *truth, const PanopticMap *prediction, Overlap *overlap,
                           PanopticCounts *counts)
{
    for (int t = 0; t < overlap->truths; t++) {
        const PanopticSegment *true_segment = &truth->segments[t];
        for (int p = 0; p < overlap->predictions; p++) {
            int64_t both = common_at(overlap, t + 1, p + 1);
            if (both == 0 || true_segment->is_crowd || prediction->segments[p].class_index != true_segment->class_index)
                continue;
            int64_t either = overlap->prediction_area[p] + overlap->truth_area[t] - both - common_at(overlap, 0, p + 1);
            double iou = either > 0 ? (double)both / (double)either : 0.0;
            if (iou <= 0.5)
                continue;
            PanopticCounts *class = &counts[true_segment->class_index];
            class->true_positives++;
            class->iou += (int64_t)llrint(iou * IOU_UNIT);
            overlap->truth_matched[t] = overlap->prediction_matched[p] = true;
        }
    }
}

static void count_unmatched(const PanopticMap *truth, const PanopticMap *prediction, const Overlap *overlap,
                            PanopticCounts *counts)
{
    for (int t = 0; t < overlap->truths; t++)
        if (!overlap->truth_matched[t] && !truth->segments[t].is_crowd)
            counts[truth->segments[t].class_index].false_negatives++;
    for (int p = 0; p < overlap->predictions; p++) {
        if (overlap->prediction_matched[p])
            continue;
        int class_index = prediction->segments[p].class_index, crowd = -1;
        for (int t = 0; t < overlap->truths; t++)
            if (truth->segments[t].is_crowd && truth->segments[t].class_index == class_index)
                crowd = t;
        int64_t ignored = common_at(overlap, 0, p + 1);
        if (crowd >= 0)
            ignored += common_at(overlap, crowd + 1, p + 1);
        if ((double)ignored / (double)overlap->prediction_area[p] <= 0.5)
            counts[class_index].false_positives++;
    }
}

Status panoptic_score_add(PanopticScore *score, const PanopticMap *truth, const PanopticMap *prediction,
                          const char *name)
{
    if (truth->height != prediction->height || truth->width != prediction->width)
        return status_error(STATUS_INVALID, "%s: the prediction is %d x %d pixels, the truth %d x %d", name,
                            prediction->height, prediction->width, truth->height, truth->width);
    Overlap overlap;
    TRY(overlap_create(truth, prediction, &overlap));
    Status status;
    TRY_GOTO(status, index_segments(truth, score->class_count, "true", name, overlap.truth_index), done);
    TRY_GOTO(status, index_segments(prediction, score->class_count, "predicted", name, overlap.prediction_index), done);
    TRY_GOTO(status, count_pixels(truth, prediction, name, &overlap), done);
    match_segments(truth, prediction, &overlap, score->counts);
    count_unmatched(truth, prediction, &overlap, score->counts);
done:
    overlap_clear(&overlap);
    return status;
}

PanopticQuality panoptic_quality_class(const PanopticScore *score, int class_index)
{
    const PanopticCounts *counts = &score->counts[class_index];
    PanopticQuality quality = {0};
    if (counts->true_positives + counts->false_positives + counts->false_negatives == 0)
        return quality;
    double iou = (double)counts->iou / IOU_UNIT, matched = (double)counts->true_positives;
    double all = matched + 0.5 * (double)counts->false_positives + 0.5 * (double)counts->false_negatives;
    quality.classes = 1;
    quality.pq = iou / all;
    quality.sq = counts->true_positives > 0 ? iou / matched : 0.0;
    quality.rq = matched / all;
    return quality;
}

PanopticQuality panoptic_quality_group(const PanopticScore *score, const ClassTable *classes, MetricGroup group)
{
    PanopticQuality sum = {0};
    for (int c = 0; c < score->class_count; c++) {
        if (!metric_group_has(group, &classes->entries[c]))
            continue;
        PanopticQuality one = panoptic_quality_class(score, c);
        sum.pq += one.pq;
        sum.sq += one.sq;
        sum.rq += one.rq;
        sum.classes += one.classes;
    }
    if (sum.classes > 0) {
        sum.pq /= sum.classes;
        sum.sq /= sum.classes;
        sum.rq /= sum.classes;
    }
    return sum;
}

PanopticQuality panoptic_quality_harmonic(const PanopticScore *score, const ClassTable *classes)
{
    PanopticQuality seen = panoptic_quality_group(score, classes, GROUP_SEEN);
    PanopticQuality unseen = panoptic_quality_group(score, classes, GROUP_UNSEEN);
    if (seen.classes == 0 || unseen.classes == 0)
        return (PanopticQuality){0};
    return (PanopticQuality){metric_harmonic(seen.pq, unseen.pq), metric_harmonic(seen.sq, unseen.sq),
                             metric_harmonic(seen.rq, unseen.rq), seen.classes + unseen.classes};
}
