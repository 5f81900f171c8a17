/* The weights and images of torchvision_reference.py, which says how they are made, and the comparison with its numbers. */
#ifndef TESTS_MODELS_SEGMENTER_TORCHVISION_FORMULA_H
#define TESTS_MODELS_SEGMENTER_TORCHVISION_FORMULA_H

#include <math.h>
#include <string.h>

#include "tests/models/segmenter/torchvision_reference.h"
#include "tests/test.h"

static inline double formula_uniform(const char *name, int64_t i)
{
    uint64_t key = 0xCBF29CE484222325u;
    for (; *name != '\0'; name++) key = (key ^ (uint8_t)*name) * 0x100000001B3u;
    uint64_t z = key + (uint64_t)i + 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 40) / 16777216.0;
}

static inline bool formula_ends_in(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

/* The tensor `name` of torchvision's state dict. */
static inline void formula_fill(const char *name, int rank, const int64_t *shape, float *values)
{
    int64_t count = 1;
    for (int d = 0; d < rank; d++) count *= shape[d];
    double bound = rank == 4 ? sqrt(3 / (double)(shape[1] * shape[2] * shape[3])) : 0;
    for (int64_t i = 0; i < count; i++) {
        double u = formula_uniform(name, i);
        values[i] = (float)(rank == 4 ? (2 * u - 1) * bound
                            : formula_ends_in(name, ".running_var") ? 0.5 + u
                            : formula_ends_in(name, ".weight") ? 0.3 + 0.6 * u : 0.2 * (u - 0.5));
    }
}

static inline void formula_fill_symmetric(const char *name, float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) values[i] = (float)(2 * formula_uniform(name, i) - 1);
}

/* Relative distance of the kept elements, and of the norm of all. */
static inline void reference_check(const Reference *reference, const float *values, int64_t count, double tolerance)
{
    double norm = 0, difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) norm += (double)values[i] * (double)values[i];
    for (int i = 0; i < REFERENCE_SAMPLES; i++) {
        double ours = (double)values[i * (count - 1) / (REFERENCE_SAMPLES - 1)];
        difference += (ours - reference->values[i]) * (ours - reference->values[i]);
        size += reference->values[i] * reference->values[i];
    }
    if (!(sqrt(difference) <= tolerance * sqrt(size)))
        TEST_FAIL("%s: %.3g from torchvision's", reference->name, sqrt(difference / size));
    if (!(fabs(sqrt(norm) - reference->norm) <= tolerance * reference->norm))
        TEST_FAIL("%s: norm %.9g, torchvision's is %.9g", reference->name, sqrt(norm), reference->norm);
}

#endif
