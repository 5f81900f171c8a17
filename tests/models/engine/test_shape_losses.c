/* Operations that move numbers, and losses. */
#include "tests/models/engine/gradient_check.h"

static Tensor *build_reshape(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    Tensor *y = graph_add_reshape(g, in[0], 3, (int64_t[]){2, -1, 2});
    return graph_add_product(g, y, graph_add_reshape(g, in[0], 3, (int64_t[]){2, 3, 2}));
}

static Tensor *build_concat(Graph *g, Tensor *const *in, const void *context)
{
    return graph_add_concat(g, in, 3, *(const int *)context);
}

static Tensor *build_slice(Graph *g, Tensor *const *in, const void *context)
{
    const int64_t *c = context;
    return graph_add_slice(g, in[0], (int)c[0], c[1], c[2]);
}

static Tensor *build_gather(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_gather(g, in[0], in[1]);
}

static Tensor *build_swap_middle(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_swap_middle(g, in[0]);
}

static void test_shape(void)
{
    check_op(build_reshape, NULL, (CheckInput[]){REAL_INPUT(3, 4)}, 1);
    int axis = 0;
    check_op(build_concat, &axis, (CheckInput[]){REAL_INPUT(2, 3), REAL_INPUT(1, 3), REAL_INPUT(4, 3)}, 3);
    check_forms(build_concat, &axis, (CheckInput[]){REAL_INPUT(2, 3), REAL_INPUT(1, 3), REAL_INPUT(4, 3)}, 3, 0);
    axis = 1;
    check_op(build_concat, &axis, (CheckInput[]){REAL_INPUT(2, 3, 2), REAL_INPUT(2, 1, 2), REAL_INPUT(2, 2, 2)}, 3);
    for (int64_t a = 0; a < 3; a++) {
        check_op(build_slice, (int64_t[]){a, 1, 2}, (CheckInput[]){REAL_INPUT(4, 3, 5)}, 1);
        check_op(build_slice, (int64_t[]){a, 0, 3}, (CheckInput[]){REAL_INPUT(4, 3, 5)}, 1);
        check_forms(build_slice, (int64_t[]){a, 0, 3}, (CheckInput[]){REAL_INPUT(4, 3, 5)}, 1, 0);
    }
    check_op(build_gather, NULL, (CheckInput[]){REAL_INPUT(5, 2, 3), INDEX_INPUT(5, 12)}, 2);
    check_forms(build_gather, NULL, (CheckInput[]){REAL_INPUT(5, 2, 3), INDEX_INPUT(5, 120)}, 2, 1e-6);
    check_op(build_swap_middle, NULL, (CheckInput[]){REAL_INPUT(2, 3, 4, 2)}, 1);
    check_forms(build_swap_middle, NULL, (CheckInput[]){REAL_INPUT(2, 3, 4, 2)}, 1, 0);
}

static void test_gather_range(void)
{
    double rows[] = {0, 5};
    CheckInput inputs[] = {REAL_INPUT(5, 2), INDEX_INPUT(5, 2)};
    inputs[1].values = rows;
    CheckGraph c = check_graph(build_gather, NULL, inputs, 2, (CheckMode){DTYPE_F32, false, false, false});
    CHECK_FAILS(graph_forward(c.g), STATUS_INTERNAL, "row 5 is not in [0, 5)");
    graph_destroy(c.g);
}

static Tensor *build_cross_entropy(Graph *g, Tensor *const *in, const void *context)
{
    return graph_add_cross_entropy(g, in[0], in[1], context == NULL ? NULL : in[2]);
}

static void test_cross_entropy(void)
{
    CheckInput inputs[] = {REAL_INPUT(6, 5), {.rank = 1, .shape = {6}, .dtype = DTYPE_I32, .low = -1, .high = 6},
                           {.rank = 1, .shape = {5}, .fixed = true, .low = 0.1, .high = 2}};
    check_op(build_cross_entropy, NULL, inputs, 2);
    check_op(build_cross_entropy, "weights", inputs, 3);
    CheckInput large[] = {RANGE_INPUT(-5, 5, 500, 134), INDEX_INPUT(134, 500)};
    check_forms(build_cross_entropy, NULL, large, 2, 2e-6);
    double none[] = {-1, 5, 7, -1, 5, 5};
    inputs[1].values = none;
    CheckGraph c = check_graph(build_cross_entropy, NULL, inputs, 2, (CheckMode){DTYPE_F64, false, true, false});
    check_run(&c);
    CHECK_NEAR(*(double *)c.out->data, 0, 0);
    CHECK_NEAR(check_largest(c.in[0], c.in[0]->grad), 0, 0);
    graph_destroy(c.g);
}

/* Two rows by hand: weights 2 and 1, losses log(1 + e) and log(1 + e) - 1. */
static void test_cross_entropy_value(void)
{
    double logits[] = {0, 1, 0, 1}, labels[] = {0, 1}, weights[] = {2, 1};
    CheckInput inputs[] = {{.rank = 2, .shape = {2, 2}, .values = logits},
                           {.rank = 1, .shape = {2}, .dtype = DTYPE_I32, .values = labels},
                           {.rank = 1, .shape = {2}, .fixed = true, .values = weights}};
    CheckGraph c = check_graph(build_cross_entropy, "weights", inputs, 3, (CheckMode){DTYPE_F64, false, false, false});
    CHECK_OK(graph_forward(c.g));
    double lse = log(1 + exp(1));
    CHECK_NEAR(*(double *)c.out->data, (2 * lse + lse - 1) / 3, 1e-15);
    graph_destroy(c.g);
}

static Tensor *build_l1(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_l1_loss(g, in[0], in[1]);
}

static Tensor *build_kl(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_softmax_kl(g, in[0], in[1], 10, 0.25);
}

static const double sigmas[] = {2, 5, 10, 20, 40, 80};

static Tensor *build_mmd(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_mmd_loss(g, in[0], in[1], sigmas, 6);
}

static Tensor *build_mean(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_mean(g, in[0]);
}

static Tensor *build_total(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_total(g, in[0]);
}

static void test_losses(void)
{
    CheckBuild builds[] = {build_l1, build_kl};
    for (int i = 0; i < 2; i++) {
        check_op(builds[i], NULL, (CheckInput[]){REAL_INPUT(4, 6), REAL_INPUT(4, 6)}, 2);
        check_forms(builds[i], NULL, (CheckInput[]){REAL_INPUT(90, 140), REAL_INPUT(90, 140)}, 2, 1e-5);
    }
    check_op(build_mmd, NULL, (CheckInput[]){REAL_INPUT(4, 3), REAL_INPUT(5, 3)}, 2);
    check_op(build_mmd, NULL, (CheckInput[]){REAL_INPUT(4, 3), FIXED_INPUT(4, 3)}, 2);
    check_forms(build_mmd, NULL, (CheckInput[]){REAL_INPUT(60, 64), REAL_INPUT(50, 64)}, 2, 2e-4);
    CheckBuild sums[] = {build_mean, build_total};
    for (int i = 0; i < 2; i++) {
        check_op(sums[i], NULL, (CheckInput[]){REAL_INPUT(4, 6)}, 1);
        check_forms(sums[i], NULL, (CheckInput[]){REAL_INPUT(40, 600)}, 1, 1e-5);
    }
}

/* One row against one: the squared loss is sum of 2 - 2 exp(-d / (2 sigma)). */
static void test_mmd_value(void)
{
    double x[] = {1, 0}, y[] = {0, 2}, expected = 0;
    CheckInput inputs[] = {{.rank = 2, .shape = {1, 2}, .values = x}, {.rank = 2, .shape = {1, 2}, .values = y}};
    CheckGraph c = check_graph(build_mmd, NULL, inputs, 2, (CheckMode){DTYPE_F64, false, false, false});
    CHECK_OK(graph_forward(c.g));
    for (int s = 0; s < 6; s++) expected += 2 - 2 * exp(-5 / (2 * sigmas[s]));
    CHECK_NEAR(*(double *)c.out->data, sqrt(expected), 1e-14);
    graph_destroy(c.g);
}

static void test_threads(void)
{
    CheckInput x = REAL_INPUT(701, 100), y = REAL_INPUT(701, 100), labels = INDEX_INPUT(100, 701);
    int axis = 1;
    check_thread_bits(build_concat, &axis, (CheckInput[]){x, y, x}, 3);
    check_thread_bits(build_slice, (int64_t[]){1, 3, 90}, (CheckInput[]){x}, 1);
    check_thread_bits(build_gather, NULL, (CheckInput[]){x, INDEX_INPUT(701, 900)}, 2);
    check_thread_bits(build_swap_middle, NULL, (CheckInput[]){REAL_INPUT(2, 70, 60, 5)}, 1);
    check_thread_bits(build_cross_entropy, NULL, (CheckInput[]){x, labels}, 2);
    check_thread_bits(build_l1, NULL, (CheckInput[]){x, y}, 2);
    check_thread_bits(build_kl, NULL, (CheckInput[]){x, y}, 2);
    check_thread_bits(build_mean, NULL, (CheckInput[]){x}, 1);
    check_thread_bits(build_total, NULL, (CheckInput[]){x}, 1);
}

TEST_MAIN(TEST(test_shape), TEST(test_gather_range), TEST(test_cross_entropy), TEST(test_cross_entropy_value),
          TEST(test_losses), TEST(test_mmd_value), TEST(test_threads))
