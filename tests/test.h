/* The test harness: a test program lists its tests and runs them by
 * TEST_MAIN. A failed CHECK ends its test, not the program. Each program
 * prints "N passed, N failed" and exits 1 where any failed.
 *
 *     static void test_join(void) { CHECK(path_join("a", "b") != NULL); }
 *     TEST_MAIN(TEST(test_join))
 *
 * Arguments select tests by substring of their names. */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "framework/status.h"

typedef struct TestCase { const char *name; void (*run)(void); } TestCase;

static jmp_buf test_jump;

#define TEST(function) {#function, function}
#define TEST_FAIL(...)                                                   \
    do {                                                                 \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                  \
        fprintf(stderr, __VA_ARGS__);                                    \
        fputc('\n', stderr);                                             \
        longjmp(test_jump, 1);                                           \
    } while (0)
#define CHECK(condition) do { if (!(condition)) TEST_FAIL("not so: %s", #condition); } while (0)
#define CHECK_OK(expression)                                             \
    do {                                                                 \
        Status check_status_ = (expression);                             \
        if (check_status_ != OK) {                                       \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #expression, status_message(check_status_)); \
            status_free(check_status_);                                  \
            longjmp(test_jump, 1);                                       \
        }                                                                \
    } while (0)
/* The expression must fail with `code`, and its message contain `part`. */
#define CHECK_FAILS(expression, code, part)                              \
    do {                                                                 \
        Status check_status_ = (expression);                             \
        if (status_code(check_status_) != (code) || strstr(status_message(check_status_), (part)) == NULL) { \
            fprintf(stderr, "%s:%d: %s: expected %s with \"%s\", got %s: %s\n", __FILE__, __LINE__, #expression, \
                    status_code_name(code), (part), status_code_name(status_code(check_status_)), status_message(check_status_)); \
            status_free(check_status_);                                  \
            longjmp(test_jump, 1);                                       \
        }                                                                \
        status_free(check_status_);                                      \
    } while (0)
#define CHECK_INT(a, b)                                                  \
    do {                                                                 \
        long long check_a_ = (long long)(a), check_b_ = (long long)(b);  \
        if (check_a_ != check_b_) TEST_FAIL("%s is %lld, not %lld", #a, check_a_, check_b_); \
    } while (0)
#define CHECK_STRING(a, b)                                               \
    do {                                                                 \
        const char *check_a_ = (a), *check_b_ = (b);                     \
        if (check_a_ == NULL || strcmp(check_a_, check_b_) != 0)         \
            TEST_FAIL("%s is \"%s\", not \"%s\"", #a, check_a_ ? check_a_ : "(null)", check_b_); \
    } while (0)
#define CHECK_NEAR(a, b, tolerance)                                      \
    do {                                                                 \
        double check_a_ = (double)(a), check_b_ = (double)(b);           \
        if (!(fabs(check_a_ - check_b_) <= (tolerance))) TEST_FAIL("%s is %.9g, not %.9g", #a, check_a_, check_b_); \
    } while (0)
/* Ends the test as skipped, with the reason shown. */
#define SKIP(reason) do { printf("  skip: %s\n", reason); longjmp(test_jump, 2); } while (0)

static inline int test_main(const TestCase *cases, size_t count, int argc, char **argv)
{
    static int passed, failed, skipped; /* static: they outlive the longjmp */
    static size_t i;
    for (i = 0; i < count; i++) {
        int wanted = argc < 2;
        for (int a = 1; a < argc; a++) wanted |= strstr(cases[i].name, argv[a]) != NULL;
        if (!wanted) continue;
        volatile int outcome = setjmp(test_jump);
        if (outcome == 0) cases[i].run();
        if (outcome == 1) { failed++; printf("FAIL %s\n", cases[i].name); }
        else if (outcome == 2) skipped++;
        else passed++;
        fflush(stdout);
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
#define TEST_MAIN(...)                                                   \
    int main(int argc, char **argv)                                      \
    {                                                                    \
        static const TestCase cases[] = {__VA_ARGS__};                   \
        return test_main(cases, sizeof cases / sizeof cases[0], argc, argv); \
    }

#endif
