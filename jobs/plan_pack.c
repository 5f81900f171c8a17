#include "jobs/plan_pack.h"

#include "framework/memory.h"

typedef struct Running {
    double end;
    uint32_t job;
} Running;

typedef struct Packing {
    const Plan *plan;
    const double *seconds;
    const HostResources *host;
    uint32_t *waits;        /* [jobs]: inputs that are to do */
    uint32_t *readers;      /* of job i: readers[first[i]] to readers[first[i + 1] - 1] */
    uint32_t *first;        /* [jobs + 1] */
    uint32_t *queue;        /* [jobs]: ready ones, a first-in-first-out stretch for each stage */
    size_t head[STAGE_COUNT], tail[STAGE_COUNT];
    Running *running;       /* a heap, the earliest end on top */
    size_t running_count;
    double now, memory;
    int cores, gpus, gpu_limit;
} Packing;

static bool is_needed(const Packing *packing, uint32_t job)
{
    return job != NO_JOB && packing->plan->jobs[job].need == JOB_NEEDED;
}

/* The heap --------------------------------------------------------------------- */

static void swap(Running *a, Running *b)
{
    Running kept = *a;
    *a = *b;
    *b = kept;
}

static void push(Packing *packing, Running item)
{
    Running *heap = packing->running;
    size_t i = packing->running_count++;
    heap[i] = item;
    for (; i > 0 && heap[i].end < heap[(i - 1) / 2].end; i = (i - 1) / 2) swap(&heap[i], &heap[(i - 1) / 2]);
}

static Running pop(Packing *packing)
{
    Running *heap = packing->running, top = heap[0];
    heap[0] = heap[--packing->running_count];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++)
            if (child < packing->running_count && heap[child].end < heap[least].end) least = child;
        if (least == i) return top;
        swap(&heap[i], &heap[least]);
        i = least;
    }
}

/* Setting up --------------------------------------------------------------------- */

static void link_jobs(Packing *packing)
{
    const Plan *plan = packing->plan;
    for (uint32_t i = 0; i < plan->count; i++)
        for (int input = 0; is_needed(packing, i) && input < STAGE_COUNT; input++) {
            uint32_t from = plan->jobs[i].inputs[input];
            if (!is_needed(packing, from)) continue;
            packing->waits[i]++;
            packing->first[from + 1]++;
        }
    for (size_t i = 0; i < plan->count; i++) packing->first[i + 1] += packing->first[i];
    /* Each stretch is filled from its end, after which its mark stands at its beginning. */
    for (size_t i = 0; i < plan->count; i++) packing->first[i] = packing->first[i + 1];
    for (size_t i = plan->count; i-- > 0;)
        for (int input = 0; is_needed(packing, (uint32_t)i) && input < STAGE_COUNT; input++) {
            uint32_t from = plan->jobs[i].inputs[input];
            if (is_needed(packing, from)) packing->readers[--packing->first[from]] = (uint32_t)i;
        }
}

static void make_ready(Packing *packing, uint32_t job)
{
    packing->queue[packing->tail[packing->plan->jobs[job].stage]++] = job;
}

static void fill_queues(Packing *packing)
{
    const Plan *plan = packing->plan;
    size_t begin = 0;
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        packing->head[stage] = packing->tail[stage] = begin;
        begin += plan->stage_needed[stage];
    }
    for (uint32_t i = 0; i < plan->count; i++) {
        if (!is_needed(packing, i)) continue;
        if (plan->jobs[i].resources.gpus > packing->gpu_limit) packing->gpu_limit = plan->jobs[i].resources.gpus;
        if (packing->waits[i] == 0) make_ready(packing, i);
    }
    if (packing->host->gpus >= 0) packing->gpu_limit = packing->host->gpus;
}

/* Running ------------------------------------------------------------------------- */

static bool fits(const Packing *packing, const JobResources *need)
{
    if (packing->running_count == 0) return true;
    if (packing->host->jobs > 0 && packing->running_count >= (size_t)packing->host->jobs) return false;
    return packing->cores + resources_cores(need) <= packing->host->cores &&
           packing->memory + need->memory <= packing->host->memory && packing->gpus + need->gpus <= packing->gpu_limit;
}

static void occupy(Packing *packing, const JobResources *need, int sign)
{
    packing->cores += sign * resources_cores(need);
    packing->gpus += sign * need->gpus;
    packing->memory += sign * need->memory;
}

static void start_ready(Packing *packing)
{
    for (int stage = STAGE_COUNT - 1; stage >= 0; stage--)
        while (packing->head[stage] < packing->tail[stage]) {
            uint32_t job = packing->queue[packing->head[stage]];
            const JobResources *need = &packing->plan->jobs[job].resources;
            if (!fits(packing, need)) break;
            packing->head[stage]++;
            occupy(packing, need, 1);
            push(packing, (Running){packing->now + packing->seconds[job], job});
        }
}

static void end_next(Packing *packing)
{
    Running ended = pop(packing);
    packing->now = ended.end;
    occupy(packing, &packing->plan->jobs[ended.job].resources, -1);
    for (uint32_t i = packing->first[ended.job]; i < packing->first[ended.job + 1]; i++)
        if (--packing->waits[packing->readers[i]] == 0) make_ready(packing, packing->readers[i]);
}

Status plan_pack(const Plan *plan, const double *seconds, const HostResources *host, double *end)
{
    size_t count = plan->count;
    Packing packing = {.plan = plan, .seconds = seconds, .host = host,
                       .waits = memory_alloc_zero(count + 1, sizeof *packing.waits),
                       .readers = memory_alloc_zero(count * STAGE_COUNT + 1, sizeof *packing.readers),
                       .first = memory_alloc_zero(count + 2, sizeof *packing.first),
                       .queue = memory_alloc_zero(count + 1, sizeof *packing.queue),
                       .running = memory_alloc_zero(count + 1, sizeof *packing.running)};
    Status status = OK;
    *end = 0;
    if (packing.waits == NULL || packing.readers == NULL || packing.first == NULL || packing.queue == NULL ||
        packing.running == NULL) {
        status = status_no_memory(count * sizeof *packing.queue, "an estimate");
    } else {
        link_jobs(&packing);
        fill_queues(&packing);
        start_ready(&packing);
        while (packing.running_count > 0) {
            end_next(&packing);
            start_ready(&packing);
        }
        *end = packing.now;
    }
    memory_free(packing.waits);
    memory_free(packing.readers);
    memory_free(packing.first);
    memory_free(packing.queue);
    memory_free(packing.running);
    return status;
}
