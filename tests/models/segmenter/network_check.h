/* Checks of a whole network: float64 gradients of parameters and input against central differences, and float32
 * against float64. */
#ifndef TESTS_MODELS_SEGMENTER_NETWORK_CHECK_H
#define TESTS_MODELS_SEGMENTER_NETWORK_CHECK_H

#include "framework/random.h"
#include "models/engine/graph.h"
#include "tests/test.h"

enum { NETWORK_OUTPUTS = 4, NETWORK_INPUTS = 4 };

typedef struct Network {
    void (*declare)(Parameters *parameters, const void *context);
    /* Adds its inputs (of the graph's dtype, with gradients), builds, and names its outputs. */
    void (*build)(Graph *g, Parameters *parameters, const void *context, Tensor **inputs, Tensor **outputs);
    const void *context;
    int inputs, outputs;
} Network;

typedef struct NetworkRun {
    Parameters *parameters;
    Graph *g;
    Tensor *in[NETWORK_INPUTS], *out[NETWORK_OUTPUTS];
    const Network *network;
} NetworkRun;

static double network_read(Dtype dtype, const void *data, int64_t i)
{
    return dtype == DTYPE_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

/* Through float32, so that both forms start from the same numbers. */
static void network_write(Dtype dtype, void *data, int64_t i, double value)
{
    if (dtype == DTYPE_F64) ((double *)data)[i] = (double)(float)value;
    else ((float *)data)[i] = (float)value;
}

static void network_draw(Dtype dtype, void *data, int64_t count, uint64_t stream, double keep)
{
    Random random = random_stream(5, RANDOM_TEST, stream, 0);
    for (int64_t i = 0; i < count; i++) {
        double old = keep == 0 ? 0 : keep * network_read(dtype, data, i);
        network_write(dtype, data, i, old + (keep == 0 ? 1 : 0.1) * (2 * random_uniform(&random) - 1));
    }
}

/* Runs forward and backward from random inputs and cotangents. Parameters are moved off their first values, of
 * which many are 0 and would hide mistakes. */
static NetworkRun network_run(const Network *network, Dtype dtype)
{
    NetworkRun r = {.network = network};
    CHECK_OK(parameters_create(dtype, &r.parameters));
    network->declare(r.parameters, network->context);
    CHECK_OK(parameters_allocate(r.parameters, 3));
    for (int i = 0; i < r.parameters->count; i++) {
        const Parameter *p = r.parameters->items[i];
        network_draw(dtype, p->value, p->count, 1000 + (uint64_t)i, 1);
    }
    CHECK_OK(graph_create(backend_cpu(), dtype, &r.g));
    network->build(r.g, r.parameters, network->context, r.in, r.out);
    for (int i = 0; i < network->outputs; i++) graph_mark_output(r.out[i]);
    CHECK_OK(graph_compile(r.g, true));
    for (int i = 0; i < network->inputs; i++) network_draw(dtype, r.in[i]->data, r.in[i]->count, (uint64_t)i, 0);
    CHECK_OK(graph_forward(r.g));
    for (int i = 0; i < network->outputs; i++) network_draw(dtype, r.out[i]->grad, r.out[i]->count, 100 + (uint64_t)i, 0);
    CHECK_OK(graph_backward(r.g));
    return r;
}

static void network_destroy(NetworkRun *r)
{
    graph_destroy(r->g);
    parameters_destroy(r->parameters);
}

/* Sum of outputs times the cotangents that network_run draws. */
static double network_value(NetworkRun *r)
{
    double sum = 0;
    CHECK_OK(graph_forward(r->g));
    for (int i = 0; i < r->network->outputs; i++) {
        Random random = random_stream(5, RANDOM_TEST, 100 + (uint64_t)i, 0);
        for (int64_t k = 0; k < r->out[i]->count; k++)
            sum += ((const double *)r->out[i]->data)[k] * (double)(float)(2 * random_uniform(&random) - 1);
    }
    return sum;
}

static void network_difference(NetworkRun *r, const char *name, double *value, double got, double largest)
{
    const double step = 1e-6, at = *value;
    *value = at + step;
    double above = network_value(r);
    *value = at - step;
    double below = network_value(r);
    *value = at;
    double expected = (above - below) / (2 * step);
    if (!(fabs(got - expected) <= 1e-4 * largest + 1e-6))
        TEST_FAIL("%s: gradient %.9g, by differences %.9g (largest %.3g)", name, got, expected, largest);
}

static double network_largest(Dtype dtype, const void *data, int64_t count)
{
    double largest = 0;
    for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs(network_read(dtype, data, i)));
    return largest;
}

/* `samples` elements of every parameter and input. */
static void network_check_differences(const Network *network, int64_t samples)
{
    NetworkRun r = network_run(network, DTYPE_F64);
    for (int i = 0; i < r.parameters->count; i++) {
        const Parameter *p = r.parameters->items[i];
        double largest = network_largest(DTYPE_F64, p->grad, p->count);
        for (int64_t k = 0; k < p->count; k += 1 + p->count / samples)
            network_difference(&r, p->name, (double *)p->value + k, ((double *)p->grad)[k], largest);
    }
    for (int i = 0; i < network->inputs; i++) {
        double largest = network_largest(DTYPE_F64, r.in[i]->grad, r.in[i]->count);
        for (int64_t k = 0; k < r.in[i]->count; k += 1 + r.in[i]->count / samples)
            network_difference(&r, "input", (double *)r.in[i]->data + k, ((double *)r.in[i]->grad)[k], largest);
    }
    network_destroy(&r);
}

static void network_compare(const char *name, const void *narrow, const void *wide, int64_t count, double tolerance,
                            double least)
{
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        double a = network_read(DTYPE_F32, narrow, i), b = network_read(DTYPE_F64, wide, i);
        difference += (a - b) * (a - b);
        norm += b * b;
    }
    if (!(sqrt(difference) <= tolerance * sqrt(norm) + least))
        TEST_FAIL("%s: float32 is %.3g from float64's %.3g", name, sqrt(difference), sqrt(norm));
}

/* `least`: a distance that is always fine, for gradients that are zero but for rounding. */
static void network_check_forms(const Network *network, double tolerance, double least)
{
    NetworkRun narrow = network_run(network, DTYPE_F32), wide = network_run(network, DTYPE_F64);
    for (int i = 0; i < network->outputs; i++)
        network_compare("output", narrow.out[i]->data, wide.out[i]->data, wide.out[i]->count, tolerance, 0);
    for (int i = 0; i < wide.parameters->count; i++) {
        const Parameter *p = wide.parameters->items[i];
        network_compare(p->name, narrow.parameters->items[i]->grad, p->grad, p->count, tolerance, least);
    }
    for (int i = 0; i < network->inputs; i++)
        network_compare("input", narrow.in[i]->grad, wide.in[i]->grad, wide.in[i]->count, tolerance, least);
    network_destroy(&narrow);
    network_destroy(&wide);
}

#endif
