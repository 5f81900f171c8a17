#include <stdio.h>

#include <jpeglib.h>
#include <png.h>

#include "storage/image_decode.h"
#include "tests/storage/fixture.h"

static char directory[256];

static Image pattern(int height, int width)
{
    Image image = {height, width, malloc((size_t)height * (size_t)width * 3), 0};
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                image.rgb[((size_t)y * (size_t)width + (size_t)x) * 3 + (size_t)c] =
                    (uint8_t)(128 + 60 * sin(0.1 * x + c) + 40 * cos(0.07 * y));
    image.capacity = (size_t)height * (size_t)width * 3;
    return image;
}

static const char *at(const char *name)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static int largest_difference(const Image *a, const Image *b)
{
    int largest = 0;
    CHECK(a->height == b->height && a->width == b->width);
    for (size_t i = 0; i < (size_t)a->height * (size_t)a->width * 3; i++) {
        int difference = abs(a->rgb[i] - b->rgb[i]);
        if (difference > largest) largest = difference;
    }
    return largest;
}

static void test_round_trips(void)
{
    temporary_directory(directory);
    const int sizes[][2] = {{1, 1}, {7, 13}, {40, 60}, {100, 33}};
    Image read = {0};
    for (size_t i = 0; i < 4; i++) {
        Image image = pattern(sizes[i][0], sizes[i][1]);
        CHECK_OK(image_write_png(at("a.png"), &image));
        CHECK_OK(image_read(at("a.png"), &read));
        CHECK_INT(largest_difference(&image, &read), 0);
        CHECK_OK(image_write_jpeg(at("a.jpg"), &image, 95));
        CHECK_OK(image_read(at("a.jpg"), &read));
        CHECK(largest_difference(&image, &read) < 20);
        image_clear(&image);
    }
    image_clear(&read);
    CHECK_OK(directory_remove(directory));
}

/* Every cut of a JPEG is an error, and so is every cut of a PNG. */
static void test_cut_files(void)
{
    temporary_directory(directory);
    Image image = pattern(48, 64), read = {0};
    CHECK_OK(image_write_jpeg(at("a.jpg"), &image, 90));
    CHECK_OK(image_write_png(at("a.png"), &image));
    const char *const names[] = {"a.jpg", "a.png"};
    for (int n = 0; n < 2; n++) {
        char *data;
        size_t bytes;
        CHECK_OK(file_read(at(names[n]), 0, &data, &bytes));
        for (size_t cut = 0; cut < bytes; cut += cut < 700 || cut + 40 > bytes ? 1 : 17) {
            char *copy = malloc(cut + 1); /* its own block, so that a read past the end is seen */
            memcpy(copy, data, cut);
            CHECK_FAILS(image_decode((uint8_t *)copy, cut, "cut", &read), STATUS_INVALID, "cut");
            free(copy);
        }
        memory_free(data);
    }
    image_clear(&image);
    image_clear(&read);
    CHECK_OK(directory_remove(directory));
}

/* Damage gives an image or an error, but never more. */
static void test_flipped_bytes(void)
{
    temporary_directory(directory);
    Image image = pattern(24, 32), read = {0};
    CHECK_OK(image_write_jpeg(at("a.jpg"), &image, 90));
    CHECK_OK(image_write_png(at("a.png"), &image));
    const char *const names[] = {"a.jpg", "a.png"};
    for (int n = 0; n < 2; n++) {
        char *data;
        size_t bytes;
        CHECK_OK(file_read(at(names[n]), 0, &data, &bytes));
        for (size_t i = 0; i < bytes; i++) {
            data[i] = (char)(data[i] ^ (1 << i % 8));
            status_free(image_decode((uint8_t *)data, bytes, "flipped", &read));
            data[i] = (char)(data[i] ^ (1 << i % 8));
        }
        memory_free(data);
    }
    image_clear(&image);
    image_clear(&read);
    CHECK_OK(directory_remove(directory));
}

static size_t write_jpeg_as(const Image *image, J_COLOR_SPACE space, int components, bool progressive, unsigned char **out)
{
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    unsigned long bytes = 0;
    uint8_t *row = malloc((size_t)image->width * 4);
    *out = NULL;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, out, &bytes);
    info.image_width = (JDIMENSION)image->width;
    info.image_height = (JDIMENSION)image->height;
    info.input_components = components;
    info.in_color_space = space;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, 98, TRUE);
    if (progressive) jpeg_simple_progression(&info);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        const uint8_t *from = image->rgb + (size_t)info.next_scanline * (size_t)image->width * 3;
        for (int x = 0; x < image->width; x++)
            for (int c = 0; c < components; c++) row[components * x + c] = c < 3 ? from[3 * x + c] : 255;
        JSAMPROW rows = row;
        jpeg_write_scanlines(&info, &rows, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    free(row);
    return bytes;
}

static void test_jpeg_forms(void)
{
    Image image = pattern(30, 50), read = {0};
    unsigned char *data;
    size_t bytes = write_jpeg_as(&image, JCS_RGB, 3, true, &data);
    CHECK_OK(image_decode(data, bytes, "progressive", &read));
    CHECK(largest_difference(&image, &read) < 20);
    free(data);
    bytes = write_jpeg_as(&image, JCS_GRAYSCALE, 1, false, &data);
    CHECK_OK(image_decode(data, bytes, "grey", &read));
    CHECK(read.rgb[0] == read.rgb[1] && read.rgb[1] == read.rgb[2]);
    CHECK(abs(read.rgb[0] - image.rgb[0]) < 10);
    free(data);
    bytes = write_jpeg_as(&image, JCS_CMYK, 4, false, &data); /* inverted, K 255: C, M, Y are R, G, B */
    CHECK_OK(image_decode(data, bytes, "cmyk", &read));
    CHECK(largest_difference(&image, &read) < 20);
    free(data);
    image_clear(&image);
    image_clear(&read);
}

static void write_png_as(const char *path, int color_type, int depth)
{
    FILE *file = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, file);
    png_set_IHDR(png, info, 8, 4, depth, color_type, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    const png_color palette[2] = {{10, 20, 30}, {200, 100, 50}};
    if (color_type == PNG_COLOR_TYPE_PALETTE) png_set_PLTE(png, info, palette, 2);
    png_write_info(png, info);
    uint8_t row[64] = {0};
    for (size_t i = 0; i < sizeof row; i++) row[i] = color_type == PNG_COLOR_TYPE_PALETTE ? 0x55 : 77;
    for (int y = 0; y < 4; y++) png_write_row(png, row);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    fclose(file);
}

static void test_png_forms(void)
{
    temporary_directory(directory);
    Image read = {0};
    write_png_as(at("g.png"), PNG_COLOR_TYPE_GRAY, 8);
    CHECK_OK(image_read(at("g.png"), &read));
    CHECK_INT(read.rgb[0], 77);
    CHECK_INT(read.rgb[95], 77);
    write_png_as(at("p.png"), PNG_COLOR_TYPE_PALETTE, 1);
    CHECK_OK(image_read(at("p.png"), &read));
    CHECK(read.rgb[0] == 10 && read.rgb[3] == 200 && read.rgb[5] == 50);
    write_png_as(at("d.png"), PNG_COLOR_TYPE_RGB, 16);
    CHECK_OK(image_read(at("d.png"), &read));
    CHECK_INT(read.rgb[7], 77);
    write_png_as(at("a.png"), PNG_COLOR_TYPE_RGB_ALPHA, 8);
    CHECK_OK(image_read(at("a.png"), &read));
    CHECK_INT(read.rgb[7], 77);
    image_clear(&read);
    CHECK_OK(directory_remove(directory));
}

static void test_refusals(void)
{
    temporary_directory(directory);
    Image read = {0};
    CHECK_FAILS(image_read(at("none.jpg"), &read), STATUS_NOT_FOUND, "none.jpg");
    fixture_text(directory, "empty.jpg", "");
    CHECK_FAILS(image_read(at("empty.jpg"), &read), STATUS_INVALID, "empty");
    fixture_text(directory, "text.png", "hello there");
    CHECK_FAILS(image_read(at("text.png"), &read), STATUS_INVALID, "neither a JPEG nor a PNG");
    /* A header that claims 65500 x 65500 pixels. */
    Image image = pattern(8, 8);
    CHECK_OK(image_write_jpeg(at("huge.jpg"), &image, 90));
    char *data;
    size_t bytes;
    CHECK_OK(file_read(at("huge.jpg"), 0, &data, &bytes));
    for (size_t i = 0; i + 9 < bytes; i++)
        if ((uint8_t)data[i] == 0xff && (uint8_t)data[i + 1] == 0xc0) memset(data + i + 5, 0xfe, 4);
    CHECK_FAILS(image_decode((uint8_t *)data, bytes, "huge.jpg", &read), STATUS_INVALID, "limits");
    memory_free(data);
    image_clear(&image);
    image_clear(&read);
    CHECK_OK(directory_remove(directory));
}

static void test_full_disk(void)
{
    temporary_directory(directory);
    Image image = pattern(8, 8);
    CHECK_OK(files_inject("write:nospace"));
    CHECK_FAILS(image_write_png(at("a.png"), &image), STATUS_NO_SPACE, "a.png");
    CHECK_OK(files_inject("rename:nospace"));
    CHECK_FAILS(image_write_jpeg(at("a.jpg"), &image, 90), STATUS_NO_SPACE, "a.jpg");
    char **names;
    size_t count;
    CHECK_OK(directory_list(directory, &names, &count));
    CHECK_INT(count, 0);
    names_free(names, count);
    image_clear(&image);
    CHECK_OK(directory_remove(directory));
}

static void test_resize(void)
{
    Image from = {4, 4, malloc(48), 48}, to = {0};
    for (int i = 0; i < 48; i++) from.rgb[i] = (uint8_t)(i / 3 * 10);
    CHECK_OK(image_resize(&from, 2, 2, &to));
    CHECK_INT(to.rgb[0], 25);  /* mean of 0, 10, 40, 50 */
    CHECK_INT(to.rgb[9], 125); /* mean of 100, 110, 140, 150 */
    CHECK_OK(image_resize(&from, 4, 4, &to));
    CHECK_INT(largest_difference(&from, &to), 0);
    CHECK_OK(image_resize(&from, 1, 1, &to));
    CHECK_INT(to.rgb[1], 75);
    memset(from.rgb, 255, 48);
    const int sizes[][2] = {{3, 3}, {1, 7}, {9, 2}, {5, 4}, {31, 17}};
    for (size_t i = 0; i < 5; i++) { /* white stays white at every size */
        CHECK_OK(image_resize(&from, sizes[i][0], sizes[i][1], &to));
        for (int k = 0; k < to.height * to.width * 3; k++) CHECK_INT(to.rgb[k], 255);
    }
    image_clear(&from);
    /* A thin mean: 3 columns to 2 split the middle one. */
    Image three = {1, 3, malloc(9), 9};
    const uint8_t values[9] = {0, 0, 0, 90, 90, 90, 30, 30, 30};
    memcpy(three.rgb, values, 9);
    CHECK_OK(image_resize(&three, 1, 2, &to));
    CHECK_INT(to.rgb[0], 30);
    CHECK_INT(to.rgb[3], 50);
    CHECK_OK(image_resize(&three, 1, 6, &to)); /* growing: between neighbours */
    CHECK_INT(to.rgb[0], 0);
    CHECK(to.rgb[3] > 0 && to.rgb[3] < 90);
    image_clear(&three);
    image_clear(&to);
}

TEST_MAIN(TEST(test_round_trips), TEST(test_cut_files), TEST(test_flipped_bytes), TEST(test_jpeg_forms),
          TEST(test_png_forms), TEST(test_refusals), TEST(test_full_disk), TEST(test_resize))
