/* Checksums made right again after a mutation, so that what lies behind them is read. */
#ifndef TESTS_FUZZ_FUZZ_REPAIR_H
#define TESTS_FUZZ_FUZZ_REPAIR_H

#include <libdeflate.h>

#include "framework/hash.h"
#include "storage/hdf5_file.h"
#include "tests/fuzz/fuzz.h"

static inline void fuzz_put_big_(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> (24 - 8 * i));
}

static inline uint32_t fuzz_get_big_(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static inline void fuzz_append_chunk_(FuzzInput *input, const char *type, const uint8_t *data, size_t bytes)
{
    if (input->bytes + bytes + 12 > FUZZ_MAX_BYTES) return;
    uint8_t *at = input->data + input->bytes;
    fuzz_put_big_(at, (uint32_t)bytes);
    memcpy(at + 4, type, 4);
    if (bytes > 0) memcpy(at + 8, data, bytes);
    fuzz_put_big_(at + 8 + bytes, libdeflate_crc32(0, at + 4, bytes + 4));
    input->bytes += bytes + 12;
}

/* A PNG made from nothing: any header, random rows behind a right checksum. */
static inline void fuzz_make_png_(Random *random, FuzzInput *input)
{
    static const uint8_t DEPTHS[] = {1, 2, 4, 8, 8, 8, 8, 16, 3}, COLORS[] = {0, 2, 2, 2, 3, 4, 6, 1};
    uint8_t rows[8192], packed[16384], header[13], palette[768];
    const uint32_t width = 1 + (uint32_t)random_below(random, 50), height = 1 + (uint32_t)random_below(random, 30);
    const size_t bytes = (size_t)random_below(random, sizeof rows);
    const bool calm = random_below(random, 2) == 1; /* rows of few values and right filters */
    for (size_t i = 0; i < bytes; i++) rows[i] = (uint8_t)(calm ? random_below(random, 3) : random_bits(random));
    fuzz_put_big_(header, random_below(random, 20) == 0 ? random_bits(random) : width);
    fuzz_put_big_(header + 4, random_below(random, 20) == 0 ? random_bits(random) : height);
    header[8] = DEPTHS[random_below(random, sizeof DEPTHS)];
    header[9] = COLORS[random_below(random, sizeof COLORS)];
    header[10] = (uint8_t)(random_below(random, 30) == 0);
    header[11] = 0;
    header[12] = (uint8_t)(random_below(random, 4) == 0); /* interlaced */
    for (size_t i = 0; i < sizeof palette; i++) palette[i] = (uint8_t)i;
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(1);
    CHECK(compressor != NULL);
    const size_t size = libdeflate_zlib_compress(compressor, rows, bytes, packed, sizeof packed);
    libdeflate_free_compressor(compressor);
    memcpy(input->data, "\x89PNG\r\n\x1a\n", 8);
    input->bytes = 8;
    fuzz_append_chunk_(input, "IHDR", header, sizeof header);
    if (header[9] == 3 || random_below(random, 8) == 0)
        fuzz_append_chunk_(input, "PLTE", palette, 3 * (size_t)random_below(random, 257));
    const size_t cut = random_below(random, 3) == 0 ? fuzz_place_(random, size) : size;
    fuzz_append_chunk_(input, "IDAT", packed, cut);
    if (cut < size) fuzz_append_chunk_(input, "IDAT", packed + cut, size - cut);
    fuzz_append_chunk_(input, "IEND", NULL, 0);
}

/* Right checksums for the chunks that can be told. */
static inline void fuzz_repair_png(Random *random, int seed, FuzzInput *input)
{
    (void)seed;
    const int64_t choice = random_below(random, 4);
    if (choice == 0) return;
    if (choice == 1) {
        fuzz_make_png_(random, input);
        return;
    }
    for (size_t at = 8; at + 12 <= input->bytes;) {
        const size_t bytes = fuzz_get_big_(input->data + at);
        if (bytes > input->bytes - at - 12) break;
        fuzz_put_big_(input->data + at + 8 + bytes, libdeflate_crc32(0, input->data + at + 4, bytes + 4));
        at += bytes + 12;
    }
}

/* -- stores -- */

typedef struct FuzzRange { int64_t offset, bytes; } FuzzRange;

/* Where the arrays of each seed lie: in them a store may hold anything. HDF5's own parts are behind the digest, for
 * HDF5 1.10 can't be trusted with damaged ones. */
static struct FuzzLayout {
    FuzzInput valid[FUZZ_MAX_SEEDS]; /* borrowed */
    FuzzRange ranges[FUZZ_MAX_SEEDS][32];
    int counts[FUZZ_MAX_SEEDS];
} fuzz_layout;

static inline void fuzz_learn_layout(const FuzzSeeds *seeds, int seed, const char *path, const char *kind, int version)
{
    Hdf5Reader *reader;
    CHECK_OK(hdf5_reader_open(path, kind, version, &reader));
    fuzz_layout.valid[seed] = seeds->items[seed];
    fuzz_layout.counts[seed] = 0;
    for (int i = 0; i < hdf5_reader_count(reader) && i < 32; i++) {
        const Hdf5Array *array = hdf5_reader_array(reader, i);
        if (array->bytes > 0)
            fuzz_layout.ranges[seed][fuzz_layout.counts[seed]++] = (FuzzRange){array->offset, array->bytes};
    }
    hdf5_reader_close(reader);
}

/* Writes the digest of what is there into the header, and the header's own check. */
static inline void fuzz_seal_store_(FuzzInput *input)
{
    char text[HDF5_HEADER_BYTES + 1] = {0}, hex[HASH_HEX_SIZE], line[80];
    memcpy(text, input->data, HDF5_HEADER_BYTES);
    char *digest = strstr(text, "\ndigest ");
    CHECK(digest != NULL);
    Hasher *hasher = hasher_create();
    CHECK(hasher != NULL);
    size_t place = HDF5_HEADER_BYTES;
    for (const char *bulk = strstr(text, "\nbulk "); bulk != NULL; bulk = strstr(bulk + 1, "\nbulk ")) {
        long long offset, bytes;
        CHECK(sscanf(bulk, "\nbulk %lld %lld", &offset, &bytes) == 2);
        hasher_add(hasher, input->data + place, (size_t)offset - place);
        place = (size_t)(offset + bytes);
    }
    hasher_add(hasher, input->data + place, input->bytes - place);
    hash_to_hex(hasher_result(hasher), hex);
    hasher_destroy(hasher);
    digest[1] = '\0';
    memset(input->data, 0, HDF5_HEADER_BYTES);
    snprintf(line, sizeof line, "digest %s\n", hex);
    strcat(text, line);
    hash_to_hex(hash_bytes(text, strlen(text)), hex);
    snprintf(line, sizeof line, "check %s\n", hex);
    strcat(text, line);
    memcpy(input->data, text, strlen(text));
}

/* Three in four: the valid store with other numbers in its arrays, sealed. */
static inline void fuzz_repair_store(Random *random, int seed, FuzzInput *input)
{
    const FuzzInput *valid = &fuzz_layout.valid[seed];
    if (random_below(random, 4) == 0) return;
    memcpy(input->data, valid->data, valid->bytes);
    input->bytes = valid->bytes;
    const int64_t changes = 1 + random_below(random, 6);
    for (int64_t i = 0; i < changes; i++) {
        const FuzzRange *range = &fuzz_layout.ranges[seed][random_below(random, fuzz_layout.counts[seed])];
        FuzzInput part = {input->data + range->offset, (size_t)range->bytes};
        if (random_below(random, 3) == 0) part.data[fuzz_place_(random, part.bytes)] ^= (uint8_t)(1 << random_below(random, 8));
        else if (random_below(random, 2) == 0) fuzz_put_number_(random, &part);
        else part.data[fuzz_place_(random, part.bytes)] = (uint8_t)random_bits(random);
    }
    fuzz_seal_store_(input);
}

#endif
