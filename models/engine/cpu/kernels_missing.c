/* Ops without kernels yet: graph_compile says so. Whoever adds kernels_NAME
 * deletes its line here. */
#include "models/engine/cpu/kernels.h"

#define MISSING(name) const OpKernels kernels_##name[2] = {{0}, {0}};

