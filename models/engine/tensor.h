/* Tensors of a graph. Row-major, up to 4 dimensions, last fastest. Feature
 * maps are channels-last, [N, H, W, C], so that the same memory is the token
 * sequence [N, H*W, C]; images are [N, H, W, 3]. */
#ifndef ENGINE_TENSOR_H
#define ENGINE_TENSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "framework/status.h"

#define TENSOR_MAX_RANK 4

/* F64 exists for gradient checks: every op has it, by plain loops. I32 holds
 * indices (labels, rows), never gradients. U8 holds masks. */
#define DTYPES(X)          \
    X(DTYPE_F32, "f32", 4) \
    X(DTYPE_F64, "f64", 8) \
    X(DTYPE_I32, "i32", 4) \
    X(DTYPE_U8, "u8", 1)

typedef enum Dtype {
#define X(dtype, name, size) dtype,
    DTYPES(X)
#undef X
    DTYPE_COUNT
} Dtype;

int dtype_size(Dtype dtype);
const char *dtype_name(Dtype dtype);

typedef struct Graph Graph;
typedef struct Op Op;
typedef struct Parameter Parameter;

typedef struct Tensor {
    Graph *graph;
    Dtype dtype;
    int rank;                       /* 0: a scalar, one element */
    int64_t shape[TENSOR_MAX_RANK]; /* unused dimensions are 1 */
    int64_t count;                  /* elements */
    void *data;                     /* set by graph_compile */
    void *grad;                     /* same dtype and shape; NULL where none is needed */
    bool needs_grad;
    /* private to the engine */
    Op *producer;                   /* NULL for inputs, constants, parameters */
    Parameter *parameter;           /* of a parameter's tensor */
    struct Tensor *alias_of;        /* a reshape shares memory with this one */
    int id;
    int last_backward;              /* of a parameter: the op whose backward is the last to add to its gradient; -1: none */
    bool is_input, is_output, want_input_grad;
} Tensor;

#endif
