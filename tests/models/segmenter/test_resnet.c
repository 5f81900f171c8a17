/* The published ResNets: torchvision's numbers from the same weights, its names and shapes, and their gradients. */
#include "framework/memory.h"
#include "models/segmenter/backbone.h"
#include "tests/models/segmenter/network_check.h"
#include "tests/models/segmenter/torchvision_formula.h"

#define PREFIX "backbone."

static const BackboneConfig resnet18 = {.kind = BACKBONE_RESNET, .width = 64, .blocks = {2, 2, 2, 2}, .stem = 7,
                                        .norm = BACKBONE_FROZEN_BATCH_NORM, .lr_multiplier = 1};
static const BackboneConfig resnet50 = {.kind = BACKBONE_RESNET, .width = 64, .blocks = {3, 4, 6, 3}, .stem = 7,
                                        .bottleneck = true, .norm = BACKBONE_FROZEN_BATCH_NORM, .lr_multiplier = 1};

static void declare(Parameters *parameters, const void *context)
{
    backbone_add_parameters(parameters, PREFIX, context);
}

static void fill_parameter(const Parameter *p)
{
    formula_fill(p->name + strlen(PREFIX), p->rank, p->shape, p->value);
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
    formula_fill_symmetric("image", image->data, image->count);
    CHECK_OK(graph_forward(g));
    for (int k = 0; k < 4; k++) {
        char name[32];
        snprintf(name, sizeof name, "cotangent%d", k + 1);
        reference_check(&references[k], features[k]->data, features[k]->count, 1e-4);
        formula_fill_symmetric(name, features[k]->grad, features[k]->count);
    }
    CHECK_OK(graph_backward(g));
    for (int i = 4; i < count; i++) {
        char name[96];
        snprintf(name, sizeof name, PREFIX "%s", references[i].name);
        const Parameter *p = parameters_find(parameters, name);
        CHECK(p != NULL && !p->frozen);
        reference_check(&references[i], p->grad, p->count, 1e-3);
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
