/* Training steps of the segmenter, timed for bench_segmenter.py: forward, matching, losses, backward, clipping, AdamW
 * on one image of random pixels and rectangles.
 *
 *     bench_segmenter small|r50 SIDE THREADS
 *
 * Each line on standard input is a number of steps to time; the answer is the fastest in milliseconds, the least
 * processor time of a step in milliseconds, and the peak of resident memory so far in MiB. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "framework/random.h"
#include "models/engine/optimizer.h"
#include "models/segmenter/segmenter.h"

enum { CLASSES = 119, SEGMENTS = 12 };

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static double processor_milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static void check(Status status)
{
    if (status == OK) return;
    fprintf(stderr, "%s\n", status_message(status));
    exit(1);
}

static SegmenterConfig published(void)
{
    SegmenterConfig c = segmenter_default(CLASSES);
    c.backbone = (BackboneConfig){.kind = BACKBONE_RESNET, .width = 64, .blocks = {3, 4, 6, 3}, .stem = 7, .bottleneck = true,
                                  .norm = BACKBONE_FROZEN_BATCH_NORM, .pixels = BACKBONE_PIXELS_IMAGENET,
                                  .lr_multiplier = 0.1};
    c.pixel_decoder = PIXEL_DECODER_DEFORMABLE;
    c.pixel_layers = 6;
    c.pixel_ffn = 1024;
    c.dim = 256;
    c.heads = 8;
    c.ffn = 2048;
    c.layers = 9;
    c.queries = 100;
    c.criterion.points = 12544;
    return c;
}

/* Rectangles on no segment: map values 1 .. SEGMENTS. */
static void draw(int side, float *image, uint16_t *map, TargetSegment *segments)
{
    Random random = random_stream(1, RANDOM_TEST, 0, 0);
    for (int i = 0; i < side * side * 3; i++) image[i] = (float)(2 * random_uniform(&random) - 1);
    memset(map, 0, (size_t)(side * side) * sizeof *map);
    for (int s = 0; s < SEGMENTS; s++) {
        segments[s] = (TargetSegment){.value = s + 1, .label = s * 7 % CLASSES};
        int top = s / 4 * side / 3, left = s % 4 * side / 4;
        for (int y = top; y < top + side / 4; y++)
            for (int x = left; x < left + side / 5; x++) map[y * side + x] = (uint16_t)(s + 1);
    }
}

int main(int argc, char **argv)
{
    bool small = argc > 1 && strcmp(argv[1], "small") == 0;
    int side = argc == 4 ? atoi(argv[2]) : 0, threads = argc == 4 ? atoi(argv[3]) : 0;
    if (side < 32 || threads < 1 || (!small && strcmp(argv[1], "r50") != 0)) return 2;
    backend_cpu_set_threads(threads);
    SegmenterConfig config = small ? segmenter_default(CLASSES) : published();
    Segmenter *segmenter;
    Optimizer *optimizer;
    check(segmenter_create(&config, backend_cpu(), DTYPE_F32, 1, &segmenter));
    Parameters *parameters = segmenter_parameters(segmenter);
    OptimizerConfig adamw = {.kind = OPTIMIZER_ADAMW, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.05};
    check(optimizer_create(adamw, parameters, &optimizer));
    float *image = malloc((size_t)(side * side * 3) * sizeof *image);
    uint16_t *map = malloc((size_t)(side * side) * sizeof *map);
    TargetSegment segments[SEGMENTS];
    if (image == NULL || map == NULL) return 1;
    draw(side, image, map, segments);
    SegmentTarget target = {.map = map, .height = side, .width = side, .segments = segments, .count = SEGMENTS};
    uint64_t step = 0;
    for (int count; scanf("%d", &count) == 1 && count > 0;) {
        double fastest = 1e300, least = 1e300;
        for (int i = step == 0 ? -1 : 0; i < count; i++) { /* the first step of all makes the graph */
            CriterionBatch batch = {.seed = 1, .step = step++};
            CriterionLosses losses;
            double norm, start = milliseconds(), busy = processor_milliseconds();
            criterion_count(&config.criterion, config.queries, SEGMENTS, &batch);
            parameters_zero_grad(parameters);
            check(segmenter_train_sample(segmenter, image, side, side, &target, &batch, &losses));
            check(optimizer_clip(parameters, 0.01, &norm));
            check(optimizer_step(optimizer, 1e-4));
            double taken = milliseconds() - start, used = processor_milliseconds() - busy;
            if (i >= 0 && taken < fastest) fastest = taken;
            if (i >= 0 && used < least) least = used;
        }
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        printf("%.3f %.3f %.1f\n", fastest, least, (double)usage.ru_maxrss / 1024);
        fflush(stdout);
    }
    optimizer_destroy(optimizer);
    segmenter_destroy(segmenter);
    free(image);
    free(map);
    return 0;
}
