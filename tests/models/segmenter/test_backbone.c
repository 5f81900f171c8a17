#include "models/segmenter/backbone.h"

#include "tests/models/segmenter/network_check.h"

static void declare(Parameters *parameters, const void *context)
{
    backbone_add_parameters(parameters, "backbone.", context);
}

static void build_sized(Graph *g, Parameters *parameters, const BackboneConfig *config, int64_t height, int64_t width,
                        Tensor **inputs, Tensor **outputs)
{
    inputs[0] = graph_add_input(g, graph_dtype(g), 4, (int64_t[]){1, height, width, 3}, true);
    backbone_build(g, parameters, "backbone.", config, inputs[0], outputs);
}

static void build(Graph *g, Parameters *parameters, const void *context, Tensor **inputs, Tensor **outputs)
{
    build_sized(g, parameters, context, 34, 41, inputs, outputs);
}

static const BackboneConfig resnet = {.kind = BACKBONE_RESNET, .width = 8, .blocks = {1, 2, 1, 1}, .stem = 3,
                                      .lr_multiplier = 1};
static const BackboneConfig symmetric = {.kind = BACKBONE_MOBILENET_V2, .padding = BACKBONE_PADDING_SYMMETRIC,
                                         .lr_multiplier = 0.1};
static const BackboneConfig mobilenet = {.kind = BACKBONE_MOBILENET_V2, .lr_multiplier = 0.1};

static void test_resnet_differences(void)
{
    network_check_differences(&(Network){declare, build, &resnet, 1, 4}, 3);
}

static void test_forms(void)
{
    network_check_forms(&(Network){declare, build, &resnet, 1, 4}, 1e-4, 1e-4);
    network_check_forms(&(Network){declare, build, &mobilenet, 1, 4}, 1e-4, 1e-4);
    network_check_forms(&(Network){declare, build, &symmetric, 1, 4}, 1e-4, 1e-4);
}

static void check_sizes(const BackboneConfig *config, int64_t height, int64_t width)
{
    Parameters *parameters;
    Graph *g;
    Tensor *image, *features[4];
    int64_t channels[4];
    CHECK_OK(parameters_create(DTYPE_F32, &parameters));
    declare(parameters, config);
    CHECK_OK(parameters_allocate(parameters, 1));
    CHECK_OK(graph_create(backend_cpu(), DTYPE_F32, &g));
    build_sized(g, parameters, config, height, width, &image, features);
    graph_mark_output(features[3]);
    CHECK_OK(graph_compile(g, false));
    backbone_channels(config, channels);
    for (int64_t k = 0, stride = 4; k < 4; k++, stride *= 2) {
        CHECK_INT(features[k]->shape[1], (height + stride - 1) / stride);
        CHECK_INT(features[k]->shape[2], (width + stride - 1) / stride);
        CHECK_INT(features[k]->shape[3], channels[k]);
    }
    graph_destroy(g);
    parameters_destroy(parameters);
}

static void test_sizes(void)
{
    static const int64_t sizes[][2] = {{64, 96}, {100, 70}, {33, 31}, {5, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        check_sizes(&resnet, sizes[i][0], sizes[i][1]);
        check_sizes(&mobilenet, sizes[i][0], sizes[i][1]);
        check_sizes(&symmetric, sizes[i][0], sizes[i][1]);
    }
}

static void check_shape(const Parameters *parameters, const char *name, int64_t a, int64_t b, int64_t c)
{
    const Parameter *p = parameters_find(parameters, name);
    if (p == NULL) TEST_FAIL("no parameter %s", name);
    CHECK_INT(p->shape[0], a);
    CHECK_INT(p->shape[1], b);
    CHECK_INT(p->shape[2], c);
}

static void test_names(void)
{
    Parameters *parameters;
    CHECK_OK(parameters_create(DTYPE_F32, &parameters));
    declare(parameters, &mobilenet);
    CHECK_INT(parameters->count, 2 * 51);
    check_shape(parameters, "backbone.features.0.0.weight", 32, 3, 3);
    check_shape(parameters, "backbone.features.1.conv.0.0.weight", 32, 1, 3);
    check_shape(parameters, "backbone.features.1.conv.1.weight", 16, 32, 1);
    check_shape(parameters, "backbone.features.2.conv.0.0.weight", 96, 16, 1);
    check_shape(parameters, "backbone.features.13.conv.1.0.weight", 576, 1, 3);
    check_shape(parameters, "backbone.features.17.conv.2.weight", 320, 960, 1);
    CHECK(parameters_find(parameters, "backbone.features.17.conv.2.bias") != NULL);
    for (int i = 0; i < parameters->count; i++) CHECK_NEAR(parameters->items[i]->lr_multiplier, 0.1, 0);
    parameters_destroy(parameters);
    CHECK_OK(parameters_create(DTYPE_F32, &parameters));
    declare(parameters, &resnet);
    check_shape(parameters, "backbone.layer2.0.downsample.0.weight", 16, 8, 1);
    check_shape(parameters, "backbone.layer2.1.conv1.weight", 16, 16, 3);
    CHECK(parameters_find(parameters, "backbone.layer1.0.downsample.0.weight") == NULL);
    parameters_destroy(parameters);
}

/* Frozen stages get no gradient, the others do. */
static void test_frozen(void)
{
    BackboneConfig config = mobilenet;
    config.frozen_stages = 2;
    NetworkRun r = network_run(&(Network){declare, build, &config, 1, 4}, DTYPE_F32);
    for (int i = 0; i < r.parameters->count; i++) {
        const Parameter *p = r.parameters->items[i];
        int block = atoi(p->name + strlen("backbone.features."));
        CHECK_INT(p->frozen, block <= 6);
        CHECK((network_largest(DTYPE_F32, p->grad, p->count) == 0) == p->frozen);
    }
    network_destroy(&r);
}

TEST_MAIN(TEST(test_resnet_differences), TEST(test_forms), TEST(test_sizes), TEST(test_names), TEST(test_frozen))
