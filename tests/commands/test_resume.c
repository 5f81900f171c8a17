/* A study that was killed and stopped again and again, and run again by the
 * same command each time, leaves the bytes of an undisturbed one. */
#include "tests/commands/artifacts.h"
#include "tests/commands/processes.h"

static const char STUDY[] = "variants:\n"
                            "  vanilla: {generator.kind: gmmn}\n"
                            "  full: {classifier.when: after}\n";

#define SETTINGS "run.checkpoint_seconds=0", "run.attempts=3", "run.backoff=0", "train.steps=16", "generator.steps=12"

/* The scenes and the undisturbed run, made once for all tests. */
static const char *study_path(void)
{
    static const char *path;
    if (path == NULL) {
        make_scenes(in_root("study/data"), 30, 5, 0.3);
        path = make_study(in_root("study"), STUDY);
    }
    return path;
}

static const char *undisturbed(void)
{
    static const char *work;
    if (work == NULL) {
        const char *path = in_root("undisturbed");
        CHECK_CODE(PROGRAM("run", study_path(), "--work", path, SETTINGS), 0);
        check_no_leftovers(path);
        work = path;
    }
    return work;
}

/* How many logs of attempts say `part`. */
static int count_logs(const char *work, const char *part)
{
    const char *runs = text("%s/runs", work);
    int count = 0;
    for (const char *line = tree_text(runs, false); *line != '\0'; line = strchr(line, '\n') + 1) {
        const char *path = text("%s/%.*s", runs, (int)strcspn(line, " "), line);
        count += strcmp(path_name(path), LOG_NAME) == 0 && strstr(read_text(path), part) != NULL;
    }
    return count;
}

static void check_like_undisturbed(const char *work)
{
    check_no_leftovers(work);
    CHECK(count_logs(work, "goes on from step") >= 1); /* else nothing was resumed, and nothing is shown here */
    check_artifacts_whole(work);
    check_same_artifacts(undisturbed(), work);
}

/* Disturbances ---------------------------------------------------------------- */

typedef enum Disturbance { TERM_RUNNER, KILL_RUNNER, TERM_WORKERS, KILL_WORKERS, KILL_ALL, DISTURBANCES } Disturbance;

static void strike(Child child, Disturbance how)
{
    pid_t below[MAX_PROCESSES];
    int count = descendants(child.pid, below);
    if (how == TERM_RUNNER) kill(child.pid, SIGTERM);
    if (how == KILL_RUNNER || how == KILL_ALL) kill(child.pid, SIGKILL);
    for (int i = 0; i < count; i++) {
        if (how == TERM_WORKERS && is_worker(below[i])) kill(below[i], SIGTERM);
        if (how == KILL_WORKERS && is_worker(below[i])) kill(below[i], SIGKILL);
        if (how == KILL_ALL) kill(below[i], SIGKILL);
    }
}

/* What a command may end with after that. 0: it was done already, or made up for it itself. */
static bool may_end_with(Disturbance how, int code)
{
    switch (how) {
    case TERM_RUNNER: return code == 75 || code == 0;
    case KILL_RUNNER:
    case KILL_ALL: return code == 128 + SIGKILL || code == 0;
    case TERM_WORKERS: return code == 75 || code == 12 || code == 0;
    default: return code == 12 || code == 75 || code == 0;
    }
}

/* Runs the study to its end under disturbances of these kinds in turn, each a few events further on; how many there
 * were. A runner outlives its workers, and gets the next disturbance too. */
static int run_disturbed(const char *work, const Disturbance *kinds, int kind_count, int stride)
{
    enum { MOST = 24, STARTS = 40 };
    int struck = 0;
    for (int start = 0; start < STARTS; start++) {
        Child child = PROGRAM_START("run", study_path(), "--work", work, SETTINGS);
        int before = struck;
        Disturbance how = kinds[0];
        while (struck < MOST) {
            Moment moment = {work, count_events(work) + 1 + (struck * stride) % 11};
            if (!wait_until(child, has_come, &moment)) break;
            how = kinds[struck % kind_count];
            strike(child, how);
            struck++;
            if (how != KILL_WORKERS && how != TERM_WORKERS) break;
        }
        Result result = program_end(child);
        if (struck > before ? !may_end_with(how, result.code) : result.code != 0) {
            show_result_(&result);
            TEST_FAIL("start %d, disturbance %d: exit code %d", start, struck > before ? (int)how : -1, result.code);
        }
        if (struck == before || result.code == 0) return struck;
    }
    TEST_FAIL("the study never ended");
}

static void test_term_of_runner(void)
{
    const char *work = in_root("term-runner");
    undisturbed();
    CHECK(run_disturbed(work, (const Disturbance[]){TERM_RUNNER}, 1, 7) >= 3);
    check_like_undisturbed(work);
}

static void test_kill_of_everything(void)
{
    const char *work = in_root("kill-all");
    undisturbed();
    CHECK(run_disturbed(work, (const Disturbance[]){KILL_ALL, KILL_RUNNER}, 2, 5) >= 3);
    check_like_undisturbed(work);
}

static void test_kill_of_workers(void)
{
    const char *work = in_root("kill-workers");
    undisturbed();
    CHECK(run_disturbed(work, (const Disturbance[]){KILL_WORKERS, TERM_WORKERS}, 2, 3) >= 3);
    check_like_undisturbed(work);
}

/* A runner stopped by SIGTERM says so by its exit code, and its workers are gone when it is. */
static void test_exit_code_of_term(void)
{
    const char *work = in_root("term-once");
    pid_t below[MAX_PROCESSES];
    undisturbed();
    Child child = PROGRAM_START("run", study_path(), "--work", work, SETTINGS, "train.steps=100000");
    Moment moment = {work, 12};
    CHECK(wait_until(child, has_come, &moment));
    int count = descendants(child.pid, below);
    Result second = PROGRAM("run", study_path(), "--work", work, SETTINGS);
    kill(child.pid, SIGTERM);
    CHECK_CODE(program_end(child), 75);
    CHECK_CODE(second, 11); /* one runner at a time */
    CHECK_SAYS(second.err, "ledger.lock");
    CHECK_SAYS(second.err, "'zeroth watch");
    CHECK(count_logs(work, "stopped by a signal after step") >= 1);
    for (int i = 0; i < count; i++) CHECK(kill(below[i], 0) != 0 && errno == ESRCH);
}

/* Every process dies at its N-th passage of a point where files can be torn. */
static void test_kill_at_file_points(void)
{
    static const char *const POINTS[] = {"open", "write", "sync", "rename", "dirsync"};
    const char *work = in_root("kill-points");
    int struck = 0;
    undisturbed();
    for (int passage = 0; passage < 40; passage = passage * 2 + 1)
        for (size_t p = 0; p < sizeof POINTS / sizeof POINTS[0]; p++) {
            const char *inject = text("ZEROTH_FILES_INJECT=%s:kill:%d", POINTS[p], passage);
            Result result = PROGRAM_WITH(inject, "run", study_path(), "--work", work, SETTINGS);
            struck += result.code != 0;
            if (result.code != 0 && result.code != 12 && result.code != 128 + SIGKILL) {
                show_result_(&result);
                TEST_FAIL("%s: exit code %d", inject, result.code);
            }
        }
    CHECK(struck >= 5);
    CHECK_CODE(PROGRAM("run", study_path(), "--work", work, SETTINGS), 0);
    check_like_undisturbed(work);
}

TEST_MAIN(TEST(test_term_of_runner), TEST(test_kill_of_everything), TEST(test_kill_of_workers),
          TEST(test_exit_code_of_term), TEST(test_kill_at_file_points))
