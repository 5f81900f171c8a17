/* What a study's evaluate jobs leave: predictions as files, the trade-off curve, a calibrated model. */
#include "storage/image.h"
#include "storage/instance_json.h"
#include "storage/panoptic_json.h"
#include "tests/commands/artifacts.h"

#define SETTINGS "evaluate.export=[panoptic,instances,semantic]", "evaluate.score=0.05", "evaluate.overlap=0.1"

static const char *data(void)
{
    return in_root("place/data");
}

/* The artifact of a run that exports. */
static const char *exported(void)
{
    static const char *directory;
    if (directory != NULL) return directory;
    const char *study = make_study(in_root("place"), "");
    make_scenes(data(), 30, 6, 0.3);
    CHECK_CODE(PROGRAM("run", study, SETTINGS), 0);
    directory = only_artifact(in_root("place/work"), "evaluate");
    return directory;
}

/* Every metric of `said` must be in metrics.json, and the same. */
static void check_same_scores(const char *said, const char *prefix, int at_least)
{
    Json *scores, *metrics;
    int compared = 0;
    CHECK_OK(json_parse(said, strlen(said), "scores", &scores));
    CHECK_OK(json_read_file(text("%s/" METRICS_NAME, exported()), &metrics));
    for (size_t i = 0; i < scores->count; i++) {
        if (strncmp(scores->keys[i], prefix, strlen(prefix)) != 0) continue;
        const Json *own = json_member(metrics, scores->keys[i]);
        CHECK(own != NULL && own->type == scores->items[i].type);
        if (own->type != JSON_NULL && own->real != scores->items[i].real)
            TEST_FAIL("%s is %.17g in metrics.json and %.17g in the export", scores->keys[i], own->real,
                      scores->items[i].real);
        compared += own->type != JSON_NULL;
    }
    CHECK(compared >= at_least);
    json_destroy(scores);
    json_destroy(metrics);
}

static void test_panoptic(void)
{
    Result result = PROGRAM("score", "panoptic", text("%s/panoptic_val.json", data()),
                            text("%s/predictions/panoptic.json", exported()), "--format", "json", "--unseen",
                            text("%s/unseen.txt", data()));
    CHECK_CODE(result, 0);
    check_same_scores(result.out, "panoptic.", 12);
}

/* That the other forms score the same is shown where predictions are good ones: jobs/test_scores. */
static void test_other_forms(void)
{
    InstanceSet results;
    CHECK_OK(instance_json_read(text("%s/predictions/instances.json", exported()), true, &results));
    CHECK(results.annotation_count > 0);
    for (int64_t i = 0; i < results.annotation_count; i++) {
        Rle mask = {0};
        CHECK_OK(instance_set_mask(&results, i, results.annotations[i].height, results.annotations[i].width, &mask));
        CHECK(rle_area(&mask) > 0);
        rle_clear(&mask);
    }
    instance_set_clear(&results);
    const char *folder = text("%s/predictions/semantic", exported());
    Result csv = PROGRAM("score", "semantic", folder, folder, "--format", "csv"); /* against itself */
    CHECK_CODE(csv, 0);
    CHECK_SAYS(csv.out, "metric,all,seen,unseen,harmonic\nsemantic.miou,1,");
}

static const Json *number(const Json *metrics, const char *key)
{
    const Json *value = json_member(metrics, key);
    if (value == NULL || (value->type != JSON_REAL && value->type != JSON_INTEGER)) TEST_FAIL("metrics.json has no number %s", key);
    return value;
}

static void test_curve(void)
{
    static const char *const POINTS[] = {"bias", "panoptic.pq.seen", "panoptic.pq.unseen", "semantic.miou.seen",
                                         "semantic.miou.unseen"};
    Json *metrics;
    CHECK_OK(json_read_file(text("%s/" METRICS_NAME, exported()), &metrics));
    const Json *curve = json_member(metrics, "curve");
    CHECK(curve != NULL);
    for (size_t i = 0; i < 5; i++) {
        const Json *points = json_member(curve, POINTS[i]);
        CHECK(points != NULL && points->type == JSON_ARRAY);
        CHECK_INT(points->count, 9); /* seven, and both infinities, which JSON has as null */
    }
    const Json *bias = json_member(curve, "bias"), *seen = json_member(curve, "semantic.miou.seen");
    CHECK(bias->items[0].type == JSON_NULL && bias->items[8].type == JSON_NULL);
    CHECK_NEAR(bias->items[4].real, 0, 0);
    CHECK_NEAR(seen->items[4].real, number(metrics, "semantic.miou.seen")->real, 0); /* not calibrated: bias 0 is it */
    CHECK_NEAR(seen->items[8].real, 0, 0);
    CHECK_NEAR(json_member(curve, "semantic.miou.unseen")->items[0].real, 0, 0);
    CHECK_NEAR(json_member(curve, "panoptic.pq.unseen")->items[0].real, 0, 0);
    number(metrics, "panoptic.pq.ausuc");
    number(metrics, "semantic.miou.ausuc");
    number(metrics, "panoptic.pq.strict");
    number(metrics, "semantic.miou.strict");
    CHECK_NEAR(number(metrics, "calibration.bias")->real, 0, 0);
    json_destroy(metrics);
}

/* A fixed bias gives the numbers of its point on the curve, and lies in the model that predict reads. */
static void test_calibration(void)
{
    Json *metrics, *plain;
    exported();
    CHECK_CODE(PROGRAM("run", in_root("place/study.yaml"), "--work", in_root("place/work"), "calibration.kind=fixed",
                       "calibration.bias=1.5", "calibration.curve=[0]", "evaluate.score=0.05", "evaluate.overlap=0.1"), 0);
    Artifacts found = find_artifacts(in_root("place/work"), "evaluate");
    CHECK_INT(found.count, 2);
    const char *own = strcmp(found.directories[0], exported()) == 0 ? found.directories[1] : found.directories[0];
    CHECK_OK(json_read_file(text("%s/" METRICS_NAME, own), &metrics));
    CHECK_OK(json_read_file(text("%s/" METRICS_NAME, exported()), &plain));
    CHECK_NEAR(number(metrics, "calibration.bias")->real, 1.5, 0);
    const Json *curve = json_member(plain, "curve"); /* bias 1.5 is its sixth point */
    CHECK_NEAR(number(metrics, "semantic.miou.seen")->real, json_member(curve, "semantic.miou.seen")->items[5].real, 0);
    CHECK_NEAR(number(metrics, "panoptic.pq.seen")->real, json_member(curve, "panoptic.pq.seen")->items[5].real, 0);
    /* and the other way round: without its bias the calibrated model is the plain one */
    CHECK_NEAR(json_member(json_member(metrics, "curve"), "semantic.miou.seen")->items[1].real,
               number(plain, "semantic.miou.seen")->real, 0.02);
    CHECK(!same_file(text("%s/classifier.h5", own), text("%s/classifier.h5", exported())));
    CHECK_CODE(PROGRAM("predict", own, text("%s/val/000001000001.jpg", data()), text("%s/val/000001000003.jpg", data()),
                       "-o", in_root("pictures"), "--export", "panoptic,instances"), 0);
    PanopticFile predicted;
    CHECK_OK(panoptic_file_read(in_root("pictures/export/panoptic.json"), true, &predicted));
    CHECK_INT(predicted.annotation_count, 2);
    CHECK_INT(predicted.annotations[1].image_id, 1000003);
    CHECK(file_exists(in_root("pictures/export/panoptic/000001000003.png")) && file_exists(in_root("pictures/000001000003.png")));
    panoptic_file_clear(&predicted);
    json_destroy(metrics);
    json_destroy(plain);
    CHECK_CODE(PROGRAM("run", in_root("place/study.yaml"), "--work", in_root("place/work"), "calibration.kind=budget"), 0);
    CHECK_INT(artifact_count(in_root("place/work"), "evaluate"), 3);
}

/* Before anything runs. */
static void test_refused(void)
{
    Result result = PROGRAM("plan", in_root("place/study.yaml"), "evaluate.export=[panoptic, pictures]");
    CHECK_CODE(result, 3);
    CHECK_SAYS(result.err, "evaluate.export: predictions can't be exported as 'pictures'");
}

TEST_MAIN(TEST(test_panoptic), TEST(test_other_forms), TEST(test_curve), TEST(test_calibration),
          TEST(test_refused))
