#include <omp.h>
#include <string.h>

#include "framework/memory.h"
#include "models/engine/cpu/kernels.h"

int cpu_threads = 1;

static Status cpu_allocate(size_t bytes, void **memory)
{
    *memory = memory_alloc_aligned(bytes);
    if (*memory == NULL) return status_no_memory(bytes, "tensors");
    memset(*memory, 0, bytes);
    return OK;
}

static Status cpu_copy(void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
    return OK;
}

static const OpKernels *cpu_kernels(int op_kind, Dtype dtype)
{
    static const OpKernels *const table[] = {
#define X(kind, name) [kind] = kernels_##name,
        OP_KINDS(X)
#undef X
    };
    _Static_assert(sizeof table / sizeof table[0] == OP_KIND_COUNT, "every op has kernels");
    _Static_assert(DTYPE_F32 == 0 && DTYPE_F64 == 1, "kernels_NAME is indexed by these");
    const OpKernels *kernels = &table[op_kind][dtype];
    return kernels->forward == NULL ? NULL : kernels;
}

const Backend *backend_cpu(void)
{
    static const Backend backend = {"cpu", cpu_allocate, memory_free, cpu_copy, cpu_copy, cpu_kernels};
    omp_set_num_threads(cpu_threads); /* OpenMP's own default is every core */
    return &backend;
}

void backend_cpu_set_threads(int threads)
{
    cpu_threads = threads < 1 ? 1 : threads;
    omp_set_num_threads(cpu_threads);
}
