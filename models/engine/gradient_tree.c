#include "models/engine/gradient_tree.h"

#include <string.h>

#include "framework/memory.h"
#include "models/engine/cpu/kernels.h"
#include "models/engine/gradient_tree_plan.h"

/* Small enough that the last one is soon on its way, large enough that a message costs little beside its bytes; and few
 * enough that every message has a tag that any MPI knows (32767 is the least of the highest). */
#define BUCKET_BYTES (1 << 20)
enum { MOST_BUCKETS = 256, MOST_SPANS = 128 };
_Static_assert((MOST_BUCKETS + MOST_SPANS) * TREE_TAGS <= 32767, "tags");

/* A piece of the flat gradient buffer and how far it is on its way. */
typedef struct Bucket {
    int64_t from, count;       /* elements */
    int64_t expected, waiting; /* elements of parameters in it: all, and those whose gradient is not final yet */
    const TreeStep *steps;
    int step_count, at;
    bool started, posted;      /* posted: step `at` waits for its message */
    CommRequest request;
} Bucket;

typedef struct Span { int64_t from, end; } Span;

struct GradientTree {
    Parameters *parameters;
    Comm *comm;
    TreeShape shape;
    TreeNode nodes[TREE_MAX_NODES]; /* sums over whole nodes of own samples, in `kept` */
    int node_count;
    void *kept[TREE_MAX_NODES];
    void *inbox;                    /* as long as the gradients: what comes from other ranks, each bucket in its place */
    Bucket *buckets;
    int bucket_count;
    TreeStep *steps;
    int64_t pushed;
    Status failure;                 /* the first of a message */
};

/* ---- creation ---- */

/* Runs of parameters that have gradients; gaps are not summed. */
static int find_spans(const Parameters *parameters, Span spans[MOST_SPANS])
{
    int count = 0;
    int64_t end = -1;
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *p = parameters->items[i];
        if (p->frozen) continue;
        int64_t next = i + 1 < parameters->count ? parameters->items[i + 1]->offset : parameters->total;
        if (p->offset != end && count < MOST_SPANS) spans[count++].from = p->offset;
        spans[count - 1].end = end = next; /* where there are too many, the last one takes the gaps in */
    }
    return count;
}

static int64_t overlap(const Bucket *bucket, const Parameter *p)
{
    int64_t from = p->offset > bucket->from ? p->offset : bucket->from;
    int64_t end = p->offset + p->count, bucket_end = bucket->from + bucket->count;
    if (end > bucket_end) end = bucket_end;
    return end > from ? end - from : 0;
}

static Status cut_buckets(GradientTree *tree)
{
    Span spans[MOST_SPANS];
    int span_count = find_spans(tree->parameters, spans), most = 0;
    int64_t total = 0;
    for (int i = 0; i < span_count; i++) total += spans[i].end - spans[i].from;
    int64_t size = BUCKET_BYTES / dtype_size(tree->parameters->dtype);
    if (total / size >= MOST_BUCKETS) size = (total / MOST_BUCKETS / 16 + 1) * 16;
    for (int i = 0; i < span_count; i++) most += (int)((spans[i].end - spans[i].from + size - 1) / size);
    tree->buckets = memory_alloc_zero((size_t)most + 1, sizeof *tree->buckets);
    if (tree->buckets == NULL) return status_no_memory((size_t)most * sizeof *tree->buckets, "a gradient tree");
    for (int i = 0; i < span_count; i++)
        for (int64_t at = spans[i].from; at < spans[i].end; at += size) {
            Bucket *bucket = &tree->buckets[tree->bucket_count++];
            bucket->from = at;
            bucket->count = spans[i].end - at < size ? spans[i].end - at : size;
            for (int p = 0; p < tree->parameters->count; p++)
                if (!tree->parameters->items[p]->frozen) bucket->expected += overlap(bucket, tree->parameters->items[p]);
        }
    return OK;
}

static Status plan_steps(GradientTree *tree)
{
    TreeStep steps[TREE_MAX_STEPS];
    size_t total = 0;
    for (int b = 0; b < tree->bucket_count; b++) total += (size_t)tree_steps(&tree->shape, b, steps);
    tree->steps = memory_alloc((total + 1) * sizeof *tree->steps);
    if (tree->steps == NULL) return status_no_memory(total * sizeof *tree->steps, "a gradient tree");
    TreeStep *next = tree->steps;
    for (int b = 0; b < tree->bucket_count; b++) {
        Bucket *bucket = &tree->buckets[b];
        bucket->step_count = tree_steps(&tree->shape, b, steps);
        bucket->steps = next;
        memcpy(next, steps, (size_t)bucket->step_count * sizeof *next);
        next += bucket->step_count;
    }
    return OK;
}

static Status allocate(GradientTree *tree)
{
    size_t bytes = (size_t)tree->parameters->total * (size_t)dtype_size(tree->parameters->dtype);
    bool failed = false;
    for (int i = 0; i < tree->shape.slots && !failed; i++)
        failed = (tree->kept[i] = memory_alloc_aligned(bytes)) == NULL;
    if (tree->shape.ranks > 1 && !failed) failed = (tree->inbox = memory_alloc_aligned(bytes)) == NULL;
    return failed ? status_no_memory(bytes, "sums of gradients: lower train.batch or take more ranks") : OK;
}

Status gradient_tree_create(Parameters *parameters, int64_t samples, Comm *comm, GradientTree **out)
{
    *out = NULL;
    int ranks = comm_size(comm);
    if (parameters->grads == NULL) return status_error(STATUS_INTERNAL, "gradient tree: the parameters are not allocated yet");
    if (samples < 1 || samples % ranks != 0)
        return status_error(STATUS_INVALID, "a batch of %lld cannot be shared equally by %d ranks: take a number of ranks "
                            "that divides it", (long long)samples, ranks);
    GradientTree *tree = memory_alloc_zero(1, sizeof *tree);
    if (tree == NULL) return status_no_memory(sizeof *tree, "a gradient tree");
    tree->parameters = parameters;
    tree->comm = comm;
    tree_shape(samples, ranks, comm_rank(comm), &tree->shape);
    Status status = cut_buckets(tree);
    if (status == OK) status = plan_steps(tree);
    if (status == OK) status = allocate(tree);
    if (status != OK) {
        gradient_tree_destroy(tree);
        return status;
    }
    gradient_tree_begin(tree);
    *out = tree;
    return OK;
}

void gradient_tree_destroy(GradientTree *tree)
{
    if (tree == NULL) return;
    for (int i = 0; i < TREE_MAX_NODES; i++) memory_free(tree->kept[i]);
    memory_free(tree->inbox);
    memory_free(tree->buckets);
    memory_free(tree->steps);
    status_free(tree->failure);
    memory_free(tree);
}

int64_t gradient_tree_first(const GradientTree *tree)
{
    return tree->shape.rank * tree->shape.share;
}

int64_t gradient_tree_count(const GradientTree *tree)
{
    return tree->shape.share;
}

/* ---- sums ---- */

/* Bit for bit the same whichever of the two is `to`. */
static void add(Dtype dtype, void *to, const void *from, int64_t count)
{
    if (dtype == DTYPE_F32) {
        float *x = to;
        const float *y = from;
#pragma omp parallel for simd schedule(static) if (cpu_parallel(count))
        for (int64_t i = 0; i < count; i++) x[i] += y[i];
    } else {
        double *x = to;
        const double *y = from;
#pragma omp parallel for simd schedule(static) if (cpu_parallel(count))
        for (int64_t i = 0; i < count; i++) x[i] += y[i];
    }
}

static size_t element_size(const GradientTree *tree)
{
    return (size_t)dtype_size(tree->parameters->dtype);
}

static char *place(const GradientTree *tree, void *buffer, const Bucket *bucket)
{
    return (char *)buffer + (size_t)bucket->from * element_size(tree);
}

static void add_buckets(const GradientTree *tree, void *to, void *from)
{
    for (int b = 0; b < tree->bucket_count; b++) {
        const Bucket *bucket = &tree->buckets[b];
        add(tree->parameters->dtype, place(tree, to, bucket), place(tree, from, bucket), bucket->count);
    }
}

static void copy_buckets(const GradientTree *tree, void *to, void *from)
{
    for (int b = 0; b < tree->bucket_count; b++) {
        const Bucket *bucket = &tree->buckets[b];
        memcpy(place(tree, to, bucket), place(tree, from, bucket), (size_t)bucket->count * element_size(tree));
    }
}

/* ---- a bucket's way ---- */

static char *slot_place(const GradientTree *tree, const Bucket *bucket, int slot)
{
    return place(tree, slot == tree->shape.slots ? tree->parameters->grads : tree->kept[slot], bucket);
}

static Status post(GradientTree *tree, Bucket *bucket, const TreeStep *step)
{
    size_t bytes = (size_t)bucket->count * element_size(tree);
    int tag = (int)(bucket - tree->buckets) * TREE_TAGS + step->tag;
    void *own = slot_place(tree, bucket, step->slot);
    switch (step->kind) {
    case TREE_SEND: return comm_send_begin(tree->comm, own, bytes, step->peer, tag, &bucket->request);
    case TREE_RECEIVE: return comm_receive_begin(tree->comm, own, bytes, step->peer, tag, &bucket->request);
    case TREE_RECEIVE_ADD:
        return comm_receive_begin(tree->comm, place(tree, tree->inbox, bucket), bytes, step->peer, tag, &bucket->request);
    case TREE_ADD:
    case TREE_COPY: break;
    }
    return OK;
}

/* What is left of a step when its message, if it has one, has gone through. */
static void complete(GradientTree *tree, const Bucket *bucket, const TreeStep *step)
{
    char *own = slot_place(tree, bucket, step->slot);
    Dtype dtype = tree->parameters->dtype;
    if (step->kind == TREE_ADD) add(dtype, own, slot_place(tree, bucket, step->other), bucket->count);
    if (step->kind == TREE_RECEIVE_ADD) add(dtype, own, place(tree, tree->inbox, bucket), bucket->count);
    if (step->kind == TREE_COPY)
        memcpy(own, slot_place(tree, bucket, step->other), (size_t)bucket->count * element_size(tree));
}

/* Takes a bucket as far as it goes without waiting. */
static Status advance(GradientTree *tree, Bucket *bucket)
{
    while (bucket->at < bucket->step_count) {
        const TreeStep *step = &bucket->steps[bucket->at];
        bool done;
        if (!bucket->posted) TRY(post(tree, bucket, step));
        bucket->posted = true;
        TRY(comm_test(&bucket->request, &done));
        if (!done) return OK;
        complete(tree, bucket, step);
        bucket->posted = false;
        bucket->at++;
    }
    return OK;
}

/* True when all buckets have arrived, or none will. */
static bool advance_all(GradientTree *tree)
{
    bool all = true;
    for (int b = 0; b < tree->bucket_count && tree->failure == OK; b++) {
        Bucket *bucket = &tree->buckets[b];
        if (bucket->started) tree->failure = advance(tree, bucket);
        all = all && bucket->started && bucket->at == bucket->step_count;
    }
    return all || tree->failure != OK;
}

/* ---- a batch ---- */

void gradient_tree_begin(GradientTree *tree)
{
    tree->pushed = 0;
    tree->node_count = 0;
    for (int b = 0; b < tree->bucket_count; b++) {
        Bucket *bucket = &tree->buckets[b];
        bucket->waiting = bucket->expected;
        bucket->at = 0;
        bucket->started = bucket->posted = false;
    }
}

void gradient_tree_listen(void *pointer, const Parameter *final)
{
    GradientTree *tree = pointer;
    if (tree->pushed != tree->shape.share - 1) return;
    for (int b = 0; final != NULL && b < tree->bucket_count; b++) {
        Bucket *bucket = &tree->buckets[b];
        int64_t own = overlap(bucket, final);
        bucket->waiting -= own;
        if (own > 0 && bucket->waiting == 0) bucket->started = true;
    }
    advance_all(tree);
}

static void start_all(GradientTree *tree)
{
    for (int b = 0; b < tree->bucket_count; b++) tree->buckets[b].started = true;
    advance_all(tree);
}

void gradient_tree_push(GradientTree *tree)
{
    int64_t leaf = gradient_tree_first(tree) + tree->pushed++;
    if (tree->pushed == tree->shape.share) {
        start_all(tree);
        return;
    }
    int before = tree->node_count, merges;
    if (!tree_push(tree->nodes, &tree->node_count, leaf, &merges)) {
        copy_buckets(tree, tree->kept[before], tree->parameters->grads);
        return;
    }
    add_buckets(tree, tree->kept[before - 1], tree->parameters->grads);
    for (int i = before - 1; i > before - 1 - merges; i--) add_buckets(tree, tree->kept[i - 1], tree->kept[i]);
}

Status gradient_tree_finish(GradientTree *tree)
{
    start_all(tree);
    comm_wait_begins(tree->comm);
    while (!advance_all(tree)) continue;
    comm_wait_ends(tree->comm);
    Status failure = tree->failure;
    tree->failure = OK;
    return failure;
}
