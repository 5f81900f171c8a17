/* Convolutional backbones: an image becomes feature maps at strides 4, 8, 16 and 32. Sizes round up at every
 * stride: a 100 x 70 image has maps of 25x18, 13x9, 7x5 and 4x3. */
#ifndef SEGMENTER_BACKBONE_H
#define SEGMENTER_BACKBONE_H

#include "models/engine/graph.h"

typedef enum BackboneKind {
    /* Residual network of basic blocks (He et al. 2016) with group norms, which need no batch, to be trained from
     * scratch. Published names: conv1, bn1, layer1.0.conv1, ..., layer1.0.downsample.0. */
    BACKBONE_RESNET,
    /* MobileNetV2 1.0 (Sandler et al. 2018) without its last convolution: batch norms folded into weight and bias,
     * ReLU6, TensorFlow's SAME padding. Published names: features.0.0.weight, features.1.conv.0.0.weight, ... Expects
     * RGB as x / 127.5 - 1. Nothing in it normalises, so it trains only from published weights, at a small rate. */
    BACKBONE_MOBILENET_V2,
    BACKBONE_KIND_COUNT
} BackboneKind;

typedef struct BackboneConfig {
    BackboneKind kind;
    int width;            /* ResNet: channels at stride 4, doubled at each further stride */
    int blocks[4];        /* ResNet: blocks of each stage, at least 1 */
    double lr_multiplier; /* learning rate, relative to the rest of the model */
    int frozen_stages;    /* 0 to 4: the first so many stages (the stem with the first) are never trained */
} BackboneConfig;

/* Channels of the maps at strides 4, 8, 16, 32. */
void backbone_channels(const BackboneConfig *config, int64_t channels[4]);
/* Declares the parameters, their names after `prefix`. */
void backbone_add_parameters(Parameters *parameters, const char *prefix, const BackboneConfig *config);
/* image [N, H, W, 3] -> features[k] [N, ceil(H/s), ceil(W/s), channels[k]], s = 4 << k. */
void backbone_build(Graph *graph, Parameters *parameters, const char *prefix, const BackboneConfig *config,
                    Tensor *image, Tensor *features[4]);

#endif
