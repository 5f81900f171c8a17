#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "storage/feature_store.h"
#include "tests/storage/fixture.h"

enum { CLASSES = 4, DIM = 6, QUERIES = 5, VECTOR = 3 };
static char directory[256], path[300];
static ClassEntry entries[CLASSES] = {{.id = 1, .name = "a", .is_thing = true}, {.id = 2, .name = "b", .is_unseen = true},
                                      {.id = 3, .name = "c"}, {.id = 4, .name = "d"}};
static float vectors[CLASSES * VECTOR], head[4 * DIM], bias[4];

static FeatureInfo make_info(void)
{
    for (int i = 0; i < CLASSES * VECTOR; i++) vectors[i] = (float)i;
    for (int i = 0; i < 4 * DIM; i++) head[i] = (float)i * 0.5f;
    for (int i = 0; i < 4; i++) bias[i] = (float)-i;
    return (FeatureInfo){.classes = {.count = CLASSES, .seen_count = 3, .unseen_count = 1, .entries = entries},
                         .embed_dim = DIM, .queries = QUERIES, .vector_dim = VECTOR, .class_vectors = vectors,
                         .head_weight = head, .head_bias = bias, .unseen_rule = "drop", .segmenter_digest = "0123abcd"};
}

/* The n-th test image: sizes, a picture for even n, all a function of n. */
static FeatureImage make_image(int n)
{
    FeatureImage image = {.image_id = 100 + n, .height = 3 + n, .width = 4, .mask_height = 2, .mask_width = 2 + n,
                          .segment_count = n % 3};
    snprintf(image.file_name, sizeof image.file_name, "%d.jpg", n);
    size_t pixels = (size_t)image.height * 4, masks = (size_t)(QUERIES * 2 * image.mask_width);
    image.embeddings = memory_alloc(QUERIES * DIM * sizeof(float));
    image.masks = memory_alloc(masks * sizeof(float));
    image.map = memory_alloc(pixels * sizeof(uint16_t));
    image.segments = memory_alloc(3 * sizeof(Segment));
    image.rgb = n % 2 == 0 ? memory_alloc(pixels * 3) : NULL;
    for (int i = 0; i < QUERIES * DIM; i++) image.embeddings[i] = (float)(i + n);
    for (size_t i = 0; i < masks; i++) image.masks[i] = (float)i - (float)n;
    for (size_t i = 0; i < pixels; i++) image.map[i] = (uint16_t)(i % (size_t)(image.segment_count + 1));
    for (int i = 0; i < 3; i++)
        image.segments[i] = (Segment){.id = 1000 + i, .class_index = (i + n) % CLASSES, .area = 5 + i, .is_crowd = i == 1};
    for (size_t i = 0; image.rgb != NULL && i < pixels * 3; i++) image.rgb[i] = (uint8_t)(i + (size_t)n);
    return image;
}

static Status write_store(int images, int blocks)
{
    FeatureInfo info = make_info();
    FeatureWriter *writer;
    TRY(feature_writer_create(path, &info, &writer));
    Status status = OK;
    for (int n = 0; status == OK && n < (images > blocks ? images : blocks); n++) {
        float embeddings[3 * DIM];
        const int32_t labels[3] = {0, CLASSES, 2};
        for (int i = 0; i < 3 * DIM; i++) embeddings[i] = (float)(100 * n + i);
        FeatureImage image = make_image(n);
        if (n < blocks) status = feature_writer_add_train(writer, embeddings, labels, 3);
        if (status == OK && n < images) status = feature_writer_add_image(writer, &image);
        feature_image_clear(&image);
    }
    if (status == OK) return feature_writer_finish(writer);
    feature_writer_abandon(writer);
    return status;
}

static void begin(void)
{
    temporary_directory(directory);
    snprintf(path, sizeof path, "%s/features.h5", directory);
}

static void end(void)
{
    CHECK_OK(directory_remove(directory));
}

static void compare_image(FeatureStore *store, int n)
{
    FeatureImage expected = make_image(n), image;
    CHECK_OK(feature_store_image(store, n, &image));
    size_t pixels = (size_t)expected.height * 4;
    CHECK_INT(image.image_id, expected.image_id);
    CHECK_STRING(image.file_name, expected.file_name);
    CHECK(image.height == expected.height && image.width == 4 && image.mask_width == expected.mask_width);
    CHECK(memcmp(image.embeddings, expected.embeddings, QUERIES * DIM * sizeof(float)) == 0);
    CHECK(memcmp(image.masks, expected.masks, (size_t)(QUERIES * 2 * expected.mask_width) * sizeof(float)) == 0);
    CHECK(memcmp(image.map, expected.map, pixels * 2) == 0);
    CHECK_INT(image.segment_count, expected.segment_count);
    for (int i = 0; i < image.segment_count; i++) {
        CHECK_INT(image.segments[i].id, expected.segments[i].id);
        CHECK_INT(image.segments[i].class_index, expected.segments[i].class_index);
        CHECK_INT(image.segments[i].area, expected.segments[i].area);
        CHECK_INT(image.segments[i].is_crowd, expected.segments[i].is_crowd);
    }
    CHECK((image.rgb == NULL) == (expected.rgb == NULL));
    if (image.rgb != NULL) CHECK(memcmp(image.rgb, expected.rgb, pixels * 3) == 0);
    feature_image_clear(&expected);
    feature_image_clear(&image);
}

static void test_round_trip(void)
{
    begin();
    const int shapes[][2] = {{4, 5}, {0, 3}, {3, 0}, {0, 0}}; /* images, blocks of training rows */
    for (size_t s = 0; s < 4; s++) {
        FeatureStore *store;
        const float *embeddings;
        const int32_t *labels;
        CHECK_OK(write_store(shapes[s][0], shapes[s][1]));
        CHECK_OK(feature_store_verify(path));
        CHECK_OK(feature_store_open(path, &store));
        const FeatureInfo *info = feature_store_info(store);
        CHECK(info->embed_dim == DIM && info->queries == QUERIES && info->vector_dim == VECTOR);
        CHECK(info->classes.count == CLASSES && info->classes.entries[1].is_unseen && info->classes.seen_count == 3);
        CHECK(memcmp(info->class_vectors, vectors, sizeof vectors) == 0);
        CHECK(memcmp(info->head_weight, head, sizeof head) == 0 && memcmp(info->head_bias, bias, sizeof bias) == 0);
        CHECK_STRING(info->unseen_rule, "drop");
        CHECK_STRING(info->segmenter_digest, "0123abcd");
        CHECK_INT(feature_store_train_rows(store), 3 * shapes[s][1]);
        CHECK_INT(feature_store_images(store), shapes[s][0]);
        CHECK_OK(feature_store_train(store, &embeddings, &labels));
        for (int64_t row = 0; row < feature_store_train_rows(store); row++) {
            CHECK_INT(labels[row], row % 3 == 0 ? 0 : row % 3 == 1 ? CLASSES : 2);
            CHECK_INT(embeddings[row * DIM], 100 * (row / 3) + row % 3 * DIM);
        }
        for (int n = shapes[s][0] - 1; n >= 0; n--) compare_image(store, n);
        FeatureImage image;
        CHECK_FAILS(feature_store_image(store, shapes[s][0], &image), STATUS_INTERNAL, "features.h5");
        feature_store_close(store);
    }
    char **names;
    size_t count;
    CHECK_OK(directory_list(directory, &names, &count));
    CHECK_INT(count, 1);
    names_free(names, count);
    end();
}

static void test_what_may_not_enter(void)
{
    begin();
    FeatureInfo info = make_info();
    FeatureWriter *writer;
    CHECK_OK(feature_writer_create(path, &info, &writer));
    float embeddings[DIM] = {0};
    const int32_t unseen = 1, beyond = CLASSES + 1, negative = -1, seen = 0;
    CHECK_FAILS(feature_writer_add_train(writer, embeddings, &unseen, 1), STATUS_INTERNAL, "no seen class");
    CHECK_FAILS(feature_writer_add_train(writer, embeddings, &beyond, 1), STATUS_INTERNAL, "no seen class");
    CHECK_FAILS(feature_writer_add_train(writer, embeddings, &negative, 1), STATUS_INTERNAL, "no seen class");
    embeddings[2] = NAN;
    CHECK_FAILS(feature_writer_add_train(writer, embeddings, &seen, 1), STATUS_NON_FINITE, "features.h5");
    FeatureImage image = make_image(1);
    image.masks[3] = INFINITY;
    CHECK_FAILS(feature_writer_add_image(writer, &image), STATUS_NON_FINITE, "1.jpg");
    feature_image_clear(&image);
    feature_writer_abandon(writer);
    CHECK(!file_exists(path));
    end();
}

/* Readers take a map's numbers for places of segments, so one that is none never reaches them. */
static void test_wrong_map(void)
{
    begin();
    FeatureInfo info = make_info();
    FeatureWriter *writer;
    FeatureStore *store;
    FeatureImage image = make_image(2), found;
    image.map[5] = 3;
    CHECK_OK(feature_writer_create(path, &info, &writer));
    CHECK_OK(feature_writer_add_image(writer, &image));
    CHECK_OK(feature_writer_finish(writer));
    feature_image_clear(&image);
    CHECK_OK(feature_store_open(path, &store));
    CHECK_FAILS(feature_store_image(store, 0, &found), STATUS_CORRUPT, "2.jpg: its map holds 3, of 2 segments");
    feature_store_close(store);
    CHECK_FAILS(feature_store_verify(path), STATUS_CORRUPT, "its map holds 3");
    end();
}

static void test_any_damage_is_found(void)
{
    begin();
    CHECK_OK(write_store(3, 2));
    char *data;
    size_t bytes;
    CHECK_OK(file_read(path, 0, &data, &bytes));
    FILE *file = fopen(path, "r+b");
    for (size_t i = 0; i < bytes; i += i < 600 ? 1 : 7) {
        fseek(file, (long)i, SEEK_SET);
        fputc(data[i] ^ (1 << i % 8), file);
        fflush(file);
        Status status = feature_store_verify(path);
        if (status == OK || strstr(status_message(status), "features.h5") == NULL) TEST_FAIL("byte %zu", i);
        status_free(status);
        fseek(file, (long)i, SEEK_SET);
        fputc(data[i], file);
        fflush(file);
    }
    fclose(file);
    for (size_t cut = 0; cut < bytes; cut += 97) {
        CHECK_OK(file_write(path, data, cut));
        Status status = feature_store_verify(path);
        CHECK(status != OK);
        status_free(status);
    }
    memory_free(data);
    end();
}

static void test_faults_and_kills(void)
{
    begin();
    const char *const points[] = {"open:nospace", "write:nospace", "write:short", "sync:nospace", "rename:nospace",
                                  "write:kill", "sync:kill", "rename:kill"};
    for (size_t p = 0; p < sizeof points / sizeof points[0]; p++)
        for (int count = 0; count < 40; count += 3) {
            char specification[64], **names;
            size_t left;
            snprintf(specification, sizeof specification, "%s:%d", points[p], count);
            fflush(stdout);
            pid_t child = fork();
            if (child == 0) {
                status_free(files_inject(specification));
                Status status = write_store(2, 2);
                _exit(status == OK ? 0 : status_code(status) == STATUS_NO_SPACE && !file_exists(path) ? 1 : 2);
            }
            int how;
            CHECK(waitpid(child, &how, 0) == child);
            if (WIFEXITED(how)) CHECK(WEXITSTATUS(how) < 2);
            if (WIFEXITED(how) && WEXITSTATUS(how) == 0) CHECK_OK(feature_store_verify(path));
            if (WIFSIGNALED(how)) CHECK_INT(WTERMSIG(how), SIGKILL);
            if (WIFSIGNALED(how) && file_exists(path)) CHECK_OK(feature_store_verify(path));
            CHECK_OK(directory_list(directory, &names, &left));
            CHECK(left <= 1); /* the store, or after a kill the temporary file of its last step */
            for (size_t i = 0; i < left; i++) {
                char *name = path_join(directory, names[i]);
                CHECK_OK(file_remove(name));
                memory_free(name);
            }
            names_free(names, left);
        }
    end();
}

TEST_MAIN(TEST(test_round_trip), TEST(test_what_may_not_enter), TEST(test_wrong_map), TEST(test_any_damage_is_found),
          TEST(test_faults_and_kills))
