/* A study with successive halving through the real program: what goes on, what is skipped, and that what goes on ends
 * with the same bits as without halving; then why a changed study has work to do. */
#include "tests/commands/artifacts.h"

#define GROUPS 4
#define AXES "sweep:\n  generator.rate: {log_range: [1e-4, 1e-1, 4]}\n  seed: [0, 1]\n"
#define HALVING "halving: {metric: semantic.miou.seen, key: generator.steps, factor: 2, rungs: 2}\n"

typedef struct Place {
    const char *study, *work, *plain, *plain_work;
} Place;

static const Place *place(void)
{
    static Place made;
    if (made.study != NULL) return &made;
    make_scenes(in_root("with/data"), 24, 6, 0.25);
    copy_tree(in_root("with/data"), in_root("plain/data"), true);
    made = (Place){.study = make_study(in_root("with"), AXES HALVING), .work = in_root("with/work"),
                   .plain = make_study(in_root("plain"), AXES), .plain_work = in_root("plain/work")};
    return &made;
}

static void test_plan_of_the_first_rung(void)
{
    const Place *p = place();
    Result plan = PROGRAM("plan", p->study);
    CHECK_CODE(plan, 0);
    CHECK_SAYS(plan.out, "8 trials and 8 shorter ones of halving, 37 jobs: 0 finished, 21 to do, 16 for later rungs");
    CHECK_SAYS(plan.out, "estimate: unknown");
    CHECK_SAYS(plan.out, "halving by semantic.miou.seen (the larger the better) over generator.steps, now in rung 1");
    CHECK_SAYS(plan.out, "  generator.rate=0.0001: in rung 1 of 2\n");
    Result report = PROGRAM("report", p->study);
    CHECK_CODE(report, 0);
    CHECK_SAYS(report.out, "0/2, rung 1/2");
}

/* One run does all rungs. */
static void run_to_the_end(const char *study)
{
    CHECK_CODE(PROGRAM("run", study, "-q"), 0);
    Result plan = PROGRAM("plan", study);
    CHECK_CODE(plan, 0);
    CHECK_SAYS(plan.out, ", 0 to do");
}

static void test_run(void)
{
    const Place *p = place();
    run_to_the_end(p->study);
    CHECK_INT(artifact_count(p->work, "backbone"), 2);
    CHECK_INT(artifact_count(p->work, "generator"), 8 + 4);
    CHECK_INT(artifact_count(p->work, "evaluate"), 8 + 4);
    Result verdicts = PROGRAM("plan", p->study, "--halving");
    CHECK_CODE(verdicts, 0);
    CHECK_INT(count_text(verdicts.out, "skipped after rung 1 of 2: semantic.miou.seen "), 2);
    CHECK_INT(count_text(verdicts.out, ", the best 2 of 4 went on from "), 2);
    CHECK_INT(count_text(verdicts.out, "went on to the last rung: semantic.miou.seen "), 2);
    Result jobs = PROGRAM("plan", p->study, "--jobs");
    CHECK_CODE(jobs, 0);
    CHECK_INT(count_text(jobs.out, "  skipped"), 8);
    CHECK_INT(count_text(jobs.out, "  to do"), 0);
    Result again = PROGRAM("run", p->study, "-q");
    CHECK_CODE(again, 0);
    CHECK_INT(artifact_count(p->work, "evaluate"), 12);
}

static void test_report(void)
{
    const Place *p = place();
    Result report = PROGRAM("report", p->study, "--format", "csv", "-m", "semantic.miou.seen");
    CHECK_CODE(report, 0);
    CHECK_INT(count_text(report.out, ",0,0,0,,,0,skipped,1,"), 2);
    CHECK_INT(count_text(report.out, ",full,2,"), 2);
    Result table = PROGRAM("report", p->study);
    CHECK_CODE(table, 0);
    CHECK_SAYS(table.out, "2 of 4 rows were skipped by halving on semantic.miou.seen");
    CHECK(strstr(table.out, "have no result") == NULL);
    Result models = PROGRAM("report", p->study, "--models");
    CHECK_CODE(models, 0);
    CHECK_INT(count_text(models.out, "\n"), 4);
}

/* Rungs leave no trace in what the last one makes. */
static void test_same_bits_as_without(void)
{
    const Place *p = place();
    int shared = 0;
    run_to_the_end(p->plain);
    Artifacts plain = find_artifacts(p->plain_work, "");
    CHECK_INT(plain.count, 1 + 2 + 2 + 8 + 8);
    for (int i = 0; i < plain.count; i++) {
        const char *with = text("%s/artifacts/%s", p->work, path_name(plain.directories[i]));
        if (!is_directory(with)) continue;
        check_same_lines(with, artifact_text(plain.directories[i]), artifact_text(with));
        shared++;
    }
    CHECK_INT(shared, 1 + 2 + 2 + 4 + 4);
}

static void test_why(void)
{
    const Place *p = place();
    Result all = PROGRAM("plan", p->plain, "--why");
    CHECK_CODE(all, 0);
    CHECK_STRING(all.out, "");
    all = PROGRAM("plan", p->plain, "--why", "train.steps=9");
    CHECK_CODE(all, 0);
    CHECK_INT(count_text(all.out, "\n"), 2 + 2 + 8 + 8);
    CHECK_INT(count_text(all.out, "never run; against the nearest finished one, "), 20);
    CHECK_INT(count_text(all.out, "1 difference: train.steps: 8 -> 9\n"), 20);
    const char *key = text("%.10s", strstr(all.out, "evaluate") + strlen("evaluate   "));
    Result one = PROGRAM("plan", p->plain, "--why", key, "train.steps=9", "evaluate.score=0.2");
    CHECK_CODE(one, 4); /* that is another job */
    one = PROGRAM("plan", p->plain, "--why", key, "train.steps=9");
    CHECK_CODE(one, 0);
    CHECK_SAYS(one.out, ", 1 difference\n  train.steps: 8 -> 9\n");
    Result plan = PROGRAM("plan", p->plain, "train.steps=9");
    CHECK_CODE(plan, 0);
    CHECK_SAYS(plan.out, "estimate by earlier jobs: ");
    CHECK_SAYS(plan.out, " on 2 cores here\n");
}

static void test_a_changed_file(void)
{
    const Place *p = place();
    const char *vectors = in_root("plain/data/class_vectors.csv");
    write_text(vectors, text("%s\n", read_text(vectors)));
    Result all = PROGRAM("plan", p->plain, "--why");
    CHECK_CODE(all, 0);
    CHECK_INT(count_text(all.out, "extract "), 2 + 18); /* itself, and named as the cause */
    CHECK_INT(count_text(all.out, ", 1 difference: extract reads other files by data.class_vectors\n"), 18);
    write_text(in_root("plain/data/unseen.txt"), text("%s\n", read_text(in_root("plain/data/unseen.txt"))));
    all = PROGRAM("plan", p->plain, "--why"); /* an empty line names no class */
    CHECK_CODE(all, 0);
    CHECK_INT(count_text(all.out, "shard"), 0);
    edit_file(in_root("plain/data/panoptic_val.json"), "{\"", "{ \"");
    all = PROGRAM("plan", p->plain, "--why");
    CHECK_CODE(all, 0);
    CHECK_INT(count_text(all.out, "shard reads other files by data.val_json"), 21);
    CHECK_INT(count_text(all.out, ", 1 difference: shard reads other files by data.val_json\n"), 1 + 2);
}

static void test_a_check_stops_the_plan(void)
{
    const Place *p = place();
    Result plan = PROGRAM("plan", p->plain, "generator.heads=3");
    CHECK_CODE(plan, 3);
    CHECK_SAYS(plan.err, "generator.rate=0.0001, seed 0: generator.heads: 3 heads do not divide segmenter.dim (32)");
    plan = PROGRAM("run", p->plain, "train.crop=[32, 40]");
    CHECK_CODE(plan, 3);
    CHECK_SAYS(plan.err, "train.crop: 32 x 40");
}

TEST_MAIN(TEST(test_plan_of_the_first_rung), TEST(test_run), TEST(test_report), 
          TEST(test_same_bits_as_without), TEST(test_why), TEST(test_a_changed_file), TEST(test_a_check_stops_the_plan))
