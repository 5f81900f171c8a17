/* Who adds what to what, of one batch's tree: worked out once, from numbers
 * alone. Private to gradient_tree.c and its test. */
#ifndef ENGINE_GRADIENT_TREE_PLAN_H
#define ENGINE_GRADIENT_TREE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define TREE_LEVELS 40
#define TREE_MAX_NODES (2 * TREE_LEVELS) /* that one rank holds at a time */
#define TREE_MAX_STEPS 256
#define TREE_TAGS 64                     /* of one bucket's messages */

/* The sum of samples [index << level, (index + 1) << level), as far as there are any. */
typedef struct TreeNode {
    int level;
    int64_t index;
} TreeNode;

typedef struct TreeShape {
    int64_t samples, share;   /* of the batch, and of each rank */
    int ranks, rank, levels;  /* the root's level */
    TreeNode kept[TREE_MAX_NODES]; /* before the last own sample comes; kept[i] lies in slot i */
    int kept_count, slots;    /* `slots`: the most that are kept at any time */
} TreeShape;
/* `ranks` divides `samples`. */
void tree_shape(int64_t samples, int ranks, int rank, TreeShape *shape);
/* The nodes after one more sample: false where `leaf` becomes the last of them, true where it is added to the last,
 * after which *merges further pairs of last two become one. */
bool tree_push(TreeNode *nodes, int *count, int64_t leaf, int *merges);

typedef enum TreeStepKind {
    TREE_ADD,         /* slot += other slot */
    TREE_COPY,        /* slot = other slot */
    TREE_SEND,        /* slot to peer */
    TREE_RECEIVE,     /* slot from peer */
    TREE_RECEIVE_ADD, /* slot += what comes from peer */
} TreeStepKind;
typedef struct TreeStep {
    TreeStepKind kind;
    int slot, other;  /* shape->slots is the sample's own gradient, where the sum over the batch ends too */
    int peer, tag;    /* tag < TREE_TAGS */
} TreeStep;
/* What this rank does with one bucket once its last sample's gradient is there; returns the number of steps. Steps of
 * all ranks are in the order of the tree, so that none waits for ever. Buckets differ in who adds: the work and the
 * messages are spread over the ranks. */
int tree_steps(const TreeShape *shape, int64_t bucket, TreeStep steps[TREE_MAX_STEPS]);

#endif
