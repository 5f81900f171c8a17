#include "framework/files.h"
#include "jobs/study.h"
#include "tests/test.h"

#include "tests/jobs/fake_stages.h"

static char *directory;

static Status read_study_with(const char *text, char *const *overrides, int count, Study **study)
{
    if (directory == NULL) directory = fake_directory();
    fake_write(directory, "demo.yaml", text);
    char *path = path_join(directory, "demo.yaml");
    Status status = study_read(path, overrides, count, study);
    memory_free(path);
    return status;
}

static Status read_study(const char *text, Study **study)
{
    return read_study_with(text, NULL, 0, study);
}

static void test_base_only(void)
{
    Study *study;
    CHECK_OK(read_study("config: {generator.primitives: 5, seed: 3, data.root: set}\nwork: w\n", &study));
    CHECK_STRING(study->name, "demo");
    CHECK_INT(study->trial_count, 1);
    CHECK_INT(study->trials[0].seed, 3);
    CHECK_STRING(study->trials[0].group, "demo");
    CHECK_INT(config_integer(study->trials[0].config, "generator.primitives"), 5);
    char *root = path_join(directory, "set"), *work = path_join(directory, "w");
    CHECK_STRING(config_string(study->trials[0].config, "data.root"), root);
    CHECK_STRING(study->work, work);
    memory_free(root);
    memory_free(work);
    study_destroy(study);
    study_destroy(NULL);
}

static void test_grid_and_variants(void)
{
    Study *study;
    CHECK_OK(read_study("variants:\n  vanilla: {generator.kind: gmmn}\n  full:\n"
                        "sweep:\n  generator.layers: {range: [1, 4]}\n  seed: [0, 1]\n", &study));
    CHECK_INT(study->trial_count, 2 * 3 * 2);
    CHECK_INT(study->variant_count, 2);
    CHECK_INT(study->axis_count, 2);
    CHECK_STRING(study->axes[0], "generator.layers");
    const Trial *trial = &study->trials[3]; /* layers 2, seed 1 of vanilla: the last axis runs fastest */
    CHECK_STRING(trial->variant, "vanilla");
    CHECK_INT(trial->value_count, 2);
    CHECK_STRING(trial->values[0].text, "2");
    CHECK_INT(trial->seed, 1);
    CHECK_STRING(trial->group, "vanilla, generator.layers=2");
    CHECK_STRING(config_string(trial->config, "generator.kind"), "gmmn");
    CHECK_STRING(config_string(study->trials[6].config, "generator.kind"), "primitive");
    study_destroy(study);
}

static void test_notations(void)
{
    Study *study;
    CHECK_OK(read_study("sweep:\n  seed: {range: [0, 10, 5]}\n  train.rate: {logspace: [1e-4, 1e-2, 3]}\n"
                        "  generator.dropout: {linspace: [0, 0.5, 2]}\n", &study));
    CHECK_INT(study->trial_count, 2 * 3 * 2);
    CHECK_STRING(study->trials[0].values[1].text, "0.0001");
    CHECK_STRING(study->trials[2].values[1].text, "0.001");
    CHECK_STRING(study->trials[5].values[1].text, "0.01");
    CHECK_STRING(study->trials[5].values[2].text, "0.5");
    CHECK_STRING(study->trials[6].values[0].text, "5");
    study_destroy(study);
    CHECK_OK(read_study("sweep:\n  zip:\n    train.steps: [10, 20]\n    seed: {range: [3, 5]}\n"
                        "  points:\n    - {generator.noise: false}\n    - {generator.layers: 1, generator.noise: true}\n",
                        &study));
    CHECK_INT(study->trial_count, 4);
    CHECK_INT(study->trials[3].seed, 4);
    CHECK_INT(study->trials[3].value_count, 4);
    CHECK_STRING(study->trials[0].group, "train.steps=10, generator.noise=false");
    study_destroy(study);
}

static void test_random_is_reproducible_and_keyed(void)
{
    static const char TEXT[] = "sweep:\n  random:\n    count: 50\n    seed: 4\n    keys:\n"
                               "      train.rate: {log_uniform: [1e-4, 1e-2]}\n      generator.layers: {uniform: [1, 3]}\n";
    Study *a, *b;
    CHECK_OK(read_study(TEXT, &a));
    char longer[400];
    snprintf(longer, sizeof longer, "%s      generator.rows: {choice: [32, 64]}\n", TEXT);
    CHECK_OK(read_study(longer, &b));
    CHECK_INT(a->trial_count, 50);
    int layers[4] = {0};
    for (size_t i = 0; i < 50; i++) {
        CHECK_STRING(b->trials[i].values[0].text, a->trials[i].values[0].text); /* another key changes no draw */
        double rate = config_real(a->trials[i].config, "train.rate");
        CHECK(rate >= 1e-4 && rate <= 1e-2);
        layers[config_integer(a->trials[i].config, "generator.layers")]++;
    }
    CHECK(layers[1] > 5 && layers[2] > 5 && layers[3] > 5);
    study_destroy(a);
    study_destroy(b);
}

static void test_conditions_and_exclusions(void)
{
    Study *study;
    CHECK_OK(read_study("variants:\n  none: {generator.kind: none}\n  gmmn: {generator.kind: gmmn}\n  full: {}\n"
                        "sweep:\n"
                        "  generator.primitives: {values: [50, 100], when: {generator.kind: primitive}}\n"
                        "  seed: [0, 1]\n"
                        "exclude:\n  - {generator.kind: [none, gmmn], seed: 1}\n", &study));
    CHECK_INT(study->trial_count, 1 + 1 + 4);
    CHECK_INT(study->excluded, 2);
    CHECK_INT(study->trials[0].value_count, 1);
    CHECK_STRING(study->trials[0].group, "none");
    CHECK_STRING(study->trials[2].group, "full, generator.primitives=50");
    study_destroy(study);
}

/* All groups of a study, for tests that compare them at one glance. */
static const char *groups_of(const Study *study)
{
    static char text[2000];
    text[0] = '\0';
    for (size_t i = 0; i < study->group_count; i++) {
        if (i > 0) strcat(text, " | ");
        strcat(text, study->groups[i]);
    }
    return text;
}

static void check_groups(const char *yaml, const char *groups)
{
    Study *study;
    CHECK_OK(read_study(yaml, &study));
    CHECK_STRING(groups_of(study), groups);
    study_destroy(study);
}

static void test_conditions_everywhere(void)
{
    check_groups("variants: {a: {}, b: {generator.kind: gmmn}, c: {generator.kind: none}}\n"
                 "sweep:\n"
                 "  zip: {generator.layers: [1, 2], generator.rows: [3, 4], when: {variant: a}}\n"
                 "  points: {values: [{generator.noise: false}, {generator.dropout: 0}], when: {generator.kind: gmmn}}\n",
                 "a, generator.layers=1, generator.rows=3 | a, generator.layers=2, generator.rows=4 | "
                 "b, generator.noise=false | b, generator.dropout=0 | c");
    check_groups("variants: {a: {}, b: {generator.kind: gmmn}}\n"
                 "sweep:\n"
                 "  random: {count: 1, keys: {generator.rows: [7]}, when: {variant: {not: b}}}\n"
                 "  generator.layers: {values: [1], when: {variant: [b]}}\n",
                 "a, generator.rows=7 | b, generator.layers=1");
    check_groups("sweep:\n"
                 "  points:\n"
                 "    - {values: [{generator.layers: 1}], when: {generator.kind: {not: [none, gmmn]}}}\n"
                 "    - {values: [{generator.layers: 2}], when: {generator.kind: [none, gmmn]}}\n"
                 "  generator.kind: [gmmn, primitive]\n",
                 "generator.kind=gmmn, generator.layers=2 | generator.kind=primitive, generator.layers=1");
}

/* A condition sees what other conditional axes set, wherever they stand. */
static void test_conditions_on_conditional_axes(void)
{
    check_groups("sweep:\n"
                 "  generator.rows: {values: [5, 6], when: {generator.layers: 2}}\n"
                 "  generator.layers: {values: [1, 2], when: {generator.kind: primitive}}\n"
                 "  generator.kind: [gmmn, primitive]\n",
                 "generator.kind=gmmn | generator.kind=primitive, generator.layers=1 | "
                 "generator.kind=primitive, generator.layers=2, generator.rows=5 | "
                 "generator.kind=primitive, generator.layers=2, generator.rows=6");
}

static void test_exclusions_by_variant(void)
{
    Study *study;
    CHECK_OK(read_study("variants: {a: {}, b: {}}\nsweep: {seed: [0, 1, 2]}\n"
                        "exclude: [{variant: a, seed: 2}, {variant: {not: a}, seed: [0, 1]}]\n", &study));
    CHECK_INT(study->trial_count, 3);
    CHECK_INT(study->excluded, 3);
    CHECK_STRING(study->trials[2].variant, "b");
    CHECK_INT(study->trials[2].seed, 2);
    study_destroy(study);
}

static void test_nested_groups(void)
{
    check_groups("variants: {a: {generator: {noise: false}}}\n"
                 "sweep:\n"
                 "  generator: {layers: {range: [1, 4], when: {train: {batch: 8}}}, rows: [5]}\n"
                 "  zip: {segmenter: {heads: [2, 4], ffn: [8, 16]}}\n"
                 "exclude: [{generator: {layers: 2}}, {segmenter: {heads: 2}}]\n",
                 "a, generator.rows=5, segmenter.heads=4, segmenter.ffn=16, generator.layers=1 | "
                 "a, generator.rows=5, segmenter.heads=4, segmenter.ffn=16, generator.layers=3");
}

static void test_ranges(void)
{
    check_groups("sweep: {generator.dropout: {range: [0, 0.3, 0.1]}}",
                 "generator.dropout=0 | generator.dropout=0.1 | generator.dropout=0.2");
    check_groups("sweep: {generator.layers: {range: [3, 0, -1]}}",
                 "generator.layers=3 | generator.layers=2 | generator.layers=1");
    check_groups("sweep: {generator.steps: {range: 2}}", "generator.steps=0 | generator.steps=1");
    check_groups("sweep: {generator.rate: {log_range: [1e-4, 1e-2, 3]}}",
                 "generator.rate=0.0001 | generator.rate=0.001 | generator.rate=0.01");
    check_groups("sweep: {segmenter.blocks: [[1], [1, 2]]}\nexclude: [{segmenter.blocks: [1]}]",
                 "segmenter.blocks=[1, 2]");
}

/* Resources may follow a size; rows of a report do not tell them. */
static void test_resources_beside_an_axis(void)
{
    Study *study;
    CHECK_OK(read_study("sweep: {zip: {run.generator.memory: [1G, 2G], generator.primitives: [50, 100]}}", &study));
    CHECK_INT(study->trial_count, 2);
    CHECK_INT(study->axis_count, 1);
    CHECK_STRING(study->trials[1].group, "generator.primitives=100");
    CHECK_NEAR(config_real(study->trials[1].config, "run.generator.memory"), 2147483648.0, 0);
    study_destroy(study);
}

static void test_halving(void)
{
    Study *study;
    CHECK_OK(read_study("variants: {a: {}, b: {generator.steps: 2}}\nconfig: {generator.steps: 100}\nsweep: {seed: [0, 1]}\n"
                        "halving: {metric: pq, key: generator.steps, factor: 3, rungs: 3}\n", &study));
    CHECK_INT(study->full_count, 4);
    CHECK_INT(study->trial_count, 12);
    CHECK_INT(study->group_count, 2);
    CHECK(study->halving.maximize);
    static const int64_t STEPS[3][2] = {{11, 1}, {33, 1}, {100, 2}};
    for (int rung = 0; rung < 3; rung++)
        for (size_t full = 0; full < 4; full++) {
            const Trial *trial = &study->trials[study_rung_trial(study, full, rung)];
            CHECK_INT(trial->rung, rung);
            CHECK_INT(trial->full, full);
            CHECK_INT(trial->seed, full % 2);
            CHECK_INT(config_integer(trial->config, "generator.steps"), STEPS[rung][full / 2]);
        }
    CHECK_STRING(study->trials[4].group, "a, rung 1 of 3");
    CHECK_STRING(study->trials[4].values[1].key, "generator.steps");
    CHECK_STRING(study->trials[4].values[1].text, "11");
    CHECK_INT(study->trials[0].value_count, 1);
    study_destroy(study);
    /* A swept budget is cut where it stands. */
    CHECK_OK(read_study("sweep: {train.steps: [10, 20]}\nhalving: {metric: loss, key: train.steps, factor: 2, rungs: 2, "
                        "maximize: false}\n", &study));
    CHECK_INT(study->trial_count, 4);
    CHECK(!study->halving.maximize);
    CHECK_INT(study->trials[3].value_count, 1);
    CHECK_STRING(study->trials[3].values[0].text, "10");
    study_destroy(study);
}

static void test_duplicates_collapse(void)
{
    Study *study;
    CHECK_OK(read_study("sweep:\n  seed: [0, 1, 0]\n  generator.dropout: [0.1, 0.10]\n", &study));
    CHECK_INT(study->trial_count, 2);
    CHECK_INT(study->duplicates, 4);
    study_destroy(study);
}

static void test_command_line_wins(void)
{
    char *overrides[] = {(char *)"seed=7", (char *)"generator.kind=gmmn", (char *)"data.root=here"};
    Study *study;
    CHECK_OK(read_study_with("config: {data.root: there}\nvariants: {a: {generator.kind: none}, b: {}}\n"
                             "sweep: {seed: {range: [0, 100]}, zip: {generator.layers: [1, 2], generator.kind: [none, none]}}\n",
                             overrides, 3, &study));
    CHECK_INT(study->trial_count, 4);
    CHECK_INT(study->duplicates, 0);
    CHECK_INT(study->axis_count, 1);
    for (size_t i = 0; i < 4; i++) {
        CHECK_INT(study->trials[i].seed, 7);
        CHECK_STRING(config_string(study->trials[i].config, "generator.kind"), "gmmn");
        CHECK_STRING(config_string(study->trials[i].config, "data.root"), "here");
    }
    study_destroy(study);
    overrides[0] = (char *)"sed=7";
    CHECK_FAILS(read_study_with("{}", overrides, 1, &study), STATUS_INVALID, "command line: unknown key 'sed'");
}

static void test_group_by(void)
{
    Study *study;
    CHECK_OK(read_study("variants: {a: {}, b: {generator.kind: gmmn}}\nsweep: {generator.layers: [1, 2], seed: [0]}\n"
                        "report: {metrics: [pq, miou], group_by: [variant, generator.kind]}\n", &study));
    CHECK_STRING(study->trials[1].group, "a, generator.kind=primitive");
    CHECK_INT(study->metric_count, 2);
    CHECK_STRING(study->metrics[1], "miou");
    study_destroy(study);
}

static void test_refused(void)
{
    static const struct { const char *text, *part; } CASES[] = {
        {"[a]", "demo.yaml:1: a study is a map"},
        {"confg: {}", "unknown 'confg' in a study: did you mean 'config'?"},
        {"seed: 1", "'seed' is a config key, and belongs below 'config:'"},
        {"name: a/b", "demo.yaml:1: a name is of letters"},
        {"name: ..", "a name is of letters"},
        {"variants: [a]", "variants is a map"},
        {"variants: {a: {sed: 1}}", "unknown key 'sed'"},
        {"variants: {a: 3}", "expected keys and values"},
        {"sweep: [a]", "sweep is a map"},
        {"sweep: {seed: 3}", "an axis is a list"},
        {"sweep: {seed: []}", "an axis is a list"},
        {"sweep:\n  seed: [0, x]", "demo.yaml:2: 'seed' is 'x', but must be an integer"},
        {"sweep: {sed: [0]}", "unknown key 'sed': did you mean 'seed'?"},
        {"sweep: {seed: {rang: [0, 1]}}", "unknown axis notation 'rang'"},
        {"sweep: {seed: {range: [3, 3]}}", "the range is empty"},
        {"sweep: {seed: {range: [0, 1, 0]}}", "a range's step is not 0"},
        {"sweep: {seed: {range: [0]}}", "expected a list of"},
        {"sweep: {seed: {range: [0, 1], values: [2]}}", "an axis has one of"},
        {"sweep: {train.rate: {logspace: [0, 1, 3]}}", "above 0"},
        {"sweep: {train.rate: {linspace: [0, 1, 0]}}", "is a count"},
        {"sweep: {zip: {seed: [1, 2], train.steps: [1]}}", "'train.steps' has 1 values where 'seed' has 2"},
        {"sweep: {points: [seed]}", "a point is a map"},
        {"sweep: {random: {count: 3}}", "random wants keys"},
        {"sweep: {random: {count: 0, keys: {seed: {choice: [1]}}}}", "random wants a count"},
        {"sweep: {random: {cout: 1, keys: {seed: {choice: [1]}}}}", "unknown 'cout' in random"},
        {"sweep: {random: {count: 1, keys: {seed: {normal: [1, 2]}}}}", "unknown distribution 'normal'"},
        {"sweep: {random: {count: 1, keys: {seed: {uniform: [2, 1]}}}}", "low <= high"},
        {"sweep: {seed: {values: [1], when: {generator.knd: a}}}", "unknown key 'generator.knd'"},
        {"exclude: [{seed: 0}]", "every trial is excluded"},
        {"exclude: {seed: 0}", "exclude is a list"},
        {"report: {metric: [a]}", "unknown 'metric' in report: did you mean 'metrics'?"},
        {"report: {group_by: [varant]}", "unknown key 'varant'"},
        {"sweep: {variant: [a]}", "all variants run"},
        {"sweep:\n  exclude: [{seed: 1}]", "demo.yaml:2: 'exclude' stands beside 'sweep:', not below it"},
        {"sweep: {seed: {values: [1], if: {train.batch: 8}}}", "unknown axis notation 'if'"},
        {"sweep: {generator: {layrs: [1]}}", "unknown key 'generator.layrs': did you mean 'generator.layers'?"},
        {"sweep:\n  run.threads: [1, 2]", "demo.yaml:2: no stage reads 'run.threads', so trials that differ in it alone"},
        {"sweep:\n  seed: [1]\n  zip:\n    seed: [1]\n    train.steps: [2]",
         "demo.yaml:4: 'seed' is swept by the axis of line 2 already"},
        {"variants:\n  a: {generator.layers: 1}\nsweep:\n  generator.layers: [2]",
         "demo.yaml:2: variant 'a' sets 'generator.layers', which the axis of line 4 sets in every trial"},
        {"sweep:\n  generator.rows: {values: [2], when: {generator.layers: 2}}\n"
         "  generator.layers: {values: [2], when: {generator.rows: 2}}",
         "demo.yaml:2: the conditions of this axis and of another depend on each other"},
        {"sweep: {seed: {values: [1], when: {variant: a}}}", "the condition names a variant, and this study has none"},
        {"variants: {full: {}}\nexclude: [{variant: ful}]", "demo.yaml:2: no variant 'ful': did you mean 'full'?"},
        {"sweep: {points: [{seed: 1, when: {train.batch: 8}}]}", "a condition holds for all points of a list"},
        {"sweep: {points: {when: {train.batch: 8}}}", "points is a list of maps of keys, or {values"},
        {"sweep: {zip: {seed: {values: [1], when: {train.batch: 8}}}}", "put 'when' beside them"},
        {"sweep: {seed: {range: [0, 1.5]}}", "a range of this key is of integers"},
        {"sweep: {train.rate: {uniform: [0, 1]}}", "'uniform' draws at random: write random:"},
        {"exclude: [{seed: []}]", "an empty list matches nothing"},
        {"halving: 3", "halving is a map"},
        {"halving: {key: train.steps}", "halving wants a metric"},
        {"halving: {metric: pq}", "halving wants a key"},
        {"halving: {metric: pq, key: train.step}", "unknown key 'train.step': did you mean 'train.steps'?"},
        {"halving: {metric: pq, key: train.rate}", "'train.rate' is no budget"},
        {"halving: {metric: pq, key: seed}", "'seed' is no budget"},
        {"halving: {metric: pq, key: train.steps, factor: 1}", "factor is an integer between 2 and"},
        {"halving: {metric: pq, key: train.steps, rung: 2}", "did you mean 'rungs'?"},
        {"config: {seed: 1}\nsweep:\n  train.steps: [-1]", "demo.yaml:3: 'train.steps' is -1, but must be between 0 and"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        Study *study;
        CHECK_FAILS(read_study(CASES[i].text, &study), STATUS_INVALID, CASES[i].part);
        CHECK(study == NULL);
    }
}

static void test_any_failed_allocation(void)
{
    for (int64_t n = 0;; n += 1 + n / 200) { /* the more of it is making equal trials, the fewer are tried */
        Study *study;
        if (directory == NULL) directory = fake_directory();
        fake_write(directory, "demo.yaml", "variants: {a: {}, b: {}}\n"
                   "sweep: {seed: [0, 1], zip: {train.steps: [1, 2], when: {variant: [a]}}, train: {batch: {range: [1, 3]}}}\n"
                   "exclude: [{variant: {not: a}, seed: 1}]\n"
                   "halving: {metric: pq, key: train.steps, factor: 2, rungs: 2}\n");
        char *path = path_join(directory, "demo.yaml");
        memory_fail_after(n);
        Status status = study_read(path, NULL, 0, &study);
        memory_fail_after(-1);
        memory_free(path);
        bool done = status == OK;
        if (!done) CHECK_INT(status_code(status), STATUS_NO_MEMORY);
        status_free(status);
        study_destroy(study);
        if (done) break;
        CHECK(n < 20000);
    }
}

static void test_clean_up(void)
{
    if (directory != NULL) CHECK_OK(directory_remove(directory));
    memory_free(directory);
    directory = NULL;
}

TEST_MAIN(TEST(test_base_only), TEST(test_grid_and_variants), TEST(test_notations),
          TEST(test_random_is_reproducible_and_keyed), TEST(test_conditions_and_exclusions),
          TEST(test_conditions_everywhere),
          TEST(test_conditions_on_conditional_axes), TEST(test_exclusions_by_variant), TEST(test_nested_groups),
          TEST(test_ranges), TEST(test_resources_beside_an_axis), TEST(test_halving), TEST(test_duplicates_collapse), TEST(test_command_line_wins), TEST(test_group_by), TEST(test_refused),
          TEST(test_any_failed_allocation), TEST(test_clean_up))
