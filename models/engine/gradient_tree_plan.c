#include "models/engine/gradient_tree_plan.h"

#include <string.h>

enum { BROADCAST_TAG = TREE_TAGS - 1 };
_Static_assert(TREE_LEVELS < BROADCAST_TAG, "a tag for each level");

static bool are_siblings(TreeNode left, TreeNode right)
{
    return left.level == right.level && left.index % 2 == 0 && right.index == left.index + 1;
}

bool tree_push(TreeNode *nodes, int *count, int64_t leaf, int *merges)
{
    TreeNode node = {.level = 0, .index = leaf};
    *merges = 0;
    if (*count == 0 || !are_siblings(nodes[*count - 1], node)) {
        nodes[(*count)++] = node;
        return false;
    }
    nodes[*count - 1] = (TreeNode){.level = 1, .index = leaf / 2};
    for (; *count > 1 && are_siblings(nodes[*count - 2], nodes[*count - 1]); (*count)--, (*merges)++)
        nodes[*count - 2] = (TreeNode){.level = nodes[*count - 1].level + 1, .index = nodes[*count - 1].index / 2};
    return true;
}

void tree_shape(int64_t samples, int ranks, int rank, TreeShape *shape)
{
    *shape = (TreeShape){.samples = samples, .share = samples / ranks, .ranks = ranks, .rank = rank};
    while ((int64_t)1 << shape->levels < samples) shape->levels++;
    int64_t first = rank * shape->share;
    for (int64_t leaf = first; leaf < first + shape->share - 1; leaf++) {
        int merges;
        tree_push(shape->kept, &shape->kept_count, leaf, &merges);
        if (shape->kept_count + merges > shape->slots) shape->slots = shape->kept_count + merges;
    }
}

/* One bucket's steps in the making. */
typedef struct Planner {
    const TreeShape *shape;
    int64_t bucket, first, end;    /* own samples: [first, end) */
    int kept_count;                /* of shape->kept, those not folded into the last sample */
    int64_t last_start;            /* first sample of the node that holds the last one */
    TreeStep *steps;
    int count;
} Planner;

static void emit(Planner *planner, TreeStep step)
{
    planner->steps[planner->count++] = step;
}

/* The last own sample with all that lies to its left and is ours. */
static void fold_last(Planner *planner)
{
    const TreeShape *shape = planner->shape;
    TreeNode node = {.level = 0, .index = planner->end - 1};
    for (;;) {
        bool ends_batch = (node.index + 1) << node.level >= shape->samples;
        const TreeNode *before = planner->kept_count > 0 ? &shape->kept[planner->kept_count - 1] : NULL;
        if (node.level < shape->levels && node.index % 2 == 0 && ends_batch) {
            /* no right sibling: it stands for both */
        } else if (before != NULL && are_siblings(*before, node)) {
            planner->kept_count--;
            emit(planner, (TreeStep){.kind = TREE_ADD, .slot = shape->slots, .other = planner->kept_count});
        } else {
            break;
        }
        node = (TreeNode){.level = node.level + 1, .index = node.index / 2};
    }
    planner->last_start = node.index << node.level;
}

static int64_t node_end(const TreeShape *shape, int level, int64_t index)
{
    int64_t end = (index + 1) << level;
    return end < shape->samples ? end : shape->samples;
}

/* Of a node that two ranks hold the halves of, whether the left one adds. */
static bool left_adds(const Planner *planner, int level)
{
    return (planner->bucket >> (planner->shape->levels - level) & 1) == 0;
}

/* The rank where a node's sum comes to be. */
static int holder(const Planner *planner, int level, int64_t index)
{
    const TreeShape *shape = planner->shape;
    int64_t start = index << level, last = node_end(shape, level, index) - 1;
    if (start / shape->share == last / shape->share) return (int)(start / shape->share);
    int64_t middle = (2 * index + 1) << (level - 1);
    bool left = middle >= shape->samples || left_adds(planner, level);
    return holder(planner, level - 1, 2 * index + !left);
}

/* The slot of a node all of whose samples are ours. */
static int slot_of(const Planner *planner, int64_t start)
{
    for (int i = 0; i < planner->kept_count; i++)
        if (planner->shape->kept[i].index << planner->shape->kept[i].level == start) return i;
    return planner->shape->slots; /* last_start, by construction */
}

/* Steps of a node and all below; returns its slot where this rank holds it at the end, else -1. */
static int visit(Planner *planner, int level, int64_t index)
{
    const TreeShape *shape = planner->shape;
    int64_t start = index << level, end = node_end(shape, level, index), middle;
    if (end <= planner->first || start >= planner->end) return -1;
    if (start >= planner->first && end <= planner->end) return slot_of(planner, start);
    int left = visit(planner, level - 1, 2 * index);
    middle = (2 * index + 1) << (level - 1);
    if (middle >= shape->samples) return left;
    int right = visit(planner, level - 1, 2 * index + 1);
    int left_rank = holder(planner, level - 1, 2 * index), right_rank = holder(planner, level - 1, 2 * index + 1);
    if (left_rank == right_rank) {
        if (left_rank != shape->rank) return -1;
        emit(planner, (TreeStep){.kind = TREE_ADD, .slot = left, .other = right});
        return left;
    }
    bool left_takes = left_adds(planner, level);
    int taker = left_takes ? left_rank : right_rank, giver = left_takes ? right_rank : left_rank;
    int taken = left_takes ? left : right, given = left_takes ? right : left;
    if (taker == shape->rank)
        emit(planner, (TreeStep){.kind = TREE_RECEIVE_ADD, .slot = taken, .peer = giver, .tag = level - 1});
    if (giver == shape->rank)
        emit(planner, (TreeStep){.kind = TREE_SEND, .slot = given, .peer = taker, .tag = level - 1});
    return taker == shape->rank ? taken : -1;
}

/* From the root's rank to all, by a binomial tree over the ranks counted from there. */
static void plan_broadcast(Planner *planner, int root)
{
    const TreeShape *shape = planner->shape;
    int ranks = shape->ranks, own = (shape->rank - root + ranks) % ranks, reach = 1;
    if (own > 0) {
        int parent = own & (own - 1);
        emit(planner, (TreeStep){.kind = TREE_RECEIVE, .slot = shape->slots, .peer = (parent + root) % ranks,
                                 .tag = BROADCAST_TAG});
        while ((own & reach) == 0) reach *= 2;
    } else {
        while (reach < ranks) reach *= 2;
    }
    for (reach /= 2; reach > 0; reach /= 2)
        if (own + reach < ranks)
            emit(planner, (TreeStep){.kind = TREE_SEND, .slot = shape->slots, .peer = (own + reach + root) % ranks,
                                     .tag = BROADCAST_TAG});
}

int tree_steps(const TreeShape *shape, int64_t bucket, TreeStep steps[TREE_MAX_STEPS])
{
    Planner planner = {.shape = shape, .bucket = bucket, .first = shape->rank * shape->share,
                       .end = (shape->rank + 1) * shape->share, .kept_count = shape->kept_count, .steps = steps};
    fold_last(&planner);
    int root = visit(&planner, shape->levels, 0);
    if (root >= 0 && root != shape->slots)
        emit(&planner, (TreeStep){.kind = TREE_COPY, .slot = shape->slots, .other = root});
    plan_broadcast(&planner, holder(&planner, shape->levels, 0));
    return planner.count;
}
