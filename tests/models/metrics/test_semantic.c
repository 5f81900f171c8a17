#include "framework/json.h"
#include "models/metrics/semantic.h"
#include "models/metrics/summary.h"
#include "tests/test.h"

static ClassEntry entries[4] = {{1, "a", true, false, {0}}, {2, "b", false, true, {0}}, {3, "c", true, false, {0}},
                                {4, "d", true, true, {0}}};
static const ClassTable CLASSES = {4, 2, 2, entries};

static const int32_t TRUTH[] = {0, 0, 0, 0, 1, 1, 1, 1, -1, -1, 2, 2};
static const int32_t PREDICTION[] = {0, 0, 0, 1, 1, 1, -1, 3, 0, 3, 2, 2};

static void test_by_hand(void)
{
    SemanticScore score;
    CHECK_OK(semantic_score_create(4, &score));
    CHECK_OK(semantic_score_add(&score, TRUTH, PREDICTION, 12, "x"));
    double iou, accuracy;
    CHECK(semantic_iou_class(&score, 0, &iou, &accuracy));
    CHECK_NEAR(iou, 3.0 / 4.0, 1e-15);
    CHECK_NEAR(accuracy, 3.0 / 4.0, 1e-15);
    CHECK(semantic_iou_class(&score, 1, &iou, &accuracy));
    CHECK_NEAR(iou, 2.0 / 5.0, 1e-15);
    CHECK_NEAR(accuracy, 0.5, 1e-15);
    CHECK(!semantic_iou_class(&score, 3, &iou, &accuracy)); /* predicted, but nowhere true */
    SemanticQuality seen = semantic_quality_group(&score, &CLASSES, GROUP_SEEN);
    CHECK_INT(seen.classes, 2);
    CHECK_NEAR(seen.miou, (0.75 + 1.0) / 2.0, 1e-15);
    CHECK_NEAR(seen.fwiou, (0.75 * 4 + 1.0 * 2) / 6.0, 1e-15);
    CHECK_NEAR(seen.pixel_accuracy, 5.0 / 6.0, 1e-15);
    SemanticQuality unseen = semantic_quality_group(&score, &CLASSES, GROUP_UNSEEN);
    CHECK_INT(unseen.classes, 1);
    CHECK_NEAR(unseen.miou, 0.4, 1e-15);
    SemanticQuality both = semantic_quality_harmonic(&score, &CLASSES);
    CHECK_NEAR(both.miou, 2 * 0.875 * 0.4 / 1.275, 1e-15);
    semantic_score_clear(&score);
}

static void test_merge_and_refusal(void)
{
    SemanticScore whole, first, second;
    CHECK_OK(semantic_score_create(4, &whole));
    CHECK_OK(semantic_score_create(4, &first));
    CHECK_OK(semantic_score_create(4, &second));
    CHECK_OK(semantic_score_add(&whole, TRUTH, PREDICTION, 12, "x"));
    CHECK_OK(semantic_score_add(&first, TRUTH, PREDICTION, 5, "x"));
    CHECK_OK(semantic_score_add(&second, TRUTH + 5, PREDICTION + 5, 7, "x"));
    semantic_score_merge(&first, &second);
    CHECK(memcmp(first.confusion, whole.confusion, 20 * sizeof(int64_t)) == 0);
    const int32_t wrong[] = {0, 4};
    CHECK_FAILS(semantic_score_add(&first, wrong, wrong, 2, "y.png"), STATUS_INVALID, "y.png: class 4 or 4 at pixel 1");
    CHECK(memcmp(first.confusion, whole.confusion, 20 * sizeof(int64_t)) == 0);
    semantic_score_clear(&whole);
    semantic_score_clear(&first);
    semantic_score_clear(&second);
}

static void test_summary(void)
{
    SemanticScore semantic;
    PanopticScore panoptic;
    CHECK_OK(semantic_score_create(4, &semantic));
    CHECK_OK(panoptic_score_create(4, &panoptic));
    CHECK_OK(semantic_score_add(&semantic, TRUTH, PREDICTION, 12, "x"));
    JsonWriter writer = {0};
    json_begin_object(&writer);
    metrics_write_json(&writer, &CLASSES, &(MetricSources){.panoptic = &panoptic, .semantic = &semantic});
    json_end_object(&writer);
    Json *json = NULL;
    CHECK_OK(json_parse(writer.text.data, writer.text.length, "summary", &json));
    CHECK_NEAR(json_member(json, "semantic.miou.unseen")->real, 0.4, 1e-15);
    CHECK(json_member(json, "panoptic.pq.harmonic")->type == JSON_NULL); /* nothing was counted */
    const Json *b = json_member(json_member(json, "classes"), "b");
    CHECK_NEAR(json_member(b, "semantic.iou")->real, 0.4, 1e-15);
    CHECK_STRING(json_member(b, "split")->string, "unseen");
    CHECK(json_member(json_member(json_member(json, "classes"), "d"), "semantic.iou")->type == JSON_NULL);
    json_destroy(json);
    text_free(&writer.text);
    semantic_score_clear(&semantic);
    panoptic_score_clear(&panoptic);
}

TEST_MAIN(TEST(test_by_hand), TEST(test_merge_and_refusal), TEST(test_summary))
