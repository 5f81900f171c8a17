/* PNGs of numbers in every form, and class files. */
#include "framework/files.h"
#include "framework/memory.h"
#include "storage/label_classes.h"
#include "storage/label_map.h"
#include "tests/storage/fixture.h"

/* Made by hand: 5 x 2 pixels of a palette of four, 2 x 2 grey values of 16 bits, 3 x 1 of four, 1 x 2 RGBA, 2 x 1
 * grey with alpha. */
static const uint8_t PALETTE_2[] = {137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 5, 0, 0, 0,
    2, 2, 3, 0, 0, 0, 237, 4, 254, 206, 0, 0, 0, 12, 80, 76, 84, 69, 0, 0, 0, 128, 0, 0, 0, 128, 0, 224, 224, 192,
    142, 162, 102, 183, 0, 0, 0, 14, 73, 68, 65, 84, 120, 218, 99, 144, 118, 96, 120, 210, 0, 0, 3, 213, 1, 192, 188,
    47, 210, 168, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130};
static const uint8_t GREY_16[] = {137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 2, 0, 0, 0,
    2, 16, 0, 0, 0, 0, 7, 77, 142, 187, 0, 0, 0, 18, 73, 68, 65, 84, 120, 218, 99, 96, 96, 103, 212, 97, 248, 255,
    159, 129, 1, 0, 8, 74, 2, 51, 222, 59, 21, 102, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130};
static const uint8_t GREY_4[] = {137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 3, 0, 0, 0, 1,
    4, 0, 0, 0, 0, 251, 123, 166, 105, 0, 0, 0, 11, 73, 68, 65, 84, 120, 218, 99, 144, 87, 0, 0, 0, 97, 0, 64, 243,
    46, 172, 90, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130};
static const uint8_t RGBA[] = {137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 1, 0, 0, 0, 2,
    8, 6, 0, 0, 0, 153, 129, 182, 39, 0, 0, 0, 18, 73, 68, 65, 84, 120, 218, 99, 96, 100, 98, 254, 207, 240, 159, 129,
    145, 1, 0, 10, 48, 2, 6, 111, 50, 20, 16, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130};
static const uint8_t GREY_ALPHA[] = {137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 2, 0, 0,
    0, 1, 8, 4, 0, 0, 0, 94, 43, 183, 1, 0, 0, 0, 13, 73, 68, 65, 84, 120, 218, 99, 224, 100, 224, 250, 15, 0, 1, 60,
    1, 19, 81, 48, 232, 83, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130};

static void check_map(const uint8_t *data, size_t bytes, int height, int width, bool is_rgb, const uint32_t *values)
{
    LabelMap map = {0};
    CHECK_OK(label_map_decode(data, bytes, "it.png", &map));
    CHECK_INT(map.height, height);
    CHECK_INT(map.width, width);
    CHECK(map.is_rgb == is_rgb);
    for (int i = 0; i < height * width; i++) CHECK_INT(map.values[i], values[i]);
    label_map_clear(&map);
}

static void test_forms(void)
{
    check_map(PALETTE_2, sizeof PALETTE_2, 2, 5, false, (uint32_t[]){0, 1, 2, 3, 1, 3, 2, 1, 0, 2});
    check_map(GREY_16, sizeof GREY_16, 2, 2, false, (uint32_t[]){7, 300, 65535, 0});
    check_map(GREY_4, sizeof GREY_4, 1, 3, false, (uint32_t[]){1, 15, 2});
    check_map(RGBA, sizeof RGBA, 2, 1, true, (uint32_t[]){0x030201, 0x0100ff});
    check_map(GREY_ALPHA, sizeof GREY_ALPHA, 1, 2, false, (uint32_t[]){9, 10});
}

static void test_damaged(void)
{
    LabelMap map = {0};
    CHECK_FAILS(label_map_decode(PALETTE_2, sizeof PALETTE_2 - 30, "it.png", &map), STATUS_INVALID, "it.png: damaged PNG");
    CHECK_FAILS(label_map_decode((const uint8_t *)"JPEG", 4, "it.jpg", &map), STATUS_INVALID, "it.jpg: not a PNG");
    CHECK_FAILS(label_map_read("/nowhere/it.png", &map), STATUS_NOT_FOUND, "/nowhere/it.png");
    label_map_clear(&map);
}

static void test_written(void)
{
    char root[256], path[300];
    uint16_t values[6] = {0, 1, 255, 7, 9, 3};
    temporary_directory(root);
    snprintf(path, sizeof path, "%s/it.png", root);
    for (int pass = 0; pass < 2; pass++) {
        LabelMap map = {0};
        values[3] = pass == 0 ? 7 : 777; /* 16 bits */
        CHECK_OK(label_map_write(path, values, 2, 3));
        CHECK_OK(label_map_read(path, &map));
        for (int i = 0; i < 6; i++) CHECK_INT(map.values[i], values[i]);
        label_map_clear(&map);
    }
    CHECK_OK(directory_remove(root));
}

static void test_class_files(void)
{
    char root[256], path[300];
    LabelClasses classes;
    temporary_directory(root);
    fixture_text(root, "labels.txt", "0: unlabeled\n1: person\n# none\n92:  banner\tthing\n\n183 wall-wood \n");
    snprintf(path, sizeof path, "%s/labels.txt", root);
    CHECK_OK(label_classes_read(path, IMPORT_COCO_STUFF, false, &classes));
    CHECK_INT(classes.classes.count, 3);
    CHECK_INT(classes.class_of[0], 0);
    CHECK_INT(classes.class_of[91], 1);
    CHECK_INT(classes.class_of[182], 2);
    CHECK_INT(classes.class_of[1], -1);
    CHECK_STRING(classes.classes.entries[1].name, "banner");
    CHECK_STRING(classes.classes.entries[2].name, "wall-wood");
    CHECK(!classes.classes.entries[0].is_thing && classes.classes.entries[1].is_thing);
    label_classes_clear(&classes);
    fixture_text(root, "labels.txt", "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.15\t11\t1\t1\twall\n"
                 "15\t0.02\t7\t8\t0\tdoor, double door\n");
    CHECK_OK(label_classes_read(path, IMPORT_ADE20K, false, &classes));
    CHECK_INT(classes.classes.count, 2);
    CHECK_STRING(classes.classes.entries[1].name, "door, double door");
    CHECK_INT(classes.class_of[15], 1);
    label_classes_clear(&classes);
    CHECK_OK(label_classes_read(NULL, IMPORT_VOC, true, &classes));
    CHECK_INT(classes.classes.count, 21);
    CHECK(classes.classes.entries[20].is_thing && !classes.classes.entries[0].is_thing);
    label_classes_clear(&classes);
    fixture_text(root, "labels.txt", "1: a\n1: b\n");
    CHECK_FAILS(label_classes_read(path, IMPORT_ADE20K, false, &classes), STATUS_INVALID, "labels.txt: line 2: label 1 occurs twice");
    fixture_text(root, "labels.txt", "1: a\n2: a\n");
    CHECK_FAILS(label_classes_read(path, IMPORT_ADE20K, false, &classes), STATUS_INVALID, "line 2: \"a\" occurs twice");
    fixture_text(root, "labels.txt", "one: a\n");
    CHECK_FAILS(label_classes_read(path, IMPORT_ADE20K, false, &classes), STATUS_INVALID, "line 1: must begin with a number");
    fixture_text(root, "labels.txt", "70000: a\n");
    CHECK_FAILS(label_classes_read(path, IMPORT_ADE20K, false, &classes), STATUS_INVALID, "70000 is no label");
    fixture_text(root, "labels.txt", "# nothing\n");
    CHECK_FAILS(label_classes_read(path, IMPORT_ADE20K, false, &classes), STATUS_INVALID, "lists no class");
    CHECK_FAILS(label_classes_read(NULL, IMPORT_ADE20K, false, &classes), STATUS_INVALID, "data.classes");
    CHECK_OK(directory_remove(root));
}

TEST_MAIN(TEST(test_forms), TEST(test_damaged), TEST(test_written), TEST(test_class_files))
