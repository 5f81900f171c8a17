#include "framework/config.h"
#include "framework/memory.h"
#include "tests/test.h"

static Status set_map(Config *config, const char *text)
{
    Yaml *yaml;
    TRY(yaml_parse(text, strlen(text), "dir/demo.yaml", &yaml));
    Status status = config_set_map(config, yaml, "dir/demo.yaml");
    yaml_destroy(yaml);
    return status;
}

static void test_defaults_are_all_valid(void)
{
    Config *config;
    CHECK_OK(config_create(&config));
    CHECK_INT(config_integer(config, "generator.primitives"), 400);
    CHECK_NEAR(config_real(config, "train.rate"), 0.0005, 0);
    CHECK(config_bool(config, "train.flip"));
    CHECK_STRING(config_string(config, "generator.kind"), "primitive");
    CHECK_INT(config_choice(config, "generator.kind"), 2);
    CHECK_INT(config_list_count(config, "segmenter.blocks"), 4);
    CHECK_INT(config_list_count(config, "data.unseen"), 0);
    CHECK_STRING(config_string(config, "data.root"), "");
    config_destroy(config);
}

static void test_schema_is_sound(void)
{
    for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++) {
        CHECK(CONFIG_SCHEMA[i].help != NULL && CONFIG_SCHEMA[i].help[0] != '\0');
        for (int j = 0; j < i; j++) CHECK(strcmp(CONFIG_SCHEMA[i].name, CONFIG_SCHEMA[j].name) != 0);
    }
}

static void test_nested_and_dotted(void)
{
    Config *config;
    CHECK_OK(config_create(&config));
    CHECK_OK(set_map(config, "generator: {primitives: 50, kind: gmmn}\ntrain.steps: 1e3\ntrain:\n  crop: [32, 48]\n"
                             "data: {unseen: [sky, 'a \"b\"'], root: set}\nsegmenter.weights: /abs/w\n"));
    CHECK_INT(config_integer(config, "generator.primitives"), 50);
    CHECK_INT(config_integer(config, "train.steps"), 1000);
    CHECK_INT(config_list_integer(config, "train.crop", 1), 48);
    CHECK_STRING(config_list_string(config, "data.unseen", 1), "a \"b\"");
    CHECK_STRING(config_string(config, "data.root"), "dir/set");
    CHECK_STRING(config_string(config, "segmenter.weights"), "/abs/w");
    CHECK_STRING(config_text(config, "data.unseen"), "[\"sky\", \"a \\\"b\\\"\"]");
    CHECK_OK(config_set(config, "train.rate", "1e-4", "command line"));
    CHECK_STRING(config_text(config, "train.rate"), "0.0001");
    CHECK_OK(config_set(config, "train.rate", "0.00010", "command line"));
    CHECK_STRING(config_text(config, "train.rate"), "0.0001");
    CHECK_OK(config_set(config, "train.scale", "[1, 2.50]", "command line"));
    CHECK_STRING(config_text(config, "train.scale"), "[1, 2.5]");
    CHECK_OK(config_set(config, "data.root", "a: #b", "command line"));
    CHECK_STRING(config_string(config, "data.root"), "a: #b");
    CHECK_OK(config_set(config, "train.flip", "no", "command line"));
    CHECK_STRING(config_text(config, "train.flip"), "false");
    config_destroy(config);
}

static void test_errors_name_key_line_and_range(void)
{
    static const struct { const char *text, *part; } CASES[] = {
        {"\n\ngenerator.primitves: 1", "dir/demo.yaml:3: unknown key 'generator.primitves': did you mean 'generator.primitives'?"},
        {"generatr: {primitives: 1}", "did you mean 'generator.primitives'?"},
        {"primitives: 1", "did you mean 'generator.primitives'?"},
        {"generator: 5", "'generator' is a group of keys"},
        {"generator.primitives: 0", "dir/demo.yaml:1: 'generator.primitives' is 0, but must be between 1 and 100000"},
        {"generator.primitives: 1.5", "'generator.primitives' is '1.5', but must be an integer"},
        {"generator.primitives: many", "must be an integer"},
        {"generator.primitives: \"200\"", "is the text '200', but must be an integer"},
        {"generator.primitives: [1]", "is a list, but must be an integer"},
        {"generator.primitives:", "has no value"},
        {"train.rate: .nan", "must be a number"},
        {"train.rate: nan", "is not finite"},
        {"train.rate: inf", "is not finite"},
        {"train.rate: -1", "between 0 and 10"},
        {"train.flip: 1", "must be true or false"},
        {"generator.kind: gan", "must be one of none, gmmn, primitive"},
        {"train.crop: 64", "must be a list of integers"},
        {"train.crop: [64, 4]", "is 4, but must be between 16 and 4096"},
        {"train.crop: [64, a]", "must be a list of integers"},
        {"data.unseen: [[a]]", "must be a list of texts"},
        {"data.root: {a: b}", "is a map, but must be a path"},
        {"seed: 1e300", "must be an integer"},
        {"- a\n- b", "expected keys and values"}};
    Config *config;
    CHECK_OK(config_create(&config));
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        CHECK_FAILS(set_map(config, CASES[i].text), STATUS_INVALID, CASES[i].part);
    CHECK_FAILS(config_set(config, "sed", "1", "command line"), STATUS_INVALID, "command line: unknown key 'sed': did you mean 'seed'?");
    CHECK_FAILS(config_set(config, "train.crop", "[1", "command line"), STATUS_INVALID, "command line: 'train.crop'");
    config_destroy(config);
}

static Hash128 stage_hash(const Config *config, StageId stage)
{
    Hasher *hasher = hasher_create();
    config_hash_stage(config, stage, hasher);
    Hash128 hash = hasher_result(hasher);
    hasher_destroy(hasher);
    return hash;
}

static void test_hash_is_of_what_the_stage_reads(void)
{
    Config *a, *b;
    CHECK_OK(config_create(&a));
    CHECK_OK(config_copy(a, &b));
    CHECK_OK(config_set(b, "generator.primitives", "7", "test"));
    CHECK_OK(config_set(b, "run.threads", "3", "test"));
    CHECK_OK(config_set(b, "data.root", "/elsewhere", "test"));
    CHECK_INT(config_integer(a, "generator.primitives"), 400); /* the copy is apart */
    CHECK(hash_equal(stage_hash(a, STAGE_BACKBONE), stage_hash(b, STAGE_BACKBONE)));
    CHECK(hash_equal(stage_hash(a, STAGE_SHARD), stage_hash(b, STAGE_SHARD)));
    CHECK(!hash_equal(stage_hash(a, STAGE_GENERATOR), stage_hash(b, STAGE_GENERATOR)));
    CHECK_OK(config_set(b, "generator.primitives", "400.0", "test"));
    CHECK(hash_equal(stage_hash(a, STAGE_GENERATOR), stage_hash(b, STAGE_GENERATOR)));
    config_destroy(a);
    config_destroy(b);
}

static void test_json_round_trip(void)
{
    Config *a, *b;
    CHECK_OK(config_create(&a));
    CHECK_OK(config_create(&b));
    CHECK_OK(set_map(a, "data.unseen: [\"x\\ty\", 'null', \"\"]\ntrain.rate: 0.123456789012345678\ndata.train_json: 'null'\n"
                        "data.val_json: '[a, b]'\ngenerator.sigmas: [1, 1e-5]\ntrain.flip: no\nseed: 4294967295\n"));
    JsonWriter writer = {0};
    config_write_json(a, STAGE_COUNT, &writer);
    Json *json;
    CHECK_OK(json_parse(writer.text.data, writer.text.length, "spec", &json));
    CHECK_OK(config_read_json(b, json, "spec"));
    for (int i = 0; i < CONFIG_SCHEMA_COUNT; i++)
        CHECK_STRING(config_text(b, CONFIG_SCHEMA[i].name), config_text(a, CONFIG_SCHEMA[i].name));
    CHECK_STRING(config_list_string(b, "data.unseen", 0), "x\ty");
    CHECK_STRING(config_string(b, "data.train_json"), "null");
    json_destroy(json);
    text_free(&writer.text);
    config_destroy(a);
    config_destroy(b);
}

static void test_any_failed_allocation(void)
{
    for (int64_t n = 0;; n++) {
        Config *config = NULL, *copy = NULL;
        memory_fail_after(n);
        Status status = config_create(&config);
        if (status == OK) status = config_copy(config, &copy);
        if (status == OK) status = set_map(copy, "data.unseen: [a, b]\ntrain.crop: [64, 64]\ndata.root: x\n");
        memory_fail_after(-1);
        bool done = status == OK;
        if (!done) CHECK_INT(status_code(status), STATUS_NO_MEMORY);
        status_free(status);
        config_destroy(copy);
        config_destroy(config);
        if (done) break;
        CHECK(n < 5000);
    }
}

static void test_print_schema(void)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    CHECK(config_print_schema(out, NULL));
    CHECK(config_print_schema(out, "generator"));
    CHECK(config_print_schema(out, "generator.kind"));
    CHECK(!config_print_schema(out, "gen"));
    fclose(out);
    CHECK(strstr(text, "none|gmmn|primitive") != NULL);
    free(text);
}

TEST_MAIN(TEST(test_defaults_are_all_valid), TEST(test_schema_is_sound), TEST(test_nested_and_dotted),
          TEST(test_errors_name_key_line_and_range), TEST(test_hash_is_of_what_the_stage_reads),
          TEST(test_json_round_trip), TEST(test_any_failed_allocation), TEST(test_print_schema))
