/* Whole studies with cheap stages: runs once, fails, is killed, goes on. */
#include "tests/jobs/runs.h"

static const char STUDY[] = "name: small\n"
                            "config: {train.steps: 12, generator.steps: 10, run.checkpoint_seconds: 0}\n"
                            "variants:\n  vanilla: {generator.kind: gmmn}\n  full: {}\n"
                            "sweep: {seed: [0, 1, 2]}\n";
enum { SMALL_JOBS = 1 + 3 * (1 + 1 + 2 + 2) };

static void test_study_runs_once(void)
{
    char *directory = fake_directory();
    RunnerSummary summary;
    fake_write(directory, "study.yaml", STUDY);
    CHECK_OK(run_study(directory, &summary, 2));
    CHECK_INT(summary.needed, SMALL_JOBS);
    CHECK_INT(summary.finished, SMALL_JOBS);
    int64_t counts[STAGE_COUNT][JOB_STATE_COUNT];
    count_states(directory, counts);
    CHECK_INT(counts[STAGE_SHARD][STATE_FINISHED], 1);
    CHECK_INT(counts[STAGE_BACKBONE][STATE_FINISHED], 3);
    CHECK_INT(counts[STAGE_EVALUATE][STATE_FINISHED], 6);
    CHECK_OK(run_study(directory, &summary, 2));
    CHECK_INT(summary.needed, 0);
    CHECK_INT(summary.finished, 0);
    clean(directory);
}

static void test_failure_spares_the_rest(void)
{
    char *directory = fake_directory();
    RunnerSummary summary;
    fake_write(directory, "study.yaml",
               "name: small\nconfig: {train.steps: 5, generator.steps: 5}\n"
               "variants:\n  good: {}\n  broken: {train.rate: 9}\n  bad: {generator.rate: 9}\n");
    CHECK_FAILS(run_study(directory, &summary, 2), STATUS_CHILD, "2 of 11 jobs failed");
    /* "good" and "bad" share all up to their generators; "broken" has a backbone of its own. */
    CHECK_INT(summary.failed, 2);
    CHECK_INT(summary.blocked, 4);
    CHECK_INT(summary.finished, 5);
    int64_t counts[STAGE_COUNT][JOB_STATE_COUNT];
    count_states(directory, counts);
    CHECK_INT(counts[STAGE_BACKBONE][STATE_FAILED], 1);
    CHECK_INT(counts[STAGE_GENERATOR][STATE_FAILED], 1);
    CHECK_INT(counts[STAGE_EVALUATE][STATE_BLOCKED], 2);
    clean(directory);
}

static Status find_failed(void *context, const LedgerJob *job)
{
    snprintf(context, 200, "%s/%s/%lld", job->cause, job->message, (long long)job->attempts);
    return OK;
}

static void test_killed_job_is_tried_again_then_given_up(void)
{
    char *directory = fake_directory(), *work = path_join(directory, "work"), found[200] = "";
    RunnerSummary summary;
    Ledger *ledger;
    fake_write(directory, "study.yaml", "name: small\nconfig: {train.steps: 5, generator.steps: 5, generator.rate: 8, "
                                        "run.attempts: 2}\n");
    CHECK_FAILS(run_study(directory, &summary, 2), STATUS_CHILD, "1 of 5 jobs failed");
    CHECK_INT(summary.blocked, 1);
    CHECK_OK(ledger_open_reader(work, &ledger));
    CHECK_OK(ledger_each_job(ledger, &(LedgerFilter){.state = STATE_FAILED}, find_failed, found));
    CHECK_STRING(found, "killed/killed by signal 9 (Killed)/2");
    ledger_close(ledger);
    memory_free(work);
    clean(directory);
}

static void test_second_runner_is_told_who(void)
{
    char *directory = fake_directory(), *work = path_join(directory, "work");
    RunnerSummary summary;
    Ledger *ledger;
    fake_write(directory, "study.yaml", STUDY);
    CHECK_OK(ledger_open_writer(work, &ledger));
    char holder[40];
    snprintf(holder, sizeof holder, "process %d", (int)getpid());
    CHECK_FAILS(run_study(directory, &summary, 2), STATUS_LOCKED, holder);
    ledger_close(ledger);
    CHECK_OK(run_study(directory, &summary, 2));
    memory_free(work);
    clean(directory);
}

static void test_damaged_artifact_is_made_again(void)
{
    char *directory = fake_directory(), **names;
    size_t count;
    RunnerSummary summary;
    Text before = {0}, after = {0};
    fake_write(directory, "study.yaml", STUDY);
    CHECK_OK(run_study(directory, &summary, 2));
    read_results(directory, &before);
    char *artifacts = memory_format("%s/work/artifacts", directory);
    CHECK_OK(directory_list(artifacts, &names, &count));
    for (size_t i = 0; i < count; i++) { /* damaged evaluate jobs are all made again */
        char *metrics = memory_format("%s/%s/metrics.json", artifacts, names[i]);
        if (file_exists(metrics)) CHECK_INT(truncate(metrics, 1), 0);
        memory_free(metrics);
    }
    names_free(names, count);
    memory_free(artifacts);
    CHECK_OK(run_study(directory, &summary, 2));
    CHECK_INT(summary.finished, 6);
    read_results(directory, &after);
    CHECK_STRING(text_string(&after), text_string(&before));
    text_free(&before);
    text_free(&after);
    clean(directory);
}

/* Kills --------------------------------------------------------------------------- */

/* Kills workers and the runner at moments that a fixed seed draws, until the
 * study is done all the same; results must be those of an undisturbed run. */
static void kill_until_done(const char *directory, int signal_number, int rounds, uint64_t seed)
{
    Random random = random_stream(seed, RANDOM_TEST, 0, 0);
    for (int round = 0; round < rounds; round++) {
        pid_t runner = run_in_child(directory);
        int how;
        for (int kills = 0; kills < 4; kills++) {
            usleep((useconds_t)(20000 + random_below(&random, 120000)));
            pid_t worker = find_worker(directory);
            if (worker > 0 && worker != runner) kill(worker, signal_number);
        }
        kill(runner, signal_number);
        CHECK_INT(waitpid(runner, &how, 0), runner);
        if (WIFEXITED(how) && WEXITSTATUS(how) == 0) return;
    }
}

static void check_kills(int signal_number, uint64_t seed)
{
    char *directory = fake_directory(), *undisturbed = fake_directory();
    Text expected = {0}, actual = {0};
    RunnerSummary summary;
    fake_write(directory, "study.yaml", STUDY);
    fake_write(undisturbed, "study.yaml", STUDY);
    unsetenv("FAKE_STEP_MS");
    CHECK_OK(run_study(undisturbed, &summary, 2));
    setenv("FAKE_STEP_MS", "10", 1);
    kill_until_done(directory, signal_number, 8, seed);
    unsetenv("FAKE_STEP_MS");
    wait_for_workers(directory);
    CHECK_OK(run_study(directory, &summary, 2));
    read_results(undisturbed, &expected);
    read_results(directory, &actual);
    CHECK_STRING(text_string(&actual), text_string(&expected));
    text_free(&expected);
    text_free(&actual);
    clean(directory);
    clean(undisturbed);
}

static void test_sigkill_changes_no_bit(void)
{
    check_kills(SIGKILL, 1);
}

static void test_sigterm_changes_no_bit(void)
{
    check_kills(SIGTERM, 2);
}

static void test_workers_of_a_killed_runner_are_adopted(void)
{
    char *directory = fake_directory(), *work = path_join(directory, "work");
    RunnerSummary summary;
    fake_write(directory, "study.yaml", "name: small\nconfig: {train.steps: 60, generator.steps: 5}\n");
    setenv("FAKE_STEP_MS", "20", 1);
    pid_t runner = run_in_child(directory), worker = 0;
    char *backbone = NULL;
    for (int i = 0; i < 500 && backbone == NULL; i++) { /* until the second job is at work */
        char *runs = path_join(work, "runs"), **names;
        size_t count;
        usleep(10000);
        Status status = directory_list(runs, &names, &count);
        if (status == OK && count == 2) worker = find_worker(directory);
        if (worker > 0) backbone = memory_copy_string("yes");
        if (status == OK) names_free(names, count);
        status_free(status);
        memory_free(runs);
    }
    CHECK(backbone != NULL);
    memory_free(backbone);
    kill(runner, SIGKILL);
    waitpid(runner, NULL, 0);
    CHECK(find_worker(directory) > 0);
    unsetenv("FAKE_STEP_MS");
    CHECK_OK(run_study(directory, &summary, 2));
    /* The adopted attempt was its job's only one. */
    Ledger *ledger;
    char found[200] = "";
    CHECK_OK(ledger_open_reader(work, &ledger));
    CHECK_OK(ledger_each_job(ledger, &(LedgerFilter){.state = STATE_FINISHED}, find_failed, found));
    CHECK_STRING(found, "//1");
    ledger_close(ledger);
    memory_free(work);
    clean(directory);
}

static void test_sigterm_stops_with_checkpoints(void)
{
    char *directory = fake_directory();
    int how;
    fake_write(directory, "study.yaml", "name: small\nconfig: {train.steps: 500, generator.steps: 5}\n");
    setenv("FAKE_STEP_MS", "10", 1);
    pid_t runner = run_in_child(directory);
    usleep(700000);
    kill(runner, SIGTERM);
    CHECK_INT(waitpid(runner, &how, 0), runner);
    unsetenv("FAKE_STEP_MS");
    CHECK(WIFEXITED(how));
    CHECK_INT(WEXITSTATUS(how), 75);
    CHECK_INT(find_worker(directory), 0);
    int64_t counts[STAGE_COUNT][JOB_STATE_COUNT];
    count_states(directory, counts);
    CHECK_INT(counts[STAGE_BACKBONE][STATE_INTERRUPTED], 1);
    RunnerSummary summary;
    CHECK_OK(run_study(directory, &summary, 2));
    clean(directory);
}

/* Shard under mpirun: stopped in the middle, gone on, and the same result. */
static void test_ranks_stop_and_go_on(void)
{
    char *directory = fake_directory(), *alone = fake_directory();
    int how;
    RunnerSummary summary;
    Text expected = {0}, actual = {0};
    if (system("mpirun --version >/dev/null 2>&1") != 0) SKIP("no mpirun");
    fake_write(alone, "study.yaml", "name: small\nconfig: {train.steps: 5, generator.steps: 5}\n");
    CHECK_OK(run_study(alone, &summary, 2));
    fake_write(directory, "study.yaml", "name: small\nconfig: {train.steps: 5, generator.steps: 5, run.ranks: 2}\n");
    setenv("FAKE_STEP_MS", "700", 1);
    pid_t runner = run_in_child(directory);
    for (int i = 0; i < 500 && find_worker(directory) == 0; i++) usleep(10000);
    usleep(200000);
    kill(runner, SIGTERM);
    CHECK_INT(waitpid(runner, &how, 0), runner);
    unsetenv("FAKE_STEP_MS");
    CHECK(WIFEXITED(how));
    CHECK_INT(WEXITSTATUS(how), 75);
    int64_t counts[STAGE_COUNT][JOB_STATE_COUNT];
    count_states(directory, counts);
    CHECK_INT(counts[STAGE_SHARD][STATE_INTERRUPTED], 1);
    CHECK_OK(run_study(directory, &summary, 2));
    read_results(alone, &expected);
    read_results(directory, &actual);
    CHECK_STRING(text_string(&actual), text_string(&expected));
    text_free(&expected);
    text_free(&actual);
    clean(directory);
    clean(alone);
}

int main(int argc, char **argv)
{
    static const TestCase cases[] = {TEST(test_study_runs_once),
                                     TEST(test_failure_spares_the_rest),
                                     TEST(test_killed_job_is_tried_again_then_given_up),
                                     TEST(test_second_runner_is_told_who),
                                     TEST(test_damaged_artifact_is_made_again),
                                     TEST(test_sigkill_changes_no_bit),
                                     TEST(test_sigterm_changes_no_bit),
                                     TEST(test_workers_of_a_killed_runner_are_adopted),
                                     TEST(test_sigterm_stops_with_checkpoints),
                                     TEST(test_ranks_stop_and_go_on)};
    return runs_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
