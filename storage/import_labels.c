/* Label PNGs to maps of segments: COCO-Stuff, PASCAL VOC, ADE20K. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/text.h"
#include "storage/import_private.h"

#define FULL_ENDING "_seg.png"

/* ---- which images ---- */

static bool strip_ending(char *name, const char *ending)
{
    const size_t length = strlen(name), tail = strlen(ending);
    if (length <= tail || strcmp(name + length - tail, ending) != 0) return false;
    name[length - tail] = '\0';
    return true;
}

static Status add_image(CocoSet *set, const char *image, const char *map)
{
    if (set->image_count == set->image_capacity) {
        const int64_t capacity = set->image_capacity * 2 + 64;
        CocoImage *larger = memory_resize(set->images, (size_t)capacity * sizeof *larger);
        if (larger == NULL) return status_no_memory((size_t)capacity * sizeof *larger, set->path);
        set->images = larger;
        set->image_capacity = capacity;
    }
    CocoImage *to = &set->images[set->image_count];
    *to = (CocoImage){.id = set->image_count + 1, .file_name = arena_copy_string(set->names, image),
                      .map_name = arena_copy_string(set->names, map)};
    if (to->file_name == NULL || to->map_name == NULL) return status_no_memory(256, set->path);
    if (strlen(image) > 255) return status_error(STATUS_INVALID, "%s: name longer than 255 bytes", image);
    set->image_count++;
    return OK;
}

/* STEM of a label PNG to its image: STEM.jpg, or STEM.png where there is no such file. */
static Status add_stem(const Import *import, ImportSplit *split, const char *stem)
{
    char image[512], map[512], path[4096];
    const bool full = import->format == IMPORT_ADE20K_FULL;
    if ((size_t)snprintf(map, sizeof map, "%s%s", stem, full ? FULL_ENDING : ".png") >= sizeof map)
        return status_error(STATUS_INVALID, "%s: name too long", stem);
    snprintf(image, sizeof image, "%s.jpg", stem);
    snprintf(path, sizeof path, "%s/%s", split->images, image);
    if (!file_exists(path)) {
        snprintf(path, sizeof path, "%s/%s.png", split->images, stem);
        if (file_exists(path)) snprintf(image, sizeof image, "%s.png", stem);
    }
    if (!coco_name_stays_inside(map))
        return status_error(STATUS_INVALID, "%s: leads out of its directory", stem);
    return add_image(&split->set, image, map);
}

/* Label PNGs in `directory` below split->panoptic, sorted by name; ade20k_full also in what lies below. */
static Status list_directory(const Import *import, ImportSplit *split, const char *directory)
{
    char full[4096];
    char **names;
    size_t count;
    snprintf(full, sizeof full, "%s/%s", split->panoptic, directory);
    TRY(directory_list(full, &names, &count));
    Status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        char below[1024], path[8192];
        struct stat info;
        snprintf(below, sizeof below, "%s%s%s", directory, *directory != '\0' ? "/" : "", names[i]);
        snprintf(path, sizeof path, "%s/%s", split->panoptic, below);
        if (import->format == IMPORT_ADE20K_FULL && stat(path, &info) == 0 && S_ISDIR(info.st_mode))
            status = list_directory(import, split, below);
        else if (strip_ending(below, import->format == IMPORT_ADE20K_FULL ? FULL_ENDING : ".png"))
            status = add_stem(import, split, below);
    }
    names_free(names, count);
    return status;
}

static Status list_names(const Import *import, ImportSplit *split)
{
    char **names;
    size_t count;
    TRY(unseen_names_read(split->json, &names, &count));
    Status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        if (!strip_ending(names[i], ".png")) strip_ending(names[i], ".jpg");
        status = status_wrap(add_stem(import, split, names[i]), "%s", split->json);
    }
    names_free(names, count);
    return status;
}

/* COCO's files are called as their ids, which stay theirs; otherwise images are numbered from 1. */
static void number_images(CocoSet *set)
{
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < set->image_count; i++) {
            char stem[32];
            int64_t id;
            const char *name = path_name(set->images[i].map_name);
            const size_t length = strcspn(name, ".");
            snprintf(stem, sizeof stem, "%.*s", (int)length, name);
            if (length >= sizeof stem || !parse_integer(stem, &id)) return;
            if (pass == 1) set->images[i].id = id;
        }
}

/* SegmentationObject beside SegmentationClass. */
static Status find_objects(ImportSplit *split)
{
    split->objects = path_beside(split->panoptic, "SegmentationObject");
    if (split->objects == NULL) return status_no_memory(256, "a path");
    if (file_exists(split->objects)) return OK;
    memory_free(split->objects);
    split->objects = NULL;
    return OK;
}

Status import_labels_list(Import *import, int number)
{
    ImportSplit *split = &import->splits[number];
    CocoSet *set = &split->set;
    set->path = split->json != NULL ? split->json : split->panoptic;
    set->names = arena_create(1 << 16);
    if (set->names == NULL) return status_no_memory(1 << 16, set->path);
    if (import->format == IMPORT_VOC) TRY(find_objects(split));
    TRY(split->json != NULL ? list_names(import, split) : list_directory(import, split, ""));
    number_images(set);
    if (set->image_count == 0) return status_error(STATUS_INVALID, "%s: no image there", set->path);
    return OK;
}

/* ---- one image ---- */

/* Class and instance of a pixel in one number, and 0 where it is void. */
static uint64_t key_of(const Import *import, uint32_t label, uint32_t object)
{
    uint32_t value = label;
    if (import->format == IMPORT_ADE20K_FULL) {
        value = (label & 255) / 10 * 256 + (label >> 8 & 255);
        object = label >> 16;
    }
    const int32_t class_index = value < LABEL_VALUES ? import->labels.class_of[value] : -1;
    if (class_index < 0) return 0;
    if (!import->classes.entries[class_index].is_thing) object = 0;
    else if (import->format == IMPORT_VOC && object == 255) return 0;
    return (uint64_t)(class_index + 1) << 32 | object;
}

static int compare_keys(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t pixel_key(const Import *import, size_t i, bool objects)
{
    const ImportBuffers *buffers = &import->buffers;
    return key_of(import, buffers->labels.values[i], objects ? buffers->objects.values[i] : 0);
}

/* The keys that occur, in ascending order. `keys` has room for one a pixel: every run of equal ones gives one. */
static size_t collect_keys(const Import *import, size_t pixels, bool objects, uint64_t *keys)
{
    size_t count = 0, unique = 0;
    for (size_t i = 0; i < pixels; i++) {
        const uint64_t key = pixel_key(import, i, objects);
        if (key != 0 && (count == 0 || keys[count - 1] != key)) keys[count++] = key;
    }
    qsort(keys, count, sizeof *keys, compare_keys);
    for (size_t i = 0; i < count; i++)
        if (unique == 0 || keys[unique - 1] != keys[i]) keys[unique++] = keys[i];
    return unique;
}

static void fill_map(Import *import, size_t pixels, bool objects, const uint64_t *keys, size_t count)
{
    ImportBuffers *buffers = &import->buffers;
    uint64_t known = 0;
    uint16_t number = 0;
    memset(buffers->areas, 0, (count + 1) * sizeof *buffers->areas);
    for (size_t i = 0; i < pixels; i++) {
        const uint64_t key = pixel_key(import, i, objects);
        if (key != known) {
            const uint64_t *place = key == 0 ? NULL : bsearch(&key, keys, count, sizeof *keys, compare_keys);
            number = (uint16_t)(place == NULL ? 0 : place - keys + 1);
            known = key;
        }
        buffers->map[i] = number;
        buffers->areas[number]++;
    }
}

static Status read_png(ImportBuffers *buffers, const char *directory, const char *name, LabelMap *map)
{
    char path[4096];
    size_t bytes;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    TRY(import_read_file(&buffers->file, &buffers->file_capacity, path, &bytes));
    return label_map_decode(buffers->file, bytes, path, map);
}

static Status read_pngs(Import *import, const ImportSplit *split, const CocoImage *image)
{
    ImportBuffers *buffers = &import->buffers;
    TRY(read_png(buffers, split->panoptic, image->map_name, &buffers->labels));
    const bool full = import->format == IMPORT_ADE20K_FULL;
    if (buffers->labels.is_rgb != full)
        return status_error(STATUS_INVALID, "%s/%s: %s", split->panoptic, image->map_name,
                            full ? "not an RGB image, as classes and instances need"
                                 : "an RGB image; labels are grey or palette PNGs");
    if (split->objects == NULL) return OK;
    TRY(read_png(buffers, split->objects, image->map_name, &buffers->objects));
    if (buffers->objects.height != buffers->labels.height || buffers->objects.width != buffers->labels.width ||
        buffers->objects.is_rgb)
        return status_error(STATUS_INVALID, "%s/%s: not of its class labels' size and kind", split->objects, image->map_name);
    return OK;
}

Status import_labels_read(Import *import, int number, const CocoImage *image, int32_t *height, int32_t *width)
{
    ImportBuffers *buffers = &import->buffers;
    const ImportSplit *split = &import->splits[number];
    TRY(read_pngs(import, split, image));
    *height = buffers->labels.height;
    *width = buffers->labels.width;
    const size_t pixels = (size_t)*height * (size_t)*width;
    const bool objects = split->objects != NULL;
    TRY(import_reserve_map(buffers, pixels, image->map_name));
    uint64_t *keys = memory_alloc((pixels + 1) * sizeof *keys);
    if (keys == NULL) return status_no_memory(pixels * sizeof *keys, image->map_name);
    const size_t count = collect_keys(import, pixels, objects, keys);
    Status status = OK;
    if (count >= IMPORT_MOST_SEGMENTS) {
        status = status_error(STATUS_INVALID, "%s/%s: more than %d segments", split->panoptic, image->map_name,
                              IMPORT_MOST_SEGMENTS - 1);
    } else {
        fill_map(import, pixels, objects, keys, count);
        for (size_t k = 0; k < count; k++)
            buffers->found[k] = (CocoSegment){.id = (uint32_t)(k + 1) & 0xffffff,
                                              .class_index = (int32_t)(keys[k] >> 32) - 1};
        buffers->found_count = (int32_t)count;
    }
    memory_free(keys);
    return status;
}
