#include "models/segmenter/inference.h"

#include <math.h>
#include <string.h>

#include "framework/memory.h"
#include "models/segmenter/sigmoid.h"

void inference_classify(const float *embeddings, int queries, int dim, const float *weight, const float *bias,
                        int classes, float *probabilities)
{
    const int columns = classes + 1;
    for (int q = 0; q < queries; q++) {
        const float *x = embeddings + (int64_t)q * dim;
        float *out = probabilities + (int64_t)q * columns;
        float largest = -INFINITY;
        for (int c = 0; c < columns; c++) {
            const float *w = weight + (int64_t)c * dim;
            float sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int i = 0; i < dim; i++) sum += w[i] * x[i];
            out[c] = sum + (bias == NULL ? 0 : bias[c]);
            largest = out[c] > largest ? out[c] : largest;
        }
        double total = 0;
        for (int c = 0; c < columns; c++) total += (double)(out[c] = expf(out[c] - largest));
        for (int c = 0; c < columns; c++) out[c] = (float)((double)out[c] / total);
    }
}

/* -- masks at output size, a row at a time: the whole stack would be gigabytes for large pictures -- */

/* One axis of a bilinear resize, align_corners = false (PyTorch's interpolate). */
typedef struct Axis {
    int32_t *low, *high; /* source places */
    float *part;         /* of `high` */
} Axis;

typedef struct Resizer {
    const QuerySet *set;
    Axis x, y;
    float *line; /* [mask_width]: rows blended */
} Resizer;

static void resizer_destroy(Resizer *resizer)
{
    memory_free(resizer->x.low);
    memory_free(resizer->x.high);
    memory_free(resizer->x.part);
    memory_free(resizer->y.low);
    memory_free(resizer->y.high);
    memory_free(resizer->y.part);
    memory_free(resizer->line);
}

static bool axis_create(Axis *axis, int64_t from, int64_t to)
{
    axis->low = memory_alloc((size_t)to * sizeof *axis->low);
    axis->high = memory_alloc((size_t)to * sizeof *axis->high);
    axis->part = memory_alloc((size_t)to * sizeof *axis->part);
    if (axis->low == NULL || axis->high == NULL || axis->part == NULL) return false;
    double scale = (double)from / (double)to;
    for (int64_t i = 0; i < to; i++) {
        double place = ((double)i + 0.5) * scale - 0.5;
        if (place < 0) place = 0;
        int64_t low = (int64_t)place;
        if (low > from - 1) low = from - 1;
        axis->low[i] = (int32_t)low;
        axis->high[i] = (int32_t)(low + 1 < from ? low + 1 : low);
        axis->part[i] = (float)(place - (double)low);
    }
    return true;
}

static Status resizer_create(const QuerySet *set, Resizer *resizer)
{
    *resizer = (Resizer){.set = set};
    if (set->queries < 1 || set->classes < 1 || set->mask_height < 1 || set->mask_width < 1 || set->height < 1 ||
        set->width < 1 || set->mask_width > INT32_MAX || set->mask_height > INT32_MAX)
        return status_error(STATUS_INVALID, "masks of %lld x %lld for a picture of %lld x %lld",
                            (long long)set->mask_height, (long long)set->mask_width, (long long)set->height,
                            (long long)set->width);
    resizer->line = memory_alloc((size_t)set->mask_width * sizeof(float));
    bool made = resizer->line != NULL && axis_create(&resizer->x, set->mask_width, set->width) &&
                axis_create(&resizer->y, set->mask_height, set->height);
    if (made) return OK;
    resizer_destroy(resizer);
    return status_no_memory((size_t)(set->width + set->height) * 12, "resizing of masks");
}

/* Logits of one query along one row of the output. */
static void resize_row(const Resizer *resizer, int query, int64_t y, float *out)
{
    const QuerySet *set = resizer->set;
    const float *mask = set->mask_logits + query * set->mask_height * set->mask_width;
    const float *upper = mask + resizer->y.low[y] * set->mask_width;
    const float *lower = mask + resizer->y.high[y] * set->mask_width;
    const float part = resizer->y.part[y];
    float *line = resizer->line;
    const int32_t *low = resizer->x.low, *high = resizer->x.high;
    const float *right = resizer->x.part;
#pragma omp simd
    for (int64_t x = 0; x < set->mask_width; x++) line[x] = upper[x] * (1 - part) + lower[x] * part;
#pragma omp simd
    for (int64_t x = 0; x < set->width; x++) out[x] = line[low[x]] * (1 - right[x]) + line[high[x]] * right[x];
}

/* -- panoptic -- */

/* A query that is kept, and its pixels. */
typedef struct Kept {
    int query;
    int32_t class_index;
    float score;
    int64_t own;      /* pixels of probability >= 0.5 */
    int64_t won;      /* pixels where score x probability is the highest of all */
    int64_t both;     /* pixels that it gets */
    int32_t id;       /* in the result; 0: dropped */
} Kept;

static int keep_queries(const QuerySet *set, double threshold, Kept *kept)
{
    int count = 0;
    for (int q = 0; q < set->queries; q++) {
        const float *p = set->probabilities + (int64_t)q * (set->classes + 1);
        int best = 0;
        for (int c = 1; c <= set->classes; c++)
            if (p[c] > p[best]) best = c;
        if (best < set->classes && (double)p[best] > threshold)
            kept[count++] = (Kept){.query = q, .class_index = best, .score = p[best]};
    }
    return count;
}

/* map: 1 + the place in `kept` of the query that gets a pixel, 0 where none does. logits, best: [width]. */
static void contest_pixels(const Resizer *resizer, Kept *kept, int count, int32_t *map, float *logits, float *best)
{
    const int64_t width = resizer->set->width;
    for (int64_t y = 0; y < resizer->set->height; y++) {
        int32_t *row = map + y * width;
        for (int64_t x = 0; x < width; x++) best[x] = -1;
        for (int k = 0; k < count; k++) {
            const float score = kept[k].score;
            int64_t own = 0;
            resize_row(resizer, kept[k].query, y, logits);
            /* Sign of row[x]: whether the winner is at 0.5 or above there. */
#pragma omp simd reduction(+ : own)
            for (int64_t x = 0; x < width; x++) {
                float value = score * sigmoid_f32(logits[x]);
                bool inside = logits[x] >= 0, wins = value > best[x];
                own += inside;
                best[x] = wins ? value : best[x];
                row[x] = wins ? (inside ? k + 1 : -k - 1) : row[x];
            }
            kept[k].own += own;
        }
        for (int64_t x = 0; x < width; x++) {
            if (best[x] < 0) row[x] = 0; /* no query, or none with a number */
            if (row[x] == 0) continue;
            Kept *winner = &kept[(row[x] > 0 ? row[x] : -row[x]) - 1];
            winner->won++;
            winner->both += row[x] > 0;
            if (row[x] < 0) row[x] = 0;
        }
    }
}

/* Numbers the segments that stay; stuff of one class is one segment. */
static int name_segments(Kept *kept, int count, const PanopticConfig *config, const bool *is_thing,
                         PredictedSegment *segments)
{
    int named = 0;
    for (int k = 0; k < count; k++) {
        Kept *query = &kept[k];
        if (query->both == 0 || (double)query->won / (double)query->own < config->overlap) continue;
        int place = named;
        if (!is_thing[query->class_index])
            for (place = 0; place < named && segments[place].class_index != query->class_index; place++) {}
        if (place == named)
            segments[named++] = (PredictedSegment){.id = place + 1, .class_index = query->class_index,
                                                   .score = query->score};
        segments[place].area += query->both;
        query->id = place + 1;
    }
    return named;
}

Status inference_panoptic(const QuerySet *set, const PanopticConfig *config, const bool *is_thing, int32_t *map,
                          PredictedSegment *segments, int *count)
{
    Resizer resizer;
    *count = 0;
    TRY(resizer_create(set, &resizer));
    Kept *kept = memory_alloc((size_t)set->queries * sizeof *kept);
    float *rows = memory_alloc((size_t)set->width * 2 * sizeof *rows);
    Status status = OK;
    if (kept == NULL || rows == NULL) {
        status = status_no_memory((size_t)set->width * 2 * sizeof *rows, "a panoptic result");
    } else {
        int64_t area = set->height * set->width;
        memset(map, 0, (size_t)area * sizeof *map);
        int candidates = keep_queries(set, config->score, kept);
        contest_pixels(&resizer, kept, candidates, map, rows, rows + set->width);
        *count = name_segments(kept, candidates, config, is_thing, segments);
        for (int64_t i = 0; i < area; i++)
            if (map[i] != 0) map[i] = kept[map[i] - 1].id;
    }
    memory_free(kept);
    memory_free(rows);
    resizer_destroy(&resizer);
    return status;
}

/* -- semantic -- */

Status inference_semantic(const QuerySet *set, int32_t *labels)
{
    Resizer resizer;
    TRY(resizer_create(set, &resizer));
    const int64_t width = set->width;
    const int columns = set->classes + 1;
    float *sums = memory_alloc_aligned((size_t)(width * (set->classes + 1)) * sizeof *sums); /* and one row of masks */
    if (sums == NULL) {
        resizer_destroy(&resizer);
        return status_no_memory((size_t)(width * (set->classes + 1)) * sizeof *sums, "class scores of a row");
    }
    float *mask = sums + width * set->classes;
    for (int64_t y = 0; y < set->height; y++) {
        memset(sums, 0, (size_t)(width * set->classes) * sizeof *sums);
        for (int q = 0; q < set->queries; q++) {
            const float *p = set->probabilities + (int64_t)q * columns;
            resize_row(&resizer, q, y, mask);
#pragma omp simd
            for (int64_t x = 0; x < width; x++) mask[x] = sigmoid_f32(mask[x]);
            for (int c = 0; c < set->classes; c++) {
                float *sum = sums + c * width;
                const float probability = p[c];
#pragma omp simd
                for (int64_t x = 0; x < width; x++) sum[x] += probability * mask[x];
            }
        }
        int32_t *row = labels + y * width;
        memcpy(mask, sums, (size_t)width * sizeof *mask); /* from here the best sum so far */
        memset(row, 0, (size_t)width * sizeof *row);
        for (int c = 1; c < set->classes; c++) {
            const float *sum = sums + c * width;
#pragma omp simd
            for (int64_t x = 0; x < width; x++) {
                row[x] = sum[x] > mask[x] ? c : row[x];
                mask[x] = sum[x] > mask[x] ? sum[x] : mask[x];
            }
        }
    }
    memory_free(sums);
    resizer_destroy(&resizer);
    return OK;
}

/* -- instances -- */

/* Whether a comes before b: higher score; of equal ones the lower query, then the lower class. */
static bool ranks_before(const InstanceResult *a, const InstanceResult *b)
{
    if (a->score != b->score) return a->score > b->score;
    if (a->query != b->query) return a->query < b->query;
    return a->class_index < b->class_index;
}

/* Puts `result` in its place of a sorted list of at most `limit`. */
static void insert_ranked(InstanceResult *results, int *count, int limit, InstanceResult result)
{
    if (*count == limit && !ranks_before(&result, &results[limit - 1])) return;
    int place = *count < limit ? (*count)++ : limit - 1;
    for (; place > 0 && ranks_before(&result, &results[place - 1]); place--) results[place] = results[place - 1];
    results[place] = result;
}

/* Mean probability of the pixels above 0.5, and their number. */
static void measure_mask(const Resizer *resizer, int query, float *row, double *mean, int64_t *area)
{
    double total = 0;
    int64_t inside = 0;
    for (int64_t y = 0; y < resizer->set->height; y++) {
        float sum = 0;
        int64_t hits = 0;
        resize_row(resizer, query, y, row);
#pragma omp simd reduction(+ : sum, hits)
        for (int64_t x = 0; x < resizer->set->width; x++) {
            bool above = row[x] > 0;
            sum += above ? sigmoid_f32(row[x]) : 0;
            hits += above;
        }
        total += (double)sum;
        inside += hits;
    }
    *mean = total / ((double)inside + 1e-6);
    *area = inside;
}

/* Scores of the chosen, each query's mask measured once. */
static void score_instances(const Resizer *resizer, const InstanceResult *chosen, int chosen_count, const bool *is_thing,
                            float *row, InstanceResult *results, int *count)
{
    *count = 0;
    for (int q = 0; q < resizer->set->queries; q++) {
        double mean = 0;
        int64_t area = -1;
        for (int i = 0; i < chosen_count; i++) {
            InstanceResult result = chosen[i];
            if (result.query != q || (is_thing != NULL && !is_thing[result.class_index])) continue;
            if (area < 0) measure_mask(resizer, q, row, &mean, &area);
            result.score = (float)((double)result.score * mean);
            result.area = area;
            insert_ranked(results, count, chosen_count, result);
        }
    }
}

Status inference_instances(const QuerySet *set, const bool *is_thing, int limit, InstanceResult *results, int *count)
{
    Resizer resizer;
    *count = 0;
    if (limit < 1) return OK;
    TRY(resizer_create(set, &resizer));
    InstanceResult *chosen = memory_alloc((size_t)limit * sizeof *chosen);
    float *row = memory_alloc((size_t)set->width * sizeof *row);
    Status status = OK;
    if (chosen == NULL || row == NULL) {
        status = status_no_memory((size_t)set->width * sizeof *row, "instances");
    } else {
        int chosen_count = 0; /* chosen by class probability alone, among all classes, as published */
        for (int q = 0; q < set->queries; q++)
            for (int c = 0; c < set->classes; c++)
                insert_ranked(chosen, &chosen_count, limit,
                              (InstanceResult){.query = q, .class_index = c,
                                               .score = set->probabilities[(int64_t)q * (set->classes + 1) + c]});
        score_instances(&resizer, chosen, chosen_count, is_thing, row, results, count);
    }
    memory_free(chosen);
    memory_free(row);
    resizer_destroy(&resizer);
    return status;
}

Status inference_mask(const QuerySet *set, int query, uint8_t *mask)
{
    Resizer resizer;
    TRY(resizer_create(set, &resizer));
    float *row = memory_alloc((size_t)set->width * sizeof *row);
    if (row == NULL) {
        resizer_destroy(&resizer);
        return status_no_memory((size_t)set->width * sizeof *row, "a mask");
    }
    for (int64_t y = 0; y < set->height; y++) {
        resize_row(&resizer, query, y, row);
        for (int64_t x = 0; x < set->width; x++) mask[y * set->width + x] = row[x] > 0;
    }
    memory_free(row);
    resizer_destroy(&resizer);
    return OK;
}
