#include <math.h>
#include <string.h>

#include "framework/memory.h"
#include "storage/image_decode.h"

/* What one output pixel takes along one axis: weights[0 .. count) of the input
 * pixels from `first` on. */
typedef struct Taps {
    int first, count;
    const float *weights;
} Taps;

typedef struct Axis {
    Taps *taps;
    float *weights;
} Axis;

static int area_taps(double from, double to, int size, float *weights, int *first)
{
    int start = (int)floor(from), end = (int)ceil(to);
    if (end > size) end = size;
    if (start > end - 1) start = end - 1;
    double total = 0;
    for (int i = start; i < end; i++) total += fmin(i + 1, to) - fmax(i, from);
    for (int i = start; i < end; i++) weights[i - start] = (float)((fmin(i + 1, to) - fmax(i, from)) / total);
    *first = start;
    return end - start;
}

static int bilinear_taps(double centre, int size, float *weights, int *first)
{
    double place = fmin(fmax(centre - 0.5, 0), size - 1);
    int start = (int)place;
    double rest = place - start;
    *first = start;
    if (start + 1 >= size) {
        weights[0] = 1;
        return 1;
    }
    weights[0] = (float)(1 - rest);
    weights[1] = (float)rest;
    return 2;
}

static Status axis_create(int from, int to, Axis *axis)
{
    double ratio = (double)from / to;
    size_t most = (size_t)ceil(ratio) + 2;
    axis->taps = memory_alloc((size_t)to * sizeof *axis->taps);
    axis->weights = memory_alloc((size_t)to * most * sizeof *axis->weights);
    if (axis->taps == NULL || axis->weights == NULL) return status_no_memory((size_t)to * most, "image scaling");
    for (int i = 0; i < to; i++) {
        float *weights = axis->weights + (size_t)i * most;
        Taps *taps = &axis->taps[i];
        taps->weights = weights;
        taps->count = from >= to ? area_taps(i * ratio, (i + 1) * ratio, from, weights, &taps->first)
                                 : bilinear_taps((i + 0.5) * ratio, from, weights, &taps->first);
    }
    return OK;
}

static void axis_clear(Axis *axis)
{
    memory_free(axis->taps);
    memory_free(axis->weights);
}

static void scale_row(const uint8_t *from, const Axis *axis, int width, float *to)
{
    for (int x = 0; x < width; x++) {
        const Taps *taps = &axis->taps[x];
        float r = 0, g = 0, b = 0;
        for (int i = 0; i < taps->count; i++) {
            const uint8_t *pixel = from + 3 * (size_t)(taps->first + i);
            r += taps->weights[i] * pixel[0];
            g += taps->weights[i] * pixel[1];
            b += taps->weights[i] * pixel[2];
        }
        to[3 * x] = r;
        to[3 * x + 1] = g;
        to[3 * x + 2] = b;
    }
}

static void scale(const Image *from, const Axis *vertical, const Axis *horizontal, float *row, float *sum, Image *to)
{
    size_t values = (size_t)to->width * 3, stride = (size_t)from->width * 3;
    int scaled = -1; /* the input row that `row` holds: neighbours often share one */
    for (int y = 0; y < to->height; y++) {
        const Taps *taps = &vertical->taps[y];
        memset(sum, 0, values * sizeof *sum);
        for (int i = 0; i < taps->count; i++) {
            int source = taps->first + i;
            if (source != scaled) scale_row(from->rgb + (size_t)source * stride, horizontal, to->width, row);
            scaled = source;
            for (size_t k = 0; k < values; k++) sum[k] += taps->weights[i] * row[k];
        }
        uint8_t *out = to->rgb + (size_t)y * values;
        for (size_t k = 0; k < values; k++) out[k] = (uint8_t)fminf(sum[k] + 0.5f, 255.0f);
    }
}

Status image_resize(const Image *from, int height, int width, Image *to)
{
    TRY(image_reserve(to, height, width, "scaled image"));
    if (height == from->height && width == from->width) {
        memcpy(to->rgb, from->rgb, (size_t)height * (size_t)width * 3);
        return OK;
    }
    Axis vertical = {0}, horizontal = {0};
    float *rows = memory_alloc((size_t)width * 6 * sizeof *rows);
    Status status = rows == NULL ? status_no_memory((size_t)width * 6 * sizeof *rows, "image scaling") : OK;
    if (status == OK) status = axis_create(from->height, height, &vertical);
    if (status == OK) status = axis_create(from->width, width, &horizontal);
    if (status == OK) scale(from, &vertical, &horizontal, rows, rows + (size_t)width * 3, to);
    axis_clear(&vertical);
    axis_clear(&horizontal);
    memory_free(rows);
    return status;
}
