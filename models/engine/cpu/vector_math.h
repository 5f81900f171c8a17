/* Elementary functions that GCC vectorises in plain loops without -ffast-math:
 * no branches, no calls. float32 within 2 ulp (tests/models/engine/
 * test_vector_math.c); results below 2.4e-38 become 0. float64, for checks,
 * is libm. NaN stays NaN. */
#ifndef ENGINE_CPU_VECTOR_MATH_H
#define ENGINE_CPU_VECTOR_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* e^x = 2^n e^r with |r| <= ln(2)/2. Adding 1.5 * 2^23 rounds to the integer n
 * and leaves it in the low bits. The power of two is applied as 2^(n-1) and 2,
 * so that e^88.7 does not overflow on the way. */
static inline float vector_exp_f32(float x)
{
    const float magic = 12582912.0f;
    float z = fmaf(x, 1.44269504f, magic);
    float n = z - magic;
    float r = fmaf(n, -0.693359375f, x);
    r = fmaf(n, 2.12194440e-4f, r);
    float p = 1.98756915e-4f;
    p = fmaf(p, r, 1.39819995e-3f);
    p = fmaf(p, r, 8.33345194e-3f);
    p = fmaf(p, r, 4.16657963e-2f);
    p = fmaf(p, r, 1.66666655e-1f);
    p = fmaf(p, r, 5.00000012e-1f);
    p = fmaf(p, r * r, r) + 1.0f;
    float power = float_from_bits((float_bits(z) - float_bits(magic) + 126u) << 23);
    float y = p * power * 2.0f;
    y = x < -86.6f ? 0.0f : y;
    return x > 88.72283f ? INFINITY : y;
}

static inline double vector_exp_f64(double x)
{
    return exp(x);
}

/* x = m 2^e with m in [sqrt(1/2), sqrt(2)); log(m) by a polynomial (Cephes).
 * Below the normal numbers: -infinity; of negatives: NaN. */
static inline float vector_log_f32(float x)
{
    int32_t e = (int32_t)(float_bits(x) - 0x3f3504f3u) >> 23;
    float m = float_from_bits(float_bits(x) - ((uint32_t)e << 23));
    float n = (float)e, f = m - 1.0f, s = f * f;
    float p = 7.0376836292e-2f;
    p = fmaf(p, f, -1.1514610310e-1f);
    p = fmaf(p, f, 1.1676998740e-1f);
    p = fmaf(p, f, -1.2420140846e-1f);
    p = fmaf(p, f, 1.4249322787e-1f);
    p = fmaf(p, f, -1.6668057665e-1f);
    p = fmaf(p, f, 2.0000714765e-1f);
    p = fmaf(p, f, -2.4999993993e-1f);
    p = fmaf(p, f, 3.3333331174e-1f);
    p = fmaf(n, -2.12194440e-4f, p * f * s);
    p = fmaf(-0.5f, s, p);
    float y = fmaf(n, 0.693359375f, f + p);
    y = x < 1.17549435e-38f ? -INFINITY : y;
    y = x < 0.0f ? NAN : y;
    return x <= 3.40282347e38f ? y : x; /* infinity and NaN stay */
}

static inline double vector_log_f64(double x)
{
    return log(x);
}

static inline float vector_sigmoid_f32(float x)
{
    return 1.0f / (1.0f + vector_exp_f32(-x));
}

static inline double vector_sigmoid_f64(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

/* A polynomial near 0, where the quotient would cancel (Cephes). */
static inline float vector_tanh_f32(float x)
{
    float a = fabsf(x), s = x * x;
    float far = 1.0f - 2.0f / (vector_exp_f32(a + a) + 1.0f);
    float p = -5.70498872745e-3f;
    p = fmaf(p, s, 2.06390887954e-2f);
    p = fmaf(p, s, -5.37397155531e-2f);
    p = fmaf(p, s, 1.33314422036e-1f);
    p = fmaf(p, s, -3.33332819422e-1f);
    float near = fmaf(p * s, x, x);
    return a < 0.625f ? near : copysignf(far, x);
}

static inline double vector_tanh_f64(double x)
{
    return tanh(x);
}

/* 1 - e^(a polynomial in |x|) away from 0, a polynomial near it. */
static inline float vector_erf_f32(float x)
{
    float t = fabsf(x), s = x * x;
    float r = fmaf(-1.72853470e-5f, t, 3.83197126e-4f);
    r = fmaf(r, s, fmaf(-3.88396438e-3f, t, 2.42546219e-2f));
    r = fmaf(r, t, -1.06777877e-1f);
    r = fmaf(r, t, -6.34846687e-1f);
    r = fmaf(r, t, -1.28717512e-1f);
    r = fmaf(r, t, -t);
    float far = 1.0f - vector_exp_f32(r);
    float p = -5.96761703e-4f;
    p = fmaf(p, s, 4.99119423e-3f);
    p = fmaf(p, s, -2.67681349e-2f);
    p = fmaf(p, s, 1.12819925e-1f);
    p = fmaf(p, s, -3.76125336e-1f);
    p = fmaf(p, s, 1.28379166e-1f);
    float near = fmaf(p, x, x);
    /* Beyond 4 erf is 1 in float32, and the polynomial no longer holds. */
    far = t > 4.0f ? 1.0f : far;
    return t > 0.927734375f ? copysignf(far, x) : near;
}

static inline double vector_erf_f64(double x)
{
    return erf(x);
}

static inline float absolute_f32(float x)
{
    return fabsf(x);
}

static inline double absolute_f64(double x)
{
    return fabs(x);
}

static inline float square_root_f32(float x)
{
    return sqrtf(x);
}

static inline double square_root_f64(double x)
{
    return sqrt(x);
}

#endif
