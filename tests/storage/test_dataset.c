/* Import of small data sets and their reading back. */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "storage/dataset.h"
#include "tests/storage/fixture.h"

static Fixture fixture;
static char output[300];

static void begin(void)
{
    fixture = fixture_defaults();
    fixture_create(&fixture);
    snprintf(output, sizeof output, "%s/shards", fixture.root);
}

static void end(void)
{
    CHECK_OK(directory_remove(fixture.root));
}

static char *shard_name(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", output, name);
    return path;
}

/* A stored image against the painted one. */
static void compare_image(const Sample *sample, bool void_unseen, int unseen_class)
{
    size_t pixels = (size_t)fixture.height * (size_t)fixture.width;
    Image rgb = {fixture.height, fixture.width, malloc(pixels * 3), 0}, ids = rgb, decoded = {0};
    int64_t areas[64];
    char path[400];
    ids.rgb = malloc(pixels * 3);
    fixture_paint(&fixture, sample->image_id, &rgb, &ids, areas);
    snprintf(path, sizeof path, "%s/%s", fixture.paths[sample->image_id > 1000 ? 4 : 1], sample->file_name);
    CHECK_OK(image_read(path, &decoded));
    CHECK_INT(sample->height, fixture.height);
    CHECK_INT(sample->original_width, fixture.width);
    CHECK(memcmp(decoded.rgb, sample->rgb, pixels * 3) == 0);
    for (size_t i = 0; i < pixels; i++) {
        uint32_t id = (uint32_t)ids.rgb[3 * i] | (uint32_t)ids.rgb[3 * i + 1] << 8 | (uint32_t)ids.rgb[3 * i + 2] << 16;
        if (sample->map[i] != 0) {
            CHECK_INT(sample->segments[sample->map[i] - 1].id, id);
        } else if (id != 0) { /* void only where an unseen class was */
            int blob = 0;
            while (fixture_id(sample->image_id, blob) != id) blob++;
            CHECK(void_unseen && fixture_class(&fixture, sample->image_id, blob) == unseen_class);
        }
    }
    for (int32_t k = 0; k < sample->segment_count; k++) {
        int blob = 0;
        while (fixture_id(sample->image_id, blob) != sample->segments[k].id) blob++;
        CHECK_INT(sample->segments[k].area, areas[blob]);
        CHECK_INT(sample->segments[k].class_index, fixture_class(&fixture, sample->image_id, blob));
        CHECK_INT(sample->segments[k].is_crowd, blob == 3);
    }
    image_clear(&decoded);
    free(rgb.rgb);
    free(ids.rgb);
}

static void test_read_back(void)
{
    begin();
    ImportOptions options = fixture_import(&fixture, output);
    int64_t skipped, images, segments, total = 0;
    CHECK_OK(import_everything(&options, &skipped));
    CHECK_INT(skipped, 0);
    Sample sample = {0};
    for (int split = 0; split < 2; split++) {
        Dataset *dataset;
        CHECK_OK(dataset_open(output, split == 0 ? "train" : "val", &dataset));
        CHECK_INT(dataset_count(dataset), split == 0 ? 7 : 3);
        const ClassTable *classes = dataset_classes(dataset);
        CHECK_INT(classes->count, 6);
        CHECK_INT(classes->seen_count, 6);
        CHECK_STRING(classes->entries[3].name, "class 3");
        CHECK_INT(classes->entries[3].id, 13);
        CHECK(classes->entries[3].is_thing && !classes->entries[2].is_thing);
        CHECK_INT(classes->entries[2].color[0], 80);
        CHECK_STRING(dataset_unseen_rule(dataset), "drop");
        int64_t counts[6], counted[6] = {0};
        CHECK_OK(dataset_class_counts(dataset, counts));
        for (int64_t i = dataset_count(dataset) - 1; i >= 0; i--) {
            CHECK_OK(dataset_read(dataset, i, &sample));
            CHECK_INT(sample.image_id, (split == 0 ? 1 : 1001) + i);
            compare_image(&sample, false, -1);
            for (int32_t k = 0; k < sample.segment_count; k++) counted[sample.segments[k].class_index]++;
            total += sample.segment_count;
        }
        for (int c = 0; c < 6; c++) CHECK_INT(counts[c], counted[c]);
        CHECK_FAILS(dataset_read(dataset, 7, &sample), STATUS_INTERNAL, "image 7");
        dataset_close(dataset);
    }
    CHECK_OK(dataset_verify(output, &images, &segments));
    CHECK_INT(images, 10);
    CHECK_INT(segments, total);
    Dataset *none;
    CHECK_FAILS(dataset_open(output, "test", &none), STATUS_INVALID, "test");
    CHECK_FAILS(dataset_open(fixture.root, "train", &none), STATUS_NOT_FOUND, "manifest.json");
    sample_clear(&sample);
    end();
}

static void test_unseen_rules(void)
{
    begin();
    char *unseen[] = {"CLASS_2"};
    for (int ignore = 0; ignore < 2; ignore++) {
        ImportOptions options = fixture_import(&fixture, output);
        options.unseen = unseen;
        options.unseen_count = 1;
        options.ignore_unseen = ignore != 0;
        CHECK_OK(import_everything(&options, NULL));
        Dataset *dataset;
        CHECK_OK(dataset_open(output, "train", &dataset));
        CHECK_STRING(dataset_unseen_rule(dataset), ignore != 0 ? "ignore" : "drop");
        const ClassTable *classes = dataset_classes(dataset);
        CHECK(classes->entries[2].is_unseen && classes->unseen_count == 1);
        CHECK_INT(class_table_seen_index(classes, 2), -1);
        CHECK_INT(class_table_seen_index(classes, 3), 2);
        if (ignore != 0) CHECK_INT(dataset_count(dataset), 7);
        else CHECK(dataset_count(dataset) > 0 && dataset_count(dataset) < 7);
        int64_t counts[6];
        CHECK_OK(dataset_class_counts(dataset, counts));
        CHECK_INT(counts[2], 0);
        Sample sample = {0};
        for (int64_t i = 0; i < dataset_count(dataset); i++) {
            CHECK_OK(dataset_read(dataset, i, &sample));
            compare_image(&sample, ignore != 0, 2);
        }
        dataset_close(dataset);
        CHECK_OK(dataset_open(output, "val", &dataset)); /* keeps all */
        CHECK_INT(dataset_count(dataset), 3);
        CHECK_OK(dataset_class_counts(dataset, counts));
        CHECK(counts[2] > 0);
        dataset_close(dataset);
        sample_clear(&sample);
    }
    end();
}

static void test_long_side(void)
{
    begin();
    ImportOptions options = fixture_import(&fixture, output);
    options.long_side = 12; /* small enough for segments to vanish */
    int64_t images, segments, before = 0;
    CHECK_OK(import_everything(&options, NULL));
    CHECK_OK(dataset_verify(output, &images, &segments));
    Dataset *dataset;
    Sample sample = {0};
    CHECK_OK(dataset_open(output, "train", &dataset));
    CHECK_OK(dataset_read(dataset, 2, &sample));
    CHECK(sample.height == 8 && sample.width == 12 && sample.original_height == 40 && sample.original_width == 60);
    dataset_close(dataset);
    options.long_side = 0;
    CHECK_OK(import_everything(&options, NULL));
    CHECK_OK(dataset_verify(output, &images, &before));
    CHECK(segments < before);
    options.long_side = 4000; /* never enlarged */
    CHECK_OK(import_everything(&options, NULL));
    CHECK_OK(dataset_open(output, "train", &dataset));
    CHECK_OK(dataset_read(dataset, 0, &sample));
    CHECK_INT(sample.height, 40);
    dataset_close(dataset);
    sample_clear(&sample);
    end();
}

/* More segments than a byte counts: the shard's maps are then of two bytes a pixel. */
static void test_many_segments(void)
{
    begin();
    enum { SIDE = 20, PIXELS = SIDE * SIDE };
    Image ids = {SIDE, SIDE, calloc(PIXELS, 3), PIXELS * 3};
    JsonWriter json = {0};
    char path[400];
    json_begin_object(&json);
    json_key(&json, "annotations");
    json_begin_array(&json);
    for (int image = 1; image <= 2; image++) {
        json_begin_object(&json);
        json_key(&json, "image_id");
        json_integer(&json, image);
        json_key(&json, "file_name");
        json_string(&json, image == 1 ? "1.png" : "2.png");
        json_key(&json, "segments_info");
        json_begin_array(&json);
        for (int k = 0; k < (image == 1 ? PIXELS : 7); k++) {
            json_begin_object(&json);
            json_key(&json, "id");
            json_integer(&json, k * 100 + 1);
            json_key(&json, "category_id");
            json_integer(&json, 10 + k % 6);
            json_end_object(&json);
        }
        json_end_array(&json);
        json_end_object(&json);
        for (int i = 0; i < PIXELS; i++) {
            int id = (image == 1 ? PIXELS - 1 - i : i % 7) * 100 + 1;
            for (int c = 0; c < 3; c++) ids.rgb[3 * i + c] = (uint8_t)(id >> (8 * c));
        }
        snprintf(path, sizeof path, "%s/%d.png", fixture.paths[2], image);
        CHECK_OK(image_write_png(path, &ids));
        snprintf(path, sizeof path, "%s/%d.png", fixture.paths[1], image); /* images may be PNGs too */
        CHECK_OK(image_write_png(path, &ids));
    }
    json_end_array(&json);
    text_append(&json.text, ",\"images\":[{\"id\":1,\"file_name\":\"1.png\",\"height\":20,\"width\":20},"
                            "{\"id\":2,\"file_name\":\"2.png\",\"height\":20,\"width\":20}],\"categories\":");
    json.need_comma = false;
    fixture_categories(&fixture, &json);
    text_append(&json.text, "}");
    CHECK_OK(file_write(fixture.paths[0], json.text.data, json.text.length));
    text_free(&json.text);
    ImportOptions options = fixture_import(&fixture, output);
    int64_t images, segments;
    CHECK_OK(import_everything(&options, NULL));
    CHECK_OK(dataset_verify(output, &images, &segments));
    CHECK_INT(images, 5);
    Dataset *dataset;
    Sample sample = {0};
    CHECK_OK(dataset_open(output, "train", &dataset));
    CHECK_OK(dataset_read(dataset, 0, &sample));
    CHECK_INT(sample.segment_count, PIXELS);
    for (int i = 0; i < PIXELS; i++) CHECK_INT(sample.map[i], PIXELS - i);
    CHECK_OK(dataset_read(dataset, 1, &sample));
    for (int i = 0; i < PIXELS; i++) CHECK_INT(sample.map[i], i % 7 + 1);
    dataset_close(dataset);
    sample_clear(&sample);
    image_clear(&ids);
    end();
}

/* Finished shards are kept; a damaged, missing or outdated one is made anew, and alone. */
static void test_run_again(void)
{
    begin();
    ImportOptions options = fixture_import(&fixture, output);
    int64_t skipped, images, segments;
    CHECK_OK(import_everything(&options, &skipped));
    CHECK_OK(import_everything(&options, &skipped));
    CHECK_INT(skipped, 4);
    char *data;
    size_t bytes;
    CHECK_OK(file_read(shard_name("train-00001.h5"), 0, &data, &bytes));
    data[bytes / 2]++;
    CHECK_OK(file_write(shard_name("train-00001.h5"), data, bytes));
    memory_free(data);
    CHECK_OK(file_remove(shard_name("val-00000.h5")));
    fixture_text(output, ".train-00002.h5.77-1.tmp", "left over");
    CHECK_OK(import_everything(&options, &skipped));
    CHECK_INT(skipped, 2);
    CHECK(!file_exists(shard_name(".train-00002.h5.77-1.tmp")));
    CHECK_OK(dataset_verify(output, &images, &segments));
    options.ignore_unseen = true; /* other options: nothing is kept */
    CHECK_OK(import_everything(&options, &skipped));
    CHECK_INT(skipped, 0);
    options.shard_images = 100; /* fewer shards: the others go */
    CHECK_OK(import_everything(&options, &skipped));
    CHECK(!file_exists(shard_name("train-00001.h5")));
    CHECK_OK(dataset_verify(output, &images, &segments));
    CHECK_INT(images, 10);
    end();
}

/* Every bit of a shard and the manifest counts: a flipped byte anywhere is found, and crashes nothing. */
static void test_every_byte_counts(void)
{
    begin();
    ImportOptions options = fixture_import(&fixture, output);
    CHECK_OK(import_everything(&options, NULL));
    const char *const names[] = {"train-00002.h5", "manifest.json"};
    for (int n = 0; n < 2; n++) {
        char *data;
        size_t bytes;
        int64_t images, segments;
        CHECK_OK(file_read(shard_name(names[n]), 0, &data, &bytes));
        FILE *file = fopen(shard_name(names[n]), "r+b");
        for (size_t i = 0; i < bytes; i += n == 0 ? (i < 6000 ? 61 : 97) : 1) {
            fseek(file, (long)i, SEEK_SET);
            fputc(data[i] ^ (1 << i % 8), file);
            fflush(file);
            Status status = dataset_verify(output, &images, &segments);
            /* The manifest has blanks of no meaning, and names that none checks. */
            if (n == 0 && status == OK) TEST_FAIL("byte %zu of %s changed and nothing noticed", i, names[n]);
            status_free(status);
            fseek(file, (long)i, SEEK_SET);
            fputc(data[i], file);
            fflush(file);
        }
        fclose(file);
        for (size_t cut = 0; cut < bytes; cut += 1 + bytes / 40) {
            CHECK_OK(file_write(shard_name(names[n]), data, cut));
            Status status = dataset_verify(output, &images, &segments);
            CHECK(status != OK && strstr(status_message(status), names[n]) != NULL);
            status_free(status);
        }
        CHECK_OK(file_write(shard_name(names[n]), data, bytes));
        memory_free(data);
        CHECK_OK(dataset_verify(output, &images, &segments));
    }
    end();
}

static void replace_in_file(const char *path, const char *from, const char *to)
{
    char *data;
    size_t bytes;
    CHECK_OK(file_read(path, 0, &data, &bytes));
    char *place = memmem(data, bytes, from, strlen(from));
    CHECK(place != NULL && strlen(from) == strlen(to));
    memcpy(place, to, strlen(to));
    CHECK_OK(file_write(path, data, bytes));
    memory_free(data);
}

static void test_other_version(void)
{
    begin();
    ImportOptions options = fixture_import(&fixture, output);
    CHECK_OK(import_everything(&options, NULL));
    Dataset *dataset;
    replace_in_file(shard_name("manifest.json"), "\"version\":1", "\"version\":9");
    CHECK_FAILS(dataset_open(output, "train", &dataset), STATUS_VERSION, "manifest.json");
    replace_in_file(shard_name("manifest.json"), "\"version\":9", "\"version\":1");
    replace_in_file(shard_name("train-00000.h5"), "zeroth-store 1", "zeroth-store 7");
    CHECK_FAILS(dataset_open(output, "train", &dataset), STATUS_VERSION, "train-00000.h5");
    end();
}

static void check_nothing_half_done(void)
{
    char **names;
    size_t count;
    CHECK_OK(directory_list(output, &names, &count));
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(names[i]);
        bool whole = strcmp(names[i] + length - 3, ".h5") == 0 || strcmp(names[i], "manifest.json") == 0;
        if (!whole) TEST_FAIL("%s is left over", names[i]);
    }
    names_free(names, count);
}

/* A fault at every passage of every point: either all is well or the file is named, nothing is half there, and the
 * next import makes it whole. */
static void test_faults(void)
{
    begin();
    const char *const points[] = {"open:nospace", "write:nospace", "sync:nospace", "rename:nospace", "dirsync:nospace",
                                  "write:short"};
    for (size_t p = 0; p < sizeof points / sizeof points[0]; p++) {
        bool struck = true;
        for (int count = 0; struck && count < 400; count += p == 1 || p == 5 ? 5 : 1) {
            char specification[64];
            int64_t images, segments;
            ImportOptions options = fixture_import(&fixture, output);
            snprintf(specification, sizeof specification, "%s:%d", points[p], count);
            CHECK_OK(files_inject(specification));
            Status status = import_everything(&options, NULL);
            CHECK_OK(files_inject(NULL));
            struck = status != OK;
            if (struck && (status_code(status) != STATUS_NO_SPACE || strstr(status_message(status), output) == NULL))
                TEST_FAIL("%s: %s", specification, status_message(status));
            status_free(status);
            check_nothing_half_done();
            if (struck && count % 3 == 0) {
                CHECK_OK(import_everything(&options, NULL));
                CHECK_OK(dataset_verify(output, &images, &segments));
            }
            CHECK_OK(directory_remove(output));
        }
        CHECK(!struck || p == 5);
    }
    end();
}

/* Killed at any write, flush or rename, and run again. */
static void test_kills(void)
{
    begin();
    const char *const points[] = {"write:kill", "sync:kill", "rename:kill", "dirsync:kill"};
    int64_t images, segments;
    for (size_t p = 0; p < sizeof points / sizeof points[0]; p++) {
        for (int count = 0; count < 60; count += p == 0 ? 7 : 1) {
            char specification[64];
            ImportOptions options = fixture_import(&fixture, output);
            snprintf(specification, sizeof specification, "%s:%d", points[p], count);
            fflush(stdout);
            pid_t child = fork();
            if (child == 0) {
                status_free(files_inject(specification));
                status_free(import_everything(&options, NULL));
                _exit(0);
            }
            int how;
            CHECK(waitpid(child, &how, 0) == child);
            bool killed = WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL;
            CHECK_OK(import_everything(&options, NULL));
            CHECK_OK(dataset_verify(output, &images, &segments));
            CHECK_INT(images, 10);
            check_nothing_half_done();
            CHECK_OK(directory_remove(output));
            if (!killed) break;
        }
    }
    end();
}

/* A limit on file size is a disk that is full at any byte. */
static void test_size_limits(void)
{
    begin();
    ImportOptions options = fixture_import(&fixture, output);
    for (int64_t limit = 0; limit < 36000; limit += 2300) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            signal(SIGXFSZ, SIG_IGN);
            const struct rlimit bytes = {(rlim_t)limit, (rlim_t)limit};
            setrlimit(RLIMIT_FSIZE, &bytes);
            Status status = import_everything(&options, NULL);
            bool named = status != OK && strstr(status_message(status), output) != NULL;
            if (!named) fprintf(stderr, "limit %lld: %s\n", (long long)limit, status_message(status));
            _exit(status == OK ? 1 : named ? 0 : 2);
        }
        int how;
        CHECK(waitpid(child, &how, 0) == child);
        CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0);
        check_nothing_half_done();
    }
    end();
}

TEST_MAIN(TEST(test_read_back), TEST(test_unseen_rules), TEST(test_long_side), TEST(test_many_segments),
          TEST(test_run_again), TEST(test_every_byte_counts), TEST(test_other_version), TEST(test_faults),
          TEST(test_kills), TEST(test_size_limits))
