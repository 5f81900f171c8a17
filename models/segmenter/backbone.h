/* Convolutional backbones: an image becomes feature maps at strides 4, 8, 16 and 32. Sizes round up at every
 * stride: a 100 x 70 image has maps of 25x18, 13x9, 7x5 and 4x3. */
#ifndef SEGMENTER_BACKBONE_H
#define SEGMENTER_BACKBONE_H

#include "models/engine/graph.h"

typedef enum BackboneKind {
    /* Residual network (He et al. 2016). torchvision's names and strides (that of a bottleneck is in its 3x3
     * convolution): conv1, bn1, layer1.0.conv1, ..., layer1.0.downsample.0. */
    BACKBONE_RESNET,
    /* MobileNetV2 1.0 (Sandler et al. 2018) without its last convolution: batch norms folded into weight and bias,
     * ReLU6. Published names: features.0.0.weight, features.1.conv.0.0.weight, ... Nothing in it normalises, so it
     * trains only from published weights, at a small rate. */
    BACKBONE_MOBILENET_V2,
    BACKBONE_KIND_COUNT
} BackboneKind;

typedef enum BackboneNorm {
    BACKBONE_GROUP_NORM,         /* needs no batch: to be trained from scratch */
    /* Scale, shift and statistics of published weights, bn1.{weight, bias, running_mean, running_var}, none of which
     * is trained (detectron2's FrozenBN). They start as the identity; from scratch nothing would normalise. */
    BACKBONE_FROZEN_BATCH_NORM,
    BACKBONE_NORM_COUNT
} BackboneNorm;

typedef enum BackbonePadding {
    BACKBONE_PADDING_SAME,      /* TensorFlow's SAME: the odd cell of padding comes last */
    BACKBONE_PADDING_SYMMETRIC, /* torchvision's: kernel / 2 on all sides */
    BACKBONE_PADDING_COUNT
} BackbonePadding;

/* What pixels the first convolution sees. Images come as x / 127.5 - 1. */
typedef enum BackbonePixels {
    BACKBONE_PIXELS_SYMMETRIC,  /* as they come, in [-1, 1] */
    BACKBONE_PIXELS_IMAGENET,   /* (x / 255 - mean) / deviation of ImageNet's RGB channels: torchvision, detectron2 */
    BACKBONE_PIXELS_COUNT
} BackbonePixels;

typedef struct BackboneConfig {
    BackboneKind kind;
    int width;            /* ResNet: channels inside the first stage's blocks, doubled at each further stride */
    int blocks[4];        /* ResNet: blocks of each stage, at least 1 */
    int stem;             /* ResNet: side of the first convolution's kernel, odd; torchvision's is 7 */
    bool bottleneck;      /* ResNet: blocks of three convolutions with four times the channels outside */
    BackboneNorm norm;    /* ResNet */
    BackbonePadding padding; /* MobileNetV2 */
    BackbonePixels pixels;
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
