#include "models/segmenter/matching.h"

#include <math.h>
#include <stdbool.h>

/* Beyond this, sums of costs would lose all that tells them apart. */
#define COST_LIMIT 1e30

/* One side of the work, in the orientation with no more rows than columns.
 * Index 0 of every array is a virtual row or column from which paths start. */
typedef struct Work {
    double *row_potential;     /* [n + 1] */
    double *column_potential;  /* [m + 1] */
    double *distance;          /* [m + 1]: shortest reduced path to each column */
    int32_t *row_of_column;    /* [m + 1]; 0: free */
    int32_t *previous;         /* [m + 1]: the column before on that path */
    bool *done;                /* [m + 1] */
} Work;

size_t matching_work_bytes(int rows, int columns)
{
    size_t n = (size_t)(rows < columns ? rows : columns), m = (size_t)(rows < columns ? columns : rows);
    return sizeof(double) * (n + 1 + 2 * (m + 1)) + (2 * sizeof(int32_t) + sizeof(bool)) * (m + 1);
}

static Work divide_work(void *memory, size_t n, size_t m)
{
    Work work;
    work.row_potential = memory;
    work.column_potential = work.row_potential + n + 1;
    work.distance = work.column_potential + m + 1;
    work.row_of_column = (int32_t *)(work.distance + m + 1);
    work.previous = work.row_of_column + m + 1;
    work.done = (bool *)(work.previous + m + 1);
    return work;
}

static int64_t replace_non_finite(double *cost, int64_t count)
{
    double largest = 0;
    int64_t bad = 0;
    for (int64_t i = 0; i < count; i++) {
        double size = fabs(cost[i]);
        if (size <= COST_LIMIT) largest = size > largest ? size : largest;
        else bad++; /* NaN too */
    }
    if (bad == 0) return 0;
    /* Twice the spread of an augmenting path's finite costs would do; this is more and keeps 1e-12 precision. */
    double replacement = 1e3 * (largest + 1);
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(cost[i]) <= COST_LIMIT)) cost[i] = replacement;
    return bad;
}

/* Grows the assignment by `row` (from 1), along the cheapest path to a free column. */
static void augment(const double *cost, int64_t row_step, int64_t column_step, int m, int row, const Work *w)
{
    for (int j = 0; j <= m; j++) {
        w->distance[j] = INFINITY;
        w->done[j] = false;
    }
    w->row_of_column[0] = row;
    int column = 0;
    while (w->row_of_column[column] != 0) {
        w->done[column] = true;
        int from = w->row_of_column[column], next = 0;
        const double *costs = cost + (from - 1) * row_step;
        double least = INFINITY;
        for (int j = 1; j <= m; j++) {
            if (w->done[j]) continue;
            double reduced = costs[(j - 1) * column_step] - w->row_potential[from] - w->column_potential[j];
            if (reduced < w->distance[j]) {
                w->distance[j] = reduced;
                w->previous[j] = column;
            }
            if (w->distance[j] < least) {
                least = w->distance[j];
                next = j;
            }
        }
        for (int j = 0; j <= m; j++) {
            if (w->done[j]) {
                w->row_potential[w->row_of_column[j]] += least;
                w->column_potential[j] -= least;
            } else {
                w->distance[j] -= least;
            }
        }
        column = next;
    }
    while (column != 0) {
        int before = w->previous[column];
        w->row_of_column[column] = w->row_of_column[before];
        column = before;
    }
}

int64_t matching_assign(double *cost, int rows, int columns, int32_t *column_of_row, void *memory)
{
    for (int i = 0; i < rows; i++) column_of_row[i] = -1;
    if (rows <= 0 || columns <= 0) return 0;
    int64_t bad = replace_non_finite(cost, (int64_t)rows * columns);
    bool tall = rows > columns;
    int n = tall ? columns : rows, m = tall ? rows : columns;
    int64_t row_step = tall ? 1 : columns, column_step = tall ? columns : 1;
    Work work = divide_work(memory, (size_t)n, (size_t)m);
    for (int i = 0; i <= n; i++) work.row_potential[i] = 0;
    for (int j = 0; j <= m; j++) {
        work.column_potential[j] = 0;
        work.row_of_column[j] = 0;
        work.previous[j] = 0;
    }
    for (int row = 1; row <= n; row++) augment(cost, row_step, column_step, m, row, &work);
    for (int j = 1; j <= m; j++) {
        int row = work.row_of_column[j];
        if (row == 0) continue;
        if (tall) column_of_row[j - 1] = row - 1;
        else column_of_row[row - 1] = j - 1;
    }
    return bad;
}
