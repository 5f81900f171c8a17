/* The study of real photographs, one split and one seed of it, in few steps. */
#include "tests/commands/artifacts.h"
#include "storage/image.h"

static const char *const NAMES[] = {"panoptic.pq.seen", "panoptic.pq.unseen", "semantic.miou.seen", "semantic.miou.unseen"};
#define NAME_COUNT (sizeof NAMES / sizeof NAMES[0])

/* What makes the study small. Command-line values take the axes' places: one split, one seed, all variants. */
#define SETTINGS                                                                                                  \
    text("data.root=%s", shared("msrc")), text("segmenter.weights=%s", shared("mobilenet_v2_imagenet.safetensors")), \
    "data.unseen_file=unseen_a.txt", "classifier.unseen_weight=20", "seed=0", "data.long_side=160",                  \
    "segmenter.dim=32", "segmenter.ffn=64",                                                                        \
    "segmenter.layers=1", "segmenter.queries=12", "segmenter.points=64", "train.steps=4", "train.batch=2",       \
    "train.crop=[96, 96]", "extract.long_side=128", "extract.mirror=false", "generator.steps=6", "generator.ffn=32", \
    "generator.layers=1", "evaluate.pictures=2", "evaluate.score=0.05"

static const char *shared(const char *name)
{
    const char *root = getenv("ZEROTH_SHARED");
    return text("%s/data/%s", root != NULL && *root != '\0' ? root : "../shared", name);
}

static double metric(const char *evaluate, const char *name)
{
    Json *metrics;
    double value;
    CHECK_OK(json_read_file(text("%s/" METRICS_NAME, evaluate), &metrics));
    CHECK_OK(json_get_real(metrics, name, evaluate, &value));
    json_destroy(metrics);
    return value;
}

static void check_pictures(const char *evaluate)
{
    char **names;
    size_t count;
    const char *directory = text("%s/pictures", evaluate);
    CHECK_OK(directory_list(directory, &names, &count));
    CHECK(count >= 2);
    for (size_t i = 0; i < count; i++) {
        Image picture = {0};
        CHECK_OK(image_read(text("%s/%s", directory, names[i]), &picture));
        CHECK(picture.width > picture.height && picture.width >= 2 * 100); /* photographs side by side */
        image_clear(&picture);
    }
    names_free(names, count);
}

static void check_report(const char *study, const char *work)
{
    Result csv = PROGRAM("report", study, "--work", work, "--format", "csv", SETTINGS);
    CHECK_CODE(csv, 0);
    for (size_t n = 0; n < NAME_COUNT; n++) CHECK_SAYS(csv.out, NAMES[n]);
    CHECK_CODE(PROGRAM("report", study, "--work", work, SETTINGS), 0);
}

static void test_one_split_one_seed(void)
{
    if (!is_directory(shared("msrc")) || !file_exists(shared("mobilenet_v2_imagenet.safetensors")))
        SKIP("the photographs are not there: set ZEROTH_SHARED");
    const char *work = in_root("work"), *study = "configs/msrc.yaml";
    CHECK_CODE(PROGRAM("run", study, "--work", work, SETTINGS), 0);
    check_no_leftovers(work);
    check_artifacts_whole(work);
    only_artifact(work, "backbone");
    Artifacts found = find_artifacts(work, "evaluate");
    CHECK(found.count >= 4);
    for (int i = 0; i < found.count; i++) {
        for (size_t n = 0; n < NAME_COUNT; n++) {
            double value = metric(found.directories[i], NAMES[n]);
            CHECK(value >= 0 && value <= 1);
        }
        check_pictures(found.directories[i]);
    }
    check_report(study, work);
}

TEST_MAIN(TEST(test_one_split_one_seed))
