/* Whatever is wrong with what a user gives: one line that names the file or
 * key, an exit code that isn't 0, nothing half-made, and the rest goes on. */
#include "storage/image.h"
#include "tests/commands/artifacts.h"

static const char *base(void)
{
    static const char *path;
    if (path == NULL) {
        make_scenes(in_root("base"), 12, 3, 0.3);
        path = in_root("base");
    }
    return path;
}

/* A study of its own with its own data, of which a test may replace files. */
typedef struct Place {
    const char *study, *data, *work;
} Place;

static Place make_place(const char *name, const char *rest)
{
    const char *directory = in_root(name);
    Place place = {.data = text("%s/data", directory), .work = text("%s/work", directory)};
    copy_tree(base(), place.data, true);
    place.study = make_study(directory, rest);
    return place;
}

#define RULE "data.unseen_rule=ignore" /* no image is dropped: a damaged one is met */

/* Errors that the program itself says. Lines of a failed job's log that it shows are set in. */
static int error_lines(const char *err)
{
    int count = 0;
    for (const char *line = err; line != NULL && *line != '\0'; line = strchr(line, '\n'), line += line != NULL) {
        bool timed = strlen(line) > 15 && line[2] == ':' && line[5] == ':';
        count += timed && strncmp(line + 8, " error ", 7) == 0;
    }
    return count;
}

/* Refused in one line before anything ran. */
static void check_refused(Result result, int code, const char *naming)
{
    CHECK_CODE(result, code);
    CHECK_SAYS(result.err, naming);
    if (error_lines(result.err) != 1 || count_text(result.err, "\n") != 1) {
        show_result_(&result);
        TEST_FAIL("not one line");
    }
}

/* A job of `stage` failed, said why, and left nothing. */
static void check_job_failed(Result result, const Place *place, const char *stage, const char *naming)
{
    CHECK_CODE(result, 12);
    CHECK_SAYS(result.err, naming);
    CHECK_SAYS(result.err, stage);
    CHECK_INT(artifact_count(place->work, stage), 0);
    check_no_leftovers(place->work);
    /* The log of the job says it once. */
    const char *runs = text("%s/runs", place->work);
    int said = 0;
    for (const char *line = tree_text(runs, false); *line != '\0'; line = strchr(line, '\n') + 1) {
        const char *path = text("%s/%.*s", runs, (int)strcspn(line, " "), line);
        if (strcmp(path_name(path), LOG_NAME) != 0) continue;
        const char *log = read_text(path);
        if (strstr(log, naming) == NULL) continue;
        CHECK_INT(error_lines(log), 1);
        said++;
    }
    CHECK(said >= 1);
}

/* What stands in the data set --------------------------------------------------- */

static void test_truncated_jpeg(void)
{
    Place place = make_place("jpeg", "");
    cut_file(text("%s/train/000000000003.jpg", place.data), 0.6);
    check_job_failed(PROGRAM("run", place.study, RULE), &place, "shard", "000000000003.jpg");
    /* The file mended, the same command goes on. */
    copy_file(text("%s/train/000000000003.jpg", base()), text("%s/train/000000000003.jpg", place.data));
    CHECK_CODE(PROGRAM("run", place.study, RULE, "--only", "shard"), 0);
    CHECK_INT(artifact_count(place.work, "shard"), 1);
}

static void test_wrong_png_size(void)
{
    Place place = make_place("png", "");
    static uint8_t black[16 * 16 * 3];
    CHECK_OK(image_write_png(text("%s/panoptic_train/000000000004.png", place.data), &(Image){16, 16, black, sizeof black}));
    check_job_failed(PROGRAM("run", place.study, RULE), &place, "shard", "000000000004.png");
}

static void test_half_png(void)
{
    Place place = make_place("half-png", "");
    cut_file(text("%s/panoptic_val/000001000001.png", place.data), 0.5);
    check_job_failed(PROGRAM("run", place.study, RULE), &place, "shard", "000001000001.png");
}

static void test_image_missing(void)
{
    Place place = make_place("gone", "");
    CHECK_OK(file_remove(text("%s/train/000000000007.jpg", place.data)));
    Result result = PROGRAM("run", place.study, RULE);
    CHECK(result.code == 4 || result.code == 12);
    CHECK_SAYS(result.err, "000000000007.jpg");
    CHECK_INT(artifact_count(place.work, ""), 0);
    check_no_leftovers(place.work);
}

static void test_half_json(void)
{
    Place place = make_place("json", "");
    cut_file(text("%s/panoptic_train.json", place.data), 0.5);
    check_job_failed(PROGRAM("run", place.study, RULE), &place, "shard", "panoptic_train.json");
}

static void test_unknown_category(void)
{
    Place place = make_place("category", "");
    const char *path = text("%s/panoptic_train.json", place.data), *json = read_text(path);
    const char *at = strstr(json, "\"category_id\":");
    CHECK(at != NULL);
    int before = (int)(at - json) + (int)strlen("\"category_id\":");
    write_text(path, text("%.*s99%s", before, json, json + before));
    check_job_failed(PROGRAM("run", place.study, RULE), &place, "shard", "panoptic_train.json");
}

static void test_unknown_unseen_name(void)
{
    Place place = make_place("unseen", "");
    write_text(text("%s/unseen.txt", place.data), "# none of ours\nplaid elephant\n");
    Result result = PROGRAM("run", place.study, RULE);
    CHECK(result.code == 3 || result.code == 4 || result.code == 12);
    CHECK_SAYS(result.err, "plaid elephant");
    CHECK_INT(artifact_count(place.work, ""), 0);
}

static void test_root_missing(void)
{
    Place place = make_place("root", "");
    check_refused(PROGRAM("run", place.study, "data.root=/nowhere/at/all"), 4, "/nowhere/at/all");
    check_refused(PROGRAM("run", place.study, "data.root="), 3, "data.root");
    CHECK_INT(artifact_count(place.work, ""), 0);
}

/* Class vectors -------------------------------------------------------------------- */

/* `data` lacks the line whose name is on its last row; the name. */
static const char *drop_last_row(const char *from, const char *to)
{
    const char *all = read_text(from);
    size_t length = strlen(all);
    while (length > 0 && all[length - 1] != '\n') length--;
    if (length == strlen(all)) length--;
    while (length > 0 && all[length - 1] != '\n') length--;
    write_text(to, text("%.*s", (int)length, all));
    return text("%.*s", (int)strcspn(all + length, ","), all + length);
}

static void test_class_vectors(void)
{
    Place place = make_place("vectors", "");
    const char *good = text("%s/class_vectors.csv", place.data), *all = read_text(good);
    /* After the first name's comma, NaN instead of the number. */
    const char *row = strchr(all, '\n') + 1, *comma = strchr(row, ','), *next = strchr(comma + 1, ',');
    write_text(text("%s/nan.csv", place.data), text("%.*s,nan%s", (int)(comma - all), all, next));
    write_text(text("%s/ragged.csv", place.data), text("%.*s%s", (int)(comma - all), all, next));
    const char *missing = drop_last_row(good, text("%s/missing.csv", place.data));
    check_job_failed(PROGRAM("run", place.study, RULE, "data.class_vectors=nan.csv"), &place, "extract", "nan.csv");
    CHECK_INT(artifact_count(place.work, "backbone"), 1);
    check_job_failed(PROGRAM("run", place.study, RULE, "data.class_vectors=missing.csv"), &place, "extract", missing);
    check_job_failed(PROGRAM("run", place.study, RULE, "data.class_vectors=ragged.csv"), &place, "extract", "ragged.csv");
    check_refused(PROGRAM("run", place.study, RULE, "data.class_vectors=none.csv"), 4, "none.csv");
}

/* One sweep value is broken: its branch fails, the other is finished. */
static void test_healthy_branch(void)
{
    Place place = make_place("branches", "sweep:\n  data.class_vectors: [broken.csv, class_vectors.csv]\n");
    write_text(text("%s/broken.csv", place.data), "no vectors here\n");
    Result result = PROGRAM("run", place.study, RULE);
    CHECK_CODE(result, 12);
    CHECK_SAYS(result.err, "broken.csv");
    CHECK_INT(artifact_count(place.work, "extract"), 1);
    CHECK_INT(artifact_count(place.work, "evaluate"), 1);
    check_no_leftovers(place.work);
    check_artifacts_whole(place.work);
    /* Mended, the same command makes what is missing, and only that. */
    copy_file(text("%s/class_vectors.csv", place.data), text("%s/broken.csv", place.data));
    const char *backbone = only_artifact(place.work, "backbone"), *before = tree_text(backbone, true);
    CHECK_CODE(PROGRAM("run", place.study, RULE), 0);
    CHECK_INT(artifact_count(place.work, "evaluate"), 2);
    check_same_lines("backbone", before, tree_text(backbone, true));
}

/* Study files and the command line -------------------------------------------------- */

static void test_config_keys(void)
{
    Place place = make_place("keys", "");
    Result result = PROGRAM("run", place.study, "generator.primitivs=3");
    check_refused(result, 3, "generator.primitivs");
    CHECK_SAYS(result.err, "generator.primitives");
    check_refused(PROGRAM("run", place.study, "generator.primitives=0"), 3, "generator.primitives");
    check_refused(PROGRAM("run", place.study, "train.rate=fast"), 3, "train.rate");
    check_refused(PROGRAM("plan", place.study, "generator.kind=gnmm"), 3, "generator.kind");
    check_refused(PROGRAM("run", place.study, "train.rate=nan"), 3, "train.rate");
    write_text(place.study, "name: tiny\nconfig:\n  generator:\n    layer: 3\n");
    result = PROGRAM("run", place.study);
    check_refused(result, 3, "generator.layer");
    CHECK_SAYS(result.err, "study.yaml:4");
    write_text(place.study, "name: tiny\nsweep:\n  generator.dropout: [0.1, 1.5]\n");
    check_refused(PROGRAM("plan", place.study), 3, "generator.dropout");
    CHECK(!is_directory(place.work));
}

static void test_study_files(void)
{
    Place place = make_place("study", "");
    write_text(place.study, "name: tiny\nconfig: {data: [1, 2\nseed: 0\n");
    check_refused(PROGRAM("run", place.study), 3, "study.yaml");
    write_text(place.study, "name: tiny\nconfgi: {}\n");
    check_refused(PROGRAM("run", place.study), 3, "confgi");
    write_text(place.study, "");
    check_refused(PROGRAM("run", place.study), 3, "study.yaml");
    check_refused(PROGRAM("run", in_root("study/none.yaml")), 4, "none.yaml");
    check_refused(PROGRAM("report", in_root("study/none.yaml")), 4, "none.yaml");
    CHECK(!is_directory(place.work));
}

static void test_command_line(void)
{
    Place place = make_place("line", "");
    Result result = PROGRAM("run", place.study, "--fast");
    check_refused(result, 2, "--fast");
    check_refused(PROGRAM("run"), 2, "STUDY.yaml");
    check_refused(PROGRAM("report", place.study, "--format", "xml"), 2, "xml");
    check_refused(PROGRAM("run", place.study, "--only", "backbones"), 2, "backbones");
    result = PROGRAM("rnu", place.study);
    CHECK_CODE(result, 2);
    CHECK_SAYS(result.err, "did you mean 'run'");
    check_refused(PROGRAM("predict", in_root("line"), text("%s/train/000000000001.jpg", place.data)), 4, "segmenter.h5");
    CHECK(!is_directory(place.work));
}

/* Artifacts --------------------------------------------------------------------------- */

/* A store as a later version of the program would have written it: its header is sound. */
static void make_other_version(const char *path)
{
    char *data, hex[HASH_HEX_SIZE];
    size_t bytes;
    CHECK_OK(file_read(path, 0, &data, &bytes));
    char *version = strstr(data, "\nversion "), *check = strstr(data, "\ncheck ");
    CHECK(version != NULL && check != NULL && version < check && version[strlen("\nversion ") + 1] == '\n');
    version[strlen("\nversion ")] = '9';
    hash_to_hex(hash_bytes(data, (size_t)(check + 1 - data)), hex);
    memcpy(check + strlen("\ncheck "), hex, strlen(hex));
    CHECK_OK(file_write(path, data, bytes));
    memory_free(data);
}

static const char *first_shard(const Place *place)
{
    return text("%s/train-00000.h5", only_artifact(place->work, "shard"));
}

static void test_store_of_another_version(void)
{
    Place place = make_place("version", "");
    CHECK_CODE(PROGRAM("run", place.study, RULE, "--only", "shard"), 0);
    make_other_version(first_shard(&place));
    check_job_failed(PROGRAM("run", place.study, RULE), &place, "backbone", "train-00000.h5");
    check_refused(PROGRAM("data", "info", first_shard(&place)), 6, "train-00000.h5");
}

static void test_damaged_artifact(void)
{
    Place place = make_place("damage", "");
    CHECK_CODE(PROGRAM("run", place.study, RULE, "--only", "shard"), 0);
    const char *shard = first_shard(&place), *whole = artifact_text(only_artifact(place.work, "shard"));
    flip_byte(shard, 0.98);
    CHECK(PROGRAM("data", "verify", only_artifact(place.work, "shard")).code != 0);
    check_job_failed(PROGRAM("run", place.study, RULE), &place, "backbone", "train-00000.h5");
    /* Shortened it is seen at once, made again, and all is well. */
    cut_file(shard, 0.9);
    CHECK_CODE(PROGRAM("run", place.study, RULE), 0);
    check_same_lines("shard", whole, artifact_text(only_artifact(place.work, "shard")));
    check_artifacts_whole(place.work);
}

static void test_manifest_of_another_version(void)
{
    Place place = make_place("manifest", "");
    CHECK_CODE(PROGRAM("run", place.study, RULE, "--only", "shard"), 0);
    const char *path = text("%s/manifest.json", only_artifact(place.work, "shard"));
    edit_file(path, "\"version\":1", "\"version\":7");
    check_job_failed(PROGRAM("run", place.study, RULE), &place, "backbone", "manifest.json");
    Result info = PROGRAM("data", "info", only_artifact(place.work, "shard"));
    check_refused(info, 6, "manifest.json");
}

static void test_weights(void)
{
    Place place = make_place("weights", "");
    const char *path = in_root("weights/none.safetensors");
    check_refused(PROGRAM("run", place.study, text("segmenter.weights=%s", path)), 4, "none.safetensors");
    write_text(path, "these are no weights at all");
    check_job_failed(PROGRAM("run", place.study, text("segmenter.weights=%s", path)), &place, "backbone", "none.safetensors");
}

static void test_damaged_model(void)
{
    Place place = make_place("model", "");
    CHECK_CODE(PROGRAM("run", place.study, RULE, "--only", "backbone"), 0);
    flip_byte(text("%s/segmenter.h5", only_artifact(place.work, "backbone")), 0.5);
    check_job_failed(PROGRAM("run", place.study, RULE), &place, "extract", "segmenter.h5");
}

TEST_MAIN(TEST(test_truncated_jpeg), TEST(test_wrong_png_size), TEST(test_half_png), TEST(test_image_missing),
          TEST(test_half_json), TEST(test_unknown_category), TEST(test_unknown_unseen_name), TEST(test_root_missing),
          TEST(test_class_vectors), TEST(test_healthy_branch), TEST(test_config_keys), TEST(test_study_files),
          TEST(test_command_line), TEST(test_store_of_another_version), TEST(test_damaged_artifact),
          TEST(test_manifest_of_another_version), TEST(test_weights), TEST(test_damaged_model))
