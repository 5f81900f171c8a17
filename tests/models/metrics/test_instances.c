/* Mask AP on cases small enough to be done by hand. */
#include "framework/json.h"
#include "framework/memory.h"
#include "models/metrics/instances.h"
#include "models/metrics/summary.h"
#include "models/metrics/tradeoff.h"
#include "tests/test.h"

static ClassEntry entries[3] = {{1, "a", true, false, {0}}, {2, "b", true, true, {0}}, {3, "c", true, false, {0}}};
static const ClassTable CLASSES = {3, 2, 1, entries};

/* One detection of one instance of `pixels` each, which share `common` pixels. */
static void add_pair(InstanceScore *score, int64_t id, int32_t class_index, double value, int64_t pixels, int64_t common,
                     bool crowd)
{
    const TrueInstance truth = {.class_index = class_index, .pixels = pixels, .area = (double)pixels, .is_crowd = crowd};
    const DetectedInstance found = {.class_index = class_index, .score = value, .pixels = pixels};
    const InstanceImage image = {.image_id = id, .truth_count = 1, .detection_count = 1, .truths = &truth,
                                 .detections = &found, .common = &common};
    CHECK_OK(instance_score_add(score, &image, "pair"));
}

static InstanceQuality quality_of(const InstanceScore *score, MetricGroup group)
{
    InstanceResults results;
    CHECK_OK(instance_results_create(score, &results));
    const InstanceQuality quality = instance_quality_group(&results, &CLASSES, group);
    instance_results_clear(&results);
    return quality;
}

static void test_thresholds(void)
{
    InstanceScore score;
    CHECK_OK(instance_score_create(3, &score));
    add_pair(&score, 1, 0, 0.9, 1000, 1000, false); /* IoU 1 */
    add_pair(&score, 2, 0, 0.8, 1000, 840, false);  /* 840 / 1160 = 0.724: right at 0.5 to 0.7 */
    InstanceQuality q = quality_of(&score, GROUP_ALL);
    CHECK_INT(q.classes[SIZE_ALL], 1);
    CHECK_NEAR(q.ap50, 1, 1e-12);
    /* At 0.75 the first of two is found: precision 1 up to recall 0.5, that is at 51 of 101 recalls. */
    CHECK_NEAR(q.ap75, 51.0 / 101, 1e-12);
    CHECK_NEAR(q.ap[SIZE_ALL], (5 + 5 * 51.0 / 101) / 10, 1e-12);
    CHECK_NEAR(q.recall[SIZE_ALL], (5 + 5 * 0.5) / 10, 1e-12);
    CHECK_NEAR(q.recall50, 1, 1e-12);
    CHECK_INT(q.classes[SIZE_SMALL], 1); /* 1000 pixels are small */
    CHECK_NEAR(q.ap[SIZE_SMALL], q.ap[SIZE_ALL], 1e-12);
    CHECK_INT(q.classes[SIZE_LARGE], 0);
    CHECK_INT(quality_of(&score, GROUP_UNSEEN).classes[SIZE_ALL], 0);
    instance_score_clear(&score);
}

static void test_false_positive_and_order(void)
{
    InstanceScore score;
    CHECK_OK(instance_score_create(3, &score));
    add_pair(&score, 2, 1, 0.5, 5000, 5000, false);
    add_pair(&score, 1, 1, 0.7, 5000, 0, false); /* wrong, and better scored */
    InstanceQuality q = quality_of(&score, GROUP_UNSEEN);
    CHECK_NEAR(q.ap50, 51.0 / 101 * 0.5, 1e-12); /* precision 1/2 up to recall 1/2 */
    CHECK_NEAR(q.recall50, 0.5, 1e-12);
    CHECK_INT(q.classes[SIZE_MEDIUM], 1);
    instance_score_clear(&score);
}

static void test_crowd(void)
{
    InstanceScore score;
    const TrueInstance truths[] = {{0, 400, 400, false}, {0, 9000, 9000, true}};
    const DetectedInstance found[] = {{0, 0.9, 400}, {0, 0.8, 500}, {0, 0.7, 500}, {0, 0.6, 500}};
    /* The first is the instance; two lie in the crowd and are ignored; the last is nowhere. */
    const int64_t common[] = {400, 0, 0, 450, 0, 500, 0, 0};
    const InstanceImage image = {1, 2, 4, truths, found, common};
    CHECK_OK(instance_score_create(3, &score));
    CHECK_OK(instance_score_add(&score, &image, "x"));
    CHECK_INT(score.record_count, 4);
    CHECK_INT(score.positives[SIZE_ALL], 1);
    CHECK_NEAR(quality_of(&score, GROUP_SEEN).ap50, 1, 1e-12);
    CHECK_INT(score.records[1].ignored & 1, 1);
    CHECK_INT(score.records[2].ignored & 1, 1);
    CHECK_INT(score.records[3].ignored & 1, 0);
    CHECK_INT(score.records[1].ignored >> 9 & 1, 0); /* at 0.95 it misses the crowd too: 450 of 500 */
    instance_score_clear(&score);
}

/* Only the best hundred of a class in an image count. */
static void test_limit(void)
{
    InstanceScore score;
    const TrueInstance truth = {0, 100, 100, false};
    DetectedInstance found[130];
    int64_t common[130] = {0};
    for (int i = 0; i < 130; i++) found[i] = (DetectedInstance){0, 0.001 * (i + 1), 100};
    common[0] = 100; /* the worst one is the right one */
    const InstanceImage image = {1, 1, 130, &truth, found, common};
    CHECK_OK(instance_score_create(3, &score));
    CHECK_OK(instance_score_add(&score, &image, "x"));
    CHECK_INT(score.record_count, INSTANCE_MAX_DETECTIONS);
    CHECK(score.records[0].score == found[129].score && score.records[99].score == found[30].score);
    CHECK_NEAR(quality_of(&score, GROUP_ALL).ap50, 0, 1e-12);
    instance_score_clear(&score);
}

/* Images counted apart and put together in another order come to the same bits. */
static void test_order_of_images(void)
{
    InstanceScore whole, parts[2];
    CHECK_OK(instance_score_create(3, &whole));
    for (int p = 0; p < 2; p++) CHECK_OK(instance_score_create(3, &parts[p]));
    for (int i = 0; i < 60; i++) {
        const int64_t common = 300 + 11 * (i * 7 % 64);
        const double value = 0.1 * (i * 13 % 10); /* many equal scores */
        add_pair(&whole, i, i % 3, value, 1000, common, i % 11 == 5);
        add_pair(&parts[i % 2], i, i % 3, value, 1000, common, i % 11 == 5);
    }
    CHECK_OK(instance_score_append(&parts[1], parts[0].records, parts[0].record_count));
    for (int i = 0; i < 3 * INSTANCE_SIZE_COUNT; i++) parts[1].positives[i] += parts[0].positives[i];
    for (int g = 0; g < GROUP_COUNT; g++) {
        const InstanceQuality a = quality_of(&whole, (MetricGroup)g), b = quality_of(&parts[1], (MetricGroup)g);
        CHECK(memcmp(&a, &b, sizeof a) == 0);
    }
    instance_score_clear(&whole);
    for (int p = 0; p < 2; p++) instance_score_clear(&parts[p]);
}

static void test_refusal(void)
{
    InstanceScore score;
    const TrueInstance truth = {3, 100, 100, false};
    const InstanceImage image = {1, 1, 0, &truth, NULL, NULL};
    CHECK_OK(instance_score_create(3, &score));
    CHECK_FAILS(instance_score_add(&score, &image, "there.png"), STATUS_INVALID, "there.png: a true instance of class 3");
    CHECK_INT(score.record_count, 0);
    instance_score_clear(&score);
}

static void test_json(void)
{
    InstanceScore score;
    InstanceResults results;
    JsonWriter writer = {0};
    Json *json;
    CHECK_OK(instance_score_create(3, &score));
    add_pair(&score, 1, 0, 0.9, 1000, 1000, false);
    add_pair(&score, 2, 1, 0.9, 1000, 800, false); /* IoU 2/3: four of ten */
    CHECK_OK(instance_results_create(&score, &results));
    json_begin_object(&writer);
    metrics_write_json(&writer, &CLASSES, &(MetricSources){.instances = &results});
    metrics_write_strict(&writer, &CLASSES, &(MetricSources){.instances = &results});
    json_end_object(&writer);
    CHECK_OK(json_parse(writer.text.data, writer.text.length, "it", &json));
    CHECK_NEAR(json_member(json, "instance.ap.seen")->real, 1, 1e-12);
    CHECK_NEAR(json_member(json, "instance.ap.unseen")->real, 0.4, 1e-12);
    CHECK_NEAR(json_member(json, "instance.ap.strict")->real, 0.4, 1e-12);
    CHECK_NEAR(json_member(json, "instance.ap.harmonic")->real, 0.8 / 1.4, 1e-12);
    CHECK(json_member(json, "instance.ap_large.seen")->type == JSON_NULL);
    CHECK(json_member(json, "instance.ap.things") == NULL);
    CHECK_NEAR(json_member(json_member(json_member(json, "classes"), "b"), "instance.ap")->real, 0.4, 1e-12);
    CHECK(json_member(json_member(json_member(json, "classes"), "c"), "instance.ap")->type == JSON_NULL);
    json_destroy(json);
    text_free(&writer.text);
    instance_results_clear(&results);
    instance_score_clear(&score);
}

static void test_tradeoff_area(void)
{
    const TradeoffPoint points[] = {{-INFINITY, 0.8, 0}, {0, 0.6, 0.2}, {1, 0.3, 0.5}, {INFINITY, 0, 0.6}};
    CHECK_NEAR(tradeoff_area(points, 4), 0.2 * 0.1 + 0.3 * 0.35 + 0.3 * 0.55, 1e-12);
}

static void test_shifted_bias(void)
{
    const float bias[] = {1, 2, 3, 4};
    float out[4];
    tradeoff_shift_bias(bias, &CLASSES, 0.5, out);
    CHECK(out[0] == 0.5f && out[1] == 2 && out[2] == 2.5f && out[3] == 4);
    tradeoff_shift_bias(bias, &CLASSES, INFINITY, out);
    CHECK(out[0] == -INFINITY && out[1] == 2 && out[2] == -INFINITY && out[3] == 4);
    tradeoff_shift_bias(bias, &CLASSES, -INFINITY, out);
    CHECK(out[0] == 1 && out[1] == -INFINITY && out[2] == 3 && out[3] == 4);
}

/* Ten queries of class 0 lead the unseen class by 1 .. 10, ten of class 2 by 11 .. 20. */
static void test_chosen_shift(void)
{
    const float weight[] = {1, 0, 0, 0, 0, 1, 0, 0}, bias[] = {0, 0, 0, -100}; /* [4, 2] */
    float embeddings[2 * 23];
    int32_t labels[23];
    double shift;
    for (int i = 0; i < 20; i++) {
        embeddings[2 * i] = i < 10 ? (float)(i + 1) : 0;
        embeddings[2 * i + 1] = i < 10 ? 0 : (float)(i + 1);
        labels[i] = i < 10 ? 0 : 2;
    }
    for (int i = 20; i < 23; i++) { /* no object, whatever it looks like, and a query that is wrong */
        embeddings[2 * i] = 0.01f;
        embeddings[2 * i + 1] = 0;
        labels[i] = i < 22 ? 3 : 2;
    }
    /* Class 2 has eleven queries, one wrong: the ten right ones weigh 10/11. */
    CHECK_OK(tradeoff_choose_shift(embeddings, labels, 23, 2, weight, bias, &CLASSES, 0, &shift));
    CHECK_NEAR(shift, 1, 1e-9);
    CHECK(shift < 1); /* the closest one is still right */
    CHECK_OK(tradeoff_choose_shift(embeddings, labels, 23, 2, weight, bias, &CLASSES, 0.3, &shift));
    CHECK_NEAR(shift, 6, 1e-9); /* 0.3 of 1 + 10/11 pays for five of weight 0.1 */
    CHECK_OK(tradeoff_choose_shift(embeddings, labels, 23, 2, weight, bias, &CLASSES, 1, &shift));
    CHECK_NEAR(shift, 20, 1e-9);
    CHECK_OK(tradeoff_choose_shift(embeddings + 40, labels + 20, 3, 2, weight, bias, &CLASSES, 0.5, &shift));
    CHECK_NEAR(shift, 0, 0);
}

TEST_MAIN(TEST(test_thresholds), TEST(test_false_positive_and_order), TEST(test_crowd), TEST(test_limit),
          TEST(test_order_of_images), TEST(test_refusal), TEST(test_json), TEST(test_tradeoff_area),
          TEST(test_shifted_bias), TEST(test_chosen_shift))
