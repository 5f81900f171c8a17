/* Decoders of images already in memory; private to storage/. `name` is the
 * file that errors name. */
#ifndef STORAGE_IMAGE_DECODE_H
#define STORAGE_IMAGE_DECODE_H

#include "storage/image.h"

#define IMAGE_MAX_PIXELS ((int64_t)1 << 28)
#define IMAGE_MAX_SIDE 65535

bool image_is_jpeg(const uint8_t *data, size_t bytes);
bool image_is_png(const uint8_t *data, size_t bytes);
/* By content: either of the two below, or STATUS_INVALID. */
Status image_decode(const uint8_t *data, size_t bytes, const char *name, Image *image);
Status image_decode_jpeg(const uint8_t *data, size_t bytes, const char *name, Image *image);
Status image_decode_png(const uint8_t *data, size_t bytes, const char *name, Image *image);
/* Checks the limits and makes room for height * width RGB pixels. */
Status image_reserve(Image *image, int64_t height, int64_t width, const char *name);

#endif
