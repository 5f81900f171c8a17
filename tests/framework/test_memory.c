#include "framework/memory.h"

#include <sys/wait.h>

#include "tests/test.h"

static void test_heap(void)
{
    unsigned char *zeros = memory_alloc_zero(100, 3);
    CHECK(zeros != NULL);
    for (int i = 0; i < 300; i++) CHECK_INT(zeros[i], 0);
    zeros = memory_resize(zeros, 1000);
    CHECK(zeros != NULL);
    memory_free(zeros);
    size_t sizes[] = {0, 1, 63, 64, 65, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *block = memory_alloc_aligned(sizes[i]);
        CHECK(block != NULL);
        CHECK_INT((uintptr_t)block % 64, 0);
        memset(block, 1, sizes[i]);
        memory_free(block);
    }
    void *nothing = memory_alloc(0);
    CHECK(nothing != NULL);
    memory_free(nothing);
    memory_free(NULL);
    volatile size_t huge = SIZE_MAX; /* the compiler would warn of a constant */
    CHECK(memory_alloc_aligned(huge) == NULL);
    CHECK(memory_alloc_aligned(huge - 62) == NULL);
}

static void test_strings(void)
{
    char *copy = memory_copy_string("zeroth"), *text = memory_format("%s-%03d", "run", 7);
    CHECK_STRING(copy, "zeroth");
    CHECK_STRING(text, "run-007");
    memory_free(copy);
    memory_free(text);
}

static void test_failure(void)
{
    memory_fail_after(2);
    void *a = memory_alloc(8), *b = memory_alloc_zero(1, 8), *c = memory_alloc(8), *d = memory_alloc(8);
    CHECK(a != NULL && b != NULL && c == NULL && d != NULL); /* once */
    memory_fail_after(0);
    CHECK(memory_alloc_aligned(8) == NULL);
    memory_fail_after(0);
    CHECK(memory_copy_string("x") == NULL);
    memory_fail_after(0);
    CHECK(memory_format("x") == NULL);
    memory_fail_after(0);
    CHECK(memory_resize(a, 100) == NULL); /* and `a` still stands */
    memory_fail_after(0);
    memory_fail_after(-1);
    void *e = memory_alloc(8);
    CHECK(e != NULL);
    memory_free(a);
    memory_free(b);
    memory_free(d);
    memory_free(e);
}

/* The hook of the environment is read on first use, hence a fresh program. */
static void test_failure_from_environment(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        setenv("ZEROTH_FAIL_ALLOC", "1", 1);
        execl("/proc/self/exe", "test_memory", "as_child", (char *)NULL);
        _exit(9);
    }
    int result;
    CHECK(waitpid(child, &result, 0) == child);
    CHECK(WIFEXITED(result));
    CHECK_INT(WEXITSTATUS(result), 0);
}

static void as_child(void)
{
    if (getenv("ZEROTH_FAIL_ALLOC") == NULL) return;
    void *a = memory_alloc(1), *b = memory_alloc(1), *c = memory_alloc(1);
    CHECK(a != NULL && b == NULL && c != NULL);
    memory_free(a);
    memory_free(c);
}

static void test_arena(void)
{
    Arena *arena = arena_create(256);
    CHECK(arena != NULL);
    unsigned char *pieces[200];
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < 200; i++) {
            size_t bytes = i % 50 == 49 ? 1000 : i; /* some are larger than a block */
            pieces[i] = arena_alloc(arena, bytes);
            CHECK(pieces[i] != NULL);
            CHECK_INT((uintptr_t)pieces[i] % 16, 0);
            memset(pieces[i], (int)i, bytes);
        }
        for (size_t i = 0; i < 200; i++) /* no piece overlaps another */
            for (size_t j = 0; j < (i % 50 == 49 ? 1000 : i); j++) CHECK_INT(pieces[i][j], i & 0xff);
        arena_reset(arena);
    }
    memory_fail_after(0); /* blocks are kept: the same needs again cost nothing */
    for (size_t i = 0; i < 200; i++) CHECK(arena_alloc(arena, i % 50 == 49 ? 1000 : i) != NULL);
    memory_fail_after(-1);
    CHECK_STRING(arena_copy_string(arena, "a"), "a");
    CHECK_STRING(arena_format(arena, "%d/%d", 1, 2), "1/2");
    volatile size_t huge = SIZE_MAX;
    CHECK(arena_alloc(arena, huge) == NULL);
    CHECK(arena_alloc(arena, huge - 20) == NULL);
    arena_destroy(arena);
    arena_destroy(NULL);
}

static void test_arena_failure(void)
{
    for (int64_t point = 0; point < 2; point++) {
        memory_fail_after(point);
        CHECK(arena_create(64) == NULL);
    }
    Arena *arena = arena_create(64);
    CHECK(arena_alloc(arena, 64) != NULL);
    memory_fail_after(0);
    CHECK(arena_alloc(arena, 64) == NULL);
    CHECK(arena_alloc(arena, 64) != NULL); /* usable after a failure */
    memory_fail_after(-1);
    arena_destroy(arena);
}

TEST_MAIN(TEST(test_heap), TEST(test_strings), TEST(test_failure), TEST(test_failure_from_environment), TEST(as_child),
          TEST(test_arena), TEST(test_arena_failure))
