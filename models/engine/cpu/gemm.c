#include "models/engine/cpu/gemm.h"

#include <dnnl.h>

void gemm_f32(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
              int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    /* Fails only on sizes that the building functions let nobody ask for. */
    dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void gemm_f64(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha, const double *a,
              int64_t lda, const double *b, int64_t ldb, double beta, double *c, int64_t ldc)
{
    int64_t a_row = transpose_a ? 1 : lda, a_column = transpose_a ? lda : 1;
    for (int64_t i = 0; i < m; i++) {
        double *row = c + i * ldc;
        for (int64_t j = 0; j < n; j++) row[j] = beta == 0 ? 0 : beta * row[j];
        if (transpose_b) {
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t p = 0; p < k; p++) sum += a[i * a_row + p * a_column] * b[j * ldb + p];
                row[j] += alpha * sum;
            }
            continue;
        }
        for (int64_t p = 0; p < k; p++) {
            double factor = alpha * a[i * a_row + p * a_column];
            for (int64_t j = 0; j < n; j++) row[j] += factor * b[p * ldb + j];
        }
    }
}
