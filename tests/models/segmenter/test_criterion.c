/* The criterion: gradients against finite differences in double, float32
 * against float64, a batch split into images against its parts, void pixels,
 * hand-made cases. */
#include "models/segmenter/criterion.h"

#include <float.h>

#include "framework/memory.h"
#include "framework/random.h"
#include "tests/test.h"

enum { Q = 5, S = 3, H = 6, W = 8, HEADS = 2, MAP_H = 24, MAP_W = 32, CLASS_COUNT = Q * (S + 1), MASK_COUNT = Q * H * W };

typedef struct Case {
    double classes[HEADS][CLASS_COUNT], masks[HEADS][MASK_COUNT];
    double class_grad[HEADS][CLASS_COUNT], mask_grad[HEADS][MASK_COUNT];
    uint16_t map[MAP_H * MAP_W];
    TargetSegment segments[3];
    CriterionConfig config;
    CriterionBatch batch;
    int32_t query_target[HEADS * Q];
    CriterionLosses losses;
} Case;

static void make_case(Case *c, uint64_t seed, bool ignore_void)
{
    memset(c, 0, sizeof *c);
    Random random = random_stream(seed, RANDOM_TEST, 0, 0);
    for (int h = 0; h < HEADS; h++) {
        for (int i = 0; i < CLASS_COUNT; i++) c->classes[h][i] = random_normal(&random);
        for (int i = 0; i < MASK_COUNT; i++) c->masks[h][i] = 2 * random_normal(&random);
    }
    for (int y = 0; y < MAP_H; y++)
        for (int x = 0; x < MAP_W; x++)
            c->map[y * MAP_W + x] = (uint16_t)(x < 6 ? 0 : y < 10 ? 7 : x + y < 30 ? 300 : 65535);
    c->segments[0] = (TargetSegment){300, 2};
    c->segments[1] = (TargetSegment){7, 0};
    c->segments[2] = (TargetSegment){65535, 2};
    c->config = criterion_default();
    c->config.points = 300; /* not a multiple of a block */
    c->config.ignore_void = ignore_void;
    c->batch = (CriterionBatch){.seed = seed, .step = 3, .sample = 1};
    criterion_count(&c->config, Q, 3, &c->batch);
}

static SegmentTarget case_target(const Case *c)
{
    return (SegmentTarget){.map = c->map, .height = MAP_H, .width = MAP_W, .segments = c->segments, .count = 3};
}

static void run_case(Criterion *criterion, Case *c)
{
    CriterionHead heads[HEADS];
    for (int h = 0; h < HEADS; h++)
        heads[h] = (CriterionHead){c->classes[h], c->masks[h], c->class_grad[h], c->mask_grad[h]};
    SegmentTarget target = case_target(c);
    CHECK_OK(criterion_run(criterion, heads, HEADS, H, W, &target, &c->batch, c->query_target, &c->losses));
}

static double loss_at(Criterion *criterion, Case *c, double *value, double moved)
{
    double kept = *value;
    *value = moved;
    CriterionHead heads[HEADS];
    for (int h = 0; h < HEADS; h++) heads[h] = (CriterionHead){c->classes[h], c->masks[h], NULL, NULL};
    SegmentTarget target = case_target(c);
    CriterionLosses losses;
    int32_t query_target[HEADS * Q];
    CHECK_OK(criterion_run(criterion, heads, HEADS, H, W, &target, &c->batch, query_target, &losses));
    CHECK(memcmp(query_target, c->query_target, sizeof query_target) == 0);
    *value = kept;
    return losses.total;
}

static void check_gradients(bool ignore_void, double importance)
{
    Case *c = memory_alloc(sizeof *c);
    make_case(c, 5, ignore_void);
    c->config.importance = importance;
    Criterion *criterion;
    CHECK_OK(criterion_create(&c->config, DTYPE_F64, Q, S, &criterion));
    run_case(criterion, c);
    const double step = 1e-6;
    double worst = 0;
    for (int h = 0; h < HEADS; h++) {
        for (int i = 0; i < CLASS_COUNT + MASK_COUNT; i++) {
            double *value = i < CLASS_COUNT ? &c->classes[h][i] : &c->masks[h][i - CLASS_COUNT];
            double ours = i < CLASS_COUNT ? c->class_grad[h][i] : c->mask_grad[h][i - CLASS_COUNT];
            double slope = (loss_at(criterion, c, value, *value + step) - loss_at(criterion, c, value, *value - step)) /
                           (2 * step);
            double error = fabs(slope - ours) / (1e-3 + fabs(ours));
            worst = error > worst ? error : worst;
        }
    }
    CHECK_NEAR(worst, 0, 1e-5);
    criterion_destroy(criterion);
    memory_free(c);
}

/* Which points are the most uncertain jumps with the logits, so the check with them in the choice is of few points. */
static void test_gradients(void) { check_gradients(false, 0); }
static void test_gradients_with_void(void) { check_gradients(true, 0); }
static void test_gradients_of_uncertain_points(void) { check_gradients(false, 0.75); }

static void test_float_agrees_with_double(void)
{
    Case *c = memory_alloc(sizeof *c);
    make_case(c, 9, true);
    Criterion *in_double, *in_float;
    CHECK_OK(criterion_create(&c->config, DTYPE_F64, Q, S, &in_double));
    CHECK_OK(criterion_create(&c->config, DTYPE_F32, Q, S, &in_float));
    static float classes[HEADS][CLASS_COUNT], masks[HEADS][MASK_COUNT], class_grad[HEADS][CLASS_COUNT];
    static float mask_grad[HEADS][MASK_COUNT];
    CriterionHead heads[HEADS];
    for (int h = 0; h < HEADS; h++) {
        for (int i = 0; i < CLASS_COUNT; i++) c->classes[h][i] = classes[h][i] = (float)c->classes[h][i];
        for (int i = 0; i < MASK_COUNT; i++) c->masks[h][i] = masks[h][i] = (float)c->masks[h][i];
        heads[h] = (CriterionHead){classes[h], masks[h], class_grad[h], mask_grad[h]};
    }
    run_case(in_double, c);
    SegmentTarget target = case_target(c);
    CriterionLosses losses;
    int32_t query_target[HEADS * Q];
    CHECK_OK(criterion_run(in_float, heads, HEADS, H, W, &target, &c->batch, query_target, &losses));
    CHECK(memcmp(query_target, c->query_target, sizeof query_target) == 0);
    CHECK_NEAR(losses.total, c->losses.total, 1e-5 * c->losses.total);
    double error = 0, size = 0;
    for (int h = 0; h < HEADS; h++)
        for (int i = 0; i < MASK_COUNT; i++) {
            error += pow((double)mask_grad[h][i] - c->mask_grad[h][i], 2);
            size += pow(c->mask_grad[h][i], 2);
        }
    CHECK_NEAR(sqrt(error / size), 0, 1e-3);
    criterion_destroy(in_double);
    criterion_destroy(in_float);
    memory_free(c);
}

/* Draws are a function of (seed, step, sample, head) only: a second run, and one after other samples, is the same. */
static void test_draws_repeat(void)
{
    Case *c = memory_alloc(sizeof *c), *again = memory_alloc(sizeof *again);
    make_case(c, 9, false);
    make_case(again, 9, false);
    Criterion *criterion;
    CHECK_OK(criterion_create(&c->config, DTYPE_F64, Q, S, &criterion));
    run_case(criterion, c);
    again->batch.sample = 2;
    run_case(criterion, again);
    CHECK(again->losses.total != c->losses.total);
    again->batch.sample = 1;
    run_case(criterion, again);
    CHECK(memcmp(again->mask_grad, c->mask_grad, sizeof c->mask_grad) == 0);
    CHECK(again->losses.total == c->losses.total);
    criterion_destroy(criterion);
    memory_free(c);
    memory_free(again);
}

/* A prediction that is right everywhere: no loss worth the name, queries matched to their own segments. */
static void test_perfect_prediction(void)
{
    Case *c = memory_alloc(sizeof *c);
    make_case(c, 2, false);
    const int owner[3] = {4, 1, 0}; /* query of each segment */
    for (int q = 0; q < Q; q++) {
        int segment = -1;
        for (int t = 0; t < 3; t++) segment = owner[t] == q ? t : segment;
        for (int k = 0; k <= S; k++) c->classes[0][q * (S + 1) + k] = k == (segment < 0 ? S : c->segments[segment].label) ? 30 : 0;
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                uint16_t here = c->map[(y * 4 + 2) * MAP_W + x * 4 + 2];
                c->masks[0][(q * H + y) * W + x] = segment >= 0 && here == c->segments[segment].value ? 60 : -60;
            }
    }
    Criterion *criterion;
    c->config.importance = 0;
    CHECK_OK(criterion_create(&c->config, DTYPE_F64, Q, S, &criterion));
    SegmentTarget target = case_target(c);
    CriterionHead head = {c->classes[0], c->masks[0], NULL, NULL};
    int64_t bad;
    CHECK_OK(criterion_match(criterion, &head, H, W, &target, &c->batch, c->query_target, &bad));
    CHECK_INT(bad, 0);
    for (int t = 0; t < 3; t++) CHECK_INT(c->query_target[owner[t]], t);
    CHECK_INT(c->query_target[2], -1);
    CHECK_INT(c->query_target[3], -1);
    CHECK_OK(criterion_run(criterion, &head, 1, H, W, &target, &c->batch, NULL, &c->losses));
    CHECK_NEAR(c->losses.ce[0], 0, 1e-9);
    CHECK_NEAR(c->losses.dice[0], 0, 0.2); /* a map of a quarter of the size misses the borders */
    criterion_destroy(criterion);
    memory_free(c);
}

/* More segments than queries, no segment at all, logits that are not numbers. */
static void test_odd_images(void)
{
    Case *c = memory_alloc(sizeof *c);
    make_case(c, 3, false);
    TargetSegment many[40];
    for (int i = 0; i < 40; i++) many[i] = (TargetSegment){i + 1, i % S};
    for (int i = 0; i < MAP_H * MAP_W; i++) c->map[i] = (uint16_t)(i % 50);
    SegmentTarget target = {.map = c->map, .height = MAP_H, .width = MAP_W, .segments = many, .count = 40};
    Criterion *criterion;
    CHECK_OK(criterion_create(&c->config, DTYPE_F64, Q, S, &criterion));
    CriterionHead head = {c->classes[0], c->masks[0], c->class_grad[0], c->mask_grad[0]};
    CHECK_OK(criterion_run(criterion, &head, 1, H, W, &target, &c->batch, c->query_target, &c->losses));
    for (int q = 0; q < Q; q++) CHECK(c->query_target[q] >= 0);
    CHECK(isfinite(c->losses.total));
    target.count = 0;
    c->batch = (CriterionBatch){0};
    criterion_count(&c->config, Q, 0, &c->batch);
    CHECK_NEAR(c->batch.ce_denominator, 0.1 * Q, 1e-12);
    CHECK_OK(criterion_run(criterion, &head, 1, H, W, &target, &c->batch, c->query_target, &c->losses));
    CHECK_NEAR(c->losses.mask[0] + c->losses.dice[0], 0, 0);
    for (int i = 0; i < MASK_COUNT; i++) CHECK_NEAR(c->mask_grad[0][i], 0, 0);
    CHECK(c->losses.ce[0] > 0);
    target.count = 3;
    c->masks[0][20] = NAN;
    c->classes[0][1] = INFINITY;
    CHECK_OK(criterion_run(criterion, &head, 1, H, W, &target, &c->batch, c->query_target, &c->losses));
    CHECK(c->losses.non_finite > 0);
    many[2].label = S;
    CHECK_FAILS(criterion_run(criterion, &head, 1, H, W, &target, &c->batch, NULL, &c->losses), STATUS_INVALID, "label 3");
    many[2] = many[1];
    CHECK_FAILS(criterion_run(criterion, &head, 1, H, W, &target, &c->batch, NULL, &c->losses), STATUS_INVALID, "twice");
    criterion_destroy(criterion);
    memory_free(c);
}

/* Ignored void: what a mask predicts there does not matter. */
static void test_void_is_ignored(void)
{
    Case *c = memory_alloc(sizeof *c);
    make_case(c, 4, true);
    Criterion *criterion;
    CHECK_OK(criterion_create(&c->config, DTYPE_F64, Q, S, &criterion));
    run_case(criterion, c);
    for (int h = 0; h < HEADS; h++)
        for (int q = 0; q < Q; q++)
            for (int y = 0; y < H; y++) CHECK_NEAR(c->mask_grad[h][(q * H + y) * W], 0, 0); /* x < 6 of 32: column 0 */
    memset(c->map, 0, sizeof c->map);
    run_case(criterion, c);
    CHECK_NEAR(c->losses.mask[0], 0, 0);
    CHECK_NEAR(c->losses.dice[0], 0, 0);
    criterion_destroy(criterion);
    memory_free(c);
}

TEST_MAIN(TEST(test_gradients), TEST(test_gradients_with_void), TEST(test_gradients_of_uncertain_points),
          TEST(test_float_agrees_with_double), TEST(test_draws_repeat), TEST(test_perfect_prediction),
          TEST(test_odd_images), TEST(test_void_is_ignored))
