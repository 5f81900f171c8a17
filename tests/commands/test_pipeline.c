/* One study through the real program, as a user goes: data, plan, run, looks,
 * a change, and what must not run again. */
#include "storage/image.h"
#include "tests/commands/artifacts.h"

static const char *const VARIANTS[] = {"no generator", "vanilla", "full"};
#define VARIANT_COUNT 3

typedef struct Place {
    const char *study, *data, *work;
} Place;

/* Data and study, made by the program, and run once; tests come in order and share it. */
static const Place *place(void)
{
    static Place made;
    if (made.study != NULL) return &made;
    Place p = {.data = in_root("place/data"), .work = in_root("place/work")};
    p.study = make_study(in_root("place"), "variants:\n"
                                           "  no generator: {generator.kind: none}\n"
                                           "  vanilla: {generator.kind: gmmn}\n"
                                           "  full: {}\n"
                                           "sweep:\n"
                                           "  seed: [0, 1]\n");
    CHECK_CODE(PROGRAM("data", "synth", "--output", p.data, "--train", "40", "--val", "6", "--size", "32x48",
                       "--seed", "5"), 0);
    made = p;
    return &made;
}

/* The number before or after `word` on a line of `said` that begins with `stage`; a plan's table has one line a stage. */
static int count_of(const char *said, const char *stage)
{
    for (const char *line = said; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *at = line + strspn(line, " ");
        size_t length = strlen(stage);
        if (strncmp(at, stage, length) != 0 || (at[length] != ' ' && at[length] != ':')) continue;
        long long value = -1;
        const char *digits = at + length + strcspn(at + length, "0123456789\n");
        if (sscanf(digits, "%lld", &value) == 1) return (int)value;
    }
    TEST_FAIL("no line of stage %s in:\n%s", stage, said);
}

static void test_synth(void)
{
    const Place *p = place();
    static const char *const FILES[] = {"panoptic_train.json", "panoptic_val.json", "class_vectors.csv", "unseen.txt",
                                        "attributes.csv", "train/000000000040.jpg", "panoptic_val/000001000006.png"};
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) CHECK(file_exists(text("%s/%s", p->data, FILES[i])));
    Image image = {0};
    CHECK_OK(image_read(text("%s/train/000000000001.jpg", p->data), &image));
    CHECK_INT(image.height, 32);
    CHECK_INT(image.width, 48);
    image_clear(&image);
}

static void test_plan(void)
{
    static const char *const STAGES[] = {"shard", "backbone", "extract", "generator", "evaluate"};
    static const int JOBS[] = {1, 2, 2, 6, 6};
    const Place *p = place();
    Result plan = PROGRAM("plan", p->study);
    CHECK_CODE(plan, 0);
    for (int i = 0; i < 5; i++) CHECK_INT(count_of(plan.out, STAGES[i]), JOBS[i]);
    Result jobs = PROGRAM("plan", p->study, "--jobs");
    CHECK_CODE(jobs, 0);
    CHECK(count_text(jobs.out, "\n") >= 17);
    Result trials = PROGRAM("plan", p->study, "--trials");
    CHECK_CODE(trials, 0);
    for (int i = 0; i < VARIANT_COUNT; i++) CHECK(count_text(trials.out, VARIANTS[i]) >= 2);
    CHECK(!is_directory(p->work)); /* a plan writes nothing */
}

static void check_metrics(const char *evaluate)
{
    static const char *const MEASURES[] = {"panoptic.pq", "panoptic.sq", "panoptic.rq", "semantic.miou",
                                           "semantic.fwiou", "semantic.macc", "semantic.pacc"};
    static const char *const GROUPS[] = {"all", "things", "stuff", "seen", "unseen", "harmonic"};
    static const char *const OF_CLASS[] = {"split", "thing", "panoptic.pq", "panoptic.sq", "panoptic.rq", "panoptic.tp",
                                           "panoptic.fp", "panoptic.fn", "semantic.iou", "semantic.accuracy"};
    Json *metrics;
    CHECK_OK(json_read_file(text("%s/" METRICS_NAME, evaluate), &metrics));
    for (size_t m = 0; m < sizeof MEASURES / sizeof MEASURES[0]; m++)
        for (size_t g = 0; g < sizeof GROUPS / sizeof GROUPS[0]; g++) {
            const Json *value = json_member(metrics, text("%s.%s", MEASURES[m], GROUPS[g]));
            if (value == NULL) TEST_FAIL("%s lacks %s.%s", evaluate, MEASURES[m], GROUPS[g]);
            CHECK(value->type == JSON_NULL || (value->real >= 0 && value->real <= 1));
        }
    const Json *classes = json_member(metrics, "classes");
    CHECK(classes != NULL && classes->count == 24);
    for (size_t c = 0; c < classes->count; c++)
        for (size_t k = 0; k < sizeof OF_CLASS / sizeof OF_CLASS[0]; k++)
            CHECK(json_member(&classes->items[c], OF_CLASS[k]) != NULL);
    json_destroy(metrics);
}

static void check_pictures(const char *evaluate)
{
    char **names;
    size_t count;
    CHECK_OK(directory_list(text("%s/pictures", evaluate), &names, &count));
    CHECK_INT(count, 3);
    for (size_t i = 0; i < count; i++) {
        Image picture = {0};
        CHECK_OK(image_read(text("%s/pictures/%s", evaluate, names[i]), &picture));
        CHECK(picture.width >= 3 * 48 && picture.height >= 32); /* image, truth and prediction */
        image_clear(&picture);
    }
    names_free(names, count);
}

static void test_run(void)
{
    const Place *p = place();
    CHECK_CODE(PROGRAM("run", p->study), 0);
    CHECK_INT(artifact_count(p->work, "shard"), 1);
    CHECK_INT(artifact_count(p->work, "backbone"), 2);
    CHECK_INT(artifact_count(p->work, "extract"), 2);
    CHECK_INT(artifact_count(p->work, "generator"), 6);
    Artifacts evaluates = find_artifacts(p->work, "evaluate");
    CHECK_INT(evaluates.count, 6);
    for (int i = 0; i < evaluates.count; i++) {
        check_metrics(evaluates.directories[i]);
        check_pictures(evaluates.directories[i]);
        CHECK(file_exists(text("%s/segmenter.h5", evaluates.directories[i])));
        CHECK(file_exists(text("%s/classifier.h5", evaluates.directories[i])));
    }
    Artifacts backbones = find_artifacts(p->work, "backbone");
    CHECK(!same_file(text("%s/segmenter.h5", backbones.directories[0]), text("%s/segmenter.h5", backbones.directories[1])));
    check_artifacts_whole(p->work);
    check_no_leftovers(p->work);
}

static void test_second_run_does_nothing(void)
{
    const Place *p = place();
    int attempts = attempt_count(p->work);
    CHECK_INT(attempts, 17);
    const char *before = tree_text(text("%s/artifacts", p->work), true);
    CHECK_CODE(PROGRAM("run", p->study), 0);
    CHECK_INT(attempt_count(p->work), attempts);
    check_same_lines("artifacts", before, tree_text(text("%s/artifacts", p->work), true));
}

static void test_report(void)
{
    static const char *const FORMATS[] = {"text", "markdown", "csv", "latex", "json"};
    const Place *p = place();
    for (size_t f = 0; f < sizeof FORMATS / sizeof FORMATS[0]; f++) {
        Result report = PROGRAM("report", p->study, "--format", FORMATS[f]);
        CHECK_CODE(report, 0);
        for (int v = 0; v < VARIANT_COUNT; v++) CHECK_SAYS(report.out, VARIANTS[v]);
        if (strcmp(FORMATS[f], "json") == 0) {
            Json *json;
            CHECK_OK(json_parse(report.out, strlen(report.out), "report", &json));
            json_destroy(json);
        }
        if (strcmp(FORMATS[f], "latex") == 0) CHECK_SAYS(report.out, "\\begin{tabular}");
        if (strcmp(FORMATS[f], "csv") == 0) {
            int64_t columns = 0; /* as many in every row */
            for (const char *line = report.out; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
                int64_t own = 1;
                for (const char *c = line; *c != '\n' && *c != '\0'; c++) own += *c == ',';
                if (columns == 0) columns = own;
                CHECK_INT(own, columns);
            }
            CHECK(columns >= 4);
        }
    }
    CHECK_CODE(PROGRAM("report", p->study), 0);
}

/* A job's key as people see it. */
static const char *short_key(const char *artifact) { return text("%.10s", path_name(artifact)); }

static void test_looks(void)
{
    const Place *p = place();
    const char *backbone = find_artifacts(p->work, "backbone").directories[0];
    Result status = PROGRAM("status", p->study);
    CHECK_CODE(status, 0);
    CHECK_SAYS(status.out, "backbone");
    CHECK_SAYS(status.out, "finished");
    CHECK_CODE(PROGRAM("status", "--work", p->work), 0);
    Result logs = PROGRAM("logs", short_key(backbone), "--work", p->work);
    CHECK_CODE(logs, 0);
    CHECK_SAYS(logs.out, "seen classes");
    logs = PROGRAM("logs", short_key(backbone), "--work", p->work, "-n", "1");
    CHECK_CODE(logs, 0);
    CHECK_INT(count_text(logs.out, "\n"), 1);
    CHECK(PROGRAM("logs", "ffffffffffffffff", "--work", p->work).code != 0);
    Result config = PROGRAM("config", "generator.");
    CHECK_CODE(config, 0);
    CHECK_SAYS(config.out, "generator.primitives");
    CHECK(strstr(config.out, "train.steps") == NULL);
    CHECK_CODE(PROGRAM("config"), 0);
    CHECK_CODE(PROGRAM("doctor", "--work", p->work), 0);
}

static void test_predict(void)
{
    const Place *p = place();
    const char *model = find_artifacts(p->work, "evaluate").directories[0], *output = in_root("predictions");
    Result result = PROGRAM("predict", model, text("%s/val/000001000001.jpg", p->data),
                            text("%s/val/000001000002.jpg", p->data), "--output", output);
    CHECK_CODE(result, 0);
    CHECK_INT(count_entries(output), 2);
    Image picture = {0};
    CHECK_OK(image_read(text("%s/000001000002.png", output), &picture));
    CHECK(picture.width >= 2 * 48);
    image_clear(&picture);
}

/* Thresholds are those the model was evaluated with, as its artifact says, unless flags say others. */
static void test_predict_thresholds(void)
{
    const Place *p = place();
    const char *artifact = find_artifacts(p->work, "evaluate").directories[0], *model = in_root("model");
    const char *image = text("%s/val/000001000001.jpg", p->data), *output = text("--output=%s", in_root("thresholds"));
    Result own = PROGRAM("predict", artifact, image, output);
    Result same = PROGRAM("predict", artifact, image, output, "--score", "0.1", "--overlap=0.8");
    CHECK_CODE(own, 0);
    CHECK_STRING(own.out, same.out);
    CHECK_CODE(PROGRAM("predict", artifact, image, output, "--score", "1.5"), 2);
    CHECK_OK(directory_create(model));
    CHECK(link(text("%s/classifier.h5", artifact), text("%s/classifier.h5", model)) == 0);
    CHECK(link(text("%s/segmenter.h5", artifact), text("%s/segmenter.h5", model)) == 0);
    CHECK_CODE(PROGRAM("predict", model, image, output), 0);
    write_text(text("%s/artifact.json", model), "{\"config\": {\"evaluate.score\": \"high\"}}");
    Result unreadable = PROGRAM("predict", model, image, output);
    CHECK_CODE(unreadable, 5);
    CHECK_SAYS(unreadable.err, "artifact.json: evaluate.score is no number");
    CHECK_CODE(PROGRAM("predict", model, image, output, "--score=0.5"), 0);
}

/* A picture never takes the place of an image that was given, or of another picture. */
static void test_predict_names(void)
{
    const Place *p = place();
    const char *model = find_artifacts(p->work, "evaluate").directories[0], *output = in_root("names");
    const char *image = text("%s/val/000001000001.jpg", p->data);
    CHECK_CODE(PROGRAM("predict", model, image, "--output", output), 0);
    const char *made = text("%s/000001000001.png", output), *before = read_text(made);
    Result result = PROGRAM("predict", model, made, "--output", output);
    CHECK_CODE(result, 2);
    CHECK_SAYS(result.err, "000001000001.png: its picture would replace it");
    result = PROGRAM("predict", model, made, image, "--output", in_root("elsewhere"));
    CHECK_CODE(result, 2);
    CHECK_SAYS(result.err, "would both become");
    CHECK(!file_exists(in_root("elsewhere")));
    CHECK_STRING(before, read_text(made));
}

static void test_data_commands(void)
{
    const Place *p = place();
    const char *shards = only_artifact(p->work, "shard"), *backbone = find_artifacts(p->work, "backbone").directories[0];
    const char *features = find_artifacts(p->work, "extract").directories[0];
    Result info = PROGRAM("data", "info", shards);
    CHECK_CODE(info, 0);
    CHECK_SAYS(info.out, "train");
    CHECK_CODE(PROGRAM("data", "info", text("%s/segmenter.h5", backbone)), 0);
    CHECK_CODE(PROGRAM("data", "info", features), 0);
    CHECK_CODE(PROGRAM("data", "verify", shards), 0);
    CHECK_CODE(PROGRAM("data", "verify", features), 0);
    CHECK_CODE(PROGRAM("data", "verify", text("%s/segmenter.h5", backbone)), 0);
    /* Import alone leaves the shards of the study's own job. */
    const char *output = in_root("imported");
    CHECK_CODE(PROGRAM("data", "import", "--root", p->data, "--output", output, "--unseen", text("%s/unseen.txt", p->data),
                       "--shard-images", "16"), 0);
    CHECK_CODE(PROGRAM("data", "verify", output), 0);
    CHECK(same_file(text("%s/train-00000.h5", output), text("%s/train-00000.h5", shards)));
}

/* What a changed key leads to, and no more. */
static void test_change(void)
{
    const Place *p = place();
    int attempts = attempt_count(p->work);
    Result plan = PROGRAM("plan", p->study, "generator.rate=0.002");
    CHECK_CODE(plan, 0);
    const char *before[] = {tree_text(find_artifacts(p->work, "backbone").directories[0], true),
                            tree_text(find_artifacts(p->work, "extract").directories[0], true)};
    CHECK_CODE(PROGRAM("run", p->study, "generator.rate=0.002"), 0);
    CHECK_INT(artifact_count(p->work, "shard"), 1);
    CHECK_INT(artifact_count(p->work, "backbone"), 2);
    CHECK_INT(artifact_count(p->work, "extract"), 2);
    CHECK_INT(artifact_count(p->work, "generator"), 12);
    CHECK_INT(artifact_count(p->work, "evaluate"), 12);
    CHECK_INT(attempt_count(p->work), attempts + 12);
    check_same_lines("backbone", before[0], tree_text(find_artifacts(p->work, "backbone").directories[0], true));
    check_same_lines("extract", before[1], tree_text(find_artifacts(p->work, "extract").directories[0], true));
    /* A key that only the last stage reads. */
    CHECK_CODE(PROGRAM("run", p->study, "evaluate.score=0.2", "seed=1"), 0);
    CHECK_INT(artifact_count(p->work, "generator"), 12);
    CHECK_INT(artifact_count(p->work, "evaluate"), 15);
    /* The runner's own keys are in no job's key. */
    CHECK_CODE(PROGRAM("run", p->study, "run.checkpoint_seconds=3", "run.threads=2"), 0);
    CHECK_INT(attempt_count(p->work), attempts + 15);
}

/* Another work directory, two ranks for the stages that know them: the same keys and the same bytes. */
static void test_same_elsewhere(void)
{
    const Place *p = place();
    const char *work = in_root("elsewhere");
    CHECK_CODE(PROGRAM("run", p->study, "--work", work, "--only", "extract", "run.ranks=2"), 0);
    CHECK_INT(artifact_count(work, "generator"), 0);
    Artifacts all = find_artifacts(work, "");
    CHECK_INT(all.count, 5);
    for (int i = 0; i < all.count; i++)
        check_same_lines(all.directories[i], artifact_text(all.directories[i]),
                         artifact_text(text("%s/artifacts/%s", p->work, path_name(all.directories[i]))));
}

TEST_MAIN(TEST(test_synth), TEST(test_plan), TEST(test_run), TEST(test_second_run_does_nothing), TEST(test_report),
          TEST(test_looks), TEST(test_predict), TEST(test_predict_thresholds), TEST(test_predict_names),
          TEST(test_data_commands), TEST(test_change), TEST(test_same_elsewhere))
