/* What users ask of a run from another terminal: watch, pause, resume, cancel, retry; and what status shows meanwhile. */
#include "tests/commands/artifacts.h"
#include "tests/commands/processes.h"

#define ENDLESS "train.steps=1000000", "run.checkpoint_seconds=0.2"
#define SETTINGS "run.checkpoint_seconds=0.2"

static const char *study_path(void)
{
    static const char *path;
    if (path == NULL) {
        make_scenes(in_root("study/data"), 20, 3, 0.3);
        path = make_study(in_root("study"), "");
    }
    return path;
}

typedef struct Said {
    const char *path, *part;
} Said;

static bool says(void *context)
{
    const Said *said = context;
    return file_exists(said->path) && strstr(read_text(said->path), said->part) != NULL;
}

static void wait_for(Child child, const char *part)
{
    Said said = {child.err, part};
    if (wait_until(child, says, &said)) return;
    Result result = program_end(child);
    show_result_(&result);
    TEST_FAIL("it ended before it said \"%s\"", part);
}

/* The start of the key of the job that a run says to have started. */
static const char *started_key(Child child, const char *stage)
{
    const char *line = strstr(read_text(child.err), text("start   %-9s ", stage));
    CHECK(line != NULL);
    return text("%.10s", line + strlen("start   ") + 10);
}

static void test_watch_follows_and_changes_nothing(void)
{
    const char *work = in_root("watched");
    Child run = PROGRAM_START("run", study_path(), "--work", work, ENDLESS);
    wait_for(run, "start   backbone");
    Child watch = PROGRAM_START("watch", study_path(), "--work", work, ENDLESS), other = PROGRAM_START(
        "run", study_path(), "--work", work, ENDLESS, "--watch");
    wait_for(watch, "watching tiny, run by process");
    wait_for(other, "watching tiny, run by process");
    kill(watch.pid, SIGINT);
    CHECK_CODE(program_end(watch), 128 + SIGINT);
    CHECK_INT(waitpid(run.pid, NULL, WNOHANG), 0);
    kill(run.pid, SIGTERM);
    CHECK_CODE(program_end(run), 75);
    Result followed = program_end(other);
    CHECK_CODE(followed, 0);
    CHECK_SAYS(followed.err, "its runner is gone");
    CHECK_CODE(PROGRAM("watch", "nothing", "--work", work), 4);
}

static void test_pause_and_resume(void)
{
    const char *work = in_root("paused");
    Child run = PROGRAM_START("run", study_path(), "--work", work, ENDLESS);
    wait_for(run, "start   backbone");
    Result asked = PROGRAM("pause", study_path(), "--work", work);
    CHECK_CODE(asked, 0);
    CHECK_SAYS(asked.out, "study tiny is paused");
    CHECK_SAYS(asked.out, "a runner is at work (process ");
    wait_for(run, "jobs wait for 'zeroth resume'");
    Result status = PROGRAM("status", study_path(), "--work", work);
    CHECK_SAYS(status.out, "study tiny is paused: 'zeroth resume' lets it go on");
    CHECK_SAYS(status.out, "paused");
    kill(run.pid, SIGTERM);
    CHECK_CODE(program_end(run), 75);
    asked = PROGRAM("resume", "tiny", "--work", work);
    CHECK_CODE(asked, 0);
    CHECK_SAYS(asked.out, "the next 'zeroth run' heeds this");
    CHECK_CODE(PROGRAM("run", study_path(), "--work", work, SETTINGS), 0);
}

static void test_cancel_and_retry(void)
{
    const char *work = in_root("cancelled");
    Child run = PROGRAM_START("run", study_path(), "--work", work, ENDLESS);
    wait_for(run, "start   backbone");
    const char *key = started_key(run, "backbone");
    CHECK_CODE(PROGRAM("cancel", "tinny", "--work", work), 4); /* a slip */
    CHECK_CODE(PROGRAM("cancel", study_path(), "ffffffffff", "--work", work, ENDLESS), 4);
    Result asked = PROGRAM("cancel", study_path(), key, "--work", work, ENDLESS);
    CHECK_CODE(asked, 0);
    CHECK_SAYS(asked.out, text("backbone %s is cancelled", key));
    Result ended = program_end(run);
    CHECK_CODE(ended, 75);
    CHECK_SAYS(ended.err, "1 cancelled, and others wait for them: 'zeroth retry' brings them back");
    Result status = PROGRAM("status", study_path(), "--work", work, ENDLESS);
    CHECK_SAYS(status.out, "cancelled");
    CHECK_SAYS(status.out, text("blocked: backbone %s cancelled", key));
    CHECK_CODE(PROGRAM("retry", study_path(), "--work", work, ENDLESS), 0);
    run = PROGRAM_START("run", study_path(), "--work", work, ENDLESS);
    wait_for(run, "(goes on)");
    kill(run.pid, SIGTERM);
    CHECK_CODE(program_end(run), 75);
}

TEST_MAIN(TEST(test_watch_follows_and_changes_nothing), TEST(test_pause_and_resume), TEST(test_cancel_and_retry))
