/* From stored bytes to what the network sees: random scale, crop, flip and
 * colour for training; plain scaling for inference. Networks read
 * x/127.5 - 1, RGB, [height, width, 3]. */
#ifndef SEGMENTER_AUGMENT_H
#define SEGMENTER_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "framework/random.h"

/* What a scale of 1 is. */
typedef enum AugmentScale {
    AUGMENT_SCALE_IMAGE,         /* the stored image's size */
    AUGMENT_SCALE_FIT,           /* the largest that fits the crop: 0.1 to 2 of it is "large-scale jitter" */
    AUGMENT_SCALE_SHORT_SIDE,    /* the shorter side is the crop's shorter one */
    AUGMENT_SCALE_COUNT
} AugmentScale;

typedef struct AugmentConfig {
    int height, width;           /* of the crop */
    double scale_low, scale_high;/* random scale before the crop */
    AugmentScale scale_of;
    bool flip;
    double colour;               /* 0..1: brightness, contrast, saturation each times [1 - c, 1 + c] */
} AugmentConfig;

/* The crop lies anywhere inside the scaled image. Where that is smaller, it lies anywhere inside the crop (IMAGE), or
 * at its top left (the other two, as in published code); the rest is grey, and void.
 *
 * One crop: `image` [height, width, 3], `map` [height, width] (0 void, also where the crop leaves the image). Every
 * draw comes from `random`, always the same number of them. */
void augment_crop(const AugmentConfig *config, Random random, const uint8_t *rgb, const uint16_t *source_map,
                  int source_height, int source_width, float *image, uint16_t *map);

/* The size an image is scaled to for inference: longer side `long_side` (0: kept), both sides rounded to the nearest
 * multiple of 32, at least 32. The aspect changes by a few per cent; masks then cover exactly the image. */
void augment_inference_size(int height, int width, int long_side, int *out_height, int *out_width);
/* Bytes to network values, same size. */
void augment_normalize(const uint8_t *rgb, int64_t pixels, float *image);

#endif
