#include "storage/image.h"

#include <inttypes.h>
#include <string.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "storage/image_decode.h"

void image_clear(Image *image)
{
    memory_free(image->rgb);
    *image = (Image){0};
}

Status image_reserve(Image *image, int64_t height, int64_t width, const char *name)
{
    if (height < 1 || width < 1 || height > IMAGE_MAX_SIDE || width > IMAGE_MAX_SIDE ||
        height * width > IMAGE_MAX_PIXELS)
        return status_error(STATUS_INVALID, "%s: image of %" PRId64 "x%" PRId64 " pixels, width by height, is outside "
                            "the limits (sides to %d, 2^28 pixels)", name, width, height, IMAGE_MAX_SIDE);
    size_t bytes = (size_t)height * (size_t)width * 3;
    if (bytes > image->capacity) {
        memory_free(image->rgb);
        image->capacity = 0;
        image->rgb = memory_alloc(bytes);
        if (image->rgb == NULL) return status_no_memory(bytes, name);
        image->capacity = bytes;
    }
    image->height = (int)height;
    image->width = (int)width;
    return OK;
}

bool image_is_jpeg(const uint8_t *data, size_t bytes)
{
    return bytes >= 3 && data[0] == 0xff && data[1] == 0xd8 && data[2] == 0xff;
}

bool image_is_png(const uint8_t *data, size_t bytes)
{
    return bytes >= 8 && memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0;
}

Status image_decode(const uint8_t *data, size_t bytes, const char *name, Image *image)
{
    if (image_is_jpeg(data, bytes)) return image_decode_jpeg(data, bytes, name, image);
    if (image_is_png(data, bytes)) return image_decode_png(data, bytes, name, image);
    return status_error(STATUS_INVALID, "%s: %s", name, bytes == 0 ? "empty file" : "neither a JPEG nor a PNG image");
}

Status image_read(const char *path, Image *image)
{
    char *data;
    size_t bytes;
    TRY(file_read(path, (size_t)1 << 30, &data, &bytes));
    Status status = image_decode((const uint8_t *)data, bytes, path, image);
    memory_free(data);
    return status;
}
