#include "framework/random.h"

#include "tests/test.h"

/* Known answers of Random123's kat_vectors: "philox4x32 10", counter, key,
 * result. */
static void test_known_answers(void)
{
    static const struct {
        uint32_t counter[4], key[2], result[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        Random random = {.used = 4};
        memcpy(random.counter, cases[c].counter, sizeof random.counter);
        memcpy(random.key, cases[c].key, sizeof random.key);
        for (int i = 0; i < 4; i++) CHECK_INT(random_bits(&random), cases[c].result[i]);
    }
}

/* The numbers are part of every result: these must never change. */
static void test_stream_is_fixed(void)
{
    Random random = random_stream(42, RANDOM_INIT, 3, 5);
    CHECK_INT(random_bits(&random), 0xfe0147fc);
    CHECK_INT(random_bits(&random), 0x9dcc7ae7);
    CHECK_INT(random_name_key("backbone.conv1.weight"), (int64_t)0x7c5b4baa0f5ec403);
}

static void test_streams_differ(void)
{
    Random streams[] = {
        random_stream(1, RANDOM_INIT, 0, 0), random_stream(2, RANDOM_INIT, 0, 0), random_stream(1, RANDOM_ORDER, 0, 0),
        random_stream(1, RANDOM_INIT, 1, 0), random_stream(1, RANDOM_INIT, 0, 1),
        random_stream(1ull << 32, RANDOM_INIT, 0, 0), random_stream(1, RANDOM_INIT, 1ull << 32, 0),
        random_stream(1, RANDOM_INIT, 0, 1ull << 32),
    };
    enum { COUNT = sizeof streams / sizeof streams[0] };
    uint64_t firsts[COUNT];
    for (int i = 0; i < COUNT; i++) {
        firsts[i] = (uint64_t)random_bits(&streams[i]) << 32;
        firsts[i] |= random_bits(&streams[i]);
        for (int j = 0; j < i; j++) CHECK(firsts[i] != firsts[j]);
    }
    Random again = random_stream(1, RANDOM_ORDER, 0, 0);
    uint64_t first = (uint64_t)random_bits(&again) << 32;
    CHECK(firsts[2] == (first | random_bits(&again)));
}

static void test_uniform(void)
{
    Random random = random_stream(1, RANDOM_TEST, 0, 0);
    enum { COUNT = 100000 };
    double sum = 0, square = 0, sum_f32 = 0;
    for (int i = 0; i < COUNT; i++) {
        double value = random_uniform(&random);
        float value_f32 = random_uniform_f32(&random);
        CHECK(value >= 0 && value < 1);
        CHECK(value_f32 >= 0 && value_f32 < 1);
        sum += value;
        square += value * value;
        sum_f32 += (double)value_f32;
    }
    CHECK_NEAR(sum / COUNT, 0.5, 0.005); /* more than 5 standard errors */
    CHECK_NEAR(square / COUNT, 1.0 / 3, 0.005);
    CHECK_NEAR(sum_f32 / COUNT, 0.5, 0.005);
}

static void test_normal(void)
{
    Random random = random_stream(1, RANDOM_TEST, 1, 0);
    enum { COUNT = 200000 };
    double moments[5] = {0}, neighbours = 0, last = 0;
    int64_t beyond = 0;
    for (int i = 0; i < COUNT; i++) {
        double value = random_normal(&random), power = 1;
        for (int m = 1; m <= 4; m++) moments[m] += power *= value;
        neighbours += value * last;
        last = value;
        beyond += fabs(value) > 1.959963984540054;
    }
    CHECK_NEAR(moments[1] / COUNT, 0, 0.012);
    CHECK_NEAR(moments[2] / COUNT, 1, 0.017);
    CHECK_NEAR(moments[3] / COUNT, 0, 0.045);
    CHECK_NEAR(moments[4] / COUNT, 3, 0.12);
    CHECK_NEAR(neighbours / COUNT, 0, 0.012);
    CHECK_NEAR((double)beyond / COUNT, 0.05, 0.0025);
}

/* The written-out log, sine and cosine against the library's. */
static void test_normal_is_box_muller(void)
{
    for (uint64_t sample = 0; sample < 20000; sample++) {
        Random bits = random_stream(1, RANDOM_TEST, 2, sample), normals = bits;
        double radius = sqrt(-2 * log(((double)random_bits(&bits) + 0.5) * 0x1p-32));
        double angle = (double)random_bits(&bits) * 0x1p-32 * 2 * 3.14159265358979323846;
        CHECK_NEAR(random_normal(&normals), radius * cos(angle), 1e-13);
        CHECK_NEAR(random_normal(&normals), radius * sin(angle), 1e-13);
    }
}

/* From any position, filling equals drawing, and leaves the same position. */
static void test_fills_equal_draws(void)
{
    static float filled[3000];
    const int64_t counts[] = {0, 1, 2, 3, 4, 5, 255, 256, 257, 1030, 2999};
    for (int start = 0; start < 6; start++) {
        for (int normal_start = 0; normal_start < 2; normal_start++) {
            for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
                Random a = random_stream(9, RANDOM_TEST, 0, 0), b;
                for (int i = 0; i < start; i++) random_bits(&a);
                if (normal_start) random_normal(&a);
                b = a;
                random_fill_normal(&a, filled, counts[c]);
                for (int64_t i = 0; i < counts[c]; i++) {
                    float single = (float)random_normal(&b);
                    CHECK(memcmp(&filled[i], &single, sizeof single) == 0);
                }
                random_fill_uniform(&a, filled, counts[c]);
                for (int64_t i = 0; i < counts[c]; i++) CHECK(filled[i] == random_uniform_f32(&b));
                CHECK(random_bits(&a) == random_bits(&b));
            }
        }
    }
}

/* No word serves twice: a uniform after one normal is not part of that pair. */
static void test_mixed_draws(void)
{
    Random a = random_stream(3, RANDOM_TEST, 0, 0), b = a;
    uint32_t words[8];
    for (int i = 0; i < 8; i++) words[i] = random_bits(&b);
    random_normal(&a);
    CHECK_INT(random_bits(&a), words[2]);
    random_normal(&a); /* word 3 is left, pairs begin at 4 */
    random_normal(&a);
    CHECK_INT(random_bits(&a), words[6]);
}

static void test_below(void)
{
    Random random = random_stream(1, RANDOM_TEST, 3, 0);
    int64_t counts[7] = {0};
    for (int i = 0; i < 70000; i++) {
        int64_t value = random_below(&random, 7);
        CHECK(value >= 0 && value < 7);
        counts[value]++;
    }
    for (int i = 0; i < 7; i++) CHECK_NEAR(counts[i], 10000, 500);
    CHECK_INT(random_below(&random, 1), 0);
    /* 3 * 2^61: a plain remainder would favour the lower third by half. */
    int64_t bound = (int64_t)3 << 61, low = 0;
    for (int i = 0; i < 30000; i++) {
        int64_t value = random_below(&random, bound);
        CHECK(value >= 0 && value < bound);
        low += value < bound / 3;
    }
    CHECK_NEAR(low, 10000, 450);
    int64_t large = (int64_t)1 << 32, high = 0; /* the first bound past 32 bits */
    for (int i = 0; i < 10000; i++) high += random_below(&random, large) >= large / 2;
    CHECK_NEAR(high, 5000, 300);
}

static void test_shuffle(void)
{
    int64_t values[100];
    int seen[100] = {0}, moved = 0;
    for (int i = 0; i < 100; i++) values[i] = i;
    Random random = random_stream(1, RANDOM_ORDER, 0, 0);
    random_shuffle(&random, values, 100);
    for (int i = 0; i < 100; i++) {
        seen[values[i]]++;
        moved += values[i] != i;
    }
    for (int i = 0; i < 100; i++) CHECK_INT(seen[i], 1);
    CHECK(moved > 80);
    int64_t counts[6] = {0}; /* all orders of three come equally often */
    for (uint64_t s = 0; s < 12000; s++) {
        int64_t three[3] = {0, 1, 2};
        random = random_stream(1, RANDOM_TEST, 4, s);
        random_shuffle(&random, three, 3);
        counts[three[0] * 2 + (three[1] > three[2])]++;
    }
    for (int i = 0; i < 6; i++) CHECK_NEAR(counts[i], 2000, 200);
}

TEST_MAIN(TEST(test_known_answers), TEST(test_stream_is_fixed), TEST(test_streams_differ), TEST(test_uniform),
          TEST(test_normal), TEST(test_normal_is_box_muller), TEST(test_fills_equal_draws), TEST(test_mixed_draws),
          TEST(test_below), TEST(test_shuffle))
