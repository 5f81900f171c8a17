#include "storage/id_map.h"

#include <string.h>

#include <libdeflate.h>

#include "framework/memory.h"
#include "storage/image_decode.h"

enum { BLOCK = 8, WIDE = 32 }; /* pixels that are looked at together: WIDE, or where these differ, BLOCK */
enum { PAD = 32 };             /* bytes around a row, so that blocks may look one pixel back */
enum { FILTER_NONE, FILTER_SUB, FILTER_UP, FILTER_AVERAGE, FILTER_PAETH, FILTER_COUNT };
enum { MAX_SEGMENTS = 65535, TABLE_BITS = 17, TABLE_SIZE = 1 << TABLE_BITS };

typedef struct Slot { uint32_t id; uint32_t number; } Slot;

struct IdMapReader {
    struct libdeflate_decompressor *inflater;
    uint8_t *packed, *raw;         /* joined IDAT chunks; filtered rows */
    size_t packed_capacity, raw_capacity;
    uint8_t *rows;                 /* two unfiltered rows with their padding */
    size_t rows_capacity;
    Image image;                   /* of other forms of PNG */
    Slot *table;                   /* id to number, open addressing; id 0 is free */
    uint32_t table_mask;
    uint32_t unknown;              /* first id that no segment has; 0: none */
};

typedef struct PngFacts {
    uint32_t width, height;
    uint8_t depth, color, interlace;
    const uint8_t *packed;
    size_t packed_bytes;
} PngFacts;

IdMapReader *id_map_reader_create(void)
{
    IdMapReader *reader = memory_alloc_zero(1, sizeof *reader);
    if (reader == NULL) return NULL;
    reader->inflater = libdeflate_alloc_decompressor();
    reader->table = memory_alloc_zero(TABLE_SIZE, sizeof *reader->table);
    if (reader->inflater == NULL || reader->table == NULL) {
        id_map_reader_destroy(reader);
        return NULL;
    }
    return reader;
}

void id_map_reader_destroy(IdMapReader *reader)
{
    if (reader == NULL) return;
    libdeflate_free_decompressor(reader->inflater);
    memory_free(reader->packed);
    memory_free(reader->raw);
    memory_free(reader->rows);
    memory_free(reader->table);
    image_clear(&reader->image);
    memory_free(reader);
}

static Status ensure(uint8_t **block, size_t *capacity, size_t bytes, const char *name)
{
    if (bytes <= *capacity) return OK;
    memory_free(*block);
    *capacity = 0;
    *block = memory_alloc(bytes);
    if (*block == NULL) return status_no_memory(bytes, name);
    *capacity = bytes;
    return OK;
}

/* ---- ids ---- */

static uint32_t slot_of(const IdMapReader *reader, uint32_t id)
{
    return (id * 2654435761u >> 8) & reader->table_mask;
}

static void fill_table(IdMapReader *reader, const uint32_t *ids, int count)
{
    uint32_t size = 16;
    while (size < 2 * (uint32_t)count) size *= 2;
    reader->table_mask = size - 1;
    memset(reader->table, 0, size * sizeof *reader->table);
    for (int i = 0; i < count; i++) {
        uint32_t slot = slot_of(reader, ids[i]);
        while (reader->table[slot].id != 0) slot = (slot + 1) & reader->table_mask;
        reader->table[slot] = (Slot){ids[i], (uint32_t)i + 1};
    }
}

static uint16_t number_of(IdMapReader *reader, uint32_t id)
{
    if (id == 0) return 0;
    uint32_t slot = slot_of(reader, id);
    while (reader->table[slot].id != id) {
        if (reader->table[slot].id == 0) {
            if (reader->unknown == 0) reader->unknown = id;
            return 0;
        }
        slot = (slot + 1) & reader->table_mask;
    }
    return (uint16_t)reader->table[slot].number;
}

/* ---- PNG container ---- */

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static Status join_data(IdMapReader *reader, const char *name, size_t total, const uint8_t *piece, size_t bytes,
                        PngFacts *facts)
{
    if (facts->packed_bytes == 0) { /* mostly there is only one piece: used where it lies */
        facts->packed = piece;
        facts->packed_bytes = bytes;
        return OK;
    }
    if (facts->packed != reader->packed || reader->packed == NULL) {
        TRY(ensure(&reader->packed, &reader->packed_capacity, total, name));
        memcpy(reader->packed, facts->packed, facts->packed_bytes);
        facts->packed = reader->packed;
    }
    memcpy(reader->packed + facts->packed_bytes, piece, bytes);
    facts->packed_bytes += bytes;
    return OK;
}

/* Walks the chunks. All pieces of image data together are shorter than the file, which bounds the join. */
static Status read_chunks(IdMapReader *reader, const uint8_t *data, size_t bytes, const char *name, PngFacts *facts)
{
    *facts = (PngFacts){0};
    if (!image_is_png(data, bytes)) return status_error(STATUS_INVALID, "%s: not a PNG image", name);
    bool headed = false;
    for (size_t place = 8; bytes - place >= 12;) {
        size_t length = big_endian(data + place);
        const uint8_t *kind = data + place + 4, *body = kind + 4;
        if (length > bytes - place - 12) break;
        bool critical = (kind[0] & 0x20) == 0;
        if (critical && libdeflate_crc32(0, kind, length + 4) != big_endian(body + length))
            return status_error(STATUS_INVALID, "%s: damaged PNG: %.4s chunk fails its checksum", name,
                                (const char *)kind);
        if (memcmp(kind, "IHDR", 4) == 0 && length == 13 && !headed) {
            headed = true;
            facts->width = big_endian(body);
            facts->height = big_endian(body + 4);
            facts->depth = body[8];
            facts->color = body[9];
            facts->interlace = body[12];
            if (body[10] != 0 || body[11] != 0) break;
        } else if (memcmp(kind, "IDAT", 4) == 0 && headed) {
            TRY(join_data(reader, name, bytes, body, length, facts));
        } else if (memcmp(kind, "IEND", 4) == 0 && headed) {
            return OK;
        }
        place += length + 12;
    }
    return status_error(STATUS_INVALID, "%s: damaged PNG: ends too soon", name);
}

/* ---- rows ---- */

static uint32_t load_pixel(const uint8_t *at)
{
    uint32_t pixel;
    memcpy(&pixel, at, 4); /* rows are padded */
    return pixel & 0xffffff;
}

static void store_pixel(uint8_t *at, uint32_t pixel)
{
    at[0] = (uint8_t)pixel;
    at[1] = (uint8_t)(pixel >> 8);
    at[2] = (uint8_t)(pixel >> 16);
}

static uint64_t load_64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, 8);
    return value;
}

/* Of `size` pixels, a multiple of 8. */
static inline __attribute__((always_inline)) bool block_is_zero(const uint8_t *at, int size)
{
    uint64_t bits = 0;
    for (int i = 0; i < 3 * size; i += 8) bits |= load_64(at + i);
    return bits == 0;
}

static inline __attribute__((always_inline)) bool blocks_equal(const uint8_t *a, const uint8_t *b, int size)
{
    uint64_t bits = 0;
    for (int i = 0; i < 3 * size; i += 8) bits |= load_64(a + i) ^ load_64(b + i);
    return bits == 0;
}

static int paeth(int left, int up, int corner)
{
    int to_left = up - corner, to_up = left - corner, to_corner = to_left + to_up;
    to_left = to_left < 0 ? -to_left : to_left;
    to_up = to_up < 0 ? -to_up : to_up;
    to_corner = to_corner < 0 ? -to_corner : to_corner;
    if (to_left <= to_up && to_left <= to_corner) return left;
    return to_up <= to_corner ? up : corner;
}

static inline __attribute__((always_inline)) uint32_t unfilter_pixel(int filter, const uint8_t *raw, uint32_t left,
                                                                     uint32_t up, uint32_t corner)
{
    uint32_t pixel = 0;
    uint32_t residual = (uint32_t)raw[0] | (uint32_t)raw[1] << 8 | (uint32_t)raw[2] << 16;
    if (filter == FILTER_PAETH && residual == 0) { /* what the predictor comes to where two neighbours are equal */
        if (left == corner) return up;
        if (up == corner) return left;
    }
    for (int shift = 0; shift < 24; shift += 8) {
        int a = left >> shift & 255, b = up >> shift & 255, c = corner >> shift & 255, guess = 0;
        if (filter == FILTER_SUB) guess = a;
        else if (filter == FILTER_UP) guess = b;
        else if (filter == FILTER_AVERAGE) guess = (a + b) / 2;
        else if (filter == FILTER_PAETH) guess = paeth(a, b, c);
        pixel |= (((residual >> shift) + (uint32_t)guess) & 255) << shift;
    }
    return pixel;
}

/* The pixel to the left and its number, carried along: reading back what was just
 * written in another width stalls for longer than a block takes. */
typedef struct Left { uint32_t pixel; uint16_t number; } Left;

static inline __attribute__((always_inline)) Left pixel_run(IdMapReader *reader, int filter, const uint8_t *raw,
                                                            const uint8_t *above, uint8_t *row, uint16_t *map, int count,
                                                            Left left)
{
    uint32_t corner = load_pixel(above - 3);
    for (int x = 0; x < count; x++) {
        uint32_t up = load_pixel(above + 3 * x);
        uint32_t pixel = unfilter_pixel(filter, raw + 3 * x, left.pixel, up, corner);
        store_pixel(row + 3 * x, pixel);
        if (pixel != left.pixel) {
            left.number = number_of(reader, pixel);
            left.pixel = pixel;
        }
        map[x] = left.number;
        corner = up;
    }
    return left;
}

/* One row as the loops below see it. `above` and `row` have a pixel of zeros
 * before them, and `map_above` is NULL in the first row. */
typedef struct Row {
    const uint8_t *raw, *above;
    uint8_t *row;
    const uint16_t *map_above;
    uint16_t *map;
    int width;
} Row;

static inline __attribute__((always_inline)) void fill_block(uint8_t *row, uint16_t *map, Left left, int size)
{
    const uint64_t p = left.pixel;
    const uint64_t pattern[3] = {p | p << 24 | p << 48, p >> 16 | p << 8 | p << 32 | p << 56, p >> 8 | p << 16 | p << 40};
    for (int i = 0; i < size; i += 8) memcpy(row + 3 * i, pattern, sizeof pattern);
    for (int i = 0; i < size; i++) map[i] = left.number;
}

/* `size` pixels from `x` on, where they are a copy of those above or a fill
 * with the pixel to their left; that follows from the filter and a residual of
 * zeros:
 *   up      copy
 *   sub     fill
 *   average fill, where all above is the left pixel
 *   paeth   copy, where left and corner are equal (then they are again one pixel on);
 *           fill, where all above, corner included, is one pixel
 * False, and nothing done, where they are neither. */
static inline __attribute__((always_inline)) bool quick_block(const Row *r, int filter, int x, int size, Left *left)
{
    const uint8_t *residual = r->raw + 3 * x, *over = r->above + 3 * x;
    bool copy = false, fill = false;
    if (filter == FILTER_NONE) {
        copy = blocks_equal(residual, over, size);
    } else if (block_is_zero(residual, size)) {
        uint32_t corner = load_pixel(over - 3);
        bool flat_above = filter >= FILTER_AVERAGE && blocks_equal(over, over - 3, size);
        copy = filter == FILTER_UP || (filter == FILTER_PAETH && left->pixel == corner);
        fill = filter == FILTER_SUB || (filter == FILTER_PAETH && flat_above) ||
               (filter == FILTER_AVERAGE && flat_above && left->pixel == corner);
    }
    if (copy && r->map_above != NULL) {
        memcpy(r->row + 3 * x, over, 3 * (size_t)size);
        memcpy(r->map + x, r->map_above + x, (size_t)size * sizeof *r->map);
        *left = (Left){load_pixel(over + 3 * (size - 1)), r->map_above[x + size - 1]};
        return true;
    }
    if (fill) fill_block(r->row + 3 * x, r->map + x, *left, size);
    return fill;
}

static inline __attribute__((always_inline)) Left pixels_from(IdMapReader *reader, const Row *r, int filter, int x,
                                                              int count, Left left)
{
    return pixel_run(reader, filter, r->raw + 3 * x, r->above + 3 * x, r->row + 3 * x, r->map + x, count, left);
}

static inline __attribute__((always_inline)) void unfilter_blocks(IdMapReader *reader, const Row *r, int filter)
{
    Left left = {0, 0};
    int x = 0;
    while (x + BLOCK <= r->width) {
        if (x + WIDE <= r->width && quick_block(r, filter, x, WIDE, &left)) {
            x += WIDE;
            continue;
        }
        for (int end = x + WIDE; x < end && x + BLOCK <= r->width; x += BLOCK)
            if (!quick_block(r, filter, x, BLOCK, &left)) left = pixels_from(reader, r, filter, x, BLOCK, left);
    }
    if (x < r->width) pixels_from(reader, r, filter, x, r->width - x, left);
}

/* Inlined once for each filter, as the branches on it take most of the time otherwise. */
static void unfilter_row(IdMapReader *reader, const Row *row, int filter)
{
    switch (filter) {
    case FILTER_NONE: unfilter_blocks(reader, row, FILTER_NONE); break;
    case FILTER_SUB: unfilter_blocks(reader, row, FILTER_SUB); break;
    case FILTER_UP: unfilter_blocks(reader, row, FILTER_UP); break;
    case FILTER_AVERAGE: unfilter_blocks(reader, row, FILTER_AVERAGE); break;
    default: unfilter_blocks(reader, row, FILTER_PAETH); break;
    }
}

static bool all_equal(const uint16_t *map, uint16_t number)
{
    unsigned difference = 0;
    for (int i = 0; i < WIDE; i++) difference |= (unsigned)map[i] ^ number;
    return difference == 0;
}

/* Pixels of each number, counted by runs. */
static void count_areas(const uint16_t *map, size_t pixels, int64_t *areas)
{
    size_t i = 0;
    while (i < pixels) {
        const uint16_t number = map[i];
        const size_t start = i++;
        const uint64_t four = number * 0x0001000100010001ull;
        while (i + WIDE <= pixels && all_equal(map + i, number)) i += WIDE;
        for (uint64_t difference = 0; difference == 0 && i + 4 <= pixels;) {
            memcpy(&difference, map + i, sizeof difference);
            difference ^= four;
            i += difference == 0 ? 4 : (size_t)__builtin_ctzll(difference) / 16;
        }
        while (i < pixels && map[i] == number) i++;
        areas[number] += (int64_t)(i - start);
    }
}

static Status unfilter(IdMapReader *reader, const char *name, int height, int width, uint16_t *map, int64_t *areas)
{
    size_t stride = (size_t)width * 3, padded = stride + 2 * PAD;
    TRY(ensure(&reader->rows, &reader->rows_capacity, 2 * padded, name));
    memset(reader->rows, 0, 2 * padded);
    uint8_t *above = reader->rows + PAD, *row = above + padded;
    for (int y = 0; y < height; y++) {
        const uint8_t *raw = reader->raw + (size_t)y * (stride + 1);
        uint16_t *map_row = map + (size_t)y * (size_t)width;
        if (raw[0] >= FILTER_COUNT)
            return status_error(STATUS_INVALID, "%s: damaged PNG: row %d has no filter", name, y);
        const Row rows = {raw + 1, above, row, y > 0 ? map_row - width : NULL, map_row, width};
        unfilter_row(reader, &rows, raw[0]);
        count_areas(map_row, (size_t)width, areas); /* while the row is in the nearest cache */
        uint8_t *swap = above;
        above = row;
        row = swap;
    }
    return OK;
}

static Status decode_plain(IdMapReader *reader, const PngFacts *facts, const char *name, int height, int width,
                           uint16_t *map, int64_t *areas)
{
    size_t bytes = ((size_t)width * 3 + 1) * (size_t)height, got = 0;
    TRY(ensure(&reader->raw, &reader->raw_capacity, bytes + PAD, name));
    enum libdeflate_result result = libdeflate_zlib_decompress(reader->inflater, facts->packed, facts->packed_bytes,
                                                               reader->raw, bytes, &got);
    if (result != LIBDEFLATE_SUCCESS || got != bytes)
        return status_error(STATUS_INVALID, "%s: damaged PNG: its pixel data can't be unpacked", name);
    return unfilter(reader, name, height, width, map, areas);
}

static Status decode_otherwise(IdMapReader *reader, const uint8_t *data, size_t bytes, const char *name, uint16_t *map,
                               int64_t *areas)
{
    TRY(image_decode_png(data, bytes, name, &reader->image));
    size_t pixels = (size_t)reader->image.height * (size_t)reader->image.width;
    uint32_t known = 0;
    uint16_t number = 0;
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *at = reader->image.rgb + 3 * i;
        uint32_t pixel = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16;
        if (pixel != known) {
            number = number_of(reader, pixel);
            known = pixel;
        }
        map[i] = number;
    }
    count_areas(map, pixels, areas);
    return OK;
}

/* ---- all ---- */

Status id_map_decode(IdMapReader *reader, const uint8_t *data, size_t bytes, const char *name, int height, int width,
                     const uint32_t *ids, int count, uint16_t *map, int64_t *areas)
{
    PngFacts facts;
    TRY(read_chunks(reader, data, bytes, name, &facts));
    if (facts.width != (uint32_t)width || facts.height != (uint32_t)height)
        return status_error(STATUS_INVALID, "%s: is %ux%u pixels, width by height; its image is %dx%d", name,
                            facts.width, facts.height, width, height);
    if (count > MAX_SEGMENTS) return status_error(STATUS_INVALID, "%s: more than %d segments", name, MAX_SEGMENTS);
    fill_table(reader, ids, count);
    reader->unknown = 0;
    if (facts.depth != 8 || (facts.color != 2 && facts.color != 6))
        return status_error(STATUS_INVALID, "%s: not an RGB image of 8 bits a channel, as segment ids need", name);
    memset(areas, 0, ((size_t)count + 1) * sizeof *areas);
    if (facts.color == 2 && facts.interlace == 0) TRY(decode_plain(reader, &facts, name, height, width, map, areas));
    else TRY(decode_otherwise(reader, data, bytes, name, map, areas));
    if (reader->unknown != 0)
        return status_error(STATUS_INVALID, "%s: holds segment id %u, which segments_info of its annotation lacks", name,
                            reader->unknown);
    return OK;
}
