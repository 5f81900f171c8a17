#include "models/layers/position.h"

#include <math.h>

#define TEMPERATURE 10000.0
#define EPSILON 1e-6
#define FULL_TURN 6.283185307179586476925

static void encode(int64_t index, int64_t size, int64_t features, double *out)
{
    double angle = FULL_TURN * (double)(index + 1) / ((double)size + EPSILON);
    for (int64_t i = 0; i < features; i++) {
        double period = pow(TEMPERATURE, (double)(i / 2 * 2) / (double)features);
        out[i] = i % 2 == 0 ? sin(angle / period) : cos(angle / period);
    }
}

void position_sine(int64_t height, int64_t width, int64_t dim, double *out)
{
    int64_t half = dim / 2;
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            double *cell = out + (y * width + x) * dim;
            encode(y, height, half, cell);
            encode(x, width, half, cell + half);
        }
}
