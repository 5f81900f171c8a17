#include <string.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "jobs/stages/classifier_file.h"
#include "jobs/stages/segmenter_setup.h"
#include "jobs/stages/weight_exchange.h"
#include "jobs/stages/weights.h"
#include "storage/class_table.h"
#include "storage/safetensors.h"

enum { NAME_SIZE = 256 };

typedef struct Export {
    SafetensorsEntry *entries;
    char (*names)[NAME_SIZE];
    int count;
} Export;

static void add_entry(Export *export, const char *name, const NamedArray *array)
{
    char *copy = export->names[export->count];
    snprintf(copy, NAME_SIZE, "%s", name);
    export->entries[export->count++] = (SafetensorsEntry){copy, array->rank, array->shape, array->data};
}

/* A classifier's arrays are named as in its own file; PADing calls them new_fc. */
static const char *classifier_name(const char *ours)
{
    return strcmp(ours, "weight") == 0 ? "new_fc.weight" : strcmp(ours, "bias") == 0 ? "new_fc.bias" : ours;
}

static Status collect(const Checkpoint *checkpoint, const char *from, WeightStyle style, Export *export)
{
    bool segmenter = strcmp(checkpoint_kind(checkpoint), SEGMENTER_KIND) == 0;
    bool classifier = strcmp(checkpoint_kind(checkpoint), CLASSIFIER_KIND) == 0;
    if (!segmenter && style != WEIGHTS_ZEROTH && style != WEIGHTS_PADING)
        return status_error(STATUS_INVALID, "%s is a %s: there are no names of %s for it, only zeroth's and pading's", from,
                            checkpoint_kind(checkpoint), weight_style_name(style));
    for (int i = 0; i < checkpoint_count(checkpoint); i++) {
        const NamedArray *array = checkpoint_array(checkpoint, i);
        char name[NAME_SIZE];
        if (array->type != ARRAY_F32) continue;
        if (!segmenter) snprintf(name, sizeof name, "%s", classifier ? classifier_name(array->name) : array->name);
        else if (!weight_name_foreign(style, array->name, name, sizeof name)) continue;
        add_entry(export, name, array);
    }
    if (export->count > 0) return OK;
    return status_error(STATUS_INVALID, "%s: none of its tensors has a name in the style of %s", from,
                        weight_style_name(style));
}

Status weights_export(const char *from, WeightStyle style, const char *to)
{
    Checkpoint *checkpoint;
    TRY(checkpoint_read(from, NULL, &checkpoint));
    size_t count = (size_t)checkpoint_count(checkpoint) + 1;
    Export export = {memory_alloc_zero(count, sizeof *export.entries), memory_alloc_zero(count, sizeof *export.names), 0};
    const char *metadata[] = {"format", "pt", "producer", "zeroth", "names", weight_style_name(style),
                              "digest", checkpoint_digest(checkpoint)};
    Status status = export.entries == NULL || export.names == NULL ? status_no_memory(count * NAME_SIZE, from) : OK;
    if (status == OK) status = collect(checkpoint, from, style, &export);
    if (status == OK) status = safetensors_write(to, export.entries, export.count, metadata, 4);
    memory_free(export.entries);
    memory_free(export.names);
    checkpoint_destroy(checkpoint);
    return status;
}

Status weights_replace(const char *model, const char *weights, WeightPart part, const char *to)
{
    Segmenter *segmenter = NULL;
    Checkpoint *checkpoint = NULL;
    ArrayList arrays = {0};
    ClassTable classes = {0};
    Status status = segmenter_read(model, &segmenter, &classes, NULL);
    if (status == OK) status = checkpoint_read(model, SEGMENTER_KIND, &checkpoint);
    if (status == OK) status = weights_import(weights, part, &classes, segmenter);
    if (status == OK) status = weights_list(&arrays, "", segmenter_parameters(segmenter));
    if (status == OK)
        status = checkpoint_write(to, SEGMENTER_KIND, checkpoint_header(checkpoint), arrays.items, arrays.count);
    class_table_clear(&classes);
    array_list_clear(&arrays);
    checkpoint_destroy(checkpoint);
    segmenter_destroy(segmenter);
    return status;
}

/* -- printing -- */

static void print_tensor(FILE *out, const char *name, const char *type, int rank, const int64_t *shape)
{
    char text[200];
    safetensors_format_shape(rank, shape, text, sizeof text);
    fprintf(out, "%-72s %-4s %s\n", name, type, text);
}

static bool file_has(const void *file, const char *name)
{
    return safetensors_has(file, name);
}

static void print_safetensors(const Safetensors *file, FILE *out)
{
    static const char *const keys[] = {"producer", "source", "input", "padding", "licence"};
    WeightStyle style;
    bool known = weight_style_detect(file_has, file, &style);
    fprintf(out, "# %d tensors, names as %s\n", safetensors_count(file),
            known ? weight_style_name(style) : "nobody's that is known here");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (safetensors_metadata(file, keys[i]) != NULL)
            fprintf(out, "# %s: %s\n", keys[i], safetensors_metadata(file, keys[i]));
    for (int i = 0; i < safetensors_count(file); i++) {
        const char *name = safetensors_name(file, i), *type;
        int rank;
        const int64_t *shape;
        if (safetensors_describe(file, name, &type, &rank, &shape)) print_tensor(out, name, type, rank, shape);
    }
}

Status weights_print(const char *path, FILE *out)
{
    static const char *const types[ARRAY_TYPE_COUNT] = {"F32", "F64", "I32", "I64", "U8"};
    size_t length = strlen(path);
    if (length > 3 && strcmp(path + length - 3, ".h5") == 0) {
        Checkpoint *checkpoint;
        TRY(checkpoint_read(path, NULL, &checkpoint));
        fprintf(out, "# %d arrays of a %s\n", checkpoint_count(checkpoint), checkpoint_kind(checkpoint));
        for (int i = 0; i < checkpoint_count(checkpoint); i++) {
            const NamedArray *array = checkpoint_array(checkpoint, i);
            print_tensor(out, array->name, types[array->type], array->rank, array->shape);
        }
        checkpoint_destroy(checkpoint);
        return OK;
    }
    Safetensors *file;
    TRY(safetensors_open(path, &file));
    print_safetensors(file, out);
    safetensors_close(file);
    return OK;
}
