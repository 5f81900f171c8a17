/* Included before a kernels_*.inc: the float32 form. No include guard. */
#undef REAL
#undef FORM
#undef REAL_IS_F32
#define REAL float
#define FORM(name) name##_f32
#define REAL_IS_F32 1
