/* Matrix products of the CPU backend, row-major, any leading dimension:
 * c [m, n] = alpha op(a) op(b) + beta c, op(a) [m, k], op(b) [k, n];
 * `transpose_a`: a is stored [k, m]. beta = 0 does not read c. float32 is
 * oneDNN's (threaded by OpenMP outside a parallel region, serial within one);
 * float64 is plain loops, for checks. */
#ifndef ENGINE_CPU_GEMM_H
#define ENGINE_CPU_GEMM_H

#include <stdbool.h>
#include <stdint.h>

void gemm_f32(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
              int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
void gemm_f64(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha, const double *a,
              int64_t lda, const double *b, int64_t ldb, double beta, double *c, int64_t ldc);

#endif
