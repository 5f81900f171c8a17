#include <math.h>
#include <stdio.h>

#include "framework/memory.h"
#include "models/layers/position.h"
#include "models/segmenter/pixel_decoder_private.h"

#define LEVELS PIXEL_DECODER_LEVELS
#define MAX_NAME 128
#define ENCODER "transformer.encoder.layers"

/* The levels' cells in one row of tokens, coarse to fine. */
typedef struct Cells {
    int64_t size[2 * LEVELS]; /* height, width */
    int64_t start[LEVELS], total;
} Cells;

static Cells count_cells(Tensor *const maps[LEVELS])
{
    Cells cells = {.total = 0};
    for (int l = 0; l < LEVELS; l++) {
        cells.size[2 * l] = maps[l]->shape[1];
        cells.size[2 * l + 1] = maps[l]->shape[2];
        cells.start[l] = cells.total;
        cells.total += maps[l]->shape[1] * maps[l]->shape[2];
    }
    return cells;
}

/* Sine positions of each level plus its learned vector: [total, dim]. */
static Tensor *positions(const Scope *scope, const Cells *cells, int64_t dim, Tensor *level_embed)
{
    double *sine = memory_alloc((size_t)(cells->total * dim) * sizeof *sine);
    if (sine == NULL) return graph_fail(scope->graph, "no memory for the positions of %lld cells", (long long)cells->total);
    Tensor *parts[LEVELS];
    for (int l = 0; l < LEVELS; l++) {
        int64_t height = cells->size[2 * l], width = cells->size[2 * l + 1];
        position_sine(height, width, dim, sine);
        Tensor *place = graph_add_constant(scope->graph, 2, (int64_t[]){height * width, dim}, sine);
        parts[l] = graph_add_sum(scope->graph, place, graph_add_slice(scope->graph, level_embed, 0, l, 1));
    }
    memory_free(sine);
    return graph_add_concat(scope->graph, parts, LEVELS, 0);
}

/* The constants that turn offsets in cells into locations: where each cell's centre lies in its level, for every
 * sample [total, samples * 2], and 1 / (width, height) of the sampled level [samples * 2]. */
typedef struct Grid { Tensor *centre, *unit; } Grid;

static Grid sampling_grid(const Scope *scope, const PixelDecoderConfig *config, const Cells *cells)
{
    int64_t samples = (int64_t)config->heads * LEVELS * config->points, row = 2 * samples;
    double *centre = memory_alloc((size_t)(cells->total * row) * sizeof *centre);
    double *unit = memory_alloc((size_t)row * sizeof *unit);
    Grid grid = {NULL, NULL};
    if (centre == NULL || unit == NULL) {
        graph_fail(scope->graph, "no memory for the sampling grid of %lld cells", (long long)cells->total);
    } else {
        for (int64_t s = 0; s < samples; s++) {
            int64_t level = s / config->points % LEVELS;
            unit[2 * s] = 1 / (double)cells->size[2 * level + 1];
            unit[2 * s + 1] = 1 / (double)cells->size[2 * level];
        }
        for (int l = 0; l < LEVELS; l++)
            for (int64_t i = 0; i < cells->size[2 * l] * cells->size[2 * l + 1]; i++) {
                int64_t height = cells->size[2 * l], width = cells->size[2 * l + 1];
                double *cell = centre + (cells->start[l] + i) * row;
                for (int64_t s = 0; s < samples; s++) {
                    cell[2 * s] = ((double)(i % width) + 0.5) / (double)width;
                    cell[2 * s + 1] = ((double)(i / width) + 0.5) / (double)height;
                }
            }
        grid.centre = graph_add_constant(scope->graph, 2, (int64_t[]){cells->total, row}, centre);
        grid.unit = graph_add_constant(scope->graph, 1, &row, unit);
    }
    memory_free(centre);
    memory_free(unit);
    return grid;
}

static const Init ZERO = {INIT_ZERO, 0}, GLOROT = {INIT_XAVIER_UNIFORM, 1};

/* x, position: [N, total, dim] and [total, dim] */
static Tensor *deformable_self_attention(const Scope *scope, const PixelDecoderConfig *config, const char *name,
                                         const Cells *cells, const Grid *grid, Tensor *x, Tensor *position)
{
    Graph *g = scope->graph;
    int64_t dim = config->dim, share = (int64_t)LEVELS * config->points, samples = config->heads * share;
    char part[4][MAX_NAME];
    static const char *const parts[4] = {"value_proj", "sampling_offsets", "attention_weights", "output_proj"};
    for (int i = 0; i < 4; i++) snprintf(part[i], sizeof part[i], "%s.%s", name, parts[i]);
    Tensor *query = module_sum(scope, x, position);
    Tensor *value = module_linear(scope, x, part[0], dim, dim, GLOROT, ZERO);
    Tensor *offsets = module_linear(scope, query, part[1], dim, 2 * samples, ZERO, ZERO);
    Tensor *weights = module_linear(scope, query, part[2], dim, samples, ZERO, ZERO);
    Tensor *attended = NULL;
    if (g != NULL && weights != NULL) {
        int64_t n = weights->shape[0];
        weights = graph_add_reshape(g, weights, 4, (int64_t[]){n, cells->total, config->heads, share});
        weights = graph_add_reshape(g, graph_add_softmax(g, weights, 1), 3, (int64_t[]){n, cells->total, samples});
        Tensor *locations = graph_add_sum(g, graph_add_product(g, offsets, grid->unit), grid->centre);
        attended = graph_add_deformable_attention(g, value, locations, weights, config->heads, LEVELS, config->points,
                                                  cells->size);
    }
    return module_linear(scope, attended, part[3], dim, dim, GLOROT, ZERO);
}

static Tensor *encoder_layer(const Scope *scope, const PixelDecoderConfig *config, int layer, const Cells *cells,
                             const Grid *grid, Tensor *x, Tensor *position)
{
    char name[MAX_NAME / 2];
    char part[4][MAX_NAME];
    static const char *const parts[4] = {"norm1", "linear1", "linear2", "norm2"};
    for (int i = 0; i < 4; i++) snprintf(part[i], sizeof part[i], ENCODER ".%d.%s", layer, parts[i]);
    snprintf(name, sizeof name, ENCODER ".%d.self_attn", layer);
    Tensor *y = deformable_self_attention(scope, config, name, cells, grid, x, position);
    x = module_layer_norm(scope, module_sum(scope, x, y), part[0], config->dim);
    Init bias1 = {INIT_UNIFORM, 1 / sqrt((double)config->dim)}, bias2 = {INIT_UNIFORM, 1 / sqrt((double)config->ffn)};
    y = module_linear(scope, x, part[1], config->dim, config->ffn, GLOROT, bias1);
    y = module_activation(scope, y, ACTIVATION_RELU);
    y = module_linear(scope, y, part[2], config->ffn, config->dim, GLOROT, bias2);
    return module_layer_norm(scope, module_sum(scope, x, y), part[3], config->dim);
}

/* The encoder over the projected maps, coarse to fine, which it replaces. */
static void encode(const Scope *scope, const PixelDecoderConfig *config, Tensor *maps[LEVELS])
{
    Graph *g = scope->graph;
    Tensor *level_embed = module_parameter(scope, "transformer.level_embed", 2, (int64_t[]){LEVELS, config->dim},
                                           (Init){INIT_NORMAL, 1});
    bool ready = g != NULL && maps[0] != NULL && maps[1] != NULL && maps[2] != NULL;
    if (g != NULL && !ready) return;
    Cells cells = {.total = 0};
    Grid grid = {NULL, NULL};
    Tensor *x = NULL, *position = NULL;
    int64_t batch = 0;
    if (ready) {
        cells = count_cells(maps);
        batch = maps[0]->shape[0];
        Tensor *rows[LEVELS];
        for (int l = 0; l < LEVELS; l++)
            rows[l] = graph_add_reshape(g, maps[l], 3, (int64_t[]){batch, -1, config->dim});
        x = graph_add_concat(g, rows, LEVELS, 1);
        position = positions(scope, &cells, config->dim, level_embed);
        grid = sampling_grid(scope, config, &cells);
    }
    for (int layer = 0; layer < config->layers; layer++)
        x = encoder_layer(scope, config, layer, &cells, &grid, x, position);
    for (int l = 0; ready && l < LEVELS; l++) {
        Tensor *part = graph_add_slice(g, x, 1, cells.start[l], cells.size[2 * l] * cells.size[2 * l + 1]);
        maps[l] = graph_add_reshape(g, part, 4,
                                    (int64_t[]){batch, cells.size[2 * l], cells.size[2 * l + 1], config->dim});
    }
}

void pixel_decoder_deformable(const Scope *scope, const PixelDecoderConfig *config, Tensor *const features[4],
                              PixelDecoderOutput *output)
{
    Tensor *maps[LEVELS];
    for (int l = 0; l < LEVELS; l++) {
        char name[32];
        ConvShape shape = {.in = config->channels[3 - l], .out = config->dim, .kernel = 1, .bias = true, .init = GLOROT};
        snprintf(name, sizeof name, "input_proj.%d.0", l);
        maps[l] = module_conv(scope, features[3 - l], name, &shape);
        snprintf(name, sizeof name, "input_proj.%d.1", l);
        maps[l] = module_group_norm(scope, maps[l], name, config->dim, pyramid_groups(config), 1);
    }
    encode(scope, config, maps);
    Tensor *finest = pyramid_level(scope, config, 0, features[0], false, maps[LEVELS - 1]);
    output->mask_features = pyramid_mask_features(scope, config, finest);
    for (int l = 0; l < LEVELS; l++) output->multi_scale[l] = maps[l];
}

/* Head h looks in direction 2 pi h / heads, to the edge of a square; point p lies p + 1 cells out (Zhu et al. 2021). */
static void set_offsets(const PixelDecoderConfig *config, const Parameters *parameters, Parameter *bias)
{
    for (int64_t i = 0; i < bias->count / 2; i++) {
        int64_t point = i % config->points, head = i / (config->points * LEVELS);
        double angle = 6.283185307179586 * (double)head / config->heads, x = cos(angle), y = sin(angle);
        double scale = (double)(point + 1) / fmax(fabs(x), fabs(y));
        double pair[2] = {x * scale, y * scale};
        for (int axis = 0; axis < 2; axis++) {
            if (parameters->dtype == DTYPE_F64)
                ((double *)bias->value)[2 * i + axis] = pair[axis];
            else
                ((float *)bias->value)[2 * i + axis] = (float)pair[axis];
        }
    }
}

void pixel_decoder_initialize(Parameters *parameters, const char *prefix, const PixelDecoderConfig *config)
{
    if (config->kind != PIXEL_DECODER_DEFORMABLE) return;
    for (int layer = 0; layer < config->layers; layer++) {
        char name[256];
        snprintf(name, sizeof name, "%s" ENCODER ".%d.self_attn.sampling_offsets.bias", prefix, layer);
        Parameter *bias = parameters_find(parameters, name);
        if (bias != NULL && bias->value != NULL) set_offsets(config, parameters, bias);
    }
}
