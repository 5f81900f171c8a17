/* Checks of an op, or of any few, given how to build it:
 *
 *     static Tensor *build_linear(Graph *g, Tensor *const *in, const void *context)
 *     { return graph_add_linear(g, in[0], in[1], in[2]); }
 *
 *     static void test_linear(void)
 *     {
 *         check_op(build_linear, NULL, (CheckInput[]){REAL_INPUT(3, 5), REAL_INPUT(4, 5), REAL_INPUT(4)}, 3);
 *         check_forms(build_linear, NULL, (CheckInput[]){REAL_INPUT(96, 256), ...}, 3, 1e-5);
 *     }
 *
 * check_op, in float64: analytic gradients, under a random cotangent of the
 * output, against central differences, for every element of every real input
 * (of large ones, a sample); gradients added to what is there already; the
 * same bits with and without shared memory, and without training.
 * check_forms: float32 against float64, output and gradients; and that bits
 * do not change from run to run. check_thread_bits: nor with the number of threads.
 * A failure ends the test. */
#ifndef TESTS_MODELS_ENGINE_GRADIENT_CHECK_H
#define TESTS_MODELS_ENGINE_GRADIENT_CHECK_H

#include "framework/random.h"
#include "models/engine/graph_private.h"
#include "models/engine/ops.h"
#include "tests/test.h"

typedef struct CheckInput {
    int rank;
    int64_t shape[TENSOR_MAX_RANK];
    Dtype dtype;          /* DTYPE_F32: real, of the graph's dtype; DTYPE_I32; DTYPE_U8 */
    bool fixed;           /* no gradient is wanted */
    double low, high;     /* draws are uniform in [low, high), whole numbers for I32 and U8; both 0: [-1, 1) */
    const double *values; /* instead of draws */
} CheckInput;

#define CHECK_RANK(...) ((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))
#define REAL_INPUT(...) {.rank = CHECK_RANK(__VA_ARGS__), .shape = {__VA_ARGS__}}
#define FIXED_INPUT(...) {.rank = CHECK_RANK(__VA_ARGS__), .shape = {__VA_ARGS__}, .fixed = true}
#define RANGE_INPUT(from, to, ...) {.rank = CHECK_RANK(__VA_ARGS__), .shape = {__VA_ARGS__}, .low = (from), .high = (to)}
#define INDEX_INPUT(bound, ...) \
    {.rank = CHECK_RANK(__VA_ARGS__), .shape = {__VA_ARGS__}, .dtype = DTYPE_I32, .high = (bound)}
#define MASK_INPUT(...) {.rank = CHECK_RANK(__VA_ARGS__), .shape = {__VA_ARGS__}, .dtype = DTYPE_U8, .high = 2}

typedef Tensor *(*CheckBuild)(Graph *g, Tensor *const *in, const void *context);

enum { CHECK_MAX_INPUTS = 12, CHECK_SAMPLE = 400 };

/* One compiled graph of the op. With `through`, each real input passes an op
 * that copies it, whose output the caller seeds: so its gradient adds. */
typedef struct CheckGraph {
    Graph *g;
    Tensor *in[CHECK_MAX_INPUTS], *copy[CHECK_MAX_INPUTS], *out;
    int count;
} CheckGraph;

typedef struct CheckMode { Dtype dtype; bool through, training, no_sharing; } CheckMode;

static double check_read(const Tensor *t, const void *data, int64_t i)
{
    switch (t->dtype) {
    case DTYPE_F32: return (double)((const float *)data)[i];
    case DTYPE_F64: return ((const double *)data)[i];
    case DTYPE_I32: return (double)((const int32_t *)data)[i];
    default: return (double)((const uint8_t *)data)[i];
    }
}

static void check_write(const Tensor *t, void *data, int64_t i, double value)
{
    switch (t->dtype) {
    case DTYPE_F32: ((float *)data)[i] = (float)value; break;
    case DTYPE_F64: ((double *)data)[i] = value; break;
    case DTYPE_I32: ((int32_t *)data)[i] = (int32_t)value; break;
    default: ((uint8_t *)data)[i] = (uint8_t)value; break;
    }
}

/* Every draw passes float32, so that both forms see the same numbers. */
static void check_fill(const Tensor *t, const CheckInput *input, uint64_t stream)
{
    Random random = random_stream(7, RANDOM_TEST, stream, 0);
    double low = input->low, high = input->high;
    if (low == 0 && high == 0) low = -1, high = 1;
    for (int64_t i = 0; i < t->count; i++) {
        double value = low + (high - low) * random_uniform(&random);
        if (input->dtype != DTYPE_F32) value = floor(value);
        if (input->values != NULL) value = input->values[i];
        check_write(t, t->data, i, input->dtype == DTYPE_F32 ? (double)(float)value : value);
    }
}

static void check_fill_cotangent(const Tensor *t, uint64_t stream)
{
    Random random = random_stream(8, RANDOM_TEST, stream, 0);
    for (int64_t i = 0; i < t->count; i++) check_write(t, t->grad, i, (double)(2 * random_uniform_f32(&random) - 1));
}

static CheckGraph check_graph(CheckBuild build, const void *context, const CheckInput *inputs, int count, CheckMode mode)
{
    CheckGraph c = {.count = count};
    Tensor *given[CHECK_MAX_INPUTS] = {0};
    CHECK(count <= CHECK_MAX_INPUTS);
    CHECK_OK(graph_create(backend_cpu(), mode.dtype, &c.g));
    c.g->no_sharing = mode.no_sharing;
    for (int k = 0; k < count; k++) {
        bool real = inputs[k].dtype == DTYPE_F32;
        c.in[k] = graph_add_input(c.g, real ? mode.dtype : inputs[k].dtype, inputs[k].rank, inputs[k].shape,
                                  real && !inputs[k].fixed && mode.training);
        given[k] = c.in[k];
        if (real && !inputs[k].fixed && mode.through) given[k] = c.copy[k] = graph_mark_output(graph_add_scale(c.g, c.in[k], 1));
    }
    c.out = graph_mark_output(build(c.g, given, context));
    CHECK_OK(graph_compile(c.g, mode.training));
    CHECK(c.out != NULL);
    graph_set_random(c.g, 11, 12, 13);
    for (int k = 0; k < count; k++) check_fill(c.in[k], &inputs[k], (uint64_t)k);
    return c;
}

static void check_run(CheckGraph *c)
{
    CHECK_OK(graph_forward(c->g));
    graph_zero_output_grads(c->g);
    if (c->out->grad != NULL) check_fill_cotangent(c->out, 100);
    for (int k = 0; k < c->count; k++) {
        if (c->copy[k] != NULL && c->copy[k]->grad != NULL) check_fill_cotangent(c->copy[k], 200 + (uint64_t)k);
    }
    CHECK_OK(graph_backward(c->g));
}

/* The output under the cotangent. */
static double check_value(CheckGraph *c, const double *cotangent)
{
    CHECK_OK(graph_forward(c->g));
    double sum = 0;
    for (int64_t i = 0; i < c->out->count; i++) sum += cotangent[i] * check_read(c->out, c->out->data, i);
    return sum;
}

static double check_largest(const Tensor *t, const void *data)
{
    double largest = 0;
    for (int64_t i = 0; i < t->count; i++) largest = fmax(largest, fabs(check_read(t, data, i)));
    return largest;
}

/* Central differences. The step leaves an error of about 1e-10 of the value. */
static void check_differences(CheckGraph *c, const double *cotangent)
{
    const double step = 1e-6;
    double size = fmax(1, fabs(check_value(c, cotangent)));
    for (int k = 0; k < c->count; k++) {
        Tensor *t = c->in[k];
        if (t->grad == NULL) continue;
        double largest = check_largest(t, t->grad);
        int64_t stride = t->count > CHECK_SAMPLE ? t->count / CHECK_SAMPLE : 1;
        for (int64_t i = 0; i < t->count; i += stride) {
            double at = check_read(t, t->data, i);
            check_write(t, t->data, i, at + step);
            double above = check_value(c, cotangent);
            check_write(t, t->data, i, at - step);
            double below = check_value(c, cotangent);
            check_write(t, t->data, i, at);
            double expected = (above - below) / (2 * step), got = check_read(t, t->grad, i);
            if (!(fabs(got - expected) <= 1e-6 * largest + 2e-9 * size))
                TEST_FAIL("input %d, element %lld: gradient %.12g, by differences %.12g (largest %.3g)", k, (long long)i, got,
                          expected, largest);
        }
    }
}

/* b adds the seeds of its copies to what a has, up to rounding. */
static void check_added(const CheckGraph *a, const CheckGraph *b)
{
    for (int k = 0; k < a->count; k++) {
        if (a->in[k]->grad == NULL || b->copy[k] == NULL) continue;
        Random random = random_stream(8, RANDOM_TEST, 200 + (uint64_t)k, 0);
        double largest = fmax(1, check_largest(a->in[k], a->in[k]->grad));
        for (int64_t i = 0; i < a->in[k]->count; i++) {
            double seed = (double)(2 * random_uniform_f32(&random) - 1);
            double expected = check_read(a->in[k], a->in[k]->grad, i) + seed, got = check_read(b->in[k], b->in[k]->grad, i);
            if (!(fabs(got - expected) <= 1e-11 * largest))
                TEST_FAIL("input %d, element %lld: gradient added to a seed %.12g, not %.12g", k, (long long)i, got, expected);
        }
    }
}

static void check_same_bits(const CheckGraph *a, const CheckGraph *b, const char *what)
{
    size_t size = (size_t)dtype_size(a->out->dtype);
    if (memcmp(a->out->data, b->out->data, (size_t)a->out->count * size) != 0) TEST_FAIL("the output differs %s", what);
    for (int k = 0; k < a->count; k++) {
        if (a->in[k]->grad == NULL || b->in[k]->grad == NULL) continue;
        if (memcmp(a->in[k]->grad, b->in[k]->grad, (size_t)a->in[k]->count * size) != 0)
            TEST_FAIL("the gradient of input %d differs %s", k, what);
    }
}

static void check_op(CheckBuild build, const void *context, const CheckInput *inputs, int count)
{
    CheckGraph plain = check_graph(build, context, inputs, count, (CheckMode){DTYPE_F64, false, true, false});
    check_run(&plain);
    if (plain.out->grad != NULL) {
        double *cotangent = malloc((size_t)plain.out->count * sizeof *cotangent);
        CHECK(cotangent != NULL);
        check_fill_cotangent(plain.out, 100); /* backward may have used the place */
        for (int64_t i = 0; i < plain.out->count; i++) cotangent[i] = check_read(plain.out, plain.out->grad, i);
        check_differences(&plain, cotangent);
        free(cotangent);
    }
    check_run(&plain);
    /* A dropout's draws depend on its place among the ops, and it does nothing without training. */
    const Op *only = plain.g->op_count == 0 ? NULL : plain.g->ops[0];
    bool drops = only != NULL && (only->kind == OP_DROPOUT || (only->kind == OP_ATTENTION && only->attr.r[0] > 0));
    if (!drops) {
        CheckGraph through = check_graph(build, context, inputs, count, (CheckMode){DTYPE_F64, true, true, false});
        check_run(&through);
        check_added(&plain, &through);
        graph_destroy(through.g);
    }
    CheckGraph apart = check_graph(build, context, inputs, count, (CheckMode){DTYPE_F64, false, true, true});
    check_run(&apart);
    check_same_bits(&plain, &apart, "without shared memory");
    if (!drops) {
        CheckGraph inference = check_graph(build, context, inputs, count, (CheckMode){DTYPE_F64, false, false, false});
        CHECK_OK(graph_forward(inference.g));
        check_same_bits(&plain, &inference, "without training");
        graph_destroy(inference.g);
    }
    graph_destroy(plain.g);
    graph_destroy(apart.g);
}

/* |a - b| / |b| over all elements, 0 where both are 0. */
static double check_distance(const Tensor *t, const void *data, const Tensor *u, const void *reference)
{
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < t->count; i++) {
        double a = check_read(t, data, i), b = check_read(u, reference, i);
        difference += (a - b) * (a - b);
        norm += b * b;
    }
    return difference == 0 ? 0 : sqrt(difference / norm);
}

/* float32 by 1, 2 and 3 threads: the same bits. For ops of own loops, with
 * inputs large enough for threads to be used. */
static __attribute__((unused)) void check_thread_bits(CheckBuild build, const void *context, const CheckInput *inputs, int count)
{
    CheckMode mode = {DTYPE_F32, false, true, false};
    CheckGraph one = check_graph(build, context, inputs, count, mode);
    check_run(&one);
    for (int threads = 2; threads <= 3; threads++) {
        backend_cpu_set_threads(threads);
        CheckGraph more = check_graph(build, context, inputs, count, mode);
        check_run(&more);
        backend_cpu_set_threads(1);
        check_same_bits(&one, &more, "with more threads");
        graph_destroy(more.g);
    }
    graph_destroy(one.g);
}

static void check_forms(CheckBuild build, const void *context, const CheckInput *inputs, int count, double tolerance)
{
    CheckGraph narrow = check_graph(build, context, inputs, count, (CheckMode){DTYPE_F32, false, true, false});
    CheckGraph again = check_graph(build, context, inputs, count, (CheckMode){DTYPE_F32, false, true, true});
    CheckGraph wide = check_graph(build, context, inputs, count, (CheckMode){DTYPE_F64, false, true, false});
    check_run(&narrow);
    check_run(&again);
    check_run(&wide);
    double distance = check_distance(narrow.out, narrow.out->data, wide.out, wide.out->data);
    if (!(distance <= tolerance)) TEST_FAIL("float32 output is %.3g from float64's", distance);
    for (int k = 0; k < count; k++) {
        if (narrow.in[k]->grad == NULL) continue;
        distance = check_distance(narrow.in[k], narrow.in[k]->grad, wide.in[k], wide.in[k]->grad);
        if (!(distance <= tolerance)) TEST_FAIL("float32 gradient of input %d is %.3g from float64's", k, distance);
    }
    check_same_bits(&narrow, &again, "in float32 without shared memory");
    check_run(&narrow);
    check_same_bits(&narrow, &again, "in a second run");
    graph_destroy(narrow.g);
    graph_destroy(again.g);
    graph_destroy(wide.g);
}

#endif
