/* Text in pictures: ASCII, drawn at any size from a small embedded font. */
#ifndef MODELS_METRICS_PICTURE_TEXT_H
#define MODELS_METRICS_PICTURE_TEXT_H

#include "storage/image.h"

/* Blends `color` into a pixel by `share` in [0, 1]; outside the image nothing happens. */
void picture_blend(Image *image, int x, int y, const uint8_t color[3], float share);
/* Draws with the left end of the base line at (x, y); capitals are `size` pixels high. Bytes outside ASCII become '?'.
 * Returns the width in pixels. `image` NULL: measures only. */
int picture_text(Image *image, int x, int y, int size, const uint8_t color[3], const char *text);

#endif
