/* Ops that may write over their input. An elementwise op whose input nobody
 * else wants makes its output another name of it: one buffer less for the
 * numbers, one less for their gradient, and neither is copied. */
#include "models/engine/graph_private.h"

/* Of each root tensor, as it stands at the op under consideration. */
typedef struct Standing {
    int readers;      /* ops that read it as it is now */
    bool kept;        /* the backward of the op that wrote it reads it again */
} Standing;

/* Whether `op` works index by index, and may do so in place of in[k]. */
static bool can_overwrite(const Op *op, int k)
{
    switch (op->kind) {
    case OP_SUM: return k < 2 && op->in[k]->count == op->out->count;
    case OP_ACTIVATION:
    case OP_SCALE:
    case OP_DROPOUT: return k == 0;
    default: return false;
    }
}

static bool may_share(const Graph *g, const Op *op, int k, const Standing *standings)
{
    if (op->in[k] == NULL || !can_overwrite(op, k) || op->out->is_output) return false;
    const Tensor *root = tensor_root(op->in[k]);
    const Standing *standing = &standings[root->id];
    if (root->producer == NULL || root->is_output || root->needs_grad != op->out->needs_grad) return false;
    if (standing->readers != 1 || standing->kept) return false;
    return !g->training || !op_backward_reads_inputs(op);
}

Status graph_share_in_place(Graph *g)
{
    Standing *standings = memory_alloc_zero((size_t)g->tensor_count + 1, sizeof *standings);
    if (standings == NULL) return status_no_memory((size_t)g->tensor_count * sizeof *standings, "a graph's plan");
    for (int i = 0; i < g->op_count; i++) {
        for (int k = 0; k < g->ops[i]->input_count; k++) {
            if (g->ops[i]->in[k] != NULL) standings[tensor_root(g->ops[i]->in[k])->id].readers++;
        }
    }
    for (int i = 0; i < g->op_count; i++) {
        Op *op = g->ops[i];
        Standing now = {standings[op->out->id].readers, g->training && op_backward_reads_output(op)};
        standings[op->out->id] = now;
        for (int k = 0; k < op->input_count; k++) {
            if (!may_share(g, op, k, standings)) continue;
            op->out->alias_of = tensor_root(op->in[k]);
            standings[op->out->alias_of->id] = now;
            break;
        }
    }
    memory_free(standings);
    return OK;
}
