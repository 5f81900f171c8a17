/* float32 functions against libm's double ones, in units of the last place. */
#include "models/engine/cpu/vector_math.h"
#include "tests/test.h"

static double worst_ulp(float (*ours)(float), double (*reference)(double), float from, float to)
{
    double worst = 0;
    enum { STEPS = 200000 };
    for (int i = 0; i <= STEPS; i++) {
        float x = from + (to - from) * (float)i / STEPS;
        double expected = reference((double)x);
        float rounded = (float)expected;
        double ulp = (double)nextafterf(fabsf(rounded), INFINITY) - (double)fabsf(rounded);
        double error = fabs((double)ours(x) - expected) / ulp;
        if (!(error <= worst)) worst = error;
    }
    return worst;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static void test_accuracy(void)
{
    double exp_ulp = fmax(worst_ulp(vector_exp_f32, exp, -86.5f, 88.7f), worst_ulp(vector_exp_f32, exp, -1, 1));
    double log_ulp = fmax(worst_ulp(vector_log_f32, log, 1e-6f, 4), worst_ulp(vector_log_f32, log, 2, 1e30f));
    double tanh_ulp = worst_ulp(vector_tanh_f32, tanh, -12, 12), erf_ulp = worst_ulp(vector_erf_f32, erf, -6, 6);
    double sigmoid_ulp = worst_ulp(vector_sigmoid_f32, sigmoid, -80, 80);
    printf("  ulp: exp %.2f, log %.2f, tanh %.2f, erf %.2f, sigmoid %.2f\n", exp_ulp, log_ulp, tanh_ulp, erf_ulp, sigmoid_ulp);
    CHECK(exp_ulp <= 1.5);
    CHECK(log_ulp <= 1.5);
    CHECK(tanh_ulp <= 2);
    CHECK(erf_ulp <= 2);
    CHECK(sigmoid_ulp <= 2.5);
}

static void test_ends(void)
{
    CHECK(vector_exp_f32(-INFINITY) == 0 && vector_exp_f32(-1e30f) == 0 && vector_exp_f32(-90) == 0);
    CHECK(vector_exp_f32(INFINITY) == INFINITY && vector_exp_f32(100) == INFINITY && vector_exp_f32(0) == 1);
    CHECK(vector_log_f32(0) == -INFINITY && vector_log_f32(INFINITY) == INFINITY && vector_log_f32(1) == 0);
    CHECK(isnan(vector_log_f32(-1)) && isnan(vector_log_f32(NAN)) && isnan(vector_exp_f32(NAN)));
    CHECK(vector_tanh_f32(INFINITY) == 1 && vector_tanh_f32(-50) == -1 && isnan(vector_tanh_f32(NAN)));
    CHECK(vector_erf_f32(INFINITY) == 1 && vector_erf_f32(-50) == -1 && isnan(vector_erf_f32(NAN)));
    CHECK(vector_sigmoid_f32(-INFINITY) == 0 && vector_sigmoid_f32(INFINITY) == 1 && vector_sigmoid_f32(0) == 0.5f);
}

TEST_MAIN(TEST(test_accuracy), TEST(test_ends))
