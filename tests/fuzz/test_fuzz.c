/* Every reader of files under mutated input: JSON, COCO's files, YAML, studies, PNG, JPEG, label maps, run lengths,
 * safetensors, class vectors, lists of names, stores. Arguments select targets: test_fuzz png. */
#include "framework/json.h"
#include "framework/yaml.h"
#include "jobs/study.h"
#include "storage/checkpoint.h"
#include "storage/class_vectors.h"
#include "storage/coco_json.h"
#include "storage/feature_store.h"
#include "storage/id_map.h"
#include "storage/image_decode.h"
#include "storage/instance_json.h"
#include "storage/label_classes.h"
#include "storage/label_map.h"
#include "storage/manifest.h"
#include "storage/panoptic_json.h"
#include "storage/safetensors.h"
#include "storage/shard.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_repair.h"
#include "tests/storage/fixture.h"

/* An allocation over the limit fails, as on a full machine; more than that in all is a fault. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1:max_allocation_size_mb=512:hard_rss_limit_mb=2500:handle_abort=0:"
           "handle_segv=1:allow_user_segv_handler=1:exitcode=99";
}

/* By a signal, which tells the input. */
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
    return "abort_on_error=1";
}

/* -- JSON and YAML -- */

static const char *const JSON_WORDS[] = {"\"images\"", "\"annotations\"", "\"categories\"", "\"id\"", "\"image_id\"",
                                         "\"category_id\"", "\"segmentation\"", "\"counts\"", "\"size\"", "\"iscrowd\"",
                                         "\"segments_info\"", "\"file_name\"", "\"isthing\"", "\"height\"", "\"width\"",
                                         "null", "true", "[[", "]]", "{}", "[]", "\\u0000", "\\ud800", "../", NULL};
static const char *const YAML_WORDS[] = {"name: ", "config:", "sweep:", "variants:", "seed: ", "{range: [0, 5]}", "- ", "  ",
                                         "&a ", "*a", "<<: ", "|\n", ">\n", "? ", "!!int ", "---\n", "logspace:", "zip:",
                                         "when:", "random:", "exclude:", "points:", "{", "}", "[", "]", ": ", "\t", NULL};

static Status read_json(const FuzzInput *input, const char *path)
{
    Json *json = NULL;
    (void)path;
    Status status = json_parse((const char *)input->data, input->bytes, "it", &json);
    json_destroy(json);
    return status;
}

static Status read_panoptic_import(const FuzzInput *input, const char *path)
{
    CocoSet set;
    ClassTable classes = {0};
    (void)input;
    TRY(coco_json_read(path, &set));
    Status status = class_table_copy(&set.classes, &classes);
    if (status == OK) status = coco_resolve(&set, &classes);
    class_table_clear(&classes);
    coco_set_clear(&set);
    return status;
}

static Status read_panoptic_file(const FuzzInput *input, const char *path)
{
    PanopticFile file;
    (void)input;
    TRY(panoptic_file_read(path, true, &file));
    panoptic_file_clear(&file);
    return OK;
}

/* The masks too, at sizes that their annotations name, or a middling one. */
static Status draw_all(const char *path, bool results)
{
    InstanceSet set;
    Rle mask = {0};
    TRY(instance_json_read(path, results, &set));
    Status status = OK;
    for (int64_t i = 0; i < set.annotation_count && status == OK; i++) {
        const InstanceAnnotation *annotation = &set.annotations[i];
        const bool sized = annotation->mask != MASK_POLYGONS && annotation->height < 2000 && annotation->width < 2000;
        status = instance_set_mask(&set, i, sized ? annotation->height : 60, sized ? annotation->width : 90, &mask);
        if (status == OK) CHECK(rle_area(&mask) >= 0 && rle_area(&mask) <= (int64_t)mask.height * mask.width);
    }
    rle_clear(&mask);
    instance_set_clear(&set);
    return status;
}

static Status read_instances(const FuzzInput *input, const char *path)
{
    (void)input;
    return draw_all(path, false);
}

static Status read_results(const FuzzInput *input, const char *path)
{
    (void)input;
    return draw_all(path, true);
}

static Status read_manifest(const FuzzInput *input, const char *path)
{
    char directory[512];
    Manifest manifest = {0};
    (void)input;
    snprintf(directory, sizeof directory, "%.*s", (int)(path_name(path) - path - 1), path);
    Status status = manifest_read(directory, &manifest);
    manifest_clear(&manifest);
    return status;
}

static Status read_yaml(const FuzzInput *input, const char *path)
{
    Yaml *yaml = NULL;
    (void)path;
    Status status = yaml_parse((const char *)input->data, input->bytes, "it", &yaml);
    yaml_destroy(yaml);
    return status;
}

static Status read_study(const FuzzInput *input, const char *path)
{
    Study *study = NULL;
    (void)input;
    TRY(study_read(path, NULL, 0, &study));
    study_destroy(study);
    return OK;
}

/* -- pictures -- */

static Status read_png(const FuzzInput *input, const char *path)
{
    Image image = {0};
    (void)path;
    Status status = image_decode_png(input->data, input->bytes, "it.png", &image);
    image_clear(&image);
    return status;
}

static Status read_jpeg(const FuzzInput *input, const char *path)
{
    Image image = {0};
    (void)path;
    Status status = image_decode_jpeg(input->data, input->bytes, "it.jpg", &image);
    image_clear(&image);
    return status;
}

static Status read_label_map(const FuzzInput *input, const char *path)
{
    LabelMap map = {0};
    (void)path;
    Status status = label_map_decode(input->data, input->bytes, "it.png", &map);
    label_map_clear(&map);
    return status;
}

/* As a map of its own size, with all ids that its first pixels show. */
static Status read_id_map(const FuzzInput *input, const char *path)
{
    (void)path;
    uint32_t height = 40, width = 60;
    if (input->bytes >= 24) {
        width = fuzz_get_big_(input->data + 16);
        height = fuzz_get_big_(input->data + 20);
    }
    if (width < 1 || height < 1 || width > 4096 || height > 4096) width = height = 16;
    uint32_t ids[300];
    int64_t areas[301];
    for (uint32_t i = 0; i < 300; i++) ids[i] = i < 30 ? fixture_id(1, (int)i) : i * 7 + 1;
    IdMapReader *reader = id_map_reader_create();
    uint16_t *map = memory_alloc((size_t)width * height * sizeof *map);
    CHECK(reader != NULL && map != NULL);
    Status status = id_map_decode(reader, input->data, input->bytes, "it.png", (int)height, (int)width, ids, 30, map, areas);
    if (status == OK)
        for (size_t i = 0; i < (size_t)width * height; i++) CHECK(map[i] <= 30);
    memory_free(map);
    id_map_reader_destroy(reader);
    return status;
}

/* A size, then text, counts or corners. What is read must be a mask of that size, and be written as it was. */
static Status read_rle(const FuzzInput *input, const char *path)
{
    (void)path;
    if (input->bytes < 3) return status_error(STATUS_INVALID, "too short");
    const int height = 1 + input->data[0], width = 1 + input->data[1];
    const uint8_t *rest = input->data + 3;
    const size_t bytes = input->bytes - 3;
    Rle rle = {0}, again = {0};
    Text text = {0};
    Status status;
    if (input->data[2] % 3 == 0) {
        status = rle_parse((const char *)rest, bytes, height, width, &rle);
    } else if (input->data[2] % 3 == 1) {
        int64_t counts[512];
        size_t count = bytes / 8 < 512 ? bytes / 8 : 512;
        memcpy(counts, rest, count * 8);
        status = rle_from_counts(counts, count, height, width, &rle);
    } else {
        double corners[512];
        size_t count = bytes / 16 < 256 ? bytes / 16 : 256;
        memcpy(corners, rest, count * 16);
        status = rle_from_polygon(corners, count, height, width, &rle);
    }
    if (status == OK) {
        int64_t box[4], total = 0;
        uint8_t mask[256 * 256];
        for (size_t i = 0; i < rle.count; i++) total += rle.counts[i];
        CHECK_INT(total, (int64_t)height * width);
        rle_decode(&rle, mask);
        rle_box(&rle, box);
        CHECK(box[0] + box[2] <= width && box[1] + box[3] <= height);
        CHECK_INT(rle_common(&rle, &rle), rle_area(&rle));
        rle_write(&rle, &text);
        status = rle_parse(text_string(&text), text.length, height, width, &again);
        CHECK_INT(rle_common(&rle, &again), rle_area(&rle));
    }
    text_free(&text);
    rle_clear(&rle);
    rle_clear(&again);
    return status;
}

/* -- numbers and names -- */

static Status read_safetensors(const FuzzInput *input, const char *path)
{
    Safetensors *file;
    (void)input;
    TRY(safetensors_open(path, &file));
    Status status = OK;
    float data[64];
    const int64_t shape[2] = {3, 4};
    for (int i = 0; i < safetensors_count(file) && status == OK; i++) {
        CHECK(safetensors_has(file, safetensors_name(file, i)));
        status = safetensors_read(file, safetensors_name(file, i), 2, shape, data);
    }
    safetensors_close(file);
    return status;
}

static Status read_class_vectors(const FuzzInput *input, const char *path)
{
    ClassEntry entries[3] = {{1, "red cat", true, false, {0}}, {2, "dog", true, true, {0}}, {3, "sky-other", false, false, {0}}};
    const ClassTable table = {3, 2, 1, entries};
    float *vectors = NULL;
    int dim;
    (void)input;
    TRY(class_vectors_read(path, &table, &vectors, &dim));
    for (int i = 0; i < 3 * dim; i++) CHECK(isfinite((double)vectors[i]));
    memory_free(vectors);
    return OK;
}

static Status read_label_classes(const FuzzInput *input, const char *path)
{
    LabelClasses classes;
    TRY(label_classes_read(path, input->bytes % 2 == 0 ? IMPORT_COCO_STUFF : IMPORT_ADE20K_FULL, true, &classes));
    label_classes_clear(&classes);
    return OK;
}

static Status read_names(const FuzzInput *input, const char *path)
{
    char **names;
    size_t count;
    (void)input;
    TRY(unseen_names_read(path, &names, &count));
    names_free(names, count);
    return OK;
}

/* -- stores -- */

static Status read_shard(const FuzzInput *input, const char *path)
{
    ShardIndex index;
    Sample sample = {0};
    (void)input;
    TRY(shard_index_read(path, &index));
    Status status = shard_verify(&index, path, &sample);
    sample_clear(&sample);
    shard_index_clear(&index);
    return status;
}

static Status read_features(const FuzzInput *input, const char *path)
{
    FeatureStore *store;
    const float *embeddings;
    const int32_t *labels;
    (void)input;
    TRY(feature_store_open(path, &store));
    Status status = feature_store_train(store, &embeddings, &labels);
    for (int64_t i = 0; i < feature_store_images(store) && status == OK; i++) {
        FeatureImage image = {0};
        status = feature_store_image(store, i, &image);
        feature_image_clear(&image);
    }
    feature_store_close(store);
    if (status == OK) status = feature_store_verify(path);
    return status;
}

static Status read_checkpoint(const FuzzInput *input, const char *path)
{
    Checkpoint *checkpoint;
    (void)input;
    TRY(checkpoint_read(path, NULL, &checkpoint));
    for (int i = 0; i < checkpoint_count(checkpoint); i++) CHECK(checkpoint_array(checkpoint, i)->name != NULL);
    checkpoint_destroy(checkpoint);
    return OK;
}

/* -- valid files -- */

/* One small data set and what is made of it, for all targets; removed by the last test. */
static char directory[256];
static Fixture fixture;

static const char *in_directory(const char *name)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    if (directory[0] == '\0') {
        const char *memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        snprintf(directory, sizeof directory, "%s/zeroth-fuzz-XXXXXX", getenv("TMPDIR") != NULL ? getenv("TMPDIR") : memory);
        CHECK(mkdtemp(directory) != NULL);
        fixture = fixture_defaults();
        fixture.train = 3;
        fixture.val = 1;
        fixture.height = 16;
        fixture.width = 24;
        fixture_create(&fixture);
    }
    snprintf(path, 512, "%s/%s", directory, name);
    return path;
}

static void add_text(FuzzSeeds *seeds, const char *text)
{
    fuzz_add_seed(seeds, text, strlen(text));
}

static const char *import_shards(bool encoded)
{
    const char *output = in_directory(encoded ? "encoded" : "plain");
    ImportOptions options = fixture_import(&fixture, output);
    options.encoded = encoded;
    options.long_side = 20;
    CHECK_OK(import_everything(&options, NULL));
    return output;
}

static void run(const FuzzTarget *target, FuzzSeeds *seeds)
{
    fuzz_run(target, seeds, directory);
    fuzz_clear_seeds(seeds);
}

static const char INSTANCES[] =
    "{\"images\":[{\"id\":7,\"file_name\":\"a.jpg\",\"height\":60,\"width\":90}],\"info\":{\"x\":[1,{}]},"
    "\"categories\":[{\"id\":1,\"name\":\"person\",\"supercategory\":\"x\"},{\"id\":18,\"name\":\"dog\",\"split\":\"unseen\"}],"
    "\"annotations\":[{\"id\":1,\"image_id\":7,\"category_id\":18,\"iscrowd\":0,\"bbox\":[1,2,3,4],"
    "\"segmentation\":[[8.5,6,12,6,12.25,10.1,8,10],[1,1,50,1,50,50.7]]},{\"id\":3,\"image_id\":7,\"category_id\":1,"
    "\"iscrowd\":1,\"area\":66.5,\"segmentation\":{\"size\":[60,90],\"counts\":[0,2660,2740]}},{\"image_id\":7,"
    "\"category_id\":1,\"segmentation\":{\"counts\":\"nka0\",\"size\":[3,4]}}]}";
static const char RESULTS[] = "[{\"image_id\":7,\"category_id\":18,\"score\":0.25,\"segmentation\":{\"size\":[3,4],"
                              "\"counts\":\"<\"}},{\"image_id\":7,\"category_id\":1,\"score\":1e-3,\"segmentation\":"
                              "[[1,2,30,4,15,26.5]]}]";

static void test_json(void)
{
    FuzzSeeds seeds = {0};
    add_text(&seeds, INSTANCES);
    add_text(&seeds, "[1,2.5e-3,\"a\\u00e9\\n\",null,true,{\"k\":[]}]");
    add_text(&seeds, "{}");
    run(&(FuzzTarget){"json", NULL, 12000, read_json, NULL, JSON_WORDS}, &seeds);
}

static void test_coco_panoptic(void)
{
    FuzzSeeds seeds = {0};
    in_directory("");
    fuzz_add_file(&seeds, fixture.paths[0]);
    fuzz_add_file(&seeds, fixture.paths[3]);
    run(&(FuzzTarget){"coco_panoptic", "panoptic.json", 6000, read_panoptic_import, NULL, JSON_WORDS}, &seeds);
}

static void test_panoptic_file(void)
{
    FuzzSeeds seeds = {0};
    in_directory("");
    fuzz_add_file(&seeds, fixture.paths[0]);
    fuzz_add_file(&seeds, fixture.paths[3]);
    run(&(FuzzTarget){"panoptic_file", "score.json", 6000, read_panoptic_file, NULL, JSON_WORDS}, &seeds);
}

/* The third mask of INSTANCES is of another size than its image, which the import would refuse and the reader not. */
static void test_coco_instances(void)
{
    FuzzSeeds seeds = {0};
    in_directory("");
    char text[sizeof INSTANCES];
    memcpy(text, INSTANCES, sizeof INSTANCES);
    memcpy(strstr(text, "nka0"), "<   ", 4); /* twelve pixels, none inside */
    memcpy(strstr(text, "\"<   \""), "\"<\"   ", 6);
    add_text(&seeds, text);
    run(&(FuzzTarget){"coco_instances", "instances.json", 8000, read_instances, NULL, JSON_WORDS}, &seeds);
}

static void test_coco_results(void)
{
    FuzzSeeds seeds = {0};
    in_directory("");
    add_text(&seeds, RESULTS);
    add_text(&seeds, "[]");
    run(&(FuzzTarget){"coco_results", "results.json", 8000, read_results, NULL, JSON_WORDS}, &seeds);
}

static void test_manifest(void)
{
    FuzzSeeds seeds = {0};
    char path[600];
    snprintf(path, sizeof path, "%s/manifest.json", import_shards(false));
    fuzz_add_file(&seeds, path);
    run(&(FuzzTarget){"manifest", "manifest.json", 4000, read_manifest, NULL, JSON_WORDS}, &seeds);
}

static const char YAML[] = "name: it\nwork: w\nconfig:\n  data: {root: d, unseen: [a, \"b c\"]}\n  train.steps: 12\n"
                           "variants:\n  x: {}\n  y: {generator.kind: gmmn}\nsweep:\n  seed: {range: [0, 3]}\n"
                           "  generator.weight: {logspace: [1e-4, 1e-2, 3]}\n  zip:\n    train.rate: [0.1, 0.2]\n"
                           "    train.batch: [1, 2]\n# end\n";

static void test_yaml(void)
{
    FuzzSeeds seeds = {0};
    add_text(&seeds, YAML);
    add_text(&seeds, "- a\n- 'b''c'\n- |\n  text\n- {k: [1, 2, {x: y}]}\n");
    run(&(FuzzTarget){"yaml", NULL, 8000, read_yaml, NULL, YAML_WORDS}, &seeds);
}

static void test_study(void)
{
    FuzzSeeds seeds = {0};
    in_directory("");
    add_text(&seeds, "name: it\nconfig:\n  train.steps: 12\nvariants:\n  x: {}\n  y: {generator.kind: gmmn}\nsweep:\n"
             "  seed: {range: [0, 3]}\n  generator.weight: {logspace: [1e-4, 1e-2, 3]}\n");
    add_text(&seeds, "name: it\nsweep:\n  train.rate: {linspace: [0.1, 0.2, 4]}\n  random: {count: 3, seed: 1, keys: {generator.weight: {log_uniform: [1e-4, 1e-2]}}}\n"
             "  seed: [0, 1]\n");
    run(&(FuzzTarget){"study", "study.yaml", 3000, read_study, NULL, YAML_WORDS}, &seeds);
}

static void add_pictures(FuzzSeeds *seeds, const char *form)
{
    char path[1400];
    in_directory("");
    for (int i = 1; i <= 3; i++) {
        snprintf(path, sizeof path, "%.300s/%06d.%s", fixture.paths[strcmp(form, "jpg") == 0 ? 1 : 2], i, form);
        fuzz_add_file(seeds, path);
    }
}

static void test_png(void)
{
    FuzzSeeds seeds = {0};
    add_pictures(&seeds, "png");
    run(&(FuzzTarget){"png", NULL, 6000, read_png, fuzz_repair_png, NULL}, &seeds);
}

static void test_label_map(void)
{
    FuzzSeeds seeds = {0};
    add_pictures(&seeds, "png");
    run(&(FuzzTarget){"label_map", NULL, 6000, read_label_map, fuzz_repair_png, NULL}, &seeds);
}

static void test_id_map(void)
{
    FuzzSeeds seeds = {0};
    char path[400];
    in_directory("");
    snprintf(path, sizeof path, "%s/000001.png", fixture.paths[2]);
    fuzz_add_file(&seeds, path);
    run(&(FuzzTarget){"id_map", NULL, 6000, read_id_map, fuzz_repair_png, NULL}, &seeds);
}

static void test_jpeg(void)
{
    FuzzSeeds seeds = {0};
    add_pictures(&seeds, "jpg");
    run(&(FuzzTarget){"jpeg", NULL, 6000, read_jpeg, NULL, NULL}, &seeds);
}

static void test_rle(void)
{
    FuzzSeeds seeds = {0};
    const int64_t counts[4] = {0, 5, 30, 13};
    const double corners[8] = {1, 1, 40.5, 2, 38, 29.25, 3, 20};
    uint8_t input[80];
    memcpy(input, "\x1d\x27\0" "k4d0;N2N2N2N101N2N2N2N101No00QO2O0O2N2N2N2O0O2N2N2N2V9", 57);
    fuzz_add_seed(&seeds, input, 57);
    memcpy(input, "\x05\x07\x01", 3);
    memcpy(input + 3, counts, sizeof counts);
    fuzz_add_seed(&seeds, input, 3 + sizeof counts);
    memcpy(input, "\x1d\x27\x02", 3);
    memcpy(input + 3, corners, sizeof corners);
    fuzz_add_seed(&seeds, input, 3 + sizeof corners);
    run(&(FuzzTarget){"rle", NULL, 20000, read_rle, NULL, NULL}, &seeds);
}

static const char *const TENSOR_WORDS[] = {"\"dtype\"", "\"shape\"", "\"data_offsets\"", "\"F32\"", "\"BF16\"", "\"F16\"",
                                           "\"I64\"", "__metadata__", "[3,4]", "[0,48]", NULL};

static void test_safetensors(void)
{
    FuzzSeeds seeds = {0};
    static const char HEADER[] = "{\"__metadata__\":{\"format\":\"pt\"},\"a.weight\":{\"dtype\":\"F32\",\"shape\":[3,4],"
                                 "\"data_offsets\":[0,48]},\"b\":{\"dtype\":\"F16\",\"shape\":[3,4],\"data_offsets\":[48,72]},"
                                 "\"c\":{\"dtype\":\"BF16\",\"shape\":[3,4],\"data_offsets\":[72,96]}}";
    uint8_t input[8 + sizeof HEADER - 1 + 96] = {sizeof HEADER - 1};
    in_directory("");
    _Static_assert(sizeof HEADER - 1 < 256, "the length is one byte");
    memcpy(input + 8, HEADER, sizeof HEADER - 1);
    for (size_t i = 8 + sizeof HEADER - 1; i < sizeof input; i++) input[i] = (uint8_t)(i * 5);
    fuzz_add_seed(&seeds, input, sizeof input);
    run(&(FuzzTarget){"safetensors", "it.safetensors", 8000, read_safetensors, NULL, TENSOR_WORDS}, &seeds);
}

static void test_class_vectors(void)
{
    FuzzSeeds seeds = {0};
    in_directory("");
    add_text(&seeds, "red cat,0.5,1,-2\ndog,1e-3,0,4\n\"sky-other\",1,2,3\n");
    add_text(&seeds, "3 2\nred_cat 0.5 1\ndog 1 0\nsky_other 1 2\n");
    add_text(&seeds, "name,v1,v2\nDog,1,2\nred-cat,3,4\nsky other,5,6\n");
    run(&(FuzzTarget){"class_vectors", "vectors.csv", 8000, read_class_vectors, NULL, NULL}, &seeds);
}

static void test_label_classes(void)
{
    FuzzSeeds seeds = {0};
    in_directory("");
    add_text(&seeds, "0: unlabeled\n1: person\n# none\n92:  banner\tthing\n\n183 wall-wood \n");
    add_text(&seeds, "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.15\t11\t1\t1\twall\n15\t0.02\t7\t8\t0\tdoor, double door\n");
    run(&(FuzzTarget){"label_classes", "labels.txt", 8000, read_label_classes, NULL, NULL}, &seeds);
}

static void test_names(void)
{
    FuzzSeeds seeds = {0};
    in_directory("");
    add_text(&seeds, "# unseen\ncow\n giraffe \r\n\nsky-other-merged # two\n");
    run(&(FuzzTarget){"names", "unseen.txt", 6000, read_names, NULL, NULL}, &seeds);
}

static void test_shard(void)
{
    FuzzSeeds seeds = {0};
    for (int encoded = 0; encoded < 2; encoded++) {
        char path[600];
        snprintf(path, sizeof path, "%s/train-00000.h5", import_shards(encoded == 1));
        fuzz_add_file(&seeds, path);
        fuzz_learn_layout(&seeds, encoded, path, "shard", DATASET_VERSION);
    }
    run(&(FuzzTarget){"shard", "it-shard.h5", 1500, read_shard, fuzz_repair_store, NULL}, &seeds);
}

static void write_features(const char *path)
{
    ClassEntry entries[3] = {{1, "a", true, false, {0}}, {2, "b", false, true, {0}}, {3, "c", true, false, {0}}};
    float vectors[6] = {1, 2, 3, 4, 5, 6}, head[12] = {0}, bias[3] = {0}, embeddings[12] = {0.5f}, masks[3 * 6] = {1};
    const int32_t labels[3] = {0, 2, 3};
    uint16_t map[12] = {0, 1, 1, 2};
    Segment segments[2] = {{5, 0, 2, false}, {9, 1, 1, false}};
    uint8_t rgb[36] = {3};
    FeatureInfo info = {.classes = {3, 2, 1, entries}, .embed_dim = 4, .queries = 3, .vector_dim = 2, .class_vectors = vectors,
                        .head_weight = head, .head_bias = bias, .unseen_rule = "drop",
                        .segmenter_digest = "00000000000000000000000000000000"};
    FeatureWriter *writer;
    CHECK_OK(feature_writer_create(path, &info, &writer));
    CHECK_OK(feature_writer_add_train(writer, embeddings, labels, 3));
    for (int i = 0; i < 2; i++) {
        FeatureImage image = {.image_id = 3 + i, .file_name = "x.jpg", .height = 3, .width = 4, .mask_height = 2,
                              .mask_width = 3, .embeddings = embeddings, .masks = masks, .map = map, .segment_count = 2,
                              .segments = segments, .rgb = i == 0 ? rgb : NULL};
        CHECK_OK(feature_writer_add_image(writer, &image));
    }
    CHECK_OK(feature_writer_finish(writer));
}

static void test_features(void)
{
    FuzzSeeds seeds = {0};
    const char *path = in_directory("valid-features.h5");
    write_features(path);
    fuzz_add_file(&seeds, path);
    fuzz_learn_layout(&seeds, 0, path, "features", FEATURE_STORE_VERSION);
    run(&(FuzzTarget){"features", "it-features.h5", 1500, read_features, fuzz_repair_store, NULL}, &seeds);
}

static void test_checkpoint(void)
{
    FuzzSeeds seeds = {0};
    char header[64];
    float weights[6] = {1, 2, 3};
    int64_t step = 7;
    const char *path = in_directory("valid-checkpoint.h5");
    const NamedArray arrays[2] = {{"w", ARRAY_F32, 2, {2, 3, 1, 1}, weights}, {"next_step", ARRAY_I64, 1, {1, 1, 1, 1}, &step}};
    CHECK_OK(checkpoint_write(path, "test", "{\"a\":1}", arrays, 2));
    fuzz_add_file(&seeds, path);
    memcpy(header, seeds.items[0].data, sizeof header - 1);
    header[sizeof header - 1] = '\0';
    char kind[33];
    int version;
    CHECK_OK(hdf5_identify(path, kind, &version));
    fuzz_learn_layout(&seeds, 0, path, kind, version);
    run(&(FuzzTarget){"checkpoint", "it-checkpoint.h5", 1500, read_checkpoint, fuzz_repair_store, NULL}, &seeds);
}

/* The last: takes the files away. */
static void test_zz_clean_up(void)
{
    if (directory[0] == '\0') return;
    CHECK_OK(directory_remove(directory));
    CHECK_OK(directory_remove(fixture.root));
}

TEST_MAIN(TEST(test_json), TEST(test_coco_panoptic), TEST(test_panoptic_file), TEST(test_coco_instances),
          TEST(test_coco_results), TEST(test_manifest), TEST(test_yaml), TEST(test_study), TEST(test_png),
          TEST(test_label_map), TEST(test_id_map), TEST(test_jpeg), TEST(test_rle), TEST(test_safetensors),
          TEST(test_class_vectors), TEST(test_label_classes), TEST(test_names), TEST(test_shard), TEST(test_features),
          TEST(test_checkpoint), TEST(test_zz_clean_up))
