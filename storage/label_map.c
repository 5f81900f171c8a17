/* libpng reports by callbacks that must not return; each error comes back
 * through one setjmp per image and becomes a Status. */
#include "storage/label_map.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <png.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "storage/image_decode.h"

/* What must survive the jump. */
typedef struct Work {
    jmp_buf jump;
    char message[200];
    png_structp png;
    png_infop info;
    const uint8_t *data;
    size_t bytes, place;
    uint8_t *row;      /* one row, or all of an interlaced image */
} Work;

static void on_error(png_structp png, png_const_charp message)
{
    Work *work = png_get_error_ptr(png);
    snprintf(work->message, sizeof work->message, "%s", message);
    longjmp(work->jump, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void read_input(png_structp png, png_bytep to, size_t bytes)
{
    Work *work = png_get_io_ptr(png);
    if (bytes > work->bytes - work->place) png_error(png, "ends too soon");
    memcpy(to, work->data + work->place, bytes);
    work->place += bytes;
}

void label_map_clear(LabelMap *map)
{
    memory_free(map->values);
    *map = (LabelMap){0};
}

static Status reserve(LabelMap *map, uint32_t height, uint32_t width, const char *name)
{
    if (height < 1 || width < 1 || height > IMAGE_MAX_SIDE || width > IMAGE_MAX_SIDE ||
        (int64_t)height * width > IMAGE_MAX_PIXELS)
        return status_error(STATUS_INVALID, "%s: %u x %u pixels, too many", name, width, height);
    const size_t pixels = (size_t)height * width;
    map->height = (int)height;
    map->width = (int)width;
    if (pixels <= map->capacity) return OK;
    memory_free(map->values);
    map->capacity = 0;
    map->values = memory_alloc(pixels * sizeof *map->values);
    if (map->values == NULL) return status_no_memory(pixels * sizeof *map->values, name);
    map->capacity = pixels;
    return OK;
}

static void take_row(const uint8_t *row, int width, int channels, int bytes, uint32_t *values)
{
    const int stride = channels * bytes;
    for (int x = 0; x < width; x++) {
        const uint8_t *at = row + (size_t)x * (size_t)stride;
        if (channels >= 3) values[x] = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16;
        else values[x] = bytes == 2 ? (uint32_t)at[0] << 8 | at[1] : at[0];
    }
}

static Status decode(Work *work, const char *name, LabelMap *map)
{
    png_structp png = work->png;
    png_set_user_limits(png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_chunk_malloc_max(png, 1 << 26);
    png_read_info(png, work->info);
    TRY(reserve(map, png_get_image_height(png, work->info), png_get_image_width(png, work->info), name));
    const int depth = png_get_bit_depth(png, work->info), channels = png_get_channels(png, work->info);
    map->is_rgb = channels >= 3;
    if (map->is_rgb && depth != 8)
        return status_error(STATUS_INVALID, "%s: an RGB image of %d bits a channel holds no labels", name, depth);
    if (depth < 8) png_set_packing(png);
    const int passes = png_set_interlace_handling(png);
    png_read_update_info(png, work->info);
    const size_t stride = png_get_rowbytes(png, work->info);
    work->row = memory_alloc(stride * (passes > 1 ? (size_t)map->height : 1));
    if (work->row == NULL) return status_no_memory(stride, name);
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < map->height; y++) {
            uint8_t *row = work->row + (passes > 1 ? (size_t)y * stride : 0);
            png_read_row(png, row, NULL);
            if (pass == passes - 1)
                take_row(row, map->width, channels, depth == 16 ? 2 : 1, map->values + (size_t)y * (size_t)map->width);
        }
    png_read_end(png, NULL);
    return OK;
}

Status label_map_decode(const uint8_t *data, size_t bytes, const char *name, LabelMap *map)
{
    if (!image_is_png(data, bytes)) return status_error(STATUS_INVALID, "%s: not a PNG, as labels are", name);
    Work *work = memory_alloc_zero(1, sizeof *work);
    if (work == NULL) return status_no_memory(sizeof *work, name);
    work->data = data;
    work->bytes = bytes;
    Status status;
    if (setjmp(work->jump) != 0) {
        status = status_error(STATUS_INVALID, "%s: damaged PNG: %s", name, work->message);
    } else {
        work->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, work, on_error, on_warning);
        if (work->png != NULL) work->info = png_create_info_struct(work->png);
        if (work->info == NULL) {
            status = status_no_memory(0, name);
        } else {
            png_set_read_fn(work->png, work, read_input);
            status = decode(work, name, map);
        }
    }
    png_destroy_read_struct(&work->png, &work->info, NULL);
    memory_free(work->row);
    memory_free(work);
    return status;
}

Status label_map_read(const char *path, LabelMap *map)
{
    char *data;
    size_t bytes;
    TRY(file_read(path, (size_t)1 << 30, &data, &bytes));
    Status status = label_map_decode((const uint8_t *)data, bytes, path, map);
    memory_free(data);
    return status;
}

/* -- writing -- */

static void write_output(png_structp png, png_bytep data, size_t bytes)
{
    Text *output = png_get_io_ptr(png);
    text_append_bytes(output, (const char *)data, bytes);
    if (output->failed) png_error(png, "out of memory");
}

static void flush_output(png_structp png)
{
    (void)png;
}

static int needed_depth(const uint16_t *values, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++)
        if (values[i] > UINT8_MAX) return 16;
    return 8;
}

static void encode(Work *work, const uint16_t *values, int height, int width)
{
    const int depth = needed_depth(values, (size_t)height * (size_t)width);
    png_set_IHDR(work->png, work->info, (png_uint_32)width, (png_uint_32)height, depth, PNG_COLOR_TYPE_GRAY,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(work->png, work->info);
    for (int y = 0; y < height; y++) {
        const uint16_t *from = values + (size_t)y * (size_t)width;
        for (int x = 0; x < width; x++) {
            if (depth == 16) work->row[2 * x] = (uint8_t)(from[x] >> 8);
            work->row[depth == 16 ? 2 * x + 1 : x] = (uint8_t)from[x];
        }
        png_write_row(work->png, work->row);
    }
    png_write_end(work->png, NULL);
}

Status label_map_write(const char *path, const uint16_t *values, int height, int width)
{
    Work *work = memory_alloc_zero(1, sizeof *work);
    if (work == NULL) return status_no_memory(sizeof *work, path);
    Text *output = memory_alloc_zero(1, sizeof *output); /* on the heap, where the jump can't lose it */
    work->row = memory_alloc((size_t)width * 2);
    Status status = OK;
    if (output == NULL || work->row == NULL) {
        status = status_no_memory((size_t)width * 2, path);
    } else if (setjmp(work->jump) != 0) {
        status = status_error(STATUS_LIBRARY, "%s: PNG encoder: %s", path, work->message);
    } else {
        work->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, work, on_error, on_warning);
        if (work->png != NULL) work->info = png_create_info_struct(work->png);
        if (work->info == NULL) {
            status = status_no_memory(0, path);
        } else {
            png_set_write_fn(work->png, output, write_output, flush_output);
            encode(work, values, height, width);
        }
    }
    if (status == OK) status = file_write(path, output->data, output->length);
    png_destroy_write_struct(&work->png, &work->info);
    if (output != NULL) text_free(output);
    memory_free(output);
    memory_free(work->row);
    memory_free(work);
    return status;
}
