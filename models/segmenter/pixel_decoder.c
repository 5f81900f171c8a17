#include "models/segmenter/pixel_decoder.h"

#include "models/segmenter/pixel_decoder_private.h"

static void run(const Scope *scope, const PixelDecoderConfig *config, Tensor *const features[4],
                PixelDecoderOutput *output)
{
    *output = (PixelDecoderOutput){0};
    if (config->kind == PIXEL_DECODER_FPN)
        pixel_decoder_fpn(scope, config, features, output);
    else
        pixel_decoder_deformable(scope, config, features, output);
}

void pixel_decoder_add_parameters(Parameters *parameters, const char *prefix, const PixelDecoderConfig *config)
{
    Tensor *const nothing[4] = {NULL};
    PixelDecoderOutput output;
    run(&(Scope){.parameters = parameters, .prefix = prefix, .lr_multiplier = 1}, config, nothing, &output);
}

void pixel_decoder_build(Graph *graph, Parameters *parameters, const char *prefix, const PixelDecoderConfig *config,
                         Tensor *const features[4], PixelDecoderOutput *output)
{
    run(&(Scope){.graph = graph, .parameters = parameters, .prefix = prefix}, config, features, output);
}
