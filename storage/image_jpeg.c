/* libjpeg reports by callbacks that must not return; each error comes back
 * through one setjmp per image and becomes a Status. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "storage/image_decode.h"

/* A progressive file of a few kilobytes may hold scans without end, each of
 * which costs a pass over the image. */
enum { MAX_SCANS = 200 };

typedef struct JpegErrors {
    struct jpeg_error_mgr manager; /* first: libjpeg hands back its address */
    jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
} JpegErrors;

static void fail(j_common_ptr info)
{
    JpegErrors *errors = (JpegErrors *)(void *)info->err;
    info->err->format_message(info, errors->message);
    longjmp(errors->jump, 1);
}

/* Warnings of missing or damaged data would leave grey or wrong pixels, so
 * they are errors. The others (stray bytes between markers, odd versions) cost
 * no pixel, and occur in the photographs of public data sets. */
static void on_message(j_common_ptr info, int level)
{
    if (level >= 0) return;
    switch (info->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
    case JWRN_NOT_SEQUENTIAL:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_BOGUS_ICC:
        fail(info);
        break;
    default:
        break;
    }
}

static void on_progress(j_common_ptr info)
{
    if (!info->is_decompressor || ((j_decompress_ptr)info)->input_scan_number <= MAX_SCANS) return;
    JpegErrors *errors = (JpegErrors *)(void *)info->err;
    snprintf(errors->message, sizeof errors->message, "more than %d scans", MAX_SCANS);
    longjmp(errors->jump, 1);
}

static void set_errors(JpegErrors *errors, struct jpeg_error_mgr **place)
{
    *place = jpeg_std_error(&errors->manager);
    errors->manager.error_exit = fail;
    errors->manager.emit_message = on_message;
    errors->message[0] = '\0';
}

/* Adobe's CMYK is stored inverted, as all writers in use do. */
static void cmyk_row(const uint8_t *from, uint8_t *to, int width)
{
    for (int x = 0; x < width; x++)
        for (int c = 0; c < 3; c++) to[3 * x + c] = (uint8_t)(from[4 * x + c] * from[4 * x + 3] / 255);
}

static void read_rows(struct jpeg_decompress_struct *info, Image *image, uint8_t *cmyk)
{
    size_t stride = (size_t)image->width * 3;
    while (info->output_scanline < info->output_height) {
        uint8_t *row = image->rgb + info->output_scanline * stride;
        JSAMPROW rows[4] = {row, row + stride, row + 2 * stride, row + 3 * stride};
        if (cmyk != NULL) {
            JSAMPROW one = cmyk;
            jpeg_read_scanlines(info, &one, 1);
            cmyk_row(cmyk, row, image->width);
        } else {
            JDIMENSION left = info->output_height - info->output_scanline;
            jpeg_read_scanlines(info, rows, left < 4 ? left : 4);
        }
    }
}

static Status decode(struct jpeg_decompress_struct *info, const char *name, Image *image, uint8_t **cmyk)
{
    jpeg_read_header(info, TRUE);
    TRY(image_reserve(image, info->image_height, info->image_width, name));
    bool four = info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK;
    info->out_color_space = four ? JCS_CMYK : JCS_RGB;
    if (four) {
        *cmyk = memory_alloc((size_t)image->width * 4);
        if (*cmyk == NULL) return status_no_memory((size_t)image->width * 4, name);
    }
    jpeg_start_decompress(info);
    read_rows(info, image, *cmyk);
    jpeg_finish_decompress(info);
    return OK;
}

Status image_decode_jpeg(const uint8_t *data, size_t bytes, const char *name, Image *image)
{
    struct jpeg_decompress_struct info;
    JpegErrors errors;
    struct jpeg_progress_mgr progress = {.progress_monitor = on_progress};
    uint8_t *cmyk = NULL;
    uint8_t **volatile cmyk_place = &cmyk; /* survives the jump */
    memset(&info, 0, sizeof info);
    set_errors(&errors, &info.err);
    Status status;
    if (setjmp(errors.jump) != 0) {
        status = status_error(STATUS_INVALID, "%s: damaged JPEG: %s", name, errors.message);
    } else {
        jpeg_create_decompress(&info);
        info.progress = &progress;
        jpeg_mem_src(&info, data, bytes);
        status = decode(&info, name, image, cmyk_place);
    }
    jpeg_destroy_decompress(&info);
    memory_free(*cmyk_place);
    return status;
}

static void encode(struct jpeg_compress_struct *info, const Image *image, int quality, unsigned char **data,
                   unsigned long *bytes)
{
    jpeg_create_compress(info);
    jpeg_mem_dest(info, data, bytes);
    info->image_width = (JDIMENSION)image->width;
    info->image_height = (JDIMENSION)image->height;
    info->input_components = 3;
    info->in_color_space = JCS_RGB;
    jpeg_set_defaults(info);
    jpeg_set_quality(info, quality, TRUE);
    if (quality > 90) /* whoever asks for this much wants sharp colours too: no subsampling of chroma */
        info->comp_info[0].h_samp_factor = info->comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(info, TRUE);
    while (info->next_scanline < info->image_height) {
        JSAMPROW row = image->rgb + (size_t)info->next_scanline * (size_t)image->width * 3;
        jpeg_write_scanlines(info, &row, 1);
    }
    jpeg_finish_compress(info);
}

/* libjpeg's own buffer; on the heap, where the jump can't lose it. */
typedef struct JpegOutput { unsigned char *data; unsigned long bytes; } JpegOutput;

Status image_encode_jpeg(const Image *image, int quality, const char *name, Text *out)
{
    if (image->height < 1 || image->width < 1 || image->height > IMAGE_MAX_SIDE || image->width > IMAGE_MAX_SIDE)
        return status_error(STATUS_INVALID, "%s: a JPEG can't be %dx%d pixels", name, image->width, image->height);
    JpegOutput *output = memory_alloc_zero(1, sizeof *output);
    if (output == NULL) return status_no_memory(sizeof *output, name);
    struct jpeg_compress_struct info;
    JpegErrors errors;
    memset(&info, 0, sizeof info);
    set_errors(&errors, &info.err);
    Status status = OK;
    if (setjmp(errors.jump) != 0) {
        status = status_error(STATUS_LIBRARY, "%s: JPEG encoder: %s", name, errors.message);
    } else {
        encode(&info, image, quality, &output->data, &output->bytes);
        out->length = 0;
        text_append_bytes(out, (const char *)output->data, output->bytes);
        if (out->failed) status = status_no_memory(output->bytes, name);
    }
    jpeg_destroy_compress(&info);
    free(output->data); /* libjpeg's malloc */
    memory_free(output);
    return status;
}

Status image_write_jpeg(const char *path, const Image *image, int quality)
{
    Text encoded = {0};
    Status status = image_encode_jpeg(image, quality, path, &encoded);
    if (status == OK) status = file_write(path, encoded.data, encoded.length);
    text_free(&encoded);
    return status;
}
