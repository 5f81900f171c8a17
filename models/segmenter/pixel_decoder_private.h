/* What the two pixel decoders share. */
#ifndef SEGMENTER_PIXEL_DECODER_PRIVATE_H
#define SEGMENTER_PIXEL_DECODER_PRIVATE_H

#include "models/layers/modules.h"
#include "models/segmenter/pixel_decoder.h"

void pixel_decoder_fpn(const Scope *scope, const PixelDecoderConfig *config, Tensor *const features[4],
                       PixelDecoderOutput *output);
void pixel_decoder_deformable(const Scope *scope, const PixelDecoderConfig *config, Tensor *const features[4],
                              PixelDecoderOutput *output);

/* One step of a pyramid at feature `level` (0: stride 4): adapter of the backbone's map, plus the enlarged coarser
 * map `above` (NULL while declaring; `top`: there is none), then convolution, norm and ReLU. */
Tensor *pyramid_level(const Scope *scope, const PixelDecoderConfig *config, int level, Tensor *map, bool top,
                      Tensor *above);
/* The last 1x1 convolution. */
Tensor *pyramid_mask_features(const Scope *scope, const PixelDecoderConfig *config, Tensor *finest);
int pyramid_groups(const PixelDecoderConfig *config);

#endif
