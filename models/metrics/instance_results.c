/* From the records of all images to precision, recall and their means. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "framework/memory.h"
#include "models/metrics/instances.h"

enum { RECALLS = 101, CELLS = INSTANCE_SIZE_COUNT * INSTANCE_THRESHOLDS };

/* By class, and within it best score first; equal ones by image, then as they were ranked there. */
static int compare_records(const void *a, const void *b)
{
    const InstanceRecord *x = a, *y = b;
    if (x->class_index != y->class_index) return x->class_index < y->class_index ? -1 : 1;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->image_id != y->image_id) return x->image_id < y->image_id ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* The curve of one class, size and threshold. precision, recall: room for `count`. */
static void measure(const InstanceRecord *records, int64_t count, int bit, int64_t positives, double *precision,
                    double *recall, double *ap, double *highest)
{
    int64_t hits = 0, misses = 0, points = 0;
    for (int64_t i = 0; i < count; i++) {
        if (records[i].ignored >> bit & 1) continue;
        if (records[i].matched >> bit & 1) hits++;
        else misses++;
        precision[points] = (double)hits / ((double)(hits + misses) + 0x1p-52);
        recall[points++] = (double)hits / (double)positives;
    }
    *highest = points > 0 ? recall[points - 1] : 0;
    for (int64_t i = points - 1; i > 0; i--)
        if (precision[i] > precision[i - 1]) precision[i - 1] = precision[i];
    double sum = 0;
    for (int64_t r = 0, i = 0; r < RECALLS; r++) {
        const double wanted = 0.01 * (double)r;
        while (i < points && recall[i] < wanted) i++;
        if (i < points) sum += precision[i];
    }
    *ap = sum / RECALLS;
}

static void measure_class(const InstanceScore *score, int class_index, const InstanceRecord *records, int64_t count,
                          double *scratch, InstanceResults *results)
{
    for (int size = 0; size < INSTANCE_SIZE_COUNT; size++) {
        const int64_t positives = score->positives[(int64_t)class_index * INSTANCE_SIZE_COUNT + size];
        for (int threshold = 0; threshold < INSTANCE_THRESHOLDS; threshold++) {
            const int bit = size * INSTANCE_THRESHOLDS + threshold;
            const int64_t cell = (int64_t)class_index * CELLS + bit;
            results->precision[cell] = results->recall[cell] = -1;
            if (positives > 0)
                measure(records, count, bit, positives, scratch, scratch + count, &results->precision[cell],
                        &results->recall[cell]);
        }
    }
}

Status instance_results_create(const InstanceScore *score, InstanceResults *results)
{
    const size_t cells = (size_t)score->class_count * CELLS + 1, count = (size_t)score->record_count;
    *results = (InstanceResults){.class_count = score->class_count};
    results->precision = memory_alloc(cells * sizeof *results->precision);
    results->recall = memory_alloc(cells * sizeof *results->recall);
    InstanceRecord *sorted = memory_alloc((count + 1) * sizeof *sorted);
    double *scratch = memory_alloc((2 * count + 1) * sizeof *scratch);
    Status status = OK;
    if (results->precision == NULL || results->recall == NULL || sorted == NULL || scratch == NULL) {
        instance_results_clear(results);
        status = status_no_memory(cells * 16 + count * 56, "instance scores");
    } else {
        if (count > 0) memcpy(sorted, score->records, count * sizeof *sorted);
        qsort(sorted, count, sizeof *sorted, compare_records);
        size_t first = 0;
        for (int c = 0; c < score->class_count; c++) {
            size_t end = first;
            while (end < count && sorted[end].class_index == c) end++;
            measure_class(score, c, sorted + first, (int64_t)(end - first), scratch, results);
            first = end;
        }
    }
    memory_free(sorted);
    memory_free(scratch);
    return status;
}

void instance_results_clear(InstanceResults *results)
{
    memory_free(results->precision);
    memory_free(results->recall);
    *results = (InstanceResults){0};
}

static double mean(const double *values)
{
    double sum = 0;
    for (int i = 0; i < INSTANCE_THRESHOLDS; i++) sum += values[i];
    return sum / INSTANCE_THRESHOLDS;
}

InstanceQuality instance_quality_class(const InstanceResults *results, int class_index)
{
    InstanceQuality quality = {0};
    const double *precision = results->precision + (int64_t)class_index * CELLS;
    const double *recall = results->recall + (int64_t)class_index * CELLS;
    for (int size = 0; size < INSTANCE_SIZE_COUNT; size++) {
        if (precision[size * INSTANCE_THRESHOLDS] < 0) continue;
        quality.classes[size] = 1;
        quality.ap[size] = mean(precision + size * INSTANCE_THRESHOLDS);
        quality.recall[size] = mean(recall + size * INSTANCE_THRESHOLDS);
    }
    if (quality.classes[SIZE_ALL] == 0) return quality;
    quality.ap50 = precision[0];
    quality.ap75 = precision[5];
    quality.recall50 = recall[0];
    return quality;
}

InstanceQuality instance_quality_group(const InstanceResults *results, const ClassTable *classes, MetricGroup group)
{
    InstanceQuality sum = {0};
    for (int c = 0; c < results->class_count; c++) {
        if (!metric_group_has(group, &classes->entries[c])) continue;
        const InstanceQuality one = instance_quality_class(results, c);
        for (int size = 0; size < INSTANCE_SIZE_COUNT; size++) {
            sum.ap[size] += one.ap[size];
            sum.recall[size] += one.recall[size];
            sum.classes[size] += one.classes[size];
        }
        sum.ap50 += one.ap50;
        sum.ap75 += one.ap75;
        sum.recall50 += one.recall50;
    }
    for (int size = 0; size < INSTANCE_SIZE_COUNT; size++) {
        if (sum.classes[size] == 0) continue;
        sum.ap[size] /= sum.classes[size];
        sum.recall[size] /= sum.classes[size];
    }
    if (sum.classes[SIZE_ALL] == 0) return sum;
    sum.ap50 /= sum.classes[SIZE_ALL];
    sum.ap75 /= sum.classes[SIZE_ALL];
    sum.recall50 /= sum.classes[SIZE_ALL];
    return sum;
}

InstanceQuality instance_quality_harmonic(const InstanceResults *results, const ClassTable *classes)
{
    const InstanceQuality seen = instance_quality_group(results, classes, GROUP_SEEN);
    const InstanceQuality unseen = instance_quality_group(results, classes, GROUP_UNSEEN);
    InstanceQuality quality = {0};
    for (int size = 0; size < INSTANCE_SIZE_COUNT; size++) {
        if (seen.classes[size] == 0 || unseen.classes[size] == 0) continue;
        quality.classes[size] = seen.classes[size] + unseen.classes[size];
        quality.ap[size] = metric_harmonic(seen.ap[size], unseen.ap[size]);
        quality.recall[size] = metric_harmonic(seen.recall[size], unseen.recall[size]);
    }
    if (quality.classes[SIZE_ALL] == 0) return quality;
    quality.ap50 = metric_harmonic(seen.ap50, unseen.ap50);
    quality.ap75 = metric_harmonic(seen.ap75, unseen.ap75);
    quality.recall50 = metric_harmonic(seen.recall50, unseen.recall50);
    return quality;
}
