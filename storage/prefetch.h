/* Images read ahead of their use by threads, so that a training step does not
 * wait for files and decoders. What comes out, and in which order, is the
 * caller's choice alone: the number of threads changes no bit. */
#ifndef STORAGE_PREFETCH_H
#define STORAGE_PREFETCH_H

#include "storage/dataset.h"

/* The image of the n-th read. Called for every n once, in ascending order, by one thread at a time. */
typedef int64_t (*PrefetchOrder)(void *context, int64_t n);

typedef struct Prefetch Prefetch;
/* Reads n = first, first + 1, ... end - 1 of `order`, at most `depth` (>= 1) of them ahead. threads 0: nothing is read
 * ahead, and prefetch_next reads by itself. The data set and `context` outlive it. */
Status prefetch_create(Dataset *dataset, int threads, int depth, PrefetchOrder order, void *context, int64_t first,
                       int64_t end, Prefetch **prefetch);
/* The next image, the prefetch's until the next call; the caller may change its pixels. A failed read is reported in
 * its turn, and the next call goes on behind it. `*waited` grows by the seconds in which nothing could be done but
 * wait. STATUS_INTERNAL past the end. */
Status prefetch_next(Prefetch *prefetch, Sample **sample, double *waited);
/* Ends the threads, which finish the images they are at. NULL is fine. */
void prefetch_destroy(Prefetch *prefetch);

#endif
