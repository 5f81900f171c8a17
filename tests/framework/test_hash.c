#include "framework/hash.h"

#include "framework/files.h"
#include "framework/memory.h"
#include "tests/test.h"

static void test_known(void)
{
    /* XXH3-128 of nothing with seed 0, from xxHash's own tests. */
    char hex[HASH_HEX_SIZE];
    hash_to_hex(hash_bytes("", 0), hex);
    CHECK_STRING(hex, "99aa06d3014798d86001c324468d497f");
}

static void test_hex(void)
{
    Hash128 hash = {.low = 0x0123456789abcdefu, .high = 0x00000000deadbeefu}, back;
    char hex[HASH_HEX_SIZE];
    hash_to_hex(hash, hex);
    CHECK_STRING(hex, "00000000deadbeef0123456789abcdef");
    CHECK(hash_from_hex(hex, &back) && hash_equal(hash, back));
    CHECK(!hash_from_hex("", &back));
    CHECK(!hash_from_hex("00000000deadbeef0123456789abcde", &back));
    CHECK(!hash_from_hex("00000000deadbeef0123456789abcdef0", &back));
    CHECK(!hash_from_hex("00000000deadbeef0123456789abcdeg", &back));
    CHECK(!hash_equal(hash, (Hash128){.low = hash.low}));
    CHECK(!hash_equal(hash, (Hash128){.high = hash.high}));
}

static void test_streaming(void)
{
    unsigned char data[3000];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 31 % 251);
    Hash128 whole = hash_bytes(data, sizeof data);
    size_t steps[] = {1, 7, 64, 1000, 3000};
    for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
        Hasher *hasher = hasher_create();
        CHECK(hasher != NULL);
        for (size_t at = 0; at < sizeof data; at += steps[s])
            hasher_add(hasher, data + at, at + steps[s] < sizeof data ? steps[s] : sizeof data - at);
        CHECK(hash_equal(hasher_result(hasher), whole));
        CHECK(hash_equal(hasher_result(hasher), whole)); /* asking changes nothing */
        hasher_destroy(hasher);
    }
    hasher_destroy(NULL);
    memory_fail_after(0);
    CHECK(hasher_create() == NULL);
}

static Hash128 of_strings(const char *a, const char *b)
{
    Hasher *hasher = hasher_create();
    hasher_add_string(hasher, a);
    hasher_add_string(hasher, b);
    hasher_add_integer(hasher, -1);
    Hash128 hash = hasher_result(hasher);
    hasher_destroy(hasher);
    return hash;
}

static void test_framing(void)
{
    CHECK(hash_equal(of_strings("ab", "c"), of_strings("ab", "c")));
    CHECK(!hash_equal(of_strings("ab", "c"), of_strings("a", "bc")));
    CHECK(!hash_equal(of_strings("abc", ""), of_strings("", "abc")));
}

static void test_file(void)
{
    char path[] = "/tmp/zeroth-hash-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    enum { BYTES = 1000003 };
    char *data = malloc(BYTES);
    for (int i = 0; i < BYTES; i++) data[i] = (char)(i % 127);
    CHECK_OK(file_write(path, data, BYTES));
    Hash128 hash;
    int64_t bytes = 0;
    CHECK_OK(hash_file(path, &hash, &bytes));
    CHECK_INT(bytes, BYTES);
    CHECK(hash_equal(hash, hash_bytes(data, BYTES)));
    for (int64_t point = 0; point < 2; point++) {
        memory_fail_after(point);
        CHECK_FAILS(hash_file(path, &hash, NULL), STATUS_NO_MEMORY, path);
    }
    memory_fail_after(-1);
    free(data);
    unlink(path);
    CHECK_FAILS(hash_file(path, &hash, NULL), STATUS_NOT_FOUND, path);
}

/* A part's hash is that of its own bytes, whatever comes before it, and leaves the whole as it is. */
static void test_parts(void)
{
    Hasher *plain = hasher_create(), *parted = hasher_create(), *alone = hasher_create();
    Hash128 hash;
    hasher_add_string(plain, "before");
    hasher_add_string(plain, "first");
    hasher_add_integer(plain, 7);
    CHECK_INT(hasher_part_count(plain), 0);
    hasher_add_string(parted, "before");
    CHECK_OK(hasher_begin_part(parted, "a"));
    hasher_add_string(parted, "first");
    CHECK_OK(hasher_begin_part(parted, "b"));
    hasher_add_integer(parted, 7);
    hasher_add_string(alone, "first");
    CHECK(hash_equal(hasher_result(parted), hasher_result(plain)));
    CHECK_INT(hasher_part_count(parted), 2);
    CHECK_STRING(hasher_part(parted, 0, &hash), "a");
    CHECK(hash_equal(hash, hasher_result(alone)));
    CHECK_STRING(hasher_part(parted, 1, &hash), "b");
    CHECK(!hash_equal(hash, hasher_result(alone)));
    for (int i = 0; i < 2 * HASHER_MAX_PARTS; i++) CHECK_OK(hasher_begin_part(parted, "more"));
    CHECK_INT(hasher_part_count(parted), HASHER_MAX_PARTS);
    hasher_destroy(plain);
    hasher_destroy(parted);
    hasher_destroy(alone);
    hasher_destroy(NULL);
}

TEST_MAIN(TEST(test_parts), TEST(test_known), TEST(test_hex), TEST(test_streaming), TEST(test_framing), TEST(test_file))
