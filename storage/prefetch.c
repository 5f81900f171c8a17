#include "storage/prefetch.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <time.h>

#include "framework/memory.h"

enum { MAX_THREADS = 256 };

/* The n-th read lies in slot n % depth, from when a thread takes it on until the caller asks for the one after. */
typedef struct Slot {
    Sample sample;
    Status status;
    bool ready;
} Slot;

struct Prefetch {
    Dataset *dataset;
    PrefetchOrder order;
    void *context;
    int64_t end;
    int depth;
    Slot *slots;              /* [depth] */
    pthread_t threads[MAX_THREADS];
    int thread_count;
    pthread_mutex_t lock;
    pthread_cond_t changed;   /* a slot is ready, or free, or it is the end */
    int64_t claimed;          /* the first read that no thread has taken on */
    int64_t next;             /* the read that the caller gets next; next - 1 is still its */
    bool held;                /* whether the caller has a sample */
    bool stopping;
};

/* Whether there is a read to take on, and a slot for it. The caller's own sample keeps its slot. */
static bool can_claim(const Prefetch *prefetch)
{
    const int64_t oldest = prefetch->next - (prefetch->held ? 1 : 0);
    return prefetch->claimed < prefetch->end && prefetch->claimed < oldest + prefetch->depth;
}

static void *read_ahead(void *argument)
{
    Prefetch *prefetch = argument;
    pthread_mutex_lock(&prefetch->lock);
    while (!prefetch->stopping) {
        if (!can_claim(prefetch)) {
            pthread_cond_wait(&prefetch->changed, &prefetch->lock);
            continue;
        }
        const int64_t n = prefetch->claimed++;
        const int64_t index = prefetch->order(prefetch->context, n);
        Slot *slot = &prefetch->slots[n % prefetch->depth];
        pthread_mutex_unlock(&prefetch->lock);
        Status status = dataset_read(prefetch->dataset, index, &slot->sample);
        pthread_mutex_lock(&prefetch->lock);
        slot->status = status;
        slot->ready = true;
        pthread_cond_broadcast(&prefetch->changed);
    }
    pthread_mutex_unlock(&prefetch->lock);
    return NULL;
}

static Status start_threads(Prefetch *prefetch, int threads)
{
    for (; prefetch->thread_count < threads; prefetch->thread_count++) {
        int error = pthread_create(&prefetch->threads[prefetch->thread_count], NULL, read_ahead, prefetch);
        if (error != 0) return status_errno(error, "start", "a reader thread");
    }
    return OK;
}

Status prefetch_create(Dataset *dataset, int threads, int depth, PrefetchOrder order, void *context, int64_t first,
                       int64_t end, Prefetch **out)
{
    *out = NULL;
    if (threads < 0 || threads > MAX_THREADS || depth < 1)
        return status_error(STATUS_INVALID, "%d reader threads, %d images ahead: 0 to %d and at least 1", threads, depth,
                            MAX_THREADS);
    Prefetch *prefetch = memory_alloc_zero(1, sizeof *prefetch);
    if (prefetch == NULL) return status_no_memory(sizeof *prefetch, "reading ahead");
    pthread_mutex_init(&prefetch->lock, NULL);
    pthread_cond_init(&prefetch->changed, NULL);
    prefetch->dataset = dataset;
    prefetch->order = order;
    prefetch->context = context;
    prefetch->end = end;
    prefetch->claimed = prefetch->next = first;
    prefetch->depth = threads == 0 ? 1 : depth + 1; /* one more for the image that the caller has */
    prefetch->slots = memory_alloc_zero((size_t)prefetch->depth, sizeof *prefetch->slots);
    Status status = prefetch->slots == NULL ? status_no_memory((size_t)depth * sizeof *prefetch->slots, "reading ahead")
                                            : start_threads(prefetch, threads);
    if (status == OK) *out = prefetch;
    else prefetch_destroy(prefetch);
    return status;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Without threads: the caller reads. */
static Status read_now(Prefetch *prefetch, Sample **sample)
{
    const int64_t n = prefetch->next++;
    *sample = &prefetch->slots[0].sample;
    return dataset_read(prefetch->dataset, prefetch->order(prefetch->context, n), *sample);
}

/* The lock is held. */
static Status take_slot(Prefetch *prefetch, Sample **sample)
{
    Slot *slot = &prefetch->slots[prefetch->next % prefetch->depth];
    while (!slot->ready) pthread_cond_wait(&prefetch->changed, &prefetch->lock);
    Status status = slot->status;
    slot->status = OK;
    slot->ready = false;
    *sample = &slot->sample;
    prefetch->next++;
    prefetch->held = true;
    return status;
}

Status prefetch_next(Prefetch *prefetch, Sample **sample, double *waited)
{
    const double start = now();
    if (prefetch->next >= prefetch->end)
        return status_error(STATUS_INTERNAL, "read %" PRId64 " asked for, of %" PRId64, prefetch->next, prefetch->end);
    Status status;
    if (prefetch->thread_count == 0) {
        status = read_now(prefetch, sample);
    } else {
        pthread_mutex_lock(&prefetch->lock);
        prefetch->held = false; /* the last one's slot is free */
        pthread_cond_broadcast(&prefetch->changed);
        status = take_slot(prefetch, sample);
        pthread_mutex_unlock(&prefetch->lock);
    }
    *waited += now() - start;
    return status;
}

void prefetch_destroy(Prefetch *prefetch)
{
    if (prefetch == NULL) return;
    pthread_mutex_lock(&prefetch->lock);
    prefetch->stopping = true;
    pthread_cond_broadcast(&prefetch->changed);
    pthread_mutex_unlock(&prefetch->lock);
    for (int i = 0; i < prefetch->thread_count; i++) pthread_join(prefetch->threads[i], NULL);
    for (int i = 0; prefetch->slots != NULL && i < prefetch->depth; i++) {
        sample_clear(&prefetch->slots[i].sample);
        status_free(prefetch->slots[i].status);
    }
    pthread_mutex_destroy(&prefetch->lock);
    pthread_cond_destroy(&prefetch->changed);
    memory_free(prefetch->slots);
    memory_free(prefetch);
}
