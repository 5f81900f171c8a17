/* Jobs with empty stages, run by the scheduler, by GNU make and by Snakemake in
 * one interleaved run.
 *   bench_jobs SEEDS ROUNDS
 * A study of SEEDS trials is 1 + 4 SEEDS jobs. The peers start the very same
 * processes (this program as `attempt SPEC`) in the same order of dependence;
 * what differs is the scheduler. One at a time shows its overhead per job. */
#include <stdarg.h>
#include <sys/resource.h>
#include <time.h>

#include "framework/json.h"
#include "jobs/attempt.h"
#include "jobs/runner.h"
#include "tests/test.h"

#include "tests/jobs/fake_stages.h"

static const char *program;
static int seeds, rounds;
static bool with_snakemake;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Of this process alone. */
static double processor_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* One job each: the stages do nothing but what every attempt does. */
static double run_ours(const char *directory, int cores)
{
    char *path = path_join(directory, "study.yaml"), *work = path_join(directory, "work");
    char text[200];
    Study *study;
    Plan *plan;
    Ledger *ledger;
    Executor *executor;
    RunnerSummary summary;
    snprintf(text, sizeof text, "name: empty\nconfig: {train.steps: 1, generator.steps: 1}\nsweep: {seed: {range: [0, %d]}}\n",
             seeds);
    fake_write(directory, "study.yaml", text);
    double start = seconds();
    CHECK_OK(study_read(path, NULL, 0, &study));
    CHECK_OK(plan_create(study, &(PlanOptions){.work = work, .lookup = fake_stage, .last = STAGE_COUNT}, &plan));
    CHECK_OK(ledger_open_writer(work, &ledger));
    CHECK_OK(executor_local_create(program, &(LocalLimits){.cores = cores, .gpus = -1}, &executor));
    CHECK_OK(runner_run(plan, ledger, executor, &(RunnerOptions){.code = "bench", .quiet = true}, &summary));
    executor->destroy(executor);
    ledger_close(ledger);
    double spent = seconds() - start;
    CHECK_INT(summary.finished, 1 + 4 * seeds);
    plan_destroy(plan);
    study_destroy(study);
    memory_free(path);
    memory_free(work);
    return spent;
}

static void shell(const char *format, ...)
{
    va_list arguments;
    char command[2048];
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    int result = system(command);
    if (result != 0) TEST_FAIL("%s: ended with %d", command, result);

}

/* The same jobs for the peers, from the specs that the scheduler has left. */
static void write_recipes(const char *directory)
{
    char *runs = memory_format("%s/work/runs", directory), **names;
    size_t count;
    Text make = {0}, snake = {0};
    CHECK_OK(directory_list(runs, &names, &count));
    text_append(&make, "all:");
    text_append(&snake, "rule all:\n  input: [");
    for (size_t i = 0; i < count; i++) {
        text_format(&make, " work/artifacts/%s/artifact.json", names[i]);
        text_format(&snake, "'work/artifacts/%s/artifact.json',", names[i]);
    }
    text_append(&make, "\n");
    text_append(&snake, "]\n");
    for (size_t i = 0; i < count; i++) {
        char *path = memory_format("%s/%s/0001/spec.json", runs, names[i]);
        Json *spec;
        CHECK_OK(json_read_file(path, &spec));
        const Json *inputs = json_member(spec, "inputs");
        text_format(&make, "work/artifacts/%s/artifact.json:", names[i]);
        text_format(&snake, "rule r%zu:\n  input: [", i);
        for (size_t in = 0; inputs != NULL && in < inputs->count; in++) {
            text_format(&make, " work/artifacts/%s/artifact.json", inputs->items[in].string);
            text_format(&snake, "'work/artifacts/%s/artifact.json',", inputs->items[in].string);
        }
        text_format(&make, "\n\t%s attempt %s\n", program, path);
        text_format(&snake, "]\n  output: 'work/artifacts/%s/artifact.json'\n  shell: '%s attempt %s'\n", names[i], program, path);
        json_destroy(spec);
        memory_free(path);
    }
    fake_write(directory, "Makefile", text_string(&make));
    fake_write(directory, "Snakefile", text_string(&snake));
    text_free(&make);
    text_free(&snake);
    names_free(names, count);
    memory_free(runs);
}

/* Runs the recipes in a directory of its own that has the specs only. Nothing is deleted until all is measured: file
 * systems are slow to give a name's place to another just after that. */
static double run_peer(const char *directory, const char *peer, const char *command, int cores)
{
    shell("mkdir -p %s/%s/work && cd %s/work && find runs -name spec.json | xargs cp --parents -t %s/%s/work", directory, peer, directory,
          directory, peer);
    shell("cd %s/%s && find work -name spec.json -exec sed -i 's|%s/work|%s/%s/work|' {} + && "
          "sed 's|%s/work|%s/%s/work|' ../Makefile >Makefile && sed 's|%s/work|%s/%s/work|' ../Snakefile >Snakefile", directory,
          peer, directory, directory, peer, directory, directory, peer, directory, directory, peer);
    double start = seconds();
    shell("cd %s/%s && %s%d >peer.log 2>&1", directory, peer, command, cores);
    return seconds() - start;
}

typedef struct Times {
    double ours, make, snakemake;
    double scheduler; /* processor time of ours, its jobs not counted */
} Times;

static void keep_best(double *best, double spent)
{
    if (*best == 0 || spent < *best) *best = spent;
}

static Times measure(const char *root, int cores)
{
    Times best = {0};
    for (int round = 0; round < rounds; round++) {
        char *directory = memory_format("%s/%d-%d", root, cores, round);
        CHECK_OK(directory_create(directory));
        double before = processor_seconds();
        keep_best(&best.ours, run_ours(directory, cores));
        keep_best(&best.scheduler, processor_seconds() - before);
        write_recipes(directory);
        keep_best(&best.make, run_peer(directory, "make", "make -s -j", cores));
        if (with_snakemake && round == 0 && cores > 1)
            keep_best(&best.snakemake, run_peer(directory, "snakemake", "snakemake -q --nolock --cores ", cores));
        memory_free(directory);
    }
    return best;
}

static void bench(void)
{
    double jobs = 1 + 4 * seeds;
    with_snakemake = system("snakemake --version >/dev/null 2>&1") == 0;
    char root[] = "/tmp/zeroth-bench-XXXXXX";
    CHECK(mkdtemp(root) != NULL);
    Times one = measure(root, 1), two = measure(root, 2);
    CHECK_OK(directory_remove(root));
    printf("jobs: %.0f jobs with empty stages, each a process that reads its spec, keeps events and commits an artifact\n", jobs);
    printf("jobs: two at a time: %.0f jobs/s; GNU make -j2, the same processes: %.0f jobs/s; ratio %.2f\n", jobs / two.ours,
           jobs / two.make, two.make / two.ours);
    if (two.snakemake > 0)
        printf("jobs: Snakemake --cores 2, the same processes: %.1f jobs/s; ratio %.0fx\n", jobs / two.snakemake,
               two.snakemake / two.ours);
    else
        printf("jobs: no Snakemake here\n");
    printf("jobs: one at a time: %.2f ms a job, of which %.2f under GNU make: overhead %.2f ms; wanted below 5\n",
           1e3 * one.ours / jobs, 1e3 * one.make / jobs, 1e3 * (one.ours - one.make) / jobs);
    printf("jobs: processor time of the scheduler: %.2f ms a job\n", 1e3 * one.scheduler / jobs);
}

int main(int argc, char **argv)
{
    static const TestCase cases[] = {TEST(bench)};
    if (argc == 3 && strcmp(argv[1], "attempt") == 0) {
        Status status = attempt_run(argv[2], fake_stage, "bench");
        StatusCode code = status_code(status);
        if (status != OK) fprintf(stderr, "%s\n", status_message(status));
        status_free(status);
        return status_exit_code(code);
    }
    static char self[4096];
    if (readlink("/proc/self/exe", self, sizeof self - 1) <= 0) return 1;
    program = self;
    seeds = argc > 1 ? atoi(argv[1]) : 50;
    rounds = argc > 2 ? atoi(argv[2]) : 3;
    return test_main(cases, 1, 1, argv);
}
