/* Private to cpu/: how an op's kernels are written and found.
 *
 * Op NAME of OP_KINDS exports `const OpKernels kernels_NAME[2]`, for DTYPE_F32
 * and DTYPE_F64, from one of the files kernels_*.c. Where both forms are the
 * same loops, the body is a template, kernels_X.inc, included twice:
 *
 *     #include "models/engine/cpu/real_f32.h"     // REAL, FORM(name), REAL_IS_F32
 *     #include "models/engine/cpu/kernels_X.inc"  // static Status FORM(thing_forward)(Op *op) {...}
 *     #include "models/engine/cpu/real_f64.h"
 *     #include "models/engine/cpu/kernels_X.inc"
 *     const OpKernels kernels_thing[2] = {
 *         {.forward = thing_forward_f32, .backward = thing_backward_f32},
 *         {.forward = thing_forward_f64, .backward = thing_backward_f64},
 *     };
 *
 * Rules of a kernel:
 * - forward writes all of out->data; backward reads out->grad and, for each k
 *   in increasing order with op_wants_grad(op, k), adds to in[k]->grad where
 *   accumulate[k], else overwrites all of it. (The order matters where the
 *   same tensor stands in two slots: then accumulate of the later is true.)
 * - What backward may read of in[k]->data and out->data is said in the table
 *   of graph_plan.c (backward_reads), since memory is planned by it.
 * - No allocation in forward or backward. prepare may allocate op->state and
 *   may raise op->scratch_bytes; op->scratch is set after all are prepared.
 * - Bits do not depend on the number of threads: each output element is made
 *   by one thread, in an order that does not depend on their number. */
#ifndef ENGINE_CPU_KERNELS_H
#define ENGINE_CPU_KERNELS_H

#include "models/engine/op.h"

#define X(kind, name) extern const OpKernels kernels_##name[2];
OP_KINDS(X)
#undef X

extern int cpu_threads; /* set by backend_cpu_set_threads */

/* Whether `work` elementary operations are worth waking the other threads:
 *     #pragma omp parallel for schedule(static) if (cpu_parallel(rows * columns)) */
static inline bool cpu_parallel(int64_t work)
{
    return cpu_threads > 1 && work >= 32768;
}

#endif
