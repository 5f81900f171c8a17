/* Small data sets in COCO panoptic layout for the tests and benches of storage/.
 * Every pixel and segment is a function of the options and the image's number. */
#ifndef TESTS_STORAGE_FIXTURE_H
#define TESTS_STORAGE_FIXTURE_H

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "framework/files.h"
#include "framework/json.h"
#include "framework/memory.h"
#include "framework/random.h"
#include "storage/coco.h"
#include "storage/image.h"
#include "tests/test.h"

typedef struct Fixture {
    char root[256];     /* directory; "" before fixture_create */
    int train, val;     /* images */
    int height, width;
    int classes;        /* named "class 0", ..., every other one a thing */
    int blobs;          /* ellipses a scene */
    double noise;       /* grey levels */
    int quality;        /* of the JPEGs */
    char paths[6][320]; /* train JSON, images, panoptic; the same of val */
} Fixture;

static inline void fixture_text(const char *directory, const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    CHECK_OK(file_write(path, text, strlen(text)));
}

static inline void temporary_directory(char out[256])
{
    const char *base = getenv("TMPDIR");
    snprintf(out, 256, "%s/zeroth-test-XXXXXX", base != NULL ? base : "/tmp");
    CHECK(mkdtemp(out) != NULL);
}

/* ids[0 .. blobs] of an image: distinct, over all three bytes. */
static inline uint32_t fixture_id(int64_t image, int blob)
{
    return (uint32_t)(((uint64_t)(image * 131 + blob + 1) * 7919u) % 16777213u) + 1;
}

static inline int fixture_class(const Fixture *f, int64_t image, int blob)
{
    return (int)((image * 5 + blob * 3) % f->classes);
}

/* Paints an image and its ids; `areas` [blobs + 1]. Blob 0 is the ground below the others; a margin is void. */
static inline void fixture_paint(const Fixture *f, int64_t image, Image *rgb, Image *ids, int64_t *areas)
{
    Random random = random_stream(1, RANDOM_TEST, 0, (uint64_t)image);
    double shape[64][4];
    memset(areas, 0, (size_t)(f->blobs + 1) * sizeof *areas);
    for (int b = 1; b <= f->blobs; b++) {
        shape[b][0] = random_uniform(&random) * f->height;
        shape[b][1] = random_uniform(&random) * f->width;
        shape[b][2] = f->height * (0.05 + 0.15 * random_uniform(&random));
        shape[b][3] = f->width * (0.05 + 0.15 * random_uniform(&random));
    }
    for (int y = 0; y < f->height; y++)
        for (int x = 0; x < f->width; x++) {
            int blob = 0;
            for (int b = f->blobs; b > 0 && blob == 0; b--) {
                double dy = (y - shape[b][0]) / shape[b][2], dx = (x - shape[b][1]) / shape[b][3];
                if (dy * dy + dx * dx < 1 + 0.2 * sin(8 * atan2(dy, dx) + b)) blob = b;
            }
            bool is_void = x < f->width / 20;
            uint32_t id = is_void ? 0 : fixture_id(image, blob);
            areas[blob] += !is_void;
            size_t at = ((size_t)y * (size_t)f->width + (size_t)x) * 3;
            double shade = 30 * sin(0.05 * x + blob) + 20 * sin(0.03 * y) + f->noise * random_normal(&random);
            for (int c = 0; c < 3; c++) {
                double value = 60 + 37 * ((blob * (c + 2) + c) % 4) + shade;
                ids->rgb[at + (size_t)c] = (uint8_t)(id >> (8 * c));
                rgb->rgb[at + (size_t)c] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
            }
        }
}

static inline void fixture_segments(const Fixture *f, int64_t image, const int64_t *areas, JsonWriter *json)
{
    json_begin_array(json);
    for (int b = 0; b <= f->blobs; b++) {
        if (areas[b] == 0) continue;
        json_begin_object(json);
        json_key(json, "id");
        json_integer(json, fixture_id(image, b));
        json_key(json, "category_id");
        json_integer(json, 10 + fixture_class(f, image, b));
        json_key(json, "iscrowd");
        json_integer(json, b == 3);
        json_key(json, "area");
        json_integer(json, areas[b]);
        json_key(json, "bbox");
        json_begin_array(json);
        for (int k = 0; k < 4; k++) json_integer(json, k);
        json_end_array(json);
        json_end_object(json);
    }
    json_end_array(json);
}

static inline void fixture_image_entry(const Fixture *f, int64_t image, JsonWriter *json)
{
    char name[64];
    snprintf(name, sizeof name, "%06lld.jpg", (long long)image);
    json_begin_object(json);
    json_key(json, "id");
    json_integer(json, image);
    json_key(json, "file_name");
    json_string(json, name);
    json_key(json, "height");
    json_integer(json, f->height);
    json_key(json, "width");
    json_integer(json, f->width);
    json_key(json, "license");
    json_integer(json, 3);
    json_end_object(json);
}

static inline void fixture_categories(const Fixture *f, JsonWriter *json)
{
    json_begin_array(json);
    for (int c = 0; c < f->classes; c++) {
        char name[32];
        snprintf(name, sizeof name, "class %d", c);
        json_begin_object(json);
        json_key(json, "id");
        json_integer(json, 10 + c);
        json_key(json, "name");
        json_string(json, name);
        json_key(json, "supercategory");
        json_string(json, "x");
        json_key(json, "isthing");
        json_integer(json, c % 2);
        json_key(json, "color");
        json_begin_array(json);
        for (int k = 0; k < 3; k++) json_integer(json, (c * 40 + k) % 256);
        json_end_array(json);
        json_end_object(json);
    }
    json_end_array(json);
}

static inline void fixture_split(Fixture *f, int split, int64_t first, int count)
{
    char (*paths)[320] = f->paths + 3 * split;
    snprintf(paths[0], 320, "%s/panoptic_%s.json", f->root, split == 0 ? "train" : "val");
    snprintf(paths[1], 320, "%s/%s", f->root, split == 0 ? "train" : "val");
    snprintf(paths[2], 320, "%s/panoptic_%s", f->root, split == 0 ? "train" : "val");
    CHECK_OK(directory_create(paths[1]));
    CHECK_OK(directory_create(paths[2]));
    size_t bytes = (size_t)f->height * (size_t)f->width * 3;
    Image rgb = {f->height, f->width, malloc(bytes), bytes}, ids = {f->height, f->width, malloc(bytes), bytes};
    JsonWriter json = {0};
    json_begin_object(&json);
    json_key(&json, "annotations");
    json_begin_array(&json);
    for (int64_t image = first; image < first + count; image++) {
        int64_t areas[64];
        char name[64], path[400];
        fixture_paint(f, image, &rgb, &ids, areas);
        snprintf(path, sizeof path, "%s/%06lld.jpg", paths[1], (long long)image);
        CHECK_OK(image_write_jpeg(path, &rgb, f->quality));
        snprintf(name, sizeof name, "%06lld.png", (long long)image);
        snprintf(path, sizeof path, "%s/%s", paths[2], name);
        CHECK_OK(image_write_png(path, &ids));
        json_begin_object(&json);
        json_key(&json, "segments_info");
        fixture_segments(f, image, areas, &json);
        json_key(&json, "image_id");
        json_integer(&json, image);
        json_key(&json, "file_name");
        json_string(&json, name);
        json_end_object(&json);
    }
    json_end_array(&json);
    json_key(&json, "images");
    json_begin_array(&json);
    for (int64_t image = first; image < first + count; image++) fixture_image_entry(f, image, &json);
    json_end_array(&json);
    json_key(&json, "categories");
    fixture_categories(f, &json);
    json_end_object(&json);
    CHECK_OK(file_write(paths[0], json.text.data, json.text.length));
    text_free(&json.text);
    free(rgb.rgb);
    free(ids.rgb);
}

static inline Fixture fixture_defaults(void)
{
    return (Fixture){.train = 7, .val = 3, .height = 40, .width = 60, .classes = 6, .blobs = 5, .noise = 4, .quality = 90};
}

static inline void fixture_create(Fixture *f)
{
    temporary_directory(f->root);
    fixture_split(f, 0, 1, f->train);
    fixture_split(f, 1, 1001, f->val);
}

static inline ImportOptions fixture_import(const Fixture *f, const char *output)
{
    CHECK_OK(directory_create(output));
    return (ImportOptions){.train = {f->paths[0], f->paths[1], f->paths[2]},
                           .val = {f->paths[3], f->paths[4], f->paths[5]}, .shard_images = 3, .output = output};
}

/* The whole import on one rank; `*skipped` shards may be NULL. */
static inline Status import_everything(const ImportOptions *options, int64_t *skipped)
{
    Import *import;
    int64_t count = 0;
    TRY(import_create(options, &import));
    Status status = OK;
    for (int64_t shard = 0; status == OK && shard < import_shard_count(import); shard++) {
        bool one;
        int64_t images;
        status = import_shard(import, shard, &one, &images);
        count += one;
    }
    if (status == OK) status = import_finish(import);
    import_destroy(import);
    if (skipped != NULL) *skipped = count;
    return status;
}

#endif
