#include "models/metrics/statistics.h"

#include <float.h>
#include <math.h>

/* Continued fraction of the incomplete beta function by the modified Lentz
 * method (Press et al., "Numerical Recipes", 6.4; Abramowitz & Stegun 26.5.8). */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1.0, d = 1.0 - (a + b) * x / (a + 1.0);
    d = 1.0 / (fabs(d) < tiny ? tiny : d);
    double fraction = d;
    for (int m = 1; m <= 10000; m++) {
        double even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        double factor = 1.0;
        for (int half = 0; half < 2; half++) {
            double numerator = half == 0 ? even : odd;
            d = 1.0 + numerator * d;
            d = 1.0 / (fabs(d) < tiny ? tiny : d);
            c = 1.0 + numerator / c;
            c = fabs(c) < tiny ? tiny : c;
            factor = d * c;
            fraction *= factor;
        }
        if (fabs(factor - 1.0) < 4.0 * DBL_EPSILON)
            break;
    }
    return fraction;
}

double statistics_incomplete_beta(double a, double b, double x)
{
    if (x <= 0.0)
        return 0.0;
    if (x >= 1.0)
        return 1.0;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1.0) / (a + b + 2.0)) /* where the fraction converges fast */
        return front * beta_fraction(a, b, x) / a;
    return 1.0 - front * beta_fraction(b, a, 1.0 - x) / b;
}

/* P(T > |t|), kept apart from 1 - P(T <= t) so that small tails keep their digits. */
static double t_tail(double t, double degrees)
{
    /* Abramowitz & Stegun 26.7.1: P(|T| > t) = I_x(v/2, 1/2), x = v / (v + t^2). */
    return 0.5 * statistics_incomplete_beta(0.5 * degrees, 0.5, degrees / (degrees + t * t));
}

double statistics_t_cumulative(double t, double degrees)
{
    double tail = t_tail(t, degrees);
    return t >= 0.0 ? 1.0 - tail : tail;
}

double statistics_t_quantile(double probability, double degrees)
{
    if (probability == 0.5)
        return 0.0;
    double tail = probability < 0.5 ? probability : 1.0 - probability; /* of the upper half */
    double low = 0.0, high = 1.0;
    while (t_tail(high, degrees) > tail && high < 1e150) {
        low = high;
        high *= 2.0;
    }
    for (int i = 0; i < 200 && high - low > 2.0 * DBL_EPSILON * high; i++) {
        double middle = 0.5 * (low + high);
        if (t_tail(middle, degrees) > tail)
            low = middle;
        else
            high = middle;
    }
    double t = 0.5 * (low + high);
    return probability < 0.5 ? -t : t;
}

Estimate statistics_estimate_at(const double *values, int64_t count, double t)
{
    Estimate estimate = {.count = count, .mean = (double)NAN};
    if (count < 1)
        return estimate;
    double sum = 0.0, squares = 0.0;
    for (int64_t i = 0; i < count; i++)
        sum += values[i];
    estimate.mean = sum / (double)count;
    if (count < 2)
        return estimate;
    for (int64_t i = 0; i < count; i++)
        squares += (values[i] - estimate.mean) * (values[i] - estimate.mean);
    estimate.deviation = sqrt(squares / (double)(count - 1));
    estimate.half_width = t * estimate.deviation / sqrt((double)count);
    estimate.has_interval = true;
    return estimate;
}

Estimate statistics_estimate(const double *values, int64_t count, double confidence)
{
    double t = count < 2 ? 0.0 : statistics_t_quantile(0.5 + 0.5 * confidence, (double)(count - 1));
    return statistics_estimate_at(values, count, t);
}
