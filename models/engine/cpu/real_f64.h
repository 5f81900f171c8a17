/* Included before a kernels_*.inc: the float64 form. No include guard. */
#undef REAL
#undef FORM
#undef REAL_IS_F32
#define REAL double
#define FORM(name) name##_f64
#define REAL_IS_F32 0
