/* Post-processing on pictures small enough to work out by hand. */
#include "models/segmenter/inference.h"

#include "framework/memory.h"
#include "framework/random.h"
#include "tests/test.h"

enum { THING_A, STUFF_B, STUFF_C, CLASSES };
static const bool IS_THING[CLASSES] = {true, false, false};
static const PanopticConfig CONFIG = {0.8, 0.8};

/* One row of 8 pixels; a mask is a string of + (logit 4), - (logit -4) and 0 (logit -0.5). */
enum { WIDTH = 8 };
static void paint(float *logits, const char *picture)
{
    for (int x = 0; x < WIDTH; x++) logits[x] = picture[x] == '+' ? 4 : picture[x] == '-' ? -4 : -0.5f;
}

typedef struct Scene {
    float probabilities[8 * (CLASSES + 1)], logits[8 * WIDTH];
    QuerySet set;
    int32_t map[WIDTH];
    PredictedSegment segments[8];
    int count;
} Scene;

static void scene_start(Scene *scene)
{
    memset(scene, 0, sizeof *scene);
    scene->set = (QuerySet){.classes = CLASSES, .probabilities = scene->probabilities, .mask_logits = scene->logits,
                            .mask_height = 1, .mask_width = WIDTH, .height = 1, .width = WIDTH};
}

/* A query of `class_index` (CLASSES: no object) with that probability, the rest on the next class. */
static void scene_add(Scene *scene, int class_index, float probability, const char *picture)
{
    int q = scene->set.queries++;
    float *p = scene->probabilities + q * (CLASSES + 1);
    p[class_index] = probability;
    p[(class_index + 1) % (CLASSES + 1)] = 1 - probability;
    paint(scene->logits + q * WIDTH, picture);
}

static void check_map(Scene *scene, const char *expected)
{
    CHECK_OK(inference_panoptic(&scene->set, &CONFIG, IS_THING, scene->map, scene->segments, &scene->count));
    for (int x = 0; x < WIDTH; x++) CHECK_INT(scene->map[x], expected[x] - '0');
}

static void test_panoptic_plain(void)
{
    Scene s;
    scene_start(&s);
    scene_add(&s, THING_A, 0.9f, "+++-----");
    scene_add(&s, CLASSES, 0.95f, "++++++++"); /* no object */
    scene_add(&s, STUFF_B, 0.7f, "++++++++");  /* not sure enough */
    scene_add(&s, STUFF_C, 0.85f, "---0++++");
    check_map(&s, "11102222");
    CHECK_INT(s.count, 2);
    CHECK_INT(s.segments[0].class_index, THING_A);
    CHECK_INT(s.segments[0].area, 3);
    CHECK_NEAR(s.segments[0].score, 0.9, 1e-6);
    CHECK_INT(s.segments[1].class_index, STUFF_C);
    CHECK_INT(s.segments[1].area, 4);
}

static void test_panoptic_stuff_merges_things_do_not(void)
{
    Scene s;
    scene_start(&s);
    scene_add(&s, STUFF_B, 0.9f, "++------");
    scene_add(&s, THING_A, 0.9f, "--++----");
    scene_add(&s, STUFF_B, 0.95f, "----++--");
    scene_add(&s, THING_A, 0.9f, "------++");
    check_map(&s, "11221133");
    CHECK_INT(s.count, 3);
    CHECK_INT(s.segments[0].area, 4);
    CHECK_NEAR(s.segments[0].score, 0.9, 1e-6);
}

/* The surer query takes the pixels; one that keeps less than 0.8 of its own is dropped, and leaves holes. */
static void test_panoptic_overlap(void)
{
    Scene s;
    scene_start(&s);
    scene_add(&s, THING_A, 0.99f, "++++----");
    scene_add(&s, STUFF_B, 0.85f, "--++++++"); /* keeps 4 of 6 */
    check_map(&s, "11110000");
    CHECK_INT(s.count, 1);
    scene_start(&s);
    scene_add(&s, THING_A, 0.99f, "++++----");
    scene_add(&s, STUFF_B, 0.85f, "---+++++"); /* keeps 4 of 5 */
    check_map(&s, "11112222");
}

static void test_panoptic_nothing(void)
{
    Scene s;
    scene_start(&s);
    scene_add(&s, CLASSES, 0.9f, "++++++++");
    scene_add(&s, THING_A, 0.9f, "--------");
    check_map(&s, "00000000");
    CHECK_INT(s.count, 0);
    for (int x = 0; x < WIDTH; x++) s.logits[WIDTH + x] = NAN;
    check_map(&s, "00000000");
    s.set.mask_width = 0;
    CHECK_FAILS(inference_panoptic(&s.set, &CONFIG, IS_THING, s.map, s.segments, &s.count), STATUS_INVALID, "masks of");
}

static void test_semantic(void)
{
    Scene s;
    scene_start(&s);
    scene_add(&s, STUFF_B, 0.6f, "++++----");
    scene_add(&s, STUFF_C, 0.9f, "--++++++");
    scene_add(&s, STUFF_B, 0.6f, "---+----");
    CHECK_OK(inference_semantic(&s.set, s.map));
    /* pixel 2: B 0.6, C 0.9 + 0.4 (the rest of query 0); pixel 3: B 1.2, C 0.9 + 0.8 */
    const int32_t expected[WIDTH] = {STUFF_B, STUFF_B, STUFF_C, STUFF_C, STUFF_C, STUFF_C, STUFF_C, STUFF_C};
    for (int x = 0; x < WIDTH; x++) CHECK_INT(s.map[x], expected[x]);
}

static void test_instances(void)
{
    Scene s;
    scene_start(&s);
    scene_add(&s, THING_A, 0.7f, "++++----");
    scene_add(&s, STUFF_B, 0.9f, "----++++");
    scene_add(&s, THING_A, 0.8f, "------++");
    InstanceResult results[4];
    int count;
    CHECK_OK(inference_instances(&s.set, IS_THING, 4, results, &count));
    CHECK_INT(count, 2);
    CHECK_INT(results[0].query, 2);
    CHECK_INT(results[0].area, 2);
    CHECK_NEAR(results[0].score, 0.8 / (1 + exp(-4)), 1e-5);
    CHECK_INT(results[1].query, 0);
    CHECK_OK(inference_instances(&s.set, NULL, 1, results, &count));
    CHECK_INT(count, 1);
    CHECK_INT(results[0].query, 1);
    uint8_t mask[WIDTH];
    CHECK_OK(inference_mask(&s.set, 2, mask));
    for (int x = 0; x < WIDTH; x++) CHECK_INT(mask[x], x >= 6);
}

/* Enlarged twice: PyTorch's interpolate of [0, 4; 8, 12] to 4 x 4, align_corners = false. */
static void test_resize(void)
{
    const float logits[4] = {0 - 5.5f, 4 - 5.5f, 8 - 5.5f, 12 - 5.5f}, probabilities[2] = {1, 0};
    QuerySet set = {.queries = 1, .classes = 1, .probabilities = probabilities, .mask_logits = logits, .mask_height = 2,
                    .mask_width = 2, .height = 4, .width = 4};
    const double expected[16] = {0, 1, 3, 4, 2, 3, 5, 6, 6, 7, 9, 10, 8, 9, 11, 12};
    uint8_t mask[16];
    CHECK_OK(inference_mask(&set, 0, mask));
    for (int i = 0; i < 16; i++) CHECK_INT(mask[i], expected[i] > 5.5);
}

static void test_classify(void)
{
    const float x[4] = {1, 2, -1, 0.5f}, weight[6] = {1, 0, 0, 1, 2, 2}, bias[3] = {0, 0.5f, -1};
    float p[6];
    inference_classify(x, 2, 2, weight, bias, 2, p);
    double sum = exp(1) + exp(2.5) + exp(5);
    CHECK_NEAR(p[0], exp(1) / sum, 1e-6);
    CHECK_NEAR(p[2], exp(5) / sum, 1e-6);
    CHECK_NEAR(p[3] + p[4] + p[5], 1, 1e-6);
    inference_classify(x, 2, 2, weight, NULL, 2, p);
    CHECK_NEAR(p[1] / p[0], exp(1), 1e-5);
}

/* At another size: areas agree with the map, and every pixel of a segment is of its query's mask. */
static void test_panoptic_consistent(void)
{
    enum { Q = 6, H = 9, W = 13, OUT_H = 31, OUT_W = 40 };
    Random random = random_stream(3, RANDOM_TEST, 0, 0);
    float *logits = memory_alloc(sizeof(float) * Q * H * W), probabilities[Q * (CLASSES + 1)] = {0};
    int32_t *map = memory_alloc(sizeof(int32_t) * OUT_H * OUT_W);
    for (int q = 0; q < Q; q++) probabilities[q * (CLASSES + 1) + q % CLASSES] = 1;
    for (int i = 0; i < Q * H * W; i++) logits[i] = (float)random_normal(&random) + (i / (H * W) == i % Q ? 3 : -2);
    QuerySet set = {.queries = Q, .classes = CLASSES, .probabilities = probabilities, .mask_logits = logits,
                    .mask_height = H, .mask_width = W, .height = OUT_H, .width = OUT_W};
    PredictedSegment segments[Q];
    int count;
    const PanopticConfig loose = {0.5, 0.1};
    CHECK_OK(inference_panoptic(&set, &loose, IS_THING, map, segments, &count));
    CHECK(count > 0);
    int64_t areas[Q + 1] = {0};
    for (int i = 0; i < OUT_H * OUT_W; i++) {
        CHECK(map[i] >= 0 && map[i] <= count);
        areas[map[i]]++;
    }
    for (int k = 0; k < count; k++) {
        CHECK_INT(segments[k].id, k + 1);
        CHECK_INT(areas[k + 1], segments[k].area);
    }
    memory_free(logits);
    memory_free(map);
}

TEST_MAIN(TEST(test_panoptic_plain), TEST(test_panoptic_stuff_merges_things_do_not), TEST(test_panoptic_overlap),
          TEST(test_panoptic_nothing), TEST(test_semantic), TEST(test_instances), TEST(test_resize), TEST(test_classify),
          TEST(test_panoptic_consistent))
