/* mask_decoder.h5: every head's outputs, and gradients under the file's
 * cotangents. */
#include <stdio.h>
#include <string.h>

#include "framework/memory.h"
#include "models/segmenter/mask_decoder.h"
#include "tests/models/parity_file.h"

typedef struct Check {
    ParityFile *file;
    ParityResult *result;
    MaskDecoderConfig config;
    Parameters *parameters;
    Graph *graph;
    Tensor *scales[MASK_DECODER_SCALES], *mask_features;
    MaskDecoderOutputs outputs;
} Check;

static Status read_config(Check *check)
{
    const struct { const char *name; int *value; } sizes[] = {
        {"dim", &check->config.dim},       {"heads", &check->config.heads},     {"ffn", &check->config.ffn},
        {"layers", &check->config.layers}, {"queries", &check->config.queries}, {"classes", &check->config.classes}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int64_t value;
        TRY(parity_file_int(check->file, sizes[i].name, &value));
        *sizes[i].value = (int)value;
    }
    check->config.mask_dim = check->config.dim;
    return OK;
}

/* A map of the file as an input with that data, channels last. */
static Status add_map(Check *check, const char *name, Tensor **tensor, ParityData *data)
{
    TRY(parity_file_read(check->file, name, data));
    const int64_t *s = data->shape;
    *tensor = graph_add_input(check->graph, DTYPE_F32, 4, (int64_t[]){s[0], s[2], s[3], s[1]}, true);
    return OK;
}

static void fill_map(const Tensor *tensor, ParityData *data)
{
    const int64_t *s = data->shape;
    parity_nchw_to_nhwc(data->values, tensor->data, s[0], s[1], s[2], s[3]);
    memory_free(data->values);
    data->values = NULL;
}

static Status build(Check *check)
{
    ParityData data[MASK_DECODER_SCALES + 1] = {{0}};
    char name[64];
    Status status;
    TRY_GOTO(status, graph_create(backend_cpu(), DTYPE_F32, &check->graph), done);
    for (int i = 0; i < MASK_DECODER_SCALES; i++) {
        snprintf(name, sizeof name, "input/multi_scale_%d", i);
        TRY_GOTO(status, add_map(check, name, &check->scales[i], &data[i]), done);
    }
    TRY_GOTO(status, add_map(check, "input/mask_features", &check->mask_features, &data[MASK_DECODER_SCALES]), done);
    mask_decoder_build(check->graph, check->parameters, "", &check->config, check->scales, check->mask_features, true,
                       &check->outputs);
    for (int h = 0; h < check->outputs.heads; h++) {
        graph_mark_output(check->outputs.class_logits[h]);
        graph_mark_output(check->outputs.mask_logits[h]);
    }
    graph_mark_output(check->outputs.embeddings);
    TRY_GOTO(status, graph_compile(check->graph, true), done);
    for (int i = 0; i < MASK_DECODER_SCALES; i++) fill_map(check->scales[i], &data[i]);
    fill_map(check->mask_features, &data[MASK_DECODER_SCALES]);
done:
    for (int i = 0; i <= MASK_DECODER_SCALES; i++) memory_free(data[i].values);
    return status;
}

/* Compares an output and seeds its gradient. */
static Status compare_output(Check *check, const Tensor *tensor, const char *head, const char *what)
{
    char name[96];
    snprintf(name, sizeof name, "output/%s%s", head, what);
    TRY(parity_compare_output(check->file, name, tensor->data, tensor->count, check->result));
    snprintf(name, sizeof name, "cotangent/%s%s", head, what);
    return parity_file_read_into(check->file, name, tensor->grad, tensor->count);
}

static Status compare_input(Check *check, const Tensor *tensor, const char *name)
{
    float *nchw = memory_alloc((size_t)tensor->count * sizeof *nchw);
    if (nchw == NULL) return status_no_memory((size_t)tensor->count * sizeof *nchw, "a gradient");
    parity_nhwc_to_nchw(tensor->grad, nchw, tensor->shape[0], tensor->shape[3], tensor->shape[1], tensor->shape[2]);
    Status status = parity_compare_gradient(check->file, name, nchw, tensor->count, check->result);
    memory_free(nchw);
    return status;
}

static Status run(Check *check)
{
    char name[64];
    parameters_zero_grad(check->parameters);
    TRY(graph_forward(check->graph));
    for (int h = 0; h < check->outputs.heads; h++) {
        if (h + 1 < check->outputs.heads) snprintf(name, sizeof name, "aux%d_", h);
        else name[0] = 0;
        TRY(compare_output(check, check->outputs.class_logits[h], name, "pred_logits"));
        TRY(compare_output(check, check->outputs.mask_logits[h], name, "pred_masks"));
    }
    TRY(compare_output(check, check->outputs.embeddings, "", "pred_embed"));
    TRY(graph_backward(check->graph));
    for (int i = 0; i < MASK_DECODER_SCALES; i++) {
        snprintf(name, sizeof name, "input_grad/multi_scale_%d", i);
        TRY(compare_input(check, check->scales[i], name));
    }
    TRY(compare_input(check, check->mask_features, "input_grad/mask_features"));
    return parity_compare_gradients(check->file, "weight_grad", check->parameters, check->result);
}

Status parity_mask_decoder(const char *path, ParityResult *result)
{
    Check check = {.result = result};
    Status status;
    TRY_GOTO(status, parity_file_open(path, &check.file), done);
    TRY_GOTO(status, read_config(&check), done);
    TRY_GOTO(status, parameters_create(DTYPE_F32, &check.parameters), done);
    TRY_GOTO(status, mask_decoder_add_parameters(check.parameters, "", &check.config), done);
    TRY_GOTO(status, parameters_allocate(check.parameters, 1), done);
    TRY_GOTO(status, parity_load_parameters(check.file, "weight", check.parameters), done);
    TRY_GOTO(status, build(&check), done);
    TRY_GOTO(status, run(&check), done);
done:
    graph_destroy(check.graph);
    parameters_destroy(check.parameters);
    parity_file_close(check.file);
    return status;
}
