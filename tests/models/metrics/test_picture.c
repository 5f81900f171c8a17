#include "models/metrics/picture.h"
#include "models/metrics/picture_text.h"
#include "tests/test.h"

static ClassEntry entries[3] = {{1, "plain red circle", true, false, {255, 0, 0}},
                                {2, "meadow", false, true, {0, 200, 0}}, {3, "sky", false, false, {0, 0, 0}}};
static const ClassTable CLASSES = {3, 2, 1, entries};

static const int32_t IDS[12] = {5, 5, 5, 5, 0, 9, 9, 0, 9, 9, 9, 9};
static const PanopticSegment SEGMENTS[2] = {{5, 0, -1, false}, {9, 1, -1, false}};
static const PanopticMap MAP = {3, 4, IDS, 2, SEGMENTS};
static const uint8_t RGB[36] = {10, 20, 30};

static void test_layout(void)
{
    Image picture = {0}, single = {0};
    PictureOptions options = {RGB, 3, 4, &MAP, &MAP, &CLASSES, "a title", 64};
    CHECK_OK(picture_compose(&options, &picture));
    CHECK(picture.width >= 3 * 64 && picture.height > 48);
    options.truth = NULL;
    options.title = NULL;
    CHECK_OK(picture_compose(&options, &single));
    CHECK_INT(single.width, picture.width - 64 - 14); /* one panel and its gap less */
    Image both[2] = {picture, single}, stack = {0};
    CHECK_OK(picture_stack(both, 2, &stack));
    CHECK_INT(stack.height, picture.height + single.height);
    CHECK_INT(stack.width, picture.width);
    CHECK(memcmp(stack.rgb, picture.rgb, 3 * (size_t)picture.width * (size_t)picture.height) == 0);
    image_clear(&picture);
    image_clear(&single);
    image_clear(&stack);
}

static void test_colours(void)
{
    uint8_t red[3], sky[3];
    picture_class_color(&CLASSES, 0, red);
    picture_class_color(&CLASSES, 2, sky); /* black in the table */
    CHECK_INT(red[0], 255);
    CHECK(sky[0] + sky[1] + sky[2] > 60);
}

static void test_text(void)
{
    Image image = {40, 200, NULL, 0};
    image.rgb = calloc(40 * 200, 3);
    image.capacity = 40 * 200 * 3;
    const uint8_t white[3] = {255, 255, 255};
    int width = picture_text(NULL, 0, 0, 14, white, "Wiggle");
    CHECK(width > 40 && width < 120);
    CHECK_INT(picture_text(&image, 2, 25, 14, white, "Wiggle"), width);
    int64_t inside = 0, outside = 0;
    for (int y = 0; y < 40; y++)
        for (int x = 0; x < 200; x++)
            *(x >= 2 && x <= 2 + width && y >= 10 && y <= 31 ? &inside : &outside) += image.rgb[3 * (y * 200 + x)];
    CHECK(inside > 255 * 100);
    CHECK_INT(outside, 0);
    picture_text(&image, 190, 38, 14, white, "\xc3\xa9~}|"); /* runs over the edge, and not ASCII */
    free(image.rgb);
}

static void test_refusals(void)
{
    Image picture = {0};
    PictureOptions options = {NULL, 3, 4, NULL, NULL, &CLASSES, NULL, 0};
    CHECK_FAILS(picture_compose(&options, &picture), STATUS_INVALID, "picture of nothing");
    options = (PictureOptions){RGB, 3, 5, &MAP, NULL, &CLASSES, NULL, 0};
    CHECK_FAILS(picture_compose(&options, &picture), STATUS_INVALID, "3 x 4 pixels cannot stand beside");
    CHECK_FAILS(picture_stack(NULL, 0, &picture), STATUS_INVALID, "no pictures");
}

TEST_MAIN(TEST(test_layout), TEST(test_colours), TEST(test_text), TEST(test_refusals))
