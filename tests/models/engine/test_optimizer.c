/* Parameters, optimisers, schedules, the gradient tree. */
#include "framework/memory.h"
#include "framework/random.h"
#include "models/engine/optimizer.h"
#include "tests/test.h"

static Parameters *make_parameters(Dtype dtype)
{
    Parameters *p;
    CHECK_OK(parameters_create(dtype, &p));
    Parameter *w = parameters_add(p, "w", 2, (int64_t[]){2, 2}, (Init){INIT_ZERO, 0});
    Parameter *b = parameters_add(p, "b", 1, (int64_t[]){2}, (Init){INIT_ZERO, 0});
    Parameter *still = parameters_add(p, "still", 1, (int64_t[]){3}, (Init){INIT_CONSTANT, 4});
    CHECK(w->decay && !b->decay);
    b->lr_multiplier = 0.5;
    still->frozen = true;
    CHECK_OK(parameters_allocate(p, 1));
    CHECK_INT(p->total, 48);
    return p;
}

static double get(const Parameters *p, const void *flat, int64_t i)
{
    return p->dtype == DTYPE_F32 ? (double)((const float *)flat)[i] : ((const double *)flat)[i];
}

static void set(const Parameters *p, void *flat, int64_t i, double value)
{
    if (p->dtype == DTYPE_F32) ((float *)flat)[i] = (float)value;
    else ((double *)flat)[i] = value;
}

/* Three steps with rate 0.01 and weight decay 0.1 on w, half the rate on b;
 * w's gradient is 0.3 w + 0.1 t, b's -0.2 b + 0.05 t. `expected` is PyTorch's. */
static void check_steps(Dtype dtype, OptimizerConfig config, const double *expected, double tolerance)
{
    const double start[] = {1, -2, 0.5, 3, 0.25, -0.75};
    Parameters *p = make_parameters(dtype);
    Optimizer *o;
    CHECK_OK(optimizer_create(config, p, &o));
    for (int i = 0; i < 6; i++) set(p, p->values, i < 4 ? i : 12 + i, start[i]);
    for (int t = 1; t <= 3; t++) {
        for (int i = 0; i < 6; i++) {
            int at = i < 4 ? i : 12 + i;
            double value = get(p, p->values, at);
            set(p, p->grads, at, i < 4 ? value * 0.3 + 0.1 * t : value * -0.2 + 0.05 * t);
        }
        for (int i = 0; i < 3; i++) set(p, p->grads, 32 + i, 1);
        CHECK_OK(optimizer_step(o, 0.01));
    }
    for (int i = 0; i < 6; i++) CHECK_NEAR(get(p, p->values, i < 4 ? i : 12 + i), expected[i], tolerance);
    for (int i = 0; i < 3; i++) CHECK_NEAR(get(p, p->values, 32 + i), 4, 0);
    for (int i = 35; i < 48; i++) CHECK_NEAR(get(p, p->values, i), 0, 0);
    optimizer_destroy(o);
    parameters_destroy(p);
}

static void test_as_pytorch(void)
{
    const double sgd[] = {0.96814992, -1.964760288, 0.479331552, 2.923423392, 0.24902475, -0.756590051};
    const double adam[] = {0.969967121444608, -1.97029367681587, 0.47004770407709,
                           2.96995583024323,  0.24213985907969,  -0.764999812890449};
    const double adamw[] = {0.967025198187258, -1.96455950020263, 0.468638132815143,
                            2.96099041456479,  0.24213985907969,  -0.764999812890449};
    for (int d = 0; d < 2; d++) {
        Dtype dtype = d == 0 ? DTYPE_F64 : DTYPE_F32;
        double tolerance = d == 0 ? 1e-14 : 2e-6;
        check_steps(dtype, (OptimizerConfig){OPTIMIZER_SGD, .momentum = 0.9, .weight_decay = 0.1}, sgd, tolerance);
        OptimizerConfig c = {OPTIMIZER_ADAM, 0, 0.9, 0.999, 1e-8, 0.1};
        check_steps(dtype, c, adam, tolerance);
        c.kind = OPTIMIZER_ADAMW;
        check_steps(dtype, c, adamw, tolerance);
    }
}

/* From the state alone the next step is the same: what a checkpoint needs. */
static void test_state(void)
{
    OptimizerConfig config = {OPTIMIZER_ADAM, 0, 0.9, 0.999, 1e-8, 0};
    Parameters *p = make_parameters(DTYPE_F32), *q = make_parameters(DTYPE_F32);
    Optimizer *a, *b;
    CHECK_OK(optimizer_create(config, p, &a));
    CHECK_OK(optimizer_create(config, q, &b));
    size_t bytes = (size_t)p->total * sizeof(float);
    ((float *)p->grads)[0] = 3;
    CHECK_OK(optimizer_step(a, 0.1));
    void *first[2], *second[2];
    int64_t *steps[2];
    optimizer_state(a, &first[0], &second[0], &steps[0]);
    optimizer_state(b, &first[1], &second[1], &steps[1]);
    memcpy(first[1], first[0], bytes);
    memcpy(second[1], second[0], bytes);
    *steps[1] = *steps[0];
    CHECK_INT(*steps[0], 1);
    memcpy(q->values, p->values, bytes);
    memcpy(q->grads, p->grads, bytes);
    CHECK_OK(optimizer_step(a, 0.1));
    CHECK_OK(optimizer_step(b, 0.1));
    CHECK(memcmp(p->values, q->values, bytes) == 0);
    optimizer_destroy(a);
    optimizer_destroy(b);
    CHECK_OK(optimizer_create((OptimizerConfig){.kind = OPTIMIZER_SGD}, p, &a));
    optimizer_state(a, &first[0], &second[0], &steps[0]);
    CHECK(first[0] == NULL && second[0] == NULL);
    optimizer_destroy(a);
    parameters_destroy(p);
    parameters_destroy(q);
}

static void test_clip(void)
{
    Parameters *p = make_parameters(DTYPE_F32);
    float *g = p->grads;
    double norm;
    g[0] = 3, g[16] = -4;
    CHECK_OK(optimizer_clip(p, 0, &norm));
    CHECK_NEAR(norm, 5, 0);
    CHECK_NEAR(g[0], 3, 0);
    CHECK_OK(optimizer_clip(p, 6, &norm));
    CHECK_NEAR(g[16], -4, 0);
    CHECK_OK(optimizer_clip(p, 1, &norm));
    CHECK_NEAR(g[0], 0.6, 1e-6);
    CHECK_NEAR(g[16], -0.8, 1e-6);
    g[17] = INFINITY;
    CHECK_FAILS(optimizer_clip(p, 1, &norm), STATUS_NON_FINITE, "gradient of b");
    CHECK_FAILS(parameters_check_finite(p, true), STATUS_NON_FINITE, "b");
    CHECK_OK(parameters_check_finite(p, false));
    parameters_destroy(p);
}

static void test_schedule(void)
{
    Schedule s = {SCHEDULE_STEPS, 1, 100, 10, {0.9, 0.95}};
    CHECK_NEAR(schedule_rate(&s, 0), 0, 0);
    CHECK_NEAR(schedule_rate(&s, 5), 0.5, 1e-15);
    CHECK_NEAR(schedule_rate(&s, 10), 1, 0);
    CHECK_NEAR(schedule_rate(&s, 89), 1, 0);
    CHECK_NEAR(schedule_rate(&s, 90), 0.1, 1e-15);
    CHECK_NEAR(schedule_rate(&s, 99), 0.01, 1e-15);
    s.kind = SCHEDULE_COSINE;
    CHECK_NEAR(schedule_rate(&s, 50), 0.5, 1e-15);
    CHECK_NEAR(schedule_rate(&s, 200), 0, 1e-15);
    s.kind = SCHEDULE_POLY;
    CHECK_NEAR(schedule_rate(&s, 50), pow(0.5, 0.9), 1e-15);
    s.kind = SCHEDULE_CONSTANT;
    CHECK_NEAR(schedule_rate(&s, 99), 1, 0);
}

static void test_parameters(void)
{
    Parameters *p, *q;
    CHECK_OK(parameters_create(DTYPE_F32, &p));
    CHECK_OK(parameters_create(DTYPE_F32, &q));
    Parameter *a = parameters_add(p, "a", 4, (int64_t[]){64, 8, 3, 3}, (Init){INIT_KAIMING_NORMAL, 1});
    Parameter *b = parameters_add(p, "b", 2, (int64_t[]){30, 50}, (Init){INIT_XAVIER_UNIFORM, 1});
    Parameter *c = parameters_add(q, "b", 2, (int64_t[]){30, 50}, (Init){INIT_XAVIER_UNIFORM, 1});
    CHECK_OK(parameters_allocate(p, 5));
    CHECK_OK(parameters_allocate(q, 5));
    CHECK(memcmp(b->value, c->value, 1500 * sizeof(float)) == 0); /* by name and seed alone */
    double square = 0, bound = sqrt(6.0 / 80), largest = 0;
    for (int64_t i = 0; i < a->count; i++) square += pow((double)((float *)a->value)[i], 2);
    for (int64_t i = 0; i < b->count; i++) largest = fmax(largest, fabs((double)((float *)b->value)[i]));
    CHECK_NEAR(square / (double)a->count, 2.0 / 72, 2e-3);
    CHECK(largest <= bound && largest > 0.97 * bound);
    CHECK((uintptr_t)b->value % 64 == 0 && parameters_find(p, "b") == b && parameters_find(p, "c") == NULL);
    parameters_destroy(p);
    parameters_destroy(q);
    CHECK_OK(parameters_create(DTYPE_F32, &p));
    parameters_add(p, "a", 1, (int64_t[]){2}, (Init){INIT_ZERO, 0});
    CHECK(parameters_add(p, "a", 1, (int64_t[]){2}, (Init){INIT_ZERO, 0}) == NULL);
    CHECK_FAILS(parameters_allocate(p, 5), STATUS_INTERNAL, "parameter a: declared twice");
    parameters_destroy(p);
}

TEST_MAIN(TEST(test_as_pytorch), TEST(test_state), TEST(test_clip), TEST(test_schedule), TEST(test_parameters))
