/* Private to the engine: what an op is. Every op kind is one row of OP_KINDS,
 * one section of an ops_*.c file (the building function with its shape rule)
 * and one entry of each backend's table (cpu/kernels_*.c: kernels_KIND).
 * A reshape is no op: its tensor is an alias. */
#ifndef ENGINE_OP_H
#define ENGINE_OP_H

#include "models/engine/ops.h"

#define OP_KINDS(X)                                                              \
    X(OP_LINEAR, linear) X(OP_MATMUL, matmul) X(OP_ATTENTION, attention)         \
    X(OP_CONV2D, conv2d) X(OP_MAX_POOL, max_pool) X(OP_RESIZE, resize)           \
    X(OP_RESIZE_NEAREST, resize_nearest) X(OP_ATTENTION_MASK, attention_mask)    \
    X(OP_DEFORMABLE, deformable) X(OP_LAYER_NORM, layer_norm)                    \
    X(OP_GROUP_NORM, group_norm) X(OP_NORMALIZE, normalize)                      \
    X(OP_ACTIVATION, activation) X(OP_SUM, sum) X(OP_PRODUCT, product)           \
    X(OP_SCALE, scale) X(OP_DROPOUT, dropout) X(OP_SOFTMAX, softmax)             \
    X(OP_PAIR_SUM, pair_sum) X(OP_PAIR_SCORE, pair_score)                        \
    X(OP_CONCAT, concat) X(OP_SLICE, slice)                                      \
    X(OP_GATHER, gather) X(OP_SWAP_MIDDLE, swap_middle)                          \
    X(OP_CROSS_ENTROPY, cross_entropy) X(OP_L1_LOSS, l1_loss)                    \
    X(OP_SOFTMAX_KL, softmax_kl) X(OP_MMD_LOSS, mmd_loss) X(OP_MEAN, mean)       \
    X(OP_TOTAL, total)                                                           \
    X(OP_FOLD_SCALE, fold_scale) X(OP_FOLD_SHIFT, fold_shift)

typedef enum OpKind {
#define X(kind, name) kind,
    OP_KINDS(X)
#undef X
    OP_KIND_COUNT
} OpKind;

#define OP_MAX_INPUTS 8

/* Plain values of an op; what each means is said where the op is built. */
typedef struct OpAttributes {
    int64_t i[12];
    double r[8];
    ConvGeometry conv;
} OpAttributes;

struct Op {
    Graph *graph;
    OpKind kind;
    int index;                       /* position in the graph; also keys its random draws */
    Tensor *in[OP_MAX_INPUTS];       /* absent optional inputs are NULL, in their own slot */
    int input_count;
    Tensor *out;
    OpAttributes attr;
    bool accumulate[OP_MAX_INPUTS];  /* backward: in[k]->grad already holds something, add to it; else overwrite */
    int64_t scratch_bytes;           /* asked for by the building function or graph_scratch... */
    void *scratch;                   /* planned: valid during one forward or one backward, contents not kept */
    int64_t saved_bytes;             /* asked likewise */
    void *saved;                     /* planned: kept from forward to backward */
    void *state;                     /* the backend's, from prepare to release */
};

/* A new op with its output tensor of that shape; NULL where any required input
 * is NULL (the graph has failed already) or memory is short. `needs_grad` of
 * the output is that of any input. Inputs may be NULL only where `optional`
 * (bit k) says so. */
Op *graph_new_op(Graph *graph, OpKind kind, Tensor *const *in, int input_count, unsigned optional, Dtype dtype,
                 int rank, const int64_t *shape);

/* Whether backward must produce in[k]'s gradient. */
static inline bool op_wants_grad(const Op *op, int k)
{
    return k < op->input_count && op->in[k] != NULL && op->in[k]->needs_grad && op->in[k]->grad != NULL;
}

/* The random position of the current forward (graph_set_random). */
void graph_random_position(const Graph *graph, uint64_t *seed, uint64_t *step, uint64_t *sample);
bool graph_is_training(const Graph *graph);

/* A tensor's shape for messages, as "[8, 16]"; "no tensor" for NULL. Used as shape_text(x).text. */
typedef struct ShapeText { char text[96]; } ShapeText;
ShapeText shape_text(const Tensor *tensor);
/* The same rank and dimensions. */
bool tensor_same_shape(const Tensor *a, const Tensor *b);
/* F32 or F64. */
static inline bool tensor_is_real(const Tensor *tensor)
{
    return tensor->dtype == DTYPE_F32 || tensor->dtype == DTYPE_F64;
}

/* Product of all but the last `trailing` dimensions. */
int64_t tensor_leading(const Tensor *tensor, int trailing);

#endif
