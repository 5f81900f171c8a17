/* Building, planning and running. */
#include "framework/memory.h"
#include "models/engine/graph_private.h"
#include "models/engine/ops.h"
#include "tests/test.h"

static const int64_t shape_8_16[] = {8, 16};

static Parameters *make_parameters(void)
{
    Parameters *p;
    CHECK_OK(parameters_create(DTYPE_F32, &p));
    parameters_add(p, "w", 2, (int64_t[]){16, 16}, (Init){INIT_XAVIER_UNIFORM, 1});
    parameters_add(p, "b", 1, (int64_t[]){16}, (Init){INIT_NORMAL, 0.1});
    parameters_add(p, "scale", 1, (int64_t[]){16}, (Init){INIT_ONE, 0});
    parameters_add(p, "shift", 1, (int64_t[]){16}, (Init){INIT_ZERO, 0});
    CHECK_OK(parameters_allocate(p, 3));
    return p;
}

static Graph *make_graph(void)
{
    Graph *g;
    CHECK_OK(graph_create(backend_cpu(), DTYPE_F32, &g));
    return g;
}

typedef struct Net { Graph *g; Tensor *x, *y, *side; } Net;

/* Residual blocks with everything that stretches or shares lives: reshapes,
 * ops in place, dropout, one tensor in many places, an output in the middle,
 * and ops whose results nobody uses. */
static Net make_net(Parameters *p, bool training, bool no_sharing)
{
    Net net = {.g = make_graph()};
    Graph *g = net.g;
    g->no_sharing = no_sharing;
    Tensor *w = graph_add_parameter(g, parameters_find(p, "w")), *b = graph_add_parameter(g, parameters_find(p, "b"));
    Tensor *scale = graph_add_parameter(g, parameters_find(p, "scale"));
    Tensor *shift = graph_add_parameter(g, parameters_find(p, "shift"));
    CHECK(graph_add_parameter(g, parameters_find(p, "w")) == w);
    net.x = graph_add_input(g, DTYPE_F32, 2, shape_8_16, true);
    Tensor *h = net.x;
    for (int i = 0; i < 6; i++) {
        Tensor *inner = graph_add_activation(g, graph_add_linear(g, h, w, b), (Activation)(1 + i % 6));
        inner = graph_add_dropout(g, graph_add_linear(g, inner, w, NULL), 0.25);
        Tensor *heads = graph_add_reshape(g, h, 3, (int64_t[]){1, 8, -1});
        Tensor *attention = graph_add_attention(g, heads, heads, graph_add_scale(g, heads, 0.5), 4, NULL);
        Tensor *sum = graph_add_sum(g, h, graph_add_sum(g, inner, graph_add_reshape(g, attention, 2, shape_8_16)));
        h = graph_add_layer_norm(g, sum, scale, shift, 1e-5);
        if (i == 2) net.side = graph_mark_output(graph_add_reshape(g, h, 1, (int64_t[]){-1}));
        if (i == 3) graph_add_product(g, h, h);
    }
    net.y = graph_mark_output(graph_add_mean(g, graph_add_product(g, h, h)));
    CHECK_OK(graph_compile(g, training));
    for (int i = 0; i < 128; i++) ((float *)net.x->data)[i] = (float)(i % 13) * 0.1f - 0.5f;
    graph_set_random(g, 1, 2, 3);
    return net;
}

static void run_net(Net *net)
{
    CHECK_OK(graph_forward(net->g));
    graph_zero_output_grads(net->g);
    *(float *)net->y->grad = 1;
    ((float *)net->side->grad)[5] = 1;
    CHECK_OK(graph_backward(net->g));
}

static void test_sharing_changes_nothing(void)
{
    Parameters *p = make_parameters();
    Net shared = make_net(p, true, false), apart = make_net(p, true, true);
    size_t bytes = (size_t)p->total * sizeof(float);
    float *grads = malloc(bytes);
    CHECK(grads != NULL);
    for (int run = 0; run < 2; run++) {
        parameters_zero_grad(p);
        run_net(&shared);
        memcpy(grads, p->grads, bytes);
        parameters_zero_grad(p);
        run_net(&apart);
        CHECK(memcmp(grads, p->grads, bytes) == 0);
        CHECK(memcmp(shared.y->data, apart.y->data, sizeof(float)) == 0);
        CHECK(memcmp(shared.side->data, apart.side->data, 128 * sizeof(float)) == 0);
        CHECK(memcmp(shared.x->grad, apart.x->grad, 128 * sizeof(float)) == 0);
    }
    CHECK(graph_memory_bytes(shared.g) * 3 < graph_memory_bytes(apart.g) * 2);
    free(grads);
    graph_destroy(shared.g);
    graph_destroy(apart.g);
    parameters_destroy(p);
}

static void check_no_overlap(const Graph *g)
{
    int64_t end = 0;
    for (int i = 0; i < g->buffer_count; i++) {
        const PlanBuffer *a = &g->buffers[i];
        CHECK(a->from >= 0 && a->from <= a->to && a->offset % 64 == 0);
        if (a->offset + a->bytes > end) end = a->offset + a->bytes;
        for (int j = 0; j < i; j++) {
            const PlanBuffer *b = &g->buffers[j];
            bool together = a->from <= b->to && b->from <= a->to;
            bool apart = a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset;
            CHECK(!together || apart);
        }
    }
    CHECK_INT(end, g->memory_bytes);
}

static void test_plan_has_no_overlap(void)
{
    Parameters *p = make_parameters();
    Net training = make_net(p, true, false), inference = make_net(p, false, false);
    check_no_overlap(training.g);
    check_no_overlap(inference.g);
    CHECK(graph_memory_bytes(inference.g) * 3 < graph_memory_bytes(training.g));
    CHECK_INT(graph_op_count(training.g) - graph_op_count(inference.g), 6); /* the dropouts */
    CHECK(inference.y->grad == NULL);
    CHECK_FAILS(graph_backward(inference.g), STATUS_INTERNAL, "not compiled for training");
    graph_destroy(training.g);
    graph_destroy(inference.g);
    parameters_destroy(p);
}

/* A frozen parameter and what lies before it get no backward. */
static void test_frozen(void)
{
    Parameters *p = make_parameters();
    parameters_find(p, "w")->frozen = true;
    Graph *g = make_graph();
    Tensor *x = graph_add_input(g, DTYPE_F32, 2, shape_8_16, false), *w = graph_add_parameter(g, parameters_find(p, "w"));
    Tensor *h = graph_add_activation(g, graph_add_linear(g, x, w, NULL), ACTIVATION_TANH);
    Tensor *y = graph_mark_output(graph_add_total(g, graph_add_sum(g, h, graph_add_parameter(g, parameters_find(p, "b")))));
    CHECK_OK(graph_compile(g, true));
    CHECK(!h->needs_grad && h->grad == NULL && w->grad == NULL);
    for (int i = 0; i < 128; i++) ((float *)x->data)[i] = 1;
    for (int run = 0; run < 2; run++) {
        CHECK_OK(graph_forward(g));
        *(float *)y->grad = 1;
        CHECK_OK(graph_backward(g));
    }
    for (int i = 0; i < 16; i++) CHECK_NEAR(((float *)parameters_find(p, "b")->grad)[i], 16, 0); /* 8 rows, twice: it adds */
    for (int i = 0; i < 256; i++) CHECK_NEAR(((float *)parameters_find(p, "w")->grad)[i], 0, 0);
    graph_destroy(g);
    parameters_destroy(p);
}

/* An input that nothing uses has a gradient of 0; an output may be an input. */
static void test_odd_graphs(void)
{
    Graph *g = make_graph();
    Tensor *unused = graph_add_input(g, DTYPE_F32, 1, (int64_t[]){3}, true);
    Tensor *x = graph_mark_output(graph_add_input(g, DTYPE_F32, 1, (int64_t[]){3}, true));
    Tensor *y = graph_mark_output(graph_add_scale(g, x, 3));
    Tensor *constant = graph_mark_output(graph_add_constant(g, 1, (int64_t[]){2}, (double[]){0.5, 2}));
    CHECK_OK(graph_compile(g, true));
    CHECK_OK(graph_forward(g));
    for (int i = 0; i < 3; i++) ((float *)x->grad)[i] = 1, ((float *)y->grad)[i] = (float)i;
    CHECK_OK(graph_backward(g));
    for (int i = 0; i < 3; i++) {
        CHECK_NEAR(((float *)x->grad)[i], 1 + 3 * i, 0);
        CHECK_NEAR(((float *)unused->grad)[i], 0, 0);
    }
    CHECK_NEAR(((float *)constant->data)[1], 2, 0);
    CHECK_FAILS(graph_compile(g, true), STATUS_INTERNAL, "compiled twice");
    graph_destroy(g);
    g = make_graph();
    CHECK_OK(graph_compile(g, true));
    CHECK_OK(graph_forward(g));
    graph_destroy(g);
}

#define CHECK_MISTAKE(part, ...)                                                      \
    do {                                                                              \
        Graph *g = make_graph();                                                      \
        Tensor *x = graph_add_input(g, DTYPE_F32, 2, shape_8_16, false);              \
        Tensor *v = graph_add_input(g, DTYPE_F32, 1, (int64_t[]){5}, false);          \
        Tensor *rows = graph_add_input(g, DTYPE_I32, 1, (int64_t[]){5}, false);       \
        (void)v, (void)rows;                                                          \
        CHECK((__VA_ARGS__) == NULL);                                                 \
        CHECK(graph_add_scale(g, graph_add_linear(g, x, NULL, NULL), 1) == NULL);     \
        CHECK_FAILS(graph_compile(g, true), STATUS_INVALID, part);                    \
        graph_destroy(g);                                                             \
    } while (0)

static void test_mistakes_are_named(void)
{
    CHECK_MISTAKE("linear: x [8, 16] does not fit the weight [5]", graph_add_linear(g, x, v, NULL));
    CHECK_MISTAKE("linear: the bias [5] does not fit the weight [8, 16]", graph_add_linear(g, x, x, v));
    CHECK_MISTAKE("linear: rows 4 to 10", graph_add_linear_rows(g, x, x, NULL, 4, 6));
    CHECK_MISTAKE("matmul: a [8, 16] and b [8, 16] do not fit", graph_add_matmul(g, x, x, false, false));
    CHECK_MISTAKE("attention: q [8, 16], k [8, 16] and v [5]", graph_add_attention(g, x, x, v, 2, NULL));
    CHECK_MISTAKE("layer_norm: x [8, 16] does not fit scale [5]", graph_add_layer_norm(g, x, v, v, 1e-5));
    CHECK_MISTAKE("sum: b [5] is not of a's shape [8, 16]", graph_add_sum(g, x, v));
    CHECK_MISTAKE("product: b [8, 16] is not of a's shape [5]", graph_add_product(g, v, x));
    CHECK_MISTAKE("reshape: 5 elements cannot become 4", graph_add_reshape(g, v, 2, (int64_t[]){-1, 2}));
    CHECK_MISTAKE("dropout: p = 1 is not in [0, 1)", graph_add_dropout(g, x, 1));
    CHECK_MISTAKE("concat: part 1 [5] does not fit part 0 [8, 16]", graph_add_concat(g, (Tensor *[]){x, v}, 2, 0));
    CHECK_MISTAKE("slice: 10 to 20 of axis 1 are not all in [8, 16]", graph_add_slice(g, x, 1, 10, 10));
    CHECK_MISTAKE("gather: x [5] i32", graph_add_gather(g, rows, rows));
    CHECK_MISTAKE("cross_entropy: logits [8, 16] and labels [5] i32", graph_add_cross_entropy(g, x, rows, NULL));
    CHECK_MISTAKE("mmd_loss: 0 sigmas", graph_add_mmd_loss(g, x, x, NULL, 0));
    CHECK_MISTAKE("input: dimension 0 is 0, not positive", graph_add_input(g, DTYPE_F32, 1, (int64_t[]){0}, false));
    CHECK_MISTAKE("input: is f64 in a graph of f32", graph_add_input(g, DTYPE_F64, 1, (int64_t[]){2}, false));
    CHECK_MISTAKE("sum: an input is missing", graph_add_sum(g, x, NULL));
}

/* Every allocation may fail: no crash, no leak, and an error that says so. */
static void test_without_memory(void)
{
    Parameters *p = make_parameters();
    bool failed = true;
    for (int64_t n = 0; failed && n < 500; n++) {
        memory_fail_after(n);
        Graph *g = NULL;
        Status status = graph_create(backend_cpu(), DTYPE_F32, &g);
        if (status == OK) {
            Tensor *x = graph_add_input(g, DTYPE_F32, 2, shape_8_16, false);
            Tensor *w = graph_add_parameter(g, parameters_find(p, "w"));
            for (int i = 0; i < 70; i++) x = graph_add_linear(g, x, w, NULL);
            graph_mark_output(graph_add_sum(g, x, graph_add_constant(g, 0, NULL, (double[]){1})));
            status = graph_compile(g, true);
        }
        memory_fail_after(-1);
        failed = status != OK;
        if (failed) CHECK_INT(status_code(status), STATUS_NO_MEMORY);
        status_free(status);
        graph_destroy(g);
    }
    CHECK(!failed);
    parameters_destroy(p);
}

enum { HOOKED = 4, HOOKED_MOST = 256 };

/* Keeps each parameter's gradient as it is when it is told to be final. */
typedef struct Heard {
    Parameters *parameters;
    int told[HOOKED], calls, first_call;
    float grads[HOOKED][HOOKED_MOST];
} Heard;

static void hear(void *context, const Parameter *final)
{
    Heard *heard = context;
    if (final == NULL) {
        heard->calls++;
        return;
    }
    for (int i = 0; i < HOOKED; i++) {
        if (heard->parameters->items[i] != final) continue;
        heard->told[i]++;
        memcpy(heard->grads[i], final->grad, (size_t)final->count * sizeof(float));
        if (heard->first_call < 0) heard->first_call = heard->calls;
    }
}

/* Every parameter is told once, when nothing is added to it any more; those of the graph's end before the pass ends. */
static void test_gradient_hook(void)
{
    Parameters *p = make_parameters();
    Net net = make_net(p, true, false);
    Heard heard = {.parameters = p, .first_call = -1};
    float last[16];
    CHECK_INT(p->count, HOOKED);
    parameters_zero_grad(p);
    CHECK_OK(graph_forward(net.g));
    graph_zero_output_grads(net.g);
    *(float *)net.y->grad = 1;
    graph_set_gradient_hook(net.g, hear, &heard);
    CHECK_OK(graph_backward(net.g));
    for (int i = 0; i < HOOKED; i++) {
        CHECK_INT(heard.told[i], 1);
        CHECK(memcmp(heard.grads[i], p->items[i]->grad, (size_t)p->items[i]->count * sizeof(float)) == 0);
    }
    CHECK(heard.calls > 20 && heard.first_call > 0 && heard.first_call < heard.calls);
    memcpy(last, p->items[1]->grad, sizeof last);
    /* Without the hook: the same, and nobody is told. */
    graph_set_gradient_hook(net.g, NULL, NULL);
    parameters_zero_grad(p);
    CHECK_OK(graph_forward(net.g));
    graph_zero_output_grads(net.g);
    *(float *)net.y->grad = 1;
    CHECK_OK(graph_backward(net.g));
    CHECK(memcmp(last, p->items[1]->grad, sizeof last) == 0);
    CHECK_INT(heard.told[1], 1);
    graph_destroy(net.g);
    parameters_destroy(p);
}

TEST_MAIN(TEST(test_gradient_hook), TEST(test_sharing_changes_nothing), TEST(test_plan_has_no_overlap), TEST(test_frozen), TEST(test_odd_graphs),
          TEST(test_mistakes_are_named), TEST(test_without_memory))
