#include <stdio.h>

#include "models/segmenter/backbone_private.h"

#define MAX_NAME 64
#define EXPANSION 4 /* of a bottleneck: channels outside, of those inside */

typedef struct ResnetScope {
    const Scope *scope;
    BackboneNorm norm;
} ResnetScope;

/* A square convolution without bias, then its norm. A group norm's scale starts at `start`. */
static Tensor *conv_norm(const ResnetScope *resnet, Tensor *x, const char *conv, const char *norm, int64_t in, int64_t out,
                         int kernel, int stride, double start)
{
    int pad = kernel / 2;
    ConvShape shape = {.in = in, .out = out, .kernel = kernel, .init = {INIT_KAIMING_NORMAL, 1},
                       .geometry = {.stride = stride, .pad_top = pad, .pad_left = pad, .pad_bottom = pad, .pad_right = pad}};
    if (resnet->norm == BACKBONE_FROZEN_BATCH_NORM) return module_conv_frozen_norm(resnet->scope, x, conv, norm, &shape);
    x = module_conv(resnet->scope, x, conv, &shape);
    return module_group_norm(resnet->scope, x, norm, out, module_norm_groups(out), start);
}

typedef struct BlockNames { char conv[3][MAX_NAME], norm[3][MAX_NAME], short_conv[MAX_NAME], short_norm[MAX_NAME]; } BlockNames;

static BlockNames block_names(int stage, int block)
{
    BlockNames names;
    for (int i = 0; i < 3; i++) {
        snprintf(names.conv[i], MAX_NAME, "layer%d.%d.conv%d", stage + 1, block, i + 1);
        snprintf(names.norm[i], MAX_NAME, "layer%d.%d.bn%d", stage + 1, block, i + 1);
    }
    snprintf(names.short_conv, MAX_NAME, "layer%d.%d.downsample.0", stage + 1, block);
    snprintf(names.short_norm, MAX_NAME, "layer%d.%d.downsample.1", stage + 1, block);
    return names;
}

/* The residual branch. The last norm's scale starts at 0, so that every block starts as the identity (Goyal et al.
 * 2017). */
static Tensor *branch(const ResnetScope *resnet, Tensor *x, const BlockNames *names, bool bottleneck, int64_t in,
                      int64_t inner, int stride)
{
    const int kernels[3] = {bottleneck ? 1 : 3, 3, 1}, count = bottleneck ? 3 : 2, strided = bottleneck ? 1 : 0;
    for (int i = 0; i < count; i++) {
        bool last = i == count - 1;
        int64_t out = last && bottleneck ? inner * EXPANSION : inner;
        x = conv_norm(resnet, x, names->conv[i], names->norm[i], in, out, kernels[i], i == strided ? stride : 1, last ? 0 : 1);
        if (!last) x = module_activation(resnet->scope, x, ACTIVATION_RELU);
        in = out;
    }
    return x;
}

static Tensor *residual_block(const ResnetScope *resnet, Tensor *x, const BlockNames *names, bool bottleneck, int64_t in,
                              int64_t inner, int stride)
{
    int64_t out = bottleneck ? inner * EXPANSION : inner;
    Tensor *y = branch(resnet, x, names, bottleneck, in, inner, stride);
    if (in != out || stride != 1) x = conv_norm(resnet, x, names->short_conv, names->short_norm, in, out, 1, stride, 1);
    return module_activation(resnet->scope, module_sum(resnet->scope, y, x), ACTIVATION_RELU);
}

void backbone_resnet(Scope scope, const BackboneConfig *config, Tensor *x, Tensor *features[4])
{
    const ResnetScope resnet = {&scope, config->norm};
    int64_t channels[4], in = config->width;
    backbone_channels(config, channels);
    scope.frozen = config->frozen_stages > 0;
    x = conv_norm(&resnet, x, "conv1", "bn1", 3, in, config->stem, 2, 1);
    x = module_activation(&scope, x, ACTIVATION_RELU);
    if (scope.graph != NULL) x = graph_add_max_pool(scope.graph, x, 3, 2, 1);
    for (int stage = 0; stage < 4; stage++) {
        scope.frozen = config->frozen_stages > stage;
        for (int block = 0; block < config->blocks[stage]; block++) {
            const BlockNames names = block_names(stage, block);
            x = residual_block(&resnet, x, &names, config->bottleneck, in, (int64_t)config->width << stage,
                               stage > 0 && block == 0 ? 2 : 1);
            in = channels[stage];
        }
        features[stage] = x;
    }
}
