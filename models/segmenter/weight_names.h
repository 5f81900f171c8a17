/* What others call the segmenter's tensors. Shapes and layouts are the same everywhere, so that a name is all that
 * differs. */
#ifndef SEGMENTER_WEIGHT_NAMES_H
#define SEGMENTER_WEIGHT_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#define WEIGHT_STYLES(X)                                                                                          \
    X(WEIGHTS_ZEROTH, "zeroth")           /* ours: backbone.*, pixel_decoder.*, decoder.* */                      \
    X(WEIGHTS_TORCHVISION, "torchvision") /* a backbone alone: conv1.weight, layer1.0.bn1.weight, features.* */   \
    X(WEIGHTS_DETECTRON2, "detectron2")   /* a ResNet alone: stem.conv1.weight, res2.0.conv1.norm.weight */       \
    X(WEIGHTS_MASK2FORMER, "mask2former") /* the whole: backbone.stem.*, sem_seg_head.{pixel_decoder,predictor}.* */ \
    X(WEIGHTS_PADING, "pading")           /* the same beside the generator's and new_fc */

typedef enum WeightStyle {
#define X(style, name) style,
    WEIGHT_STYLES(X)
#undef X
    WEIGHT_STYLE_COUNT
} WeightStyle;
const char *weight_style_name(WeightStyle style);
bool weight_style_find(const char *name, WeightStyle *style);
/* Whether the style has names of a backbone only. */
bool weight_style_is_backbone(WeightStyle style);

/* The style's name of our tensor `ours` ("backbone.layer1.0.conv1.weight"); false where it has none. */
bool weight_name_foreign(WeightStyle style, const char *ours, char *out, size_t size);

/* Parts of a network, in the order in which they are asked for. */
typedef enum WeightPart { WEIGHT_PART_BACKBONE, WEIGHT_PART_BODY, WEIGHT_PART_ALL, WEIGHT_PART_NONE } WeightPart;
/* The smallest part that our tensor belongs to: a backbone's, the class head's (ALL), or another's (BODY). */
WeightPart weight_part(const char *ours);
/* The same of a tensor in a file of that style; NONE for what no segmenter has: counters of batches, ImageNet's
 * classifier, the loss's weights, the generator. */
WeightPart weight_part_foreign(WeightStyle style, const char *name);

/* The style of a file, of whose names `has` tells; false where it is none of these. */
bool weight_style_detect(bool (*has)(const void *file, const char *name), const void *file, WeightStyle *style);

#endif
