/* The published ResNets: torchvision's numbers from the same weights, its names and shapes, and their gradients. */
#include "framework/memory.h"
#include "models/segmenter/backbone.h"
#include "tests/models/segmenter/network_check.h"
#include "tests/models/segmenter/torchvision_resnet.h"

#define PREFIX "backbone."

static const BackboneConfig resnet18 = {.kind = BACKBONE_RESNET, .width = 64, .blocks = {2, 2, 2, 2}, .stem = 7,
                                        .norm = BACKBONE_FROZEN_BATCH_NORM, .lr_multiplier = 1};
static const BackboneConfig resnet50 = {.kind = BACKBONE_RESNET, .width = 64, .blocks = {3, 4, 6, 3}, .stem = 7,
                                        .bottleneck = true, .norm = BACKBONE_FROZEN_BATCH_NORM, .lr_multiplier = 1};

static void declare(Parameters *parameters, const void *context)
{
    backbone_add_parameters(parameters, PREFIX, context);
}

/* -- the formula of torchvision_resnet.py -- */

static double uniform(const char *name, int64_t i)
{
    uint64_t key = 0xCBF29CE484222325u;
    for (; *name != '\0'; name++) key = (key ^ (uint8_t)*name) * 0x100000001B3u;
    uint64_t z = key + (uint64_t)i + 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 40) / 16777216.0;
}

static bool ends_in(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

static void fill_parameter(const Parameter *p)
{
    const char *name = p->name + strlen(PREFIX);
    float *values = p->value;
    double bound = p->rank == 4 ? sqrt(3 / (double)(p->shape[1] * p->shape[2] * p->shape[3])) : 0;
    for (int64_t i = 0; i < p->count; i++) {
        double u = uniform(name, i);
        values[i] = (float)(p->rank == 4 ? (2 * u - 1) * bound
                            : ends_in(name, ".running_var") ? 0.5 + u
                            : ends_in(name, ".weight") ? 0.3 + 0.6 * u : 0.2 * (u - 0.5));
    }
}

static void fill_symmetric(const char *name, float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) values[i] = (float)(2 * uniform(name, i) - 1);
}

/* Relative distance of the kept elements, and of the norm of all. */
static void check_reference(const Reference *reference, const float *values, int64_t count, double tolerance)
{
    double norm = 0, difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) norm += (double)values[i] * (double)values[i];
    for (int i = 0; i < REFERENCE_SAMPLES; i++) {
        double ours = (double)values[i * (count - 1) / (REFERENCE_SAMPLES - 1)];
        difference += (ours - reference->values[i]) * (ours - reference->values[i]);
        size += reference->values[i] * reference->values[i];
    }
    if (!(sqrt(difference) <= tolerance * sqrt(size)))
        TEST_FAIL("%s: %.3g from torchvision's", reference->name, sqrt(difference / size));
    if (!(fabs(sqrt(norm) - reference->norm) <= tolerance * reference->norm))
        TEST_FAIL("%s: norm %.9g, torchvision's is %.9g", reference->name, sqrt(norm), reference->norm);
}

/* References: 4 outputs, then gradients. */
static void check_against_torchvision(const BackboneConfig *config, const Reference *references, int count)
{
    Parameters *parameters;
    Graph *g;
    Tensor *features[4];
    CHECK_OK(parameters_create(DTYPE_F32, &parameters));
    declare(parameters, config);
    CHECK_OK(parameters_allocate(parameters, 1));
    for (int i = 0; i < parameters->count; i++) fill_parameter(parameters->items[i]);
    CHECK_OK(graph_create(backend_cpu(), DTYPE_F32, &g));
    Tensor *image = graph_add_input(g, DTYPE_F32, 4, (int64_t[]){1, REFERENCE_HEIGHT, REFERENCE_WIDTH, 3}, false);
    backbone_build(g, parameters, PREFIX, config, image, features);
    for (int k = 0; k < 4; k++) graph_mark_output(features[k]);
    CHECK_OK(graph_compile(g, true));
    fill_symmetric("image", image->data, image->count);
    CHECK_OK(graph_forward(g));
    for (int k = 0; k < 4; k++) {
        char name[32];
        snprintf(name, sizeof name, "cotangent%d", k + 1);
        check_reference(&references[k], features[k]->data, features[k]->count, 1e-4);
        fill_symmetric(name, features[k]->grad, features[k]->count);
    }
    CHECK_OK(graph_backward(g));
    for (int i = 4; i < count; i++) {
        char name[96];
        snprintf(name, sizeof name, PREFIX "%s", references[i].name);
        const Parameter *p = parameters_find(parameters, name);
        CHECK(p != NULL && !p->frozen);
        check_reference(&references[i], p->grad, p->count, 1e-3);
    }
    graph_destroy(g);
    parameters_destroy(parameters);
}

static void test_resnet18(void)
{
    check_against_torchvision(&resnet18, resnet18_reference, sizeof resnet18_reference / sizeof resnet18_reference[0]);
}

static void test_resnet50(void)
{
    check_against_torchvision(&resnet50, resnet50_reference, sizeof resnet50_reference / sizeof resnet50_reference[0]);
}

static void check_parameters(const BackboneConfig *config, int64_t trained, int count)
{
    Parameters *parameters;
    CHECK_OK(parameters_create(DTYPE_F32, &parameters));
    declare(parameters, config);
    int64_t sum = 0;
    for (int i = 0; i < parameters->count; i++)
        if (!parameters->items[i]->frozen) sum += parameters->items[i]->count;
    CHECK_INT(sum, trained);
    CHECK_INT(parameters->count, count);
    parameters_destroy(parameters);
}

/* torchvision's parameters, without fc and norms: as many tensors and numbers. */
static void test_sizes(void)
{
    BackboneConfig resnet34 = resnet18, resnet101 = resnet50;
    memcpy(resnet34.blocks, (int[]){3, 4, 6, 3}, sizeof resnet34.blocks);
    memcpy(resnet101.blocks, (int[]){3, 4, 23, 3}, sizeof resnet101.blocks);
    check_parameters(&resnet18, 11689512 - 513000 - 9600, 5 * 20);
    check_parameters(&resnet34, 21797672 - 513000 - 17024, 5 * 36);
    check_parameters(&resnet50, 25557032 - 2049000 - 53120, 5 * 53);
    check_parameters(&resnet101, 44549160 - 2049000 - 105344, 5 * 104);
}

static const BackboneConfig tiny_frozen = {.kind = BACKBONE_RESNET, .width = 4, .blocks = {1, 1, 1, 1}, .stem = 7,
                                           .bottleneck = true, .norm = BACKBONE_FROZEN_BATCH_NORM,
                                           .pixels = BACKBONE_PIXELS_IMAGENET, .lr_multiplier = 1};
static const BackboneConfig tiny_group = {.kind = BACKBONE_RESNET, .width = 4, .blocks = {1, 1, 1, 1}, .stem = 7,
                                          .bottleneck = true, .lr_multiplier = 1};

static void build(Graph *g, Parameters *parameters, const void *context, Tensor **inputs, Tensor **outputs)
{
    inputs[0] = graph_add_input(g, graph_dtype(g), 4, (int64_t[]){1, 18, 23, 3}, true);
    backbone_build(g, parameters, PREFIX, context, inputs[0], outputs);
}

/* Frozen parameters have no gradient to compare, so the differences of the rest are taken by hand. */
static void test_frozen_differences(void)
{
    NetworkRun r = network_run(&(Network){declare, build, &tiny_frozen, 1, 4}, DTYPE_F64);
    for (int i = 0; i < r.parameters->count; i++) {
        const Parameter *p = r.parameters->items[i];
        double largest = network_largest(DTYPE_F64, p->grad, p->count);
        CHECK((largest == 0) == p->frozen);
        for (int64_t k = 0; !p->frozen && k < p->count; k += 1 + p->count / 2)
            network_difference(&r, p->name, (double *)p->value + k, ((double *)p->grad)[k], largest);
    }
    double largest = network_largest(DTYPE_F64, r.in[0]->grad, r.in[0]->count);
    for (int64_t k = 0; k < r.in[0]->count; k += 1 + r.in[0]->count / 5)
        network_difference(&r, "input", (double *)r.in[0]->data + k, ((double *)r.in[0]->grad)[k], largest);
    network_destroy(&r);
    network_check_forms(&(Network){declare, build, &tiny_frozen, 1, 4}, 1e-4, 1e-4);
}

static void test_group_differences(void)
{
    network_check_differences(&(Network){declare, build, &tiny_group, 1, 4}, 2);
}

/* A grey image at ImageNet's mean is 0 to the first convolution. */
static void test_imagenet_pixels(void)
{
    BackboneConfig config = tiny_frozen;
    Parameters *parameters;
    Graph *g;
    Tensor *features[4];
    CHECK_OK(parameters_create(DTYPE_F32, &parameters));
    declare(parameters, &config);
    CHECK_OK(parameters_allocate(parameters, 1));
    CHECK_OK(graph_create(backend_cpu(), DTYPE_F32, &g));
    Tensor *image = graph_add_input(g, DTYPE_F32, 4, (int64_t[]){1, 64, 64, 3}, false);
    backbone_build(g, parameters, PREFIX, &config, image, features);
    graph_mark_output(features[3]);
    CHECK_OK(graph_compile(g, false));
    const double mean[3] = {123.675, 116.28, 103.53};
    for (int64_t i = 0; i < image->count; i++) ((float *)image->data)[i] = (float)(mean[i % 3] / 127.5 - 1);
    CHECK_OK(graph_forward(g));
    CHECK(network_largest(DTYPE_F32, features[3]->data, features[3]->count) < 1e-5);
    ((float *)image->data)[0] = 1;
    CHECK_OK(graph_forward(g));
    CHECK(network_largest(DTYPE_F32, features[3]->data, features[3]->count) > 1e-4);
    graph_destroy(g);
    parameters_destroy(parameters);
}

TEST_MAIN(TEST(test_resnet18), TEST(test_resnet50), TEST(test_sizes), TEST(test_frozen_differences),
          TEST(test_group_differences), TEST(test_imagenet_pixels))
