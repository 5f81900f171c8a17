/* Scores and exports of predictions that are mostly right: from files they come to the same numbers, a resumed count
 * goes on to the same bits, and by hand in the strict setting. */
#include "framework/files.h"
#include "framework/json.h"
#include "framework/memory.h"
#include "framework/random.h"
#include "jobs/stages/exports.h"
#include "jobs/stages/scores.h"
#include "models/metrics/score_files.h"
#include "models/metrics/score_instances.h"
#include "models/metrics/score_semantic.h"
#include "models/metrics/summary.h"
#include "storage/image.h"
#include "storage/label_map.h"
#include "tests/test.h"

enum { HEIGHT = 60, WIDTH = 80, PIXELS = HEIGHT * WIDTH, CLASSES = 7, QUERIES = 12, DIM = CLASSES + 1, IMAGES = 9 };

static ClassEntry entries[CLASSES] = {{11, "wall", false, false, {1, 2, 3}}, {12, "cat", true, false, {4, 5, 6}},
                                      {13, "dog", true, true, {7, 8, 9}},    {14, "sky", false, true, {9, 9, 9}},
                                      {15, "cup", true, false, {3, 2, 1}},   {16, "hat", true, true, {1, 1, 1}},
                                      {17, "pen", true, false, {2, 2, 2}}};
static float weight[DIM * DIM], bias[DIM];

typedef struct Scene {
    FeatureImage image;
    PanopticMap truth;
    uint16_t map[PIXELS];
    int32_t ids[PIXELS], labels[PIXELS];
    PanopticSegment segments[QUERIES];
    Segment stored[QUERIES];
    float embeddings[QUERIES * DIM], masks[QUERIES * PIXELS];
} Scene;

static Classifier classifier(void)
{
    for (int c = 0; c < DIM; c++) weight[c * DIM + c] = 1;
    return (Classifier){.classes = {CLASSES, 4, 3, entries}, .embed_dim = DIM, .weight = weight, .bias = bias};
}

/* A rectangle, and its mask with the edges moved by up to `off` pixels. */
static void draw(Scene *scene, Random *random, int segment, int query, int off)
{
    const int top = (int)(random_uniform(random) * (HEIGHT - 20)), left = (int)(random_uniform(random) * (WIDTH - 20));
    const int height = 8 + (int)(random_uniform(random) * 35), width = 8 + (int)(random_uniform(random) * 45);
    int shift[4];
    for (int i = 0; i < 4; i++) shift[i] = (int)(random_uniform(random) * (2 * off + 1)) - off;
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            if (y >= top && y < top + height && x >= left && x < left + width)
                scene->map[y * WIDTH + x] = (uint16_t)(segment + 1);
            const bool inside = y >= top + shift[0] && y < top + height + shift[1] && x >= left + shift[2] &&
                                x < left + width + shift[3];
            scene->masks[query * PIXELS + y * WIDTH + x] = inside ? 3 : -3;
        }
}

/* Segment 0 is the ground; the later lie above. Queries see each, a little off, and now and then name it wrongly. */
static void make_scene(int number, Scene *scene)
{
    Random random = random_stream(9, RANDOM_TEST, 0, (uint64_t)number);
    const int count = 4 + number % 5;
    memset(scene, 0, sizeof *scene);
    for (int s = 0; s < count; s++) {
        const int named = s == 0 ? 3 * (number % 2) : (number + 2 * s) % CLASSES;
        const int said = random_uniform(&random) < 0.8 ? named : (named + 1) % CLASSES;
        draw(scene, &random, s, s, 2);
        if (s == 0) for (int i = 0; i < PIXELS; i++) scene->map[i] = 1, scene->masks[i] = 2;
        scene->segments[s] = (PanopticSegment){.id = s + 1, .class_index = named, .is_crowd = s == 3 && entries[named].is_thing};
        scene->embeddings[s * DIM + said] = (float)(4 + 4 * random_uniform(&random));
    }
    for (int q = count; q < QUERIES; q++) {
        for (int i = 0; i < PIXELS; i++) scene->masks[q * PIXELS + i] = -3;
        scene->embeddings[q * DIM + CLASSES] = 6;
    }
    for (int i = 0; i < PIXELS; i++) scene->segments[scene->map[i] - 1].area++;
    int kept = 0, numbers[QUERIES + 1] = {0}; /* what the others cover is no segment */
    for (int s = 0; s < count; s++) {
        if (scene->segments[s].area == 0) continue;
        numbers[s + 1] = kept + 1;
        scene->segments[kept] = scene->segments[s];
        scene->segments[kept].id = kept + 1;
        kept++;
    }
    for (int i = 0; i < PIXELS; i++) {
        scene->map[i] = (uint16_t)(i % WIDTH < 3 ? 0 : numbers[scene->map[i]]); /* a void margin */
        scene->ids[i] = scene->map[i];
        scene->labels[i] = scene->map[i] == 0 ? -1 : scene->segments[scene->map[i] - 1].class_index;
    }
    for (int s = 0; s < kept; s++) scene->segments[s].area = 0;
    for (int i = 0; i < PIXELS; i++)
        if (scene->map[i] > 0) scene->segments[scene->map[i] - 1].area++;
    for (int s = 0; s < kept; s++) CHECK(scene->segments[s].area > 0);
    scene->truth = (PanopticMap){HEIGHT, WIDTH, scene->ids, kept, scene->segments};
    scene->image = (FeatureImage){.image_id = 100 + 7 * number, .height = HEIGHT, .width = WIDTH, .mask_height = HEIGHT,
                                  .mask_width = WIDTH, .embeddings = scene->embeddings, .masks = scene->masks,
                                  .map = scene->map, .segment_count = kept, .segments = scene->stored};
    snprintf(scene->image.file_name, sizeof scene->image.file_name, "%s%d.jpg", number == 4 ? "sub/" : "", number);
}

static Config *config_of(const char *curve)
{
    Config *config;
    CHECK_OK(config_create(&config));
    CHECK_OK(config_set(config, "evaluate.score", "0.5", "test"));
    CHECK_OK(config_set(config, "evaluate.overlap", "0.3", "test"));
    if (curve != NULL) CHECK_OK(config_set(config, "calibration.curve", curve, "test"));
    return config;
}

static void add_scenes(Scores *scores, int from, int to, Exports *exports)
{
    Scene *scene = memory_alloc(sizeof *scene);
    Prediction prediction = {0};
    CHECK(scene != NULL);
    for (int i = from; i < to; i++) {
        make_scene(i, scene);
        CHECK_OK(scores_add(scores, &scene->image, QUERIES, &scene->truth, scene->labels, &prediction));
        const ExportImage facts = {scene->image.image_id, scene->image.file_name, scene->masks, QUERIES, HEIGHT, WIDTH};
        CHECK_OK(exports_add(exports, i, &facts, &prediction));
    }
    prediction_clear(&prediction);
    memory_free(scene);
}

static Json *json_of(const Scores *scores)
{
    JsonWriter writer = {0};
    Json *json;
    json_begin_object(&writer);
    CHECK_OK(scores_write_json(scores, &writer));
    json_end_object(&writer);
    CHECK_OK(json_parse(writer.text.data, writer.text.length, "scores", &json));
    text_free(&writer.text);
    return json;
}

static char directory[256];

static char *in_directory(const char *name)
{
    static char paths[16][600];
    static int next;
    char *path = paths[next++ % 16];
    if (directory[0] == '\0') {
        snprintf(directory, sizeof directory, "%s/zeroth-test-XXXXXX", getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
        CHECK(mkdtemp(directory) != NULL);
    }
    snprintf(path, 600, "%s/%s", directory, name);
    return path;
}

/* The truth in the three forms: truth.json and truth/, instances.json, labels/. */
static void write_truth(void)
{
    Scene *scene = memory_alloc(sizeof *scene);
    uint8_t *mask = memory_alloc(PIXELS);
    uint16_t *labels = memory_alloc(PIXELS * sizeof *labels);
    Image png = {HEIGHT, WIDTH, memory_alloc(3 * PIXELS), 3 * PIXELS};
    Text panoptic = {0}, images = {0}, instances = {0}, categories = {0};
    CHECK(scene != NULL && mask != NULL && labels != NULL && png.rgb != NULL);
    for (int c = 0; c < CLASSES; c++)
        text_format(&categories, "%s{\"id\":%d,\"name\":\"%s\",\"isthing\":%d,\"split\":\"%s\"}", c > 0 ? "," : "",
                    (int)entries[c].id, entries[c].name, entries[c].is_thing, entries[c].is_unseen ? "unseen" : "seen");
    CHECK_OK(directory_create(in_directory("truth/sub")));
    CHECK_OK(directory_create(in_directory("labels")));
    CHECK_OK(directory_create(in_directory("flat")));
    for (int i = 0; i < IMAGES; i++) {
        make_scene(i, scene);
        char name[64];
        snprintf(name, sizeof name, "%s%d.png", i == 4 ? "sub/" : "", i);
        text_format(&panoptic, "%s{\"image_id\":%d,\"file_name\":\"%s\",\"segments_info\":[", i > 0 ? "," : "",
                    (int)scene->image.image_id, name);
        text_format(&images, "%s{\"id\":%d,\"file_name\":\"%d\",\"height\":%d,\"width\":%d}", i > 0 ? "," : "",
                    (int)scene->image.image_id, i, HEIGHT, WIDTH);
        for (int s = 0; s < scene->truth.segment_count; s++) {
            const PanopticSegment *segment = &scene->segments[s];
            const int category = (int)entries[segment->class_index].id;
            text_format(&panoptic, "%s{\"id\":%d,\"category_id\":%d,\"area\":%d,\"iscrowd\":%d}", s > 0 ? "," : "", s + 1,
                        category, (int)segment->area, segment->is_crowd);
            if (!entries[segment->class_index].is_thing) continue;
            Rle rle = {0};
            Text runs = {0};
            for (int k = 0; k < PIXELS; k++) mask[k] = scene->map[k] == s + 1;
            CHECK_OK(rle_encode(mask, HEIGHT, WIDTH, &rle));
            for (size_t k = 0; k < rle.count; k++) text_format(&runs, "%s%u", k > 0 ? "," : "", rle.counts[k]);
            text_format(&instances, "%s{\"image_id\":%d,\"category_id\":%d,\"iscrowd\":%d,\"segmentation\":{\"size\":"
                        "[%d,%d],\"counts\":[%s]}}", instances.length > 0 ? "," : "", (int)scene->image.image_id,
                        category, segment->is_crowd, HEIGHT, WIDTH, text_string(&runs));
            rle_clear(&rle);
            text_free(&runs);
        }
        text_append(&panoptic, "]}");
        for (int k = 0; k < PIXELS; k++) {
            png.rgb[3 * k] = (uint8_t)scene->map[k];
            png.rgb[3 * k + 1] = png.rgb[3 * k + 2] = 0;
            labels[k] = (uint16_t)(scene->labels[k] < 0 ? 0 : entries[scene->labels[k]].id);
        }
        char path[80];
        snprintf(path, sizeof path, "truth/%s", name);
        CHECK_OK(image_write_png(in_directory(path), &png));
        snprintf(path, sizeof path, "labels/%d.png", i);
        CHECK_OK(label_map_write(in_directory(path), labels, HEIGHT, WIDTH));
    }
    Text all = {0};
    text_format(&all, "{\"categories\":[%s],\"annotations\":[%s]}", text_string(&categories), text_string(&panoptic));
    CHECK_OK(file_write(in_directory("truth.json"), all.data, all.length));
    text_free(&all);
    text_format(&all, "{\"categories\":[%s],\"images\":[%s],\"annotations\":[%s]}", text_string(&categories),
                text_string(&images), text_string(&instances));
    CHECK_OK(file_write(in_directory("instances.json"), all.data, all.length));
    text_free(&all);
    text_free(&panoptic);
    text_free(&images);
    text_free(&instances);
    text_free(&categories);
    image_clear(&png);
    memory_free(labels);
    memory_free(mask);
    memory_free(scene);
}

/* Scores of the files, written as metrics.json is. */
static Json *score_files(void)
{
    PanopticFile truth, prediction;
    PanopticScore panoptic;
    InstanceSet true_instances, results;
    InstanceScore instances;
    InstanceResults values;
    SemanticScore semantic;
    JsonWriter writer = {0};
    int64_t images;
    Json *json;
    CHECK_OK(panoptic_file_read(in_directory("truth.json"), true, &truth));
    CHECK_OK(panoptic_file_read(in_directory("out/panoptic.json"), false, &prediction));
    CHECK_OK(panoptic_score_files(&truth, NULL, &prediction, NULL, &panoptic));
    CHECK_OK(instance_json_read(in_directory("instances.json"), false, &true_instances));
    CHECK_OK(instance_json_read(in_directory("out/instances.json"), true, &results));
    CHECK_OK(instance_score_files(&true_instances, &results, &instances));
    CHECK_OK(instance_results_create(&instances, &values));
    for (int i = 0; i < IMAGES; i++) { /* folders of labels are flat */
        char from[80], to[80], *data;
        size_t bytes;
        snprintf(from, sizeof from, "out/semantic/%s%d.png", i == 4 ? "sub/" : "", i);
        snprintf(to, sizeof to, "flat/%d.png", i);
        CHECK_OK(file_read(in_directory(from), 0, &data, &bytes));
        CHECK_OK(file_write(in_directory(to), data, bytes));
        memory_free(data);
    }
    CHECK_OK(semantic_score_folders(&truth.classes, in_directory("labels"), in_directory("flat"), &semantic, &images));
    CHECK_INT(images, IMAGES);
    json_begin_object(&writer);
    metrics_write_json(&writer, &truth.classes, &(MetricSources){&panoptic, &semantic, &values});
    json_end_object(&writer);
    CHECK_OK(json_parse(writer.text.data, writer.text.length, "files", &json));
    text_free(&writer.text);
    panoptic_file_clear(&truth);
    panoptic_file_clear(&prediction);
    panoptic_score_clear(&panoptic);
    semantic_score_clear(&semantic);
    instance_set_clear(&true_instances);
    instance_set_clear(&results);
    instance_score_clear(&instances);
    instance_results_clear(&values);
    return json;
}

static void test_files_score_the_same(void)
{
    const Classifier model = classifier();
    const char *const forms[] = {"panoptic", "instances", "semantic"};
    Config *config = config_of(NULL);
    Scores *scores;
    Exports *exports;
    write_truth();
    CHECK_OK(scores_create(config, &model, 0, &scores));
    CHECK_OK(exports_create(in_directory("out"), forms, 3, &model.classes, &exports));
    add_scenes(scores, 5, IMAGES, exports); /* in any order */
    CHECK(!exports_has(exports, 0) && exports_has(exports, 5));
    add_scenes(scores, 0, 5, exports);
    CHECK_OK(exports_finish(exports, IMAGES));
    Json *own = json_of(scores), *files = score_files();
    int good = 0;
    for (size_t i = 0; i < files->count; i++) {
        const Json *a = &files->items[i], *b = json_member(own, files->keys[i]);
        CHECK(b != NULL && a->type == b->type);
        if (a->type == JSON_REAL && a->real != b->real)
            TEST_FAIL("%s is %.17g from files and %.17g", files->keys[i], a->real, b->real);
        good += a->type == JSON_REAL && a->real > 0.2 && a->real < 1;
    }
    CHECK(good > 40); /* else nothing is shown here */
    json_destroy(own);
    json_destroy(files);
    exports_destroy(exports);
    scores_destroy(scores);
    config_destroy(config);
    CHECK_OK(directory_remove(directory));
    directory[0] = '\0';
}

static void check_same_json(const Scores *a, const Scores *b)
{
    JsonWriter x = {0}, y = {0};
    CHECK_OK(scores_write_json(a, &x));
    CHECK_OK(scores_write_json(b, &y));
    CHECK_STRING(text_string(&x.text), text_string(&y.text));
    text_free(&x.text);
    text_free(&y.text);
}

static void save(const Scores *scores, const char *path, int64_t next)
{
    ArrayList list = {0};
    CHECK_OK(scores_list(scores, &next, &list));
    CHECK_OK(checkpoint_write(path, "test", "{}", list.items, list.count));
    array_list_clear(&list);
}

/* Blocks that are counted apart and merged, with a stop in between. */
static void test_state(void)
{
    const Classifier model = classifier();
    Config *config = config_of(NULL);
    Scores *whole, *first, *second, *block;
    int64_t next = 0;
    CHECK_OK(scores_create(config, &model, 0, &whole));
    CHECK_OK(scores_create(config, &model, 0, &first));
    CHECK_OK(scores_create(config, &model, 0, &second));
    CHECK_OK(scores_create(config, &model, 0, &block));
    save(second, in_directory("empty.h5"), 0); /* before any image */
    CHECK_OK(scores_load(second, in_directory("empty.h5"), "test", &next));
    add_scenes(whole, 0, IMAGES, NULL);
    add_scenes(first, 0, 4, NULL);
    save(first, in_directory("state.h5"), 4);
    CHECK_OK(scores_load(second, in_directory("state.h5"), "test", &next));
    CHECK_INT(next, 4);
    add_scenes(block, 7, IMAGES, NULL);
    CHECK_OK(scores_merge(second, block));
    scores_reset(block);
    add_scenes(block, 4, 7, NULL);
    CHECK_OK(scores_merge(second, block));
    check_same_json(whole, second);
    scores_destroy(whole);
    scores_destroy(first);
    scores_destroy(second);
    scores_destroy(block);
    config_destroy(config);
    CHECK_OK(directory_remove(directory));
    directory[0] = '\0';
}

/* Where only unseen classes compete, no seen class is counted, and the unseen score no worse. */
static void test_strict_and_curve(void)
{
    const Classifier model = classifier();
    Config *config = config_of("[2, -2]");
    Scores *scores;
    CHECK_OK(scores_create(config, &model, 0, &scores));
    add_scenes(scores, 0, IMAGES, NULL);
    Json *json = json_of(scores);
    const Json *curve = json_member(json, "curve"), *stops = json_member(curve, "bias");
    CHECK_INT(stops->count, 4);
    CHECK(stops->items[1].real == -2 && stops->items[2].real == 2);
    const Json *seen = json_member(curve, "semantic.miou.seen"), *unseen = json_member(curve, "semantic.miou.unseen");
    CHECK(seen->items[0].real > 0.3 && seen->items[3].real == 0 && unseen->items[0].real == 0);
    CHECK(json_member(json, "semantic.miou.ausuc")->real > 0.15);
    CHECK(json_member(json, "semantic.miou.strict")->real > json_member(json, "semantic.miou.unseen")->real);
    CHECK(json_member(json, "panoptic.pq.strict")->real > 0.3);
    CHECK(json_member(json, "instance.ap.strict")->real > 0.2);
    json_destroy(json);
    scores_destroy(scores);
    config_destroy(config);
}

static void test_refused_forms(void)
{
    const Classifier model = classifier();
    const char *const forms[] = {"pictures"};
    Exports *exports;
    CHECK_FAILS(exports_create("/nowhere", forms, 1, &model.classes, &exports), STATUS_INVALID, "'pictures'");
    CHECK_OK(exports_create("/nowhere", forms, 0, &model.classes, &exports));
    CHECK(exports == NULL && exports_has(exports, 3));
    CHECK_OK(exports_finish(exports, 3));
}

TEST_MAIN(TEST(test_files_score_the_same), TEST(test_state), TEST(test_strict_and_curve), TEST(test_refused_forms))
