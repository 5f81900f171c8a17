/* What import says of bad input: one line that names the file and what is wrong in it. */
#include <stdio.h>

#include "storage/coco_json.h"
#include "tests/storage/fixture.h"

static Fixture fixture;
static char output[300];

static void begin(void)
{
    fixture = fixture_defaults();
    fixture.train = 3;
    fixture.val = 2;
    fixture_create(&fixture);
    snprintf(output, sizeof output, "%s/shards", fixture.root);
}

static void end(void)
{
    CHECK_OK(directory_remove(fixture.root));
}

static char *read_json(int split)
{
    char *text;
    size_t bytes;
    CHECK_OK(file_read(fixture.paths[3 * split], 0, &text, &bytes));
    return text;
}

/* `text` with the first `from` after `after` replaced by `to`. */
static char *edited(const char *text, const char *after, const char *from, const char *to)
{
    const char *start = strstr(text, after);
    CHECK(start != NULL);
    const char *place = strstr(start, from);
    CHECK(place != NULL);
    char *out = memory_format("%.*s%s%s", (int)(place - text), text, to, place + strlen(from));
    CHECK(out != NULL);
    return out;
}

static void write_json(int split, const char *text)
{
    CHECK_OK(file_write(fixture.paths[3 * split], text, strlen(text)));
}

static void check_manifest_absent(void)
{
    char path[400];
    snprintf(path, sizeof path, "%s/manifest.json", output);
    CHECK(!file_exists(path));
}

typedef struct BadEdit { const char *after, *from, *to, *message; } BadEdit;

/* Changes of the training JSON, and what is said of each. */
static void test_bad_entries(void)
{
    static const BadEdit edits[] = {
        {"annotations", "\"category_id\":1", "\"category_id\":99", "category_id"},
        {"annotations", "\"category_id\":", "\"category\":", "annotations[0].segments_info[0].category_id is missing"},
        {"annotations", "\"category_id\":", "\"category_id\":\"x\",\"y\":", "annotations[0].segments_info[0].category_id must not be a string"},
        {"annotations", "\"id\":", "\"id\":0,\"was\":", "annotations[0].segments_info[0].id is 0"},
        {"annotations", "\"id\":", "\"id\":16777216,\"was\":", "segments_info[0].id is 16777216"},
        {"annotations", "\"iscrowd\":0", "\"iscrowd\":2", "segments_info[0].iscrowd is 2"},
        {"annotations", "\"image_id\":1", "\"image_id\":555", "image_id 555 is no image's id"},
        {"annotations", "\"image_id\":2", "\"image_id\":1", "image_id 1 has an annotation already"},
        {"annotations", "\"image_id\":2", "\"image_id\":2.5", "annotations[1].image_id must be an integer"},
        {"annotations", "\"segments_info\":", "\"segments_info\":3,\"was\":", "segments_info must be an array"},
        {"annotations", "000001.png", "../../secret.png", "leads out of its directory"},
        {"annotations", "000001.png", "/etc/secret.png", "leads out of its directory"},
        {"\"images\"", "\"id\":2", "\"id\":1", "id 1 occurs twice"},
        {"\"images\"", "\"id\":2", "\"id\":77", "image_id 2 is no image's id"},
        {"\"images\"", "\"height\":40", "\"height\":0", "images[0].height is 0"},
        {"\"images\"", "\"height\":40", "\"height\":41", "60x41"},
        {"\"images\"", "\"width\":60", "\"wide\":60", "images[0].width is missing"},
        {"\"images\"", "\"file_name\":\"000001.jpg\"", "\"file_name\":null", "images[0].file_name must not be null"},
        {"\"images\"", "000001.jpg", "missing.jpg", "missing.jpg: absent"},
        {"annotations", "000001.png", "missing.png", "missing.png: absent"},
        {"categories", "\"id\":11", "\"id\":10", "id 10 occurs twice"},
        {"categories", "class 1", "class 0", "name class 0 occurs twice"},
        {"categories", "\"isthing\":", "\"thing\":", "categories[0].isthing is missing"},
        {"categories", "\"id\":10", "\"id\":9", "category_id 10 is no category's id"},
        {"categories", "\"color\":[0", "\"color\":[300", "color is 300"},
        {"{\"annotations\"", "{\"annotations\"", "{\"other\"", "no array \"annotations\""},
        {"{\"annotations\"", "{", "[{", ""},
    };
    begin();
    char *good = read_json(0);
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        char *bad = edited(good, edits[i].after, edits[i].from, edits[i].to);
        write_json(0, bad);
        ImportOptions options = fixture_import(&fixture, output);
        Status status = import_everything(&options, NULL);
        const char *message = status_message(status);
        bool named = strstr(message, fixture.root) != NULL && strchr(message, '\n') == NULL;
        if (status == OK || !named || strstr(message, edits[i].message) == NULL)
            TEST_FAIL("edit %zu (%s): %s", i, edits[i].to, status == OK ? "imported" : message);
        status_free(status);
        check_manifest_absent();
        memory_free(bad);
    }
    memory_free(good);
    end();
}

static void test_json_cut_short(void)
{
    begin();
    char *good = read_json(0);
    size_t length = strlen(good);
    CocoSet set;
    for (size_t cut = 0; cut + 1 < length; cut += 1 + length / 300) {
        CHECK_OK(file_write(fixture.paths[0], good, cut));
        Status status = coco_json_read(fixture.paths[0], &set);
        if (status == OK || strstr(status_message(status), "panoptic_train.json") == NULL)
            TEST_FAIL("cut at %zu of %zu: %s", cut, length, status == OK ? "read" : status_message(status));
        status_free(status);
    }
    memory_free(good);
    end();
}

static void test_bad_files(void)
{
    begin();
    ImportOptions options = fixture_import(&fixture, output);
    char path[400];
    Image small = {10, 10, calloc(300, 1), 300};
    /* PNG of another size */
    snprintf(path, sizeof path, "%s/000002.png", fixture.paths[2]);
    char *data;
    size_t bytes;
    CHECK_OK(file_read(path, 0, &data, &bytes));
    CHECK_OK(image_write_png(path, &small));
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "000002.png: is 10x10 pixels");
    /* cut in half */
    CHECK_OK(file_write(path, data, bytes / 2));
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "000002.png: damaged PNG");
    CHECK_OK(file_write(path, data, bytes));
    memory_free(data);
    /* truncated JPEG */
    snprintf(path, sizeof path, "%s/000003.jpg", fixture.paths[1]);
    CHECK_OK(file_read(path, 0, &data, &bytes));
    CHECK_OK(file_write(path, data, bytes - 20));
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "000003.jpg: damaged JPEG");
    CHECK_OK(file_write(path, data, bytes));
    memory_free(data);
    check_manifest_absent();
    CHECK_OK(import_everything(&options, NULL));
    image_clear(&small);
    end();
}

/* A segment that the PNG lacks, and one that only the PNG has. */
static void test_segments_and_pixels(void)
{
    begin();
    char *good = read_json(0);
    char *more = edited(good, "annotations", "[{\"id\"", "[{\"id\":4242,\"category_id\":10},{\"id\"");
    write_json(0, more);
    ImportOptions options = fixture_import(&fixture, output);
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "000001.png: has no pixel of segment 4242");
    char was[40];
    snprintf(was, sizeof was, "\"id\":%u", fixture_id(1, 0));
    char *other = edited(good, "annotations", was, "\"id\":4243");
    write_json(0, other);
    snprintf(was, sizeof was, "segment id %u", fixture_id(1, 0));
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, was);
    char *twice = edited(good, "annotations", "[{\"id\"", "[{\"id\":4242,\"category_id\":10},{\"id\":4242,\"category_id\":10},{\"id\"");
    write_json(0, twice);
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "segment id 4242 occurs twice");
    memory_free(good);
    memory_free(more);
    memory_free(other);
    memory_free(twice);
    end();
}

static void test_too_many_segments(void)
{
    begin();
    JsonWriter json = {0};
    json_begin_object(&json);
    json_key(&json, "annotations");
    json_begin_array(&json);
    json_begin_object(&json);
    json_key(&json, "segments_info");
    json_begin_array(&json);
    for (int i = 1; i <= 65536; i++) {
        json_begin_object(&json);
        json_key(&json, "id");
        json_integer(&json, i);
        json_key(&json, "category_id");
        json_integer(&json, 10);
        json_end_object(&json);
    }
    json_end_array(&json);
    json_key(&json, "image_id");
    json_integer(&json, 1);
    json_key(&json, "file_name");
    json_string(&json, "1.png");
    json_end_object(&json);
    json_end_array(&json);
    json_end_object(&json);
    CHECK(!json.text.failed);
    write_json(0, json.text.data);
    text_free(&json.text);
    CocoSet set;
    CHECK_FAILS(coco_json_read(fixture.paths[0], &set), STATUS_INVALID, "annotations[0].segments_info has more than 65535");
    end();
}

static void test_splits_must_agree(void)
{
    begin();
    char *good = read_json(1);
    ImportOptions options = fixture_import(&fixture, output);
    char *renamed = edited(good, "categories", "class 1", "klass 1");
    write_json(1, renamed);
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "panoptic_val.json: category 11 (klass 1)");
    char *fewer = edited(good, "categories", "\"id\":15", "\"id\":16");
    write_json(1, fewer);
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "panoptic_val.json: category 16");
    memory_free(good);
    memory_free(renamed);
    memory_free(fewer);
    end();
}

static void test_unseen_names(void)
{
    begin();
    ImportOptions options = fixture_import(&fixture, output);
    char *wrong[] = {"clas 2"}, *twice[] = {"class 2", "Class_2"}, *strange[] = {"zebra"};
    char *all[] = {"class 0", "class 1", "class 2", "class 3", "class 4", "class 5"};
    options.unseen = wrong;
    options.unseen_count = 1;
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "did you mean \"class 2\"");
    options.unseen = strange;
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "\"zebra\" is no category");
    options.unseen = twice;
    options.unseen_count = 2;
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "named twice");
    options.unseen = all;
    options.unseen_count = 6;
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "all classes");
    options.unseen_count = 5;
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "no image is left");
    char path[400], **names;
    size_t count;
    snprintf(path, sizeof path, "%s/unseen.txt", fixture.root);
    fixture_text(fixture.root, "unseen.txt", "# a comment\r\nclass 1\r\n\n  class 3  # why\n#class 4\nclass 5");
    CHECK_OK(unseen_names_read(path, &names, &count));
    CHECK_INT(count, 3);
    CHECK_STRING(names[0], "class 1");
    CHECK_STRING(names[1], "class 3");
    CHECK_STRING(names[2], "class 5");
    names_free(names, count);
    end();
}

/* The fingerprint sees a change of the JSON, and of the images' names and sizes. */
static void test_fingerprint(void)
{
    begin();
    ImportOptions options = fixture_import(&fixture, output);
    Hash128 hashes[4];
    char path[400];
    snprintf(path, sizeof path, "%s/000002.png", fixture.paths[2]);
    for (int i = 0; i < 4; i++) {
        if (i == 2) write_json(1, "{}");
        if (i == 3) CHECK_OK(file_write(path, "x", 1));
        Hasher *hasher = hasher_create();
        CHECK_OK(import_fingerprint(&options, NULL, hasher));
        hashes[i] = hasher_result(hasher);
        hasher_destroy(hasher);
    }
    CHECK(hash_equal(hashes[0], hashes[1]));
    CHECK(!hash_equal(hashes[1], hashes[2]) && !hash_equal(hashes[2], hashes[3]));
    end();
}

/* Entries in any order, with fields nobody knows, nested as deep as they like. */
static void test_unknown_fields(void)
{
    begin();
    char *good = read_json(0);
    char *more = edited(good, "{\"annotations\"", "{",
                        "{\"info\":{\"a\":[[1,{\"id\":\"x\"}],null,true]},\"licenses\":[{\"id\":1,\"name\":null}],\"n\":3,");
    char *stranger = edited(more, "\"images\"", "{\"id\":1", "{\"name\":5,\"segments_info\":null,\"deep\":{\"id\":[{}]},\"id\":1");
    char *last = edited(stranger, "categories", "\"supercategory\":", "\"file_name\":7,\"height\":\"tall\",\"supercategory\":");
    write_json(0, last);
    ImportOptions options = fixture_import(&fixture, output);
    CHECK_OK(import_everything(&options, NULL));
    memory_free(good);
    memory_free(more);
    memory_free(stranger);
    memory_free(last);
    end();
}

TEST_MAIN(TEST(test_bad_entries), TEST(test_json_cut_short), TEST(test_bad_files), TEST(test_segments_and_pixels),
          TEST(test_too_many_segments), TEST(test_splits_must_agree), TEST(test_unseen_names), TEST(test_fingerprint),
          TEST(test_unknown_fields))
