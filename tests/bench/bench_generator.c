/* One generator step at published size, timed for bench_generator.py: each
 * line on standard input is a number of steps to time; the answer is the
 * fastest in milliseconds. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "framework/random.h"
#include "models/generator/generator.h"

enum { CLASSES = 133, UNSEEN = 14, VECTOR_DIM = 300, DIM = 256, ROWS = 96, WARM = 3 };

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static float *normals(int64_t count, uint64_t sample)
{
    float *values = malloc((size_t)count * sizeof *values);
    Random random = random_stream(1, RANDOM_TEST, 0, sample);
    if (values == NULL) exit(1);
    random_fill_normal(&random, values, count);
    return values;
}

static void check(Status status)
{
    if (status == OK) return;
    fprintf(stderr, "%s\n", status_message(status));
    exit(1);
}

int main(void)
{
    static int32_t unseen[UNSEEN], labels[ROWS];
    backend_cpu_set_threads(2);
    for (int i = 0; i < UNSEEN; i++) unseen[i] = CLASSES - UNSEEN + i;
    for (int i = 0; i < ROWS; i++) labels[i] = i * 7 % (CLASSES - UNSEEN);
    GeneratorConfig config = generator_config_default();
    config.classes = CLASSES;
    config.unseen = unseen;
    config.unseen_count = UNSEEN;
    config.vector_dim = VECTOR_DIM;
    config.embed_dim = DIM;
    config.rows = ROWS;
    config.classifier_rows = ROWS;
    float *vectors = normals(CLASSES * VECTOR_DIM, 1), *weight = normals((CLASSES + 1) * DIM, 2);
    float *bias = normals(CLASSES + 1, 3), *real = normals(ROWS * DIM, 4);
    Generator *generator;
    check(generator_create(backend_cpu(), &config, vectors, weight, bias, 1, &generator));
    uint64_t step = 0;
    for (int count; scanf("%d", &count) == 1 && count > 0;) {
        double fastest = 1e300;
        for (int i = -WARM; i < count; i++) {
            double start = milliseconds();
            check(generator_step(generator, real, labels, 1, step++, NULL));
            double taken = milliseconds() - start;
            if (i >= 0 && taken < fastest) fastest = taken;
        }
        printf("%.4f\n", fastest);
        fflush(stdout);
    }
    generator_destroy(generator);
    free(vectors);
    free(weight);
    free(bias);
    free(real);
    return 0;
}
