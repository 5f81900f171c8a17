/* The fast reader of segment-id PNGs against libpng, on every filter and form. */
#include <stdio.h>

#include <png.h>

#include "storage/id_map.h"
#include "storage/image_decode.h"
#include "tests/storage/fixture.h"

typedef struct Bytes { uint8_t data[1 << 19]; size_t count; } Bytes;

static void append(png_structp png, png_bytep data, size_t bytes)
{
    Bytes *out = png_get_io_ptr(png);
    if (out->count + bytes > sizeof out->data) png_error(png, "too long");
    memcpy(out->data + out->count, data, bytes);
    out->count += bytes;
}

static void flush(png_structp png)
{
    (void)png;
}

/* `pixels` [height, width] of ids; alpha 255 where the colour type has it. */
static void encode(const uint32_t *pixels, int height, int width, int color_type, int interlace, int filters,
                   size_t chunk, Bytes *out)
{
    out->count = 0;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, out, append, flush);
    if (chunk > 0) png_set_compression_buffer_size(png, chunk);
    png_set_filter(png, 0, filters);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, 8, color_type, interlace,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    int values = color_type == PNG_COLOR_TYPE_RGB_ALPHA ? 4 : 3;
    uint8_t *rows = malloc((size_t)height * (size_t)width * 4);
    uint8_t **starts = malloc((size_t)height * sizeof *starts);
    for (int y = 0; y < height; y++) {
        starts[y] = rows + (size_t)y * (size_t)width * 4;
        for (int x = 0; x < width; x++)
            for (int c = 0; c < values; c++)
                starts[y][values * x + c] = (uint8_t)(c == 3 ? 255 : pixels[y * width + x] >> (8 * c));
    }
    png_write_image(png, starts);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(rows);
    free(starts);
}

/* Ids in runs and spots, as maps have, with void; `ids` [8]. */
static void draw(Random *random, uint32_t *pixels, int height, int width, const uint32_t *ids, bool noisy)
{
    for (int i = 0; i < height * width; i++) pixels[i] = ids[0];
    for (int k = 0; k < 6; k++) {
        int y0 = (int)random_below(random, height), x0 = (int)random_below(random, width);
        int y1 = y0 + 1 + (int)random_below(random, height), x1 = x0 + 1 + (int)random_below(random, width);
        uint32_t id = k == 3 ? 0 : ids[random_below(random, 8)];
        for (int y = y0; y < y1 && y < height; y++)
            for (int x = x0; x < x1 && x < width; x++) pixels[y * width + x] = id;
    }
    for (int i = 0; noisy && i < height * width; i++)
        if (random_below(random, 5) == 0) pixels[i] = ids[random_below(random, 8)];
}

static const uint32_t IDS[8] = {1, 255, 256, 0x0100ff, 0xffffff, 65536, 77777, 0x00ff00};

static void compare(IdMapReader *reader, const uint32_t *pixels, const Bytes *png, int height, int width)
{
    uint16_t *map = malloc((size_t)height * (size_t)width * sizeof *map);
    int64_t areas[9], expected[9] = {0};
    CHECK_OK(id_map_decode(reader, png->data, png->count, "map", height, width, IDS, 8, map, areas));
    for (int i = 0; i < height * width; i++) {
        uint32_t id = map[i] == 0 ? 0 : IDS[map[i] - 1];
        if (id != pixels[i]) TEST_FAIL("pixel %d of %dx%d: %u, not %u", i, height, width, id, pixels[i]);
        expected[map[i]]++;
    }
    for (int k = 0; k < 9; k++) CHECK_INT(areas[k], expected[k]);
    free(map);
}

static void test_filters_and_sizes(void)
{
    static Bytes png;
    static uint32_t pixels[90 * 90];
    IdMapReader *reader = id_map_reader_create();
    const int filters[] = {PNG_FILTER_NONE, PNG_FILTER_SUB, PNG_FILTER_UP, PNG_FILTER_AVG, PNG_FILTER_PAETH, PNG_ALL_FILTERS};
    for (int trial = 0; trial < 240; trial++) {
        Random random = random_stream(3, RANDOM_TEST, 0, (uint64_t)trial);
        int height = 1 + (int)random_below(&random, trial % 3 == 0 ? 5 : 90);
        int width = 1 + (int)random_below(&random, trial % 2 == 0 ? 20 : 90);
        draw(&random, pixels, height, width, IDS, trial % 4 == 3);
        encode(pixels, height, width, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, filters[trial % 6], 0, &png);
        compare(reader, pixels, &png, height, width);
    }
    id_map_reader_destroy(reader);
}

static void test_other_forms(void)
{
    static Bytes png;
    static uint32_t pixels[40 * 50];
    IdMapReader *reader = id_map_reader_create();
    Random random = random_stream(4, RANDOM_TEST, 0, 0);
    draw(&random, pixels, 40, 50, IDS, true);
    encode(pixels, 40, 50, PNG_COLOR_TYPE_RGB_ALPHA, PNG_INTERLACE_NONE, PNG_ALL_FILTERS, 0, &png);
    compare(reader, pixels, &png, 40, 50);
    encode(pixels, 40, 50, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_ADAM7, PNG_ALL_FILTERS, 0, &png);
    compare(reader, pixels, &png, 40, 50);
    encode(pixels, 40, 50, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_ALL_FILTERS, 64, &png); /* many IDAT chunks */
    compare(reader, pixels, &png, 40, 50);
    id_map_reader_destroy(reader);
}

static void test_refusals(void)
{
    static Bytes png;
    static uint32_t pixels[20 * 30];
    uint16_t map[20 * 30];
    int64_t areas[9];
    IdMapReader *reader = id_map_reader_create();
    for (int i = 0; i < 600; i++) pixels[i] = 0x00ff00;
    pixels[333] = 123456;
    encode(pixels, 20, 30, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_ALL_FILTERS, 0, &png);
    CHECK_FAILS(id_map_decode(reader, png.data, png.count, "m.png", 20, 30, IDS, 8, map, areas), STATUS_INVALID, "123456");
    CHECK_FAILS(id_map_decode(reader, png.data, png.count, "m.png", 30, 20, IDS, 8, map, areas), STATUS_INVALID,
                "m.png: is 30x20 pixels");
    CHECK_FAILS(id_map_decode(reader, (const uint8_t *)"GIF89a", 6, "m.png", 20, 30, IDS, 8, map, areas), STATUS_INVALID,
                "not a PNG");
    encode(pixels, 20, 30, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_FILTER_NONE, 0, &png);
    CHECK_FAILS(id_map_decode(reader, png.data, png.count, "m.png", 20, 30, IDS, 8, map, areas), STATUS_INVALID, "RGB");
    id_map_reader_destroy(reader);
}

/* Cuts and flips: an error each, as checksums of chunks cover all that matters. */
static void test_damage(void)
{
    static Bytes png;
    static uint32_t pixels[40 * 50];
    uint16_t map[40 * 50];
    int64_t areas[9];
    IdMapReader *reader = id_map_reader_create();
    Random random = random_stream(5, RANDOM_TEST, 0, 0);
    draw(&random, pixels, 40, 50, IDS, false);
    encode(pixels, 40, 50, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_ALL_FILTERS, 128, &png);
    for (size_t cut = 0; cut < png.count; cut++) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, png.data, cut);
        CHECK_FAILS(id_map_decode(reader, copy, cut, "cut", 40, 50, IDS, 8, map, areas), STATUS_INVALID, "cut");
        free(copy);
    }
    uint8_t *copy = malloc(png.count);
    for (size_t i = 0; i < png.count; i++) {
        memcpy(copy, png.data, png.count);
        copy[i] ^= (uint8_t)(1 << i % 8);
        CHECK_FAILS(id_map_decode(reader, copy, png.count, "flip", 40, 50, IDS, 8, map, areas), STATUS_INVALID, "flip");
    }
    free(copy);
    id_map_reader_destroy(reader);
}

TEST_MAIN(TEST(test_filters_and_sizes), TEST(test_other_forms), TEST(test_refusals), TEST(test_damage))
