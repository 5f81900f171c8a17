/* Why jobs are to do, against finished jobs made by hand. */
#include <fcntl.h>
#include <sys/stat.h>

#include "jobs/ledger.h"
#include "jobs/plan_why.h"
#include "tests/jobs/study_case.h"

static int extract_version = 1;
static int64_t vectors;

static Status fingerprint(const Config *config, Hasher *hasher)
{
    TRY(hasher_begin_part(hasher, "data.unseen_file"));
    hasher_add_string(hasher, config_string(config, "data.root"));
    TRY(hasher_begin_part(hasher, "data.class_vectors"));
    hasher_add_integer(hasher, vectors);
    return OK;
}

static const Stage *why_stage(StageId id)
{
    static Stage changed[STAGE_COUNT];
    changed[id] = *fake_stage(id);
    if (id == STAGE_EXTRACT) {
        changed[id].version = extract_version;
        changed[id].fingerprint = fingerprint;
    }
    return &changed[id];
}

static void plan_with(StudyCase *c, const char *config)
{
    char text[400];
    c->lookup = why_stage;
    snprintf(text, sizeof text, "config: {%s}\n", config);
    CHECK_OK(case_plan(c, text));
}

static void finish_all(const StudyCase *c)
{
    for (size_t i = 0; i < c->plan->count; i++)
        if (c->plan->jobs[i].need != JOB_FINISHED) case_finish(c, &c->plan->jobs[i], NULL);
}

/* What is said of the first trial's job of a stage. */
static const char *said(const StudyCase *c, StageId stage, bool whole)
{
    static char copy[2000];
    PlanWhy *why;
    Text text = {0};
    CHECK_OK(plan_why_create(c->plan, &why));
    CHECK_OK(plan_why_tell(why, plan_trial_job(c->plan, 0, stage), whole, &text));
    snprintf(copy, sizeof copy, "%s", text_string(&text));
    text_free(&text);
    plan_why_destroy(why);
    return copy;
}

static void check_says(const StudyCase *c, StageId stage, const char *part)
{
    const char *text = said(c, stage, false);
    if (strstr(text, part) == NULL) TEST_FAIL("\"%s\" is not in \"%s\"", part, text);
}

static void test_nothing_before(void)
{
    StudyCase c = {0};
    plan_with(&c, "seed: 0");
    CHECK_STRING(said(&c, STAGE_GENERATOR, false), "never run; no earlier job of this stage is finished");
    finish_all(&c);
    plan_with(&c, "seed: 0");
    CHECK_STRING(said(&c, STAGE_GENERATOR, false), "finished: its artifact is there");
    case_end(&c);
}

/* A value of the first stages is the cause in the last, and told once there, though two stages read it. */
static void test_root_cause(void)
{
    StudyCase c = {0};
    plan_with(&c, "seed: 0, data.root: /a");
    finish_all(&c);
    plan_with(&c, "seed: 1, data.root: /a");
    check_says(&c, STAGE_BACKBONE, ", 1 difference: seed: 0 -> 1");
    check_says(&c, STAGE_EVALUATE, ", 1 difference: seed: 0 -> 1");
    plan_with(&c, "segmenter.dim: 32, evaluate.score: 0.5, data.root: /a");
    check_says(&c, STAGE_GENERATOR, ", 1 difference: segmenter.dim: 64 -> 32");
    CHECK(strstr(said(&c, STAGE_EVALUATE, true), "2 differences\n  segmenter.dim: 64 -> 32\n  evaluate.score: 0.8 -> 0.5")
          != NULL);
    plan_with(&c, "data.unseen: [a, b], data.root: /a");
    check_says(&c, STAGE_EVALUATE, "data.unseen: [] -> [\"a\", \"b\"]");
    case_end(&c);
}

static void test_versions_and_files(void)
{
    StudyCase c = {0};
    plan_with(&c, "data.root: /a");
    finish_all(&c);
    extract_version = 2;
    plan_with(&c, "data.root: /a");
    extract_version = 1;
    check_says(&c, STAGE_EVALUATE, ", 1 difference: version of stage extract: 1 -> 2");
    vectors = 1;
    plan_with(&c, "data.root: /a");
    vectors = 0;
    check_says(&c, STAGE_EXTRACT, ", 1 difference: extract reads other files by data.class_vectors");
    CHECK_STRING(strstr(said(&c, STAGE_GENERATOR, false), ", 1 difference"),
                 ", 1 difference: extract reads other files by data.class_vectors");
    plan_with(&c, "data.root: /b");
    check_says(&c, STAGE_EVALUATE, ", 1 difference: extract reads other files by data.unseen_file (data.root: /a -> /b)");
    CHECK_INT(c.plan->needed, 3);
    case_end(&c);
}

/* The artifact of `job` is as old as it says. */
static void set_age(const StudyCase *c, const PlanJob *job, time_t seconds)
{
    char *path = memory_format("%s/artifacts/%s/" MANIFEST_NAME, c->directory, job->key);
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    CHECK_INT(utimensat(AT_FDCWD, path, times, 0), 0);
    memory_free(path);
}

static void test_nearest(void)
{
    StudyCase c = {0};
    char near[HASH_HEX_SIZE], newer[HASH_HEX_SIZE];
    plan_with(&c, "generator.layers: 1, generator.rows: 10, generator.heads: 4");
    finish_all(&c);
    set_age(&c, case_job(&c, 0, STAGE_GENERATOR), 1000);
    strcpy(near, case_job(&c, 0, STAGE_GENERATOR)->key);
    plan_with(&c, "generator.layers: 1, generator.rows: 20, generator.heads: 2");
    finish_all(&c);
    set_age(&c, case_job(&c, 0, STAGE_GENERATOR), 3000);
    plan_with(&c, "generator.layers: 1, generator.rows: 10, generator.heads: 8");
    check_says(&c, STAGE_GENERATOR, "1 difference: generator.heads: 4 -> 8");
    CHECK(strstr(said(&c, STAGE_GENERATOR, false), (near[KEY_SHOWN] = '\0', near)) != NULL);
    /* Of two that are equally near, the newer. */
    plan_with(&c, "generator.layers: 1, generator.rows: 10, generator.heads: 16");
    finish_all(&c);
    set_age(&c, case_job(&c, 0, STAGE_GENERATOR), 2000);
    strcpy(newer, case_job(&c, 0, STAGE_GENERATOR)->key);
    plan_with(&c, "generator.layers: 1, generator.rows: 10, generator.heads: 8");
    CHECK(strstr(said(&c, STAGE_GENERATOR, false), (newer[KEY_SHOWN] = '\0', newer)) != NULL);
    case_end(&c);
}

static void drop_artifact(const StudyCase *c, const PlanJob *job)
{
    char *path = artifact_directory(c->directory, job->key);
    CHECK_OK(directory_remove(path));
    memory_free(path);
}

/* Where an input is gone, its key still tells whether it is the same. */
static void test_inputs_that_are_gone(void)
{
    StudyCase c = {0};
    plan_with(&c, "seed: 0");
    finish_all(&c);
    for (int stage = 0; stage < STAGE_GENERATOR; stage++) drop_artifact(&c, case_job(&c, 0, (StageId)stage));
    plan_with(&c, "generator.layers: 2");
    check_says(&c, STAGE_GENERATOR, "1 difference: generator.layers: 3 -> 2");
    plan_with(&c, "segmenter.dim: 32");
    check_says(&c, STAGE_GENERATOR, "input extract: ");
    check_says(&c, STAGE_GENERATOR, "and the former's artifact is gone");
    case_end(&c);
}

static void test_damage(void)
{
    StudyCase c = {0};
    plan_with(&c, "seed: 0");
    finish_all(&c);
    char *result = memory_format("%s/artifacts/%s/result", c.directory, case_job(&c, 0, STAGE_EVALUATE)->key);
    CHECK_OK(file_write(result, "longer", 6));
    plan_with(&c, "seed: 0");
    check_says(&c, STAGE_EVALUATE, "its artifact is damaged: ");
    check_says(&c, STAGE_EVALUATE, result);
    memory_free(result);
    case_end(&c);
}

static void test_failures(void)
{
    StudyCase c = {0};
    Ledger *ledger;
    plan_with(&c, "seed: 0");
    const char *key = case_job(&c, 0, STAGE_BACKBONE)->key;
    CHECK_OK(ledger_open_writer(c.directory, &ledger));
    CHECK_OK(ledger_record_plan(ledger, c.plan));
    CHECK_OK(ledger_set_state(ledger, key, STATE_FAILED, "non-finite", "the loss is not a number"));
    ledger_close(ledger);
    check_says(&c, STAGE_SHARD, "never run; ");
    check_says(&c, STAGE_BACKBONE, "last attempt failed: non-finite: the loss is not a number; no earlier job");
    CHECK_OK(ledger_open_writer(c.directory, &ledger));
    CHECK_OK(ledger_set_state(ledger, key, STATE_FINISHED, NULL, NULL));
    ledger_close(ledger);
    check_says(&c, STAGE_BACKBONE, "its artifact is gone; ");
    case_end(&c);
}

static void test_find_job(void)
{
    StudyCase c = {0};
    uint32_t job;
    plan_with(&c, "seed: 0");
    CHECK_OK(plan_find_job(c.plan, c.plan->jobs[3].key, &job));
    CHECK_INT(job, 3);
    char start[8];
    snprintf(start, sizeof start, "%.7s", c.plan->jobs[2].key);
    CHECK_OK(plan_find_job(c.plan, start, &job));
    CHECK_INT(job, 2);
    CHECK_FAILS(plan_find_job(c.plan, "", &job), STATUS_USAGE, "begins the keys of several jobs");
    CHECK_FAILS(plan_find_job(c.plan, "xyz", &job), STATUS_NOT_FOUND, "no job of demo begins with 'xyz'");
    case_end(&c);
}

static void test_any_failed_allocation(void)
{
    StudyCase c = {0};
    plan_with(&c, "seed: 0");
    finish_all(&c);
    plan_with(&c, "seed: 1");
    uint32_t job = plan_trial_job(c.plan, 0, STAGE_EVALUATE);
    for (int64_t n = 0;; n++) {
        PlanWhy *why;
        Text text = {0};
        memory_fail_after(n);
        Status status = plan_why_create(c.plan, &why);
        if (status == OK) status = plan_why_tell(why, job, false, &text);
        memory_fail_after(-1);
        bool done = status == OK;
        if (!done) CHECK_INT(status_code(status), STATUS_NO_MEMORY);
        if (done) CHECK(strstr(text_string(&text), "seed: 0 -> 1") != NULL);
        status_free(status);
        text_free(&text);
        plan_why_destroy(why);
        if (done) break;
        CHECK(n < 20000);
    }
    case_end(&c);
}

TEST_MAIN(TEST(test_nothing_before), TEST(test_root_cause), TEST(test_versions_and_files), TEST(test_nearest),
          TEST(test_inputs_that_are_gone), TEST(test_damage), TEST(test_failures), TEST(test_find_job),
          TEST(test_any_failed_allocation))
