/* The assignment against trying every one. */
#include "models/segmenter/matching.h"

#include "framework/memory.h"
#include "framework/random.h"
#include "tests/test.h"

/* The least cost of giving rows `row`.. their columns, by trying all. rows <= columns. */
static double brute(const double *cost, int rows, int columns, int row, unsigned used)
{
    if (row == rows) return 0;
    double best = INFINITY;
    for (int j = 0; j < columns; j++) {
        if (used & (1u << j)) continue;
        double total = cost[row * columns + j] + brute(cost, rows, columns, row + 1, used | (1u << j));
        best = total < best ? total : best;
    }
    return best;
}

static double assigned_cost(const double *cost, int rows, int columns, const int32_t *column_of_row, int *assigned)
{
    double total = 0;
    unsigned used = 0;
    *assigned = 0;
    for (int i = 0; i < rows; i++) {
        int j = column_of_row[i];
        if (j < 0) continue;
        CHECK(j < columns && !(used & (1u << j)));
        used |= 1u << j;
        total += cost[i * columns + j];
        ++*assigned;
    }
    return total;
}

static void check_case(int rows, int columns, Random *random, int levels)
{
    double cost[64], copy[64], transposed[64];
    for (int i = 0; i < rows * columns; i++)
        copy[i] = cost[i] = levels > 0 ? (double)random_below(random, levels) : random_normal(random);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) transposed[j * rows + i] = cost[i * columns + j];
    int32_t choice[8];
    int assigned;
    void *work = memory_alloc(matching_work_bytes(rows, columns));
    CHECK_INT(matching_assign(cost, rows, columns, choice, work), 0);
    memory_free(work);
    double total = assigned_cost(copy, rows, columns, choice, &assigned);
    CHECK_INT(assigned, rows < columns ? rows : columns);
    double best = rows <= columns ? brute(copy, rows, columns, 0, 0) : brute(transposed, columns, rows, 0, 0);
    CHECK_NEAR(total, best, 1e-9);
}

static void test_against_brute_force(void)
{
    Random random = random_stream(1, RANDOM_TEST, 0, 0);
    for (int round = 0; round < 20; round++)
        for (int rows = 1; rows <= 6; rows++)
            for (int columns = 1; columns <= 7; columns++) check_case(rows, columns, &random, round % 2 ? 3 : 0);
}

static void test_ties_are_deterministic(void)
{
    double cost[12] = {0};
    int32_t choice[4];
    void *work = memory_alloc(matching_work_bytes(3, 4));
    CHECK_INT(matching_assign(cost, 3, 4, choice, work), 0);
    for (int i = 0; i < 3; i++) CHECK_INT(choice[i], i);
    CHECK_INT(matching_assign(cost, 4, 3, choice, work), 0);
    for (int i = 0; i < 4; i++) CHECK_INT(choice[i], i < 3 ? i : -1);
    memory_free(work);
}

static void test_non_finite_costs_are_taken_last(void)
{
    double cost[9] = {NAN, 5, 7, INFINITY, NAN, 1, 2, -INFINITY, 3};
    int32_t choice[3];
    void *work = memory_alloc(matching_work_bytes(3, 3));
    CHECK_INT(matching_assign(cost, 3, 3, choice, work), 4);
    CHECK_INT(choice[0], 1);
    CHECK_INT(choice[1], 2);
    CHECK_INT(choice[2], 0);
    for (int i = 0; i < 9; i++) CHECK(isfinite(cost[i]));
    double all[4] = {NAN, NAN, NAN, NAN};
    CHECK_INT(matching_assign(all, 2, 2, choice, work), 4);
    CHECK(choice[0] + choice[1] == 1);
    double huge[4] = {1e300, -1e300, 3, 4};
    CHECK_INT(matching_assign(huge, 2, 2, choice, work), 2);
    memory_free(work);
}

static void test_nothing_to_match(void)
{
    int32_t choice[2] = {7, 7};
    CHECK_INT(matching_assign(NULL, 0, 5, choice, NULL), 0);
    CHECK_INT(matching_assign(NULL, 2, 0, choice, NULL), 0);
    CHECK_INT(choice[0], -1);
    CHECK_INT(choice[1], -1);
}

TEST_MAIN(TEST(test_against_brute_force), TEST(test_ties_are_deterministic), TEST(test_non_finite_costs_are_taken_last),
          TEST(test_nothing_to_match))
