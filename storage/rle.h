/* Masks as run lengths, in COCO's two forms: a list of counts and the same
 * counts packed into text. Runs go down the columns, from the left one to the
 * right one; the first counts zeros and may be 0. Every result is bit for bit
 * that of the reference implementation (maskApi.c of the COCO API). */
#ifndef STORAGE_RLE_H
#define STORAGE_RLE_H

#include <stdbool.h>
#include <stdint.h>

#include "framework/status.h"
#include "framework/text.h"

typedef struct Rle {
    int height, width;
    size_t count, capacity;
    uint32_t *counts; /* they add up to height * width */
} Rle;
/* Zero-initialise. Each function below that makes an Rle replaces what `rle` held, and reuses its memory. */
void rle_clear(Rle *rle);

/* mask: bytes [height, width], not 0 is inside. */
Status rle_encode(const uint8_t *mask, int height, int width, Rle *rle);
void rle_decode(const Rle *rle, uint8_t *mask); /* bytes 0 or 1 [height, width] */
int64_t rle_area(const Rle *rle);
/* Smallest rectangle around the mask: left, top, width, height; zeros where the mask is empty. */
void rle_box(const Rle *rle, int64_t box[4]);
/* Pixels in both; the masks are of one size. */
int64_t rle_common(const Rle *a, const Rle *b);
/* Intersection over union, of which a crowd's is over the detection's own area. 0 where nothing is in both. */
double rle_iou(const Rle *detection, const Rle *truth, bool crowd);
/* Union, or intersection, of count >= 1 masks of one size. `out` is none of them. */
Status rle_merge(const Rle *masks, size_t count, bool intersect, Rle *out);
/* Inside of a polygon with corners x, y, x, y, ...: at least three corners. STATUS_INVALID where a corner is further
 * than 2^20 pixels away or no number. */
Status rle_from_polygon(const double *corners, size_t corner_count, int height, int width, Rle *rle);

/* COCO's compressed text, appended. */
void rle_write(const Rle *rle, Text *text);
/* From text or from counts; STATUS_INVALID says what is wrong with them, without naming a file. */
Status rle_parse(const char *text, size_t bytes, int height, int width, Rle *rle);
Status rle_from_counts(const int64_t *counts, size_t count, int height, int width, Rle *rle);

#endif
