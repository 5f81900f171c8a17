/* Curves in bounded memory, what is drawn of them, and the statistics of the table. */
#include "dashboards/curves.h"
#include "framework/memory.h"
#include "models/metrics/statistics.h"
#include "tests/test.h"

enum { LIMIT = 2 * CURVE_CELLS };

static double shape(int64_t step)
{
    return sin((double)step * 0.01) + (step == 31337 ? 50 : 0) - (step == 77777 ? 40 : 0);
}

static Curve *make_curve(int64_t points, int64_t stride)
{
    Curve *curve = memory_alloc_zero(1, sizeof *curve);
    CHECK(curve != NULL);
    curve_init(curve, 0);
    for (int64_t i = 0; i < points; i++) curve_add(curve, i * stride, shape(i * stride));
    return curve;
}

static void test_few_points_are_all_shown(void)
{
    int64_t steps[LIMIT];
    double values[LIMIT];
    Curve *curve = make_curve(300, 1);
    CHECK_INT(curve_thin(curve, 800, steps, values), 300);
    for (int i = 0; i < 300; i++) {
        CHECK_INT(steps[i], i);
        CHECK(values[i] == shape(i));
    }
    memory_free(curve);
}

/* However few points are drawn: those that stand out are among them, in order, each a point of the curve. */
static void test_extremes_are_kept(void)
{
    static const size_t LIMITS[] = {4, 5, 60, 240, 801, LIMIT};
    int64_t *steps = memory_alloc(LIMIT * sizeof *steps);
    double *values = memory_alloc(LIMIT * sizeof *values);
    Curve *curve = make_curve(100000, 1);
    CHECK_INT(curve->count, 100000);
    for (size_t l = 0; l < sizeof LIMITS / sizeof LIMITS[0]; l++) {
        size_t count = curve_thin(curve, LIMITS[l], steps, values);
        bool high = false, low = false;
        CHECK(count >= 2 && count <= LIMITS[l]);
        for (size_t i = 0; i < count; i++) {
            CHECK(values[i] == shape(steps[i]));
            CHECK(i == 0 || steps[i] > steps[i - 1]);
            high |= steps[i] == 31337;
            low |= steps[i] == 77777;
        }
        CHECK(high && low);
    }
    memory_free(curve);
    memory_free(steps);
    memory_free(values);
}

static void test_sparse_steps_and_gaps(void)
{
    int64_t steps[LIMIT];
    double values[LIMIT];
    Curve *curve = make_curve(100, 5000);
    CHECK_INT(curve_thin(curve, 200, steps, values), 100);
    CHECK_INT(steps[99], 99 * 5000);
    curve_add(curve, 500000, (double)NAN);
    curve_add(curve, 505000, (double)INFINITY);
    CHECK_INT(curve->gaps, 2);
    CHECK_INT(curve->count, 100);
    CHECK_INT(curve->next, 505001);
    CHECK_INT(curve_thin(curve, 200, steps, values), 100);
    memory_free(curve);
    curve = make_curve(0, 1);
    CHECK_INT(curve_thin(curve, 200, steps, values), 0);
    memory_free(curve);
}

static void test_cache_drops_the_oldest(void)
{
    CurveCache *cache = curve_cache_create();
    Curve *curve;
    char name[32];
    CHECK(cache != NULL);
    for (int i = 0; i < 3 * CURVE_CACHE_LIMIT; i++) {
        snprintf(name, sizeof name, "metric %d", i);
        CHECK_OK(curve_cache_entry(cache, "0123456789abcdef0123456789abcdef", name, &curve));
        CHECK_STRING(curve->name, name);
        CHECK_INT(curve->next, 0);
        curve_add(curve, 7, 1);
        CHECK_OK(curve_cache_entry(cache, "0123456789abcdef0123456789abcdef", name, &curve));
        CHECK_INT(curve->next, 8); /* the same, not another */
    }
    char longest[80];
    memset(longest, 'x', sizeof longest);
    longest[79] = '\0';
    CHECK_FAILS(curve_cache_entry(cache, "0123456789abcdef0123456789abcdef", longest, &curve), STATUS_INVALID, "name");
    curve_cache_destroy(cache);
}

static void test_estimate_with_a_known_quantile(void)
{
    static const double VALUES[] = {0.25, 0.5, 0.1, 0.75, 0.33};
    for (int64_t count = 0; count <= 5; count++) {
        double t = count < 2 ? 0 : statistics_t_quantile(0.975, (double)(count - 1));
        Estimate a = statistics_estimate(VALUES, count, 0.95), b = statistics_estimate_at(VALUES, count, t);
        CHECK_INT(a.count, b.count);
        CHECK(a.has_interval == b.has_interval && a.half_width == b.half_width && a.deviation == b.deviation);
        CHECK(count == 0 || a.mean == b.mean);
    }
}

TEST_MAIN(TEST(test_few_points_are_all_shown), TEST(test_extremes_are_kept), TEST(test_sparse_steps_and_gaps),
          TEST(test_cache_drops_the_oldest), TEST(test_estimate_with_a_known_quantile))
