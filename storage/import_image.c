/* One image's way from its files to what a shard stores. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "framework/file_at.h"
#include "framework/files.h"
#include "framework/memory.h"
#include "storage/image_decode.h"
#include "storage/import_private.h"

Status import_buffers_create(ImportBuffers *buffers)
{
    buffers->maps = id_map_reader_create();
    buffers->areas = memory_alloc(IMPORT_MOST_SEGMENTS * sizeof *buffers->areas);
    buffers->ids = memory_alloc(IMPORT_MOST_SEGMENTS * sizeof *buffers->ids);
    buffers->numbers = memory_alloc(IMPORT_MOST_SEGMENTS * sizeof *buffers->numbers);
    buffers->found = memory_alloc(IMPORT_MOST_SEGMENTS * sizeof *buffers->found);
    buffers->sample.segments = memory_alloc(IMPORT_MOST_SEGMENTS * sizeof *buffers->sample.segments);
    if (buffers->maps == NULL || buffers->areas == NULL || buffers->ids == NULL || buffers->numbers == NULL ||
        buffers->found == NULL || buffers->sample.segments == NULL)
        return status_no_memory(IMPORT_MOST_SEGMENTS * 40, "import");
    return OK;
}

void import_buffers_clear(ImportBuffers *buffers)
{
    id_map_reader_destroy(buffers->maps);
    image_clear(&buffers->image);
    image_clear(&buffers->scaled);
    label_map_clear(&buffers->labels);
    label_map_clear(&buffers->objects);
    rle_clear(&buffers->rle);
    memory_free(buffers->file);
    memory_free(buffers->photograph);
    memory_free(buffers->map);
    memory_free(buffers->mask);
    memory_free(buffers->areas);
    memory_free(buffers->ids);
    memory_free(buffers->numbers);
    memory_free(buffers->found);
    memory_free(buffers->sample.segments);
    *buffers = (ImportBuffers){0};
}

void import_stored_size(const Import *import, const CocoImage *image, int32_t *height, int32_t *width)
{
    int32_t longer = image->height > image->width ? image->height : image->width;
    *height = image->height;
    *width = image->width;
    if (import->long_side == 0 || longer <= import->long_side) return;
    int64_t side = import->long_side;
    *height = (int32_t)((image->height * side * 2 + longer) / (2 * (int64_t)longer));
    *width = (int32_t)((image->width * side * 2 + longer) / (2 * (int64_t)longer));
    if (*height < 1) *height = 1;
    if (*width < 1) *width = 1;
}

/* file_read would ask for new memory, and the kernel for new pages, at every image. */
Status import_read_file(uint8_t **buffer, size_t *capacity, const char *path, size_t *bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return status_errno(errno, "open", path);
    struct stat info;
    Status status = fstat(fd, &info) != 0 ? status_errno(errno, "look at", path) : OK;
    if (status == OK && (!S_ISREG(info.st_mode) || info.st_size > 1 << 30))
        status = status_error(STATUS_INVALID, "%s: not a file, or over 1 GiB", path);
    if (status == OK && (size_t)info.st_size + 1 > *capacity) {
        memory_free(*buffer);
        *capacity = (size_t)info.st_size + (size_t)info.st_size / 2 + 1;
        *buffer = memory_alloc(*capacity);
        if (*buffer == NULL) {
            status = status_no_memory(*capacity, path);
            *capacity = 0;
        }
    }
    if (status == OK) {
        *bytes = (size_t)info.st_size;
        status = file_read_at(fd, path, *buffer, *bytes, 0);
    }
    close(fd);
    return status;
}

static Status read_photograph(ImportBuffers *buffers, const ImportSplit *split, const CocoImage *image)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", split->images, image->file_name);
    TRY(import_read_file(&buffers->photograph, &buffers->photograph_capacity, path, &buffers->photograph_bytes));
    TRY(image_decode(buffers->photograph, buffers->photograph_bytes, path, &buffers->image));
    if (buffers->image.height != image->height || buffers->image.width != image->width)
        return status_error(STATUS_INVALID, "%s: is %dx%d pixels, width by height; %s says %dx%d", path,
                            buffers->image.width, buffers->image.height, split->set.path, image->width, image->height);
    return OK;
}

Status import_reserve_map(ImportBuffers *buffers, size_t pixels, const char *path)
{
    if (pixels <= buffers->map_capacity) return OK;
    memory_free(buffers->map);
    memory_free(buffers->mask);
    buffers->map_capacity = 0;
    buffers->map = memory_alloc(pixels * sizeof *buffers->map);
    buffers->mask = memory_alloc(pixels);
    if (buffers->map == NULL || buffers->mask == NULL) return status_no_memory(pixels * sizeof *buffers->map, path);
    buffers->map_capacity = pixels;
    return OK;
}

static Status read_id_map(ImportBuffers *buffers, const ImportSplit *split, const CocoImage *image,
                          const CocoSegment *segments)
{
    char path[4096];
    size_t bytes, pixels = (size_t)image->height * (size_t)image->width;
    snprintf(path, sizeof path, "%s/%s", split->panoptic, image->map_name);
    TRY(import_read_file(&buffers->file, &buffers->file_capacity, path, &bytes));
    TRY(import_reserve_map(buffers, pixels, path));
    for (int32_t i = 0; i < image->segment_count; i++) buffers->ids[i] = segments[i].id;
    TRY(id_map_decode(buffers->maps, buffers->file, bytes, path, image->height, image->width, buffers->ids,
                      image->segment_count, buffers->map, buffers->areas));
    for (int32_t i = 0; i < image->segment_count; i++)
        if (buffers->areas[i + 1] == 0)
            return status_error(STATUS_INVALID, "%s: has no pixel of segment %u, which %s lists", path,
                                (unsigned)segments[i].id, path_name(split->set.path));
    return OK;
}

/* buffers->map and areas of the image's segments. */
static Status read_map(Import *import, int number, const CocoImage *image, const CocoSegment *segments)
{
    int32_t height, width;
    switch (import->format) {
    case IMPORT_COCO_PANOPTIC: return read_id_map(&import->buffers, &import->splits[number], image, segments);
    case IMPORT_COCO_INSTANCES: return import_instances_draw(import, number, image, image->segment_count);
    default:
        TRY(import_labels_read(import, number, image, &height, &width));
        if (height == image->height && width == image->width && import->buffers.found_count == image->segment_count) return OK;
        return status_error(STATUS_INVALID, "%s: changed while it was imported", image->map_name);
    }
}

/* Nearest: a mean of segment numbers would be another segment. In place, as no
 * pixel moves to a later one. */
static void shrink_map(ImportBuffers *buffers, const CocoImage *image, int height, int width, int32_t segments)
{
    uint16_t *map = buffers->map;
    memset(buffers->areas, 0, ((size_t)segments + 1) * sizeof *buffers->areas);
    for (int y = 0; y < height; y++) {
        const uint16_t *row = map + (size_t)((2 * (int64_t)y + 1) * image->height / (2 * height)) * (size_t)image->width;
        for (int x = 0; x < width; x++) {
            uint16_t number = row[(2 * (int64_t)x + 1) * image->width / (2 * width)];
            map[(size_t)y * (size_t)width + (size_t)x] = number;
            buffers->areas[number]++;
        }
    }
}

/* Keeps the segments that have pixels and may be kept; the pixels of others become void. */
static void number_segments(Import *import, int split, const CocoImage *image, const CocoSegment *segments, size_t pixels)
{
    ImportBuffers *buffers = &import->buffers;
    Sample *sample = &buffers->sample;
    bool changed = false;
    sample->segment_count = 0;
    buffers->numbers[0] = 0;
    for (int32_t i = 0; i < image->segment_count; i++) {
        bool unseen = import->classes.entries[segments[i].class_index].is_unseen;
        bool keep = buffers->areas[i + 1] > 0 && !(split == SPLIT_TRAIN && unseen);
        if (keep)
            sample->segments[sample->segment_count++] =
                (Segment){.id = segments[i].id, .class_index = segments[i].class_index,
                          .area = (int32_t)buffers->areas[i + 1], .is_crowd = segments[i].is_crowd};
        buffers->numbers[i + 1] = (uint16_t)(keep ? sample->segment_count : 0);
        changed |= buffers->numbers[i + 1] != i + 1;
    }
    for (size_t i = 0; changed && i < pixels; i++) buffers->map[i] = buffers->numbers[buffers->map[i]];
}

Status import_image(Import *import, int number, const CocoImage *image, const CocoSegment *segments)
{
    ImportBuffers *buffers = &import->buffers;
    const ImportSplit *split = &import->splits[number];
    Sample *sample = &buffers->sample;
    TRY(read_photograph(buffers, split, image));
    TRY(read_map(import, number, image, segments));
    const Image *stored = &buffers->image;
    import_stored_size(import, image, &sample->height, &sample->width);
    if (sample->height != image->height || sample->width != image->width) {
        TRY(image_resize(&buffers->image, sample->height, sample->width, &buffers->scaled));
        stored = &buffers->scaled;
        shrink_map(buffers, image, sample->height, sample->width, image->segment_count);
    }
    number_segments(import, number, image, segments, (size_t)sample->height * (size_t)sample->width);
    sample->image_id = image->id;
    snprintf(sample->file_name, sizeof sample->file_name, "%s", image->file_name);
    sample->original_height = image->height;
    sample->original_width = image->width;
    sample->rgb = stored->rgb;
    sample->map = buffers->map;
    return OK;
}
