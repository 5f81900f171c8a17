/* Operations on feature maps. */
#include "tests/models/engine/gradient_check.h"

static Tensor *build_conv(Graph *g, Tensor *const *in, const void *context)
{
    return graph_add_conv2d(g, in[0], in[1], in[2], *(const ConvGeometry *)context);
}

static Tensor *build_conv_bare(Graph *g, Tensor *const *in, const void *context)
{
    return graph_add_conv2d(g, in[0], in[1], NULL, *(const ConvGeometry *)context);
}

/* Every gradient is written by one convolution and added to by the other. */
static Tensor *build_conv_twice(Graph *g, Tensor *const *in, const void *context)
{
    return graph_add_sum(g, graph_add_scale(g, build_conv(g, in, context), 0.5), build_conv(g, in, context));
}

static void test_conv_differences(void)
{
    const ConvGeometry same = {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
    check_op(build_conv, &same, (CheckInput[]){REAL_INPUT(2, 5, 4, 3), REAL_INPUT(4, 3, 3, 3), REAL_INPUT(4)}, 3);
    const ConvGeometry skewed = {.stride = 2, .pad_bottom = 1, .pad_right = 1, .groups = 2};
    check_op(build_conv, &skewed, (CheckInput[]){REAL_INPUT(1, 6, 5, 4), REAL_INPUT(6, 2, 3, 3), REAL_INPUT(6)}, 3);
    const ConvGeometry depthwise = {.pad_left = 2, .pad_top = 1, .groups = 3, .dilation = 2};
    check_op(build_conv_bare, &depthwise, (CheckInput[]){REAL_INPUT(1, 6, 5, 3), REAL_INPUT(3, 1, 3, 2)}, 2);
    const ConvGeometry point = {0};
    check_op(build_conv_twice, &point, (CheckInput[]){REAL_INPUT(2, 3, 2, 3), REAL_INPUT(5, 3, 1, 1), REAL_INPUT(5)}, 3);
}

/* float32 against float64: the shapes that the fast code treats apart. */
static void test_conv_forms(void)
{
    static const struct {
        int64_t n, h, w, in, out, kernel;
        ConvGeometry geometry;
    } cases[] = {
        {1, 12, 9, 16, 32, 3, {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}},
        {2, 13, 7, 5, 7, 3, {.stride = 2, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}},
        {1, 12, 16, 3, 32, 3, {.stride = 2, .pad_bottom = 1, .pad_right = 1}},
        {1, 11, 8, 24, 24, 3, {.groups = 24, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}},
        {1, 12, 10, 48, 48, 3, {.stride = 2, .groups = 48, .pad_bottom = 1, .pad_right = 1}},
        {1, 9, 9, 17, 17, 3, {.stride = 2, .groups = 17, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}},
        {2, 6, 7, 12, 20, 3, {.groups = 4, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}},
        {1, 10, 9, 8, 16, 3, {.dilation = 2, .pad_top = 2, .pad_left = 2, .pad_bottom = 2, .pad_right = 2}},
        {2, 6, 5, 19, 33, 1, {0}},
        {1, 7, 6, 16, 32, 1, {.stride = 2}},
        {1, 5, 5, 8, 4, 1, {.pad_top = 1, .pad_right = 1}},
        {1, 16, 15, 3, 8, 7, {.stride = 2, .pad_top = 3, .pad_left = 3, .pad_bottom = 3, .pad_right = 3}},
        {1, 3, 2, 4, 4, 2, {.pad_bottom = 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t groups = cases[i].geometry.groups == 0 ? 1 : cases[i].geometry.groups;
        CheckInput inputs[] = {REAL_INPUT(cases[i].n, cases[i].h, cases[i].w, cases[i].in),
                               REAL_INPUT(cases[i].out, cases[i].in / groups, cases[i].kernel, cases[i].kernel),
                               REAL_INPUT(cases[i].out)};
        check_forms(build_conv, &cases[i].geometry, inputs, 3, 2e-6);
        check_forms(build_conv_bare, &cases[i].geometry, inputs, 2, 2e-6);
        check_forms(build_conv_twice, &cases[i].geometry, inputs, 3, 2e-6);
        inputs[0].fixed = true; /* as of an image */
        check_forms(build_conv, &cases[i].geometry, inputs, 3, 2e-6);
        inputs[0].fixed = false;
        inputs[1].fixed = inputs[2].fixed = true; /* as of frozen parameters */
        check_forms(build_conv, &cases[i].geometry, inputs, 3, 2e-6);
        inputs[2].fixed = false;
        check_forms(build_conv, &cases[i].geometry, inputs, 3, 2e-6);
    }
}

static Tensor *build_fold_scale(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_fold_scale(g, in[0], in[1], in[2], 1e-3);
}

static Tensor *build_folded_conv(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    Tensor *w = graph_add_fold_scale(g, in[1], in[2], in[5], 1e-3);
    return graph_add_conv2d(g, in[0], w, graph_add_fold_shift(g, in[2], in[3], in[4], in[5], 1e-3), (ConvGeometry){0});
}

/* Gradients, and the folded convolution against the norm of its result, element by element. */
static void test_folded_norm(void)
{
    const CheckInput variance = {.rank = 1, .shape = {4}, .fixed = true, .low = 0.5, .high = 2};
    check_op(build_fold_scale, NULL, (CheckInput[]){REAL_INPUT(4, 3, 2, 2), FIXED_INPUT(4), variance}, 3);
    CheckInput inputs[] = {REAL_INPUT(1, 3, 5, 3), REAL_INPUT(4, 3, 1, 1), FIXED_INPUT(4), FIXED_INPUT(4), FIXED_INPUT(4),
                           variance};
    check_op(build_folded_conv, NULL, inputs, 6);
    check_forms(build_folded_conv, NULL, inputs, 6, 2e-6);
    CheckGraph c = check_graph(build_folded_conv, NULL, inputs, 6, (CheckMode){DTYPE_F64, false, true, false});
    CHECK_OK(graph_forward(c.g));
    const double *x = c.in[0]->data, *w = c.in[1]->data, *y = c.out->data;
    for (int64_t cell = 0; cell < 15; cell++)
        for (int64_t o = 0; o < 4; o++) {
            double plain = x[3 * cell] * w[3 * o] + x[3 * cell + 1] * w[3 * o + 1] + x[3 * cell + 2] * w[3 * o + 2];
            double norm[4];
            for (int k = 0; k < 4; k++) norm[k] = ((const double *)c.in[2 + k]->data)[o];
            CHECK_NEAR(y[4 * cell + o], (plain - norm[2]) / sqrt(norm[3] + 1e-3) * norm[0] + norm[1], 1e-12);
        }
    graph_destroy(c.g);
}

/* 1 2 3 over a 1x3 map with kernel 10 100: taps run forward, not mirrored. */
static void test_conv_values(void)
{
    Graph *g;
    CHECK_OK(graph_create(backend_cpu(), DTYPE_F32, &g));
    Tensor *x = graph_add_constant(g, 4, (int64_t[]){1, 1, 3, 1}, (double[]){1, 2, 3});
    Tensor *w = graph_add_constant(g, 4, (int64_t[]){1, 1, 1, 2}, (double[]){10, 100});
    Tensor *b = graph_add_constant(g, 1, (int64_t[]){1}, (double[]){1000});
    Tensor *y = graph_mark_output(graph_add_conv2d(g, x, w, b, (ConvGeometry){.pad_right = 1}));
    CHECK_OK(graph_compile(g, false));
    CHECK_OK(graph_forward(g));
    const float *values = y->data;
    CHECK_INT(y->count, 3);
    CHECK_NEAR(values[0], 1210, 1e-3);
    CHECK_NEAR(values[1], 1320, 1e-3);
    CHECK_NEAR(values[2], 1030, 1e-3);
    graph_destroy(g);
}

/* A frozen weight's arranged copy is kept between runs, but not past a change of its values. */
static void test_conv_frozen(void)
{
    Parameters *parameters;
    Graph *g;
    CHECK_OK(parameters_create(DTYPE_F32, &parameters));
    Parameter *w = parameters_add(parameters, "w", 4, (int64_t[]){16, 16, 3, 3}, (Init){INIT_ONE, 0});
    w->frozen = true;
    CHECK_OK(parameters_allocate(parameters, 1));
    CHECK_OK(graph_create(backend_cpu(), DTYPE_F32, &g));
    Tensor *x = graph_add_input(g, DTYPE_F32, 4, (int64_t[]){1, 3, 3, 16}, true);
    Tensor *y = graph_mark_output(graph_add_conv2d(g, x, graph_add_parameter(g, w), NULL, (ConvGeometry){0}));
    CHECK_OK(graph_compile(g, true));
    for (int64_t i = 0; i < x->count; i++) ((float *)x->data)[i] = 1;
    for (int run = 1; run <= 3; run++) {
        for (int again = 0; again < 2; again++) {
            CHECK_OK(graph_forward(g));
            CHECK_NEAR(((float *)y->data)[5], 144 * run, 1e-3);
            for (int64_t i = 0; i < y->count; i++) ((float *)y->grad)[i] = 1;
            CHECK_OK(graph_backward(g));
            CHECK_NEAR(((float *)x->grad)[7], 16 * run, 1e-3);
        }
        for (int64_t i = 0; i < w->count; i++) ((float *)w->value)[i] = (float)(run + 1);
    }
    graph_destroy(g);
    parameters_destroy(parameters);
}

static void test_conv_mistakes(void)
{
    static const struct { ConvGeometry geometry; int64_t depth; const char *message; } cases[] = {
        {{0}, 3, "4 channels in 1 groups do not fit a weight of [8, 3"},
        {{.groups = 3}, 4, "4 channels in 3 groups"},
        {{.pad_top = -1}, 4, "must not be negative"},
        {{.dilation = 4}, 4, "smaller than the 9x9 kernel"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Graph *g;
        CHECK_OK(graph_create(backend_cpu(), DTYPE_F32, &g));
        Tensor *x = graph_add_input(g, DTYPE_F32, 4, (int64_t[]){1, 5, 5, 4}, false);
        Tensor *w = graph_add_input(g, DTYPE_F32, 4, (int64_t[]){8, cases[i].depth, 3, 3}, false);
        CHECK(graph_add_conv2d(g, x, w, NULL, cases[i].geometry) == NULL);
        CHECK_FAILS(graph_compile(g, false), STATUS_INVALID, cases[i].message);
        graph_destroy(g);
    }
}

static Tensor *build_pool(Graph *g, Tensor *const *in, const void *context)
{
    const int *c = context;
    return graph_add_max_pool(g, in[0], c[0], c[1], c[2]);
}

static void test_max_pool(void)
{
    check_op(build_pool, (int[]){3, 2, 1}, (CheckInput[]){REAL_INPUT(2, 5, 6, 3)}, 1);
    check_op(build_pool, (int[]){2, 2, 0}, (CheckInput[]){REAL_INPUT(1, 4, 5, 2)}, 1);
    check_forms(build_pool, (int[]){3, 2, 1}, (CheckInput[]){REAL_INPUT(2, 13, 9, 37)}, 1, 1e-7);
    /* all negative: the padding must not win */
    check_forms(build_pool, (int[]){3, 1, 1}, (CheckInput[]){RANGE_INPUT(-3, -1, 1, 5, 5, 4)}, 1, 1e-7);
}

static Tensor *build_resize(Graph *g, Tensor *const *in, const void *context)
{
    const int64_t *size = context;
    return graph_add_resize(g, in[0], size[0], size[1]);
}

static Tensor *build_nearest(Graph *g, Tensor *const *in, const void *context)
{
    const int64_t *size = context;
    return graph_add_resize_nearest(g, in[0], size[0], size[1]);
}

static void check_values(CheckBuild build, const void *context, const CheckInput *input, const double *expected)
{
    CheckGraph c = check_graph(build, context, input, 1, (CheckMode){DTYPE_F32, false, false, false});
    CHECK_OK(graph_forward(c.g));
    for (int64_t i = 0; i < c.out->count; i++) CHECK_NEAR(check_read(c.out, c.out->data, i), expected[i], 1e-6);
    graph_destroy(c.g);
}

/* PyTorch's interpolate with align_corners = False. */
static void test_resize_values(void)
{
    CheckInput square = REAL_INPUT(1, 2, 2, 1), row = REAL_INPUT(1, 1, 5, 1);
    square.values = (double[]){1, 2, 3, 4};
    check_values(build_resize, (int64_t[]){4, 4}, &square,
                 (double[]){1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3, 3.25, 3.75, 4});
    row.values = (double[]){0, 1, 2, 3, 4};
    check_values(build_resize, (int64_t[]){1, 3}, &row, (double[]){1.0 / 3, 2, 11.0 / 3});
    check_values(build_resize, (int64_t[]){2, 2}, &row, (double[]){0.75, 3.25, 0.75, 3.25});
    check_values(build_nearest, (int64_t[]){1, 3}, &row, (double[]){0, 1, 3});
    check_values(build_nearest, (int64_t[]){1, 8}, &row, (double[]){0, 0, 1, 1, 2, 3, 3, 4});
}

static void test_resize(void)
{
    static const int64_t sizes[][4] = {{3, 2, 6, 4}, {5, 4, 3, 7}, {7, 6, 2, 3}, {1, 1, 3, 2}, {4, 9, 1, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CheckInput single = REAL_INPUT(2, sizes[i][0], sizes[i][1], 1), several = REAL_INPUT(1, sizes[i][0], sizes[i][1], 19);
        check_op(build_resize, &sizes[i][2], &single, 1);
        check_op(build_nearest, &sizes[i][2], &single, 1);
        check_forms(build_resize, &sizes[i][2], &single, 1, 1e-6);
        check_op(build_resize, &sizes[i][2], &several, 1);
        check_forms(build_resize, &sizes[i][2], &several, 1, 1e-6);
        check_forms(build_nearest, &sizes[i][2], &several, 1, 1e-6);
    }
}

static Tensor *build_mask(Graph *g, Tensor *const *in, const void *context)
{
    const int64_t *c = context;
    return graph_add_attention_mask(g, in[0], c[0], c[1], c[2], c[3]);
}

static void test_attention_mask(void)
{
    /* three queries of a 2x4 map: left half positive; just about nothing; all negative, so all may be attended */
    static const double logits[] = {1, 1, -1, -1, 1, 1,  -1, -1, 0, 0, 0, 0,
                                    0, 0, 0,  0,  -1, -2, -3, -4, -1, -2, -3, -4};
    CheckInput input = {.rank = 3, .shape = {1, 3, 8}, .values = logits};
    check_values(build_mask, (int64_t[]){2, 4, 1, 2}, &input, (double[]){0, 1, 0, 0, 0, 0});
    check_values(build_mask, (int64_t[]){2, 4, 2, 4}, &input,
                 (double[]){0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
}

typedef struct DeformableCase { int heads, levels, points; int64_t sizes[6]; } DeformableCase;

static Tensor *build_deformable(Graph *g, Tensor *const *in, const void *context)
{
    const DeformableCase *c = context;
    return graph_add_deformable_attention(g, in[0], in[1], in[2], c->heads, c->levels, c->points, c->sizes);
}

static void test_deformable(void)
{
    DeformableCase c = {2, 2, 3, {3, 4, 2, 2}};
    CheckInput inputs[] = {REAL_INPUT(2, 16, 6), RANGE_INPUT(-0.3, 1.3, 2, 5, 24), REAL_INPUT(2, 5, 12)};
    check_op(build_deformable, &c, inputs, 3);
    static const int64_t widths[] = {16, 32, 48, 7};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        DeformableCase large = {3, 3, 2, {3, 5, 6, 9, 1, 1}};
        CheckInput many[] = {REAL_INPUT(1, 70, 3 * widths[i]), RANGE_INPUT(-0.2, 1.2, 1, 11, 36), REAL_INPUT(1, 11, 18)};
        check_forms(build_deformable, &large, many, 3, 1e-5);
    }
}

/* A location at a cell's centre reads that cell; half a cell outside the corner reads a quarter of it. */
static void test_deformable_values(void)
{
    Graph *g;
    CHECK_OK(graph_create(backend_cpu(), DTYPE_F32, &g));
    Tensor *value = graph_add_constant(g, 3, (int64_t[]){1, 6, 1}, (double[]){8, 1, 2, 3, 4, 5});
    Tensor *locations = graph_add_constant(g, 3, (int64_t[]){1, 3, 2}, (double[]){0.5, 0.75, 0, 0, 1.0 / 3, 0.5});
    Tensor *weights = graph_add_constant(g, 3, (int64_t[]){1, 3, 1}, (double[]){2, 1, 1});
    Tensor *y = graph_mark_output(graph_add_deformable_attention(g, value, locations, weights, 1, 1, 1, (int64_t[]){2, 3}));
    CHECK_OK(graph_compile(g, false));
    CHECK_OK(graph_forward(g));
    CHECK_NEAR(((float *)y->data)[0], 8, 1e-5);
    CHECK_NEAR(((float *)y->data)[1], 2, 1e-5);
    CHECK_NEAR(((float *)y->data)[2], 4, 1e-5);
    graph_destroy(g);
}

static Tensor *build_group_norm(Graph *g, Tensor *const *in, const void *context)
{
    return graph_add_group_norm(g, in[0], in[1], in[2], *(const int *)context, 1e-5);
}

static void test_group_norm(void)
{
    check_op(build_group_norm, (int[]){2}, (CheckInput[]){REAL_INPUT(2, 3, 2, 6), REAL_INPUT(6), REAL_INPUT(6)}, 3);
    check_op(build_group_norm, (int[]){3}, (CheckInput[]){REAL_INPUT(1, 2, 2, 3), REAL_INPUT(3), REAL_INPUT(3)}, 3);
    static const struct { int64_t n, h, w, c; int groups; } cases[] = {
        {1, 12, 9, 64, 16}, {2, 7, 5, 96, 32}, {1, 17, 13, 128, 1}, {1, 3, 3, 70, 7}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CheckInput inputs[] = {REAL_INPUT(cases[i].n, cases[i].h, cases[i].w, cases[i].c), REAL_INPUT(cases[i].c),
                               REAL_INPUT(cases[i].c)};
        check_forms(build_group_norm, &cases[i].groups, inputs, 3, 2e-6);
        /* a large common mean */
        inputs[0].low = 100;
        inputs[0].high = 102;
        check_forms(build_group_norm, &cases[i].groups, inputs, 3, 1e-4);
    }
}

/* Work enough to be shared among threads: the same bits with one and three. */
static void check_threads(CheckBuild build, const void *context, const CheckInput *inputs, int count)
{
    CheckGraph runs[2];
    for (int i = 0; i < 2; i++) {
        backend_cpu_set_threads(i == 0 ? 1 : 3);
        runs[i] = check_graph(build, context, inputs, count, (CheckMode){DTYPE_F32, false, true, false});
        check_run(&runs[i]);
    }
    backend_cpu_set_threads(1);
    check_same_bits(&runs[0], &runs[1], "with three threads");
    for (int i = 0; i < 2; i++) graph_destroy(runs[i].g);
}

static void test_threads(void)
{
    const ConvGeometry same = {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}, point = {0};
    ConvGeometry depthwise = same;
    depthwise.groups = 70;
    CheckInput map = REAL_INPUT(1, 25, 26, 70);
    check_threads(build_conv, &same, (CheckInput[]){map, REAL_INPUT(40, 70, 3, 3), REAL_INPUT(40)}, 3);
    /* Without AVX-512 oneDNN splits a product's sums by the number of threads; the help of run.threads warns of it. */
    if (__builtin_cpu_supports("avx512f"))
        check_threads(build_conv, &point, (CheckInput[]){map, REAL_INPUT(75, 70, 1, 1), REAL_INPUT(75)}, 3);
    check_threads(build_conv, &depthwise, (CheckInput[]){map, REAL_INPUT(70, 1, 3, 3), REAL_INPUT(70)}, 3);
    check_threads(build_pool, (int[]){3, 2, 1}, &map, 1);
    check_threads(build_resize, (int64_t[]){50, 39}, &map, 1);
    check_threads(build_nearest, (int64_t[]){50, 39}, &map, 1);
    check_threads(build_group_norm, (int[]){7}, (CheckInput[]){map, REAL_INPUT(70), REAL_INPUT(70)}, 3);
    DeformableCase c = {3, 2, 3, {10, 12, 5, 6}};
    CheckInput inputs[] = {REAL_INPUT(1, 150, 96), RANGE_INPUT(-0.2, 1.2, 1, 80, 36), REAL_INPUT(1, 80, 18)};
    check_threads(build_deformable, &c, inputs, 3);
}

static Status compile_small(Graph **g)
{
    TRY(graph_create(backend_cpu(), DTYPE_F32, g));
    Tensor *x = graph_add_input(*g, DTYPE_F32, 4, (int64_t[]){1, 6, 6, 16}, true);
    Tensor *w = graph_add_input(*g, DTYPE_F32, 4, (int64_t[]){16, 16, 3, 3}, true);
    Tensor *y = graph_add_max_pool(*g, graph_add_conv2d(*g, x, w, NULL, (ConvGeometry){0}), 2, 2, 0);
    graph_mark_output(graph_add_resize(*g, y, 5, 3));
    return graph_compile(*g, true);
}

/* Any allocation may fail: an error, and nothing left behind. */
static void test_no_memory(void)
{
    int failures = 0;
    for (int64_t count = 0; count < 1000; count++) {
        Graph *g = NULL;
        memory_fail_after(count);
        Status status = compile_small(&g);
        memory_fail_after(-1);
        if (g != NULL) graph_destroy(g);
        if (status == OK) break;
        CHECK_INT(status_code(status), STATUS_NO_MEMORY);
        status_free(status);
        failures++;
    }
    CHECK(failures > 20 && failures < 1000);
}

TEST_MAIN(TEST(test_conv_differences), TEST(test_conv_forms), TEST(test_conv_values), TEST(test_folded_norm), TEST(test_conv_frozen),
          TEST(test_conv_mistakes), TEST(test_max_pool), TEST(test_resize_values), TEST(test_resize),
          TEST(test_attention_mask), TEST(test_deformable), TEST(test_deformable_values), TEST(test_group_norm), TEST(test_threads), TEST(test_no_memory))
