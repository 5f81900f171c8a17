#include "models/metrics/statistics.h"
#include "tests/test.h"

/* Table values of Student's t, two-sided 95 % and 99 % (NIST/SEMATECH e-Handbook, 1.3.6.7.2, to its 3 decimals; the
 * further digits of 1 and 2 degrees are closed forms). */
static void test_table_values(void)
{
    static const struct { double degrees, t95, t99; } table[] = {
        {1, 12.706, 63.657}, {2, 4.303, 9.925}, {3, 3.182, 5.841}, {4, 2.776, 4.604}, {5, 2.571, 4.032},
        {9, 2.262, 3.250},   {10, 2.228, 3.169}, {20, 2.086, 2.845}, {30, 2.042, 2.750}, {100, 1.984, 2.626}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        CHECK_NEAR(statistics_t_quantile(0.975, table[i].degrees), table[i].t95, 6e-4);
        CHECK_NEAR(statistics_t_quantile(0.995, table[i].degrees), table[i].t99, 6e-4);
    }
    CHECK_NEAR(statistics_t_quantile(0.975, 1e7), 1.959964, 1e-5); /* the normal distribution */
}

static void test_closed_forms(void)
{
    for (int i = 1; i < 100; i++) {
        double p = i / 100.0, a = 4.0 * p * (1.0 - p);
        CHECK_NEAR(statistics_t_quantile(p, 1), tan(3.14159265358979323846 * (p - 0.5)), 1e-9);
        CHECK_NEAR(statistics_t_quantile(p, 2), 2.0 * (p - 0.5) * sqrt(2.0 / a), 1e-11);
        CHECK_NEAR(statistics_t_cumulative(statistics_t_quantile(p, 7.5), 7.5), p, 1e-13);
    }
    CHECK_NEAR(statistics_incomplete_beta(1.0, 1.0, 0.3), 0.3, 1e-14);
    CHECK_NEAR(statistics_incomplete_beta(2.0, 3.0, 0.4), 0.5248, 1e-13); /* sum of binomials 4 over 2..4 at 0.4 */
    CHECK_NEAR(statistics_incomplete_beta(2.0, 3.0, 0.0), 0.0, 0.0);
    CHECK_NEAR(statistics_incomplete_beta(2.0, 3.0, 1.0), 1.0, 0.0);
}

static void test_estimates(void)
{
    const double values[] = {10.0, 12.0, 14.0};
    Estimate three = statistics_estimate(values, 3, 0.95);
    CHECK_NEAR(three.mean, 12.0, 0.0);
    CHECK_NEAR(three.deviation, 2.0, 1e-15);
    CHECK_NEAR(three.half_width, 4.302652729749464 * 2.0 / sqrt(3.0), 1e-11);
    CHECK(three.has_interval);
    Estimate one = statistics_estimate(values, 1, 0.95);
    CHECK_NEAR(one.mean, 10.0, 0.0);
    CHECK(!one.has_interval && one.half_width == 0.0 && one.deviation == 0.0);
    Estimate none = statistics_estimate(values, 0, 0.95);
    CHECK(isnan(none.mean) && !none.has_interval);
    const double same[] = {0.25, 0.25};
    CHECK_NEAR(statistics_estimate(same, 2, 0.95).half_width, 0.0, 0.0);
}

TEST_MAIN(TEST(test_table_values), TEST(test_closed_forms), TEST(test_estimates))
