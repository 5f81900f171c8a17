/* What carries out a graph: memory and one set of kernels per op. The CPU
 * backend is oneDNN and own loops; a GPU backend is one more table. Models
 * never see this header's insides. */
#ifndef ENGINE_BACKEND_H
#define ENGINE_BACKEND_H

#include <stddef.h>

#include "models/engine/tensor.h"

typedef struct OpKernels {
    /* Once, after shapes are known and memory is planned: op->state. May be NULL. */
    Status (*prepare)(Op *op);
    Status (*forward)(Op *op);
    /* Adds to, or overwrites (op_accumulates), the inputs' gradients. NULL: not differentiable. */
    Status (*backward)(Op *op);
    void (*release)(Op *op); /* frees op->state; may be NULL */
} OpKernels;

typedef struct Backend {
    const char *name;
    Status (*allocate)(size_t bytes, void **memory); /* 64-byte aligned, zeroed */
    void (*deallocate)(void *memory);
    Status (*upload)(void *to, const void *from, size_t bytes);   /* host to device */
    Status (*download)(void *to, const void *from, size_t bytes); /* device to host */
    const OpKernels *(*kernels)(int op_kind, Dtype dtype);        /* NULL: not supported */
} Backend;

const Backend *backend_cpu(void);
/* Threads for the kernels of this process (OpenMP); 1 by default. */
void backend_cpu_set_threads(int threads);

#endif
