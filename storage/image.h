/* JPEG (libjpeg-turbo) and PNG (libpng) in and out, as RGB bytes. Every
 * decoder error is one Status naming the file; a truncated JPEG is an error,
 * not a grey corner. Images over 2^28 pixels are refused. */
#ifndef STORAGE_IMAGE_H
#define STORAGE_IMAGE_H

#include <stdint.h>

#include "framework/status.h"
#include "framework/text.h"

typedef struct Image {
    int height, width;
    uint8_t *rgb;      /* [height, width, 3] */
    size_t capacity;   /* bytes of rgb; reused by the next read */
} Image;
void image_clear(Image *image);

Status image_read(const char *path, Image *image);           /* by content: JPEG or PNG; grey and palette become RGB */
Status image_write_png(const char *path, const Image *image); /* atomic */
/* Atomic. Without chroma subsampling where `quality` is above 90. */
Status image_write_jpeg(const char *path, const Image *image, int quality);
/* The same bytes in memory, in place of what `out` held; `name` is for errors. */
Status image_encode_png(const Image *image, const char *name, Text *out);
Status image_encode_jpeg(const Image *image, int quality, const char *name, Text *out);
/* Area average when shrinking, bilinear when growing. */
Status image_resize(const Image *from, int height, int width, Image *to);

#endif
