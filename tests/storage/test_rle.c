/* Run lengths against masks done pixel by pixel, and against what the COCO API gives. */
#include "framework/memory.h"
#include "framework/random.h"
#include "storage/rle.h"
#include "tests/test.h"

enum { HEIGHT = 37, WIDTH = 83, PIXELS = HEIGHT * WIDTH };

/* Blobs and speckles, from an empty mask to a full one. */
static void fill(uint64_t sample, uint8_t *mask)
{
    Random random = random_stream(3, RANDOM_TEST, 0, sample);
    const double density = sample == 0 ? 0 : sample == 1 ? 1 : random_uniform(&random);
    uint8_t value = 0;
    for (int i = 0; i < PIXELS; i++) {
        if (i % (1 + (int)(sample % 7)) == 0) value = random_uniform(&random) < density;
        mask[i] = value;
    }
}

static void test_encode_and_decode(void)
{
    uint8_t mask[PIXELS], again[PIXELS];
    Rle rle = {0}, parsed = {0};
    for (uint64_t sample = 0; sample < 40; sample++) {
        Text text = {0};
        fill(sample, mask);
        CHECK_OK(rle_encode(mask, HEIGHT, WIDTH, &rle));
        rle_decode(&rle, again);
        CHECK(memcmp(mask, again, PIXELS) == 0);
        rle_write(&rle, &text);
        CHECK_OK(rle_parse(text_string(&text), text.length, HEIGHT, WIDTH, &parsed));
        CHECK_INT(parsed.count, rle.count);
        CHECK(memcmp(parsed.counts, rle.counts, rle.count * sizeof *rle.counts) == 0);
        int64_t area = 0, left = WIDTH, right = -1, top = HEIGHT, bottom = -1, box[4];
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++) {
                if (mask[y * WIDTH + x] == 0) continue;
                area++;
                left = x < left ? x : left;
                right = x > right ? x : right;
                top = y < top ? y : top;
                bottom = y > bottom ? y : bottom;
            }
        CHECK_INT(rle_area(&rle), area);
        rle_box(&rle, box);
        CHECK_INT(box[0], area == 0 ? 0 : left);
        CHECK_INT(box[1], area == 0 ? 0 : top);
        CHECK_INT(box[2], area == 0 ? 0 : right - left + 1);
        CHECK_INT(box[3], area == 0 ? 0 : bottom - top + 1);
        text_free(&text);
    }
    rle_clear(&rle);
    rle_clear(&parsed);
}

static void test_pairs(void)
{
    uint8_t a[PIXELS], b[PIXELS], merged[PIXELS];
    Rle pair[2] = {{0}, {0}}, out = {0};
    for (uint64_t sample = 0; sample < 40; sample++) {
        int64_t common = 0, either = 0, own = 0;
        fill(sample, a);
        fill((sample * 7 + 3) % 41, b);
        CHECK_OK(rle_encode(a, HEIGHT, WIDTH, &pair[0]));
        CHECK_OK(rle_encode(b, HEIGHT, WIDTH, &pair[1]));
        for (int i = 0; i < PIXELS; i++) {
            common += a[i] && b[i];
            either += a[i] || b[i];
            own += a[i];
        }
        CHECK_INT(rle_common(&pair[0], &pair[1]), common);
        CHECK(rle_iou(&pair[0], &pair[1], false) == (common == 0 ? 0 : (double)common / (double)either));
        CHECK(rle_iou(&pair[0], &pair[1], true) == (common == 0 ? 0 : (double)common / (double)own));
        for (int intersect = 0; intersect < 2; intersect++) {
            CHECK_OK(rle_merge(pair, 2, intersect == 1, &out));
            rle_decode(&out, merged);
            for (int i = 0; i < PIXELS; i++) CHECK(merged[i] == (intersect ? a[i] && b[i] : a[i] || b[i]));
        }
    }
    rle_clear(&pair[0]);
    rle_clear(&pair[1]);
    rle_clear(&out);
}

/* Texts made by rleFrPoly and rleToString of the COCO API for a height of 30 and a width of 40. */
static void test_polygons(void)
{
    static const struct { double corners[16]; size_t count; const char *text; } CASES[] = {
        {{2, 3, 20, 3, 20, 15, 2, 15}, 4, "o1<b0000000000000000000000000000000000eb0"},
        {{1.5, 2.25, 33.3, 4.1, 18.7, 28.9}, 3, "n12l01O2N101N1O2N1O2N2N1O2N1O2N1O2N1O00N2N3N1N2N2O1N2N2N2O1N2N2O_6"},
        {{10.1, 5.1, 10.1, 5.1, 25.3, 5.1, 25.3, 20.2, 10.1, 20.2}, 5, "a9?\?000000000000000000000000000m="},
        {{0, 0, 40, 0, 40, 30, 0, 30}, 4, "0`U1"},
        {{-5, -3, 50, 12, 20, 60}, 3, "0;c02N3M2N3M2N3M2O1N0001O0000001O0000001O00001O0000001O0000001O00001O0000001O000OH"},
        {{5, 5, 30, 25, 30, 5, 5, 25}, 4, "k4d0;N2N2N2N101N2N2N2N101No00QO2O0O2N2N2N2O0O2N2N2N2V9"},
        {{12.34, 7.77, 12.5, 8.1, 12.4, 9.0}, 3, "`;1oi0"},
        {{3.1, 29.9, 39.9, 29.95, 39.9, 0.1}, 3, "e41l01O1O100O1O1O1O100O1O1O1O100O1O1O1O1O100O1O1O1O100O1O1O1O100O1O1O1O100"},
        {{20, 1, 24, 11, 36, 11, 26, 18, 30, 28, 20, 22, 10, 28, 14, 18}, 8, "W:1j02O1N3M2O2M2N2N3M2103N1N3N00O00IA0>OFN:1IN61NM13=O1O100O\\4"},
    };
    Rle rle = {0};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        Text text = {0};
        CHECK_OK(rle_from_polygon(CASES[i].corners, CASES[i].count, 30, 40, &rle));
        rle_write(&rle, &text);
        CHECK_STRING(text_string(&text), CASES[i].text);
        text_free(&text);
    }
    const double far[6] = {0, 0, 1e9, 0, 0, 5}, odd[6] = {0, 0, (double)NAN, 0, 0, 5};
    CHECK_FAILS(rle_from_polygon(far, 3, 30, 40, &rle), STATUS_INVALID, "corner 1");
    CHECK_FAILS(rle_from_polygon(odd, 3, 30, 40, &rle), STATUS_INVALID, "corner 1");
    CHECK_FAILS(rle_from_polygon(far, 2, 30, 40, &rle), STATUS_INVALID, "2 corners");
    rle_clear(&rle);
}

static void test_damaged(void)
{
    Rle rle = {0};
    const int64_t many[] = {3, 4, 6}, few[] = {3, 4}, below[] = {13, -1};
    CHECK_FAILS(rle_from_counts(many, 3, 3, 4, &rle), STATUS_INVALID, "run 2");
    CHECK_FAILS(rle_from_counts(few, 2, 3, 4, &rle), STATUS_INVALID, "7 of 12");
    CHECK_FAILS(rle_from_counts(below, 2, 3, 4, &rle), STATUS_INVALID, "run 0");
    CHECK_FAILS(rle_parse("P", 1, 3, 4, &rle), STATUS_INVALID, "ends within");
    CHECK_FAILS(rle_parse("\x7f", 1, 3, 4, &rle), STATUS_INVALID, "byte 0");
    CHECK_FAILS(rle_parse("oooooooooooooo0", 15, 3, 4, &rle), STATUS_INVALID, "no part of a run");
    CHECK_FAILS(rle_parse("@", 1, 3, 4, &rle), STATUS_INVALID, "is -16");
    CHECK_FAILS(rle_parse("", 0, 3, 4, &rle), STATUS_INVALID, "0 of 12");
    CHECK_OK(rle_parse("<", 1, 3, 4, &rle));
    CHECK_INT(rle_area(&rle), 0);
    rle_clear(&rle);
}

TEST_MAIN(TEST(test_encode_and_decode), TEST(test_pairs), TEST(test_polygons), TEST(test_damaged))
