#include "dashboards/curves.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "framework/memory.h"
#include "jobs/hash_map.h"
#include "jobs/ledger_query.h"

struct CurveCache {
    Curve *curves[CURVE_CACHE_LIMIT];
    HashMap places;
    size_t count;
    uint64_t uses;
};

void curve_init(Curve *curve, int64_t first)
{
    curve->first = first;
    curve->width = 1;
    curve->next = first;
    curve->count = curve->gaps = 0;
    for (int i = 0; i < CURVE_CELLS; i++) curve->cells[i] = (CurveCell){.low_step = -1, .high_step = -1};
}

static void cell_join(CurveCell *into, const CurveCell *other)
{
    if (other->count == 0) return;
    if (into->count == 0) {
        *into = *other;
        return;
    }
    if (other->low < into->low) {
        into->low = other->low;
        into->low_step = other->low_step;
    }
    if (other->high > into->high) {
        into->high = other->high;
        into->high_step = other->high_step;
    }
    into->sum += other->sum;
    into->count += other->count;
}

static void halve(Curve *curve)
{
    for (int i = 0; i < CURVE_CELLS / 2; i++) {
        CurveCell joined = curve->cells[2 * i];
        cell_join(&joined, &curve->cells[2 * i + 1]);
        curve->cells[i] = joined;
    }
    for (int i = CURVE_CELLS / 2; i < CURVE_CELLS; i++) curve->cells[i] = (CurveCell){.low_step = -1, .high_step = -1};
    curve->width *= 2;
}

void curve_add(Curve *curve, int64_t step, double value)
{
    if (step < curve->first) return;
    curve->next = step + 1;
    if (!isfinite(value)) {
        curve->gaps++;
        return;
    }
    while ((step - curve->first) / curve->width >= CURVE_CELLS) halve(curve);
    CurveCell point = {.low_step = step, .high_step = step, .low = value, .high = value, .sum = value, .count = 1};
    cell_join(&curve->cells[(step - curve->first) / curve->width], &point);
    curve->count++;
}

/* A cell's one or two points, in order. */
static size_t put_cell(const CurveCell *cell, int64_t *steps, double *values)
{
    bool low_first = cell->low_step <= cell->high_step;
    steps[0] = low_first ? cell->low_step : cell->high_step;
    values[0] = low_first ? cell->low : cell->high;
    if (cell->low_step == cell->high_step) return 1;
    steps[1] = low_first ? cell->high_step : cell->low_step;
    values[1] = low_first ? cell->high : cell->low;
    return 2;
}

size_t curve_thin(const Curve *curve, size_t limit, int64_t *steps, double *values)
{
    size_t filled = 0, used = 0, points = 0;
    for (int i = 0; i < CURVE_CELLS; i++) {
        if (curve->cells[i].count == 0) continue;
        filled += curve->cells[i].low_step == curve->cells[i].high_step ? 1 : 2;
        used = (size_t)i + 1;
    }
    size_t groups = limit / 2;
    size_t size = filled <= limit || groups == 0 ? 1 : (used + groups - 1) / groups;
    for (size_t i = 0; i < used; i += size) {
        CurveCell joined = curve->cells[i];
        for (size_t k = i + 1; k < i + size && k < used; k++) cell_join(&joined, &curve->cells[k]);
        if (joined.count > 0) points += put_cell(&joined, steps + points, values + points);
    }
    return points;
}

/* The cache ------------------------------------------------------------------ */

CurveCache *curve_cache_create(void)
{
    return memory_alloc_zero(1, sizeof(CurveCache));
}

void curve_cache_clear(CurveCache *cache)
{
    for (size_t i = 0; i < cache->count; i++) memory_free(cache->curves[i]);
    hash_map_free(&cache->places);
    cache->places = (HashMap){0};
    cache->count = 0;
}

void curve_cache_destroy(CurveCache *cache)
{
    if (cache == NULL) return;
    curve_cache_clear(cache);
    memory_free(cache);
}

static Hash128 identity(const char *key, const char *name)
{
    char text[HASH_HEX_SIZE + 72];
    int length = snprintf(text, sizeof text, "%s %s", key, name);
    return hash_bytes(text, (size_t)length);
}

static Status remember(CurveCache *cache, size_t place)
{
    uint32_t found;
    return hash_map_insert(&cache->places, identity(cache->curves[place]->key, cache->curves[place]->name),
                           (uint32_t)place, &found);
}

/* Drops the older half. The map knows no removal, so it is made anew: once in CURVE_CACHE_LIMIT / 2 curves. */
static Status drop_old(CurveCache *cache)
{
    uint64_t limit = cache->uses - CURVE_CACHE_LIMIT / 2;
    size_t kept = 0;
    for (size_t i = 0; i < cache->count; i++) {
        if (cache->curves[i]->used < limit)
            memory_free(cache->curves[i]);
        else
            cache->curves[kept++] = cache->curves[i];
    }
    while (kept > CURVE_CACHE_LIMIT / 2) memory_free(cache->curves[--kept]);
    cache->count = kept;
    hash_map_free(&cache->places);
    cache->places = (HashMap){0};
    for (size_t i = 0; i < kept; i++) TRY(remember(cache, i));
    return OK;
}

Status curve_cache_entry(CurveCache *cache, const char *key, const char *name, Curve **curve)
{
    uint32_t place;
    *curve = NULL;
    if (strlen(name) >= sizeof(*curve)->name) return status_error(STATUS_INVALID, "no metric has so long a name");
    cache->uses++;
    if (hash_map_find(&cache->places, identity(key, name), &place)) {
        *curve = cache->curves[place];
        (*curve)->used = cache->uses;
        return OK;
    }
    if (cache->count == CURVE_CACHE_LIMIT) TRY(drop_old(cache));
    Curve *made = memory_alloc_zero(1, sizeof *made);
    if (made == NULL) return status_no_memory(sizeof *made, "a curve");
    snprintf(made->key, sizeof made->key, "%s", key);
    snprintf(made->name, sizeof made->name, "%s", name);
    made->used = cache->uses;
    curve_init(made, 0);
    cache->curves[cache->count] = made;
    TRY(remember(cache, cache->count++));
    *curve = made;
    return OK;
}

static Status take_point(void *context, int64_t step, double value)
{
    curve_add(context, step, value);
    return OK;
}

Status curve_cache_get(CurveCache *cache, Ledger *ledger, const char *key, const char *name, const Curve **out)
{
    Curve *curve;
    *out = NULL;
    TRY(curve_cache_entry(cache, key, name, &curve));
    *out = curve;
    return ledger_each_point(ledger, key, name, curve->next, INT64_MAX, take_point, curve);
}

Status curve_read(Ledger *ledger, const char *key, const char *name, int64_t first, int64_t last, Curve **curve)
{
    *curve = memory_alloc_zero(1, sizeof **curve);
    if (*curve == NULL) return status_no_memory(sizeof **curve, "a curve");
    curve_init(*curve, first);
    return ledger_each_point(ledger, key, name, first, last, take_point, *curve);
}
