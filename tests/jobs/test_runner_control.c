/* What users ask of a run while it is on: pause, resume, cancel, retry, and stop. */
#include <signal.h>

#include "jobs/requests.h"
#include "tests/jobs/runs.h"

static const char STUDY[] = "name: small\nconfig: {train.steps: 6, generator.steps: 5, run.checkpoint_seconds: 0}\n"
                            "variants:\n  gated: {train.rate: 5}\n  free: {}\n";

typedef struct Run {
    char *directory, *work, *gate, *mended;
    pid_t pid;
} Run;

/* A runner whose backbone of the variant "gated" waits until gate_open. */
static Run run_start(const char *study)
{
    Run run = {.directory = fake_directory()};
    run.work = path_join(run.directory, "work");
    run.gate = path_join(run.directory, "gate");
    run.mended = path_join(run.directory, "mended");
    fake_write(run.directory, "study.yaml", study);
    setenv("FAKE_GATE", run.gate, 1);
    setenv("FAKE_MENDED", run.mended, 1);
    run.pid = run_in_child(run.directory);
    return run;
}

static int run_wait(Run *run)
{
    int how;
    CHECK_INT(waitpid(run->pid, &how, 0), run->pid);
    return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}

static void run_end(Run *run)
{
    unsetenv("FAKE_GATE");
    unsetenv("FAKE_MENDED");
    memory_free(run->work);
    memory_free(run->gate);
    memory_free(run->mended);
    clean(run->directory);
}

static void nothing(void *context, const LedgerJob *job, const char *what)
{
    (void)context;
    (void)job;
    (void)what;
}

static void ask(const Run *run, RequestAction action, char *prefix)
{
    CHECK_OK(request_jobs(run->work, "small", action, &prefix, prefix != NULL, nothing, NULL));
}

static Status take_key(void *context, const LedgerJob *job)
{
    char **key = context;
    if (strcmp(job->stage, key[0]) == 0 && key[1] == NULL) key[1] = memory_copy_string(job->key);
    return OK;
}

/* The key of a job of that stage and state. */
static char *find_key(const Run *run, StageId stage, JobState state)
{
    Ledger *ledger;
    char *found[2] = {(char *)(uintptr_t)stage_name(stage), NULL};
    CHECK_OK(ledger_open_reader(run->work, &ledger));
    CHECK_OK(ledger_each_job(ledger, &(LedgerFilter){.state = (int)state}, take_key, found));
    ledger_close(ledger);
    CHECK(found[1] != NULL);
    return found[1];
}

static void check_no_requests(const Run *run)
{
    ControlRequests requests;
    CHECK_OK(control_read(run->work, &requests));
    CHECK_INT(requests.count, 0);
    control_free(&requests);
}

static void test_paused_study_stops_and_goes_on(void)
{
    Run run = run_start(STUDY);
    wait_for_state(run.directory, STAGE_EVALUATE, STATE_FINISHED, 1);
    ask(&run, REQUEST_PAUSE, NULL);
    wait_for_state(run.directory, STAGE_BACKBONE, STATE_PAUSED, 1);
    wait_for_state(run.directory, STAGE_GENERATOR, STATE_PAUSED, 1); /* what has not begun, too */
    CHECK_INT(find_worker(run.directory), 0);
    fake_write(run.directory, "gate", "");
    CHECK_INT(waitpid(run.pid, NULL, WNOHANG), 0);
    ask(&run, REQUEST_RESUME, NULL);
    CHECK_INT(run_wait(&run), 0);
    wait_for_state(run.directory, STAGE_EVALUATE, STATE_FINISHED, 2);
    check_no_requests(&run);
    run_end(&run);
}

/* A pause outlives the run, and the next one waits too, until it is resumed. */
static void test_pause_before_the_run(void)
{
    char *directory = fake_directory(), *work = path_join(directory, "work");
    CHECK_OK(request_jobs(work, "small", REQUEST_PAUSE, NULL, 0, nothing, NULL));
    fake_write(directory, "study.yaml", "name: small\nconfig: {train.steps: 3, generator.steps: 3}\n");
    pid_t runner = run_in_child(directory);
    int how;
    wait_for_state(directory, STAGE_SHARD, STATE_PAUSED, 1);
    CHECK_INT(find_worker(directory), 0);
    kill(runner, SIGTERM);
    CHECK_INT(waitpid(runner, &how, 0), runner);
    CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 75);
    runner = run_in_child(directory);
    wait_for_state(directory, STAGE_SHARD, STATE_PAUSED, 1);
    CHECK_OK(request_jobs(work, "small", REQUEST_RESUME, NULL, 0, nothing, NULL));
    CHECK_INT(waitpid(runner, &how, 0), runner);
    CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    memory_free(work);
    clean(directory);
}

/* A running job, and one that has not begun: both end, what depends on them waits, and the rest is done. */
static void test_cancelled_jobs_block_what_depends_on_them(void)
{
    Run run = run_start(STUDY);
    RunnerSummary summary;
    wait_for_state(run.directory, STAGE_EVALUATE, STATE_FINISHED, 1);
    char *key = find_key(&run, STAGE_BACKBONE, STATE_RUNNING);
    ask(&run, REQUEST_CANCEL, key);
    CHECK_INT(run_wait(&run), 75);
    int64_t counts[STAGE_COUNT][JOB_STATE_COUNT];
    count_states(run.directory, counts);
    CHECK_INT(counts[STAGE_BACKBONE][STATE_CANCELLED], 1);
    CHECK_INT(counts[STAGE_EXTRACT][STATE_BLOCKED], 1);
    CHECK_INT(counts[STAGE_EVALUATE][STATE_FINISHED], 1);
    /* Another run leaves it alone. */
    CHECK_FAILS(run_study(run.directory, &summary, 2), STATUS_INTERRUPTED, "1 cancelled");
    CHECK_INT(summary.finished, 0);
    ask(&run, REQUEST_RETRY, key);
    fake_write(run.directory, "gate", "");
    CHECK_OK(run_study(run.directory, &summary, 2));
    check_no_requests(&run);
    memory_free(key);
    run_end(&run);
}

static void test_failed_job_is_retried_by_a_live_runner(void)
{
    Run run = run_start("name: small\nconfig: {train.steps: 6, generator.steps: 5}\n"
                        "variants:\n  gated: {train.rate: 5}\n  bad: {generator.rate: 9}\n");
    wait_for_state(run.directory, STAGE_GENERATOR, STATE_FAILED, 1);
    wait_for_state(run.directory, STAGE_EVALUATE, STATE_BLOCKED, 1);
    char *key = find_key(&run, STAGE_GENERATOR, STATE_FAILED);
    fake_write(run.directory, "mended", "");
    ask(&run, REQUEST_RETRY, key);
    wait_for_state(run.directory, STAGE_EVALUATE, STATE_FINISHED, 1);
    fake_write(run.directory, "gate", "");
    CHECK_INT(run_wait(&run), 0);
    check_no_requests(&run);
    memory_free(key);
    run_end(&run);
}

static void test_left_out_jobs_are_retried(void)
{
    Run run = run_start("name: small\nconfig: {train.steps: 6, generator.steps: 5}\n"
                        "variants:\n  gated: {train.rate: 5}\n  bad: {generator.rate: 9}\n"
                        "sweep: {seed: {values: [0, 1, 2, 3], when: {generator.rate: 9}}}\n");
    wait_for_state(run.directory, STAGE_GENERATOR, STATE_FAILED, 2);
    fake_write(run.directory, "mended", "");
    wait_for_state(run.directory, STAGE_GENERATOR, STATE_BLOCKED, 2);
    ask(&run, REQUEST_RETRY, NULL);
    fake_write(run.directory, "gate", "");
    CHECK_INT(run_wait(&run), 0);
    wait_for_state(run.directory, STAGE_EVALUATE, STATE_FINISHED, 5);
    run_end(&run);
}

/* A worker that does not heed the first Ctrl-C is killed by the second. */
static void test_second_stop_kills(void)
{
    Run run = run_start(STUDY);
    wait_for_state(run.directory, STAGE_EVALUATE, STATE_FINISHED, 1);
    pid_t worker = find_worker(run.directory);
    CHECK(worker > 0);
    CHECK_INT(kill(worker, SIGSTOP), 0);
    kill(run.pid, SIGINT);
    usleep(600000); /* two signals at once would be one */
    CHECK_INT(waitpid(run.pid, NULL, WNOHANG), 0);
    kill(run.pid, SIGINT);
    CHECK_INT(run_wait(&run), 75);
    CHECK(kill(worker, 0) != 0);
    run_end(&run);
}

static void test_unknown_and_ambiguous_jobs(void)
{
    Run run = run_start(STUDY);
    fake_write(run.directory, "gate", "");
    CHECK_INT(run_wait(&run), 0);
    char *prefixes[] = {"zzz", ""};
    CHECK_FAILS(request_jobs(run.work, "small", REQUEST_CANCEL, &prefixes[0], 1, nothing, NULL), STATUS_NOT_FOUND, "'zzz'");
    CHECK_FAILS(request_jobs(run.work, "small", REQUEST_CANCEL, &prefixes[1], 1, nothing, NULL), STATUS_USAGE, "9 jobs");
    CHECK_FAILS(request_jobs(run.work, "other", REQUEST_CANCEL, &prefixes[1], 1, nothing, NULL), STATUS_NOT_FOUND, "'other'");
    check_no_requests(&run);
    run_end(&run);
}

/* mpirun is killed: its ranks end, and the job goes on in another attempt. */
static void test_killed_mpirun_leaves_no_ranks(void)
{
    char *directory = fake_directory(), path[64];
    int how, parent = 0;
    if (system("mpirun --version >/dev/null 2>&1") != 0) SKIP("no mpirun");
    fake_write(directory, "study.yaml", "name: small\nconfig: {train.steps: 5, generator.steps: 5, run.shard.ranks: 2, run.backoff: 0}\n");
    setenv("FAKE_STEP_MS", "400", 1);
    pid_t runner = run_in_child(directory), worker = 0;
    for (int i = 0; i < 3000 && (worker = find_worker(directory)) == 0; i++) usleep(10000);
    snprintf(path, sizeof path, "/proc/%d/stat", (int)worker);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    CHECK_INT(fscanf(file, "%*d (%*[^)]) %*c %d", &parent), 1);
    fclose(file);
    CHECK(parent > 1 && parent != runner);
    CHECK_INT(kill(parent, SIGKILL), 0);
    for (int i = 0; i < 3000 && kill(worker, 0) == 0; i++) usleep(10000);
    CHECK(kill(worker, 0) != 0);
    unsetenv("FAKE_STEP_MS");
    CHECK_INT(waitpid(runner, &how, 0), runner);
    CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    clean(directory);
}

int main(int argc, char **argv)
{
    static const TestCase cases[] = {TEST(test_paused_study_stops_and_goes_on),
                                     TEST(test_pause_before_the_run),
                                     TEST(test_cancelled_jobs_block_what_depends_on_them),
                                     TEST(test_failed_job_is_retried_by_a_live_runner),
                                     TEST(test_left_out_jobs_are_retried),
                                     TEST(test_second_stop_kills),
                                     TEST(test_unknown_and_ambiguous_jobs),
                                     TEST(test_killed_mpirun_leaves_no_ranks)};
    return runs_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
