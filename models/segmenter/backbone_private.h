/* What the backbones share. */
#ifndef SEGMENTER_BACKBONE_PRIVATE_H
#define SEGMENTER_BACKBONE_PRIVATE_H

#include "models/layers/modules.h"
#include "models/segmenter/backbone.h"

void backbone_resnet(Scope scope, const BackboneConfig *config, Tensor *x, Tensor *features[4]);
void backbone_mobilenet(Scope scope, const BackboneConfig *config, Tensor *x, Tensor *features[4]);
void backbone_mobilenet_channels(int64_t channels[4]);

#endif
