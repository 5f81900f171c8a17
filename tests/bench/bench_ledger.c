/* A ledger of many jobs: how long a look takes, and an event.
 *   bench_ledger PROGRAM JOBS
 * Looks are whole processes of the real program, the median of several. Events are folded in one at a time, as a runner
 * does that looks often, and all of an attempt at once, as after an absence; the time of their writing is not counted. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "jobs/artifact.h"
#include "jobs/events.h"
#include "jobs/ledger.h"
#include "tests/test.h"

#include "tests/jobs/fake_stages.h"

static const char *program;
static int64_t wanted;

static double read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double seconds(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of `zeroth status ARGUMENT --work WORK`. */
static double time_status(const char *work, const char *argument)
{
    enum { ROUNDS = 15 };
    double times[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        double start = seconds();
        pid_t pid = fork();
        if (pid == 0) {
            int null = open("/dev/null", O_WRONLY);
            dup2(null, STDOUT_FILENO);
            execl(program, program, "status", "--work", work, argument, (char *)NULL);
            _exit(127);
        }
        int how;
        CHECK_INT(waitpid(pid, &how, 0), pid);
        CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0);
        times[round] = seconds() - start;
    }
    qsort(times, ROUNDS, sizeof times[0], compare);
    return times[ROUNDS / 2];
}

static void execute(const char *work, const char *sql)
{
    char *path = path_join(work, LEDGER_NAME);
    sqlite3 *database;
    CHECK_INT(sqlite3_open(path, &database), SQLITE_OK);
    CHECK_INT(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
    memory_free(path);
}

enum { ATTEMPTS = 500, EVENTS = 40 };

static void append_event(const char *path, int number)
{
    JsonWriter writer;
    bool metrics = number % 2 == 0;
    event_begin(&writer, metrics ? EVENT_METRICS : number % 4 == 1 ? EVENT_PROGRESS : EVENT_HEARTBEAT);
    json_key(&writer, "step");
    json_integer(&writer, number);
    if (metrics) {
        static const char *const NAMES[] = {"loss", "loss_mask", "loss_class", "rate"};
        json_key(&writer, "values");
        json_begin_object(&writer);
        for (int i = 0; i < 4; i++) {
            json_key(&writer, NAMES[i]);
            json_real(&writer, 1.0 / (number + i + 1));
        }
        json_end_object(&writer);
    } else {
        json_key(&writer, "cpu");
        json_real(&writer, number * 0.1);
    }
    CHECK_OK(event_append(&writer, path, false));
}

typedef struct Spent {
    double wall, processor; /* seconds per event */
} Spent;

/* `at_a_time` of an attempt's events are there at each fold. Every attempt is of another job. */
static Spent time_folds(Ledger *ledger, const char *work, const Plan *plan, int number, int at_a_time)
{
    LedgerAttempt *attempts = memory_alloc(ATTEMPTS * sizeof *attempts);
    Spent spent = {0};
    for (int i = 0; i < ATTEMPTS; i++) {
        ledger_attempt_init(&attempts[i], plan->jobs[(size_t)i * (plan->count / ATTEMPTS)].key, number);
        char *directory = attempt_directory(work, attempts[i].key, number);
        CHECK_OK(directory_create(directory));
        memory_free(directory);
    }
    for (int event = 0; event < EVENTS; event += at_a_time) {
        for (int i = 0; i < ATTEMPTS; i++) {
            char *path = memory_format("%s/runs/%s/%04d/" EVENTS_NAME, work, attempts[i].key, number);
            for (int j = 0; j < at_a_time; j++) append_event(path, event + j);
            memory_free(path);
        }
        double start = seconds(), start_processor = read_clock(CLOCK_PROCESS_CPUTIME_ID);
        for (int i = 0; i < ATTEMPTS; i++) CHECK_OK(ledger_fold(ledger, &attempts[i], NULL));
        CHECK_OK(ledger_flush(ledger));
        spent.wall += (seconds() - start) / (ATTEMPTS * EVENTS);
        spent.processor += (read_clock(CLOCK_PROCESS_CPUTIME_ID) - start_processor) / (ATTEMPTS * EVENTS);
    }
    memory_free(attempts);
    return spent;
}

static void keep_less(Spent *best, Spent spent)
{
    best->wall = fmin(best->wall, spent.wall);
    best->processor = fmin(best->processor, spent.processor);
}

static void bench(void)
{
    char *work = fake_directory(), *path = path_join(work, "many.yaml"), *text;
    Study *study;
    Plan *plan;
    Ledger *ledger;
    text = memory_format("name: many\nsweep: {seed: {range: [0, %lld]}}\n", (long long)(wanted / 4));
    fake_write(work, "many.yaml", text);
    CHECK_OK(study_read(path, NULL, 0, &study));
    PlanOptions options = {.work = work, .lookup = fake_stage, .last = STAGE_COUNT};
    CHECK_OK(plan_create(study, &options, &plan));
    CHECK_OK(ledger_open_writer(work, &ledger));
    double start = seconds();
    CHECK_OK(ledger_record_plan(ledger, plan));
    double first = seconds() - start;
    start = seconds();
    CHECK_OK(ledger_record_plan(ledger, plan));
    double again = seconds() - start;
    ledger_close(ledger);
    execute(work, "UPDATE jobs SET state=2, attempts=1, seconds=3.5 WHERE substr(key,1,1)<'d';"
                  "UPDATE jobs SET state=3, cause='non-finite', message='the loss' WHERE substr(key,1,3)='ddd'");
    printf("%zu jobs, recorded in %.2f s, again in %.2f s\n", plan->count, first, again);
    printf("status of the work directory     %6.1f ms\n", 1e3 * time_status(work, "-q"));
    printf("status of one study              %6.1f ms\n", 1e3 * time_status(work, "many"));
    CHECK_OK(ledger_open_writer(work, &ledger));
    Spent alone = {1, 1}, together = {1, 1}; /* the best of three rounds: others use this machine too */
    for (int number = 1; number <= 6; number += 2) {
        keep_less(&alone, time_folds(ledger, work, plan, number, 1));
        keep_less(&together, time_folds(ledger, work, plan, number + 1, EVENTS));
    }
    printf("an event, folded in by itself    %6.1f us, %.1f us of a processor\n", 1e6 * alone.wall,
           1e6 * alone.processor);
    printf("an event, folded in with others  %6.1f us, %.1f us of a processor\n", 1e6 * together.wall,
           1e6 * together.processor);
    ledger_close(ledger);
    plan_destroy(plan);
    study_destroy(study);
    memory_free(text);
    memory_free(path);
    CHECK_OK(directory_remove(work));
    memory_free(work);
}

int main(int argc, char **argv)
{
    static const TestCase cases[] = {TEST(bench)};
    program = argc > 1 ? argv[1] : "build/release/zeroth";
    wanted = argc > 2 ? atoll(argv[2]) : 100000;
    return test_main(cases, 1, 1, argv);
}
