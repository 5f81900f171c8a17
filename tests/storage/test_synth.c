#include "framework/files.h"
#include "framework/hash.h"
#include "framework/json.h"
#include "framework/memory.h"
#include "storage/image.h"
#include "storage/synth.h"
#include "tests/test.h"

static char *directory;

static void scratch(void)
{
    static char name[] = "/tmp/zeroth-synth-XXXXXX";
    memory_free(directory);
    strcpy(name + sizeof name - 7, "XXXXXX");
    CHECK(mkdtemp(name) != NULL);
    directory = memory_copy_string(name);
}

static void clean(void)
{
    CHECK_OK(directory_remove(directory));
    memory_free(directory);
    directory = NULL;
}

static char *in(const char *format, const char *name)
{
    static char path[512];
    char part[256];
    snprintf(part, sizeof part, format, name);
    snprintf(path, sizeof path, "%s/%s", directory, part);
    return path;
}

static SynthOptions small(void)
{
    SynthOptions options = synth_defaults();
    options.output = directory;
    options.train_images = 40;
    options.val_images = 20;
    options.height = 48;
    options.width = 80;
    return options;
}

/* Every segment's area and box against its PNG; nothing in the PNG that the JSON does not list. */
static void check_annotation(const Json *annotation, const char *split, int min_area)
{
    char folder[64];
    snprintf(folder, sizeof folder, "panoptic_%s/%%s", split);
    Image map = {0};
    CHECK_OK(image_read(in(folder, json_member(annotation, "file_name")->string), &map));
    const Json *segments = json_member(annotation, "segments_info");
    int64_t listed = 0, labelled = 0;
    int pixels = map.height * map.width;
    for (int i = 0; i < pixels; i++)
        labelled += map.rgb[3 * i] + map.rgb[3 * i + 1] + map.rgb[3 * i + 2] > 0;
    for (size_t s = 0; s < segments->count; s++) {
        const Json *segment = &segments->items[s];
        int64_t id = json_member(segment, "id")->integer, area = 0;
        int left = map.width, top = map.height, right = -1, bottom = -1;
        for (int i = 0; i < pixels; i++) {
            if (map.rgb[3 * i] + 256 * map.rgb[3 * i + 1] + 65536 * map.rgb[3 * i + 2] != id)
                continue;
            int x = i % map.width, y = i / map.width;
            area++;
            left = x < left ? x : left;
            right = x > right ? x : right;
            top = y < top ? y : top;
            bottom = y > bottom ? y : bottom;
        }
        const Json *box = json_member(segment, "bbox");
        CHECK_INT(json_member(segment, "area")->integer, area);
        CHECK(area >= min_area);
        CHECK_INT(box->items[0].integer, left);
        CHECK_INT(box->items[1].integer, top);
        CHECK_INT(box->items[2].integer, right - left + 1);
        CHECK_INT(box->items[3].integer, bottom - top + 1);
        listed += area;
    }
    CHECK_INT(listed, labelled);
    image_clear(&map);
}

static const Json *category_of(const Json *root, int64_t id)
{
    const Json *categories = json_member(root, "categories");
    for (size_t i = 0; i < categories->count; i++)
        if (json_member(&categories->items[i], "id")->integer == id)
            return &categories->items[i];
    return NULL;
}

static bool is_unseen(const Json *root, int64_t category)
{
    return strcmp(json_member(category_of(root, category), "split")->string, "unseen") == 0;
}

static int64_t unseen_segments(const Json *root)
{
    const Json *annotations = json_member(root, "annotations");
    int64_t count = 0;
    for (size_t i = 0; i < annotations->count; i++) {
        const Json *segments = json_member(&annotations->items[i], "segments_info");
        for (size_t s = 0; s < segments->count; s++)
            count += is_unseen(root, json_member(&segments->items[s], "category_id")->integer);
    }
    return count;
}

static void test_layout_and_books(void)
{
    scratch();
    SynthOptions options = small();
    options.min_area = 30;
    CHECK_OK(synth_write(&options));
    static const char *const splits[2] = {"train", "val"};
    for (int k = 0; k < 2; k++) {
        Json *root = NULL;
        CHECK_OK(json_read_file(in("panoptic_%s.json", splits[k]), &root));
        const Json *images = json_member(root, "images"), *annotations = json_member(root, "annotations");
        CHECK_INT(images->count, k == 0 ? 40 : 20);
        CHECK_INT(annotations->count, images->count);
        CHECK_INT(json_member(root, "categories")->count, 24);
        for (size_t i = 0; i < images->count; i++) {
            CHECK_INT(json_member(&images->items[i], "id")->integer,
                      json_member(&annotations->items[i], "image_id")->integer);
            char folder[64];
            snprintf(folder, sizeof folder, "%s/%%s", splits[k]);
            Image image = {0};
            CHECK_OK(image_read(in(folder, json_member(&images->items[i], "file_name")->string), &image));
            CHECK_INT(image.height, 48);
            CHECK_INT(image.width, 80);
            image_clear(&image);
            check_annotation(&annotations->items[i], splits[k], 30);
        }
        CHECK(unseen_segments(root) > 0);
        json_destroy(root);
    }
    clean();
}

static void test_unseen_rate(void)
{
    scratch();
    SynthOptions options = small();
    options.unseen_rate = 0.0;
    CHECK_OK(synth_write(&options));
    Json *root = NULL;
    CHECK_OK(json_read_file(in("%s", "panoptic_train.json"), &root));
    CHECK_INT(unseen_segments(root), 0);
    json_destroy(root);
    clean();
}

static Hash128 hash_of(const char *name)
{
    Hash128 hash;
    CHECK_OK(hash_file(in("%s", name), &hash, NULL));
    return hash;
}

static void test_same_again(void)
{
    static const char *const names[] = {"panoptic_train.json", "class_vectors.csv", "train/000000000007.jpg",
                                        "panoptic_val/000001000003.png"};
    Hash128 hashes[4];
    scratch();
    SynthOptions options = small();
    CHECK_OK(synth_write(&options));
    for (int i = 0; i < 4; i++)
        hashes[i] = hash_of(names[i]);
    clean();
    scratch();
    options = small();
    CHECK_OK(synth_write(&options));
    for (int i = 0; i < 4; i++)
        CHECK(hash_equal(hashes[i], hash_of(names[i])));
    options.train_images = 8; /* an image does not depend on how many there are */
    CHECK_OK(synth_write(&options));
    CHECK(hash_equal(hashes[2], hash_of(names[2])));
    options.seed++;
    CHECK_OK(synth_write(&options));
    for (int i = 0; i < 4; i++)
        CHECK(!hash_equal(hashes[i], hash_of(names[i])));
    clean();
}

/* Each attribute value of an unseen class is shown by two seen classes of its kind or more. */
static void test_unseen_are_covered(void)
{
    static const int counts[][4] = {{16, 4, 8, 2}, {12, 2, 9, 3}, {36, 8, 16, 4}, {96, 20, 36, 8}, {8, 2, 9, 2}};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        scratch();
        SynthOptions options = small();
        options.train_images = options.val_images = 1;
        options.things = counts[k][0];
        options.unseen_things = counts[k][1];
        options.stuff = counts[k][2];
        options.unseen_stuff = counts[k][3];
        CHECK_OK(synth_write(&options));
        char *text = NULL, rows[160][7][24];
        size_t bytes;
        int count = 0, unseen = 0;
        CHECK_OK(file_read(in("%s", "attributes.csv"), 0, &text, &bytes));
        for (char *line = strchr(text, '\n') + 1; *line != '\0'; line = strchr(line, '\n') + 1, count++)
            for (int f = 0; f < 7; f++) {
                size_t length = strcspn(line, ",\n");
                snprintf(rows[count][f], sizeof rows[count][f], "%.*s", (int)length, line);
                line += length + (f < 6);
            }
        CHECK_INT(count, counts[k][0] + counts[k][2]);
        for (int i = 0; i < count; i++) {
            if (strcmp(rows[i][2], "unseen") != 0)
                continue;
            unseen++;
            for (int f = 3; f < 7; f++) {
                int cover = 0;
                for (int j = 0; j < count; j++)
                    cover += strcmp(rows[j][2], "seen") == 0 && strcmp(rows[j][1], rows[i][1]) == 0 &&
                             strcmp(rows[j][f], rows[i][f]) == 0;
                CHECK(cover >= 2);
            }
            for (int j = 0; j < i; j++)
                CHECK(strcmp(rows[i][0], rows[j][0]) != 0);
        }
        CHECK_INT(unseen, counts[k][1] + counts[k][3]);
        memory_free(text);
        clean();
    }
}

static void test_refusals(void)
{
    scratch();
    SynthOptions options = small();
    options.height = 8;
    CHECK_FAILS(synth_write(&options), STATUS_INVALID, "height is 8, outside [32, 8192]");
    options = small();
    options.unseen_rate = NAN;
    CHECK_FAILS(synth_write(&options), STATUS_INVALID, "unseen_rate");
    options = small();
    options.unseen_things = 15;
    CHECK_FAILS(synth_write(&options), STATUS_INVALID, "unseen_things: of 16 classes at most");
    options = small();
    options.things = options.stuff = options.unseen_things = options.unseen_stuff = 0;
    CHECK_FAILS(synth_write(&options), STATUS_INVALID, "no class to draw");
    clean();
}

/* A failure on the way leaves no JSON, so that no import takes the half for the whole. */
static void test_interrupted_is_noticed(void)
{
    scratch();
    SynthOptions options = small();
    CHECK_OK(synth_write(&options));
    CHECK(file_exists(in("%s", "panoptic_train.json")));
    CHECK_OK(files_inject("write:nospace:20"));
    CHECK_FAILS(synth_write(&options), STATUS_NO_SPACE, directory);
    CHECK_OK(files_inject(NULL));
    CHECK(!file_exists(in("%s", "panoptic_train.json")));
    CHECK(!file_exists(in("%s", "panoptic_val.json")));
    CHECK_OK(synth_write(&options));
    CHECK(file_exists(in("%s", "panoptic_val.json")));
    clean();
}

TEST_MAIN(TEST(test_layout_and_books), TEST(test_unseen_rate), TEST(test_same_again), TEST(test_unseen_are_covered),
          TEST(test_refusals), TEST(test_interrupted_is_noticed))
