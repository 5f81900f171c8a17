/* Import of the layouts other than COCO panoptic, and of images as they are. */
#include <sys/stat.h>

#include "storage/label_map.h"
#include "tests/storage/fixture.h"

enum { HEIGHT = 30, WIDTH = 44, PIXELS = HEIGHT * WIDTH };

static char root[256];

static const char *in_root(const char *name)
{
    static char paths[8][600];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, 600, "%s/%s", root, name);
    return path;
}

static void begin(void)
{
    temporary_directory(root);
}

static void end(void)
{
    CHECK_OK(directory_remove(root));
}

/* A photograph of that name in a directory. */
static void write_image(const char *directory, const char *stem, bool png)
{
    Image image = {.height = HEIGHT, .width = WIDTH, .rgb = memory_alloc(3 * PIXELS)};
    char path[700];
    CHECK(image.rgb != NULL);
    for (int i = 0; i < 3 * PIXELS; i++) image.rgb[i] = (uint8_t)((i * 7 + i / 90 + stem[0]) % 251);
    CHECK_OK(directory_create(in_root(directory)));
    snprintf(path, sizeof path, "%s/%s%s", in_root(directory), stem, png ? ".png" : ".jpg");
    CHECK_OK(png ? image_write_png(path, &image) : image_write_jpeg(path, &image, 90));
    image_clear(&image);
}

/* Labels that are `ground`, with a rectangle of `value` from (4, 6) to (14, 20) and one of `other` from (16, 6) to
 * (26, 20). */
static void write_labels(const char *directory, const char *stem, int ground, int value, int other)
{
    uint16_t labels[PIXELS];
    char path[700];
    for (int i = 0; i < PIXELS; i++) {
        const int y = i / WIDTH, x = i % WIDTH;
        const bool inside = x >= 6 && x < 20;
        labels[i] = (uint16_t)(inside && y >= 4 && y < 14 ? value : inside && y >= 16 && y < 26 ? other : ground);
    }
    CHECK_OK(directory_create(in_root(directory)));
    snprintf(path, sizeof path, "%s/%s.png", in_root(directory), stem);
    CHECK_OK(label_map_write(path, labels, HEIGHT, WIDTH));
}

static ImportOptions options_of(ImportFormat format)
{
    static char paths[7][600];
    ImportOptions options = {.format = format, .shard_images = 2, .output = in_root("out")};
    CocoSource *sources[2] = {&options.train, &options.val};
    const char *names[2][3];
    for (int s = 0; s < 2; s++) {
        for (int p = 0; p < 3; p++) {
            const char *name = import_default_path(format, s, p);
            names[s][p] = NULL;
            if (name == NULL) continue;
            snprintf(paths[3 * s + p], 600, "%s/%s", root, name);
            names[s][p] = paths[3 * s + p];
        }
        *sources[s] = (CocoSource){names[s][0], names[s][1], names[s][2]};
    }
    if (import_default_classes(format) != NULL) {
        snprintf(paths[6], 600, "%s/%s", root, import_default_classes(format));
        options.classes = paths[6];
    }
    CHECK_OK(directory_create(options.output));
    return options;
}

/* Reads image `index` of a split of what was imported, and closes the data set. */
static void read_sample(const char *split, int64_t index, int64_t count, Sample *sample)
{
    Dataset *dataset;
    CHECK_OK(dataset_open(in_root("out"), split, &dataset));
    CHECK_INT(dataset_count(dataset), count);
    CHECK_OK(dataset_read(dataset, index, sample));
    dataset_close(dataset);
}

/* Of the rectangles of write_labels: the ground's number, the upper one's, the lower one's (0: void). */
static void check_numbers(const Sample *sample, int ground, int upper, int lower)
{
    CHECK_INT(sample->map[0], ground);
    CHECK_INT(sample->map[5 * WIDTH + 7], upper);
    CHECK_INT(sample->map[17 * WIDTH + 7], lower);
}

static void test_coco_stuff(void)
{
    Sample sample = {0};
    int64_t skipped, images, segments;
    begin();
    fixture_text(root, "labels.txt", "0: unlabeled\n1: person\n2: cat\n93: sky\n");
    const char *const stems[] = {"000000000139", "000000000285", "000000000632"};
    for (int i = 0; i < 3; i++) {
        write_image("train2017", stems[i], i == 1);
        write_labels("stuffthingmaps/train2017", stems[i], 92, 0, i == 2 ? 1 : 255);
    }
    write_image("val2017", "000000000001", false);
    write_labels("stuffthingmaps/val2017", "000000000001", 1, 50, 0);
    ImportOptions options = options_of(IMPORT_COCO_STUFF);
    char *unseen[] = {"cat"};
    options.unseen = unseen;
    options.unseen_count = 1;
    CHECK_OK(import_everything(&options, NULL));
    read_sample("train", 1, 2, &sample); /* the third shows a cat, and is dropped */
    CHECK_INT(sample.image_id, 285);
    CHECK_STRING(sample.file_name, "000000000285.png");
    CHECK_INT(sample.segment_count, 2);
    CHECK_INT(sample.segments[0].class_index, 0);
    CHECK_INT(sample.segments[1].class_index, 2);
    CHECK_INT(sample.segments[0].area, 140);
    check_numbers(&sample, 2, 1, 0);
    read_sample("val", 0, 1, &sample);
    check_numbers(&sample, 2, 0, 1); /* 50 is no class of the file */
    CHECK_OK(import_everything(&options, &skipped));
    CHECK_INT(skipped, 3);
    options.ignore_unseen = true;
    CHECK_OK(import_everything(&options, &skipped));
    CHECK_INT(skipped, 0);
    read_sample("train", 2, 3, &sample);
    check_numbers(&sample, 2, 1, 0); /* the cat is void */
    CHECK_OK(dataset_verify(in_root("out"), &images, &segments));
    CHECK_INT(images, 4);
    CHECK_INT(segments, 8);
    sample_clear(&sample);
    end();
}

static void test_all_dropped_shard(void)
{
    Sample sample = {0};
    begin();
    fixture_text(root, "labels.txt", "1: person\n2: cat\n3: dog\n");
    for (int i = 0; i < 5; i++) {
        char stem[16];
        snprintf(stem, sizeof stem, "%d", i + 1);
        write_image("train2017", stem, false);
        write_labels("stuffthingmaps/train2017", stem, 0, i < 2 ? 1 : 2, 0);
    }
    write_image("val2017", "9", false);
    write_labels("stuffthingmaps/val2017", "9", 0, 1, 2);
    ImportOptions options = options_of(IMPORT_COCO_STUFF);
    char *unseen[] = {"cat"};
    options.unseen = unseen;
    options.unseen_count = 1;
    CHECK_OK(import_everything(&options, NULL)); /* the first shard of two images is empty */
    read_sample("train", 0, 3, &sample);
    CHECK_INT(sample.image_id, 3);
    for (int i = 2; i < 5; i++) {
        char stem[16];
        snprintf(stem, sizeof stem, "%d", i + 1);
        write_labels("stuffthingmaps/train2017", stem, 1, 2, 2);
    }
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "no image is left");
    sample_clear(&sample);
    end();
}

static void test_voc(void)
{
    Sample sample = {0};
    begin();
    CHECK_OK(directory_create(in_root("ImageSets/Segmentation")));
    fixture_text(root, "ImageSets/Segmentation/train.txt", "2007_000032\n2007_000039\n");
    fixture_text(root, "ImageSets/Segmentation/val.txt", "2007_000033\n");
    const char *const stems[] = {"2007_000032", "2007_000039", "2007_000033"};
    for (int i = 0; i < 3; i++) {
        write_image("JPEGImages", stems[i], false);
        write_labels("SegmentationClass", stems[i], 0, 15, 15);
        write_labels("SegmentationObject", stems[i], 0, 2, i == 1 ? 255 : 1);
    }
    ImportOptions options = options_of(IMPORT_VOC);
    CHECK_OK(import_everything(&options, NULL));
    read_sample("train", 0, 2, &sample);
    CHECK_INT(sample.segment_count, 3); /* background, and two persons by their objects */
    CHECK_INT(sample.segments[1].class_index, 15);
    CHECK_INT(sample.segments[2].class_index, 15);
    check_numbers(&sample, 1, 3, 2);
    read_sample("train", 1, 2, &sample);
    CHECK_INT(sample.segment_count, 2);
    check_numbers(&sample, 1, 2, 0); /* of a person, but of no object */
    CHECK_OK(directory_remove(in_root("SegmentationObject")));
    CHECK_OK(import_everything(&options, NULL));
    read_sample("val", 0, 1, &sample);
    CHECK_INT(sample.segment_count, 2); /* one region a class */
    check_numbers(&sample, 1, 2, 2);
    fixture_text(root, "ImageSets/Segmentation/train.txt", "2007_000032\n../x\n");
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "train.txt: ../x: leads out of its directory");
    fixture_text(root, "ImageSets/Segmentation/train.txt", "2007_000032\n2007_000040\n");
    CHECK_FAILS(import_everything(&options, NULL), STATUS_NOT_FOUND, "2007_000040.jpg: absent; train.txt lists it");
    sample_clear(&sample);
    end();
}

static void test_ade20k(void)
{
    Sample sample = {0};
    begin();
    fixture_text(root, "objectInfo150.txt", "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.1\t1\t1\t1\twall\n2\t0\t1\t1\t0\tbuilding, edifice\n");
    write_image("images/training", "ADE_train_00000001", false);
    write_labels("annotations/training", "ADE_train_00000001", 0, 1, 2);
    write_image("images/validation", "ADE_val_00000001", false);
    write_labels("annotations/validation", "ADE_val_00000001", 2, 2, 0);
    ImportOptions options = options_of(IMPORT_ADE20K);
    CHECK_OK(import_everything(&options, NULL));
    read_sample("train", 0, 1, &sample);
    CHECK_INT(sample.image_id, 1);
    check_numbers(&sample, 0, 1, 2);
    read_sample("val", 0, 1, &sample);
    check_numbers(&sample, 1, 1, 0);
    write_image("annotations/training", "ADE_train_00000001", true);
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "ADE_train_00000001.png: an RGB image");
    sample_clear(&sample);
    end();
}

/* Class 300 = R 10 (10 / 10 * 256) + G 44, with two instances; class 7 around. */
static void write_full(const char *directory, const char *stem)
{
    Image image = {.height = HEIGHT, .width = WIDTH, .rgb = memory_alloc(3 * PIXELS)};
    char path[700];
    CHECK(image.rgb != NULL);
    for (int i = 0; i < PIXELS; i++) {
        const int y = i / WIDTH, x = i % WIDTH;
        const bool inside = x >= 6 && x < 20, upper = inside && y >= 4 && y < 14, lower = inside && y >= 16 && y < 26;
        image.rgb[3 * i] = upper || lower ? 10 : 0;
        image.rgb[3 * i + 1] = upper || lower ? 44 : 7;
        image.rgb[3 * i + 2] = upper ? 200 : lower ? 3 : 99;
    }
    snprintf(path, sizeof path, "%s/%s_seg.png", in_root(directory), stem);
    CHECK_OK(image_write_png(path, &image));
    image_clear(&image);
}

static void test_ade20k_full(void)
{
    Sample sample = {0};
    begin();
    fixture_text(root, "classes.txt", "7: grass\tstuff\n300: cow\n");
    write_image("images/training/a/abbey", "ADE_train_00000001", false);
    write_full("images/training/a/abbey", "ADE_train_00000001");
    write_image("images/validation/b", "ADE_val_00000002", false);
    write_full("images/validation/b", "ADE_val_00000002");
    ImportOptions options = options_of(IMPORT_ADE20K_FULL);
    CHECK_OK(import_everything(&options, NULL));
    read_sample("train", 0, 1, &sample);
    CHECK_STRING(sample.file_name, "a/abbey/ADE_train_00000001.jpg");
    CHECK_INT(sample.segment_count, 3);
    CHECK_INT(sample.segments[1].class_index, 1);
    check_numbers(&sample, 1, 3, 2);
    sample_clear(&sample);
    end();
}

static void test_coco_instances(void)
{
    static const char JSON[] =
        "{\"images\":[{\"id\":7,\"file_name\":\"a.jpg\",\"height\":30,\"width\":44},"
        "{\"id\":9,\"file_name\":\"b.jpg\",\"height\":30,\"width\":44}],"
        "\"categories\":[{\"id\":1,\"name\":\"person\"},{\"id\":18,\"name\":\"dog\"}],\"annotations\":["
        "{\"id\":1,\"image_id\":7,\"category_id\":18,\"iscrowd\":0,\"segmentation\":[[8,6,12,6,12,10,8,10]]},"
        "{\"id\":2,\"image_id\":7,\"category_id\":1,\"iscrowd\":0,\"area\":200,"
        "\"segmentation\":[[6,4,20,4,20,14,6,14],[6,16,20,16,20,26,6,26]]},"
        "{\"id\":3,\"image_id\":7,\"category_id\":1,\"iscrowd\":1,"
        "\"segmentation\":{\"size\":[30,44],\"counts\":[0,660,660]}}]}";
    Sample sample = {0};
    begin();
    CHECK_OK(directory_create(in_root("annotations")));
    fixture_text(root, "annotations/instances_train2017.json", JSON);
    fixture_text(root, "annotations/instances_val2017.json", JSON);
    write_image("train2017", "a", false);
    write_image("train2017", "b", false);
    write_image("val2017", "a", false);
    write_image("val2017", "b", false);
    ImportOptions options = options_of(IMPORT_COCO_INSTANCES);
    CHECK_OK(import_everything(&options, NULL));
    read_sample("train", 0, 2, &sample);
    CHECK_INT(sample.segment_count, 3);
    CHECK_INT(sample.map[8 * WIDTH + 10], 1);  /* the dog is above the person */
    CHECK_INT(sample.map[5 * WIDTH + 7], 2);
    CHECK_INT(sample.map[20 * WIDTH + 18], 2); /* in both polygons, one object */
    CHECK_INT(sample.map[0], 3);               /* the crowd is the left half, below all */
    CHECK_INT(sample.map[30], 0);
    CHECK(sample.segments[2].is_crowd && !sample.segments[1].is_crowd);
    CHECK_INT(sample.segments[0].area, 16);
    CHECK_INT(sample.segments[1].area, 14 * 10 * 2 - 16);
    read_sample("train", 1, 2, &sample);
    CHECK_INT(sample.segment_count, 0); /* nothing is annotated there */
    char *unseen[] = {"dog"};
    options.unseen = unseen;
    options.unseen_count = 1;
    CHECK_OK(import_everything(&options, NULL));
    read_sample("train", 0, 1, &sample);
    CHECK_INT(sample.image_id, 9);
    fixture_text(root, "annotations/instances_val2017.json",
                 "{\"images\":[],\"categories\":[{\"id\":1,\"name\":\"cat\"}],\"annotations\":[]}");
    CHECK_FAILS(import_everything(&options, NULL), STATUS_INVALID, "instances_val2017.json: categories differ");
    sample_clear(&sample);
    end();
}

/* Samples of encoded shards are those of decoded ones, also where they are scaled down; the shards are smaller. */
static void test_encoded(void)
{
    Fixture fixture = fixture_defaults();
    char plain[300], encoded[300];
    fixture.height = 90;
    fixture.width = 120;
    fixture_create(&fixture);
    snprintf(plain, sizeof plain, "%s/plain", fixture.root);
    snprintf(encoded, sizeof encoded, "%s/encoded", fixture.root);
    for (int long_side = 0; long_side <= 64; long_side += 64) {
        ImportOptions options = fixture_import(&fixture, plain);
        Dataset *datasets[2];
        Sample samples[2] = {{0}, {0}};
        int64_t bytes[2], images, segments, skipped;
        char path[400];
        options.long_side = long_side;
        CHECK_OK(import_everything(&options, NULL));
        options = fixture_import(&fixture, encoded);
        options.long_side = long_side;
        options.encoded = true;
        CHECK_OK(import_everything(&options, NULL));
        CHECK_OK(import_everything(&options, &skipped));
        CHECK_INT(skipped, 4);
        CHECK_OK(dataset_verify(encoded, &images, &segments));
        CHECK_INT(images, 10);
        CHECK_OK(dataset_open(plain, "train", &datasets[0]));
        CHECK_OK(dataset_open(encoded, "train", &datasets[1]));
        for (int64_t i = 0; i < dataset_count(datasets[0]); i++) {
            const int64_t place = i * 3 % dataset_count(datasets[0]);
            for (int d = 0; d < 2; d++) CHECK_OK(dataset_read(datasets[d], place, &samples[d]));
            const size_t pixels = (size_t)samples[0].height * (size_t)samples[0].width;
            CHECK_INT(samples[1].height, samples[0].height);
            CHECK_INT(samples[1].width, samples[0].width);
            CHECK(memcmp(samples[0].rgb, samples[1].rgb, pixels * 3) == 0);
            CHECK(memcmp(samples[0].map, samples[1].map, pixels * 2) == 0);
            CHECK_STRING(samples[1].file_name, samples[0].file_name);
        }
        for (int d = 0; d < 2; d++) {
            snprintf(path, sizeof path, "%s/train-00000.h5", d == 0 ? plain : encoded);
            CHECK_OK(file_size(path, &bytes[d]));
            dataset_close(datasets[d]);
            sample_clear(&samples[d]);
        }
        if (long_side == 0) CHECK(bytes[1] < bytes[0]);
    }
    CHECK_OK(directory_remove(fixture.root));
}

static void test_formats(void)
{
    ImportFormat format;
    CHECK(import_format_from_name("ade20k_full", &format) && format == IMPORT_ADE20K_FULL);
    CHECK(!import_format_from_name("lvis", &format));
}

TEST_MAIN(TEST(test_coco_stuff), TEST(test_all_dropped_shard), TEST(test_voc), TEST(test_ade20k), TEST(test_ade20k_full),
          TEST(test_coco_instances), TEST(test_encoded), TEST(test_formats))
