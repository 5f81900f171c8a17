/* Artifacts, events and the ledger. */
#include "jobs/artifact.h"
#include "jobs/events.h"
#include "jobs/ledger.h"
#include "tests/test.h"

#include "tests/jobs/fake_stages.h"

static const char KEY[] = "0123456789abcdef0123456789abcdef";

static void end_case(char *work)
{
    CHECK_OK(directory_remove(work));
    memory_free(work);
}

/* Artifacts ------------------------------------------------------------------ */

static void commit_artifact(const char *work, const char *content)
{
    Config *config;
    CHECK_OK(config_create(&config));
    char *output = path_join(work, "output"), *below = path_join(output, "below");
    CHECK_OK(directory_create(below));
    fake_write(output, "result", content);
    fake_write(below, "part", "part");
    ArtifactInfo info = {.key = KEY, .stage = STAGE_BACKBONE, .config = config, .attempt = "0001", .code = "test"};
    CHECK_OK(artifact_commit(output, work, &info));
    CHECK(!file_exists(output));
    memory_free(below);
    memory_free(output);
    config_destroy(config);
}

static void change(const char *work, const char *name, const char *content)
{
    char *directory = artifact_directory(work, KEY);
    fake_write(directory, name, content);
    memory_free(directory);
}

static void test_artifact_damage_is_found(void)
{
    char *work = fake_directory();
    CHECK_FAILS(artifact_check(work, KEY, false), STATUS_NOT_FOUND, KEY);
    commit_artifact(work, "abc");
    CHECK_OK(artifact_check(work, KEY, true));
    change(work, "result", "abd");
    CHECK_OK(artifact_check(work, KEY, false)); /* the same size: only the checksum tells */
    CHECK_FAILS(artifact_check(work, KEY, true), STATUS_CORRUPT, "result");
    change(work, "below/part", "");
    CHECK_FAILS(artifact_check(work, KEY, false), STATUS_CORRUPT, "below/part: has 0 bytes");
    commit_artifact(work, "abc"); /* takes the damaged one's place */
    CHECK_OK(artifact_check(work, KEY, true));
    commit_artifact(work, "other"); /* a sound one stands */
    char *result = memory_format("%s/artifacts/%s/result", work, KEY), *data;
    size_t bytes;
    CHECK_OK(file_read(result, 0, &data, &bytes));
    CHECK_STRING(data, "abc");
    memory_free(data);
    CHECK_INT(unlink(result), 0);
    CHECK_FAILS(artifact_check(work, KEY, false), STATUS_CORRUPT, "missing");
    memory_free(result);
    change(work, MANIFEST_NAME, "{\"files\": [");
    CHECK_FAILS(artifact_check(work, KEY, false), STATUS_CORRUPT, MANIFEST_NAME);
    change(work, MANIFEST_NAME, "{}");
    CHECK_FAILS(artifact_check(work, KEY, false), STATUS_CORRUPT, "lists no files");
    end_case(work);
}

/* Events ------------------------------------------------------------------------ */

static Status sum_steps(void *context, EventKind kind, double time, const Json *event)
{
    int64_t *sum = context, step;
    CHECK_INT(kind, EVENT_PROGRESS);
    CHECK(time > 1e9);
    TRY(json_get_integer(event, "step", "events", &step));
    *sum += step;
    return OK;
}

static void add_event(const char *path, int64_t step)
{
    JsonWriter writer;
    event_begin(&writer, EVENT_PROGRESS);
    json_key(&writer, "step");
    json_integer(&writer, step);
    CHECK_OK(event_append(&writer, path, false));
}

static void test_events_and_torn_lines(void)
{
    char *work = fake_directory(), *path = path_join(work, EVENTS_NAME);
    int64_t offset = 0, sum = 0, bad = 0;
    CHECK_OK(events_read(path, &offset, sum_steps, &sum, &bad));
    CHECK_INT(offset, 0);
    add_event(path, 1);
    add_event(path, 2);
    FILE *file = fopen(path, "a");
    fputs("{\"time\": 1, \"eve", file);
    fclose(file);
    CHECK_OK(events_read(path, &offset, sum_steps, &sum, &bad));
    CHECK_INT(sum, 3);
    int64_t before = offset;
    CHECK_OK(events_read(path, &offset, sum_steps, &sum, &bad));
    CHECK_INT(offset, before);
    add_event(path, 10); /* behind the torn one, on its line: both are lost, the next is not */
    add_event(path, 20);
    CHECK_OK(events_read(path, &offset, sum_steps, &sum, &bad));
    CHECK_INT(sum, 23);
    CHECK_INT(bad, 1);
    memory_free(path);
    end_case(work);
}

/* Ledger ---------------------------------------------------------------------------- */

static Status plan_of(const char *work, const char *text, Study **study, Plan **plan)
{
    char *path = path_join(work, "demo.yaml");
    fake_write(work, "demo.yaml", text);
    TRY(study_read(path, NULL, 0, study));
    memory_free(path);
    PlanOptions options = {.work = work, .lookup = fake_stage, .last = STAGE_COUNT};
    return plan_create(*study, &options, plan);
}

static Status count_job(void *context, const LedgerJob *job)
{
    int64_t *sums = context;
    sums[0]++;
    sums[1] += job->trials;
    return OK;
}

static void test_ledger_records_plans(void)
{
    char *work = fake_directory(), **names;
    size_t count;
    Study *study;
    Plan *plan;
    Ledger *ledger, *reader;
    CHECK_FAILS(ledger_open_reader(work, &reader), STATUS_NOT_FOUND, "run a study first");
    CHECK_OK(plan_of(work, "variants: {a: {}, b: {generator.kind: gmmn}}\nsweep: {seed: [0, 1]}\n", &study, &plan));
    CHECK_OK(ledger_open_writer(work, &ledger));
    CHECK_FAILS(ledger_open_writer(work, &reader), STATUS_LOCKED, "another command writes this ledger");
    CHECK_OK(ledger_record_plan(ledger, plan));
    CHECK_OK(ledger_record_plan(ledger, plan));
    CHECK_OK(ledger_open_reader(work, &reader)); /* while the writer is at work */
    int64_t counts[STAGE_COUNT][JOB_STATE_COUNT], sums[2] = {0};
    CHECK_OK(ledger_count_jobs(reader, "demo", counts));
    CHECK_INT(counts[STAGE_EVALUATE][STATE_WAITING], 4);
    CHECK_INT(counts[STAGE_BACKBONE][STATE_WAITING], 2);
    CHECK_OK(ledger_each_job(reader, &(LedgerFilter){.study = "demo", .state = -1}, count_job, sums));
    CHECK_INT(sums[0], 1 + 2 + 2 + 4 + 4);
    CHECK_INT(sums[1], 5 * 4);
    sums[0] = 0;
    CHECK_OK(ledger_each_job(reader, &(LedgerFilter){.prefix = plan->jobs[0].key, .state = -1}, count_job, sums));
    CHECK_INT(sums[0], 1);
    CHECK_OK(ledger_list_studies(reader, &names, &count));
    CHECK_INT(count, 1);
    CHECK_STRING(names[0], "demo");
    names_free(names, count);
    ledger_close(reader);
    ledger_close(ledger);
    plan_destroy(plan);
    study_destroy(study);
    end_case(work);
}

static void test_ledger_folds_events(void)
{
    char *work = fake_directory();
    Study *study;
    Plan *plan;
    Ledger *ledger;
    CHECK_OK(plan_of(work, "{}", &study, &plan));
    const char *key = plan->jobs[1].key;
    char *directory = attempt_directory(work, key, 1), *path = path_join(directory, EVENTS_NAME);
    CHECK_OK(directory_create(directory));
    CHECK_OK(ledger_open_writer(work, &ledger));
    CHECK_OK(ledger_record_plan(ledger, plan));
    fake_write(directory, EVENTS_NAME,
               "{\"time\": 100, \"event\": \"start\", \"host\": \"h\", \"pid\": 5, \"code\": \"c+dirty\"}\n"
               "{\"time\": 101, \"event\": \"begin\", \"step\": 0, \"total\": 20, \"unit\": \"steps\"}\n"
               "{\"time\": 102, \"event\": \"metrics\", \"step\": 5, \"values\": {\"loss\": 0.5, \"bad\": null}}\n"
               "{\"time\": 103, \"event\": \"checkpoint\", \"step\": 5, \"seconds\": 0.1}\n"
               "{\"time\": 104, \"event\": \"prog");
    LedgerAttempt attempt, read;
    bool changed;
    ledger_attempt_init(&attempt, key, 1);
    CHECK_OK(ledger_fold(ledger, &attempt, &changed));
    CHECK(changed);
    CHECK_OK(ledger_fold(ledger, &attempt, &changed));
    CHECK(!changed);
    CHECK_OK(ledger_last_attempt(ledger, key, &read));
    CHECK_INT(read.state, STATE_RUNNING);
    CHECK_INT(read.step, 5);
    CHECK_INT(read.total, 20);
    CHECK_INT(read.checkpoint_step, 5);
    CHECK_STRING(read.code, "c+dirty");
    FILE *file = fopen(path, "a");
    fputs("ress\", \"step\": 6, \"total\": 20}\n{\"time\": 105, \"event\": \"end\", \"outcome\": \"non-finite\", "
          "\"message\": \"loss\", \"step\": 6, \"seconds\": 5.0, \"peak_memory\": 1000}\n", file);
    fclose(file);
    CHECK_OK(ledger_fold(ledger, &read, NULL));
    CHECK_INT(read.state, STATE_FAILED);
    CHECK_STRING(read.outcome, "non-finite");
    CHECK_NEAR(read.ended, 105, 0);
    CHECK_INT(read.peak_memory, 1000);
    ledger_close(ledger);
    plan_destroy(plan);
    study_destroy(study);
    memory_free(path);
    memory_free(directory);
    end_case(work);
}

static void test_ledger_of_no_database(void)
{
    char *work = fake_directory();
    Ledger *ledger;
    fake_write(work, LEDGER_NAME, "this is no database, though it is long enough to be taken for one by its size....");
    Status status = ledger_open_writer(work, &ledger);
    CHECK_INT(status_code(status), STATUS_CORRUPT);
    CHECK(strstr(status_message(status), "zeroth ledger rebuild") != NULL);
    status_free(status);
    end_case(work);
}

TEST_MAIN(TEST(test_artifact_damage_is_found), TEST(test_events_and_torn_lines), TEST(test_ledger_records_plans),
          TEST(test_ledger_folds_events), TEST(test_ledger_of_no_database))
