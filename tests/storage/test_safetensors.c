#include <stdio.h>

#include "storage/safetensors.h"
#include "tests/storage/fixture.h"

static char directory[256], path[300];

/* A file of that header and `data_bytes` of data: bytes 0, 1, 2, ... */
static void write_file(const char *header, size_t claimed, size_t data_bytes)
{
    size_t length = strlen(header);
    unsigned char *bytes = malloc(8 + length + data_bytes);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)claimed >> (8 * i));
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < data_bytes; i++) bytes[8 + length + i] = (unsigned char)i;
    snprintf(path, sizeof path, "%s/w.safetensors", directory);
    CHECK_OK(file_write(path, bytes, 8 + length + data_bytes));
    free(bytes);
}

static void test_types(void)
{
    temporary_directory(directory);
    const char *header = "{\"__metadata__\":{\"format\":\"pt\"},"
                         "\"f\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
                         "\"h\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[8,16]},"
                         "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[16,20]},"
                         "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[20,24]},"
                         "\"none\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[24,24]},"
                         "\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[24,32]}}";
    write_file(header, strlen(header), 32);
    const float real[2] = {1.5f, -2.0f}, scalar = 7;
    const uint16_t half[4] = {0x3c00, 0xc000, 0x0001, 0x7c00}, brain[2] = {0x3f80, 0xc040};
    char *data;
    size_t bytes;
    CHECK_OK(file_read(path, 0, &data, &bytes));
    char *values = data + 8 + strlen(header);
    memcpy(values, real, 8);
    memcpy(values + 8, half, 8);
    memcpy(values + 16, brain, 4);
    memcpy(values + 20, &scalar, 4);
    CHECK_OK(file_write(path, data, bytes));
    memory_free(data);
    Safetensors *file;
    CHECK_OK(safetensors_open(path, &file));
    CHECK_INT(safetensors_count(file), 6);
    CHECK(safetensors_has(file, "h") && !safetensors_has(file, "__metadata__"));
    CHECK_STRING(safetensors_name(file, 0), "f");
    float read[4];
    CHECK_OK(safetensors_read(file, "f", 2, (int64_t[]){2, 1}, read));
    CHECK(read[0] == 1.5f && read[1] == -2.0f);
    CHECK_OK(safetensors_read(file, "h", 1, (int64_t[]){4}, read));
    CHECK(read[0] == 1.0f && read[1] == -2.0f && read[2] == 0x1p-24f && isinf(read[3]));
    CHECK_OK(safetensors_read(file, "b", 1, (int64_t[]){2}, read));
    CHECK(read[0] == 1.0f && read[1] == -3.0f);
    CHECK_OK(safetensors_read(file, "scalar", 0, NULL, read));
    CHECK(read[0] == 7.0f);
    CHECK_OK(safetensors_read(file, "none", 2, (int64_t[]){0, 3}, read));
    CHECK_FAILS(safetensors_read(file, "f", 1, (int64_t[]){2}, read), STATUS_INVALID, "tensor f is [2, 1], not [2]");
    CHECK_FAILS(safetensors_read(file, "i", 1, (int64_t[]){1}, read), STATUS_INVALID, "type I64");
    CHECK_FAILS(safetensors_read(file, "x", 1, (int64_t[]){1}, read), STATUS_NOT_FOUND, "no tensor x");
    safetensors_close(file);
    CHECK_OK(directory_remove(directory));
}

static void test_hostile_headers(void)
{
#define ONE(dtype, shape, offsets) "{\"a\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
    static const struct { const char *header, *message; } bad[] = {
        {"[]", "isn't an object"},
        {"{\"a\":5}", "no dtype"},
        {"{\"a\":", "w.safetensors"},
        {ONE("\"F31\"", "[2]", "[0,8]"), "unknown dtype"},
        {ONE("\"F32\"", "[2]", "[0,9]"), "outside the file"},
        {ONE("\"F32\"", "[2]", "[-8,0]"), "outside the file"},
        {ONE("\"F32\"", "[2]", "[8,0]"), "outside the file"},
        {ONE("\"F32\"", "[2]", "[0,9223372036854775807]"), "outside the file"},
        {ONE("\"F32\"", "[3]", "[0,8]"), "don't fit"},
        {ONE("\"F32\"", "[-2]", "[0,8]"), "impossible shape"},
        {ONE("\"F32\"", "[4294967296,4294967296]", "[0,8]"), "impossible shape"},
        {ONE("\"F32\"", "[4611686018427387904]", "[0,8]"), "don't fit"},
        {ONE("\"F32\"", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), "8 sides"},
        {ONE("\"F32\"", "[1.5]", "[0,8]"), "impossible shape"},
        {ONE("\"F32\"", "[2]", "[0]"), "no data_offsets"},
        {ONE("\"F32\"", "[1]", "[0,4]"), "4 bytes after the last tensor"},
        {ONE("\"F32\"", "[1]", "[4,8]"), "hole"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],"
         "\"data_offsets\":[4,8]}}", "overlaps"},
    };
    temporary_directory(directory);
    Safetensors *file;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_file(bad[i].header, strlen(bad[i].header), 8);
        Status status = safetensors_open(path, &file);
        if (status_code(status) != STATUS_INVALID || strstr(status_message(status), bad[i].message) == NULL)
            TEST_FAIL("header %zu: %s", i, status == OK ? "read" : status_message(status));
        status_free(status);
    }
    const char *good = ONE("\"F32\"", "[2]", "[0,8]");
    write_file(good, (size_t)1 << 62, 8);
    CHECK_FAILS(safetensors_open(path, &file), STATUS_INVALID, "header would have");
    write_file(good, strlen(good) + 9, 8);
    CHECK_FAILS(safetensors_open(path, &file), STATUS_INVALID, "w.safetensors");
    write_file(good, 0, 8);
    CHECK_FAILS(safetensors_open(path, &file), STATUS_INVALID, "w.safetensors");
    CHECK_OK(file_write(path, "short", 5));
    CHECK_FAILS(safetensors_open(path, &file), STATUS_INVALID, "too short");
    CHECK_FAILS(safetensors_open("/nowhere", &file), STATUS_NOT_FOUND, "/nowhere");
    /* Cut anywhere, changed anywhere: an error or a file, but never a crash. */
    write_file(good, strlen(good), 8);
    char *data;
    size_t bytes;
    CHECK_OK(file_read(path, 0, &data, &bytes));
    for (size_t i = 0; i < bytes; i++) {
        CHECK_OK(file_write(path, data, i));
        Status status = safetensors_open(path, &file);
        CHECK(status != OK);
        status_free(status);
        data[i] = (char)(data[i] ^ (1 << i % 8));
        CHECK_OK(file_write(path, data, bytes));
        status = safetensors_open(path, &file);
        if (status == OK) safetensors_close(file);
        status_free(status);
        data[i] = (char)(data[i] ^ (1 << i % 8));
    }
    memory_free(data);
    CHECK_OK(directory_remove(directory));
}

static void test_write(void)
{
    temporary_directory(directory);
    snprintf(path, sizeof path, "%s/w.safetensors", directory);
    const float a[6] = {1, 2, 3, 4, 5, 6}, b = -7;
    const char *const metadata[] = {"format", "pt", "source", "a \"name\""};
    SafetensorsEntry entries[] = {{"layer.a", 2, (int64_t[]){3, 2}, a}, {"b", 0, NULL, &b}, {"none", 1, (int64_t[]){0}, a}};
    Safetensors *file;
    CHECK_OK(safetensors_write(path, entries, 3, metadata, 2));
    CHECK_OK(safetensors_open(path, &file));
    CHECK_INT(safetensors_count(file), 3);
    CHECK_STRING(safetensors_metadata(file, "source"), "a \"name\"");
    CHECK(safetensors_metadata(file, "sauce") == NULL);
    float read[6];
    CHECK_OK(safetensors_read(file, "layer.a", 2, (int64_t[]){3, 2}, read));
    CHECK(memcmp(read, a, sizeof a) == 0);
    CHECK_OK(safetensors_read(file, "b", 0, NULL, read));
    CHECK(read[0] == -7.0f);
    const char *type;
    int rank;
    const int64_t *shape;
    CHECK(safetensors_describe(file, "layer.a", &type, &rank, &shape) && rank == 2 && shape[0] == 3 && shape[1] == 2);
    CHECK_STRING(type, "F32");
    CHECK(!safetensors_describe(file, "c", &type, &rank, &shape));
    safetensors_close(file);
    CHECK_FAILS(safetensors_write("/nowhere/w.safetensors", entries, 3, metadata, 2), STATUS_NOT_FOUND, "/nowhere");
    CHECK_OK(directory_remove(directory));
}

static void test_published_weights(void)
{
    const char *shared = getenv("ZEROTH_SHARED");
    char weights[400];
    snprintf(weights, sizeof weights, "%s/data/mobilenet_v2_imagenet.safetensors", shared != NULL ? shared : "../shared");
    if (!file_exists(weights)) SKIP("no mobilenet_v2_imagenet.safetensors");
    Safetensors *file;
    CHECK_OK(safetensors_open(weights, &file));
    float values[32 * 3 * 9];
    CHECK_OK(safetensors_read(file, "features.0.0.weight", 4, (int64_t[]){32, 3, 3, 3}, values));
    for (int i = 0; i < 32 * 27; i++) CHECK(isfinite(values[i]));
    safetensors_close(file);
}

TEST_MAIN(TEST(test_types), TEST(test_hostile_headers), TEST(test_write), TEST(test_published_weights))
