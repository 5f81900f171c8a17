/* Private to the segmenter: exponentials of float32 that loops can vectorise. */
#ifndef SEGMENTER_SIGMOID_H
#define SEGMENTER_SIGMOID_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* exp(-a), a >= 0: two-part reduction by ln 2 and the Taylor polynomial of degree 7 on +-ln2/2, 1e-7 relative;
 * written out so that loops over it vectorise, which libm's does not. Below exp(-87) it stays there. */
static inline float exp_negative_f32(float a)
{
    a = a < 87.0f ? a : 87.0f;
    float n = floorf(0.5f - a * 1.44269504f);
    float r = (-a - n * 0.693359375f) + n * 2.12194440e-4f;
    float e = 1 + r * (1 + r * (0.5f + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720 + r / 5040))))));
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return e * power;
}

/* log(1 + e), 0 <= e <= 1, as 2 artanh(e / (2 + e)): |z| <= 1/3, terms to z^17, 1e-9 relative. */
static inline float log_one_plus_f32(float e)
{
    float z = e / (2 + e), y = z * z;
    float sum = 1.0f / 17;
    sum = sum * y + 1.0f / 15;
    sum = sum * y + 1.0f / 13;
    sum = sum * y + 1.0f / 11;
    sum = sum * y + 1.0f / 9;
    sum = sum * y + 1.0f / 7;
    sum = sum * y + 1.0f / 5;
    sum = sum * y + 1.0f / 3;
    return 2 * z * (sum * y + 1);
}

static inline float sigmoid_f32(float x)
{
    float e = exp_negative_f32(x < 0 ? -x : x);
    float small = e / (1 + e);
    return x < 0 ? small : 1 - small;
}

#endif
