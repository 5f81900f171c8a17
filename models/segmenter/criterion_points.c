#include "models/segmenter/criterion_points.h"

#include <math.h>
#include <string.h>

#include "models/segmenter/sigmoid.h"

static inline double exp_negative_f64(double a)
{
    return exp(-a);
}

static inline double log_one_plus_f64(double e)
{
    return log1p(e);
}

#define REAL float
#define FORM(name) name##_f32
#define FLOOR floorf
#include "models/segmenter/criterion_points.inc"
#undef REAL
#undef FORM
#undef FLOOR
#define REAL double
#define FORM(name) name##_f64
#define FLOOR floor
#include "models/segmenter/criterion_points.inc"
