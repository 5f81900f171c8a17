/* Curves of any length in bounded memory. A curve is kept as CURVE_CELLS cells
 * of equal width in steps, each with its smallest and largest value and where
 * they are; when a curve outgrows them, the width doubles and cells join in
 * pairs. So a curve is read once, then only where it has grown, and whatever
 * is drawn from it shows every peak. Curves used least recently are dropped. */
#ifndef DASHBOARDS_CURVES_H
#define DASHBOARDS_CURVES_H

#include "framework/hash.h"
#include "jobs/ledger.h"

#define CURVE_CELLS 1024
#define CURVE_CACHE_LIMIT 1024 /* curves: 48 MiB */

typedef struct CurveCell {
    int64_t low_step, high_step; /* of the smallest and the largest value; -1: empty */
    double low, high;
    double sum;
    int64_t count;
} CurveCell;

typedef struct Curve {
    char key[HASH_HEX_SIZE];
    char name[64];
    int64_t first;       /* step of the first cell */
    int64_t width;       /* steps a cell, a power of two */
    int64_t next;        /* the first step not read yet */
    int64_t count;       /* points, those that are no number left out */
    int64_t gaps;        /* points that are no number */
    uint64_t used;
    CurveCell cells[CURVE_CELLS];
} Curve;

void curve_init(Curve *curve, int64_t first);
/* Steps come in order. */
void curve_add(Curve *curve, int64_t step, double value);

/* At most `limit` points (at least 4) of the curve, in order of steps: all of them where they are few, else the smallest
 * and the largest of each of limit / 2 groups of cells. Room for `limit` in both arrays. */
size_t curve_thin(const Curve *curve, size_t limit, int64_t *steps, double *values);

typedef struct CurveCache CurveCache;
CurveCache *curve_cache_create(void); /* NULL without memory */
void curve_cache_destroy(CurveCache *cache);
void curve_cache_clear(CurveCache *cache);
/* The curve of a job's metric as it is now; the cache's, valid until the next call. */
Status curve_cache_get(CurveCache *cache, Ledger *ledger, const char *key, const char *name, const Curve **curve);
/* Part of a curve, read afresh for a closer look: freed by memory_free. */
Status curve_read(Ledger *ledger, const char *key, const char *name, int64_t first, int64_t last, Curve **curve);
/* An entry that its caller fills by curve_add, `next` telling from where; made where there is none. For series that are
 * in no ledger. */
Status curve_cache_entry(CurveCache *cache, const char *key, const char *name, Curve **curve);

#endif
