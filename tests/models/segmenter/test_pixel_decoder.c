/* The published numbers are checked by test_parity; here the gradients of both kinds, in double, and odd sizes. */
#include "models/segmenter/pixel_decoder.h"

#include "tests/models/segmenter/network_check.h"

static const PixelDecoderConfig pyramid = {
    .kind = PIXEL_DECODER_FPN, .channels = {3, 4, 5, 6}, .dim = 8, .mask_dim = 5};
static const PixelDecoderConfig deformable = {.kind = PIXEL_DECODER_DEFORMABLE, .channels = {3, 4, 5, 6}, .dim = 8,
                                              .mask_dim = 5, .layers = 2, .heads = 2, .points = 2, .ffn = 12};

static void declare(Parameters *parameters, const void *context)
{
    pixel_decoder_add_parameters(parameters, "p.", context);
}

/* Maps of a 56 x 100 image, whose sizes don't halve evenly. */
static const int64_t sizes[4][2] = {{14, 25}, {7, 13}, {4, 7}, {2, 4}};

static void build(Graph *g, Parameters *parameters, const void *context, Tensor **inputs, Tensor **outputs)
{
    const PixelDecoderConfig *config = context;
    PixelDecoderOutput output;
    for (int i = 0; i < 4; i++)
        inputs[i] = graph_add_input(g, graph_dtype(g), 4,
                                    (int64_t[]){2, sizes[i][0], sizes[i][1], config->channels[i]}, true);
    pixel_decoder_build(g, parameters, "p.", config, inputs, &output);
    outputs[0] = output.mask_features;
    for (int l = 0; l < PIXEL_DECODER_LEVELS; l++) outputs[1 + l] = output.multi_scale[l];
}

static void test_shapes(void)
{
    const PixelDecoderConfig *const kinds[2] = {&pyramid, &deformable};
    for (int kind = 0; kind < 2; kind++) {
        NetworkRun r = network_run(&(Network){declare, build, kinds[kind], 4, 4}, DTYPE_F32);
        for (int i = 0; i < 4; i++) {
            int level = i == 0 ? 0 : 4 - i;
            CHECK_INT(r.out[i]->shape[0], 2);
            CHECK_INT(r.out[i]->shape[1], sizes[level][0]);
            CHECK_INT(r.out[i]->shape[2], sizes[level][1]);
            CHECK_INT(r.out[i]->shape[3], i == 0 ? 5 : 8);
        }
        network_destroy(&r);
    }
}

static void test_differences(void)
{
    network_check_differences(&(Network){declare, build, &pyramid, 4, 4}, 3);
    network_check_differences(&(Network){declare, build, &deformable, 4, 4}, 3);
}

static void test_forms(void)
{
    network_check_forms(&(Network){declare, build, &pyramid, 4, 4}, 1e-4, 1e-4);
    network_check_forms(&(Network){declare, build, &deformable, 4, 4}, 1e-4, 1e-4);
}

/* Two heads look right and left, their second points twice as far, the same in every level. */
static void test_initialize(void)
{
    Parameters *parameters;
    CHECK_OK(parameters_create(DTYPE_F32, &parameters));
    declare(parameters, &deformable);
    CHECK_OK(parameters_allocate(parameters, 1));
    pixel_decoder_initialize(parameters, "p.", &deformable);
    const Parameter *bias =
        parameters_find(parameters, "p.transformer.encoder.layers.1.self_attn.sampling_offsets.bias");
    CHECK(bias != NULL);
    CHECK_INT(bias->count, 2 * 3 * 2 * 2);
    for (int64_t i = 0; i < bias->count / 2; i++) {
        double x = (i / 6 == 0 ? 1 : -1) * (double)(i % 2 + 1);
        CHECK_NEAR(((float *)bias->value)[2 * i], x, 1e-6);
        CHECK_NEAR(((float *)bias->value)[2 * i + 1], 0, 1e-6);
    }
    parameters_destroy(parameters);
}

TEST_MAIN(TEST(test_shapes), TEST(test_differences), TEST(test_forms), TEST(test_initialize))
