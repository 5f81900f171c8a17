#include "storage/panoptic_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "framework/json.h"
#include "framework/memory.h"

#define MAX_ID 16777215 /* three bytes of a PNG's pixel */

/* An array member that must be there. */
static Status get_array(const Json *object, const char *key, const char *source, const Json **array)
{
    *array = json_member(object, key);
    if (*array == NULL)
        return status_error(STATUS_INVALID, "%s: no '%s'", source, key);
    if ((*array)->type != JSON_ARRAY)
        return status_error(STATUS_INVALID, "%s: '%s' is not an array", source, key);
    return OK;
}

static Status copy_string(const Json *object, const char *key, const char *source, char **copy)
{
    const char *value;
    TRY(json_get_string(object, key, source, &value));
    *copy = memory_copy_string(value);
    return *copy == NULL ? status_no_memory(strlen(value) + 1, key) : OK;
}

/* Colours are for pictures only: a missing one stays black. */
static void read_color(const Json *category, uint8_t color[3])
{
    const Json *value = json_member(category, "color");
    if (value == NULL || value->type != JSON_ARRAY || value->count != 3)
        return;
    for (int c = 0; c < 3; c++)
        color[c] = (uint8_t)(value->items[c].integer & 255);
}

static Status read_split(const Json *category, const char *source, bool *has_split, ClassEntry *entry)
{
    if (json_member(category, "split") == NULL)
        return OK;
    const char *split;
    TRY(json_get_string(category, "split", source, &split));
    if (strcmp(split, "seen") != 0 && strcmp(split, "unseen") != 0)
        return status_error(STATUS_INVALID, "%s: split of '%s' is '%s', neither 'seen' nor 'unseen'", source,
                            entry->name, split);
    entry->is_unseen = strcmp(split, "unseen") == 0;
    *has_split = true;
    return OK;
}

static void count_split(ClassTable *classes)
{
    classes->unseen_count = 0;
    for (int c = 0; c < classes->count; c++)
        classes->unseen_count += classes->entries[c].is_unseen;
    classes->seen_count = classes->count - classes->unseen_count;
}

static Status read_categories(const Json *root, PanopticFile *file)
{
    const Json *categories;
    TRY(get_array(root, "categories", file->path, &categories));
    ClassTable *classes = &file->classes;
    classes->entries = memory_alloc_zero(categories->count + 1, sizeof *classes->entries);
    if (classes->entries == NULL)
        return status_no_memory(categories->count * sizeof *classes->entries, "categories");
    char source[512];
    for (size_t i = 0; i < categories->count; i++) {
        const Json *category = &categories->items[i];
        ClassEntry *entry = &classes->entries[i];
        snprintf(source, sizeof source, "%s: categories[%zu]", file->path, i);
        int64_t is_thing;
        const Json *thing = json_member(category, "isthing");
        TRY(json_get_integer(category, "id", source, &entry->id));
        if (panoptic_file_class(file, entry->id) >= 0)
            return status_error(STATUS_INVALID, "%s: id %lld is that of an earlier category", source,
                                (long long)entry->id);
        TRY(copy_string(category, "name", source, &entry->name));
        classes->count++; /* from here on the table owns the name */
        if (thing != NULL && thing->type == JSON_BOOL)
            is_thing = thing->boolean;
        else
            TRY(json_get_integer(category, "isthing", source, &is_thing));
        entry->is_thing = is_thing != 0;
        read_color(category, entry->color);
        TRY(read_split(category, source, &file->has_split, entry));
    }
    count_split(classes);
    return OK;
}

static Status read_segment(const Json *segment, const char *source, PanopticEntry *entry)
{
    TRY(json_get_integer(segment, "id", source, &entry->id));
    TRY(json_get_integer(segment, "category_id", source, &entry->category_id));
    if (entry->id < 1 || entry->id > MAX_ID)
        return status_error(STATUS_INVALID, "%s: id %lld, outside [1, %d]", source, (long long)entry->id, MAX_ID);
    entry->area = -1;
    if (json_member(segment, "area") != NULL) {
        TRY(json_get_integer(segment, "area", source, &entry->area));
        if (entry->area < 0)
            return status_error(STATUS_INVALID, "%s: area %lld is negative", source, (long long)entry->area);
    }
    const Json *crowd = json_member(segment, "iscrowd");
    if (crowd != NULL && crowd->type != JSON_BOOL && crowd->type != JSON_INTEGER)
        return status_error(STATUS_INVALID, "%s: 'iscrowd' is neither 0 nor 1", source);
    entry->is_crowd = crowd != NULL && (crowd->type == JSON_BOOL ? crowd->boolean : crowd->integer != 0);
    return OK;
}

static Status read_annotation(const Json *json, const char *source, PanopticAnnotation *annotation)
{
    TRY(json_get_integer(json, "image_id", source, &annotation->image_id));
    TRY(copy_string(json, "file_name", source, &annotation->file_name));
    const Json *segments;
    TRY(get_array(json, "segments_info", source, &segments));
    annotation->segments = memory_alloc_zero(segments->count + 1, sizeof *annotation->segments);
    if (annotation->segments == NULL)
        return status_no_memory(segments->count * sizeof *annotation->segments, "segments");
    annotation->segment_count = (int)segments->count;
    char place[600];
    for (size_t i = 0; i < segments->count; i++) {
        snprintf(place, sizeof place, "%s (image %lld): segments_info[%zu]", source, (long long)annotation->image_id, i);
        TRY(read_segment(&segments->items[i], place, &annotation->segments[i]));
    }
    return OK;
}

static int compare_annotations(const void *a, const void *b)
{
    int64_t x = ((const PanopticAnnotation *)a)->image_id, y = ((const PanopticAnnotation *)b)->image_id;
    return (x > y) - (x < y);
}

static Status read_annotations(const Json *root, PanopticFile *file)
{
    const Json *annotations;
    TRY(get_array(root, "annotations", file->path, &annotations));
    file->annotations = memory_alloc_zero(annotations->count + 1, sizeof *file->annotations);
    if (file->annotations == NULL)
        return status_no_memory(annotations->count * sizeof *file->annotations, "annotations");
    char source[512];
    for (size_t i = 0; i < annotations->count; i++) {
        snprintf(source, sizeof source, "%s: annotations[%zu]", file->path, i);
        file->annotation_count++;
        TRY(read_annotation(&annotations->items[i], source, &file->annotations[i]));
    }
    qsort(file->annotations, annotations->count, sizeof *file->annotations, compare_annotations);
    for (int i = 1; i < file->annotation_count; i++)
        if (file->annotations[i].image_id == file->annotations[i - 1].image_id)
            return status_error(STATUS_INVALID, "%s: two annotations of image %lld", file->path,
                                (long long)file->annotations[i].image_id);
    return OK;
}

Status panoptic_file_read(const char *path, bool needs_categories, PanopticFile *file)
{
    *file = (PanopticFile){0};
    file->path = memory_copy_string(path);
    if (file->path == NULL)
        return status_no_memory(strlen(path) + 1, "a path");
    Json *root = NULL;
    Status status = json_read_file(path, &root);
    if (status == OK && root->type != JSON_OBJECT)
        status = status_error(STATUS_INVALID, "%s: not a COCO panoptic file: its root is no object", path);
    if (status == OK && (needs_categories || json_member(root, "categories") != NULL))
        status = read_categories(root, file);
    if (status == OK)
        status = read_annotations(root, file);
    json_destroy(root);
    if (status != OK)
        panoptic_file_clear(file);
    return status;
}

Status panoptic_categories_read(const char *path, ClassTable *classes)
{
    PanopticFile file = {.path = memory_copy_string(path)};
    Json *root = NULL;
    *classes = (ClassTable){0};
    if (file.path == NULL)
        return status_no_memory(strlen(path) + 1, "a path");
    Status status = json_read_file(path, &root);
    if (status == OK)
        status = read_categories(root, &file);
    if (status == OK) {
        *classes = file.classes;
        file.classes = (ClassTable){0};
    }
    json_destroy(root);
    panoptic_file_clear(&file);
    return status;
}

void panoptic_file_clear(PanopticFile *file)
{
    for (int i = 0; i < file->annotation_count; i++) {
        memory_free(file->annotations[i].file_name);
        memory_free(file->annotations[i].segments);
    }
    memory_free(file->annotations);
    memory_free(file->path);
    class_table_clear(&file->classes);
    *file = (PanopticFile){0};
}

const PanopticAnnotation *panoptic_file_find(const PanopticFile *file, int64_t image_id)
{
    PanopticAnnotation key = {.image_id = image_id};
    if (file->annotation_count == 0)
        return NULL;
    return bsearch(&key, file->annotations, (size_t)file->annotation_count, sizeof key, compare_annotations);
}

int panoptic_file_class(const PanopticFile *file, int64_t category_id)
{
    for (int c = 0; c < file->classes.count; c++)
        if (file->classes.entries[c].id == category_id)
            return c;
    return -1;
}

Status panoptic_file_set_unseen(PanopticFile *file, char *const *names, size_t count)
{
    for (int c = 0; c < file->classes.count; c++)
        file->classes.entries[c].is_unseen = false;
    for (size_t i = 0; i < count; i++) {
        int c = class_table_find(&file->classes, names[i]);
        if (c < 0)
            return status_error(STATUS_NOT_FOUND, "%s: no category is named '%s'", file->path, names[i]);
        file->classes.entries[c].is_unseen = true;
    }
    count_split(&file->classes);
    file->has_split = true;
    return OK;
}
