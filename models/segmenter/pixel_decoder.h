/* Pixel decoders: from a backbone's maps to what the mask decoder reads. */
#ifndef SEGMENTER_PIXEL_DECODER_H
#define SEGMENTER_PIXEL_DECODER_H

#include "models/engine/graph.h"

#define PIXEL_DECODER_LEVELS 3

typedef enum PixelDecoderKind {
    /* Feature pyramid (Lin et al. 2017) as in Mask2Former's code: 1x1 convolution and norm of each map, sum with the
     * coarser level's, bilinearly enlarged, 3x3 convolution, norm, ReLU. */
    PIXEL_DECODER_FPN,
    /* Mask2Former's: a transformer encoder with multi-scale deformable attention over strides 32, 16 and 8 (Zhu et
     * al. 2021), then one step of the pyramid to stride 4. */
    PIXEL_DECODER_DEFORMABLE,
    PIXEL_DECODER_KIND_COUNT
} PixelDecoderKind;

typedef struct PixelDecoderConfig {
    PixelDecoderKind kind;
    int64_t channels[4];      /* of the backbone's maps, strides 4, 8, 16, 32 */
    int64_t dim;              /* of the multi-scale maps; a multiple of heads and of 4 */
    int64_t mask_dim;         /* of the mask features */
    int norm_groups;          /* of the group norms; 0: as module_norm_groups finds */
    int layers, heads, points; /* the rest is the encoder's; published: 6, 8, 4 */
    int64_t ffn;              /* published: 1024 */
} PixelDecoderConfig;

typedef struct PixelDecoderOutput {
    Tensor *mask_features;                     /* [N, H/4, W/4, mask_dim] */
    Tensor *multi_scale[PIXEL_DECODER_LEVELS]; /* [N, H/s, W/s, dim], s = 32, 16, 8: coarse to fine */
} PixelDecoderOutput;

/* Declares the parameters, named as published, after `prefix`. */
void pixel_decoder_add_parameters(Parameters *parameters, const char *prefix, const PixelDecoderConfig *config);
/* To be called after parameters_allocate, on parameters about to be trained from scratch: sets what no Init says, the
 * first sampling offsets of the heads, which look in different directions and farther with every point. */
void pixel_decoder_initialize(Parameters *parameters, const char *prefix, const PixelDecoderConfig *config);
/* features: the backbone's, strides 4, 8, 16, 32. The output is all NULL after a mistake in the graph. */
void pixel_decoder_build(Graph *graph, Parameters *parameters, const char *prefix, const PixelDecoderConfig *config,
                         Tensor *const features[4], PixelDecoderOutput *output);

#endif
