/* One attempt in this process: resuming, damage, stopping, locks. */
#include "jobs/attempt.h"

#include <sys/wait.h>

#include "framework/log.h"

#include "jobs/artifact.h"
#include "jobs/events.h"
#include "tests/test.h"

#include "tests/jobs/fake_stages.h"

static const char KEY[] = "0123456789abcdef0123456789abcdef";
static int64_t stop_at = -1, fail_at = -1, steps_done;
static const char *wait_at_step_2; /* a file that step 2 waits for an event in */
static const char *stop_once_in;   /* a file: the step that finds the event there stops the attempt */
static const char *awaited_event;

static int count_in_file(const char *path, const char *part)
{
    char *data;
    size_t bytes;
    int count = 0;
    if (!file_exists(path)) return 0;
    CHECK_OK(file_read(path, 0, &data, &bytes));
    for (const char *at = data; (at = strstr(at, part)) != NULL; at++) count++;
    memory_free(data);
    return count;
}

/* The backbone without inputs, which a test can stop or fail at a step. */
static Status test_step(void *state, int64_t step, StageMetrics *metrics)
{
    if (step == fail_at) return status_error(STATUS_NON_FINITE, "the loss of step %d is not a number", (int)step);
    steps_done++;
    while (wait_at_step_2 != NULL && step == 2 && count_in_file(wait_at_step_2, awaited_event) < 1)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    TRY(fake_step(state, step, metrics));
    if (stop_once_in != NULL && count_in_file(stop_once_in, awaited_event) > 0) raise(SIGTERM);
    if (step == stop_at) raise(SIGTERM); /* during the step, which ends all the same */
    return OK;
}

static const Stage *test_stage(StageId id)
{
    static Stage stage;
    stage = *fake_stage(id);
    stage.inputs = 0;
    if (id == STAGE_BACKBONE) stage.step = test_step;
    return &stage;
}

static void make_spec(const char *work, const char *name, StageId stage, const char *steps, double checkpoint_seconds)
{
    Config *config;
    CHECK_OK(config_create(&config));
    CHECK_OK(config_set(config, "train.steps", steps, "test"));
    AttemptSpec spec = {.work = (char *)(uintptr_t)work, .key = (char *)(uintptr_t)KEY, .name = (char *)(uintptr_t)name,
                        .code = (char *)(uintptr_t) "test", .stage = stage, .version = 1, .config = config, .threads = 1,
                        .ranks = 1, .checkpoint_seconds = checkpoint_seconds};
    char *directory = memory_format("%s/runs/%s/%s", work, KEY, name);
    CHECK_OK(directory_create(directory));
    char *path = path_join(directory, SPEC_NAME);
    CHECK_OK(attempt_spec_write(&spec, path));
    memory_free(path);
    memory_free(directory);
    config_destroy(config);
}

static Status run_attempt(const char *work, const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "%s/runs/%s/%s/" SPEC_NAME, work, KEY, name);
    return attempt_run(path, test_stage, "test");
}

static void read_result(const char *work, char out[32])
{
    char *path = memory_format("%s/artifacts/%s/result", work, KEY), *data;
    size_t bytes;
    CHECK_OK(artifact_check(work, KEY, true));
    CHECK_OK(file_read(path, 0, &data, &bytes));
    snprintf(out, 32, "%s", data);
    memory_free(data);
    memory_free(path);
}

static void end_case(char *work)
{
    CHECK_OK(directory_remove(work));
    memory_free(work);
    stop_at = fail_at = -1;
    wait_at_step_2 = stop_once_in = NULL;
}

/* The result of the same job, undisturbed. */
static void undisturbed(const char *steps, char out[32])
{
    char *work = fake_directory();
    make_spec(work, "0001", STAGE_BACKBONE, steps, 1000);
    CHECK_OK(run_attempt(work, "0001"));
    read_result(work, out);
    end_case(work);
}

static void test_stop_and_resume(void)
{
    char *work = fake_directory(), expected[32], actual[32];
    undisturbed("20", expected);
    make_spec(work, "0001", STAGE_BACKBONE, "20", 1000);
    stop_at = 6;
    CHECK_FAILS(run_attempt(work, "0001"), STATUS_INTERRUPTED, "after step 7 of 20");
    CHECK_FAILS(artifact_check(work, KEY, false), STATUS_NOT_FOUND, KEY);
    stop_at = -1;
    steps_done = 0;
    make_spec(work, "0002", STAGE_BACKBONE, "20", 1000);
    CHECK_OK(run_attempt(work, "0002"));
    CHECK_INT(steps_done, 13);
    read_result(work, actual);
    CHECK_STRING(actual, expected);
    /* Nothing but the record is left of the attempts. */
    CheckpointFile *files;
    size_t count;
    CHECK_OK(checkpoints_list(work, KEY, &files, &count));
    CHECK_INT(count, 0);
    checkpoints_free(files, count);
    end_case(work);
}

static void test_two_checkpoints_are_kept(void)
{
    char *work = fake_directory();
    CheckpointFile *files;
    size_t count;
    make_spec(work, "0001", STAGE_BACKBONE, "20", 0);
    fail_at = 9;
    CHECK_FAILS(run_attempt(work, "0001"), STATUS_NON_FINITE, "step 9");
    CHECK_OK(checkpoints_list(work, KEY, &files, &count));
    CHECK_INT(count, 2);
    CHECK_INT(files[0].step, 9);
    CHECK_INT(files[1].step, 8);
    checkpoints_free(files, count);
    end_case(work);
}

static void test_damaged_newest_falls_back(void)
{
    char *work = fake_directory(), expected[32], actual[32];
    CheckpointFile *files;
    size_t count;
    undisturbed("20", expected);
    make_spec(work, "0001", STAGE_BACKBONE, "20", 0);
    stop_at = 9;
    CHECK_FAILS(run_attempt(work, "0001"), STATUS_INTERRUPTED, "");
    CHECK_OK(checkpoints_list(work, KEY, &files, &count));
    CHECK_INT(files[0].step, 10);
    FILE *file = fopen(files[0].path, "r+");
    fputs("damage", file);
    fclose(file);
    checkpoints_free(files, count);
    stop_at = -1;
    steps_done = 0;
    make_spec(work, "0002", STAGE_BACKBONE, "20", 1000);
    CHECK_OK(run_attempt(work, "0002"));
    CHECK_INT(steps_done, 11);
    read_result(work, actual);
    CHECK_STRING(actual, expected);
    char *events = memory_format("%s/runs/%s/0002/" EVENTS_NAME, work, KEY), *data;
    size_t bytes;
    CHECK_OK(file_read(events, 0, &data, &bytes));
    CHECK(strstr(data, "checkpoint set aside") != NULL);
    memory_free(data);
    memory_free(events);
    end_case(work);
}

static void test_all_damaged_starts_afresh(void)
{
    char *work = fake_directory(), expected[32], actual[32];
    undisturbed("8", expected);
    make_spec(work, "0001", STAGE_BACKBONE, "8", 1000);
    char *directory = memory_format("%s/runs/%s/0001", work, KEY), *path = checkpoint_path(directory, 5);
    CHECK_OK(file_write(path, "x", 1));
    memory_free(path);
    memory_free(directory);
    CHECK_OK(run_attempt(work, "0001"));
    read_result(work, actual);
    CHECK_STRING(actual, expected);
    end_case(work);
}

static void test_lock_keeps_a_second_away(void)
{
    char *work = fake_directory(), *holder;
    FileLock *lock;
    bool live;
    make_spec(work, "0001", STAGE_BACKBONE, "5", 1000);
    CHECK_OK(attempt_is_live(work, KEY, &live, NULL));
    CHECK(!live);
    char *path = memory_format("%s/runs/%s/" LOCK_NAME, work, KEY);
    CHECK_OK(file_lock(path, &lock));
    CHECK_OK(attempt_is_live(work, KEY, &live, &holder));
    CHECK(live);
    CHECK(strstr(holder, "process ") != NULL);
    memory_free(holder);
    CHECK_FAILS(run_attempt(work, "0001"), STATUS_LOCKED, "process ");
    file_unlock(lock);
    CHECK_OK(run_attempt(work, "0001"));
    CHECK_OK(attempt_is_live(work, KEY, &live, NULL));
    CHECK(!live);
    memory_free(path);
    end_case(work);
}

static void test_other_stage_version(void)
{
    char *work = fake_directory();
    make_spec(work, "0001", STAGE_BACKBONE, "5", 1000);
    char *path = memory_format("%s/runs/%s/0001/" SPEC_NAME, work, KEY), *data;
    size_t bytes;
    CHECK_OK(file_read(path, 0, &data, &bytes));
    char *version = strstr(data, "\"version\":1");
    if (version == NULL) version = strstr(data, "\"version\": 1");
    CHECK(version != NULL);
    *strchr(version, '1') = '7';
    CHECK_OK(file_write(path, data, bytes));
    CHECK_FAILS(run_attempt(work, "0001"), STATUS_VERSION, "version 7");
    CHECK_OK(file_write(path, "{}", 2));
    CHECK_FAILS(run_attempt(work, "0001"), STATUS_INVALID, "format");
    memory_free(data);
    memory_free(path);
    end_case(work);
}

/* A stage without checkpoints finds what the attempt before had made. */
static void test_partial_output_goes_on(void)
{
    char *work = fake_directory(), expected[32], actual[32];
    make_spec(work, "0001", STAGE_SHARD, "5", 1000);
    CHECK_OK(run_attempt(work, "0001"));
    read_result(work, expected);
    end_case(work);
    work = fake_directory();
    make_spec(work, "0001", STAGE_SHARD, "5", 1000);
    make_spec(work, "0002", STAGE_SHARD, "5", 1000);
    char *output = memory_format("%s/runs/%s/0001/output", work, KEY);
    CHECK_OK(directory_create(output));
    fake_write(output, "part-00", "made before");
    fake_write(output, ".part-01.77-0.tmp", "left by a kill");
    CHECK_OK(run_attempt(work, "0002"));
    read_result(work, actual);
    CHECK_STRING(actual, expected);
    char *part = memory_format("%s/artifacts/%s/part-00", work, KEY), *data;
    char *left = memory_format("%s/artifacts/%s/.part-01.77-0.tmp", work, KEY);
    size_t bytes;
    CHECK_OK(file_read(part, 0, &data, &bytes));
    CHECK_STRING(data, "made before");
    CHECK(!file_exists(left));
    memory_free(data);
    memory_free(left);
    memory_free(part);
    memory_free(output);
    end_case(work);
}

static Status ignore_event(void *context, EventKind kind, double time, const Json *event)
{
    (void)context;
    (void)kind;
    (void)time;
    (void)event;
    return OK;
}

/* A step that takes long is not silent: its processor time is told meanwhile, by whole lines that mix with no others. */
static void test_heartbeat(void)
{
    char *work = fake_directory(), *events = memory_format("%s/runs/%s/0001/" EVENTS_NAME, work, KEY);
    int64_t offset = 0, bad = 0;
    make_spec(work, "0001", STAGE_BACKBONE, "6", 1000);
    wait_at_step_2 = events;
    awaited_event = "\"event\":\"heartbeat\",\"step\":2,\"cpu\":";
    CHECK_OK(run_attempt(work, "0001"));
    CHECK(count_in_file(events, awaited_event) >= 1);
    CHECK_OK(events_read(events, &offset, ignore_event, NULL, &bad));
    CHECK_INT(bad, 0);
    memory_free(events);
    end_case(work);
}

/* A checkpoint is written while steps go on: one of them sees it told. */
static void test_written_beside_steps(void)
{
    char *work = fake_directory(), *events = memory_format("%s/runs/%s/0001/" EVENTS_NAME, work, KEY);
    make_spec(work, "0001", STAGE_BACKBONE, "100000000", 1e-9); /* ends by what it waits for, or never */
    stop_once_in = events;
    awaited_event = "\"event\":\"checkpoint\",\"step\":";
    CHECK_FAILS(run_attempt(work, "0001"), STATUS_INTERRUPTED, "of 100000000");
    CHECK(count_in_file(events, awaited_event) >= 2); /* the other one at the stop */
    memory_free(events);
    end_case(work);
}

/* What a thread could not write ends the attempt all the same, with its cause, and the checkpoint before is there. */
static void test_full_disk_beside_steps(void)
{
    char *work = fake_directory(), expected[32], actual[32];
    undisturbed("20", expected);
    make_spec(work, "0001", STAGE_BACKBONE, "20", 0);
    stop_at = 5;
    CHECK_FAILS(run_attempt(work, "0001"), STATUS_INTERRUPTED, "after step 6");
    stop_at = -1;
    make_spec(work, "0002", STAGE_BACKBONE, "100000000", 1e-9); /* ends by the failure, or never */
    CHECK_OK(files_inject("rename:nospace"));
    CHECK_FAILS(run_attempt(work, "0002"), STATUS_NO_SPACE, "checkpoint of step");
    CHECK_OK(files_inject(NULL));
    make_spec(work, "0003", STAGE_BACKBONE, "20", 1000);
    steps_done = 0;
    CHECK_OK(run_attempt(work, "0003"));
    CHECK_INT(steps_done, 14);
    read_result(work, actual);
    CHECK_STRING(actual, expected);
    end_case(work);
}

/* No point of a write may hurt: a disk that fills anywhere fails the attempt,
 * and the next one ends with the same bits. */
static void test_full_disk_anywhere(void)
{
    char expected[32], actual[32];
    undisturbed("6", expected);
    for (int strike = 0; strike < 200; strike++) {
        char *work = fake_directory(), specification[40];
        make_spec(work, "0001", STAGE_BACKBONE, "6", 0);
        make_spec(work, "0002", STAGE_BACKBONE, "6", 0);
        snprintf(specification, sizeof specification, "write:nospace:%d", strike);
        CHECK_OK(files_inject(specification));
        Status status = run_attempt(work, "0001");
        CHECK_OK(files_inject(NULL));
        bool through = status == OK;
        if (!through) CHECK_INT(status_code(status), STATUS_NO_SPACE);
        status_free(status);
        CHECK_OK(run_attempt(work, "0002"));
        read_result(work, actual);
        CHECK_STRING(actual, expected);
        end_case(work);
        if (through && strike > 20) return;
    }
    TEST_FAIL("an attempt with 200 writes");
}

/* Nor may memory: an allocation that fails anywhere is told, and nothing is lost. */
static void test_any_failed_allocation(void)
{
    char expected[32], actual[32];
    undisturbed("4", expected);
    log_set_level(LOG_LEVEL_ERROR);
    /* Some failures are borne (a progress bar less), so the end is a row of runs that came through. */
    for (int64_t n = 0, row = 0; row < 60; n += n < 400 ? 1 : 7) {
        char *work = fake_directory();
        make_spec(work, "0001", STAGE_BACKBONE, "4", 0);
        make_spec(work, "0002", STAGE_BACKBONE, "4", 0);
        memory_fail_after(n);
        Status status = run_attempt(work, "0001");
        memory_fail_after(-1);
        /* The hook is off again where the n-th allocation never came. */
        bool through = status == OK;
        row = through ? row + 1 : 0;
        CHECK(n < 20000);
        if (!through && status_code(status) != STATUS_NO_MEMORY) TEST_FAIL("%d: %s", (int)n, status_message(status));
        status_free(status);
        CHECK_OK(run_attempt(work, "0002"));
        read_result(work, actual);
        CHECK_STRING(actual, expected);
        end_case(work);
    }
}

/* A kill at the COUNT-th passage of each point of a write, in a child; then the
 * next attempt. False when the child came through. */
static bool killed_at(const char *point, int count, const char *expected)
{
    char *work = fake_directory(), specification[40], actual[32];
    int how;
    make_spec(work, "0001", STAGE_BACKBONE, "6", 0);
    make_spec(work, "0002", STAGE_BACKBONE, "6", 0);
    snprintf(specification, sizeof specification, "%s:kill:%d", point, count);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        Status status = files_inject(specification);
        if (status == OK) status = run_attempt(work, "0001");
        _exit(status == OK ? 0 : 1);
    }
    CHECK_INT(waitpid(pid, &how, 0), pid);
    CHECK(WIFSIGNALED(how) || WEXITSTATUS(how) == 0);
    CHECK_OK(run_attempt(work, "0002"));
    read_result(work, actual);
    CHECK_STRING(actual, expected);
    end_case(work);
    return WIFSIGNALED(how);
}

static void test_kill_anywhere(void)
{
    static const char *const POINTS[] = {"open", "write", "sync", "rename", "dirsync"};
    char expected[32];
    undisturbed("6", expected);
    log_set_level(LOG_LEVEL_ERROR);
    for (size_t i = 0; i < sizeof POINTS / sizeof POINTS[0]; i++) {
        int count = 0;
        while (killed_at(POINTS[i], count, expected)) CHECK(++count < 200);
        CHECK(count > 3);
    }
}

TEST_MAIN(TEST(test_any_failed_allocation), TEST(test_kill_anywhere), TEST(test_stop_and_resume),
          TEST(test_heartbeat), TEST(test_written_beside_steps), TEST(test_full_disk_beside_steps), TEST(test_two_checkpoints_are_kept),
          TEST(test_damaged_newest_falls_back),
          TEST(test_all_damaged_starts_afresh), TEST(test_lock_keeps_a_second_away), TEST(test_other_stage_version),
          TEST(test_partial_output_goes_on), TEST(test_full_disk_anywhere))
