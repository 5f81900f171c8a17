/* The deformable pixel decoder against the published implementation. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "framework/memory.h"
#include "models/segmenter/pixel_decoder.h"
#include "tests/models/parity_file.h"

#define MAPS 4

static const char *const input_names[4] = {"res2", "res3", "res4", "res5"};
static const char *const output_names[MAPS] = {"mask_features", "multi_scale_0", "multi_scale_1", "multi_scale_2"};

/* Copies a map [N, C, H, W] of the file into `to`, [N, H, W, C]. */
static Status read_map(ParityFile *file, const char *group, const char *name, void *to, int64_t count)
{
    char path[128];
    ParityData data;
    snprintf(path, sizeof path, "%s/%s", group, name);
    TRY(parity_file_read(file, path, &data));
    if (data.count == count)
        parity_nchw_to_nhwc(data.values, to, data.shape[0], data.shape[1], data.shape[2], data.shape[3]);
    memory_free(data.values);
    return data.count == count ? OK : status_error(STATUS_INVALID, "%s: another size than the model's", path);
}

/* Compares our map [N, H, W, C] with the file's. */
static Status compare_map(ParityFile *file, const char *group, const char *name, const Tensor *map, const void *ours,
                          Status (*compare)(ParityFile *, const char *, const float *, int64_t, ParityResult *),
                          ParityResult *result)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", group, name);
    float *turned = memory_alloc((size_t)map->count * sizeof *turned);
    if (turned == NULL) return status_no_memory((size_t)map->count * sizeof *turned, "a feature map");
    parity_nhwc_to_nchw(ours, turned, map->shape[0], map->shape[3], map->shape[1], map->shape[2]);
    Status status = compare(file, path, turned, map->count, result);
    memory_free(turned);
    return status;
}

static Status read_config(ParityFile *file, PixelDecoderConfig *config)
{
    int64_t values[7];
    static const char *const names[7] = {"conv_dim", "mask_dim", "ffn", "encoder_layers", "heads", "points",
                                         "group_norm_groups"};
    for (int i = 0; i < 7; i++) TRY(parity_file_int(file, names[i], &values[i]));
    *config = (PixelDecoderConfig){.kind = PIXEL_DECODER_DEFORMABLE, .dim = values[0], .mask_dim = values[1],
                                   .ffn = values[2], .layers = (int)values[3], .heads = (int)values[4],
                                   .points = (int)values[5], .norm_groups = (int)values[6]};
    return OK;
}

typedef struct Model {
    Parameters *parameters;
    Graph *graph;
    Tensor *inputs[4], *outputs[MAPS];
} Model;

static Status build(ParityFile *file, Model *model, PixelDecoderConfig config)
{
    TRY(graph_create(backend_cpu(), DTYPE_F32, &model->graph));
    for (int i = 0; i < 4; i++) {
        char path[64];
        ParityData data;
        snprintf(path, sizeof path, "input/%s", input_names[i]);
        TRY(parity_file_read(file, path, &data));
        memory_free(data.values);
        config.channels[i] = data.shape[1];
        model->inputs[i] = graph_add_input(model->graph, DTYPE_F32, 4, (int64_t[]){data.shape[0], data.shape[2],
                                           data.shape[3], data.shape[1]}, true);
    }
    TRY(parameters_create(DTYPE_F32, &model->parameters));
    pixel_decoder_add_parameters(model->parameters, "", &config);
    TRY(parameters_allocate(model->parameters, 1));
    TRY(parity_load_parameters(file, "weight", model->parameters));
    PixelDecoderOutput output;
    pixel_decoder_build(model->graph, model->parameters, "", &config, model->inputs, &output);
    model->outputs[0] = graph_mark_output(output.mask_features);
    for (int l = 0; l < PIXEL_DECODER_LEVELS; l++) model->outputs[1 + l] = graph_mark_output(output.multi_scale[l]);
    return graph_compile(model->graph, true);
}

static double length(const float *values, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)values[i] * (double)values[i];
    return sqrt(sum);
}

/* With one channel in a group, the norm takes away what the bias before it adds: its gradient is zero but for
 * rounding, on both sides, and to be judged by the size of the weight's. */
static Status compare_lost_bias(ParityFile *file, const Model *model, const Parameter *bias, ParityResult *result)
{
    char path[128], name[128];
    ParityData reference;
    snprintf(path, sizeof path, "weight_grad/%s", bias->name);
    snprintf(name, sizeof name, "%.*s.weight", (int)(strlen(bias->name) - strlen(".bias")), bias->name);
    const Parameter *weight = parameters_find(model->parameters, name);
    TRY(parity_file_read(file, path, &reference));
    const float *ours = bias->grad;
    double scale = length(weight->grad, weight->count);
    parity_note_gradient(result, path, length(ours, bias->count) / scale);
    parity_note_gradient(result, path, length(reference.values, reference.count) / scale);
    memory_free(reference.values);
    return OK;
}

static Status compare_parameter_gradients(ParityFile *file, const Model *model, bool lost_biases, ParityResult *result)
{
    for (int i = 0; i < model->parameters->count; i++) {
        const Parameter *p = model->parameters->items[i];
        char path[128];
        size_t size = strlen(p->name);
        if (lost_biases && strncmp(p->name, "input_proj.", 11) == 0 && strcmp(p->name + size - 7, ".0.bias") == 0) {
            TRY(compare_lost_bias(file, model, p, result));
            continue;
        }
        snprintf(path, sizeof path, "weight_grad/%s", p->name);
        TRY(parity_compare_gradient(file, path, p->grad, p->count, result));
    }
    return OK;
}

static Status run(ParityFile *file, Model *model, ParityResult *result)
{
    PixelDecoderConfig config;
    TRY(read_config(file, &config));
    TRY(build(file, model, config));
    for (int i = 0; i < 4; i++)
        TRY(read_map(file, "input", input_names[i], model->inputs[i]->data, model->inputs[i]->count));
    TRY(graph_forward(model->graph));
    for (int i = 0; i < MAPS; i++) {
        const Tensor *t = model->outputs[i];
        TRY(compare_map(file, "output", output_names[i], t, t->data, parity_compare_output, result));
        TRY(read_map(file, "cotangent", output_names[i], t->grad, t->count));
    }
    parameters_zero_grad(model->parameters);
    TRY(graph_backward(model->graph));
    for (int i = 0; i < 4; i++) {
        const Tensor *t = model->inputs[i];
        TRY(compare_map(file, "input_grad", input_names[i], t, t->grad, parity_compare_gradient, result));
    }
    return compare_parameter_gradients(file, model, config.norm_groups == config.dim, result);
}

Status parity_pixel_decoder(const char *path, ParityResult *result)
{
    ParityFile *file;
    Model model = {NULL, NULL, {NULL}, {NULL}};
    TRY(parity_file_open(path, &file));
    Status status = run(file, &model, result);
    graph_destroy(model.graph);
    parameters_destroy(model.parameters);
    parity_file_close(file);
    return status;
}
