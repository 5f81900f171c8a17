/* Minimum-cost assignment (the Hungarian problem) by shortest augmenting paths
 * with potentials (Jonker and Volgenant 1987, "A shortest augmenting path
 * algorithm for dense and sparse linear assignment problems"), O(n^2 m) for n
 * the shorter side. */
#ifndef SEGMENTER_MATCHING_H
#define SEGMENTER_MATCHING_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of `work` that matching_assign needs; any alignment malloc gives will do. */
size_t matching_work_bytes(int rows, int columns);
/* cost [rows, columns]: gives every row its own column (every column its own
 * row where there are fewer columns), at the least total cost;
 * column_of_row[i] is -1 for a row left over. Deterministic: among equal path
 * costs the lower index is taken. Costs that are not finite, or beyond 1e30,
 * are replaced in place by one that is larger than all others, so that they
 * are taken last; their number is returned. */
int64_t matching_assign(double *cost, int rows, int columns, int32_t *column_of_row, void *work);

#endif
