#include <math.h>
#include <stdio.h>

#include "models/segmenter/pixel_decoder_private.h"

/* fvcore's c2_xavier_fill, which the published code uses: uniform within sqrt(3 / fan_in) */
static Init convolution_init(void)
{
    return (Init){INIT_KAIMING_UNIFORM, sqrt(3)};
}

int pyramid_groups(const PixelDecoderConfig *config)
{
    return config->norm_groups > 0 ? config->norm_groups : module_norm_groups(config->dim);
}

Tensor *pyramid_level(const Scope *scope, const PixelDecoderConfig *config, int level, Tensor *map, bool top,
                      Tensor *above)
{
    char name[32];
    int groups = pyramid_groups(config);
    ConvShape adapter = {.in = config->channels[level], .out = config->dim, .kernel = 1, .init = convolution_init()};
    ConvShape layer = {.in = config->dim, .out = config->dim, .kernel = 3, .init = convolution_init(),
                       .geometry = {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}};
    snprintf(name, sizeof name, "adapter_%d", level + 1);
    Tensor *x = module_conv(scope, map, name, &adapter);
    snprintf(name, sizeof name, "adapter_%d.norm", level + 1);
    x = module_group_norm(scope, x, name, config->dim, groups, 1);
    if (!top && x != NULL && above != NULL)
        x = module_sum(scope, x, graph_add_resize(scope->graph, above, x->shape[1], x->shape[2]));
    snprintf(name, sizeof name, "layer_%d", level + 1);
    x = module_conv(scope, x, name, &layer);
    snprintf(name, sizeof name, "layer_%d.norm", level + 1);
    x = module_group_norm(scope, x, name, config->dim, groups, 1);
    return module_activation(scope, x, ACTIVATION_RELU);
}

Tensor *pyramid_mask_features(const Scope *scope, const PixelDecoderConfig *config, Tensor *finest)
{
    ConvShape shape = {.in = config->dim, .out = config->mask_dim, .kernel = 1, .bias = true,
                       .init = convolution_init()};
    return module_conv(scope, finest, "mask_features", &shape);
}

void pixel_decoder_fpn(const Scope *scope, const PixelDecoderConfig *config, Tensor *const features[4],
                       PixelDecoderOutput *output)
{
    Tensor *y = NULL;
    for (int level = 3; level >= 0; level--) {
        y = pyramid_level(scope, config, level, features[level], level == 3, y);
        if (level > 0) output->multi_scale[3 - level] = y;
    }
    output->mask_features = pyramid_mask_features(scope, config, y);
}
