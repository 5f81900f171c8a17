/* How much of the reduction of gradients over ranks is hidden behind the
 * backward pass. Under mpirun: training steps of the segmenter with the sum
 * started bucket by bucket during the last sample's backward pass, with all of
 * it at the end, and with none, in turn.
 *   bench_ranks [SIDE of the crop] [SAMPLES a rank] [ROUNDS] [WIDTH] [DIM] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "framework/memory.h"
#include "framework/random.h"
#include "framework/threads.h"
#include "models/engine/gradient_tree.h"
#include "models/segmenter/segmenter.h"

enum { DURING, AFTER, NONE, WAYS };

typedef struct Bench {
    Comm *comm;
    Segmenter *segmenter;
    GradientTree *tree;
    float *image;
    uint16_t *map;
    int64_t side;
} Bench;

static Status train_sample(Bench *bench)
{
    TargetSegment segment = {.value = 1, .label = 0};
    SegmentTarget target = {.map = bench->map, .height = bench->side, .width = bench->side, .segments = &segment, .count = 1};
    CriterionBatch batch = {.num_masks = 1, .ce_denominator = 10};
    CriterionLosses losses;
    parameters_zero_grad(segmenter_parameters(bench->segmenter));
    return segmenter_train_sample(bench->segmenter, bench->image, bench->side, bench->side, &target, &batch, &losses);
}

/* Seconds of one batch on the slowest rank, as this rank sees it, and of what was left when its last sample was done. */
static Status run_batch(Bench *bench, int way, double *seconds, double *tail)
{
    segmenter_set_gradient_hook(bench->segmenter, way == DURING ? gradient_tree_listen : NULL, bench->tree);
    TRY(comm_barrier(bench->comm));
    double before = thread_clock();
    gradient_tree_begin(bench->tree);
    for (int64_t i = 0; i < gradient_tree_count(bench->tree); i++) {
        TRY(train_sample(bench));
        *tail = thread_clock();
        if (way != NONE) gradient_tree_push(bench->tree);
    }
    if (way != NONE) TRY(gradient_tree_finish(bench->tree));
    TRY(comm_barrier(bench->comm));
    *seconds = thread_clock() - before;
    *tail = before + *seconds - *tail;
    return OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The lower quartile: other work on the machine only ever adds. */
static double typical(double *times, int rounds)
{
    qsort(times, (size_t)rounds, sizeof *times, by_value);
    return times[rounds / 4];
}

static Status measure(Bench *bench, int rounds)
{
    double *times[WAYS], *tails[WAYS], step[WAYS], tail[WAYS];
    for (int way = 0; way < WAYS; way++) {
        times[way] = memory_alloc((size_t)rounds * sizeof(double));
        tails[way] = memory_alloc((size_t)rounds * sizeof(double));
        if (times[way] == NULL || tails[way] == NULL) return status_no_memory(0, "times");
    }
    for (int round = -1; round < rounds; round++) /* the first warms up */
        for (int way = 0; way < WAYS; way++) {
            int at = round < 0 ? 0 : round;
            TRY(run_batch(bench, way, &times[way][at], &tails[way][at]));
        }
    for (int way = 0; way < WAYS; way++) {
        step[way] = typical(times[way], rounds);
        tail[way] = typical(tails[way], rounds);
        memory_free(times[way]);
        memory_free(tails[way]);
    }
    if (comm_rank(bench->comm) != 0) return OK;
    printf("%d ranks, %.1f million parameters, %d samples a rank: step without a sum %.1f ms, with it after the backward "
           "pass %.1f ms, during it %.1f ms\n", comm_size(bench->comm),
           (double)segmenter_parameters(bench->segmenter)->total / 1e6, (int)gradient_tree_count(bench->tree),
           step[NONE] * 1e3, step[AFTER] * 1e3, step[DURING] * 1e3);
    printf("left of the sum when the backward pass ends: %.2f ms of %.2f ms: %.0f %% of it are beside the pass\n",
           tail[DURING] * 1e3, tail[AFTER] * 1e3, 100 * (1 - tail[DURING] / tail[AFTER]));
    return OK;
}

static Status run(Bench *bench, int argc, char **argv)
{
    bench->side = argc > 1 ? atoll(argv[1]) : 128;
    int64_t samples = argc > 2 ? atoll(argv[2]) : 2;
    int rounds = argc > 3 ? atoi(argv[3]) : 21;
    SegmenterConfig config = segmenter_default(10);
    if (argc > 4) config.backbone.width = atoi(argv[4]);
    if (argc > 5) config.dim = config.mask_dim = atoi(argv[5]);
    TRY(segmenter_create(&config, backend_cpu(), DTYPE_F32, 1, &bench->segmenter));
    TRY(gradient_tree_create(segmenter_parameters(bench->segmenter), samples * comm_size(bench->comm), bench->comm,
                             &bench->tree));
    size_t pixels = (size_t)(bench->side * bench->side);
    bench->image = memory_alloc(pixels * 3 * sizeof(float));
    bench->map = memory_alloc(pixels * sizeof(uint16_t));
    if (bench->image == NULL || bench->map == NULL) return status_no_memory(pixels, "an image");
    Random random = random_stream(1, RANDOM_TEST, 0, 0);
    random_fill_normal(&random, bench->image, (int64_t)pixels * 3);
    for (size_t i = 0; i < pixels; i++) bench->map[i] = i % 3 == 0;
    return measure(bench, rounds);
}

int main(int argc, char **argv)
{
    Bench bench = {0};
    Status status = comm_create(&bench.comm);
    backend_cpu_set_threads(1);
    if (status == OK) status = run(&bench, argc, argv);
    int code = status_exit_code(status_code(status));
    if (status != OK) {
        fprintf(stderr, "%s\n", status_message(status));
        comm_abort(bench.comm, code);
    }
    memory_free(bench.image);
    memory_free(bench.map);
    gradient_tree_destroy(bench.tree);
    segmenter_destroy(bench.segmenter);
    comm_destroy(bench.comm);
    return code;
}
