/* PNGs whose pixels are numbers, not colours: class labels as grey values or
 * places in a palette, or numbers of three bytes in R, G and B. */
#ifndef STORAGE_LABEL_MAP_H
#define STORAGE_LABEL_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "framework/status.h"

typedef struct LabelMap {
    int height, width;
    uint32_t *values; /* [height, width] */
    size_t capacity;  /* of values; reused by the next read */
    bool is_rgb;      /* values are R + 256 G + 65536 B; otherwise grey values or palette places */
} LabelMap;
void label_map_clear(LabelMap *map);

/* STATUS_INVALID names the file where it is damaged, no PNG, or over 2^28 pixels. Alpha is left out. */
Status label_map_read(const char *path, LabelMap *map);
Status label_map_decode(const uint8_t *data, size_t bytes, const char *name, LabelMap *map);
/* A grey PNG of 8 bits, or of 16 where a value is over 255. Atomic. */
Status label_map_write(const char *path, const uint16_t *values, int height, int width);

#endif
