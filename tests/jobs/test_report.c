#include "framework/files.h"
#include "framework/json.h"
#include "jobs/artifact.h"
#include "jobs/report.h"
#include "jobs/report_curve.h"
#include "tests/test.h"

static const Stage STAGES_HERE[STAGE_COUNT] = {
    {.id = STAGE_SHARD, .version = 1},
    {.id = STAGE_BACKBONE, .version = 1, .inputs = 1U << STAGE_SHARD},
    {.id = STAGE_EXTRACT, .version = 1, .inputs = 1U << STAGE_SHARD | 1U << STAGE_BACKBONE},
    {.id = STAGE_GENERATOR, .version = 1, .inputs = 1U << STAGE_EXTRACT},
    {.id = STAGE_EVALUATE, .version = 1, .inputs = 1U << STAGE_EXTRACT | 1U << STAGE_GENERATOR}};

static const Stage *stage_here(StageId id)
{
    return &STAGES_HERE[id];
}

static char directory[64], work[96];
static Study *study;
static Plan *plan;

static void replan(void)
{
    if (plan != NULL)
        plan_destroy(plan);
    plan = NULL;
    PlanOptions options = {.work = work, .lookup = stage_here, .last = STAGE_COUNT};
    CHECK_OK(plan_create(study, &options, &plan));
}

static void begin(const char *yaml)
{
    char path[96];
    strcpy(directory, "/tmp/zeroth-report-XXXXXX");
    CHECK(mkdtemp(directory) != NULL);
    snprintf(work, sizeof work, "%s/work", directory);
    snprintf(path, sizeof path, "%s/study.yaml", directory);
    CHECK_OK(file_write(path, yaml, strlen(yaml)));
    CHECK_OK(study_read(path, NULL, 0, &study));
    replan();
}

static void end(void)
{
    plan_destroy(plan);
    plan = NULL;
    study_destroy(study);
    study = NULL;
    CHECK_OK(directory_remove(directory));
}

/* The trial's evaluate artifact, as its stage leaves it. */
static void finish_trial(size_t trial, const char *metrics)
{
    const PlanJob *job = &plan->jobs[plan_trial_job(plan, trial, STAGE_EVALUATE)];
    char output[128], path[160];
    snprintf(output, sizeof output, "%s/output-%zu", directory, trial);
    snprintf(path, sizeof path, "%s/metrics.json", output);
    CHECK_OK(directory_create(output));
    CHECK_OK(file_write(path, metrics, strlen(metrics)));
    ArtifactInfo info = {.key = job->key, .stage = STAGE_EVALUATE, .version = 1, .config = job->config,
                         .attempt = "0001", .code = "test"};
    CHECK_OK(artifact_commit(output, work, &info));
}

static char *printed(const Report *report, ReportFormat format)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    CHECK(out != NULL);
    CHECK_OK(report_print(report, format, out));
    fclose(out);
    return text;
}

static void check_says(char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        TEST_FAIL("\"%s\" is not in\n%s", part, text);
}

static const char YAML[] = "name: demo\n"
                           "variants:\n"
                           "  none: {generator.kind: none}\n"
                           "  full_method: {}\n"
                           "sweep:\n"
                           "  seed: [0, 1, 2]\n"
                           "  generator.layers: [2]\n";

static size_t trial_of(const char *variant, int64_t seed)
{
    for (size_t t = 0; t < study->trial_count; t++)
        if (strcmp(study->trials[t].variant, variant) == 0 && study->trials[t].seed == seed)
            return t;
    TEST_FAIL("no trial of %s", variant);
}

static void make_results(void)
{
    static const double pq[3] = {0.10, 0.12, 0.14};
    char metrics[256];
    for (int seed = 0; seed < 3; seed++) {
        snprintf(metrics, sizeof metrics, "{\"panoptic.pq.seen\": 0.5, \"panoptic.pq.unseen\": %g, \"classes\": {}}",
                 pq[seed]);
        finish_trial(trial_of("full_method", seed), metrics);
    }
    finish_trial(trial_of("none", 1), "{\"panoptic.pq.seen\": 0.25, \"panoptic.pq.unseen\": null, \"classes\": {}}");
    replan();
}

static void test_numbers(void)
{
    begin(YAML);
    make_results();
    Report *report = NULL;
    CHECK_OK(report_create(plan, "pq_seen,panoptic.pq.unseen", &report));
    CHECK_INT(report->row_count, 2);
    CHECK_INT(report->column_count, 1); /* the layers are the same everywhere */
    CHECK_STRING(report->columns[0], "variant");
    CHECK_STRING(report->rows[0].labels[0], "none");
    CHECK_INT(report->rows[0].finished, 1);
    CHECK_INT(report->rows[0].cells[1].count, 0); /* null */
    CHECK_INT(report->rows[1].trials, 3);
    CHECK_STRING(report->metrics[1].heading, "PQ unseen");
    const Estimate *cell = &report->rows[1].cells[1];
    CHECK_NEAR(cell->mean, 0.12, 1e-15);
    CHECK_NEAR(cell->half_width, 4.302652729749464 * 0.02 / sqrt(3.0), 1e-12);
    report_destroy(report);
    end();
}

static void test_formats(void)
{
    begin(YAML);
    make_results();
    Report *report = NULL;
    CHECK_OK(report_create(plan, "pq.seen,pq.unseen", &report));
    char *text = printed(report, REPORT_TABLE);
    check_says(text, "\nvariant      seeds      PQ seen    PQ unseen\n"
                     "none           1/3   25.0            -\n"
                     "full_method      3   50.0 ± 0.0   12.0 ± 5.0\n");
    check_says(text, "2 of 6 trials have no result (0 failed)");
    free(text);
    text = printed(report, REPORT_MARKDOWN);
    check_says(text, "| variant | seeds | PQ seen | PQ unseen |\n| --- | ---: | ---: | ---: |\n");
    check_says(text, "| full_method | 3 | 50.0 ± 0.0 | 12.0 ± 5.0 |\n");
    free(text);
    text = printed(report, REPORT_LATEX);
    check_says(text, "full\\_method & 3 & $50.0 \\pm 0.0$ & $12.0 \\pm 5.0$ \\\\\n");
    check_says(text, "none & 1/3 & $25.0$ & - \\\\\n");
    free(text);
    text = printed(report, REPORT_CSV);
    check_says(text, "variant,trials,finished,failed,panoptic.pq.seen.mean,panoptic.pq.seen.half_width,");
    check_says(text, "none,3,1,0,0.25,,1,,,0\n");
    free(text);
    text = printed(report, REPORT_JSON);
    Json *json = NULL;
    CHECK_OK(json_parse(text, strlen(text), "report", &json));
    const Json *row = &json_member(json, "rows")->items[1];
    const Json *unseen = json_member(json_member(row, "metrics"), "panoptic.pq.unseen");
    CHECK_NEAR(json_member(unseen, "mean")->real, 0.12, 1e-15);
    CHECK_INT(json_member(unseen, "values")->count, 3);
    json_destroy(json);
    free(text);
    report_destroy(report);
    end();
}

static char *curve_printed(ReportFormat format)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    CHECK_OK(report_print_curve(plan, format, out));
    fclose(out);
    return text;
}

static void finish_with_curve(const char *variant, int64_t seed, const char *bias, double unseen)
{
    char metrics[512];
    snprintf(metrics, sizeof metrics, "{\"classes\": {}, \"curve\": {\"bias\": [null, %s, null], "
             "\"panoptic.pq.seen\": [0.5, 0.4, 0], \"panoptic.pq.unseen\": [0, %g, 0.3], \"semantic.miou.seen\": [0.6, null, 0], "
             "\"semantic.miou.unseen\": [0, 0.2, 0.4]}}", bias, unseen);
    finish_trial(trial_of(variant, seed), metrics);
}

static void test_curve(void)
{
    begin(YAML);
    CHECK_FAILS(report_print_curve(plan, REPORT_TABLE, stdout), STATUS_NOT_FOUND, "calibration.curve");
    CHECK_FAILS(report_print_curve(plan, REPORT_LATEX, stdout), STATUS_USAGE, "table or csv");
    finish_with_curve("full_method", 0, "0", 0.1);
    finish_with_curve("full_method", 1, "0", 0.2);
    replan();
    char *text = curve_printed(REPORT_TABLE);
    check_says(text, "no finished trial with a curve\n");
    check_says(text, "     0      2     40.0 ± 0.0    15.0 ± 63.5              -     20.0 ± 0.0\n");
    free(text);
    text = curve_printed(REPORT_CSV);
    check_says(text, ",-inf,2,0.5,0,0,0,0.59999999999999998,0,0,0\n");
    check_says(text, ",inf,2,0,0,");
    free(text);
    finish_with_curve("full_method", 2, "1", 0.2);
    replan();
    CHECK_FAILS(report_print_curve(plan, REPORT_TABLE, stdout), STATUS_INVALID, "other biases");
    end();
}

static void test_nothing_finished(void)
{
    begin(YAML);
    Report *report = NULL;
    CHECK_OK(report_create(plan, NULL, &report));
    CHECK_INT(report->finished, 0);
    CHECK_INT(report->metric_count, 6);
    char *text = printed(report, REPORT_TABLE);
    check_says(text, "0/3");
    check_says(text, "6 of 6 trials have no result");
    free(text);
    report_destroy(report);
    end();
}

static void test_axes_and_groups(void)
{
    begin("sweep:\n"
          "  seed: [0, 1]\n"
          "  generator.primitives: [50, 100]\n"
          "  train.rate: [0.001]\n"
          "report: {metrics: [pq.harmonic]}\n");
    for (size_t t = 0; t < study->trial_count; t++)
        finish_trial(t, "{\"panoptic.pq.harmonic\": 0.25, \"classes\": {}}");
    replan();
    Report *report = NULL;
    CHECK_OK(report_create(plan, NULL, &report));
    CHECK_INT(report->row_count, 2);
    CHECK_INT(report->column_count, 1);
    CHECK_STRING(report->columns[0], "primitives");
    CHECK_STRING(report->column_keys[0], "generator.primitives");
    CHECK_STRING(report->rows[1].labels[0], "100");
    CHECK_INT(report->metric_count, 1);
    CHECK_STRING(report->metrics[0].key, "panoptic.pq.harmonic");
    report_destroy(report);
    CHECK_FAILS(report_create(plan, "pq.seem", &report), STATUS_NOT_FOUND, "metric 'pq.seem'");
    CHECK(report == NULL);
    end();
}

TEST_MAIN(TEST(test_numbers), TEST(test_formats), TEST(test_curve), TEST(test_nothing_finished),
          TEST(test_axes_and_groups))
