/* Products, norms and elementwise operations. */
#include "tests/models/engine/gradient_check.h"

static Tensor *build_linear(Graph *g, Tensor *const *in, const void *context)
{
    const int64_t *rows = context;
    if (rows != NULL) return graph_add_linear_rows(g, in[0], in[1], in[2], rows[0], rows[1]);
    return graph_add_linear(g, in[0], in[1], in[2]);
}

static Tensor *build_linear_bare(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_linear(g, in[0], in[1], NULL);
}

static void test_linear(void)
{
    check_op(build_linear, NULL, (CheckInput[]){REAL_INPUT(2, 3, 5), REAL_INPUT(4, 5), REAL_INPUT(4)}, 3);
    check_op(build_linear_bare, NULL, (CheckInput[]){REAL_INPUT(3, 5), REAL_INPUT(4, 5)}, 2);
    check_op(build_linear, (int64_t[]){2, 3}, (CheckInput[]){REAL_INPUT(3, 5), REAL_INPUT(7, 5), REAL_INPUT(7)}, 3);
    check_forms(build_linear, NULL, (CheckInput[]){REAL_INPUT(96, 64), REAL_INPUT(130, 64), REAL_INPUT(130)}, 3, 2e-6);
    check_forms(build_linear, (int64_t[]){0, 1}, (CheckInput[]){REAL_INPUT(200, 17), REAL_INPUT(3, 17), REAL_INPUT(3)}, 3, 2e-6);
}

typedef struct MatmulCase { bool ta, tb; } MatmulCase;

static Tensor *build_matmul(Graph *g, Tensor *const *in, const void *context)
{
    const MatmulCase *c = context;
    return graph_add_matmul(g, in[0], in[1], c->ta, c->tb);
}

static void test_matmul(void)
{
    for (int i = 0; i < 4; i++) {
        MatmulCase c = {i & 1, i >> 1};
        CheckInput a = REAL_INPUT(2, 3, 5), b = REAL_INPUT(2, 5, 4), ta = REAL_INPUT(2, 5, 3), tb = REAL_INPUT(2, 4, 5);
        check_op(build_matmul, &c, (CheckInput[]){c.ta ? ta : a, c.tb ? tb : b}, 2);
        CheckInput p = REAL_INPUT(48, 33), q = REAL_INPUT(33, 65), tp = REAL_INPUT(33, 48), tq = REAL_INPUT(65, 33);
        check_forms(build_matmul, &c, (CheckInput[]){c.ta ? tp : p, c.tb ? tq : q}, 2, 2e-6);
    }
}

static Tensor *build_attention(Graph *g, Tensor *const *in, const void *context)
{
    return graph_add_attention(g, in[0], in[1], in[2], 2, context != NULL ? in[3] : NULL);
}

static Tensor *build_attention_dropout(Graph *g, Tensor *const *in, const void *context)
{
    return graph_add_attention_dropout(g, in[0], in[1], in[2], 2, context != NULL ? in[3] : NULL, 0.4);
}

/* The same draws as dropout's are not promised, but the mean is: over many
 * columns the kept weights times 1 / (1 - p) sum to about 1. */
static void test_attention_dropout(void)
{
    double ones[2 * 4000];
    for (int i = 0; i < 8000; i++) ones[i] = 1;
    CheckInput inputs[] = {REAL_INPUT(1, 3, 2), REAL_INPUT(1, 4000, 2), {.rank = 3, .shape = {1, 4000, 2}, .values = ones}};
    CheckGraph training = check_graph(build_attention_dropout, NULL, inputs, 3, (CheckMode){DTYPE_F64, false, true, false});
    CheckGraph inference = check_graph(build_attention_dropout, NULL, inputs, 3, (CheckMode){DTYPE_F64, false, false, false});
    double first = 0;
    for (uint64_t step = 0; step < 2; step++) {
        graph_set_random(training.g, 1, step, 0);
        CHECK_OK(graph_forward(training.g));
        const double *y = training.out->data;
        for (int i = 0; i < 6; i++) {
            CHECK_NEAR(y[i], 1, 0.06);
            CHECK(y[i] != 1 && (i == 0 || y[i] != y[0]));
        }
        CHECK(step == 0 || y[0] != first);
        first = y[0];
    }
    CHECK_OK(graph_forward(inference.g));
    for (int i = 0; i < 6; i++) CHECK_NEAR(((double *)inference.out->data)[i], 1, 1e-12);
    graph_destroy(training.g);
    graph_destroy(inference.g);
}

/* q, k and v are one tensor: three gradients meet. */
static Tensor *build_self_attention(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_attention(g, in[0], in[0], in[0], 2, NULL);
}

static void test_attention(void)
{
    CheckInput inputs[] = {REAL_INPUT(2, 3, 6), REAL_INPUT(2, 4, 6), REAL_INPUT(2, 4, 6), MASK_INPUT(2, 3, 4)};
    check_op(build_attention, NULL, inputs, 3);
    check_op(build_attention, "mask", inputs, 4);
    double all[24] = {0, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0};
    inputs[3].values = all; /* with rows of all 1 */
    check_op(build_attention, "mask", inputs, 4);
    check_op(build_attention_dropout, NULL, inputs, 3);
    check_op(build_attention_dropout, "mask", inputs, 4);
    check_op(build_self_attention, NULL, (CheckInput[]){REAL_INPUT(2, 3, 4)}, 1);
    CheckInput large[] = {REAL_INPUT(1, 50, 64), REAL_INPUT(1, 130, 64), REAL_INPUT(1, 130, 64), MASK_INPUT(1, 50, 130)};
    check_forms(build_attention, NULL, large, 3, 5e-6);
    check_forms(build_attention, "mask", large, 4, 5e-6);
    check_forms(build_attention_dropout, NULL, large, 3, 5e-6);
}

/* A row of all 1 attends everywhere; elsewhere what is masked has no say. */
static void test_attention_mask(void)
{
    double blocked[] = {1, 1, 0, 1};
    CheckInput inputs[] = {REAL_INPUT(1, 2, 2), REAL_INPUT(1, 2, 2), REAL_INPUT(1, 2, 2), MASK_INPUT(1, 2, 2)};
    inputs[3].values = blocked;
    CheckGraph masked = check_graph(build_attention, "mask", inputs, 4, (CheckMode){DTYPE_F64, false, false, false});
    CheckGraph open = check_graph(build_attention, NULL, inputs, 3, (CheckMode){DTYPE_F64, false, false, false});
    CHECK_OK(graph_forward(masked.g));
    CHECK_OK(graph_forward(open.g));
    const double *m = masked.out->data, *o = open.out->data, *v = masked.in[2]->data;
    for (int j = 0; j < 2; j++) {
        CHECK_NEAR(m[j], o[j], 0);
        CHECK_NEAR(m[2 + j], v[j], 1e-15);
    }
    graph_destroy(masked.g);
    graph_destroy(open.g);
}

static Tensor *build_layer_norm(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_layer_norm(g, in[0], in[1], in[2], 1e-5);
}

static Tensor *build_normalize(Graph *g, Tensor *const *in, const void *context)
{
    return graph_add_normalize(g, in[0], *(const double *)context);
}

static Tensor *build_softmax(Graph *g, Tensor *const *in, const void *context)
{
    return graph_add_softmax(g, in[0], *(const double *)context);
}

static void test_norms(void)
{
    check_op(build_layer_norm, NULL, (CheckInput[]){REAL_INPUT(2, 3, 7), REAL_INPUT(7), REAL_INPUT(7)}, 3);
    check_op(build_layer_norm, NULL, (CheckInput[]){REAL_INPUT(70, 4), REAL_INPUT(4), REAL_INPUT(4)}, 3);
    check_forms(build_layer_norm, NULL, (CheckInput[]){REAL_INPUT(100, 256), REAL_INPUT(256), REAL_INPUT(256)}, 3, 5e-6);
    double small = 1e-12, large = 1.5;
    check_op(build_normalize, &small, (CheckInput[]){REAL_INPUT(4, 5)}, 1);
    check_op(build_normalize, &large, (CheckInput[]){REAL_INPUT(8, 5)}, 1);
    check_forms(build_normalize, &small, (CheckInput[]){REAL_INPUT(100, 300)}, 1, 2e-6);
    for (double factor = -2; factor < 11; factor += 4) {
        check_op(build_softmax, &factor, (CheckInput[]){REAL_INPUT(2, 2, 5)}, 1);
        check_forms(build_softmax, &factor, (CheckInput[]){REAL_INPUT(50, 133)}, 1, 5e-6);
    }
}

static Tensor *build_activation(Graph *g, Tensor *const *in, const void *context)
{
    return graph_add_activation(g, in[0], *(const Activation *)context);
}

/* After a linear, where the planner lets it work in place. */
static Tensor *build_linear_activation(Graph *g, Tensor *const *in, const void *context)
{
    return graph_add_scale(g, graph_add_activation(g, graph_add_linear(g, in[0], in[1], NULL), *(const Activation *)context), 2);
}

static void test_activation(void)
{
    for (int a = ACTIVATION_NONE + 1; a < ACTIVATION_COUNT; a++) {
        Activation kind = (Activation)a;
        check_op(build_activation, &kind, (CheckInput[]){RANGE_INPUT(-7.5, 7.5, 4, 30)}, 1);
        check_op(build_linear_activation, &kind, (CheckInput[]){REAL_INPUT(4, 3), REAL_INPUT(5, 3)}, 2);
        check_forms(build_activation, &kind, (CheckInput[]){RANGE_INPUT(-7.5, 7.5, 40, 77)}, 1, 1e-6);
        check_forms(build_linear_activation, &kind, (CheckInput[]){REAL_INPUT(40, 30), REAL_INPUT(50, 30)}, 2, 2e-5);
    }
}

static Tensor *build_sum(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_sum(g, in[0], in[1]);
}

static Tensor *build_product(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_product(g, in[0], in[1]);
}

static Tensor *build_square(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_product(g, in[0], in[0]);
}

static Tensor *build_double(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_sum(g, in[0], in[0]);
}

static void test_pairwise(void)
{
    CheckBuild builds[] = {build_sum, build_product};
    for (int i = 0; i < 2; i++) {
        check_op(builds[i], NULL, (CheckInput[]){REAL_INPUT(2, 3, 4), REAL_INPUT(2, 3, 4)}, 2);
        check_op(builds[i], NULL, (CheckInput[]){REAL_INPUT(2, 3, 4), REAL_INPUT(3, 4)}, 2);
        check_op(builds[i], NULL, (CheckInput[]){REAL_INPUT(2, 3, 4), REAL_INPUT(1, 3, 4)}, 2);
        check_op(builds[i], NULL, (CheckInput[]){REAL_INPUT(70, 4), REAL_INPUT(4)}, 2);
        check_op(builds[i], NULL, (CheckInput[]){REAL_INPUT(7, 4), REAL_INPUT(1)}, 2);
        check_forms(builds[i], NULL, (CheckInput[]){REAL_INPUT(100, 256), REAL_INPUT(256)}, 2, 2e-6);
        check_forms(builds[i], NULL, (CheckInput[]){REAL_INPUT(150, 256), REAL_INPUT(150, 256)}, 2, 1e-6);
    }
    check_op(build_square, NULL, (CheckInput[]){REAL_INPUT(3, 4)}, 1);
    check_op(build_double, NULL, (CheckInput[]){REAL_INPUT(3, 4)}, 1);
}

static Tensor *build_scale(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_scale(g, in[0], -1.5);
}

static Tensor *build_dropout(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    return graph_add_dropout(g, in[0], 0.3);
}

static Tensor *build_pair_sum(Graph *g, Tensor *const *in, const void *context)
{
    return graph_add_pair_sum(g, in[0], in[1], context == NULL ? NULL : in[2]);
}

static Tensor *build_pair_score(Graph *g, Tensor *const *in, const void *context)
{
    return graph_add_pair_score(g, in[0], in[1], in[2], in[3], in[4], *(const double *)context);
}

/* As by pair_sum, activation and linear. */
static Tensor *build_pair_score_apart(Graph *g, Tensor *const *in, const void *context)
{
    (void)context;
    Tensor *pairs = graph_add_activation(g, graph_add_pair_sum(g, in[0], in[1], in[2]), ACTIVATION_RELU);
    return graph_add_linear(g, pairs, in[3], in[4]);
}

static void test_pair_score(void)
{
    double slope = 0, leaky = 0.2;
    CheckInput inputs[] = {REAL_INPUT(11, 5), REAL_INPUT(3, 5), REAL_INPUT(5), REAL_INPUT(1, 5), REAL_INPUT(1)};
    check_op(build_pair_score, &slope, inputs, 5);
    check_op(build_pair_score, &leaky, inputs, 5);
    CheckInput large[] = {REAL_INPUT(30, 96), REAL_INPUT(40, 96), REAL_INPUT(96), REAL_INPUT(1, 96), REAL_INPUT(1)};
    check_forms(build_pair_score, &slope, large, 5, 5e-6);
    CheckMode mode = {DTYPE_F64, false, true, false};
    CheckGraph one = check_graph(build_pair_score, &slope, inputs, 5, mode);
    CheckGraph apart = check_graph(build_pair_score_apart, NULL, inputs, 5, mode);
    check_run(&one);
    check_run(&apart);
    CHECK(check_distance(one.out, one.out->data, apart.out, apart.out->data) < 1e-14);
    for (int k = 0; k < 5; k++) CHECK(check_distance(one.in[k], one.in[k]->grad, apart.in[k], apart.in[k]->grad) < 1e-14);
    graph_destroy(one.g);
    graph_destroy(apart.g);
}

static void test_elementwise(void)
{
    check_op(build_scale, NULL, (CheckInput[]){REAL_INPUT(3, 4)}, 1);
    check_forms(build_scale, NULL, (CheckInput[]){REAL_INPUT(3, 400)}, 1, 1e-6);
    check_op(build_dropout, NULL, (CheckInput[]){REAL_INPUT(13, 11)}, 1);
    check_forms(build_dropout, NULL, (CheckInput[]){REAL_INPUT(33, 100)}, 1, 1e-6);
    check_op(build_pair_sum, "b", (CheckInput[]){REAL_INPUT(3, 4), REAL_INPUT(5, 4), REAL_INPUT(4)}, 3);
    check_op(build_pair_sum, NULL, (CheckInput[]){REAL_INPUT(3, 4), REAL_INPUT(5, 4)}, 2);
    check_forms(build_pair_sum, "b", (CheckInput[]){REAL_INPUT(30, 64), REAL_INPUT(20, 64), REAL_INPUT(64)}, 3, 1e-6);
}

static void test_threads(void)
{
    CheckInput x = REAL_INPUT(701, 100), row = REAL_INPUT(100), same = REAL_INPUT(701, 100);
    double factor = 1, epsilon = 1e-12, slope = 0;
    Activation gelu = ACTIVATION_GELU;
    check_thread_bits(build_layer_norm, NULL, (CheckInput[]){x, row, row}, 3);
    check_thread_bits(build_normalize, &epsilon, (CheckInput[]){x}, 1);
    check_thread_bits(build_softmax, &factor, (CheckInput[]){x}, 1);
    check_thread_bits(build_activation, &gelu, (CheckInput[]){x}, 1);
    check_thread_bits(build_sum, NULL, (CheckInput[]){x, row}, 2);
    check_thread_bits(build_sum, NULL, (CheckInput[]){x, same}, 2);
    check_thread_bits(build_product, NULL, (CheckInput[]){x, row}, 2);
    check_thread_bits(build_product, NULL, (CheckInput[]){x, same}, 2);
    check_thread_bits(build_scale, NULL, (CheckInput[]){x}, 1);
    check_thread_bits(build_dropout, NULL, (CheckInput[]){x}, 1);
    CheckInput columns = REAL_INPUT(20, 100), r = REAL_INPUT(60, 100), w = REAL_INPUT(1, 100), s = REAL_INPUT(1);
    check_thread_bits(build_pair_sum, "b", (CheckInput[]){r, columns, row}, 3);
    check_thread_bits(build_pair_score, &slope, (CheckInput[]){r, columns, row, w, s}, 5);
    CheckInput q = REAL_INPUT(2, 60, 64), k = REAL_INPUT(2, 100, 64);
    check_thread_bits(build_attention, NULL, (CheckInput[]){q, k, k}, 3); /* each head is one thread's */
    check_thread_bits(build_attention_dropout, NULL, (CheckInput[]){q, k, k}, 3);
}

TEST_MAIN(TEST(test_linear), TEST(test_matmul), TEST(test_attention), TEST(test_attention_mask), TEST(test_attention_dropout), TEST(test_norms),
          TEST(test_activation), TEST(test_pairwise), TEST(test_pair_score), TEST(test_elementwise), TEST(test_threads))
