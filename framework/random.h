/* Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011). A stream is a pure function of
 * (seed, purpose, step, sample), so a resumed or re-ranked run draws the same. */
#ifndef FRAMEWORK_RANDOM_H
#define FRAMEWORK_RANDOM_H

#include <stdint.h>

/* What draws are for. Append only: the numbers are part of every result. */
#define RANDOM_PURPOSES(X)                                            \
    X(RANDOM_INIT) X(RANDOM_ORDER) X(RANDOM_AUGMENT) X(RANDOM_POINTS) \
    X(RANDOM_DROPOUT) X(RANDOM_NOISE) X(RANDOM_BATCH) X(RANDOM_CLASSES) \
    X(RANDOM_SYNTH) X(RANDOM_SWEEP) X(RANDOM_TEST) X(RANDOM_TARGET) \
    X(RANDOM_CLASSIFIER) X(RANDOM_WIDEN)

typedef enum RandomPurpose {
#define X(purpose) purpose,
    RANDOM_PURPOSES(X)
#undef X
    RANDOM_PURPOSE_COUNT
} RandomPurpose;

/* A position in a stream; copy it freely. */
typedef struct Random {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4];
    uint32_t used; /* words of `block` already drawn */
} Random;

Random random_stream(uint64_t seed, RandomPurpose purpose, uint64_t step, uint64_t sample);
uint32_t random_bits(Random *random);
double random_uniform(Random *random);  /* [0, 1), 53 bits */
float random_uniform_f32(Random *random); /* [0, 1), 24 bits */
double random_normal(Random *random);   /* Box-Muller, both values used in order */
int64_t random_below(Random *random, int64_t bound); /* [0, bound), unbiased; bound >= 1 */
/* Fisher-Yates on `count` entries. */
void random_shuffle(Random *random, int64_t *values, int64_t count);
/* Fills; the n-th value of a fill equals the n-th single draw. */
void random_fill_uniform(Random *random, float *values, int64_t count);
void random_fill_normal(Random *random, float *values, int64_t count);
/* A 64-bit hash of a name, to key a stream by it. */
uint64_t random_name_key(const char *name);

#endif
