#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "framework/memory.h"
#include "jobs/stages/weight_exchange.h"
#include "jobs/stages/weight_problems.h"
#include "storage/class_table.h"
#include "storage/safetensors.h"

enum { NAME_SIZE = 256 };
#define NORM_EPSILON 1e-5 /* torchvision's and PyTorch's */
#define MOBILENET "backbone.features."

typedef struct Import {
    const char *path;
    Safetensors *file;
    WeightStyle style;
    WeightPart part;
    const SegmenterConfig *config;
    const ClassTable *classes;
    Parameters *parameters;
    bool *used; /* one per tensor of the file */
    WeightProblems problems;
} Import;

/* The tensor or tensors that a parameter comes from. */
typedef struct Source {
    char name[NAME_SIZE];  /* of its values */
    char norm[NAME_SIZE];  /* "features.0.1": the batch norm to fold in; "" for none */
    bool is_bias;          /* of a folded convolution: made of the norm alone */
} Source;

/* -- where a parameter comes from -- */

/* "features.3.conv.1.0" -> "features.3.conv.1.1": torchvision numbers a norm after its convolution. */
static void norm_after(const char *layer, char norm[NAME_SIZE])
{
    const char *number = strrchr(layer, '.');
    number = number == NULL ? layer : number + 1;
    snprintf(norm, NAME_SIZE, "%.*s%d", (int)(number - layer), layer, atoi(number) + 1);
}

static const char *norm_tensor(const char *norm, const char *part, char out[NAME_SIZE])
{
    snprintf(out, NAME_SIZE, "%.*s.%s", NAME_SIZE - 32, norm, part);
    return out;
}

static bool has_norm(const Import *import, const char *norm)
{
    char name[NAME_SIZE];
    return safetensors_has(import->file, norm_tensor(norm, "running_var", name));
}

static Source find_source(const Import *import, const Parameter *p)
{
    Source source = {.name = ""};
    char layer[NAME_SIZE], norm[NAME_SIZE];
    if (!weight_name_foreign(import->style, p->name, source.name, sizeof source.name)) source.name[0] = '\0';
    if (strncmp(p->name, MOBILENET, strlen(MOBILENET)) != 0 || source.name[0] == '\0') return source;
    const char *dot = strrchr(source.name, '.');
    snprintf(layer, sizeof layer, "%.*s", (int)(dot - source.name), source.name);
    norm_after(layer, norm);
    if (!has_norm(import, norm)) return source;
    source.is_bias = p->rank == 1;
    memcpy(source.norm, norm, sizeof source.norm);
    return source;
}

/* -- checking -- */

static void use(Import *import, const char *name)
{
    for (int i = 0; i < safetensors_count(import->file); i++)
        if (strcmp(safetensors_name(import->file, i), name) == 0) import->used[i] = true;
}

static void check_tensor(Import *import, const char *name, int rank, const int64_t *shape)
{
    if (weight_problems_check(&import->problems, import->file, name, rank, shape)) use(import, name);
}

/* Whether a head of the file is one of all classes where ours has the seen ones. */
static bool is_whole_head(const Import *import, const char *name, const Parameter *p)
{
    const char *type;
    int rank;
    const int64_t *shape;
    if (weight_part(p->name) != WEIGHT_PART_ALL || !safetensors_describe(import->file, name, &type, &rank, &shape)) return false;
    return rank == p->rank && shape[0] == import->classes->count + 1 && shape[0] != p->shape[0] &&
           p->shape[0] == import->classes->seen_count + 1 && (rank == 1 || shape[1] == p->shape[1]);
}

static void check_parameter(Import *import, const Parameter *p)
{
    static const char *const parts[] = {"weight", "bias", "running_mean", "running_var"};
    Source source = find_source(import, p);
    char name[NAME_SIZE];
    if (is_whole_head(import, source.name, p)) use(import, source.name);
    else if (!source.is_bias) check_tensor(import, source.name[0] != '\0' ? source.name : p->name, p->rank, p->shape);
    for (int i = 0; i < 4 && source.is_bias; i++)
        check_tensor(import, norm_tensor(source.norm, parts[i], name), 1, p->shape);
}

/* MobileNetV2 was trained with one padding or the other, which nothing in its shapes tells. */
static Status check_padding(const Import *import)
{
    const BackboneConfig *backbone = &import->config->backbone;
    if (backbone->kind != BACKBONE_MOBILENET_V2) return OK;
    const char *said = safetensors_metadata(import->file, "padding");
    bool same = said != NULL && strstr(said, "SAME") != NULL;
    bool symmetric = !same && (said != NULL || has_norm(import, "features.0.1"));
    if (same && backbone->padding != BACKBONE_PADDING_SAME)
        return status_error(STATUS_INVALID, "%s: its padding is %s: set segmenter.padding to same", import->path, said);
    if (symmetric && backbone->padding != BACKBONE_PADDING_SYMMETRIC)
        return status_error(STATUS_INVALID, "%s: its padding is %s: set segmenter.padding to symmetric", import->path,
                            said != NULL ? said : "torchvision's");
    return OK;
}

static Status check(Import *import)
{
    if (import->part > WEIGHT_PART_BACKBONE && weight_style_is_backbone(import->style))
        return status_error(STATUS_INVALID, "%s holds a backbone only (names as %s's): set segmenter.load to backbone",
                            import->path, weight_style_name(import->style));
    TRY(check_padding(import));
    for (int i = 0; i < import->parameters->count; i++)
        if (weight_part(import->parameters->items[i]->name) <= import->part)
            check_parameter(import, import->parameters->items[i]);
    for (int i = 0; i < safetensors_count(import->file); i++) {
        const char *name = safetensors_name(import->file, i);
        if (!import->used[i] && weight_part_foreign(import->style, name) <= import->part)
            weight_problems_extra(&import->problems, name);
    }
    return weight_problems_report(&import->problems, import->path, import->style);
}

/* -- reading -- */

/* The four vectors of a batch norm: each row's factor, and what is added. */
static Status read_norm(const Import *import, const char *norm, int64_t rows, float *factor, float *shift)
{
    char name[NAME_SIZE];
    float *mean = memory_alloc((size_t)rows * sizeof *mean), *variance = memory_alloc((size_t)rows * sizeof *variance);
    Status status = mean == NULL || variance == NULL ? status_no_memory((size_t)rows * sizeof *mean, "a batch norm") : OK;
    if (status == OK) status = safetensors_read(import->file, norm_tensor(norm, "weight", name), 1, &rows, factor);
    if (status == OK) status = safetensors_read(import->file, norm_tensor(norm, "bias", name), 1, &rows, shift);
    if (status == OK) status = safetensors_read(import->file, norm_tensor(norm, "running_mean", name), 1, &rows, mean);
    if (status == OK) status = safetensors_read(import->file, norm_tensor(norm, "running_var", name), 1, &rows, variance);
    for (int64_t r = 0; status == OK && r < rows; r++) {
        double f = (double)factor[r] / sqrt((double)variance[r] + NORM_EPSILON);
        shift[r] = (float)((double)shift[r] - (double)mean[r] * f);
        factor[r] = (float)f;
    }
    memory_free(mean);
    memory_free(variance);
    return status;
}

static Status read_folded(const Import *import, const Source *source, const Parameter *p)
{
    int64_t rows = p->shape[0], width = p->count / rows;
    float *factor = memory_alloc((size_t)rows * sizeof *factor), *shift = memory_alloc((size_t)rows * sizeof *shift);
    float *values = p->value;
    Status status = factor == NULL || shift == NULL ? status_no_memory((size_t)rows * sizeof *shift, "a batch norm") : OK;
    if (status == OK) status = read_norm(import, source->norm, rows, factor, shift);
    if (status == OK && source->is_bias) memcpy(values, shift, (size_t)rows * sizeof *values);
    if (status == OK && !source->is_bias) {
        status = safetensors_read(import->file, source->name, p->rank, p->shape, values);
        for (int64_t i = 0; status == OK && i < p->count; i++) values[i] *= factor[i / width];
    }
    memory_free(factor);
    memory_free(shift);
    return status;
}

/* The seen classes' rows and the last. */
static Status read_whole_head(const Import *import, const char *name, const Parameter *p)
{
    const ClassTable *classes = import->classes;
    int64_t shape[2] = {classes->count + 1, p->rank == 2 ? p->shape[1] : 1}, width = shape[1];
    float *rows = memory_alloc((size_t)(shape[0] * width) * sizeof *rows), *values = p->value;
    if (rows == NULL) return status_no_memory((size_t)(shape[0] * width) * sizeof *rows, "a class head");
    Status status = safetensors_read(import->file, name, p->rank, shape, rows);
    for (int c = 0; status == OK && c <= classes->count; c++) {
        int to = c == classes->count ? classes->seen_count : class_table_seen_index(classes, c);
        if (to >= 0) memcpy(values + to * width, rows + c * width, (size_t)width * sizeof *rows);
    }
    memory_free(rows);
    return status;
}

static Status read_all(Import *import)
{
    for (int i = 0; i < import->parameters->count; i++) {
        const Parameter *p = import->parameters->items[i];
        if (weight_part(p->name) > import->part) continue;
        Source source = find_source(import, p);
        if (is_whole_head(import, source.name, p)) TRY(read_whole_head(import, source.name, p));
        else if (source.norm[0] != '\0') TRY(read_folded(import, &source, p));
        else TRY(safetensors_read(import->file, source.name, p->rank, p->shape, p->value));
    }
    return OK;
}

static bool file_has(const void *file, const char *name)
{
    return safetensors_has(file, name);
}

Status weights_import(const char *path, WeightPart part, const ClassTable *classes, Segmenter *segmenter)
{
    Import import = {.path = path, .part = part, .classes = classes, .config = segmenter_config(segmenter),
                     .parameters = segmenter_parameters(segmenter)};
    TRY(safetensors_open(path, &import.file));
    Status status = OK;
    if (!weight_style_detect(file_has, import.file, &import.style))
        status = status_error(STATUS_INVALID, "%s: its names are neither ours nor torchvision's, detectron2's, Mask2Former's "
                              "or PADing's: 'zeroth weights list' shows them", path);
    import.used = memory_alloc_zero((size_t)safetensors_count(import.file) + 1, sizeof *import.used);
    if (status == OK && import.used == NULL) status = status_no_memory((size_t)safetensors_count(import.file), path);
    if (status == OK) status = check(&import);
    if (status == OK) status = read_all(&import);
    weight_problems_clear(&import.problems);
    memory_free(import.used);
    safetensors_close(import.file);
    return status;
}
