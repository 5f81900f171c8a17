/* COCO instances to maps of segments. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "framework/memory.h"
#include "storage/import_private.h"

Status import_instances_read(ImportSplit *split)
{
    TRY(instance_json_read(split->json, false, &split->instances));
    split->set = split->instances.set;
    split->instances.set = (CocoSet){.path = split->json};
    return OK;
}

/* An annotation by its image's place in the file, then its own. */
typedef struct Pair { int64_t id, place; } Pair;

static int compare_pairs(const void *a, const void *b)
{
    const Pair *x = a, *y = b;
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

static const Pair *find_pair(const Pair *pairs, int64_t count, int64_t id)
{
    int64_t low = 0, high = count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (pairs[middle].id < id) low = middle + 1;
        else high = middle;
    }
    return low < count && pairs[low].id == id ? &pairs[low] : NULL;
}

static Status sort_unique(Pair *pairs, int64_t count, const char *path, const char *what)
{
    qsort(pairs, (size_t)count, sizeof *pairs, compare_pairs);
    for (int64_t i = 1; i < count; i++)
        if (pairs[i].id == pairs[i - 1].id)
            return status_error(STATUS_INVALID, "%s: %s: id %" PRId64 " occurs twice", path, what, pairs[i].id);
    return OK;
}

static Status check_images(const CocoSet *set)
{
    for (int64_t i = 0; i < set->image_count; i++)
        if (!coco_name_stays_inside(set->images[i].file_name))
            return status_error(STATUS_INVALID, "%s: image %" PRId64 ": file_name leads out of its directory", set->path,
                                set->images[i].id);
    return OK;
}

/* Segments of an image in a row, in the order of their annotations. pairs: annotations by image. */
static Status lay_segments(ImportSplit *split, const Pair *images, const Pair *categories, int category_count,
                           Pair *annotations)
{
    CocoSet *set = &split->set;
    const int64_t count = split->instances.annotation_count;
    for (int64_t i = 0; i < count; i++) {
        const InstanceAnnotation *annotation = &split->instances.annotations[i];
        const Pair *image = find_pair(images, set->image_count, annotation->image_id);
        if (image == NULL)
            return status_error(STATUS_INVALID, "%s: annotations[%" PRId64 "]: image_id %" PRId64 " is no image's id",
                                set->path, i, annotation->image_id);
        annotations[i] = (Pair){image->place, i};
    }
    qsort(annotations, (size_t)count, sizeof *annotations, compare_pairs);
    for (int64_t i = 0; i < count; i++) {
        const InstanceAnnotation *annotation = &split->instances.annotations[annotations[i].place];
        const Pair *category = find_pair(categories, category_count, annotation->category_id);
        CocoImage *image = &set->images[annotations[i].id];
        if (category == NULL)
            return status_error(STATUS_INVALID, "%s: annotations[%" PRId64 "]: category_id %" PRId64 " is no category's id",
                                set->path, annotations[i].place, annotation->category_id);
        if (image->segment_count == 0) image->first_segment = i;
        if (++image->segment_count >= IMPORT_MOST_SEGMENTS)
            return status_error(STATUS_INVALID, "%s: image %" PRId64 ": more than %d objects", set->path, image->id,
                                IMPORT_MOST_SEGMENTS - 1);
        set->segments[i] = (CocoSegment){.id = (uint32_t)image->segment_count & 0xffffff, .is_crowd = annotation->is_crowd,
                                         .class_index = (int32_t)category->place};
        split->drawn_from[i] = annotations[i].place;
    }
    return OK;
}

/* Classes of the split must be those of the training split. */
static Status check_classes(const CocoSet *set, const ClassTable *classes)
{
    bool same = set->classes.count == classes->count;
    for (int i = 0; same && i < classes->count; i++)
        same = set->classes.entries[i].id == classes->entries[i].id &&
               strcmp(set->classes.entries[i].name, classes->entries[i].name) == 0;
    if (same && classes->count > 0) return OK;
    return status_error(STATUS_INVALID, classes->count == 0 ? "%s: \"categories\" is empty"
                                                            : "%s: categories differ from the training split's", set->path);
}

Status import_instances_join(ImportSplit *split, const ClassTable *classes)
{
    CocoSet *set = &split->set;
    const size_t count = (size_t)split->instances.annotation_count;
    TRY(check_classes(set, classes));
    TRY(check_images(set));
    set->segments = memory_alloc((count + 1) * sizeof *set->segments);
    split->drawn_from = memory_alloc((count + 1) * sizeof *split->drawn_from);
    Pair *images = memory_alloc(((size_t)set->image_count + 1) * sizeof *images);
    Pair *categories = memory_alloc(((size_t)classes->count + 1) * sizeof *categories);
    Pair *annotations = memory_alloc((count + 1) * sizeof *annotations);
    Status status = OK;
    if (set->segments == NULL || split->drawn_from == NULL || images == NULL || categories == NULL || annotations == NULL) {
        status = status_no_memory(count * sizeof *annotations, set->path);
    } else {
        set->segment_count = (int64_t)count;
        for (int64_t i = 0; i < set->image_count; i++) images[i] = (Pair){set->images[i].id, i};
        for (int i = 0; i < classes->count; i++) categories[i] = (Pair){classes->entries[i].id, i};
        status = sort_unique(images, set->image_count, set->path, "images");
        if (status == OK) status = sort_unique(categories, classes->count, set->path, "categories");
        if (status == OK) status = lay_segments(split, images, categories, classes->count, annotations);
    }
    memory_free(images);
    memory_free(categories);
    memory_free(annotations);
    return status;
}

/* ---- one image ---- */

/* Drawn first to last: crowds, then by falling area; of equal ones the earlier. */
typedef struct Layer {
    int64_t area;
    int32_t segment;
    bool is_crowd;
} Layer;

static int compare_layers(const void *a, const void *b)
{
    const Layer *x = a, *y = b;
    if (x->is_crowd != y->is_crowd) return x->is_crowd ? -1 : 1;
    if (x->area != y->area) return x->area > y->area ? -1 : 1;
    return (x->segment > y->segment) - (x->segment < y->segment);
}

static Status order_layers(Import *import, const ImportSplit *split, const CocoImage *image, Layer *layers)
{
    ImportBuffers *buffers = &import->buffers;
    for (int32_t s = 0; s < image->segment_count; s++) {
        const int64_t place = image->first_segment + s;
        TRY(instance_set_mask(&split->instances, split->drawn_from[place], image->height, image->width, &buffers->rle));
        layers[s] = (Layer){.area = rle_area(&buffers->rle), .segment = s, .is_crowd = split->set.segments[place].is_crowd};
    }
    qsort(layers, (size_t)image->segment_count, sizeof *layers, compare_layers);
    return OK;
}

Status import_instances_draw(Import *import, int number, const CocoImage *image, int32_t segment_count)
{
    ImportBuffers *buffers = &import->buffers;
    const ImportSplit *split = &import->splits[number];
    const size_t pixels = (size_t)image->height * (size_t)image->width;
    TRY(import_reserve_map(buffers, pixels, image->file_name));
    Layer *layers = memory_alloc(((size_t)segment_count + 1) * sizeof *layers);
    if (layers == NULL) return status_no_memory((size_t)segment_count * sizeof *layers, image->file_name);
    memset(buffers->map, 0, pixels * sizeof *buffers->map);
    Status status = order_layers(import, split, image, layers);
    for (int32_t s = 0; s < segment_count && status == OK; s++) {
        const int64_t place = split->drawn_from[image->first_segment + layers[s].segment];
        status = instance_set_mask(&split->instances, place, image->height, image->width, &buffers->rle);
        if (status != OK) break;
        rle_decode(&buffers->rle, buffers->mask);
        for (size_t i = 0; i < pixels; i++)
            if (buffers->mask[i] != 0) buffers->map[i] = (uint16_t)(layers[s].segment + 1);
    }
    memset(buffers->areas, 0, ((size_t)segment_count + 1) * sizeof *buffers->areas);
    for (size_t i = 0; i < pixels; i++) buffers->areas[buffers->map[i]]++;
    memory_free(layers);
    return status;
}
