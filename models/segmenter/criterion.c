#include "models/segmenter/criterion.h"

#include <math.h>
#include <string.h>

#include "framework/memory.h"
#include "framework/random.h"
#include "models/segmenter/criterion_points.h"
#include "models/segmenter/matching.h"

#define MAP_VALUES 65536
#define MAX_SEGMENTS 4096 /* of one image; COCO has under 100 */
#define ROW_BUCKETS 512

/* Work space of `T` segments; grown when an image has more. */
typedef struct PairSpace {
    int capacity;
    PairSums sums;          /* arrays for [Q, T] */
    double *cost;           /* [T, Q] */
    int32_t *query_of;      /* [T] */
    void *matching;
    void *target_block;     /* [T, POINT_BLOCK] */
} PairSpace;

struct Criterion {
    CriterionConfig config;
    Dtype dtype;
    int queries, classes;
    int64_t candidates, uncertain; /* of one mask's points */
    CriterionDrawHook *hook;
    void *hook_context;
    int16_t *index_of_value;       /* [65536]; all -1 between calls */
    double *probabilities;         /* [Q, classes + 1] */
    double *log_normalizers;       /* [Q] */
    double *class_weights;         /* [Q] */
    int32_t *labels;               /* [Q] */
    int32_t *query_target;         /* [Q] */
    float *draws;                  /* [max(candidates, P), 2] */
    float *chosen;                 /* [P, 2] */
    uint32_t *keys;                /* [candidates] */
    void *kept;                    /* [3, P] of dtype */
    PairSpace pairs;
};

/* One image as the functions below see it. */
typedef struct Image {
    Criterion *criterion;
    const SegmentTarget *target;
    TargetField field;
    const CriterionBatch *batch;
    int64_t height, width; /* of the mask logits */
} Image;

CriterionConfig criterion_default(void)
{
    return (CriterionConfig){.class_weight = 2, .mask_weight = 5, .dice_weight = 5, .no_object_weight = 0.1,
                             .points = 256, .oversample = 3, .importance = 0.75};
}

void criterion_count(const CriterionConfig *config, int queries, int segments, CriterionBatch *batch)
{
    int matched = segments < queries ? segments : queries;
    batch->num_masks += segments;
    batch->ce_denominator += matched + config->no_object_weight * (queries - matched);
}

/* -- creation -- */

static void release_pairs(PairSpace *pairs)
{
    memory_free(pairs->sums.product);
    memory_free(pairs->sums.overlap);
    memory_free(pairs->sums.softplus);
    memory_free(pairs->sums.sigmoid);
    memory_free(pairs->sums.target);
    memory_free(pairs->cost);
    memory_free(pairs->query_of);
    memory_free(pairs->matching);
    memory_free(pairs->target_block);
    *pairs = (PairSpace){0};
}

static Status reserve_pairs(Criterion *c, int segments)
{
    PairSpace *pairs = &c->pairs;
    if (segments <= pairs->capacity) return OK;
    release_pairs(pairs);
    size_t t = (size_t)segments, q = (size_t)c->queries, n = t * q;
    pairs->sums.product = memory_alloc(n * sizeof(double));
    pairs->sums.overlap = memory_alloc(n * sizeof(double));
    pairs->sums.softplus = memory_alloc(q * sizeof(double));
    pairs->sums.sigmoid = memory_alloc(q * sizeof(double));
    pairs->sums.target = memory_alloc(t * sizeof(double));
    pairs->cost = memory_alloc(n * sizeof(double));
    pairs->query_of = memory_alloc(t * sizeof(int32_t));
    pairs->matching = memory_alloc(matching_work_bytes(segments, c->queries));
    pairs->target_block = memory_alloc_aligned(t * POINT_BLOCK * (size_t)dtype_size(c->dtype));
    if (pairs->sums.product == NULL || pairs->sums.overlap == NULL || pairs->sums.softplus == NULL ||
        pairs->sums.sigmoid == NULL || pairs->sums.target == NULL || pairs->cost == NULL || pairs->query_of == NULL ||
        pairs->matching == NULL || pairs->target_block == NULL) {
        release_pairs(pairs);
        return status_no_memory(n * 3 * sizeof(double), "matching costs");
    }
    pairs->capacity = segments;
    return OK;
}

static Status check_config(const CriterionConfig *config, Dtype dtype, int queries, int classes)
{
    if (dtype != DTYPE_F32 && dtype != DTYPE_F64)
        return status_error(STATUS_INTERNAL, "the criterion works on f32 or f64, not %s", dtype_name(dtype));
    if (queries < 1 || classes < 1 || config->points < 1)
        return status_error(STATUS_INVALID, "the criterion needs at least one query, class and point");
    if (!(config->oversample >= 1 && config->oversample <= 100))
        return status_error(STATUS_INVALID, "oversampling of points %g is outside [1, 100]", config->oversample);
    if (!(config->importance >= 0 && config->importance <= 1))
        return status_error(STATUS_INVALID, "share of uncertain points %g is outside [0, 1]", config->importance);
    return OK;
}

Status criterion_create(const CriterionConfig *config, Dtype dtype, int queries, int classes, Criterion **criterion)
{
    *criterion = NULL;
    TRY(check_config(config, dtype, queries, classes));
    Criterion *c = memory_alloc_zero(1, sizeof *c);
    if (c == NULL) return status_no_memory(sizeof *c, "the criterion");
    c->config = *config;
    c->dtype = dtype;
    c->queries = queries;
    c->classes = classes;
    size_t p = (size_t)config->points, q = (size_t)queries;
    c->candidates = (int64_t)((double)config->points * config->oversample);
    c->uncertain = (int64_t)(config->importance * (double)config->points);
    c->index_of_value = memory_alloc(MAP_VALUES * sizeof *c->index_of_value);
    c->probabilities = memory_alloc(q * (size_t)(classes + 1) * sizeof(double));
    c->log_normalizers = memory_alloc(q * sizeof(double));
    c->class_weights = memory_alloc(q * sizeof(double));
    c->labels = memory_alloc(q * sizeof(int32_t));
    c->query_target = memory_alloc(q * sizeof(int32_t));
    c->draws = memory_alloc_aligned((size_t)c->candidates * 2 * sizeof(float));
    c->chosen = memory_alloc_aligned(p * 2 * sizeof(float));
    c->keys = memory_alloc_aligned((size_t)c->candidates * sizeof(uint32_t));
    c->kept = memory_alloc_aligned(p * 3 * (size_t)dtype_size(dtype));
    Status status = OK;
    if (c->index_of_value == NULL || c->probabilities == NULL || c->log_normalizers == NULL ||
        c->class_weights == NULL || c->labels == NULL || c->query_target == NULL || c->draws == NULL ||
        c->chosen == NULL || c->keys == NULL || c->kept == NULL)
        status = status_no_memory((size_t)c->candidates * 12 + p * 32, "sampled points");
    if (status == OK) status = reserve_pairs(c, 32);
    if (status != OK) {
        criterion_destroy(c);
        return status;
    }
    for (int i = 0; i < MAP_VALUES; i++) c->index_of_value[i] = -1;
    *criterion = c;
    return OK;
}

void criterion_destroy(Criterion *c)
{
    if (c == NULL) return;
    release_pairs(&c->pairs);
    memory_free(c->index_of_value);
    memory_free(c->probabilities);
    memory_free(c->log_normalizers);
    memory_free(c->class_weights);
    memory_free(c->labels);
    memory_free(c->query_target);
    memory_free(c->draws);
    memory_free(c->chosen);
    memory_free(c->keys);
    memory_free(c->kept);
    memory_free(c);
}

void criterion_set_draws(Criterion *criterion, CriterionDrawHook *hook, void *context)
{
    criterion->hook = hook;
    criterion->hook_context = context;
}

/* -- an image -- */

static Status begin_image(Criterion *c, const SegmentTarget *target, const CriterionBatch *batch, int64_t height,
                          int64_t width, Image *image)
{
    if (height < 1 || width < 1 || height > INT32_MAX / width)
        return status_error(STATUS_INTERNAL, "mask logits of %lld x %lld", (long long)height, (long long)width);
    if (target->height < 1 || target->width < 1 || target->height > INT32_MAX / target->width)
        return status_error(STATUS_INVALID, "a target of %lld x %lld pixels", (long long)target->height,
                            (long long)target->width);
    if (target->count < 0 || target->count > MAX_SEGMENTS)
        return status_error(STATUS_INVALID, "%d segments in an image; at most %d", target->count, MAX_SEGMENTS);
    TRY(reserve_pairs(c, target->count));
    Status status = OK;
    int set = 0;
    for (; set < target->count && status == OK; set++) {
        TargetSegment segment = target->segments[set];
        if (segment.value < 1 || segment.value >= MAP_VALUES || c->index_of_value[segment.value] >= 0)
            status = status_error(STATUS_INVALID, "segment value %d is outside [1, 65535] or there twice", segment.value);
        else if (segment.label < 0 || segment.label >= c->classes)
            status = status_error(STATUS_INVALID, "label %d of a segment is outside [0, %d)", segment.label, c->classes);
        else
            c->index_of_value[segment.value] = (int16_t)set;
    }
    if (status != OK)
        for (int i = 0; i < MAP_VALUES; i++) c->index_of_value[i] = -1;
    *image = (Image){.criterion = c, .target = target, .batch = batch, .height = height, .width = width};
    image->field = (TargetField){.map = target->map, .height = target->height, .width = target->width,
                                 .index = c->index_of_value, .ignore_void = c->config.ignore_void};
    return status;
}

static void end_image(const Image *image)
{
    for (int t = 0; t < image->target->count; t++) image->criterion->index_of_value[image->target->segments[t].value] = -1;
}

static void draw(const Image *image, Random *random, int head, CriterionDraw kind, int mask, float *values, int64_t points)
{
    const Criterion *c = image->criterion;
    if (c->hook != NULL) c->hook(c->hook_context, head, kind, mask, values, 2 * points);
    else random_fill_uniform(random, values, 2 * points);
}

/* -- matching -- */

static void softmax(Criterion *c, const void *logits)
{
    if (c->dtype == DTYPE_F32)
        points_softmax_f32(logits, c->queries, c->classes + 1, c->probabilities, c->log_normalizers);
    else
        points_softmax_f64(logits, c->queries, c->classes + 1, c->probabilities, c->log_normalizers);
}

/* cost [T, Q] = class_weight * -p(label) + mask_weight * mean cross-entropy + dice_weight * dice. The cross-entropy of
 * logit x and target t is softplus(x) - t x, so its mean needs one product of logits and targets only. */
static void matching_costs(const Image *image)
{
    const Criterion *c = image->criterion;
    const PairSums *sums = &c->pairs.sums;
    const int segments = image->target->count;
    double norm = sums->weight > 0 ? 1 / sums->weight : 0;
    for (int t = 0; t < segments; t++) {
        int label = image->target->segments[t].label;
        for (int q = 0; q < c->queries; q++) {
            int64_t pair = (int64_t)q * segments + t;
            double mask = (sums->softplus[q] - sums->product[pair]) * norm;
            double dice = 1 - (2 * sums->overlap[pair] + 1) / (sums->sigmoid[q] + sums->target[t] + 1);
            double probability = c->probabilities[(int64_t)q * (c->classes + 1) + label];
            c->pairs.cost[(int64_t)t * c->queries + q] =
                c->config.mask_weight * mask + c->config.dice_weight * dice - c->config.class_weight * probability;
        }
    }
}

static int row_bucket(float y)
{
    return y >= 1 ? ROW_BUCKETS - 1 : y > 0 ? (int)(y * ROW_BUCKETS) : 0;
}

/* Orders points by their height in the picture. Sums over points don't mind, and the points of a block then lie in the
 * same few rows of every query's mask: with many large masks this is what keeps them in the cache. */
static void order_by_row(const float *points, int64_t count, float *ordered)
{
    int64_t place[ROW_BUCKETS + 1] = {0};
    for (int64_t i = 0; i < count; i++) place[row_bucket(points[2 * i + 1]) + 1]++;
    for (int b = 0; b < ROW_BUCKETS; b++) place[b + 1] += place[b];
    for (int64_t i = 0; i < count; i++) {
        int64_t to = place[row_bucket(points[2 * i + 1])]++;
        ordered[2 * to] = points[2 * i];
        ordered[2 * to + 1] = points[2 * i + 1];
    }
}

/* Fills c->query_target; c->probabilities must be this head's. Returns the number of non-finite costs. */
static int64_t match_head(const Image *image, const CriterionHead *head, int head_index, Random *random)
{
    Criterion *c = image->criterion;
    const int segments = image->target->count;
    for (int q = 0; q < c->queries; q++) c->query_target[q] = -1;
    if (segments == 0) return 0;
    draw(image, random, head_index, CRITERION_DRAW_MATCHING, 0, c->draws, c->config.points);
    order_by_row(c->draws, c->config.points, c->chosen);
    if (c->dtype == DTYPE_F32)
        points_pair_sums_f32(head->mask_logits, c->queries, image->height, image->width, &image->field, segments,
                             c->chosen, c->config.points, c->pairs.target_block, &c->pairs.sums);
    else
        points_pair_sums_f64(head->mask_logits, c->queries, image->height, image->width, &image->field, segments,
                             c->chosen, c->config.points, c->pairs.target_block, &c->pairs.sums);
    matching_costs(image);
    int64_t bad = matching_assign(c->pairs.cost, segments, c->queries, c->pairs.query_of, c->pairs.matching);
    for (int t = 0; t < segments; t++)
        if (c->pairs.query_of[t] >= 0) c->query_target[c->pairs.query_of[t]] = t;
    return bad;
}

/* -- points of the mask losses -- */

/* Splits keys by bits [shift, shift + width) among those whose higher bits are `prefix`: on return the bits of the
 * `rank`-th smallest (from 1) are in *prefix, and its rank among keys equal so far is returned. */
static int64_t select_digit(const uint32_t *keys, int64_t count, int shift, int width, uint32_t *prefix, int64_t rank)
{
    int64_t histogram[2048] = {0};
    int above = shift + width;
    for (int64_t i = 0; i < count; i++) {
        if (((uint64_t)keys[i] >> above) != *prefix) continue;
        histogram[(keys[i] >> shift) & ((1u << width) - 1)]++;
    }
    uint32_t digit = 0;
    while (rank > histogram[digit]) rank -= histogram[digit++];
    *prefix = (*prefix << width) | digit;
    return rank;
}

/* Copies the points of the `wanted` smallest keys, in order; of equal keys the first. */
static void take_smallest(const uint32_t *keys, const float *points, int64_t count, int64_t wanted, float *out)
{
    if (wanted <= 0) return;
    uint32_t limit = 0; /* keys have 31 bits: three digits of 11, 11 and 9 */
    int64_t equal = select_digit(keys, count, 20, 11, &limit, wanted);
    equal = select_digit(keys, count, 9, 11, &limit, equal);
    equal = select_digit(keys, count, 0, 9, &limit, equal);
    int64_t taken = 0;
    for (int64_t i = 0; i < count && taken < wanted; i++) {
        out[2 * taken] = points[2 * i];
        out[2 * taken + 1] = points[2 * i + 1];
        bool same = keys[i] == limit;
        taken += keys[i] < limit || (same && equal > 0);
        equal -= same;
    }
}

/* Uncertain points and a rest of plain random ones (Kirillov et al. 2020, "PointRend", as Mask2Former uses it). */
static void choose_points(const Image *image, const void *logits, int head_index, int mask, Random *random)
{
    Criterion *c = image->criterion;
    draw(image, random, head_index, CRITERION_DRAW_CANDIDATES, mask, c->draws, c->candidates);
    if (c->dtype == DTYPE_F32)
        points_certainty_f32(logits, image->height, image->width, c->draws, c->candidates, c->keys);
    else
        points_certainty_f64(logits, image->height, image->width, c->draws, c->candidates, c->keys);
    take_smallest(c->keys, c->draws, c->candidates, c->uncertain, c->chosen);
    int64_t rest = c->config.points - c->uncertain;
    if (rest > 0) draw(image, random, head_index, CRITERION_DRAW_REST, mask, c->chosen + 2 * c->uncertain, rest);
}

static void mask_losses(const Image *image, const CriterionHead *head, int head_index, Random *random, double *mask_sum,
                        double *dice_sum)
{
    Criterion *c = image->criterion;
    int64_t area = image->height * image->width;
    size_t size = (size_t)dtype_size(c->dtype);
    double masks = image->batch->num_masks > 1 ? image->batch->num_masks : 1;
    if (head->mask_grad != NULL) memset(head->mask_grad, 0, (size_t)(c->queries * area) * size);
    int order = 0;
    *mask_sum = *dice_sum = 0;
    for (int q = 0; q < c->queries; q++) {
        if (c->query_target[q] < 0) continue;
        const char *logits = (const char *)head->mask_logits + (size_t)(q * area) * size;
        char *grad = head->mask_grad == NULL ? NULL : (char *)head->mask_grad + (size_t)(q * area) * size;
        uint16_t value = (uint16_t)image->target->segments[c->query_target[q]].value;
        choose_points(image, logits, head_index, order++, random);
        MaskLoss loss = {.mask_factor = c->config.mask_weight / masks, .dice_factor = c->config.dice_weight / masks};
        if (c->dtype == DTYPE_F32)
            points_mask_loss_f32((const float *)(const void *)logits, (float *)(void *)grad, image->height, image->width,
                                 &image->field, value, c->chosen, c->config.points, c->kept, &loss);
        else
            points_mask_loss_f64((const double *)(const void *)logits, (double *)(void *)grad, image->height,
                                 image->width, &image->field, value, c->chosen, c->config.points, c->kept, &loss);
        *mask_sum += loss.mask / masks;
        *dice_sum += loss.dice / masks;
    }
}

/* -- class loss -- */

static double class_loss(const Image *image, const CriterionHead *head)
{
    Criterion *c = image->criterion;
    for (int q = 0; q < c->queries; q++) {
        int t = c->query_target[q];
        c->labels[q] = t < 0 ? c->classes : image->target->segments[t].label;
        c->class_weights[q] = t < 0 ? c->config.no_object_weight : 1;
    }
    double denominator = image->batch->ce_denominator;
    if (!(denominator > 0)) denominator = 1; /* nothing matched anywhere and no-object weighs nothing: all terms are 0 */
    double factor = c->config.class_weight / denominator, sum;
    if (c->dtype == DTYPE_F32)
        sum = points_class_loss_f32(head->class_logits, head->class_grad, c->queries, c->classes + 1, c->probabilities,
                                    c->log_normalizers, c->labels, c->class_weights, factor);
    else
        sum = points_class_loss_f64(head->class_logits, head->class_grad, c->queries, c->classes + 1, c->probabilities,
                                    c->log_normalizers, c->labels, c->class_weights, factor);
    return sum / denominator;
}

/* -- the calls -- */

/* A head's own stream: heads count as steps of a step. */
static Random head_stream(const CriterionBatch *batch, int head)
{
    return random_stream(batch->seed, RANDOM_POINTS, batch->step * CRITERION_MAX_HEADS + (uint64_t)head, batch->sample);
}

Status criterion_run(Criterion *c, const CriterionHead *heads, int head_count, int64_t mask_height, int64_t mask_width,
                     const SegmentTarget *target, const CriterionBatch *batch, int32_t *query_target,
                     CriterionLosses *losses)
{
    *losses = (CriterionLosses){.heads = head_count};
    if (head_count < 0 || head_count > CRITERION_MAX_HEADS)
        return status_error(STATUS_INTERNAL, "%d prediction heads; at most %d", head_count, CRITERION_MAX_HEADS);
    Image image;
    TRY(begin_image(c, target, batch, mask_height, mask_width, &image));
    for (int h = 0; h < head_count; h++) {
        Random random = head_stream(batch, h);
        softmax(c, heads[h].class_logits);
        losses->non_finite += match_head(&image, &heads[h], h, &random);
        losses->ce[h] = class_loss(&image, &heads[h]);
        mask_losses(&image, &heads[h], h, &random, &losses->mask[h], &losses->dice[h]);
        losses->total += c->config.class_weight * losses->ce[h] + c->config.mask_weight * losses->mask[h] +
                         c->config.dice_weight * losses->dice[h];
        if (query_target != NULL)
            memcpy(query_target + (int64_t)h * c->queries, c->query_target, sizeof(int32_t) * (size_t)c->queries);
    }
    end_image(&image);
    return OK;
}

Status criterion_match(Criterion *c, const CriterionHead *head, int64_t mask_height, int64_t mask_width,
                       const SegmentTarget *target, const CriterionBatch *batch, int32_t *query_target,
                       int64_t *non_finite)
{
    Image image;
    TRY(begin_image(c, target, batch, mask_height, mask_width, &image));
    Random random = head_stream(batch, 0);
    softmax(c, head->class_logits);
    *non_finite = match_head(&image, head, 0, &random);
    memcpy(query_target, c->query_target, sizeof(int32_t) * (size_t)c->queries);
    end_image(&image);
    return OK;
}
