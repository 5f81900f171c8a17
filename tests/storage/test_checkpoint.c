#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "storage/checkpoint.h"
#include "tests/storage/fixture.h"

static char directory[256], path[300];
static float weights[1000];
static int64_t step = 42;
static const double rates[3] = {0.5, 1e-300, -1};

static void begin(void)
{
    temporary_directory(directory);
    snprintf(path, sizeof path, "%s/state.h5", directory);
    for (int i = 0; i < 1000; i++) weights[i] = (float)i * 0.25f;
}

static void end(void)
{
    CHECK_OK(directory_remove(directory));
}

static Status write_one(float first)
{
    weights[0] = first;
    const NamedArray arrays[] = {
        {"backbone.layer1.0.weight", ARRAY_F32, 4, {10, 5, 4, 5}, weights},
        {"step", ARRAY_I64, 0, {0}, &step},
        {"rates", ARRAY_F64, 1, {3}, (void *)rates},
        {"empty", ARRAY_U8, 2, {0, 7}, NULL},
        {"header", ARRAY_I32, 1, {1}, (int32_t[]){7}},
    };
    return checkpoint_write(path, "segmenter", "{\"a\": \"\xc3\xa9\"}", arrays, 5);
}

static void test_round_trip(void)
{
    begin();
    CHECK_OK(write_one(1));
    Checkpoint *checkpoint;
    CHECK_OK(checkpoint_read(path, "segmenter", &checkpoint));
    CHECK_STRING(checkpoint_header(checkpoint), "{\"a\": \"\xc3\xa9\"}");
    CHECK_STRING(checkpoint_kind(checkpoint), "segmenter");
    CHECK_INT(checkpoint_count(checkpoint), 5);
    CHECK_STRING(checkpoint_array(checkpoint, 0)->name, "backbone.layer1.0.weight");
    CHECK_STRING(checkpoint_array(checkpoint, 3)->name, "empty");
    float read[1000];
    double real[3];
    int64_t integer, shape[4] = {10, 5, 4, 5}, three = 3;
    CHECK_OK(checkpoint_get(checkpoint, "backbone.layer1.0.weight", ARRAY_F32, 4, shape, read));
    CHECK(memcmp(read, weights, sizeof read) == 0);
    CHECK_OK(checkpoint_get(checkpoint, "step", ARRAY_I64, 0, NULL, &integer));
    CHECK_INT(integer, 42);
    CHECK_OK(checkpoint_get(checkpoint, "rates", ARRAY_F64, 1, &three, real));
    CHECK(memcmp(real, rates, sizeof real) == 0);
    CHECK_FAILS(checkpoint_get(checkpoint, "nothing", ARRAY_F32, 1, &three, read), STATUS_NOT_FOUND, "nothing");
    CHECK_FAILS(checkpoint_get(checkpoint, "rates", ARRAY_F32, 1, &three, read), STATUS_INVALID, "rates");
    shape[3] = 6;
    CHECK_FAILS(checkpoint_get(checkpoint, "backbone.layer1.0.weight", ARRAY_F32, 4, shape, read), STATUS_INVALID,
                "is [10, 5, 4, 5], not [10, 5, 4, 6]");
    CHECK(checkpoint_find(checkpoint, "backbone") == NULL);
    char digest[64];
    snprintf(digest, sizeof digest, "%s", checkpoint_digest(checkpoint));
    CHECK_INT(strlen(digest), 32);
    checkpoint_destroy(checkpoint);
    /* The digest stands for the contents: the same again, another for others. */
    CHECK_OK(write_one(1));
    CHECK_OK(checkpoint_read(path, NULL, &checkpoint));
    CHECK_STRING(checkpoint_digest(checkpoint), digest);
    checkpoint_destroy(checkpoint);
    CHECK_OK(write_one(2));
    CHECK_OK(checkpoint_read(path, NULL, &checkpoint));
    CHECK(strcmp(checkpoint_digest(checkpoint), digest) != 0);
    checkpoint_destroy(checkpoint);
    CHECK_FAILS(checkpoint_read(path, "generator", &checkpoint), STATUS_INVALID, "is a segmenter, not a generator");
    CHECK_FAILS(checkpoint_read("/nowhere.h5", "generator", &checkpoint), STATUS_NOT_FOUND, "/nowhere.h5");
    end();
}

static void test_any_damage_is_found(void)
{
    begin();
    CHECK_OK(write_one(1));
    char *data;
    size_t bytes;
    Checkpoint *checkpoint;
    CHECK_OK(file_read(path, 0, &data, &bytes));
    FILE *file = fopen(path, "r+b");
    for (size_t i = 0; i < bytes; i += i < 500 ? 1 : 13) {
        fseek(file, (long)i, SEEK_SET);
        fputc(data[i] ^ (1 << i % 8), file);
        fflush(file);
        Status status = checkpoint_read(path, "segmenter", &checkpoint);
        if (status == OK || strstr(status_message(status), path) == NULL) TEST_FAIL("byte %zu", i);
        status_free(status);
        fseek(file, (long)i, SEEK_SET);
        fputc(data[i], file);
        fflush(file);
    }
    fclose(file);
    for (size_t cut = 0; cut < bytes; cut += 101) {
        CHECK_OK(file_write(path, data, cut));
        Status status = checkpoint_read(path, "segmenter", &checkpoint);
        CHECK(status != OK && strstr(status_message(status), path) != NULL);
        status_free(status);
    }
    memory_free(data);
    end();
}

/* After any fault the file is the old one or the new one, and nothing else is there. */
static void check_old_or_new(float old_first, float new_first)
{
    Checkpoint *checkpoint;
    char **names;
    size_t count;
    CHECK_OK(checkpoint_read(path, "segmenter", &checkpoint));
    float first = *(const float *)checkpoint_array(checkpoint, 0)->data;
    CHECK(first == old_first || first == new_first);
    checkpoint_destroy(checkpoint);
    CHECK_OK(directory_list(directory, &names, &count));
    CHECK_INT(count, 1);
    names_free(names, count);
}

static void test_faults(void)
{
    begin();
    const char *const points[] = {"open:nospace", "write:nospace", "write:short", "sync:nospace", "rename:nospace"};
    CHECK_OK(write_one(1));
    for (size_t p = 0; p < 5; p++)
        for (int count = 0; count < 10; count++) {
            char specification[64];
            snprintf(specification, sizeof specification, "%s:%d", points[p], count);
            CHECK_OK(files_inject(specification));
            Status status = write_one(2);
            CHECK_OK(files_inject(NULL));
            if (status != OK) {
                CHECK_INT(status_code(status), STATUS_NO_SPACE);
                CHECK(strstr(status_message(status), "state.h5") != NULL);
                check_old_or_new(1, 1);
            } else {
                check_old_or_new(2, 2);
                CHECK_OK(write_one(1));
            }
            status_free(status);
        }
    end();
}

static void test_kills(void)
{
    begin();
    const char *const points[] = {"open:kill", "write:kill", "sync:kill", "rename:kill", "dirsync:kill"};
    CHECK_OK(write_one(1));
    for (size_t p = 0; p < 5; p++)
        for (int count = 0; count < 8; count++) {
            char specification[64];
            snprintf(specification, sizeof specification, "%s:%d", points[p], count);
            fflush(stdout);
            pid_t child = fork();
            if (child == 0) {
                status_free(files_inject(specification));
                status_free(write_one(2));
                _exit(0);
            }
            int how;
            Checkpoint *checkpoint;
            CHECK(waitpid(child, &how, 0) == child);
            CHECK_OK(checkpoint_read(path, "segmenter", &checkpoint));
            checkpoint_destroy(checkpoint);
        }
    end();
}

/* Without memory anywhere: a Status, or success. */
static void test_no_memory(void)
{
    begin();
    CHECK_OK(write_one(1));
    for (int64_t after = 0; after < 120; after++) {
        Checkpoint *checkpoint = NULL;
        memory_fail_after(after);
        Status status = write_one(2);
        memory_fail_after(-1);
        CHECK(status == OK || status_code(status) == STATUS_NO_MEMORY);
        status_free(status);
        memory_fail_after(after);
        status = checkpoint_read(path, "segmenter", &checkpoint);
        memory_fail_after(-1);
        CHECK(status == OK || status_code(status) == STATUS_NO_MEMORY);
        if (status == OK) checkpoint_destroy(checkpoint);
        status_free(status);
    }
    end();
}

TEST_MAIN(TEST(test_round_trip), TEST(test_any_damage_is_found), TEST(test_faults), TEST(test_kills),
          TEST(test_no_memory))
