#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "storage/coco_json.h"

/* An id and the place of what has it, sorted by id to find duplicates and references. */
typedef struct Key { int64_t id; int64_t place; } Key;

static int key_order(const void *a, const void *b)
{
    const Key *left = a, *right = b;
    if (left->id != right->id) return left->id < right->id ? -1 : 1;
    return (left->place > right->place) - (left->place < right->place);
}

static const Key *find_key(const Key *keys, int64_t count, int64_t id)
{
    int64_t low = 0, high = count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (keys[middle].id < id) low = middle + 1;
        else high = middle;
    }
    return low < count && keys[low].id == id ? &keys[low] : NULL;
}

static int64_t duplicate_key(Key *keys, int64_t count)
{
    qsort(keys, (size_t)count, sizeof *keys, key_order);
    for (int64_t i = 1; i < count; i++)
        if (keys[i].id == keys[i - 1].id) return i;
    return -1;
}

/* A name must stay in its folder: the file lists it, and so it may come from anywhere. */
bool coco_name_stays_inside(const char *name)
{
    if (name[0] == '/') return false;
    for (const char *at = name; at != NULL; at = strchr(at, '/')) {
        if (*at == '/') at++;
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0')) return false;
    }
    return true;
}

static Status join_annotations(CocoSet *set, const Key *keys)
{
    for (int64_t i = 0; i < set->annotation_count; i++) {
        const CocoAnnotation *annotation = &set->annotations[i];
        const Key *key = find_key(keys, set->image_count, annotation->image_id);
        if (key == NULL)
            return status_error(STATUS_INVALID, "%s: annotations[%" PRId64 "] (%s): image_id %" PRId64
                                " is no image's id", set->path, i, annotation->file_name, annotation->image_id);
        CocoImage *image = &set->images[key->place];
        if (image->map_name != NULL)
            return status_error(STATUS_INVALID, "%s: annotations[%" PRId64 "] (%s): image_id %" PRId64
                                " has an annotation already", set->path, i, annotation->file_name, annotation->image_id);
        if (!coco_name_stays_inside(image->file_name) || !coco_name_stays_inside(annotation->file_name))
            return status_error(STATUS_INVALID, "%s: image %" PRId64 ": file_name leads out of its directory", set->path,
                                image->id);
        image->map_name = annotation->file_name;
        image->first_segment = annotation->first_segment;
        image->segment_count = annotation->segment_count;
    }
    for (int64_t i = 0; i < set->image_count; i++)
        if (set->images[i].map_name == NULL)
            return status_error(STATUS_INVALID, "%s: images[%" PRId64 "] (id %" PRId64 ", %s) has no annotation",
                                set->path, i, set->images[i].id, set->images[i].file_name);
    return OK;
}

static Status resolve_images(CocoSet *set)
{
    Key *keys = memory_alloc(((size_t)set->image_count + 1) * sizeof *keys);
    if (keys == NULL) return status_no_memory((size_t)set->image_count * sizeof *keys, set->path);
    for (int64_t i = 0; i < set->image_count; i++) keys[i] = (Key){set->images[i].id, i};
    int64_t twice = duplicate_key(keys, set->image_count);
    Status status = twice >= 0 ? status_error(STATUS_INVALID, "%s: images: id %" PRId64 " occurs twice", set->path,
                                              keys[twice].id)
                               : join_annotations(set, keys);
    memory_free(keys);
    return status;
}

static int uint32_order(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* `ids` has room for all segments of one image. */
static Status resolve_segments(CocoSet *set, const CocoImage *image, const Key *keys, int64_t key_count, uint32_t *ids)
{
    CocoSegment *segments = set->segments + image->first_segment;
    for (int32_t i = 0; i < image->segment_count; i++) {
        const Key *key = find_key(keys, key_count, segments[i].class_index);
        if (key == NULL)
            return status_error(STATUS_INVALID, "%s: annotation of image %" PRId64 " (%s): segment %u: category_id %d "
                                "is no category's id", set->path, image->id, image->map_name, (unsigned)segments[i].id,
                                segments[i].class_index);
        segments[i].class_index = (int32_t)key->place;
        ids[i] = segments[i].id;
    }
    qsort(ids, (size_t)image->segment_count, sizeof *ids, uint32_order);
    for (int32_t i = 1; i < image->segment_count; i++)
        if (ids[i] == ids[i - 1])
            return status_error(STATUS_INVALID, "%s: annotation of image %" PRId64 " (%s): segment id %u occurs twice",
                                set->path, image->id, image->map_name, ids[i]);
    return OK;
}

static Status check_categories(const CocoSet *set, Key *keys)
{
    const ClassTable *classes = &set->classes;
    if (classes->count == 0) return status_error(STATUS_INVALID, "%s: \"categories\" is empty", set->path);
    for (int i = 0; i < classes->count; i++) keys[i] = (Key){classes->entries[i].id, i};
    int64_t twice = duplicate_key(keys, classes->count);
    if (twice >= 0)
        return status_error(STATUS_INVALID, "%s: categories: id %" PRId64 " occurs twice", set->path, keys[twice].id);
    for (int i = 0; i < classes->count; i++)
        if (class_table_find(classes, classes->entries[i].name) != i)
            return status_error(STATUS_INVALID, "%s: categories: name %s occurs twice", set->path,
                                classes->entries[i].name);
    return OK;
}

/* The classes by id, once those of `set` are known to be the same ones. */
static Status class_keys(const CocoSet *set, const ClassTable *classes, Key *keys)
{
    TRY(check_categories(set, keys));
    for (int i = 0; i < set->classes.count; i++) {
        const ClassEntry *entry = &set->classes.entries[i];
        int found = class_table_find(classes, entry->name);
        if (found < 0 || classes->entries[found].id != entry->id || classes->entries[found].is_thing != entry->is_thing)
            return status_error(STATUS_INVALID, "%s: category %" PRId64 " (%s) differs from the training split's",
                                set->path, entry->id, entry->name);
    }
    if (set->classes.count != classes->count)
        return status_error(STATUS_INVALID, "%s: has %d categories, the training split has %d", set->path,
                            set->classes.count, classes->count);
    for (int i = 0; i < classes->count; i++) keys[i] = (Key){classes->entries[i].id, i};
    qsort(keys, (size_t)classes->count, sizeof *keys, key_order);
    return OK;
}

Status coco_resolve(CocoSet *set, const ClassTable *classes)
{
    size_t most = (size_t)(set->classes.count > classes->count ? set->classes.count : classes->count);
    Key *keys = memory_alloc((most + 1) * sizeof *keys);
    uint32_t *ids = memory_alloc(((size_t)UINT16_MAX + 1) * sizeof *ids);
    Status status = keys == NULL || ids == NULL ? status_no_memory((size_t)UINT16_MAX * sizeof *ids, set->path) : OK;
    if (status == OK) status = class_keys(set, classes, keys);
    if (status == OK) status = resolve_images(set);
    for (int64_t i = 0; status == OK && i < set->image_count; i++)
        status = resolve_segments(set, &set->images[i], keys, classes->count, ids);
    memory_free(keys);
    memory_free(ids);
    memory_free(set->annotations);
    set->annotations = NULL;
    set->annotation_count = set->annotation_capacity = 0;
    return status;
}
