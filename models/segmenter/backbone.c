#include "models/segmenter/backbone_private.h"

void backbone_channels(const BackboneConfig *config, int64_t channels[4])
{
    if (config->kind == BACKBONE_MOBILENET_V2) {
        backbone_mobilenet_channels(channels);
        return;
    }
    for (int i = 0; i < 4; i++) channels[i] = ((int64_t)config->width << i) * (config->bottleneck ? 4 : 1);
}

/* v = x / 127.5 - 1 becomes (x - mean) / deviation. */
static Tensor *imagenet_pixels(const Scope *scope, Tensor *image)
{
    static const double mean[3] = {123.675, 116.28, 103.53}, deviation[3] = {58.395, 57.12, 57.375};
    double factor[3], shift[3];
    for (int c = 0; c < 3; c++) {
        factor[c] = 127.5 / deviation[c];
        shift[c] = (127.5 - mean[c]) / deviation[c];
    }
    Graph *g = scope->graph;
    Tensor *scaled = graph_add_product(g, image, graph_add_constant(g, 1, (int64_t[]){3}, factor));
    return graph_add_sum(g, scaled, graph_add_constant(g, 1, (int64_t[]){3}, shift));
}

static void run(Scope scope, const BackboneConfig *config, Tensor *image, Tensor *features[4])
{
    if (scope.graph != NULL && config->pixels == BACKBONE_PIXELS_IMAGENET) image = imagenet_pixels(&scope, image);
    if (config->kind == BACKBONE_RESNET)
        backbone_resnet(scope, config, image, features);
    else
        backbone_mobilenet(scope, config, image, features);
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
