/* Random crops: where the image lies, and what a scale means. */
#include "models/segmenter/augment.h"

#include "tests/test.h"

enum { SIDE = 64, HEIGHT = 40, WIDTH = 80 };

static uint8_t rgb[HEIGHT * WIDTH * 3];
static uint16_t source[HEIGHT * WIDTH];
static float image[SIDE * SIDE * 3];
static uint16_t map[SIDE * SIDE];

/* Left half 50 and segment 1, right half 200 and segment 2. */
static void make_source(void)
{
    for (int i = 0; i < HEIGHT * WIDTH; i++) {
        bool right = i % WIDTH >= WIDTH / 2;
        source[i] = right ? 2 : 1;
        for (int c = 0; c < 3; c++) rgb[3 * i + c] = right ? 200 : 50;
    }
}

typedef struct Extent { int top, left, bottom, right, count; } Extent; /* of what isn't void; bottom, right exclusive */

static Extent crop(const AugmentConfig *config, uint64_t sample)
{
    augment_crop(config, random_stream(1, RANDOM_TEST, 0, sample), rgb, source, HEIGHT, WIDTH, image, map);
    Extent e = {SIDE, SIDE, 0, 0, 0};
    for (int i = 0; i < SIDE * SIDE; i++) {
        if (map[i] == 0) {
            CHECK_NEAR(image[3 * i], 0, 1e-6); /* grey */
            continue;
        }
        int y = i / SIDE, x = i % SIDE;
        e.top = y < e.top ? y : e.top;
        e.left = x < e.left ? x : e.left;
        e.bottom = y >= e.bottom ? y + 1 : e.bottom;
        e.right = x >= e.right ? x + 1 : e.right;
        e.count++;
    }
    return e;
}

static AugmentConfig plain(AugmentScale scale_of, double low, double high)
{
    return (AugmentConfig){.height = SIDE, .width = SIDE, .scale_low = low, .scale_high = high, .scale_of = scale_of};
}

/* At scale 1 of "fit" the 40 x 80 image is 32 x 64 at the top left of the crop. */
static void test_fit(void)
{
    make_source();
    AugmentConfig config = plain(AUGMENT_SCALE_FIT, 1, 1);
    for (uint64_t sample = 0; sample < 5; sample++) {
        Extent e = crop(&config, sample);
        CHECK_INT(e.top, 0);
        CHECK_INT(e.left, 0);
        CHECK_INT(e.bottom, 32);
        CHECK_INT(e.right, 64);
        CHECK_INT(e.count, 32 * 64);
    }
    CHECK_INT(map[31], 1);
    CHECK_INT(map[32], 2);
    CHECK_NEAR(image[3 * 10], 50 / 127.5 - 1, 1e-5);
    CHECK_NEAR(image[3 * 50], 200 / 127.5 - 1, 1e-5);
}

/* The shorter side becomes the crop's, so the crop is full, and lies at different places. */
static void test_short_side(void)
{
    make_source();
    AugmentConfig config = plain(AUGMENT_SCALE_SHORT_SIDE, 1, 1);
    int ones[8];
    bool moved = false;
    for (uint64_t sample = 0; sample < 8; sample++) {
        CHECK_INT(crop(&config, sample).count, SIDE * SIDE);
        ones[sample] = 0;
        for (int x = 0; x < SIDE; x++) ones[sample] += map[x] == 1;
        moved = moved || ones[sample] != ones[0];
    }
    CHECK(moved);
}

/* Large-scale jitter reaches both ends: images of a tenth, and crops of twice the size. */
static void test_jitter(void)
{
    make_source();
    AugmentConfig config = plain(AUGMENT_SCALE_FIT, 0.1, 2);
    int smallest = SIDE * SIDE, full = 0;
    for (uint64_t sample = 0; sample < 60; sample++) {
        Extent e = crop(&config, sample);
        CHECK(e.count > 0);
        smallest = e.count < smallest ? e.count : smallest;
        full += e.right - e.left == SIDE;
    }
    CHECK(smallest < 16 * 16);
    CHECK(full > 10);
}

/* Shrunk by 8, a pixel is the mean of 8 x 8: of stripes one pixel wide, their mean colour. */
static void test_no_aliasing(void)
{
    for (int i = 0; i < HEIGHT * WIDTH; i++) {
        source[i] = 1;
        for (int c = 0; c < 3; c++) rgb[3 * i + c] = i % 2 == 0 ? 0 : 200;
    }
    AugmentConfig config = plain(AUGMENT_SCALE_IMAGE, 0.125, 0.125);
    CHECK(crop(&config, 0).count > 0);
    for (int i = 0; i < SIDE * SIDE; i++)
        if (map[i] != 0) CHECK(fabsf(image[3 * i] - (100 / 127.5f - 1)) < 0.11f);
}

/* A small image lies anywhere in the crop, where the scale is of the image; mirrored, its halves change places. */
static void test_image_scale_and_flip(void)
{
    make_source();
    AugmentConfig config = plain(AUGMENT_SCALE_IMAGE, 0.5, 0.5);
    bool moved = false, mirrored = false;
    config.flip = true;
    Extent first = crop(&config, 0);
    for (uint64_t sample = 0; sample < 12; sample++) {
        Extent e = crop(&config, sample);
        CHECK_INT(e.count, 20 * 40);
        moved = moved || e.top != first.top;
        mirrored = mirrored || map[e.top * SIDE + e.left] == 2;
    }
    CHECK(moved && mirrored);
}

TEST_MAIN(TEST(test_fit), TEST(test_short_side), TEST(test_jitter), TEST(test_no_aliasing), TEST(test_image_scale_and_flip))
