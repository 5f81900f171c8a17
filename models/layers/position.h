/* Sine positional encodings of feature maps (Carion et al. 2020, as used by Mask2Former). */
#ifndef LAYERS_POSITION_H
#define LAYERS_POSITION_H

#include <stdint.h>

/* out [height*width, dim], row-major cells: the first half of the channels encodes y, the second x, each as
 * interleaved sine and cosine of 2 pi (index + 1) / (size + 1e-6) over 10000^(2 floor(i/2) / (dim/2)). `dim` is
 * a multiple of 4. */
void position_sine(int64_t height, int64_t width, int64_t dim, double *out);

#endif
