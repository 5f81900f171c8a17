/* Causes of ends, and what users ask by files. */
#include <signal.h>

#include "jobs/causes.h"
#include "jobs/control.h"
#include "tests/test.h"

#include "tests/jobs/fake_stages.h"

static ExitCause cause(EndEvidence evidence)
{
    return cause_of_end(&evidence);
}

static void test_every_source_of_a_cause(void)
{
    /* What the attempt said goes before how its process ended. */
    CHECK_INT(cause((EndEvidence){.said = true, .outcome = STATUS_NON_FINITE, .exit_code = 1}), CAUSE_NON_FINITE);
    CHECK_INT(cause((EndEvidence){.said = true, .outcome = STATUS_INVALID, .told = CAUSE_HUNG}), CAUSE_BAD_INPUT);
    /* But an attempt that was stopped does not know why. */
    CHECK_INT(cause((EndEvidence){.said = true, .outcome = STATUS_INTERRUPTED, .exit_code = 75}), CAUSE_INTERRUPTED);
    CHECK_INT(cause((EndEvidence){.said = true, .outcome = STATUS_INTERRUPTED, .told = CAUSE_HUNG}), CAUSE_HUNG);
    CHECK_INT(cause((EndEvidence){.said = true, .outcome = STATUS_INTERRUPTED, .told = CAUSE_TIME_LIMIT}), CAUSE_TIME_LIMIT);
    CHECK_INT(cause((EndEvidence){.exit_code = -1, .signal = SIGKILL}), CAUSE_KILLED);
    CHECK_INT(cause((EndEvidence){.exit_code = -1, .signal = SIGKILL, .told = CAUSE_OUT_OF_MEMORY}), CAUSE_OUT_OF_MEMORY);
    CHECK_INT(cause((EndEvidence){.exit_code = -1, .signal = SIGSEGV}), CAUSE_SIGNAL);
    CHECK_INT(cause((EndEvidence){.exit_code = status_exit_code(STATUS_NO_SPACE)}), CAUSE_NO_SPACE);
    CHECK_INT(cause((EndEvidence){.exit_code = status_exit_code(STATUS_LOCKED)}), CAUSE_LOCKED);
    CHECK_INT(cause((EndEvidence){.exit_code = 127}), CAUSE_UNKNOWN);
    CHECK_INT(cause((EndEvidence){.exit_code = 0}), CAUSE_UNKNOWN);
    CHECK_INT(cause((EndEvidence){.exit_code = -1}), CAUSE_UNKNOWN);
}

static void test_rules(void)
{
    /* The same bits would come again. */
    CHECK(!cause_rule(CAUSE_NON_FINITE)->again && !cause_rule(CAUSE_BAD_INPUT)->again);
    CHECK(cause_rule(CAUSE_BAD_INPUT)->shared && cause_rule(CAUSE_DEFECT)->shared && !cause_rule(CAUSE_NON_FINITE)->shared);
    CHECK(cause_rule(CAUSE_OUT_OF_MEMORY)->again && cause_rule(CAUSE_OUT_OF_MEMORY)->more_memory);
    CHECK(!cause_rule(CAUSE_INTERRUPTED)->backs_off && cause_rule(CAUSE_KILLED)->backs_off);
    for (int i = 0; i < EXIT_CAUSE_COUNT; i++) {
        CHECK_INT(cause_from_name(cause_name((ExitCause)i)), i);
        CHECK(i == CAUSE_NONE || cause_rule((ExitCause)i)->advice[0] != '\0');
    }
    for (int code = 1; code < STATUS_CODE_COUNT; code++) CHECK(cause_of_status((StatusCode)code) != CAUSE_NONE);
    CHECK_INT(cause_from_name("nothing of the kind"), CAUSE_UNKNOWN);
    CHECK_NEAR(cause_backoff(1, 1), 1, 0);
    CHECK_NEAR(cause_backoff(1, 4), 8, 0);
    CHECK_NEAR(cause_backoff(1, 1000), LONGEST_BACKOFF, 0);
    CHECK_NEAR(cause_backoff(0, 5), 0, 0);
}

static void test_requests_by_files(void)
{
    char *work = fake_directory();
    ControlRequests before, requests;
    CHECK_OK(control_read(work, &before));
    CHECK_INT(before.count, 0);
    CHECK_OK(control_set(work, CONTROL_PAUSE, NULL, "a.study"));
    CHECK_OK(control_set(work, CONTROL_CANCEL, "0123abc", NULL));
    CHECK_OK(control_set(work, CONTROL_CANCEL, "0123abc", NULL));
    fake_write(work, "control/notes", "not a request");
    fake_write(work, "control/.0123abc.retry", "a torn write");
    CHECK_OK(control_read(work, &requests));
    CHECK_INT(requests.count, 2);
    CHECK(!control_equal(&before, &requests) && control_equal(&requests, &requests));
    CHECK(control_asks(&requests, CONTROL_PAUSE, "0123abc", "a.study"));
    CHECK(!control_asks(&requests, CONTROL_PAUSE, "0123abc", "a"));
    CHECK(!control_asks(&requests, CONTROL_PAUSE, "0123abc", NULL));
    CHECK(control_asks(&requests, CONTROL_CANCEL, "0123abc", NULL));
    CHECK(!control_asks(&requests, CONTROL_CANCEL, "0123ab", NULL));
    CHECK(!control_asks(&requests, CONTROL_RETRY, "0123abc", "a.study"));
    control_free(&requests);
    CHECK_OK(control_clear(work, CONTROL_CANCEL, "0123abc", NULL));
    CHECK_OK(control_clear(work, CONTROL_CANCEL, "0123abc", NULL));
    CHECK_OK(control_read(work, &requests));
    CHECK_INT(requests.count, 1);
    control_free(&requests);
    control_free(&before);
    CHECK_OK(directory_remove(work));
    memory_free(work);
}

TEST_MAIN(TEST(test_every_source_of_a_cause), TEST(test_rules), TEST(test_requests_by_files))
