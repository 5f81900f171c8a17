/* Verdicts of successive halving by metrics that are made by hand. */
#include "framework/text.h"
#include "jobs/halving.h"
#include "jobs/report.h"
#include "tests/jobs/study_case.h"

/* Four groups of two seeds, three rungs of 4, 2 and 1 groups. */
static const char AXES[] = "sweep: {generator.layers: [1, 2, 3, 4], seed: [0, 1]}\n";
static const char HALVING[] = "halving: {metric: pq.unseen, key: generator.steps, factor: 2, rungs: 3}\n";

static char *study_text(const char *axes, const char *halving)
{
    static char text[600];
    snprintf(text, sizeof text, "config: {generator.steps: 40}\n%s%s", axes, halving);
    return text;
}

static void plan_again(StudyCase *c)
{
    CHECK_OK(case_plan(c, study_text(AXES, HALVING)));
}

static size_t trial_at(const StudyCase *c, size_t group, int rung, int64_t seed)
{
    for (size_t t = 0; t < c->study->trial_count; t++) {
        const Trial *trial = &c->study->trials[t];
        if (trial->group_index == group && trial->rung == rung && trial->seed == seed) return t;
    }
    TEST_FAIL("no trial");
}

static void finish_trial(const StudyCase *c, size_t group, int rung, int64_t seed, const char *value)
{
    char metrics[200];
    snprintf(metrics, sizeof metrics, "{\"panoptic.pq.seen\": 0.5, \"panoptic.pq.unseen\": %s}", value);
    size_t trial = trial_at(c, group, rung, seed);
    for (int stage = 0; stage < STAGE_EVALUATE; stage++) {
        const PlanJob *job = case_job(c, trial, (StageId)stage);
        if (job->need != JOB_FINISHED) case_finish(c, job, NULL);
    }
    case_finish(c, case_job(c, trial, STAGE_EVALUATE), metrics);
}

static void finish_rung(const StudyCase *c, int rung, const char *const values[4])
{
    for (size_t group = 0; group < 4; group++)
        for (int64_t seed = 0; seed < 2 && values[group] != NULL; seed++)
            finish_trial(c, group, rung, seed, values[group]);
}

static JobNeed need_at(const StudyCase *c, size_t group, int rung)
{
    return case_job(c, trial_at(c, group, rung, 0), STAGE_EVALUATE)->need;
}

static void check_needs(const StudyCase *c, int rung, JobNeed a, JobNeed b, JobNeed d, JobNeed e)
{
    const JobNeed expected[4] = {a, b, d, e};
    for (size_t group = 0; group < 4; group++)
        if (need_at(c, group, rung) != expected[group])
            TEST_FAIL("group %zu in rung %d: %s, not %s", group, rung, job_need_name(need_at(c, group, rung)),
                      job_need_name(expected[group]));
}

static void test_rungs_go_by_the_best(void)
{
    StudyCase c = {0};
    plan_again(&c);
    CHECK(c.plan->undecided);
    check_needs(&c, 0, JOB_NEEDED, JOB_NEEDED, JOB_NEEDED, JOB_NEEDED);
    check_needs(&c, 1, JOB_LATER, JOB_LATER, JOB_LATER, JOB_LATER);
    check_needs(&c, 2, JOB_LATER, JOB_LATER, JOB_LATER, JOB_LATER);
    CHECK_INT(c.plan->stage_needed[STAGE_GENERATOR], 8);
    CHECK_INT(c.plan->stage_needed[STAGE_BACKBONE], 2); /* of the seeds: rungs share what the budget does not touch */
    finish_rung(&c, 0, (const char *const[]){"0.1", "0.4", "0.2", "0.3"});
    CHECK_OK(plan_renew(&c.plan));
    CHECK(c.plan->undecided);
    CHECK_INT(c.plan->needed, 8);
    check_needs(&c, 0, JOB_FINISHED, JOB_FINISHED, JOB_FINISHED, JOB_FINISHED);
    check_needs(&c, 1, JOB_SKIPPED, JOB_NEEDED, JOB_SKIPPED, JOB_NEEDED);
    check_needs(&c, 2, JOB_SKIPPED, JOB_LATER, JOB_SKIPPED, JOB_LATER);
    finish_rung(&c, 1, (const char *const[]){NULL, "0.2", NULL, "0.25"});
    plan_again(&c);
    CHECK(!c.plan->undecided);
    check_needs(&c, 2, JOB_SKIPPED, JOB_SKIPPED, JOB_SKIPPED, JOB_NEEDED);
    CHECK_INT(c.plan->halving->rung, 2);
    Text text = {0};
    halving_describe(c.plan->halving, 1, &text);
    CHECK_STRING(text_string(&text), "skipped after rung 2 of 3: pq.unseen 0.2, the best 1 of 2 went on from 0.25");
    text_free(&text);
    halving_describe(c.plan->halving, 3, &text);
    CHECK_STRING(text_string(&text), "went on to the last rung: pq.unseen 0.25 in the one before");
    text_free(&text);
    finish_rung(&c, 2, (const char *const[]){NULL, NULL, NULL, "0.3"});
    plan_again(&c);
    CHECK(!c.plan->undecided);
    CHECK_INT(c.plan->needed, 0);
    case_end(&c);
}

/* Of three groups two go on; equal ones in file order; no number ranks last, whether it is null or one seed's. */
static void test_ties_and_nulls(void)
{
    static const char THREE[] = "sweep: {generator.layers: [1, 2, 3], seed: [0, 1]}\n";
    StudyCase c = {0};
    CHECK_OK(case_plan(&c, study_text(THREE, HALVING)));
    for (size_t group = 0; group < 3; group++)
        for (int64_t seed = 0; seed < 2; seed++) finish_trial(&c, group, 0, seed, "0.25");
    CHECK_OK(case_plan(&c, study_text(THREE, HALVING)));
    CHECK_INT(need_at(&c, 0, 1), JOB_NEEDED);
    CHECK_INT(need_at(&c, 1, 1), JOB_NEEDED);
    CHECK_INT(need_at(&c, 2, 1), JOB_SKIPPED);
    case_end(&c);
    plan_again(&c);
    finish_rung(&c, 0, (const char *const[]){"null", "0", "0.9", "0.1"});
    case_drop(&c);
    plan_again(&c);
    check_needs(&c, 1, JOB_SKIPPED, JOB_SKIPPED, JOB_NEEDED, JOB_NEEDED);
    case_end(&c);
    plan_again(&c);
    finish_rung(&c, 0, (const char *const[]){"0.2", "0.1", NULL, "0.05"});
    finish_trial(&c, 2, 0, 0, "0.9");
    finish_trial(&c, 2, 0, 1, "null");
    plan_again(&c);
    check_needs(&c, 1, JOB_NEEDED, JOB_NEEDED, JOB_SKIPPED, JOB_SKIPPED);
    case_end(&c);
}

static void test_losses_are_made_small(void)
{
    static const char LOSS[] =
        "halving: {metric: pq.unseen, key: generator.steps, factor: 2, rungs: 2, maximize: false}\n";
    StudyCase c = {0};
    CHECK_OK(case_plan(&c, study_text(AXES, LOSS)));
    finish_rung(&c, 0, (const char *const[]){"0.1", "null", "0.3", "0.2"});
    CHECK_OK(case_plan(&c, study_text(AXES, LOSS)));
    check_needs(&c, 1, JOB_NEEDED, JOB_SKIPPED, JOB_SKIPPED, JOB_NEEDED);
    case_end(&c);
}

/* A trial that is not finished, for it failed or was never run, keeps its rung open; the others are not run twice. */
static void test_open_rungs(void)
{
    StudyCase c = {0};
    plan_again(&c);
    finish_rung(&c, 0, (const char *const[]){"0.1", "0.4", "0.2", NULL});
    finish_trial(&c, 3, 0, 0, "0.9");
    plan_again(&c);
    CHECK(c.plan->undecided);
    CHECK_INT(c.plan->halving->rung, 0);
    check_needs(&c, 1, JOB_LATER, JOB_LATER, JOB_LATER, JOB_LATER);
    CHECK_INT(c.plan->needed, 2); /* generator and evaluate of the one that is missing */
    CHECK_INT(case_job(&c, trial_at(&c, 3, 0, 1), STAGE_EVALUATE)->need, JOB_NEEDED);
    finish_trial(&c, 3, 0, 1, "0.9");
    plan_again(&c);
    CHECK_INT(c.plan->halving->rung, 1);
    /* In the middle of rung 2 nothing of rung 1 comes back. */
    finish_trial(&c, 3, 1, 0, "0.5");
    plan_again(&c);
    CHECK_INT(c.plan->halving->rung, 1);
    CHECK_INT(c.plan->needed, 6);
    check_needs(&c, 0, JOB_FINISHED, JOB_FINISHED, JOB_FINISHED, JOB_FINISHED);
    /* A result that is lost is made again before anything is decided. */
    char *lost = artifact_directory(c.directory, case_job(&c, trial_at(&c, 0, 0, 1), STAGE_EVALUATE)->key);
    CHECK_OK(directory_remove(lost));
    memory_free(lost);
    plan_again(&c);
    CHECK_INT(c.plan->halving->rung, 0);
    CHECK_INT(case_job(&c, trial_at(&c, 0, 0, 1), STAGE_EVALUATE)->need, JOB_NEEDED);
    CHECK_INT(need_at(&c, 0, 1), JOB_LATER);
    case_end(&c);
}

static void test_last_rung_is_the_study_itself(void)
{
    StudyCase with = {0}, without = {0};
    CHECK_OK(case_plan(&with, study_text(AXES, HALVING)));
    CHECK_OK(case_plan(&without, study_text(AXES, "")));
    CHECK_INT(with.study->full_count, without.study->trial_count);
    for (size_t t = 0; t < without.study->trial_count; t++) {
        CHECK_STRING(with.study->trials[t].group, without.study->trials[t].group);
        for (int stage = 0; stage < STAGE_COUNT; stage++)
            CHECK_STRING(case_job(&with, t, (StageId)stage)->key, case_job(&without, t, (StageId)stage)->key);
        CHECK(strcmp(case_job(&with, study_rung_trial(with.study, t, 0), STAGE_GENERATOR)->key,
                     case_job(&with, t, STAGE_GENERATOR)->key) != 0);
    }
    CHECK(without.plan->halving == NULL && !without.plan->undecided);
    case_end(&with);
    case_end(&without);
}

static void test_a_metric_that_nobody_has(void)
{
    static const char WRONG[] = "halving: {metric: pq.unsen, key: generator.steps, factor: 2, rungs: 3}\n";
    StudyCase c = {0};
    CHECK_OK(case_plan(&c, study_text(AXES, WRONG)));
    finish_rung(&c, 0, (const char *const[]){"0.1", "0.4", "0.2", "0.3"});
    CHECK_FAILS(case_plan(&c, study_text(AXES, WRONG)), STATUS_NOT_FOUND, "no trial of rung 1 has a metric 'pq.unsen'");
    case_end(&c);
}

/* Without the stage that makes metrics there is no verdict to wait for, and only the first rung is run. */
static void test_plan_without_metrics(void)
{
    StudyCase c = {.last = STAGE_GENERATOR};
    plan_again(&c);
    CHECK(!c.plan->undecided);
    CHECK_INT(c.plan->stage_needed[STAGE_GENERATOR], 8);
    case_end(&c);
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

static void check_says(const Report *report, ReportFormat format, const char *part)
{
    char *text = printed(report, format);
    if (strstr(text, part) == NULL) TEST_FAIL("\"%s\" is not in\n%s", part, text);
    free(text);
}

static void test_report(void)
{
    StudyCase c = {0};
    Report *report;
    plan_again(&c);
    finish_rung(&c, 0, (const char *const[]){"0.1", "0.4", "null", "0.3"});
    plan_again(&c);
    finish_trial(&c, 0, 2, 0, "0.8"); /* a full trial of a skipped group, of the time before halving */
    plan_again(&c);
    CHECK_OK(report_create(c.plan, "pq.unseen", &report));
    CHECK_INT(report->row_count, 4);
    CHECK_INT(report->skipped, 2);
    CHECK(report->rows[0].skipped && !report->rows[1].skipped);
    CHECK_INT(report->rows[0].cells[0].count, 0);
    CHECK_NEAR(report->rows[0].rung_metric, 0.1, 1e-15);
    CHECK_INT(report->rows[1].trials, 2);
    CHECK_INT(report->rows[1].finished, 0);
    CHECK_INT(report->trials, 4);
    check_says(report, REPORT_TABLE, "skipped after rung 1/3 at 0.1 ");
    check_says(report, REPORT_TABLE, "0/2, rung 2/3 ");
    check_says(report, REPORT_TABLE, "2 of 4 rows were skipped by halving on pq.unseen");
    check_says(report, REPORT_MARKDOWN, "| 3 | skipped after rung 1/3 at no number | - |");
    check_says(report, REPORT_LATEX, "1 & skipped after rung 1/3 at 0.1 & - \\\\");
    check_says(report, REPORT_CSV, ",halving.state,halving.rung,halving.metric\n1,0,0,0,,,0,skipped,1,0.1");
    check_says(report, REPORT_CSV, "\n2,2,0,0,,,0,running,2,0.4");
    check_says(report, REPORT_JSON, "\"halving\":{\"state\":\"skipped\",\"rung\":1,\"rungs\":3,\"metric\":0.1");
    check_says(report, REPORT_JSON, "the best 2 of 4 went on from 0.3");
    report_destroy(report);
    case_end(&c);
}

static void test_any_failed_allocation(void)
{
    static const char SMALL[] = "sweep: {generator.layers: [1, 2]}\n";
    StudyCase c = {0};
    CHECK_OK(case_plan(&c, study_text(SMALL, HALVING)));
    finish_trial(&c, 0, 0, 0, "0.1");
    finish_trial(&c, 1, 0, 0, "0.2");
    PlanOptions options = {.work = c.directory, .lookup = fake_stage, .last = STAGE_COUNT};
    for (int64_t n = 0;; n++) {
        Plan *plan;
        memory_fail_after(n);
        Status status = plan_create(c.study, &options, &plan);
        memory_fail_after(-1);
        bool done = status == OK;
        if (!done) CHECK_INT(status_code(status), STATUS_NO_MEMORY);
        if (done) CHECK_INT(plan->needed, 2);
        status_free(status);
        plan_destroy(plan);
        if (done) break;
        CHECK(n < 20000);
    }
    case_end(&c);
}

TEST_MAIN(TEST(test_rungs_go_by_the_best), TEST(test_ties_and_nulls), TEST(test_losses_are_made_small),
          TEST(test_open_rungs), TEST(test_last_rung_is_the_study_itself), TEST(test_a_metric_that_nobody_has),
          TEST(test_plan_without_metrics), TEST(test_report), TEST(test_any_failed_allocation))
