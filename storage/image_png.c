/* libpng reports by callbacks that must not return; each error comes back
 * through one setjmp per image and becomes a Status. */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <png.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "storage/image_decode.h"

typedef struct PngErrors {
    jmp_buf jump;
    char message[200];
} PngErrors;

typedef struct PngInput {
    const uint8_t *data;
    size_t bytes, place;
} PngInput;

static void on_error(png_structp png, png_const_charp message)
{
    PngErrors *errors = png_get_error_ptr(png);
    snprintf(errors->message, sizeof errors->message, "%s", message);
    longjmp(errors->jump, 1);
}

/* Warnings are of ancillary chunks (profiles, times), which are not read. */
static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void read_input(png_structp png, png_bytep to, size_t bytes)
{
    PngInput *input = png_get_io_ptr(png);
    if (bytes > input->bytes - input->place) png_error(png, "ends too soon");
    memcpy(to, input->data + input->place, bytes);
    input->place += bytes;
}

static Status decode(png_structp png, png_infop info, const char *name, Image *image)
{
    png_set_user_limits(png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_chunk_malloc_max(png, 1 << 26);
    png_read_info(png, info);
    TRY(image_reserve(image, png_get_image_height(png, info), png_get_image_width(png, info), name));
    png_set_expand(png);
    png_set_scale_16(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    size_t stride = (size_t)image->width * 3;
    if (png_get_rowbytes(png, info) != stride) png_error(png, "unexpected row size");
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < image->height; y++) png_read_row(png, image->rgb + (size_t)y * stride, NULL);
    png_read_end(png, NULL);
    return OK;
}

/* What must survive the jump. */
typedef struct PngWork {
    PngErrors errors;
    png_structp png;
    png_infop info;
    PngInput input;
} PngWork;

Status image_decode_png(const uint8_t *data, size_t bytes, const char *name, Image *image)
{
    PngWork *work = memory_alloc_zero(1, sizeof *work);
    if (work == NULL) return status_no_memory(sizeof *work, name);
    work->input = (PngInput){.data = data, .bytes = bytes};
    Status status;
    if (setjmp(work->errors.jump) != 0) {
        status = status_error(STATUS_INVALID, "%s: damaged PNG: %s", name, work->errors.message);
    } else {
        work->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &work->errors, on_error, on_warning);
        if (work->png != NULL) work->info = png_create_info_struct(work->png);
        if (work->info == NULL) {
            status = status_no_memory(0, name);
        } else {
            png_set_read_fn(work->png, &work->input, read_input);
            status = decode(work->png, work->info, name, image);
        }
    }
    png_destroy_read_struct(&work->png, &work->info, NULL);
    memory_free(work);
    return status;
}

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

static void encode(png_structp png, png_infop info, const Image *image)
{
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int y = 0; y < image->height; y++)
        png_write_row(png, image->rgb + (size_t)y * (size_t)image->width * 3);
    png_write_end(png, NULL);
}

Status image_encode_png(const Image *image, const char *name, Text *out)
{
    if (image->height < 1 || image->width < 1)
        return status_error(STATUS_INVALID, "%s: a PNG can't be %dx%d pixels", name, image->width, image->height);
    PngWork *work = memory_alloc_zero(1, sizeof *work);
    if (work == NULL) return status_no_memory(sizeof *work, name);
    Status status = OK;
    if (setjmp(work->errors.jump) != 0) {
        status = status_error(STATUS_LIBRARY, "%s: PNG encoder: %s", name, work->errors.message);
    } else {
        work->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &work->errors, on_error, on_warning);
        if (work->png != NULL) work->info = png_create_info_struct(work->png);
        if (work->info == NULL) {
            status = status_no_memory(0, name);
        } else {
            out->length = 0;
            png_set_write_fn(work->png, out, write_output, flush_output);
            encode(work->png, work->info, image);
        }
    }
    png_destroy_write_struct(&work->png, &work->info);
    memory_free(work);
    return status;
}

Status image_write_png(const char *path, const Image *image)
{
    Text encoded = {0};
    Status status = image_encode_png(image, path, &encoded);
    if (status == OK) status = file_write(path, encoded.data, encoded.length);
    text_free(&encoded);
    return status;
}
