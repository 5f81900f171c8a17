/* What the tests on a real Slurm share: a cluster of four nodes on this machine
 * (slurm/devcluster) that goes when the program ends, studies of cheap stages
 * handed to it by this very program, and ways to look on and to interfere.
 *
 * The program is its own attempts' program. */
#ifndef TESTS_SLURM_CLUSTER_H
#define TESTS_SLURM_CLUSTER_H

#include <fcntl.h>
#include <sys/wait.h>

#include "framework/log.h"
#include "jobs/artifact.h"
#include "jobs/attempt.h"
#include "jobs/attempt_prepare.h"
#include "jobs/control.h"
#include "jobs/runner.h"
#include "jobs/slurm_task.h"
#include "jobs/slurm_wave.h"
#include "jobs/sync.h"
#include "tests/test.h"

#include "tests/jobs/fake_stages.h"
#include "tests/slurm/devcluster.h"

static const Stage *cluster_stage(StageId id);

/* Studies ---------------------------------------------------------------------------- */

typedef struct Case {
    char *directory, *work;
    Study *study;
    Plan *plan;
} Case;

static inline void case_read(Case *c)
{
    char *path = path_join(c->directory, "study.yaml");
    PlanOptions options = {.work = c->work, .lookup = cluster_stage, .last = STAGE_COUNT};
    if (c->plan != NULL) plan_destroy(c->plan);
    if (c->study != NULL) study_destroy(c->study);
    c->plan = NULL;
    c->study = NULL;
    CHECK_OK(study_read(path, NULL, 0, &c->study));
    CHECK_OK(plan_create(c->study, &options, &c->plan));
    memory_free(path);
}

/* `yaml` without name and the slurm block that all have in common. */
static inline Case case_make(const char *name, const char *yaml)
{
    Case c = {.directory = memory_format("%s/%s", cluster_directory, name)};
    c.work = path_join(c.directory, "work");
    CHECK_OK(directory_create(c.directory));
    char *text = memory_format("name: %s\n%s", name, yaml);
    fake_write(c.directory, "study.yaml", text);
    memory_free(text);
    case_read(&c);
    return c;
}

static inline void case_free(Case *c)
{
    plan_destroy(c->plan);
    study_destroy(c->study);
    memory_free(c->work);
    memory_free(c->directory);
    *c = (Case){0};
}

static inline SyncOptions case_options(void)
{
    return (SyncOptions){.lookup = cluster_stage, .code = "test", .submit = true, .wait = true};
}

static inline SyncSummary case_submit(Case *c)
{
    SyncOptions options = case_options();
    SyncSummary summary;
    CHECK_OK(sync_submit(c->plan, &options, &summary));
    return summary;
}

static inline SyncSummary case_sync(const Case *c)
{
    SyncOptions options = case_options();
    SyncSummary summary;
    CHECK_OK(sync_run(c->work, &options, &summary));
    return summary;
}

/* Syncs until nothing is waiting, queued or running. */
static inline SyncSummary case_settle(const Case *c)
{
    for (double end = seconds_now() + PATIENCE;;) {
        SyncSummary summary = case_sync(c);
        if (summary.states[STATE_WAITING] + summary.states[STATE_QUEUED] + summary.states[STATE_RUNNING] == 0) return summary;
        if (seconds_now() > end) {
            char *queue = shell("squeue --states=all -r -o '%%i %%j %%T %%r %%N'");
            TEST_FAIL("not settled in %.0f seconds: %zu waiting, %zu queued, %zu running, %zu finished, %zu failed; %s\n%s",
                      PATIENCE, summary.states[STATE_WAITING], summary.states[STATE_QUEUED], summary.states[STATE_RUNNING],
                      summary.states[STATE_FINISHED], summary.states[STATE_FAILED], summary.note, queue);
        }
        pause_shortly();
    }
}

/* Names and contents of all results, in order; freed by memory_free. */
static inline char *case_results(const char *work)
{
    char *artifacts = path_join(work, "artifacts"), **names;
    size_t count;
    Text out = {0};
    CHECK_OK(directory_list(artifacts, &names, &count));
    for (size_t i = 0; i < count; i++) {
        char *path = memory_format("%s/%s/result", artifacts, names[i]), *data;
        size_t bytes;
        CHECK_OK(file_read(path, 0, &data, &bytes));
        text_format(&out, "%s %s", names[i], data);
        memory_free(path);
        memory_free(data);
    }
    names_free(names, count);
    memory_free(artifacts);
    char *copy = memory_copy_string(text_string(&out));
    text_free(&out);
    return copy;
}

/* The results are those of an undisturbed local run. */
static inline void case_check_results(const Case *c)
{
    char *work = memory_format("%s/local", c->directory);
    PlanOptions options = {.work = work, .lookup = cluster_stage, .last = STAGE_COUNT};
    Plan *plan;
    Ledger *ledger;
    Executor *executor;
    RunnerSummary summary;
    const char *slow = getenv("FAKE_STEP_MS");
    char *kept = slow != NULL ? memory_copy_string(slow) : NULL;
    unsetenv("FAKE_STEP_MS");
    CHECK_OK(plan_create(c->study, &options, &plan));
    CHECK_OK(ledger_open_writer(work, &ledger));
    CHECK_OK(executor_local_create(NULL, &(LocalLimits){.cores = 4, .gpus = -1}, &executor));
    CHECK_OK(runner_run(plan, ledger, executor, &(RunnerOptions){.code = "test", .quiet = true}, &summary));
    executor->destroy(executor);
    ledger_close(ledger);
    plan_destroy(plan);
    char *expected = case_results(work), *found = case_results(c->work);
    CHECK_STRING(found, expected);
    if (kept != NULL) setenv("FAKE_STEP_MS", kept, 1);
    memory_free(kept);
    memory_free(expected);
    memory_free(found);
    memory_free(work);
}

/* Looking on ---------------------------------------------------------------------------- */

/* The first job of that stage in the plan. */
static inline const char *case_job(const Case *c, StageId stage)
{
    for (size_t i = 0; i < c->plan->count; i++)
        if (c->plan->jobs[i].stage == stage) return c->plan->jobs[i].key;
    TEST_FAIL("no job of stage %s", stage_name(stage));
}

static inline int attempts_of(const Case *c, const char *key)
{
    int number;
    CHECK_OK(attempt_last_number(c->work, key, &number));
    return number;
}

/* The whole text of a job's events so far. */
static inline char *events_of(const Case *c, const char *key, int attempt)
{
    char *path = memory_format("%s/runs/%s/%04d/events.jsonl", c->work, key, attempt), *data = NULL;
    size_t bytes;
    Status status = file_read(path, 0, &data, &bytes);
    status_free(status);
    memory_free(path);
    return data != NULL ? data : memory_copy_string("");
}

/* Waits until that attempt of the job has written `count` checkpoints. */
static inline void await_checkpoints(const Case *c, const char *key, int attempt, int count)
{
    for (double end = seconds_now() + PATIENCE; seconds_now() < end; pause_shortly()) {
        char *events = events_of(c, key, attempt);
        int found = 0;
        for (const char *at = events; (at = strstr(at, "\"checkpoint\"")) != NULL; at++) found++;
        memory_free(events);
        if (found >= count) return;
    }
    TEST_FAIL("attempt %d of %s left no %d checkpoints in %.0f seconds", attempt, key, count, PATIENCE);
}

/* "JOB_INDEX" of the Slurm job that a job was last sent as; freed by memory_free. */
static inline char *slurm_id_of(const Case *c, const char *key)
{
    SlurmWave *waves;
    size_t count;
    char *id = NULL;
    CHECK_OK(slurm_waves_read(c->work, &waves, &count));
    for (size_t i = 0; i < count; i++)
        for (size_t t = 0; t < waves[i].count; t++)
            for (uint32_t k = 0; k < waves[i].tasks[t].count; k++)
                if (strcmp(waves[i].keys[waves[i].tasks[t].first + k], key) == 0) {
                    memory_free(id);
                    id = memory_format("%lld_%lld", (long long)waves[i].job, (long long)waves[i].tasks[t].index);
                }
    slurm_waves_free(waves, count);
    if (id == NULL) TEST_FAIL("job %s is in no open wave", key);
    return id;
}

/* The node that an attempt ran on. */
static inline char *node_of(const Case *c, const char *key, int attempt)
{
    return shell("sed 's/.*\"node\":\"\\([^\"]*\\)\".*/\\1/' %s/runs/%s/%04d/slurm.json", c->work, key, attempt);
}

/* How many Slurm jobs were ever sent for a job. */
static inline int times_sent(const Case *c, const char *key)
{
    char *count = shell("cat %s/slurm/waves/*/tasks | tr ' ' '\\n' | grep -c %s || true", c->work, key);
    int value = atoi(count);
    memory_free(count);
    return value;
}

/* Stages ------------------------------------------------------------------------------------ */

/* While the file `hold` is in the case's directory, no backbone gets past its tenth step: so a test disturbs what is
 * surely at work, however slow the machine. */
enum { HOLD_STEP = 10 };

static inline bool is_held(const StageContext *context)
{
    /* The output is DIRECTORY/work/runs/KEY/NNNN/output. */
    char path[4096];
    snprintf(path, sizeof path, "%s", context->output);
    for (int up = 0; up < 5; up++) {
        char *slash = strrchr(path, '/');
        if (slash == NULL) return false;
        *slash = '\0';
    }
    strncat(path, "/hold", sizeof path - strlen(path) - 1);
    return access(path, F_OK) == 0;
}

static inline Status held_step(void *pointer, int64_t step, StageMetrics *metrics)
{
    const FakeState *state = pointer;
    while (step >= HOLD_STEP && is_held(&state->context)) {
        if (state->context.stopping(state->context.stop)) return status_error(STATUS_INTERRUPTED, "told to stop");
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    return fake_step(pointer, step, metrics);
}

/* generator.rate 5: step 2 takes 400 MB, which only a larger job survives. */
static inline Status hungry_step(void *pointer, int64_t step, StageMetrics *metrics)
{
    const FakeState *state = pointer;
    enum { BYTES = 400 << 20 };
    if (config_real(state->context.config, "generator.rate") == 5 && step == 2) {
        char *block = malloc(BYTES);
        if (block == NULL) return status_no_memory(BYTES, "a test");
        for (size_t i = 0; i < BYTES; i += 4096) ((volatile char *)block)[i] = 1;
        nanosleep(&(struct timespec){.tv_sec = 8}, NULL); /* the cluster measures every two seconds */
        free(block);
    }
    return fake_step(pointer, step, metrics);
}

static const Stage *cluster_stage(StageId id)
{
    static Stage generator, backbone;
    generator = *fake_stage(STAGE_GENERATOR);
    generator.step = hungry_step;
    backbone = *fake_stage(STAGE_BACKBONE);
    backbone.step = held_step;
    return id == STAGE_GENERATOR ? &generator : id == STAGE_BACKBONE ? &backbone : fake_stage(id);
}

/* `hold` is there, or no more. */
static inline void case_hold(const Case *c, bool hold)
{
    if (hold) fake_write(c->directory, "hold", "");
    else SHELL("rm -f %s/hold", c->directory);
}

/* What the program is when the cluster or the local executor starts it; -1: a test. */
static inline int cluster_main(int argc, char **argv)
{
    Status status;
    if (argc == 3 && strcmp(argv[1], "attempt") == 0) status = attempt_run(argv[2], cluster_stage, "test");
    else if (argc == 4 && strcmp(argv[1], "task") == 0) status = slurm_task_run(argv[2], atoll(argv[3]), cluster_stage, "test");
    else return -1;
    StatusCode code = status_code(status);
    if (status != OK) fprintf(stderr, "%s\n", status_message(status));
    status_free(status);
    return status_exit_code(code);
}

/* Running ------------------------------------------------------------------------------------ */

/* Tests that wait for a cluster leave their machine idle, so those that do not disturb others run beside each other,
 * each in a process of its own; the others come after them, one by one. */
typedef struct ClusterTests {
    const char *settings;        /* of the cluster, for devcluster */
    const TestCase *slow, *beside, *alone; /* slow ones begin first and end last; they suffer no disturbance */
    size_t slow_count, beside_count, alone_count;
} ClusterTests;

enum { AT_A_TIME = 5, MOST_TESTS = 64 };

typedef struct ClusterRun {
    struct { pid_t pid; const char *name; } running[MOST_TESTS];
    int count, passed, failed, skipped;
} ClusterRun;

static inline int cluster_run_one(const TestCase *test)
{
    volatile int outcome = setjmp(test_jump);
    if (outcome == 0) test->run();
    return outcome;
}

static inline void cluster_take(ClusterRun *run, const char *name, int outcome)
{
    if (outcome == 0) run->passed++;
    else if (outcome == 2) run->skipped++;
    else {
        run->failed++;
        printf("FAIL %s\n", name);
    }
    fflush(stdout);
}

/* Waits until at most `most` are running. */
static inline void cluster_wait(ClusterRun *run, int most)
{
    while (run->count > most) {
        int how;
        pid_t pid = waitpid(-1, &how, 0);
        for (int i = 0; i < run->count; i++) {
            if (run->running[i].pid != pid) continue;
            cluster_take(run, run->running[i].name, WIFEXITED(how) ? WEXITSTATUS(how) : 1);
            run->running[i] = run->running[--run->count];
        }
    }
}

static inline void cluster_start(ClusterRun *run, const TestCase *test)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int outcome = cluster_run_one(test);
        fflush(NULL);
        _exit(outcome);
    }
    run->running[run->count].pid = pid;
    run->running[run->count++].name = test->name;
}

static inline bool cluster_wanted(const TestCase *test, int argc, char **argv)
{
    bool wanted = argc < 2;
    for (int i = 1; i < argc; i++) wanted |= strstr(test->name, argv[i]) != NULL;
    return wanted;
}

static const char *cluster_settings;

static void cluster_begin(void)
{
    cluster_need(cluster_settings);
}

static inline int cluster_test_main(const ClusterTests *tests, int argc, char **argv)
{
    static ClusterRun run; /* static: it outlives the longjmp */
    static const TestCase START = {"cluster", cluster_begin};
    int code = cluster_main(argc, argv);
    if (code >= 0) return code;
    log_set_level(LOG_LEVEL_WARNING);
    cluster_settings = tests->settings;
    code = cluster_run_one(&START);
    if (code != 0) {
        size_t all = tests->slow_count + tests->beside_count + tests->alone_count;
        printf("0 passed, %zu failed, %zu skipped\n", code == 2 ? 0 : all, code == 2 ? all : 0);
        return code != 2;
    }
    for (size_t i = 0; i < tests->slow_count; i++)
        if (cluster_wanted(&tests->slow[i], argc, argv)) cluster_start(&run, &tests->slow[i]);
    int slow = run.count;
    for (size_t i = 0; i < tests->beside_count; i++) {
        if (!cluster_wanted(&tests->beside[i], argc, argv)) continue;
        cluster_wait(&run, slow + AT_A_TIME - 1);
        cluster_start(&run, &tests->beside[i]);
    }
    cluster_wait(&run, slow);
    for (size_t i = 0; i < tests->alone_count; i++)
        if (cluster_wanted(&tests->alone[i], argc, argv))
            cluster_take(&run, tests->alone[i].name, cluster_run_one(&tests->alone[i]));
    cluster_wait(&run, 0);
    printf("%d passed, %d failed, %d skipped\n", run.passed, run.failed, run.skipped);
    return run.failed != 0;
}

#endif
