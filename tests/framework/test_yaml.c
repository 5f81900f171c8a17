#include "framework/memory.h"
#include "framework/text.h"
#include "framework/yaml.h"
#include "tests/test.h"

static Status parse(const char *text, Yaml **out)
{
    return yaml_parse(text, strlen(text), "demo.yaml", out);
}

static void test_tree_and_lines(void)
{
    Yaml *yaml;
    CHECK_OK(parse("a: 1\nb:\n  c: [x, 'no', \"q\"]\n  d: {e: 2}\n", &yaml));
    CHECK_INT(yaml->type, YAML_MAP);
    CHECK_INT(yaml->count, 2);
    CHECK_STRING(yaml_member(yaml, "a")->scalar, "1");
    const Yaml *list = yaml_member(yaml_member(yaml, "b"), "c");
    CHECK_INT(list->line, 3);
    CHECK_INT(list->count, 3);
    CHECK(!list->items[0].quoted);
    CHECK(list->items[1].quoted);
    CHECK_STRING(yaml_member(yaml_member(yaml_member(yaml, "b"), "d"), "e")->scalar, "2");
    CHECK(yaml_member(yaml, "z") == NULL);
    CHECK(yaml_member(list, "a") == NULL);
    CHECK(yaml_member(NULL, "a") == NULL);
    yaml_destroy(yaml);
    yaml_destroy(NULL);
}

static void test_many_items(void)
{
    Text text = {0};
    for (int i = 0; i < 1000; i++) text_format(&text, "k%d: [%d, %d]\n", i, i, i + 1);
    Yaml *yaml;
    CHECK_OK(parse(text_string(&text), &yaml));
    CHECK_INT(yaml->count, 1000);
    CHECK_STRING(yaml_member(yaml, "k999")->items[1].scalar, "1000");
    yaml_destroy(yaml);
    text_free(&text);
}

static void test_refused(void)
{
    static const struct { const char *text, *part; } CASES[] = {
        {"", "demo.yaml: the file is empty"},
        {"# only a comment\n", "the file is empty"},
        {"a: 1\na: 2\n", "demo.yaml:2: key 'a' appears twice (first on line 1)"},
        {"a: &x [1]\nb: *x\n", "demo.yaml:2: aliases (*x)"},
        {"a: [1, 2\n", "demo.yaml:2: not YAML"},
        {"a: 'open\n", "not YAML"},
        {"a:\n\t- 1\n", "demo.yaml:2: not YAML"},
        {"a: 1\n---\nb: 2\n", "a second document begins here"},
        {"{[1]: 2}\n", "a key must be plain text"},
        {"a: \"x\\0y\"\n", "demo.yaml:1: text holds a NUL byte"},
        {"a: b: c\n", "demo.yaml:1: not YAML"},
        {"\xff\xfe\xff", "not YAML"},
        {"a: \x80\n", "not YAML"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        Yaml *yaml;
        CHECK_FAILS(parse(CASES[i].text, &yaml), STATUS_INVALID, CASES[i].part);
        CHECK(yaml == NULL);
    }
}

static void test_depth(void)
{
    Text text = {0};
    for (int i = 0; i < 100; i++) text_append(&text, "[");
    for (int i = 0; i < 100; i++) text_append(&text, "]");
    Yaml *yaml;
    CHECK_FAILS(parse(text_string(&text), &yaml), STATUS_INVALID, "nested more than 64 deep");
    text_free(&text);
}

static void test_any_failed_allocation(void)
{
    for (int64_t n = 0;; n++) {
        Yaml *yaml;
        memory_fail_after(n);
        Status status = parse("a: [1, {b: c}]\nd: e\n", &yaml);
        memory_fail_after(-1);
        bool done = status == OK;
        if (!done) CHECK_INT(status_code(status), STATUS_NO_MEMORY);
        status_free(status);
        yaml_destroy(yaml);
        if (done) break;
        CHECK(n < 100);
    }
}

static void test_absent_file(void)
{
    Yaml *yaml;
    CHECK_FAILS(yaml_read_file("/nonexistent/study.yaml", &yaml), STATUS_NOT_FOUND, "/nonexistent/study.yaml");
}

TEST_MAIN(TEST(test_tree_and_lines), TEST(test_many_items), TEST(test_refused), TEST(test_depth),
          TEST(test_any_failed_allocation), TEST(test_absent_file))
