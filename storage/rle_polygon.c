/* Polygons to runs as the COCO API does it: the outline is drawn five times as
 * fine, and where it crosses from one column of pixels to the next the runs
 * change. An outline is walked point by point; only crossings are kept. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "framework/memory.h"
#include "storage/rle.h"

#define FINE 5.0
#define FARTHEST (1 << 20)

typedef struct Outline {
    int height, width;
    bool begun;
    int x, y;              /* last point of the fine outline */
    uint32_t *crossings;   /* places in the mask, down the columns */
    size_t count, capacity;
} Outline;

static Status add_crossing(Outline *outline, uint32_t place)
{
    if (outline->count == outline->capacity) {
        size_t capacity = outline->capacity * 2 + 64;
        uint32_t *larger = memory_resize(outline->crossings, capacity * sizeof *larger);
        if (larger == NULL) return status_no_memory(capacity * sizeof *larger, "a polygon");
        outline->crossings = larger;
        outline->capacity = capacity;
    }
    outline->crossings[outline->count++] = place;
    return OK;
}

static Status visit(Outline *outline, int x, int y)
{
    const int last_x = outline->x, last_y = outline->y;
    const bool crosses = outline->begun && x != last_x;
    outline->begun = true;
    outline->x = x;
    outline->y = y;
    if (!crosses) return OK;
    const double column = ((double)(x < last_x ? x : x - 1) + 0.5) / FINE - 0.5;
    if (floor(column) != column || column < 0 || column > outline->width - 1) return OK;
    double row = ((double)(y < last_y ? y : last_y) + 0.5) / FINE - 0.5;
    row = ceil(row < 0 ? 0 : row > outline->height ? outline->height : row);
    return add_crossing(outline, (uint32_t)column * (uint32_t)outline->height + (uint32_t)row);
}

/* All points of one side, both ends among them. */
static Status draw_side(Outline *outline, int from_x, int from_y, int to_x, int to_y)
{
    const int dx = abs(to_x - from_x), dy = abs(to_y - from_y), steps = dx >= dy ? dx : dy;
    const bool flip = (dx >= dy && from_x > to_x) || (dx < dy && from_y > to_y);
    const int start_x = flip ? to_x : from_x, start_y = flip ? to_y : from_y;
    const int end_x = flip ? from_x : to_x, end_y = flip ? from_y : to_y;
    if (steps == 0) return visit(outline, from_x, from_y);
    const double slope = dx >= dy ? (double)(end_y - start_y) / dx : (double)(end_x - start_x) / dy;
    for (int d = 0; d <= steps; d++) {
        const int t = flip ? steps - d : d;
        if (dx >= dy) TRY(visit(outline, t + start_x, (int)(start_y + slope * t + 0.5)));
        else TRY(visit(outline, (int)(start_x + slope * t + 0.5), t + start_y));
    }
    return OK;
}

static Status draw(Outline *outline, const double *corners, size_t count)
{
    for (size_t i = 0; i < 2 * count; i++)
        if (!(fabs(corners[i]) <= FARTHEST))
            return status_error(STATUS_INVALID, "corner %zu of a polygon lies at %g", i / 2, corners[i]);
    for (size_t i = 0; i < count; i++) {
        const double *a = corners + 2 * i, *b = corners + 2 * ((i + 1) % count);
        TRY(draw_side(outline, (int)(FINE * a[0] + 0.5), (int)(FINE * a[1] + 0.5), (int)(FINE * b[0] + 0.5),
                      (int)(FINE * b[1] + 0.5)));
    }
    return OK;
}

static int compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Sorted places to runs; two crossings of one place cancel out. */
static Status make_runs(Outline *outline, Rle *rle)
{
    TRY(add_crossing(outline, (uint32_t)outline->height * (uint32_t)outline->width));
    qsort(outline->crossings, outline->count, sizeof *outline->crossings, compare);
    if (outline->count + 1 > rle->capacity) {
        uint32_t *larger = memory_resize(rle->counts, (outline->count + 1) * sizeof *larger);
        if (larger == NULL) return status_no_memory(outline->count * sizeof *larger, "a polygon");
        rle->counts = larger;
        rle->capacity = outline->count + 1;
    }
    rle->count = 0;
    uint32_t last = 0;
    bool join = false; /* the next run goes on with the last one */
    for (size_t i = 0; i < outline->count; i++) {
        const uint32_t run = outline->crossings[i] - last;
        last = outline->crossings[i];
        if (join) rle->counts[rle->count - 1] += run;
        else if (run > 0 || i == 0) rle->counts[rle->count++] = run;
        join = !join && run == 0 && i > 0;
    }
    return OK;
}

Status rle_from_polygon(const double *corners, size_t corner_count, int height, int width, Rle *rle)
{
    if (corner_count < 3) return status_error(STATUS_INVALID, "a polygon has %zu corners", corner_count);
    Outline outline = {.height = height, .width = width};
    rle->height = height;
    rle->width = width;
    Status status = draw(&outline, corners, corner_count);
    if (status == OK) status = make_runs(&outline, rle);
    memory_free(outline.crossings);
    return status;
}
