#include "models/segmenter/backbone.h"

#include <stdio.h>
#include <string.h>

#include "models/layers/modules.h"

#define MAX_NAME 64

/* -- ResNet -- */

/* A 3x3 or 1x1 convolution without bias, then a group norm that starts at `start`. */
static Tensor *conv_norm(const Scope *scope, Tensor *x, const char *conv, const char *norm, int64_t in, int64_t out,
                         int kernel, int stride, double start)
{
    int pad = kernel / 2;
    ConvShape shape = {.in = in, .out = out, .kernel = kernel, .init = {INIT_KAIMING_NORMAL, 1},
                       .geometry = {.stride = stride, .pad_top = pad, .pad_left = pad, .pad_bottom = pad, .pad_right = pad}};
    x = module_conv(scope, x, conv, &shape);
    return module_group_norm(scope, x, norm, out, module_norm_groups(out), start);
}

/* The last norm's scale starts at 0, so that every block starts as the identity (Goyal et al. 2017). */
static Tensor *basic_block(const Scope *scope, Tensor *x, const char *name, int64_t in, int64_t out, int stride)
{
    char part[6][MAX_NAME];
    static const char *const parts[6] = {"conv1", "bn1", "conv2", "bn2", "downsample.0", "downsample.1"};
    for (int i = 0; i < 6; i++) snprintf(part[i], sizeof part[i], "%s.%s", name, parts[i]);
    Tensor *y = conv_norm(scope, x, part[0], part[1], in, out, 3, stride, 1);
    y = module_activation(scope, y, ACTIVATION_RELU);
    y = conv_norm(scope, y, part[2], part[3], out, out, 3, 1, 0);
    if (in != out || stride != 1) x = conv_norm(scope, x, part[4], part[5], in, out, 1, stride, 1);
    return module_activation(scope, module_sum(scope, y, x), ACTIVATION_RELU);
}

static void resnet(Scope scope, const BackboneConfig *config, Tensor *x, Tensor *features[4])
{
    int64_t channels[4], in = config->width;
    backbone_channels(config, channels);
    scope.frozen = config->frozen_stages > 0;
    x = conv_norm(&scope, x, "conv1", "bn1", 3, in, 3, 2, 1);
    x = module_activation(&scope, x, ACTIVATION_RELU);
    if (scope.graph != NULL) x = graph_add_max_pool(scope.graph, x, 3, 2, 1);
    for (int stage = 0; stage < 4; stage++) {
        scope.frozen = config->frozen_stages > stage;
        for (int block = 0; block < config->blocks[stage]; block++) {
            char name[MAX_NAME / 2];
            snprintf(name, sizeof name, "layer%d.%d", stage + 1, block);
            x = basic_block(&scope, x, name, in, channels[stage], stage > 0 && block == 0 ? 2 : 1);
            in = channels[stage];
        }
        features[stage] = x;
    }
}

/* -- MobileNetV2 -- */

/* TensorFlow's SAME padding of one axis: outputs are ceil(size / stride), and the odd cell of padding comes last. */
static void same_padding(int64_t size, int kernel, int stride, int *before, int *after)
{
    int64_t total = ((size + stride - 1) / stride - 1) * stride + kernel - size;
    if (total < 0) total = 0;
    *before = (int)(total / 2);
    *after = (int)(total - total / 2);
}

/* `activation`: NONE for the linear end of a block. */
static Tensor *folded_conv(const Scope *scope, Tensor *x, const char *name, int64_t in, int64_t out, int kernel,
                           int stride, bool depthwise, Activation activation)
{
    ConvShape shape = {.in = in, .out = out, .kernel = kernel, .bias = true,
                       .geometry = {.stride = stride, .groups = depthwise ? (int)in : 1},
                       /* linear ends add up along the residuals: half the size keeps them within ReLU6's range */
                       .init = {INIT_KAIMING_NORMAL, activation == ACTIVATION_NONE ? 0.5 : 1}};
    if (x != NULL) {
        same_padding(x->shape[1], kernel, stride, &shape.geometry.pad_top, &shape.geometry.pad_bottom);
        same_padding(x->shape[2], kernel, stride, &shape.geometry.pad_left, &shape.geometry.pad_right);
    }
    x = module_conv(scope, x, name, &shape);
    return activation == ACTIVATION_NONE ? x : module_activation(scope, x, activation);
}

/* Block `index` of the published numbering; block 1 does not expand. */
static Tensor *inverted_residual(const Scope *scope, Tensor *x, int index, int64_t in, int64_t out, int stride)
{
    int64_t expansion = index == 1 ? 1 : 6, inner = in * expansion;
    int part = 0;
    char name[MAX_NAME];
    Tensor *y = x;
    if (expansion > 1) {
        snprintf(name, sizeof name, "features.%d.conv.%d.0", index, part++);
        y = folded_conv(scope, y, name, in, inner, 1, 1, false, ACTIVATION_RELU6);
    }
    snprintf(name, sizeof name, "features.%d.conv.%d.0", index, part++);
    y = folded_conv(scope, y, name, inner, inner, 3, stride, true, ACTIVATION_RELU6);
    snprintf(name, sizeof name, "features.%d.conv.%d", index, part);
    y = folded_conv(scope, y, name, inner, out, 1, 1, false, ACTIVATION_NONE);
    return in == out && stride == 1 ? module_sum(scope, y, x) : y;
}

/* Groups of blocks: channels out, how many, stride of the first, and the stage (stride 4 << stage) they count to. */
static const struct { int channels, count, stride, stage; } mobilenet_groups[] = {
    {16, 1, 1, 0}, {24, 2, 2, 0}, {32, 3, 2, 1}, {64, 4, 2, 2}, {96, 3, 1, 2}, {160, 3, 2, 3}, {320, 1, 1, 3},
};
#define MOBILENET_STEM 32

static void mobilenet(Scope scope, const BackboneConfig *config, Tensor *x, Tensor *features[4])
{
    scope.frozen = config->frozen_stages > 0;
    x = folded_conv(&scope, x, "features.0.0", 3, MOBILENET_STEM, 3, 2, false, ACTIVATION_RELU6);
    int64_t in = MOBILENET_STEM;
    int index = 1;
    for (size_t group = 0; group < sizeof mobilenet_groups / sizeof mobilenet_groups[0]; group++) {
        int stage = mobilenet_groups[group].stage;
        scope.frozen = config->frozen_stages > stage;
        for (int block = 0; block < mobilenet_groups[group].count; block++) {
            int64_t out = mobilenet_groups[group].channels;
            x = inverted_residual(&scope, x, index++, in, out, block == 0 ? mobilenet_groups[group].stride : 1);
            in = out;
        }
        features[stage] = x; /* a stage's last group has the last word */
    }
}

/* -- both -- */

void backbone_channels(const BackboneConfig *config, int64_t channels[4])
{
    static const int64_t mobilenet_channels[4] = {24, 32, 96, 320};
    for (int i = 0; i < 4; i++)
        channels[i] = config->kind == BACKBONE_RESNET ? (int64_t)config->width << i : mobilenet_channels[i];
}

static void run(Scope scope, const BackboneConfig *config, Tensor *image, Tensor *features[4])
{
    if (config->kind == BACKBONE_RESNET)
        resnet(scope, config, image, features);
    else
        mobilenet(scope, config, image, features);
}

void backbone_add_parameters(Parameters *parameters, const char *prefix, const BackboneConfig *config)
{
    Tensor *features[4];
    run((Scope){.parameters = parameters, .prefix = prefix, .lr_multiplier = config->lr_multiplier}, config, NULL,
        features);
}

void backbone_build(Graph *graph, Parameters *parameters, const char *prefix, const BackboneConfig *config,
                    Tensor *image, Tensor *features[4])
{
    run((Scope){.graph = graph, .parameters = parameters, .prefix = prefix}, config, image, features);
}
