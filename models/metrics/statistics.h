/* Mean and interval of a few seeds. */
#ifndef MODELS_METRICS_STATISTICS_H
#define MODELS_METRICS_STATISTICS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Estimate {
    int64_t count;
    double mean;          /* NaN where count is 0 */
    double deviation;     /* of the sample, n - 1 in the denominator; 0 where count < 2 */
    double half_width;    /* of the interval mean +- half_width; 0 without one */
    bool has_interval;    /* count >= 2 */
} Estimate;

/* Student's t interval for the mean of a normal sample; `confidence` in (0, 1), by custom 0.95. */
Estimate statistics_estimate(const double *values, int64_t count, double confidence);
/* The same where `t` = statistics_t_quantile(0.5 + confidence / 2, count - 1) is known: tables have many cells with the
 * same count. `t` is not looked at where count < 2. */
Estimate statistics_estimate_at(const double *values, int64_t count, double t);
/* P(T <= t) and its inverse for Student's t; `degrees` > 0, `probability` in (0, 1). */
double statistics_t_cumulative(double t, double degrees);
double statistics_t_quantile(double probability, double degrees);
/* Regularised incomplete beta function I_x(a, b); a, b > 0, x in [0, 1]. */
double statistics_incomplete_beta(double a, double b, double x);

#endif
