/* The tree is made like a binary counter: level l holds the sum of 2^l samples
 * until its right neighbour is there too, and both become one of level l + 1.
 * An addition is commutative bit for bit, so only the pairing matters. */
#include <string.h>

#include "framework/memory.h"
#include "models/engine/cpu/kernels.h"
#include "models/engine/optimizer.h"

enum { LEVELS = 40 };

struct GradientTree {
    int64_t elements;
    Dtype dtype;
    void *level[LEVELS]; /* made when first needed, then kept */
    bool full[LEVELS];
};

Status gradient_tree_create(int64_t elements, Dtype dtype, GradientTree **tree)
{
    *tree = memory_alloc_zero(1, sizeof **tree);
    if (*tree == NULL) return status_no_memory(sizeof **tree, "a gradient tree");
    (*tree)->elements = elements;
    (*tree)->dtype = dtype;
    return OK;
}

void gradient_tree_destroy(GradientTree *tree)
{
    if (tree == NULL) return;
    for (int l = 0; l < LEVELS; l++) memory_free(tree->level[l]);
    memory_free(tree);
}

void gradient_tree_reset(GradientTree *tree)
{
    memset(tree->full, 0, sizeof tree->full);
}

/* to = a + b; `to` may be either. */
static void add(const GradientTree *tree, const void *a, const void *b, void *to)
{
    int64_t count = tree->elements;
    if (tree->dtype == DTYPE_F32) {
        const float *x = a, *y = b;
        float *z = to;
#pragma omp parallel for simd schedule(static) if (cpu_parallel(count))
        for (int64_t i = 0; i < count; i++) z[i] = x[i] + y[i];
    } else {
        const double *x = a, *y = b;
        double *z = to;
#pragma omp parallel for simd schedule(static) if (cpu_parallel(count))
        for (int64_t i = 0; i < count; i++) z[i] = x[i] + y[i];
    }
}

static size_t bytes_of(const GradientTree *tree)
{
    return (size_t)tree->elements * (size_t)dtype_size(tree->dtype);
}

Status gradient_tree_push(GradientTree *tree, const void *gradient)
{
    int l = 0;
    while (l < LEVELS - 1 && tree->full[l]) l++;
    if (tree->level[l] == NULL) {
        tree->level[l] = memory_alloc_aligned(bytes_of(tree));
        if (tree->level[l] == NULL) return status_no_memory(bytes_of(tree), "a gradient tree");
    }
    if (l == 0) {
        memcpy(tree->level[0], gradient, bytes_of(tree));
    } else {
        /* Level 0's partner is new; each sum made goes up by one. */
        add(tree, tree->level[0], gradient, tree->level[l]);
        for (int below = 1; below < l; below++) add(tree, tree->level[below], tree->level[l], tree->level[l]);
    }
    for (int below = 0; below < l; below++) tree->full[below] = false;
    tree->full[l] = true;
    return OK;
}

static void multiply(const GradientTree *tree, const void *from, double factor, void *to)
{
    int64_t count = tree->elements;
    if (tree->dtype == DTYPE_F32) {
        const float *x = from;
        float *y = to, f = (float)factor;
#pragma omp parallel for simd schedule(static) if (cpu_parallel(count))
        for (int64_t i = 0; i < count; i++) y[i] = x[i] * f;
    } else {
        const double *x = from;
        double *y = to;
#pragma omp parallel for simd schedule(static) if (cpu_parallel(count))
        for (int64_t i = 0; i < count; i++) y[i] = x[i] * factor;
    }
}

Status gradient_tree_finish(GradientTree *tree, double factor, void *out)
{
    const void *sum = NULL;
    for (int l = 0; l < LEVELS; l++) {
        if (!tree->full[l]) continue;
        if (sum != NULL) {
            add(tree, tree->level[l], sum, out);
            sum = out;
        } else {
            sum = tree->level[l];
        }
    }
    if (sum == NULL) memset(out, 0, bytes_of(tree));
    else multiply(tree, sum, factor, out);
    return OK;
}
