/* zeroth score on predictions in files, right and wrong. */
#include "storage/image.h"
#include "tests/commands/e2e.h"

static const char *truth(void)
{
    static const char *path;
    if (path == NULL) {
        make_scenes(in_root("truth"), 1, 6, 0.3);
        path = in_root("truth/panoptic_val.json");
    }
    return path;
}

/* Predictions equal to the truth, for a test to spoil. */
static const char *predictions(const char *name)
{
    truth();
    copy_tree(in_root("truth/panoptic_val"), in_root(text("%s/pred", name)), false);
    copy_file(truth(), in_root(text("%s/pred.json", name)));
    return in_root(text("%s/pred.json", name));
}

static void check_refused(Result result, int code, const char *naming)
{
    CHECK_CODE(result, code);
    CHECK_SAYS(result.err, naming);
    CHECK_STRING(result.out, "");
}

static void test_perfect(void)
{
    Result result = PROGRAM("score", "panoptic", truth(), predictions("perfect"));
    CHECK_CODE(result, 0);
    CHECK_SAYS(result.out, "          |    PQ     SQ     RQ     N\n");
    CHECK_SAYS(result.out, "All       | 100.0  100.0  100.0");
    CHECK_SAYS(result.out, "Unseen    | 100.0  100.0  100.0");
    CHECK_SAYS(result.out, "Harmonic  | 100.0  100.0  100.0");
    result = PROGRAM("score", "panoptic", truth(), predictions("perfect"), "--per-class", "--format=csv");
    CHECK_CODE(result, 0);
    CHECK_SAYS(result.out, "class,plain red circle,unseen,");
}

static void test_json_and_unseen_file(void)
{
    const char *path = predictions("json");
    write_text(in_root("json/unseen.txt"), "# two\nstriped red triangle\ngreen waves\n");
    Result result = PROGRAM("score", "panoptic", truth(), path, "--format", "json", "--unseen", in_root("json/unseen.txt"));
    CHECK_CODE(result, 0);
    Json *json = NULL;
    CHECK_OK(json_parse(result.out, strlen(result.out), "scores", &json));
    CHECK_NEAR(json_member(json, "panoptic.pq.all")->real, 1.0, 1e-9);
    CHECK_INT(json_member(json, "images")->integer, 6);
    const Json *classes = json_member(json, "classes");
    CHECK_STRING(json_member(json_member(classes, "striped red triangle"), "split")->string, "unseen");
    CHECK_STRING(json_member(json_member(classes, "plain red circle"), "split")->string, "seen");
    json_destroy(json);
    write_text(in_root("json/unseen.txt"), "yeti\n");
    check_refused(PROGRAM("score", "panoptic", truth(), path, "--unseen", in_root("json/unseen.txt")), 4, "'yeti'");
}

static void test_reference(void)
{
    const char *shared = getenv("ZEROTH_SHARED");
    const char *folder = text("%s/parity/panoptic_quality", shared != NULL ? shared : "../shared");
    if (!is_directory(folder))
        SKIP("no ../shared/parity/panoptic_quality (set ZEROTH_SHARED)");
    Result result = PROGRAM("score", "panoptic", text("%s/gt.json", folder), text("%s/pred.json", folder));
    CHECK_CODE(result, 0);
    CHECK_SAYS(result.out, "All       |  48.0   71.6   67.1    15\n");
    CHECK_SAYS(result.out, "Seen      |  47.2   71.7   65.8    12\n");
    CHECK_SAYS(result.out, "Unseen    |  51.1   71.0   72.2     3\n");
}

static void test_folders(void)
{
    const char *path = predictions("folders");
    CHECK(rename(in_root("folders/pred"), in_root("folders/elsewhere")) == 0);
    check_refused(PROGRAM("score", "panoptic", truth(), path), 4, in_root("folders/pred/000001000001.png"));
    CHECK_CODE(PROGRAM("score", "panoptic", truth(), path, "--pred-folder", in_root("folders/elsewhere"), "--gt-folder",
                       in_root("truth/panoptic_val")), 0);
}

/* The whole of an annotation that names this image, cut out of a JSON array. */
static void drop_annotation(const char *path, const char *image)
{
    const char *before = read_text(path), *start = strstr(before, text("{\"image_id\":%s,", image));
    CHECK(start != NULL);
    const char *end = strstr(start, "]}") == NULL ? NULL : start;
    int depth = 0;
    do
        depth += *end == '{' ? 1 : *end == '}' ? -1 : 0;
    while (*end++ != '\0' && depth > 0);
    CHECK(*end == ',');
    write_text(path, text("%.*s%s", (int)(start - before), before, end + 1));
}

static void test_wrong_predictions(void)
{
    const char *path = predictions("missing");
    drop_annotation(path, "1000002");
    check_refused(PROGRAM("score", "panoptic", truth(), path), 3, "no prediction for image 1000002");

    path = predictions("category");
    edit_file(path, "\"category_id\":", "\"category_id\":77");
    check_refused(PROGRAM("score", "panoptic", truth(), path), 3, "which " );

    path = predictions("ids");
    Image picture = {0};
    CHECK_OK(image_read(in_root("ids/pred/000001000003.png"), &picture));
    picture.rgb[0] = picture.rgb[1] = picture.rgb[2] = 1;
    CHECK_OK(image_write_png(in_root("ids/pred/000001000003.png"), &picture));
    image_clear(&picture);
    Result result = PROGRAM("score", "panoptic", truth(), path);
    check_refused(result, 3, "image 1000003");
    CHECK_SAYS(result.err, "segment id 65793 is in the predicted map but not among its segments");

    path = predictions("cut");
    cut_file(path, 0.5);
    check_refused(PROGRAM("score", "panoptic", truth(), path), 3, "cut/pred.json");

    path = predictions("empty");
    write_text(path, "{\"images\": []}");
    check_refused(PROGRAM("score", "panoptic", truth(), path), 3, "no 'annotations'");
}

static void test_usage(void)
{
    check_refused(PROGRAM("score", "panoptic", truth()), 2, "panoptic GT.json PRED.json");
    check_refused(PROGRAM("score", "boxes", truth(), truth()), 2, "'boxes' cannot be scored");
    check_refused(PROGRAM("score", "panoptic", truth(), truth(), "--format", "xml"), 2, "'xml'");
    check_refused(PROGRAM("score", "panoptic", in_root("none.json"), truth()), 4, "none.json");
}

TEST_MAIN(TEST(test_perfect), TEST(test_json_and_unseen_file), TEST(test_reference), TEST(test_folders),
          TEST(test_wrong_predictions), TEST(test_usage))
