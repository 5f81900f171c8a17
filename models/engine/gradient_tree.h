/* The sum of a batch's gradients, sample by sample, in one fixed binary tree
 * over sample indices: that of the next power of two, with missing leaves
 * skipped. Which rank makes which addition is decided by convenience; which
 * two numbers it adds is not, so the bits are the same for any number of ranks
 * that divides the batch, and so is every step that follows from them.
 *
 * Rank r of K has the r-th K-th of the samples. What it can add by itself it
 * does at every push. The rest is done bucket by bucket (a piece of the flat
 * gradient buffer, about a MiB): as soon as the backward pass of the last own
 * sample has left a bucket (gradient_tree_listen), it goes its way through the
 * tree while the pass goes on.
 *
 *     gradient_tree_begin(tree);
 *     for (every own sample) {
 *         parameters_zero_grad(parameters);
 *         ... backward, with gradient_tree_listen for its hook ...
 *         gradient_tree_push(tree);
 *     }
 *     TRY(gradient_tree_finish(tree));     // parameters->grads is the batch's
 */
#ifndef ENGINE_GRADIENT_TREE_H
#define ENGINE_GRADIENT_TREE_H

#include "framework/comm.h"
#include "models/engine/parameters.h"

typedef struct GradientTree GradientTree;
/* `parameters` must be allocated, their `frozen` settled: gradients of frozen ones stay as they are. STATUS_INVALID
 * where the ranks don't divide `samples`. All memory is taken here. Local. */
Status gradient_tree_create(Parameters *parameters, int64_t samples, Comm *comm, GradientTree **tree);
void gradient_tree_destroy(GradientTree *tree);
/* The samples of this rank: [first, first + count). */
int64_t gradient_tree_first(const GradientTree *tree);
int64_t gradient_tree_count(const GradientTree *tree);

/* A new batch. */
void gradient_tree_begin(GradientTree *tree);
/* A GraphGradientHook with the tree for context; without it the tree works as well, all at the end. */
void gradient_tree_listen(void *tree, const Parameter *final);
/* parameters->grads is the gradient of the next own sample. After the last, they are the tree's until finish. */
void gradient_tree_push(GradientTree *tree);
/* Leaves the sum over the batch in parameters->grads of every rank. A rank that failed half-way through its samples
 * calls it too, so that the others need not wait for ever: the sums are then worthless, and the ranks agree
 * (comm_agree) that one of them failed. Collective. */
Status gradient_tree_finish(GradientTree *tree);

#endif
