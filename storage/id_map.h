/* Segment-id PNGs (R + 256 G + 65536 B) to maps of segment numbers. Private to storage/.
 *
 * Half of an import's time would go into these PNGs if libpng and zlib read
 * them. Maps are mostly runs of one colour, and compress a hundredfold, so the
 * common form (8-bit RGB, not interlaced) is inflated by libdeflate and
 * unfiltered eight pixels at a time, most of which are copies or fills. Other
 * forms go through libpng. */
#ifndef STORAGE_ID_MAP_H
#define STORAGE_ID_MAP_H

#include <stdint.h>

#include "framework/status.h"

typedef struct IdMapReader IdMapReader;
IdMapReader *id_map_reader_create(void); /* NULL without memory */
void id_map_reader_destroy(IdMapReader *reader);

/* `map` [height, width] gets 0 where the PNG's id is 0, and k where it is
 * ids[k - 1]; areas[k] the pixels of each, [count + 1]. `ids` are distinct, in
 * 1 .. 2^24 - 1, at most 65535. A PNG of another size, one that holds an id not
 * in `ids`, or a damaged one is STATUS_INVALID naming `name`. */
Status id_map_decode(IdMapReader *reader, const uint8_t *data, size_t bytes, const char *name, int height, int width,
                     const uint32_t *ids, int count, uint16_t *map, int64_t *areas);

#endif
