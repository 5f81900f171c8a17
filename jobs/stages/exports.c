#include "jobs/stages/exports.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "framework/files.h"
#include "framework/json.h"
#include "framework/memory.h"
#include "models/metrics/instances.h"
#include "storage/image.h"
#include "storage/label_map.h"
#include "storage/rle.h"

#define PARTS_NAME "parts"

#define FORMS(X) X(FORM_PANOPTIC, "panoptic") X(FORM_INSTANCES, "instances") X(FORM_SEMANTIC, "semantic")
typedef enum Form {
#define X(form, name) form,
    FORMS(X)
#undef X
    FORM_COUNT
} Form;
#define X(form, name) name,
static const char *const FORM_NAMES[] = {FORMS(X)};
#undef X
_Static_assert(sizeof FORM_NAMES / sizeof *FORM_NAMES == FORM_COUNT, "a name per form");
_Static_assert((int)FORM_COUNT == EXPORT_FORMS, "as the header counts them");

struct Exports {
    char *directory, *parts;
    bool wanted[FORM_COUNT];
    const ClassTable *classes;
    Image picture;
    uint16_t *labels;
    size_t label_capacity;
};

void exports_destroy(Exports *exports)
{
    if (exports == NULL) return;
    image_clear(&exports->picture);
    memory_free(exports->labels);
    memory_free(exports->directory);
    memory_free(exports->parts);
    memory_free(exports);
}

Status exports_check(const char *const *forms, int count, bool wanted[EXPORT_FORMS])
{
    for (int i = 0; i < count; i++) {
        int form = 0;
        while (form < FORM_COUNT && strcmp(FORM_NAMES[form], forms[i]) != 0) form++;
        if (form == FORM_COUNT)
            return status_error(STATUS_INVALID, "predictions can't be exported as '%s', only as panoptic, instances or "
                                "semantic", forms[i]);
        if (wanted != NULL) wanted[form] = true;
    }
    return OK;
}

static Status take_forms(Exports *exports, const char *const *forms, int count)
{
    TRY(exports_check(forms, count, exports->wanted));
    for (int c = 0; c < exports->classes->count && exports->wanted[FORM_SEMANTIC]; c++)
        if (exports->classes->entries[c].id < 0 || exports->classes->entries[c].id > UINT16_MAX)
            return status_error(STATUS_INVALID, "category %" PRId64 " (%s) can't be a pixel's value: leave 'semantic' out "
                                "of the export", exports->classes->entries[c].id, exports->classes->entries[c].name);
    return OK;
}

static Status make_directories(Exports *exports, const char *directory)
{
    exports->directory = memory_copy_string(directory);
    exports->parts = path_join(directory, PARTS_NAME);
    if (exports->directory == NULL || exports->parts == NULL) return status_no_memory(256, "a path");
    return directory_create(exports->parts);
}

Status exports_create(const char *directory, const char *const *forms, int count, const ClassTable *classes,
                      Exports **out)
{
    *out = NULL;
    if (count == 0) return OK;
    Exports *exports = memory_alloc_zero(1, sizeof *exports);
    if (exports == NULL) return status_no_memory(sizeof *exports, "exports");
    exports->classes = classes;
    Status status = take_forms(exports, forms, count);
    if (status == OK) status = make_directories(exports, directory);
    if (status == OK) *out = exports;
    else exports_destroy(exports);
    return status;
}

bool exports_wants_instances(const Exports *exports)
{
    return exports != NULL && exports->wanted[FORM_INSTANCES];
}

static char *part_path(const Exports *exports, int64_t number)
{
    return memory_format("%s/%08" PRId64, exports->parts, number);
}

bool exports_has(const Exports *exports, int64_t number)
{
    if (exports == NULL) return true;
    char *path = part_path(exports, number);
    const bool has = path != NULL && file_exists(path);
    memory_free(path);
    return has;
}

/* -- one image -- */

/* "DIRECTORY/FORM/STEM.png", its directory made; `*name` is "STEM.png" in it. */
static Status picture_path(const Exports *exports, Form form, const char *file_name, char **path, const char **name)
{
    const char *dot = strrchr(file_name, '.'), *slash = strrchr(file_name, '/');
    const size_t stem = dot != NULL && dot != file_name && (slash == NULL || dot > slash + 1)
                            ? (size_t)(dot - file_name) : strlen(file_name);
    *path = memory_format("%s/%s/%.*s.png", exports->directory, FORM_NAMES[form], (int)stem, file_name);
    if (*path == NULL) return status_no_memory(256, "a path");
    *name = *path + strlen(exports->directory) + strlen(FORM_NAMES[form]) + 2;
    char *folder = memory_format("%.*s", (int)(strrchr(*path, '/') - *path), *path);
    Status status = folder == NULL ? status_no_memory(256, "a path") : directory_create(folder);
    memory_free(folder);
    return status;
}

static Status write_panoptic_png(Exports *exports, const char *path, const Prediction *p)
{
    const size_t pixels = (size_t)p->height * (size_t)p->width;
    Image *picture = &exports->picture;
    if (pixels * 3 > picture->capacity) {
        image_clear(picture);
        picture->rgb = memory_alloc(pixels * 3);
        if (picture->rgb == NULL) return status_no_memory(pixels * 3, path);
        picture->capacity = pixels * 3;
    }
    picture->height = p->height;
    picture->width = p->width;
    for (size_t i = 0; i < pixels; i++)
        for (int c = 0; c < 3; c++) picture->rgb[3 * i + (size_t)c] = (uint8_t)(p->ids[i] >> (8 * c));
    return image_write_png(path, picture);
}

static Status add_panoptic(Exports *exports, const ExportImage *image, const Prediction *p, JsonWriter *w)
{
    char *path = NULL;
    const char *name = NULL;
    Status status = picture_path(exports, FORM_PANOPTIC, image->file_name, &path, &name);
    if (status == OK) status = write_panoptic_png(exports, path, p);
    if (status == OK) {
        json_begin_object(w);
        json_key(w, "image_id");
        json_integer(w, image->image_id);
        json_key(w, "file_name");
        json_string(w, name);
        json_key(w, "segments_info");
        json_begin_array(w);
        for (int i = 0; i < p->segment_count; i++) {
            json_begin_object(w);
            json_key(w, "id");
            json_integer(w, p->segments[i].id);
            json_key(w, "category_id");
            json_integer(w, exports->classes->entries[p->segments[i].class_index].id);
            json_key(w, "area");
            json_integer(w, p->segments[i].area);
            json_end_object(w);
        }
        json_end_array(w);
        json_end_object(w);
    }
    memory_free(path);
    return status;
}

static Status add_semantic(Exports *exports, const ExportImage *image, const Prediction *p)
{
    const size_t pixels = (size_t)p->height * (size_t)p->width;
    if (pixels > exports->label_capacity) {
        memory_free(exports->labels);
        exports->label_capacity = 0;
        exports->labels = memory_alloc(pixels * sizeof *exports->labels);
        if (exports->labels == NULL) return status_no_memory(pixels * 2, image->file_name);
        exports->label_capacity = pixels;
    }
    for (size_t i = 0; i < pixels; i++) exports->labels[i] = (uint16_t)exports->classes->entries[p->labels[i]].id;
    char *path = NULL;
    const char *name = NULL;
    Status status = picture_path(exports, FORM_SEMANTIC, image->file_name, &path, &name);
    if (status == OK) status = label_map_write(path, exports->labels, p->height, p->width);
    memory_free(path);
    return status;
}

typedef struct MaskTexts {
    const Prediction *prediction;
    Rle rle;
    Text texts[INSTANCE_MAX_DETECTIONS]; /* by place among the instances */
} MaskTexts;

static Status keep_mask(void *context, int instance, const uint8_t *mask)
{
    MaskTexts *masks = context;
    TRY(rle_encode(mask, masks->prediction->height, masks->prediction->width, &masks->rle));
    rle_write(&masks->rle, &masks->texts[instance]);
    return masks->texts[instance].failed ? status_no_memory(masks->rle.count, "a mask") : OK;
}

static void write_instance(const Exports *exports, const ExportImage *image, const Prediction *p, int instance,
                           const char *runs, JsonWriter *w)
{
    json_begin_object(w);
    json_key(w, "image_id");
    json_integer(w, image->image_id);
    json_key(w, "category_id");
    json_integer(w, exports->classes->entries[p->instances[instance].class_index].id);
    json_key(w, "segmentation");
    json_begin_object(w);
    json_key(w, "size");
    json_begin_array(w);
    json_integer(w, p->height);
    json_integer(w, p->width);
    json_end_array(w);
    json_key(w, "counts");
    json_string(w, runs);
    json_end_object(w);
    json_key(w, "score");
    json_real(w, (double)p->instances[instance].score);
    json_end_object(w);
}

static Status add_instances(const Exports *exports, const ExportImage *image, Prediction *p, JsonWriter *w)
{
    MaskTexts *masks = memory_alloc_zero(1, sizeof *masks);
    if (masks == NULL) return status_no_memory(sizeof *masks, "masks");
    masks->prediction = p;
    Status status = prediction_each_mask(p, image->masks, image->queries, image->mask_height, image->mask_width,
                                         keep_mask, masks);
    json_begin_array(w);
    for (int i = 0; i < p->instance_count && status == OK; i++)
        write_instance(exports, image, p, i, text_string(&masks->texts[i]), w);
    json_end_array(w);
    for (int i = 0; i < p->instance_count; i++) text_free(&masks->texts[i]);
    rle_clear(&masks->rle);
    memory_free(masks);
    return status;
}

Status exports_add(Exports *exports, int64_t number, const ExportImage *image, Prediction *p)
{
    if (exports == NULL) return OK;
    JsonWriter lines[2] = {{{0}, false, 0}, {{0}, false, 0}}; /* of panoptic and instances */
    Text part = {0};
    Status status = exports->wanted[FORM_PANOPTIC] ? add_panoptic(exports, image, p, &lines[0]) : OK;
    if (status == OK && exports->wanted[FORM_INSTANCES]) status = add_instances(exports, image, p, &lines[1]);
    if (status == OK && exports->wanted[FORM_SEMANTIC]) status = add_semantic(exports, image, p);
    /* The part comes last: where it is, the pictures are. */
    text_append(&part, text_string(&lines[0].text));
    text_append(&part, "\n");
    text_append(&part, text_string(&lines[1].text));
    char *path = part_path(exports, number);
    if (status == OK && (path == NULL || part.failed || lines[0].text.failed || lines[1].text.failed))
        status = status_no_memory(part.length, "an export");
    if (status == OK) status = file_write(path, part.data, part.length);
    memory_free(path);
    text_free(&part);
    text_free(&lines[0].text);
    text_free(&lines[1].text);
    return status;
}

/* -- all -- */

static void write_categories(const ClassTable *classes, JsonWriter *w)
{
    json_begin_array(w);
    for (int c = 0; c < classes->count; c++) {
        const ClassEntry *entry = &classes->entries[c];
        json_begin_object(w);
        json_key(w, "id");
        json_integer(w, entry->id);
        json_key(w, "name");
        json_string(w, entry->name);
        json_key(w, "isthing");
        json_integer(w, entry->is_thing);
        json_key(w, "split");
        json_string(w, entry->is_unseen ? "unseen" : "seen");
        json_key(w, "color");
        json_begin_array(w);
        for (int i = 0; i < 3; i++) json_integer(w, entry->color[i]);
        json_end_array(w);
        json_end_object(w);
    }
    json_end_array(w);
}

/* A JSON file written piece by piece, so that it needn't fit in memory. */
typedef struct Output {
    char *path, *temporary;
    FILE *file;
} Output;

static Status output_open(const char *path, Output *output)
{
    output->path = memory_copy_string(path);
    if (output->path == NULL) return status_no_memory(strlen(path), path);
    TRY(file_temporary_name(path, &output->temporary));
    output->file = fopen(output->temporary, "we");
    return output->file == NULL ? status_errno(errno, "write", path) : OK;
}

static Status output_close(Output *output, Status status)
{
    if (output->file != NULL) {
        const bool failed = ferror(output->file) != 0;
        if ((fclose(output->file) != 0 || failed) && status == OK) status = status_errno(errno, "write", output->path);
    }
    if (status == OK) status = file_commit(output->temporary, output->path);
    else file_discard(output->temporary);
    memory_free(output->temporary);
    memory_free(output->path);
    return status;
}

/* Line `line` of every part: objects, or arrays whose brackets are left out. */
static Status join_parts(const Exports *exports, int64_t count, int line, FILE *file)
{
    bool first = true;
    for (int64_t i = 0; i < count; i++) {
        char *path = part_path(exports, i), *data = NULL;
        size_t bytes;
        Status status = path == NULL ? status_no_memory(256, "a path") : file_read(path, 0, &data, &bytes);
        memory_free(path);
        TRY(status);
        char *start = data, *end = strchr(data, '\n');
        if (line == 1 && end != NULL) {
            start = end + 2; /* behind the bracket */
            end = strrchr(start, ']');
        }
        if (end == NULL) status = status_error(STATUS_CORRUPT, "%s: part %" PRId64 " is damaged", exports->parts, i);
        if (status == OK && end > start) {
            if (!first) fputs(",\n", file);
            fwrite(start, 1, (size_t)(end - start), file);
            first = false;
        }
        memory_free(data);
        TRY(status);
    }
    return OK;
}

static Status write_json(const Exports *exports, Form form, int64_t count)
{
    Output output = {0};
    JsonWriter categories = {0};
    write_categories(exports->classes, &categories);
    char *path = memory_format("%s/%s.json", exports->directory, FORM_NAMES[form]);
    Status status = path == NULL || categories.text.failed ? status_no_memory(4096, "an export") : output_open(path, &output);
    if (status == OK && form == FORM_INSTANCES) {
        fputs("[", output.file);
        status = join_parts(exports, count, 1, output.file);
        fputs("]\n", output.file);
    } else if (status == OK) {
        fprintf(output.file, "{\"categories\":%s", text_string(&categories.text));
        if (form == FORM_PANOPTIC) {
            fputs(",\n\"annotations\":[", output.file);
            status = join_parts(exports, count, 0, output.file);
            fputs("]", output.file);
        }
        fputs("}\n", output.file);
    }
    status = output_close(&output, status);
    memory_free(path);
    text_free(&categories.text);
    return status;
}

Status exports_finish(Exports *exports, int64_t count)
{
    if (exports == NULL) return OK;
    for (int form = 0; form < FORM_COUNT; form++)
        if (exports->wanted[form]) TRY(write_json(exports, (Form)form, count));
    return directory_remove(exports->parts);
}
