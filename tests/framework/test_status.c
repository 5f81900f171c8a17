#include <errno.h>

#include "tests/test.h"

static void test_codes(void)
{
    CHECK_STRING(status_code_name(STATUS_OK), "ok");
    CHECK_STRING(status_code_name(STATUS_NO_SPACE), "no-space");
    CHECK_INT(status_exit_code(STATUS_OK), 0);
    CHECK_INT(status_exit_code(STATUS_INTERRUPTED), 75);
    for (int i = 0; i < STATUS_CODE_COUNT; i++)
        CHECK_INT(status_code_from_name(status_code_name((StatusCode)i)), i);
    CHECK_INT(status_code_from_name("no such name"), STATUS_INTERNAL);
    CHECK_STRING(status_code_name((StatusCode)999), "internal");
}

static void test_message(void)
{
    Status status = status_error(STATUS_INVALID, "%s:%d: bad %s", "a.yaml", 3, "key");
    CHECK_INT(status_code(status), STATUS_INVALID);
    CHECK_STRING(status_message(status), "a.yaml:3: bad key");
    status_free(status);
    CHECK_INT(status_code(OK), STATUS_OK);
    CHECK_STRING(status_message(OK), "");
    status_free(OK);
    /* STATUS_OK is no failure: it must not make one that looks like success. */
    CHECK_FAILS(status_error(STATUS_OK, "odd"), STATUS_INTERNAL, "odd");
}

static void test_wrap(void)
{
    Status status = status_wrap(status_error(STATUS_NOT_FOUND, "no file"), "study %d", 7);
    CHECK_INT(status_code(status), STATUS_NOT_FOUND);
    CHECK_STRING(status_message(status), "study 7: no file");
    status_free(status);
    CHECK(status_wrap(OK, "study") == OK);
    char text[5000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    status = status_wrap(status_error(STATUS_IO, "%s", text), "%s", text); /* nothing is cut */
    CHECK_INT(strlen(status_message(status)), 4999 * 2 + 2);
    status_free(status);
}

static void test_errno(void)
{
    CHECK_FAILS(status_errno(ENOSPC, "write", "/a/b"), STATUS_NO_SPACE, "/a/b: cannot write: No space left");
    CHECK_FAILS(status_errno(EDQUOT, "write", "/a/b"), STATUS_NO_SPACE, "/a/b");
    CHECK_FAILS(status_errno(ENOENT, "open", "/a/b"), STATUS_NOT_FOUND, "open");
    CHECK_FAILS(status_errno(ENOMEM, "open", "/a/b"), STATUS_NO_MEMORY, "open");
    CHECK_FAILS(status_errno(EACCES, "open", "/a/b"), STATUS_IO, "ermission");
    CHECK_FAILS(status_no_memory(123, "a tensor"), STATUS_NO_MEMORY, "a tensor (123 bytes)");
}

static Status fail_if(int fail) { return fail ? status_error(STATUS_IO, "failed") : OK; }

static Status tries(int fail, int *reached)
{
    TRY(fail_if(fail));
    *reached = 1;
    return OK;
}

static Status tries_goto(int fail, int *released)
{
    Status status;
    TRY_GOTO(status, fail_if(fail), release);
release:
    *released = 1;
    return status;
}

static void test_try(void)
{
    int reached = 0;
    CHECK_FAILS(tries(1, &reached), STATUS_IO, "failed");
    CHECK_INT(reached, 0);
    CHECK_OK(tries(0, &reached));
    CHECK_INT(reached, 1);
    int released = 0;
    CHECK_FAILS(tries_goto(1, &released), STATUS_IO, "failed");
    CHECK_INT(released, 1);
}

static void test_first(void)
{
    CHECK(status_first(OK, OK) == OK);
    CHECK_FAILS(status_first(OK, fail_if(1)), STATUS_IO, "failed");
    CHECK_FAILS(status_first(status_error(STATUS_USAGE, "one"), fail_if(1)), STATUS_USAGE, "one");
    CHECK_FAILS(status_first(status_error(STATUS_USAGE, "one"), OK), STATUS_USAGE, "one");
}

TEST_MAIN(TEST(test_codes), TEST(test_message), TEST(test_wrap), TEST(test_errno), TEST(test_try), TEST(test_first))
