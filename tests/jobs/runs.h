/* What tests of the runner share: a study of cheap stages run in this process
 * or in a child, its workers, its results and states. Workers are the test
 * program itself, which runs as `TEST attempt SPEC` for the executor. */
#ifndef TESTS_JOBS_RUNS_H
#define TESTS_JOBS_RUNS_H

#include <fcntl.h>
#include <sys/wait.h>

#include "framework/text.h"
#include "jobs/artifact.h"
#include "jobs/attempt.h"
#include "jobs/runner.h"
#include "tests/test.h"

#include "tests/jobs/fake_stages.h"

static const char *program;

/* Runs the study of DIRECTORY/study.yaml in DIRECTORY/work. */
static inline Status run_study_with(const char *directory, RunnerSummary *summary, int cores, RunnerOptions options)
{
    char *path = path_join(directory, "study.yaml"), *work = path_join(directory, "work");
    Study *study = NULL;
    Plan *plan = NULL;
    Ledger *ledger = NULL;
    Executor *executor = NULL;
    *summary = (RunnerSummary){0};
    PlanOptions plan_options = {.work = work, .lookup = fake_stage, .last = STAGE_COUNT};
    options.code = "test";
    options.quiet = getenv("RUNS_LOUD") == NULL;
    Status status = study_read(path, NULL, 0, &study);
    if (status == OK) status = plan_create(study, &plan_options, &plan);
    if (status == OK) status = ledger_open_writer(work, &ledger);
    if (status == OK) status = executor_local_create(program, &(LocalLimits){.cores = cores, .gpus = -1}, &executor);
    if (status == OK) status = runner_run(plan, ledger, executor, &options, summary);
    if (executor != NULL) executor->destroy(executor);
    ledger_close(ledger);
    plan_destroy(plan);
    study_destroy(study);
    memory_free(path);
    memory_free(work);
    return status;
}

static inline Status run_study(const char *directory, RunnerSummary *summary, int cores)
{
    return run_study_with(directory, summary, cores, (RunnerOptions){0});
}

/* Names and contents of all results, in order. */
static inline void read_results(const char *directory, Text *out)
{
    char *artifacts = memory_format("%s/work/artifacts", directory), **names;
    size_t count;
    CHECK_OK(directory_list(artifacts, &names, &count));
    for (size_t i = 0; i < count; i++) {
        char *path = memory_format("%s/%s/result", artifacts, names[i]), *data;
        size_t bytes;
        CHECK_OK(file_read(path, 0, &data, &bytes));
        text_format(out, "%s %s", names[i], data);
        memory_free(path);
        memory_free(data);
    }
    names_free(names, count);
    memory_free(artifacts);
}

static inline void clean(char *directory)
{
    CHECK_OK(directory_remove(directory));
    memory_free(directory);
}

static inline void count_states(const char *directory, int64_t counts[STAGE_COUNT][JOB_STATE_COUNT])
{
    char *work = path_join(directory, "work");
    Ledger *ledger;
    CHECK_OK(ledger_open_reader(work, &ledger));
    CHECK_OK(ledger_count_jobs(ledger, "small", counts));
    ledger_close(ledger);
    memory_free(work);
}

static inline pid_t run_in_child(const char *directory)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        RunnerSummary summary;
        int null = open("/dev/null", O_WRONLY);
        if (getenv("RUNS_LOUD") == NULL) dup2(null, STDERR_FILENO);
        Status status = run_study(directory, &summary, 2);
        _exit(status_exit_code(status_code(status)));
    }
    return pid;
}

/* A live worker of the study, by the holders of its jobs' locks. */
static inline pid_t find_worker(const char *directory)
{
    char *runs = memory_format("%s/work/runs", directory), **names;
    size_t count;
    pid_t found = 0;
    Status status = directory_list(runs, &names, &count);
    if (status == OK) {
        for (size_t i = 0; i < count && found == 0; i++) {
            char *work = path_join(directory, "work"), *holder = NULL;
            bool live = false;
            int pid;
            Status looked = attempt_is_live(work, names[i], &live, &holder);
            if (looked == OK && live && holder != NULL && strstr(holder, "process ") != NULL &&
                sscanf(strstr(holder, "process "), "process %d", &pid) == 1)
                found = pid;
            status_free(looked);
            memory_free(holder);
            memory_free(work);
        }
        names_free(names, count);
    }
    status_free(status);
    memory_free(runs);
    return found;
}

static inline void wait_for_workers(const char *directory)
{
    for (int i = 0; i < 1000 && find_worker(directory) != 0; i++) usleep(10000);
}

/* Waits until the study's ledger says that so many jobs of the stage are in that state. */
static inline void wait_for_state(const char *directory, StageId stage, JobState state, int64_t count)
{
    for (int i = 0; i < 3000; i++) {
        char *work = path_join(directory, "work");
        Ledger *ledger = NULL;
        int64_t counts[STAGE_COUNT][JOB_STATE_COUNT] = {0};
        Status status = ledger_open_reader(work, &ledger); /* which may be about to be made */
        if (status == OK) status = ledger_count_jobs(ledger, "small", counts);
        ledger_close(ledger);
        status_free(status);
        memory_free(work);
        if (counts[stage][state] == count) return;
        usleep(10000);
    }
    TEST_FAIL("no %lld jobs of %s came to be %s", (long long)count, stage_name(stage), job_state_name(state));
}

/* The main of a program with such tests. */
static inline int runs_main(const TestCase *cases, size_t count, int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "attempt") == 0) {
        Status status = attempt_run(argv[2], fake_stage, "test");
        StatusCode code = status_code(status);
        if (status != OK) fprintf(stderr, "%s\n", status_message(status));
        status_free(status);
        return status_exit_code(code);
    }
    program = argv[0];
    return test_main(cases, count, argc, argv);
}

#endif
