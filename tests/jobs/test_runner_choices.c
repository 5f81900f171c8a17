/* What the runner starts, in which order, how often, and what it leaves out. */
#include <signal.h>
#include <sys/stat.h>

#include "tests/jobs/runs.h"

/* Of a work directory: start of each job of a stage, by variant's order in the plan. */
typedef struct Job {
    char key[HASH_HEX_SIZE], cause[24], message[200];
    JobState state;
    int64_t attempts;
    double started; /* of its last attempt */
} Job;

typedef struct Jobs {
    Ledger *ledger;
    StageId stage;
    Job items[64];
    size_t count;
} Jobs;

static Status take_job(void *context, const LedgerJob *job)
{
    Jobs *jobs = context;
    LedgerAttempt attempt;
    if (strcmp(job->stage, stage_name(jobs->stage)) != 0) return OK;
    Status status = ledger_last_attempt(jobs->ledger, job->key, &attempt);
    Job *own = &jobs->items[jobs->count++];
    *own = (Job){.state = job->state, .attempts = job->attempts, .started = status == OK ? attempt.started : 0};
    status_free(status);
    snprintf(own->key, sizeof own->key, "%s", job->key);
    snprintf(own->cause, sizeof own->cause, "%s", job->cause);
    snprintf(own->message, sizeof own->message, "%s", job->message);
    return OK;
}

static Jobs read_jobs(const char *directory, StageId stage)
{
    char *work = path_join(directory, "work");
    Jobs jobs = {.stage = stage};
    CHECK_OK(ledger_open_reader(work, &jobs.ledger));
    CHECK_OK(ledger_each_job(jobs.ledger, &(LedgerFilter){.state = -1}, take_job, &jobs));
    ledger_close(jobs.ledger);
    memory_free(work);
    return jobs;
}

static void check_same_results(const char *a, const char *b)
{
    Text expected = {0}, actual = {0};
    read_results(a, &expected);
    read_results(b, &actual);
    CHECK_STRING(text_string(&actual), text_string(&expected));
    text_free(&expected);
    text_free(&actual);
}

/* First jobs -------------------------------------------------------------------------- */

static const char BROKEN[] = "name: small\nconfig: {train.steps: 3, generator.steps: 3, generator.rate: 9}\n"
                             "variants:\n  a: {generator.layers: 1}\n  b: {generator.layers: 2}\n  c: {generator.layers: 4}\n"
                             "sweep: {seed: [0, 1, 2]}\n";

static void test_broken_stage_fails_twice_and_no_more(void)
{
    char *directory = fake_directory();
    RunnerSummary summary;
    fake_write(directory, "study.yaml", BROKEN);
    CHECK_FAILS(run_study(directory, &summary, 4), STATUS_CHILD, "2 of");
    CHECK_INT(summary.failed, 2);
    CHECK_INT(summary.left_out, 7);
    CHECK_INT(summary.blocked, 9);
    Jobs jobs = read_jobs(directory, STAGE_GENERATOR);
    size_t left = 0;
    for (size_t i = 0; i < jobs.count; i++) {
        if (strcmp(jobs.items[i].cause, "left-out") != 0) continue;
        left++;
        CHECK_STRING(jobs.items[i].message, "2 failed alike: class vectors: no vector for class 'zebra'");
        CHECK_INT(jobs.items[i].attempts, 0);
    }
    CHECK_INT(left, 7);
    clean(directory);
}

static void test_keep_going_tries_all(void)
{
    char *directory = fake_directory();
    RunnerSummary summary;
    fake_write(directory, "study.yaml", BROKEN);
    CHECK_FAILS(run_study_with(directory, &summary, 4, (RunnerOptions){.keep_going = true}), STATUS_CHILD, "9 of");
    CHECK_INT(summary.failed, 9);
    CHECK_INT(summary.left_out, 0);
    clean(directory);
}

/* Only the broken variant is given up; the others of its stage go on. */
static void test_broken_variant_spares_the_others(void)
{
    char *directory = fake_directory();
    RunnerSummary summary;
    fake_write(directory, "study.yaml",
               "name: small\nconfig: {train.steps: 3, generator.steps: 3}\n"
               "variants:\n  bad: {generator.rate: 9}\n  good: {}\n  other: {generator.layers: 1}\n"
               "sweep: {seed: [0, 1, 2, 3, 4, 5]}\n");
    CHECK_FAILS(run_study_with(directory, &summary, 4, (RunnerOptions){.jobs = 1}), STATUS_CHILD, "2 of");
    CHECK_INT(summary.failed, 2);
    CHECK_INT(summary.left_out, 4);
    Jobs jobs = read_jobs(directory, STAGE_EVALUATE);
    size_t finished = 0;
    for (size_t i = 0; i < jobs.count; i++) finished += jobs.items[i].state == STATE_FINISHED;
    CHECK_INT(finished, 12);
    clean(directory);
}

/* Order --------------------------------------------------------------------------------- */

static void test_priorities(void)
{
    char *directory = fake_directory();
    RunnerSummary summary;
    fake_write(directory, "study.yaml",
               "name: small\nconfig: {train.steps: 2, generator.steps: 2}\n"
               "variants:\n  late: {train.rate: 0.1}\n  early: {train.rate: 0.2, run.priority: 7}\n"
               "sweep: {seed: [0, 1]}\n");
    CHECK_OK(run_study_with(directory, &summary, 4, (RunnerOptions){.jobs = 1}));
    Jobs backbones = read_jobs(directory, STAGE_BACKBONE), evaluates = read_jobs(directory, STAGE_EVALUATE);
    CHECK_INT(backbones.count, 4);
    double ends[4];
    for (size_t i = 0; i < 4; i++) ends[i] = evaluates.items[i].started;
    /* Both early trials are evaluated before a late one's training begins: two evaluations come before two backbones. */
    for (size_t i = 0; i < 4; i++) {
        size_t evaluated = 0, trained = 0;
        for (size_t j = 0; j < 4; j++) {
            evaluated += ends[j] < backbones.items[i].started;
            trained += backbones.items[j].started < backbones.items[i].started;
        }
        CHECK(trained < 2 ? evaluated <= 1 : evaluated >= 2);
    }
    clean(directory);
}

/* Retries --------------------------------------------------------------------------------- */

static void check_one_failed(const char *generator, const char *cause, int64_t attempts)
{
    char *directory = fake_directory(), *text = memory_format(
        "name: small\nconfig: {train.steps: 3, generator.steps: 8, run.backoff: 0, run.attempts: 3, "
        "run.checkpoint_seconds: 100, generator.rate: %s}\n", generator);
    RunnerSummary summary;
    fake_write(directory, "study.yaml", text);
    CHECK_FAILS(run_study(directory, &summary, 2), STATUS_CHILD, "1 of 5");
    Jobs jobs = read_jobs(directory, STAGE_GENERATOR);
    CHECK_INT(jobs.items[0].state, STATE_FAILED);
    CHECK_STRING(jobs.items[0].cause, cause);
    CHECK_INT(jobs.items[0].attempts, attempts);
    memory_free(text);
    clean(directory);
}

static void test_causes_are_tried_again_or_not(void)
{
    check_one_failed("9", "bad-input", 1);
    check_one_failed("8", "killed", 3);
    check_one_failed("7", "out-of-memory", 3);
}

/* It stands still; it is told to stop, killed, and the next attempt does it. */
static void test_hung_job_is_ended_and_tried_again(void)
{
    char *directory = fake_directory(), *alone = fake_directory();
    RunnerSummary summary;
    fake_write(directory, "study.yaml", "name: small\nconfig: {train.steps: 3, generator.steps: 8, run.backoff: 0, run.hang: 2, "
                                        "generator.rate: 6, run.checkpoint_seconds: 0}\n");
    CHECK_OK(run_study(directory, &summary, 2));
    Jobs jobs = read_jobs(directory, STAGE_GENERATOR);
    CHECK_INT(jobs.items[0].attempts, 2);
    /* The same study again: another rate would be another job. Its first attempt's number is taken already. */
    fake_write(alone, "study.yaml", "name: small\nconfig: {train.steps: 3, generator.steps: 8, generator.rate: 6}\n");
    char *taken = memory_format("%s/work/runs/%s/0001", alone, jobs.items[0].key);
    CHECK_OK(directory_create(taken));
    CHECK_OK(run_study(alone, &summary, 2));
    check_same_results(alone, directory);
    memory_free(taken);
    clean(directory);
    clean(alone);
}

/* Each attempt has time for some of the steps; all of them get it done, though run.attempts is 1. */
static void test_time_limit_is_no_failure_while_it_gets_further(void)
{
    char *directory = fake_directory(), *alone = fake_directory();
    RunnerSummary summary;
    static const char STUDY[] = "name: small\nconfig: {train.steps: 3, generator.steps: 24, run.checkpoint_seconds: 100, "
                                "run.attempts: 1, run.generator.time: %s}\n";
    char *limited = memory_format(STUDY, "2"), *free_of_it = memory_format(STUDY, "0");
    fake_write(directory, "study.yaml", limited);
    fake_write(alone, "study.yaml", free_of_it);
    CHECK_OK(run_study(alone, &summary, 2));
    setenv("FAKE_STEP_MS", "150", 1);
    CHECK_OK(run_study(directory, &summary, 2));
    unsetenv("FAKE_STEP_MS");
    Jobs jobs = read_jobs(directory, STAGE_GENERATOR);
    CHECK(jobs.items[0].attempts >= 2);
    check_same_results(alone, directory);
    memory_free(limited);
    memory_free(free_of_it);
    clean(directory);
    clean(alone);
}

/* Another process holds the job's lock when its attempt begins: the runner waits for that one. */
static void test_lock_of_another_is_waited_for(void)
{
    char *directory = fake_directory(), *gate = path_join(directory, "gate");
    FileLock *lock;
    int how;
    fake_write(directory, "study.yaml", "name: small\nconfig: {train.steps: 3, generator.steps: 3, train.rate: 5, run.backoff: 0}\n");
    setenv("FAKE_GATE", gate, 1);
    pid_t runner = run_in_child(directory);
    wait_for_state(directory, STAGE_BACKBONE, STATE_RUNNING, 1);
    Jobs jobs = read_jobs(directory, STAGE_GENERATOR);
    char *run = memory_format("%s/work/runs/%s", directory, jobs.items[0].key), *path = path_join(run, LOCK_NAME);
    CHECK_OK(directory_create(run));
    CHECK_OK(file_lock(path, &lock));
    fake_write(directory, "gate", "");
    char *first = path_join(run, "0001/log");
    for (int i = 0; i < 3000 && (!file_exists(first) || find_worker(directory) != getpid()); i++) usleep(10000);
    wait_for_state(directory, STAGE_GENERATOR, STATE_RUNNING, 1);
    file_unlock(lock);
    CHECK_INT(waitpid(runner, &how, 0), runner);
    CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    unsetenv("FAKE_GATE");
    memory_free(first);
    memory_free(path);
    memory_free(run);
    memory_free(gate);
    clean(directory);
}

/* Packing ----------------------------------------------------------------------------------- */

static bool fits(Executor *executor, int threads, double memory, int gpus, bool alone)
{
    ExecutorTask task = {.resources = {.threads = threads, .ranks = 1, .memory = memory, .gpus = gpus}, .alone = alone};
    return executor->has_room(executor, &task);
}

static void test_machine_is_packed_by_cores_memory_and_gpus(void)
{
    Executor *executor;
    LocalLimits limits = {.cores = 8, .memory = 100, .gpus = 2};
    ExecutorTask task = {.resources = {.threads = 2, .ranks = 2, .memory = 60, .gpus = 1}};
    CHECK_OK(executor_local_create(program, &limits, &executor));
    CHECK(fits(executor, 99, 1e9, 9, true)); /* on an empty machine anything goes */
    executor->reserve(executor, &task, 0);
    CHECK(fits(executor, 4, 40, 1, false));
    CHECK(!fits(executor, 5, 40, 1, false));
    CHECK(!fits(executor, 4, 41, 1, false));
    CHECK(!fits(executor, 4, 40, 2, false));
    CHECK(!fits(executor, 1, 0, 0, true));
    executor->release(executor, &task, 0);
    task.alone = true;
    executor->reserve(executor, &task, 0);
    CHECK(!fits(executor, 1, 0, 0, false));
    executor->destroy(executor);
}

/* Two jobs at a time see one device each. */
static void test_gpus_are_assigned(void)
{
    char *directory = fake_directory(), *script = path_join(directory, "program"), *log = path_join(directory, "log");
    Executor *executor;
    ExecutorEnd ends[3];
    LocalLimits limits = {.cores = 8, .gpus = 3};
    setenv("CUDA_VISIBLE_DEVICES", "4,6", 1);
    CHECK_OK(executor_local_create(script, &limits, &executor));
    fake_write(directory, "program", "#!/bin/sh\necho \"<$CUDA_VISIBLE_DEVICES>\"\nread line <$2\n");
    CHECK_INT(chmod(script, 0755), 0);
    char *fifo = path_join(directory, "fifo");
    CHECK_INT(mkfifo(fifo, 0600), 0);
    int hold = open(fifo, O_RDWR | O_CLOEXEC);
    static const int WANTED[] = {1, 2, 0};
    static const char *const SEEN[] = {"<4>\n", "<6,7>\n", "<>\n"};
    for (int i = 0; i < 3; i++) {
        ExecutorTask task = {.spec = fifo, .log = log, .resources = {.threads = 1, .ranks = 1, .gpus = WANTED[i]}};
        int64_t id;
        char *text = NULL;
        size_t bytes = 0;
        CHECK(executor->has_room(executor, &task));
        CHECK_OK(executor->start(executor, &task, &id));
        for (int tries = 0; tries < 1000 && bytes == 0; tries++) {
            usleep(10000);
            memory_free(text);
            CHECK_OK(file_read(log, 0, &text, &bytes));
        }
        CHECK_STRING(text, SEEN[i]);
        memory_free(text);
        CHECK_INT(truncate(log, 0), 0);
    }
    CHECK(!fits(executor, 1, 0, 1, false));
    CHECK_INT(write(hold, "\n\n\n", 3), 3);
    for (int ended = 0, count; ended < 3; ended += count) CHECK_OK(executor->wait(executor, 10, ends, 3, &count));
    close(hold);
    unsetenv("CUDA_VISIBLE_DEVICES");
    executor->destroy(executor);
    memory_free(fifo);
    memory_free(log);
    memory_free(script);
    clean(directory);
}

int main(int argc, char **argv)
{
    static const TestCase cases[] = {TEST(test_broken_stage_fails_twice_and_no_more),
                                     TEST(test_keep_going_tries_all),
                                     TEST(test_broken_variant_spares_the_others),
                                     TEST(test_priorities),
                                     TEST(test_causes_are_tried_again_or_not),
                                     TEST(test_hung_job_is_ended_and_tried_again),
                                     TEST(test_time_limit_is_no_failure_while_it_gets_further),
                                     TEST(test_lock_of_another_is_waited_for),
                                     TEST(test_machine_is_packed_by_cores_memory_and_gpus),
                                     TEST(test_gpus_are_assigned)};
    return runs_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
