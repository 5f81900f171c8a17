#include <stdio.h>

#include "models/segmenter/backbone_private.h"

#define MAX_NAME 64

/* TensorFlow's SAME padding of one axis: outputs are ceil(size / stride), and the odd cell of padding comes last. */
static void same_padding(int64_t size, int kernel, int stride, int *before, int *after)
{
    int64_t total = ((size + stride - 1) / stride - 1) * stride + kernel - size;
    if (total < 0) total = 0;
    *before = (int)(total / 2);
    *after = (int)(total - total / 2);
}

typedef struct MobileScope {
    const Scope *scope;
    BackbonePadding padding;
} MobileScope;

/* `activation`: NONE for the linear end of a block. */
static Tensor *folded_conv(const MobileScope *mobile, Tensor *x, const char *name, int64_t in, int64_t out, int kernel,
                           int stride, bool depthwise, Activation activation)
{
    int half = kernel / 2;
    ConvShape shape = {.in = in, .out = out, .kernel = kernel, .bias = true,
                       .geometry = {.stride = stride, .groups = depthwise ? (int)in : 1, .pad_top = half,
                                    .pad_left = half, .pad_bottom = half, .pad_right = half},
                       /* linear ends add up along the residuals: half the size keeps them within ReLU6's range */
                       .init = {INIT_KAIMING_NORMAL, activation == ACTIVATION_NONE ? 0.5 : 1}};
    if (x != NULL && mobile->padding == BACKBONE_PADDING_SAME) {
        same_padding(x->shape[1], kernel, stride, &shape.geometry.pad_top, &shape.geometry.pad_bottom);
        same_padding(x->shape[2], kernel, stride, &shape.geometry.pad_left, &shape.geometry.pad_right);
    }
    x = module_conv(mobile->scope, x, name, &shape);
    return activation == ACTIVATION_NONE ? x : module_activation(mobile->scope, x, activation);
}

/* Block `index` of the published numbering; block 1 does not expand. */
static Tensor *inverted_residual(const MobileScope *mobile, Tensor *x, int index, int64_t in, int64_t out, int stride)
{
    int64_t expansion = index == 1 ? 1 : 6, inner = in * expansion;
    int part = 0;
    char name[MAX_NAME];
    Tensor *y = x;
    if (expansion > 1) {
        snprintf(name, sizeof name, "features.%d.conv.%d.0", index, part++);
        y = folded_conv(mobile, y, name, in, inner, 1, 1, false, ACTIVATION_RELU6);
    }
    snprintf(name, sizeof name, "features.%d.conv.%d.0", index, part++);
    y = folded_conv(mobile, y, name, inner, inner, 3, stride, true, ACTIVATION_RELU6);
    snprintf(name, sizeof name, "features.%d.conv.%d", index, part);
    y = folded_conv(mobile, y, name, inner, out, 1, 1, false, ACTIVATION_NONE);
    return in == out && stride == 1 ? module_sum(mobile->scope, y, x) : y;
}

/* Groups of blocks: channels out, how many, stride of the first, and the stage (stride 4 << stage) they count to. */
static const struct { int channels, count, stride, stage; } mobilenet_groups[] = {
    {16, 1, 1, 0}, {24, 2, 2, 0}, {32, 3, 2, 1}, {64, 4, 2, 2}, {96, 3, 1, 2}, {160, 3, 2, 3}, {320, 1, 1, 3},
};
#define MOBILENET_STEM 32

void backbone_mobilenet(Scope scope, const BackboneConfig *config, Tensor *x, Tensor *features[4])
{
    const MobileScope mobile = {&scope, config->padding};
    scope.frozen = config->frozen_stages > 0;
    x = folded_conv(&mobile, x, "features.0.0", 3, MOBILENET_STEM, 3, 2, false, ACTIVATION_RELU6);
    int64_t in = MOBILENET_STEM;
    int index = 1;
    for (size_t group = 0; group < sizeof mobilenet_groups / sizeof mobilenet_groups[0]; group++) {
        int stage = mobilenet_groups[group].stage;
        scope.frozen = config->frozen_stages > stage;
        for (int block = 0; block < mobilenet_groups[group].count; block++) {
            int64_t out = mobilenet_groups[group].channels;
            x = inverted_residual(&mobile, x, index++, in, out, block == 0 ? mobilenet_groups[group].stride : 1);
            in = out;
        }
        features[stage] = x; /* a stage's last group has the last word */
    }
}

void backbone_mobilenet_channels(int64_t channels[4])
{
    for (size_t group = 0; group < sizeof mobilenet_groups / sizeof mobilenet_groups[0]; group++)
        channels[mobilenet_groups[group].stage] = mobilenet_groups[group].channels;
}
