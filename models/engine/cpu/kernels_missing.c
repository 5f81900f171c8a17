/* Ops without kernels yet: graph_compile says so. Whoever adds kernels_NAME
 * deletes its line here. */
#include "models/engine/cpu/kernels.h"

#define MISSING(name) const OpKernels kernels_##name[2] = {{0}, {0}};

MISSING(linear)
MISSING(matmul)
MISSING(attention)
MISSING(layer_norm)
MISSING(normalize)
MISSING(activation)
MISSING(sum)
MISSING(product)
MISSING(scale)
MISSING(dropout)
MISSING(softmax)
MISSING(pair_sum)
MISSING(concat)
MISSING(slice)
MISSING(gather)
MISSING(swap_middle)
MISSING(cross_entropy)
MISSING(l1_loss)
MISSING(softmax_kl)
MISSING(mmd_loss)
MISSING(mean)
MISSING(total)
