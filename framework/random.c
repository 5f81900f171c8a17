#include "framework/random.h"

#include <math.h>
#include <string.h>

#include "framework/hash.h"

enum {
    WORDS = 4,
    BATCH = 64, /* blocks made at once by fills: enough for the widest vectors */
    /* In `used`: the first half of a Box-Muller pair is drawn. The normal at
     * an odd word is the other half; any other draw skips that word. */
    HALF_PAIR = 0x100
};

/* Philox4x32-10 of Salmon et al. (2011), with their constants. */
static inline void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* Seed, purpose, step and sample are more bits than key and counter have
 * beside the block number. So seed, purpose and step pass Philox once and give
 * 96 bits (the key and one counter word); the sample is used as it is. */
Random random_stream(uint64_t seed, RandomPurpose purpose, uint64_t step, uint64_t sample)
{
    uint32_t seed_key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t counter[4] = {(uint32_t)step, (uint32_t)(step >> 32), (uint32_t)purpose, 0x7a65726f};
    uint32_t mixed[4];
    philox(counter, seed_key, mixed);
    return (Random){.key = {mixed[0], mixed[1]},
                    .counter = {0, mixed[2], (uint32_t)sample, (uint32_t)(sample >> 32)},
                    .used = WORDS};
}

static void next_block(Random *random)
{
    philox(random->counter, random->key, random->block);
    random->counter[0]++; /* 2^34 words: no stream is that long */
    random->used = 0;
}

uint32_t random_bits(Random *random)
{
    if (random->used & HALF_PAIR) random->used = (random->used & ~(uint32_t)HALF_PAIR) + 1;
    if (random->used >= WORDS) next_block(random);
    return random->block[random->used++];
}

double random_uniform(Random *random)
{
    uint64_t high = random_bits(random) >> 5, low = random_bits(random) >> 6;
    return (double)(high << 26 | low) * 0x1p-53;
}

static inline float uniform_of_bits(uint32_t bits)
{
    return (float)(int32_t)(bits >> 8) * 0x1p-24f;
}

float random_uniform_f32(Random *random)
{
    return uniform_of_bits(random_bits(random));
}

/* log, sine and cosine are written out, with +, *, / and sqrt alone: so they
 * are done for many pairs at once, and every machine, library and compiler
 * gives the same bits. Errors are below 1e-15. */
static inline double log_of_bits(uint32_t bits)
{
    /* u = (bits + 1/2) / 2^32 = m 2^e with m in [sqrt(1/2), sqrt(2)). */
    double u = ((double)bits + 0.5) * 0x1p-32;
    uint64_t pattern;
    memcpy(&pattern, &u, sizeof pattern);
    /* Adding the distance from sqrt(1/2) to 1 carries into the exponent
     * exactly where the fraction is at least sqrt(2). */
    uint64_t shifted = pattern + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
    int32_t exponent = (int32_t)(shifted >> 52) - 1023;
    uint64_t fraction = (shifted & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu;
    double m;
    memcpy(&m, &fraction, sizeof m);
    double s = (m - 1.0) / (m + 1.0), t = s * s; /* log m = 2 artanh s, t < 0.0295 */
    double series = 1.0 / 21;
    series = series * t + 1.0 / 19;
    series = series * t + 1.0 / 17;
    series = series * t + 1.0 / 15;
    series = series * t + 1.0 / 13;
    series = series * t + 1.0 / 11;
    series = series * t + 1.0 / 9;
    series = series * t + 1.0 / 7;
    series = series * t + 1.0 / 5;
    series = series * t + 1.0 / 3;
    return (double)exponent * 0x1.62e42fefa39efp-1 + (2.0 * s + 2.0 * s * t * series);
}

/* Cosine and sine of 2 pi bits / 2^32, from the nearest quarter turn. */
static inline void turn_of_bits(uint32_t bits, double *cosine, double *sine)
{
    uint32_t quarter = (bits + 0x20000000u) >> 30;
    double x = (double)(int32_t)(bits - (quarter << 30)) * (6.283185307179586476925 * 0x1p-32);
    double t = x * x;
    double s = 1.0 / 355687428096000;
    s = s * t - 1.0 / 1307674368000;
    s = s * t + 1.0 / 6227020800;
    s = s * t - 1.0 / 39916800;
    s = s * t + 1.0 / 362880;
    s = s * t - 1.0 / 5040;
    s = s * t + 1.0 / 120;
    s = s * t - 1.0 / 6;
    s = x + x * t * s;
    double c = 1.0 / 20922789888000;
    c = c * t - 1.0 / 87178291200;
    c = c * t + 1.0 / 479001600;
    c = c * t - 1.0 / 3628800;
    c = c * t + 1.0 / 40320;
    c = c * t - 1.0 / 720;
    c = c * t + 1.0 / 24;
    c = 1.0 + (c * t - 0.5) * t;
    double swapped_c = quarter & 1 ? s : c, swapped_s = quarter & 1 ? c : s;
    *cosine = (quarter + 1) & 2 ? -swapped_c : swapped_c;
    *sine = quarter & 2 ? -swapped_s : swapped_s;
}

static inline void normal_pair(uint32_t radius_bits, uint32_t turn_bits, double *first, double *second)
{
    double radius = sqrt(-2.0 * log_of_bits(radius_bits)), cosine, sine;
    turn_of_bits(turn_bits, &cosine, &sine);
    *first = radius * cosine;
    *second = radius * sine;
}

double random_normal(Random *random)
{
    double first, second;
    if (random->used & HALF_PAIR) {
        random->used = (random->used & ~(uint32_t)HALF_PAIR) + 1;
        normal_pair(random->block[random->used - 2], random->block[random->used - 1], &first, &second);
        return second;
    }
    random->used += random->used & 1; /* pairs begin at even words */
    if (random->used >= WORDS) next_block(random);
    normal_pair(random->block[random->used], random->block[random->used + 1], &first, &second);
    random->used = (random->used + 1) | HALF_PAIR;
    return first;
}

int64_t random_below(Random *random, int64_t bound)
{
    if (bound <= 1) return 0;
    if (bound <= UINT32_MAX) { /* Lemire's multiplication, with rejection of the uneven rest */
        uint32_t range = (uint32_t)bound, floor_bits = (0u - range) % range;
        uint64_t product;
        do product = (uint64_t)random_bits(random) * range;
        while ((uint32_t)product < floor_bits);
        return (int64_t)(product >> 32);
    }
    uint64_t range = (uint64_t)bound, rest = (0u - range) % range, bits;
    do {
        bits = (uint64_t)random_bits(random) << 32;
        bits |= random_bits(random);
    } while (bits < rest);
    return (int64_t)(bits % range);
}

void random_shuffle(Random *random, int64_t *values, int64_t count)
{
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t j = random_below(random, i + 1), kept = values[i];
        values[i] = values[j];
        values[j] = kept;
    }
}

/* BATCH blocks in structure-of-arrays form, words[w][b], so that the compiler
 * makes vectors of the loop. */
static void make_batch(Random *random, uint32_t words[WORDS][BATCH])
{
    uint32_t key[2] = {random->key[0], random->key[1]};
    uint32_t c0 = random->counter[0], c1 = random->counter[1], c2 = random->counter[2], c3 = random->counter[3];
    for (int b = 0; b < BATCH; b++) {
        uint32_t counter[4] = {c0 + (uint32_t)b, c1, c2, c3}, out[4];
        philox(counter, key, out);
        words[0][b] = out[0];
        words[1][b] = out[1];
        words[2][b] = out[2];
        words[3][b] = out[3];
    }
    random->counter[0] += BATCH;
}

void random_fill_uniform(Random *random, float *values, int64_t count)
{
    int64_t i = 0;
    /* Singly to the end of the block, by batches, and singly again. */
    while (i < count && random->used != WORDS) values[i++] = random_uniform_f32(random);
    for (; count - i >= WORDS * BATCH; i += WORDS * BATCH) {
        uint32_t words[WORDS][BATCH];
        make_batch(random, words);
        for (int b = 0; b < BATCH; b++)
            for (int w = 0; w < WORDS; w++) values[i + b * WORDS + w] = uniform_of_bits(words[w][b]);
    }
    while (i < count) values[i++] = random_uniform_f32(random);
}

void random_fill_normal(Random *random, float *values, int64_t count)
{
    int64_t i = 0;
    while (i < count && random->used != WORDS) values[i++] = (float)random_normal(random);
    for (; count - i >= WORDS * BATCH; i += WORDS * BATCH) {
        uint32_t words[WORDS][BATCH];
        float normals[WORDS][BATCH];
        make_batch(random, words);
        for (int pair = 0; pair < WORDS; pair += 2) {
            for (int b = 0; b < BATCH; b++) {
                double first, second;
                normal_pair(words[pair][b], words[pair + 1][b], &first, &second);
                normals[pair][b] = (float)first;
                normals[pair + 1][b] = (float)second;
            }
        }
        for (int b = 0; b < BATCH; b++)
            for (int w = 0; w < WORDS; w++) values[i + b * WORDS + w] = normals[w][b];
    }
    while (i < count) values[i++] = (float)random_normal(random);
}

uint64_t random_name_key(const char *name)
{
    return hash_bytes(name, strlen(name)).low;
}
