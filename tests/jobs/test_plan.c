#include <sys/resource.h>

#include "jobs/artifact.h"
#include "jobs/plan.h"
#include "tests/test.h"

#include "tests/jobs/fake_stages.h"

static int fingerprints;
static uint64_t outside;

static Status count_fingerprint(const Config *config, Hasher *hasher)
{
    fingerprints++;
    hasher_add_string(hasher, config_string(config, "data.root"));
    hasher_add_integer(hasher, (int64_t)outside);
    return OK;
}

static Status fail_fingerprint(const Config *config, Hasher *hasher)
{
    (void)hasher;
    return status_error(STATUS_NOT_FOUND, "no data set '%s'", config_string(config, "data.root"));
}

static int generator_version = 1;
static Status (*shard_fingerprint)(const Config *, Hasher *) = count_fingerprint;

static const Stage *test_stage(StageId id)
{
    static Stage changed[STAGE_COUNT];
    changed[id] = *fake_stage(id);
    if (id == STAGE_SHARD) changed[id].fingerprint = shard_fingerprint;
    if (id == STAGE_GENERATOR) changed[id].version = generator_version;
    return &changed[id];
}

typedef struct Case {
    char *directory;
    Study *study;
    Plan *plan;
} Case;

static Status make_plan(Case *c, const char *text)
{
    if (c->directory == NULL) c->directory = fake_directory();
    plan_destroy(c->plan);
    study_destroy(c->study);
    c->plan = NULL;
    c->study = NULL;
    fake_write(c->directory, "demo.yaml", text);
    char *path = path_join(c->directory, "demo.yaml");
    Status status = study_read(path, NULL, 0, &c->study);
    memory_free(path);
    PlanOptions options = {.work = c->directory, .lookup = test_stage, .last = STAGE_COUNT};
    return status != OK ? status : plan_create(c->study, &options, &c->plan);
}

static void end_case(Case *c)
{
    plan_destroy(c->plan);
    study_destroy(c->study);
    CHECK_OK(directory_remove(c->directory));
    memory_free(c->directory);
    *c = (Case){0};
}

static const PlanJob *job_of(const Case *c, size_t trial, StageId stage)
{
    return &c->plan->jobs[plan_trial_job(c->plan, trial, stage)];
}

static void test_jobs_are_shared(void)
{
    Case c = {0};
    CHECK_OK(make_plan(&c, "variants: {a: {}, b: {generator.kind: gmmn}, c: {evaluate.score: 0.5}}\nsweep: {seed: [0, 1]}\n"));
    CHECK_INT(c.plan->stage_count[STAGE_SHARD], 1);
    CHECK_INT(c.plan->stage_count[STAGE_BACKBONE], 2);
    CHECK_INT(c.plan->stage_count[STAGE_EXTRACT], 2);
    CHECK_INT(c.plan->stage_count[STAGE_GENERATOR], 4); /* a and c share theirs */
    CHECK_INT(c.plan->stage_count[STAGE_EVALUATE], 6);
    CHECK_INT(c.plan->needed, 15);
    CHECK_INT(job_of(&c, 0, STAGE_SHARD)->trials, 6);
    CHECK_STRING(job_of(&c, 0, STAGE_GENERATOR)->key, job_of(&c, 4, STAGE_GENERATOR)->key);
    CHECK_INT(job_of(&c, 0, STAGE_EVALUATE)->inputs[STAGE_GENERATOR], plan_trial_job(c.plan, 0, STAGE_GENERATOR));
    end_case(&c);
}

/* The last key of a plan of one trial. */
static void last_key(Case *c, const char *text, char key[HASH_HEX_SIZE])
{
    CHECK_OK(make_plan(c, text));
    strcpy(key, job_of(c, 0, STAGE_EVALUATE)->key);
}

static void test_keys_change_with_what_matters(void)
{
    Case c = {0};
    char base[HASH_HEX_SIZE], other[HASH_HEX_SIZE];
    last_key(&c, "config: {data.root: a}", base);
    last_key(&c, "config: {data.root: a, run.threads: 2, work: x}", other);
    CHECK_STRING(other, base);
    last_key(&c, "config: {data.root: a, train.steps: 1000.0}", other);
    CHECK_STRING(other, base);
    last_key(&c, "config: {data.root: a, train.steps: 999}", other);
    CHECK(strcmp(other, base) != 0);
    last_key(&c, "config: {data.root: b}", other);
    CHECK(strcmp(other, base) != 0);
    generator_version = 2;
    last_key(&c, "config: {data.root: a}", other);
    CHECK(strcmp(other, base) != 0);
    generator_version = 1;
    outside = 1;
    last_key(&c, "config: {data.root: a}", other);
    CHECK(strcmp(other, base) != 0);
    outside = 0;
    last_key(&c, "config: {data.root: a}", other);
    CHECK_STRING(other, base);
    end_case(&c);
}

static void finish(const Case *c, const PlanJob *job)
{
    char *output = path_join(c->directory, "output");
    CHECK_OK(directory_create(output));
    fake_write(output, "result", "1");
    ArtifactInfo info = {.key = job->key, .stage = job->stage, .config = job->config, .attempt = "0001", .code = "test"};
    CHECK_OK(artifact_commit(output, c->directory, &info));
    memory_free(output);
}

static void test_finished_and_unneeded(void)
{
    static const char TEXT[] = "variants: {a: {}, b: {generator.kind: gmmn}}\n";
    Case c = {0};
    CHECK_OK(make_plan(&c, TEXT));
    finish(&c, job_of(&c, 0, STAGE_EVALUATE));
    CHECK_OK(make_plan(&c, TEXT));
    CHECK_INT(job_of(&c, 0, STAGE_EVALUATE)->need, JOB_FINISHED);
    CHECK_INT(job_of(&c, 0, STAGE_GENERATOR)->need, JOB_UNNEEDED);
    CHECK_INT(job_of(&c, 0, STAGE_BACKBONE)->need, JOB_NEEDED); /* for b */
    CHECK_INT(c.plan->needed, 5);
    finish(&c, job_of(&c, 1, STAGE_EVALUATE));
    CHECK_OK(make_plan(&c, TEXT));
    CHECK_INT(c.plan->needed, 0);
    char *result = memory_format("%s/artifacts/%s/result", c.directory, job_of(&c, 1, STAGE_EVALUATE)->key);
    fake_write(c.directory, "x", "");
    FILE *file = fopen(result, "a");
    fputs("damage", file);
    fclose(file);
    memory_free(result);
    CHECK_OK(make_plan(&c, TEXT));
    CHECK_INT(c.plan->needed, 5);
    end_case(&c);
}

static void test_fingerprint_failure_is_told(void)
{
    Case c = {0};
    shard_fingerprint = fail_fingerprint;
    Status status = make_plan(&c, "config: {data.root: /absent}");
    shard_fingerprint = count_fingerprint;
    CHECK_FAILS(status, STATUS_NOT_FOUND, "no data set '/absent'");
    end_case(&c);
}

static int checks;

static Status check_layers(const Config *config)
{
    checks++;
    long long layers = (long long)config_integer(config, "generator.layers");
    return layers < 3 ? OK : status_error(STATUS_INVALID, "generator.layers: %lld are too many", layers);
}

static const Stage *checked_stage(StageId id)
{
    static Stage changed[STAGE_COUNT];
    changed[id] = *test_stage(id);
    if (id == STAGE_GENERATOR) changed[id].check = check_layers;
    return &changed[id];
}

/* Once for each generator, and the trial is named. */
static void test_checks(void)
{
    Case c = {0};
    PlanOptions options = {.lookup = checked_stage, .last = STAGE_COUNT};
    CHECK_OK(make_plan(&c, "sweep: {seed: [0, 1], generator.layers: [1, 2], evaluate.score: [0.1, 0.2]}\n"));
    plan_destroy(c.plan);
    options.work = c.directory;
    CHECK_OK(plan_create(c.study, &options, &c.plan));
    CHECK_INT(checks, 4);
    CHECK_OK(make_plan(&c, "variants: {full: {}}\nsweep: {seed: [5], generator.layers: [2, 3]}\n"));
    plan_destroy(c.plan);
    c.plan = NULL;
    CHECK_FAILS(plan_create(c.study, &options, &c.plan), STATUS_INVALID,
                "demo.yaml: full, generator.layers=3, seed 5: generator.layers: 3 are too many");
    /* What is finished is not refused. */
    CHECK_OK(make_plan(&c, "sweep: {seed: [5], generator.layers: [2, 3]}\n"));
    finish(&c, job_of(&c, 1, STAGE_GENERATOR));
    plan_destroy(c.plan);
    CHECK_OK(plan_create(c.study, &options, &c.plan));
    end_case(&c);
}

/* What the stages of the program refuse, before anything runs. */
static void test_checks_of_the_stages(void)
{
    static const struct { const char *key, *value, *part; } CASES[] = {
        {"segmenter.heads", "6", "segmenter.dim: 64 must be a multiple of 4 and of segmenter.heads (6)"},
        {"segmenter.blocks", "[]", "segmenter.blocks takes one to four numbers"},
        {"train.crop", "[64]", "train.crop takes two numbers"},
        {"train.crop", "[64, 72]", "train.crop: 64 x 72: both sides must be multiples of 32"},
        {"train.scale", "[1, 0.5]", "train.scale: the first number must not exceed the second"},
        {"train.milestones", "[0.5]", "train.milestones takes two numbers"},
        {"generator.heads", "7", "generator.heads: 7 heads do not divide segmenter.dim (64)"}};
    Config *config;
    CHECK_OK(config_create(&config));
    CHECK_OK(STAGE_DEF_BACKBONE.check(config));
    CHECK_OK(STAGE_DEF_GENERATOR.check(config));
    config_destroy(config);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        bool generator = strncmp(CASES[i].key, "generator", 9) == 0;
        CHECK_OK(config_create(&config));
        CHECK_OK(config_set(config, CASES[i].key, CASES[i].value, "test"));
        const Stage *stage = generator ? &STAGE_DEF_GENERATOR : &STAGE_DEF_BACKBONE;
        CHECK_FAILS(stage->check(config), STATUS_INVALID, CASES[i].part);
        CHECK_OK(config_set(config, "generator.kind", "gmmn", "test")); /* which has no heads */
        if (generator) CHECK_OK(STAGE_DEF_GENERATOR.check(config));
        config_destroy(config);
    }
}

static void test_fingerprints_are_kept(void)
{
    Case c = {0};
    CHECK_OK(make_plan(&c, "config: {data.root: a}"));
    CHECK_INT(strlen(job_of(&c, 0, STAGE_SHARD)->fingerprint), 32);
    CHECK_STRING(job_of(&c, 0, STAGE_BACKBONE)->fingerprint, "");
    CHECK(job_of(&c, 0, STAGE_SHARD)->fingerprint[0] != '\0');
    end_case(&c);
}

static void test_ten_thousand_trials(void)
{
    Case c = {0};
    struct rusage usage;
    fingerprints = 0;
    CHECK_OK(make_plan(&c, "config: {data.root: a}\nvariants: {a: {}, b: {generator.kind: gmmn}}\n"
                           "sweep:\n  generator.primitives: {range: [1, 101]}\n  seed: {range: [0, 50]}\n"));
    CHECK_INT(c.study->trial_count, 10000);
    CHECK_INT(c.plan->stage_count[STAGE_SHARD], 1);
    CHECK_INT(c.plan->stage_count[STAGE_BACKBONE], 50);
    CHECK_INT(c.plan->stage_count[STAGE_GENERATOR], 10000);
    CHECK_INT(c.plan->stage_count[STAGE_EVALUATE], 10000);
    CHECK_INT(c.plan->count, 1 + 50 + 50 + 20000);
    CHECK_INT(fingerprints, 1); /* asked once for all trials that read the same */
    getrusage(RUSAGE_SELF, &usage);
    if (getenv("ASAN_OPTIONS") == NULL && getenv("LSAN_OPTIONS") == NULL) CHECK(usage.ru_maxrss < 200 * 1024);
    end_case(&c);
}

static void test_any_failed_allocation(void)
{
    static const char TEXT[] = "variants: {a: {}, b: {generator.kind: gmmn}}\nsweep: {seed: [0, 1]}\n";
    Case c = {0};
    CHECK_OK(make_plan(&c, TEXT));
    finish(&c, job_of(&c, 0, STAGE_EVALUATE));
    PlanOptions options = {.work = c.directory, .lookup = test_stage, .last = STAGE_COUNT};
    for (int64_t n = 0;; n++) {
        Plan *plan;
        memory_fail_after(n);
        Status status = plan_create(c.study, &options, &plan);
        memory_fail_after(-1);
        bool done = status == OK;
        if (!done) CHECK_INT(status_code(status), STATUS_NO_MEMORY);
        if (done) CHECK_INT(plan->finished, 1);
        status_free(status);
        plan_destroy(plan);
        if (done) break;
        CHECK(n < 5000);
    }
    end_case(&c);
}

TEST_MAIN(TEST(test_any_failed_allocation), TEST(test_jobs_are_shared), TEST(test_keys_change_with_what_matters), TEST(test_finished_and_unneeded),
          TEST(test_fingerprint_failure_is_told), TEST(test_checks), TEST(test_checks_of_the_stages),
          TEST(test_fingerprints_are_kept),
          TEST(test_ten_thousand_trials))
