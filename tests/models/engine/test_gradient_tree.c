/* The sum of a batch has the same bits on any number of ranks that divides it:
 * by the plan alone for many sizes, then by real ranks under mpirun. */
#include "models/engine/gradient_tree.h"

#include <sys/wait.h>

#include "framework/memory.h"
#include "models/engine/gradient_tree_plan.h"
#include "tests/test.h"

enum { MOST_SAMPLES = 40, MOST_RANKS = MOST_SAMPLES, REAL_SAMPLES = 13 };

/* The plan, played in one process --------------------------------------------- */

static float sample_value(int64_t sample)
{
    uint64_t x = (uint64_t)(sample + 1) * 0x9E3779B97F4A7C15u;
    x ^= x >> 29;
    x *= 0xBF58476D1CE4E5B9u;
    return (float)((double)(x >> 40) / (1 << 20) - 8);
}

/* What the tree is by its definition. */
static float tree_sum(int64_t first, int64_t size, int64_t samples)
{
    if (size == 1) return sample_value(first);
    float left = tree_sum(first, size / 2, samples);
    return first + size / 2 < samples ? left + tree_sum(first + size / 2, size / 2, samples) : left;
}

typedef struct Player {
    TreeShape shape;
    float slots[TREE_MAX_NODES + 1];
    TreeStep steps[TREE_MAX_STEPS];
    int count, at;
    bool sent;
} Player;

typedef struct Mail {
    bool full;
    float value;
} Mail;
static Mail mail[MOST_RANKS][MOST_RANKS][TREE_TAGS]; /* from, to, tag */

static void push_own(Player *player, int rank)
{
    TreeNode nodes[TREE_MAX_NODES];
    int count = 0, merges;
    int64_t first = rank * player->shape.share, last = first + player->shape.share - 1;
    for (int64_t leaf = first; leaf < last; leaf++) {
        int before = count;
        if (!tree_push(nodes, &count, leaf, &merges)) {
            CHECK(count <= player->shape.slots);
            player->slots[before] = sample_value(leaf);
            continue;
        }
        player->slots[before - 1] += sample_value(leaf);
        for (int i = before - 1; i > before - 1 - merges; i--) player->slots[i - 1] += player->slots[i];
    }
    CHECK_INT(count, player->shape.kept_count);
    player->slots[player->shape.slots] = sample_value(last);
}

/* One step; false where it waits. A message waits until it is fetched, as a long one does. `*moved`: something was done. */
static bool play(Player *player, int rank, bool *moved)
{
    const TreeStep *step = &player->steps[player->at];
    float *own = &player->slots[step->slot];
    Mail *in = &mail[step->peer][rank][step->tag], *out = &mail[rank][step->peer][step->tag];
    switch (step->kind) {
    case TREE_ADD: *own += player->slots[step->other]; break;
    case TREE_COPY: *own = player->slots[step->other]; break;
    case TREE_SEND:
        if (!player->sent) {
            CHECK(!out->full); /* two messages of one tag would meet */
            *out = (Mail){true, *own};
            *moved = true;
        }
        player->sent = out->full;
        if (out->full) return false;
        break;
    case TREE_RECEIVE:
    case TREE_RECEIVE_ADD:
        if (!in->full) return false;
        *own = step->kind == TREE_RECEIVE ? in->value : *own + in->value;
        in->full = false;
        break;
    }
    player->at++;
    *moved = true;
    return true;
}

static void play_batch(int samples, int ranks, int64_t bucket, Player *players)
{
    for (int r = 0; r < ranks; r++) {
        Player *player = &players[r];
        player->at = 0;
        player->sent = false;
        tree_shape(samples, ranks, r, &player->shape);
        player->count = tree_steps(&player->shape, bucket, player->steps);
        push_own(player, r);
    }
    for (bool moved = true; moved;) {
        moved = false;
        for (int r = 0; r < ranks; r++)
            while (players[r].at < players[r].count && play(&players[r], r, &moved)) continue;
    }
    int64_t size = 1;
    while (size < samples) size *= 2;
    float expected = tree_sum(0, size, samples);
    for (int r = 0; r < ranks; r++) {
        if (players[r].at < players[r].count)
            TEST_FAIL("%d samples, %d ranks: rank %d waits for ever at step %d", samples, ranks, r, players[r].at);
        float sum = players[r].slots[players[r].shape.slots];
        if (memcmp(&sum, &expected, sizeof sum) != 0)
            TEST_FAIL("%d samples, %d ranks, bucket %d: rank %d has %a, not %a", samples, ranks, (int)bucket, r,
                      (double)sum, (double)expected);
    }
}

static void test_plan(void)
{
    Player *players = memory_alloc(MOST_RANKS * sizeof *players);
    CHECK(players != NULL);
    for (int samples = 1; samples <= MOST_SAMPLES; samples++)
        for (int ranks = 1; ranks <= samples; ranks++)
            for (int64_t bucket = 0; bucket < 16 && samples % ranks == 0; bucket++)
                play_batch(samples, ranks, bucket, players);
    memory_free(players);
}

/* The work is shared: of many buckets, every rank is the last to add some. */
static void test_plan_is_spread(void)
{
    int receives[4] = {0};
    for (int rank = 0; rank < 4; rank++)
        for (int64_t bucket = 0; bucket < 16; bucket++) {
            TreeShape shape;
            TreeStep steps[TREE_MAX_STEPS];
            tree_shape(8, 4, rank, &shape);
            int count = tree_steps(&shape, bucket, steps);
            for (int i = 0; i < count; i++) receives[rank] += steps[i].kind == TREE_RECEIVE_ADD;
        }
    for (int rank = 0; rank < 4; rank++) CHECK_INT(receives[rank], 12);
}

/* Real gradients ---------------------------------------------------------------- */

/* More than a bucket each way: a large one that spans several, small ones that share one, a frozen one between. */
static Parameters *make_parameters(Dtype dtype)
{
    static const int64_t COUNTS[] = {5, 300000, 17, 40000, 3, 100000, 1};
    Parameters *parameters;
    CHECK_OK(parameters_create(dtype, &parameters));
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        char name[8];
        snprintf(name, sizeof name, "p%d", (int)i);
        Parameter *p = parameters_add(parameters, name, 1, &COUNTS[i], (Init){INIT_ZERO, 0});
        p->frozen = i == 3;
    }
    CHECK_OK(parameters_allocate(parameters, 1));
    return parameters;
}

static void put(const Parameters *parameters, void *to, int64_t at, double value)
{
    if (parameters->dtype == DTYPE_F32) ((float *)to)[at] = (float)value;
    else ((double *)to)[at] = value;
}

static double gradient_value(int64_t sample, int64_t at)
{
    uint64_t x = ((uint64_t)sample << 32 | (uint64_t)at) * 0x9E3779B97F4A7C15u;
    x ^= x >> 31;
    x *= 0xBF58476D1CE4E5B9u;
    return (double)(int64_t)(x >> 12) * 0x1p-50 - 2;
}

/* Fills one parameter's gradient, as its last backward op would. */
static void fill(const Parameters *parameters, const Parameter *p, int64_t sample)
{
    for (int64_t i = 0; i < p->count && !p->frozen; i++)
        put(parameters, parameters->grads, p->offset + i, gradient_value(sample, p->offset + i));
}

/* By definition, of one element: in the dtype. */
static double expected_sum(Dtype dtype, int64_t at, int64_t first, int64_t size, int64_t samples)
{
    if (size == 1) return dtype == DTYPE_F32 ? (double)(float)gradient_value(first, at) : gradient_value(first, at);
    double left = expected_sum(dtype, at, first, size / 2, samples);
    if (first + size / 2 >= samples) return left;
    double right = expected_sum(dtype, at, first + size / 2, size / 2, samples);
    return dtype == DTYPE_F32 ? (double)((float)left + (float)right) : left + right;
}

static void check_sum(const Parameters *parameters, int64_t samples)
{
    int64_t size = 1;
    while (size < samples) size *= 2;
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *p = parameters->items[i];
        for (int64_t j = 0; j < p->count; j += p->count > 1000 ? 37 : 1) {
            int64_t at = p->offset + j;
            double expected = p->frozen ? 0 : expected_sum(parameters->dtype, at, 0, size, samples);
            double sum = parameters->dtype == DTYPE_F32 ? (double)((const float *)parameters->grads)[at]
                                                        : ((const double *)parameters->grads)[at];
            if (memcmp(&sum, &expected, sizeof sum) != 0)
                TEST_FAIL("%s, %d samples: element %d of %s is %a, not %a", dtype_name(parameters->dtype), (int)samples,
                          (int)j, p->name, sum, expected);
        }
    }
}

/* One batch. With `listen`, gradients of the last sample come parameter by parameter, last ones first, and what has not
 * come yet is poison: nothing may be sent before it is final. */
static void sum_batch(GradientTree *tree, Parameters *parameters, bool listen)
{
    int64_t first = gradient_tree_first(tree), count = gradient_tree_count(tree);
    gradient_tree_begin(tree);
    for (int64_t s = first; s < first + count; s++) {
        parameters_zero_grad(parameters);
        if (listen)
            for (int i = 0; i < parameters->count; i++)
                for (int64_t j = 0; j < parameters->items[i]->count && !parameters->items[i]->frozen; j++)
                    put(parameters, parameters->grads, parameters->items[i]->offset + j, (double)NAN);
        for (int i = parameters->count - 1; i >= 0; i--) {
            fill(parameters, parameters->items[i], s);
            if (!listen) continue;
            gradient_tree_listen(tree, parameters->items[i]);
            gradient_tree_listen(tree, NULL);
        }
        gradient_tree_push(tree);
    }
    CHECK_OK(gradient_tree_finish(tree));
}

static void check_batches(Comm *comm, Dtype dtype)
{
    Parameters *parameters = make_parameters(dtype);
    for (int samples = 1; samples <= REAL_SAMPLES; samples++) {
        GradientTree *tree;
        if (samples % comm_size(comm) != 0) {
            CHECK_FAILS(gradient_tree_create(parameters, samples, comm, &tree), STATUS_INVALID, "ranks that divides it");
            continue;
        }
        CHECK_OK(gradient_tree_create(parameters, samples, comm, &tree));
        for (int pass = 0; pass < 2; pass++) { /* the second finds what the first left */
            sum_batch(tree, parameters, pass == 0);
            check_sum(parameters, samples);
        }
        gradient_tree_destroy(tree);
    }
    parameters_destroy(parameters);
}

/* A rank that gives up in the middle of its samples keeps nobody waiting, and the next batch is right again. */
static void check_failing_rank(Comm *comm)
{
    Parameters *parameters = make_parameters(DTYPE_F32);
    GradientTree *tree;
    int64_t samples = 3 * comm_size(comm);
    CHECK_OK(gradient_tree_create(parameters, samples, comm, &tree));
    bool fails = comm_rank(comm) == comm_size(comm) - 1;
    gradient_tree_begin(tree);
    for (int s = 0; s < (fails ? 1 : 3); s++) gradient_tree_push(tree);
    CHECK_OK(gradient_tree_finish(tree));
    Status own = fails ? status_error(STATUS_IO, "given up") : OK;
    CHECK_FAILS(comm_agree(comm, own), fails ? STATUS_IO : STATUS_CHILD, "given up");
    sum_batch(tree, parameters, true);
    check_sum(parameters, samples);
    gradient_tree_destroy(tree);
    parameters_destroy(parameters);
}

static void test_one_rank(void)
{
    check_batches(NULL, DTYPE_F32);
    check_batches(NULL, DTYPE_F64);
}

static Comm *world;
static void ranks_sum_f32(void) { check_batches(world, DTYPE_F32); }
static void ranks_sum_f64(void) { check_batches(world, DTYPE_F64); }
static void ranks_fail(void) { check_failing_rank(world); }

/* This program again, on that many ranks. */
static void run_ranks(int ranks)
{
    char path[4096], command[4600];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    CHECK(length > 0);
    path[length] = '\0';
    snprintf(command, sizeof command, "timeout 120 mpirun --oversubscribe --bind-to none -n %d '%s' >/dev/null", ranks, path);
    int result = system(command);
    if (!WIFEXITED(result) || WEXITSTATUS(result) != 0) TEST_FAIL("%d ranks end with %d", ranks, WEXITSTATUS(result));
}

/* Every number of ranks that divides a batch of up to 13. */
static void test_ranks(void)
{
    if (system("command -v mpirun >/dev/null 2>&1") != 0) SKIP("no mpirun here");
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    /* MPI leaves memory behind at its end, which is not ours to report. */
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
    setenv("ZEROTH_TEST_RANKS", "1", 1);
    for (int ranks = 2; ranks <= REAL_SAMPLES; ranks++) run_ranks(ranks);
    unsetenv("ZEROTH_TEST_RANKS");
}

static int rank_main(void)
{
    static const TestCase cases[] = {TEST(ranks_sum_f32), TEST(ranks_sum_f64), TEST(ranks_fail)};
    Status status = comm_create(&world);
    if (status != OK) {
        fprintf(stderr, "%s\n", status_message(status));
        return 1;
    }
    if (test_main(cases, sizeof cases / sizeof cases[0], 1, NULL) != 0) comm_abort(world, 1);
    comm_destroy(world);
    return 0;
}

int main(int argc, char **argv)
{
    static const TestCase cases[] = {TEST(test_plan), TEST(test_plan_is_spread), TEST(test_one_rank), TEST(test_ranks)};
    if (getenv("ZEROTH_TEST_RANKS") != NULL) return rank_main();
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
