#include "framework/files.h"
#include "framework/json.h"
#include "framework/memory.h"
#include "models/metrics/score_files.h"
#include "tests/test.h"

static ClassEntry entries[3] = {{1, "a", true, false, {0}}, {2, "b", false, true, {0}}, {3, "c", true, false, {0}}};
static const ClassTable CLASSES = {3, 2, 1, entries};

static PanopticMap map_of(const int32_t *ids, int width, const PanopticSegment *segments, int count)
{
    return (PanopticMap){1, width, ids, count, segments};
}

static void check_counts(const PanopticScore *score, int c, int64_t tp, int64_t fp, int64_t fn)
{
    CHECK_INT(score->counts[c].true_positives, tp);
    CHECK_INT(score->counts[c].false_positives, fp);
    CHECK_INT(score->counts[c].false_negatives, fn);
}

static void test_match_needs_more_than_half(void)
{
    const int32_t truth[] = {1, 1, 1, 2, 2, 2}, half[] = {1, 1, 1, 1, 1, 1}, most[] = {1, 1, 1, 1, 1, 2};
    const PanopticSegment true_segments[] = {{1, 0, -1, false}, {2, 1, -1, false}};
    const PanopticSegment one[] = {{1, 0, -1, false}}, two[] = {{1, 0, -1, false}, {2, 1, -1, false}};
    PanopticScore score;
    CHECK_OK(panoptic_score_create(3, &score));
    PanopticMap t = map_of(truth, 6, true_segments, 2), p = map_of(half, 6, one, 1);
    CHECK_OK(panoptic_score_add(&score, &t, &p, "half")); /* IoU is 1/2: no match */
    check_counts(&score, 0, 0, 1, 1);
    check_counts(&score, 1, 0, 0, 1);
    p = map_of(most, 6, two, 2);
    CHECK_OK(panoptic_score_add(&score, &t, &p, "most")); /* 3/5 matches, 1/3 does not */
    check_counts(&score, 0, 1, 1, 1);
    check_counts(&score, 1, 0, 1, 2);
    PanopticQuality quality = panoptic_quality_class(&score, 0);
    CHECK_NEAR(quality.sq, 0.6, 1e-11);
    CHECK_NEAR(quality.rq, 0.5, 1e-15);
    CHECK_NEAR(quality.pq, 0.3, 1e-11);
    PanopticQuality all = panoptic_quality_group(&score, &CLASSES, GROUP_ALL); /* class c does not occur */
    CHECK_INT(all.classes, 2);
    CHECK_NEAR(all.pq, 0.15, 1e-11);
    CHECK_INT(panoptic_quality_group(&score, &CLASSES, GROUP_UNSEEN).classes, 1);
    CHECK_NEAR(panoptic_quality_harmonic(&score, &CLASSES).pq, 0.0, 0.0);
    panoptic_score_clear(&score);
}

static void test_void_and_crowd(void)
{
    /* void x4, a crowd of class a x4, segment of class c x4 */
    const int32_t truth[] = {0, 0, 0, 0, 7, 7, 7, 7, 9, 9, 9, 9};
    const PanopticSegment true_segments[] = {{7, 0, -1, true}, {9, 2, -1, false}};
    /* class a: half on void and half on the crowd: ignored. class c: two on void, which the union leaves out, so
     * that its IoU is 4 of 4. */
    const int32_t ids[] = {1, 1, 3, 3, 1, 1, 2, 2, 3, 3, 3, 3};
    const PanopticSegment segments[] = {{1, 0, -1, false}, {2, 1, -1, false}, {3, 2, -1, false}};
    PanopticScore score;
    CHECK_OK(panoptic_score_create(3, &score));
    PanopticMap t = map_of(truth, 12, true_segments, 2), p = map_of(ids, 12, segments, 3);
    CHECK_OK(panoptic_score_add(&score, &t, &p, "crowd"));
    check_counts(&score, 0, 0, 0, 0); /* the crowd is no miss, the prediction on it no mistake */
    check_counts(&score, 1, 0, 1, 0); /* on the crowd of another class */
    check_counts(&score, 2, 1, 0, 0);
    CHECK_NEAR(panoptic_quality_class(&score, 2).sq, 1.0, 1e-12);
    panoptic_score_clear(&score);
}

static void test_merge_is_exact(void)
{
    enum { PIXELS = 256, IMAGES = 12 };
    PanopticScore whole, parts[2];
    CHECK_OK(panoptic_score_create(3, &whole));
    for (int i = 0; i < 2; i++)
        CHECK_OK(panoptic_score_create(3, &parts[i]));
    const PanopticSegment segments[] = {{1, 0, -1, false}, {2, 1, -1, false}, {3, 2, -1, false}};
    for (int i = 0; i < IMAGES; i++) {
        int32_t truth[PIXELS], ids[PIXELS];
        for (int x = 0; x < PIXELS; x++) {
            truth[x] = 1 + x * 3 / PIXELS;
            ids[x] = 1 + (x + i * 3 < PIXELS ? (x + i * 3) * 3 / PIXELS : 2);
        }
        PanopticMap t = map_of(truth, PIXELS, segments, 3), p = map_of(ids, PIXELS, segments, 3);
        CHECK_OK(panoptic_score_add(&whole, &t, &p, "whole"));
        CHECK_OK(panoptic_score_add(&parts[i % 3 == 0], &t, &p, "part"));
    }
    panoptic_score_merge(&parts[1], &parts[0]);
    CHECK(memcmp(parts[1].counts, whole.counts, 3 * sizeof *whole.counts) == 0);
    CHECK(whole.counts[0].true_positives > 0);
    panoptic_score_clear(&whole);
    panoptic_score_clear(&parts[0]);
    panoptic_score_clear(&parts[1]);
}

static void test_refusals(void)
{
    const int32_t ids[] = {1, 1, 2, 2};
    const PanopticSegment good[] = {{1, 0, -1, false}, {2, 1, -1, false}};
    const PanopticSegment twice[] = {{1, 0, -1, false}, {1, 1, -1, false}};
    const PanopticSegment strange[] = {{1, 0, -1, false}, {2, 3, -1, false}};
    const PanopticSegment third[] = {{1, 0, -1, false}, {2, 1, -1, false}, {3, 1, -1, false}};
    PanopticScore score;
    CHECK_OK(panoptic_score_create(3, &score));
    PanopticMap t = map_of(ids, 4, good, 2), p = map_of(ids, 3, good, 2);
    CHECK_FAILS(panoptic_score_add(&score, &t, &p, "x.png"), STATUS_INVALID, "x.png: the prediction is 1 x 3");
    p = map_of(ids, 4, good, 1);
    CHECK_FAILS(panoptic_score_add(&score, &t, &p, "x.png"), STATUS_INVALID, "id 2 is in the predicted map");
    p = map_of(ids, 4, third, 3);
    CHECK_FAILS(panoptic_score_add(&score, &t, &p, "x.png"), STATUS_INVALID, "segment id 3 has no pixel");
    p = map_of(ids, 4, twice, 2);
    CHECK_FAILS(panoptic_score_add(&score, &t, &p, "x.png"), STATUS_INVALID, "listed twice");
    p = map_of(ids, 4, strange, 2);
    CHECK_FAILS(panoptic_score_add(&score, &t, &p, "x.png"), STATUS_INVALID, "class 3 of 3");
    for (int c = 0; c < 3; c++)
        check_counts(&score, c, 0, 0, 0);
    panoptic_score_clear(&score);
}

static char *parity_path(const char *name)
{
    const char *shared = getenv("ZEROTH_SHARED");
    return memory_format("%s/parity/panoptic_quality/%s", shared != NULL ? shared : "../shared", name);
}

static void check_quality(const Json *expected, const char *key, PanopticQuality quality)
{
    const Json *values = json_member(expected, key);
    CHECK(values != NULL);
    CHECK_NEAR(quality.pq, json_member(values, "pq")->real, 1e-9);
    CHECK_NEAR(quality.sq, json_member(values, "sq")->real, 1e-9);
    CHECK_NEAR(quality.rq, json_member(values, "rq")->real, 1e-9);
    if (json_member(values, "n") != NULL)
        CHECK_INT(quality.classes, json_member(values, "n")->integer);
}

static void test_reference_numbers(void)
{
    char *truth_path = parity_path("gt.json"), *prediction_path = parity_path("pred.json");
    char *expected_path = parity_path("expected.json");
    if (!file_exists(expected_path))
        SKIP("no ../shared/parity/panoptic_quality (set ZEROTH_SHARED)");
    PanopticFile truth, prediction;
    PanopticScore score;
    Json *expected = NULL;
    CHECK_OK(panoptic_file_read(truth_path, true, &truth));
    CHECK_OK(panoptic_file_read(prediction_path, false, &prediction));
    CHECK_OK(json_read_file(expected_path, &expected));
    CHECK_OK(panoptic_score_files(&truth, NULL, &prediction, NULL, &score));
    static const char *const keys[GROUP_COUNT] = {"All", "Things", "Stuff", "seen", "unseen"};
    for (int g = 0; g < GROUP_COUNT; g++)
        check_quality(expected, keys[g], panoptic_quality_group(&score, &truth.classes, (MetricGroup)g));
    const Json *per_class = json_member(expected, "per_class");
    CHECK_INT(per_class->count, truth.classes.count);
    for (int c = 0; c < truth.classes.count; c++) {
        char key[32];
        snprintf(key, sizeof key, "%lld", (long long)truth.classes.entries[c].id);
        check_quality(per_class, key, panoptic_quality_class(&score, c));
    }
    json_destroy(expected);
    panoptic_score_clear(&score);
    panoptic_file_clear(&truth);
    panoptic_file_clear(&prediction);
    memory_free(truth_path);
    memory_free(prediction_path);
    memory_free(expected_path);
}

TEST_MAIN(TEST(test_match_needs_more_than_half), TEST(test_void_and_crowd), TEST(test_merge_is_exact),
          TEST(test_refusals), TEST(test_reference_numbers))
