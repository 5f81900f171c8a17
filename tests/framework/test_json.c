#include "framework/json.h"

#include "framework/files.h"
#include "framework/memory.h"
#include "tests/test.h"

static const char SAMPLE[] =
    "{\"images\": [{\"id\": 9, \"file\": \"a\\u00e9\\ud83d\\ude00\\n.png\", \"size\": [640, 480.5, -1e-3]},\n"
    " {\"id\": 12345678901, \"caption\": \"caf\xc3\xa9\", \"crowd\": false, \"none\": null, \"empty\": {}, \"list\": []}],\n"
    " \"done\": true}";

static Status parse(const char *text, Json **json) { return json_parse(text, strlen(text), "doc", json); }

static void test_tree(void)
{
    Json *json;
    CHECK_OK(parse(SAMPLE, &json));
    CHECK_INT(json->type, JSON_OBJECT);
    CHECK_INT(json->count, 2);
    CHECK_STRING(json->keys[1], "done");
    const Json *images = json_member(json, "images");
    CHECK(images != NULL && images->type == JSON_ARRAY && images->count == 2);
    const Json *first = &images->items[0], *second = &images->items[1];
    CHECK_STRING(json_member(first, "file")->string, "a\xc3\xa9\xf0\x9f\x98\x80\n.png");
    const Json *size = json_member(first, "size");
    CHECK_INT(size->items[0].integer, 640);
    CHECK(size->items[0].real == 640.0);
    CHECK_INT(size->items[1].type, JSON_REAL);
    CHECK_INT(size->items[1].integer, 480);
    CHECK(size->items[2].real == -1e-3);
    CHECK_INT(json_member(second, "id")->integer, 12345678901);
    CHECK(json_member(second, "crowd")->type == JSON_BOOL && !json_member(second, "crowd")->boolean);
    CHECK_INT(json_member(second, "none")->type, JSON_NULL);
    CHECK_INT(json_member(second, "empty")->count, 0);
    CHECK(json_member(json, "absent") == NULL);
    CHECK(json_member(images, "id") == NULL);
    CHECK(json_member(NULL, "id") == NULL);
    json_destroy(json);
    json_destroy(NULL);
}

static void test_scalars(void)
{
    Json *json;
    CHECK_OK(parse(" 42 ", &json));
    CHECK_INT(json->integer, 42);
    json_destroy(json);
    CHECK_OK(parse("\"\"", &json));
    CHECK_STRING(json->string, "");
    json_destroy(json);
    CHECK_OK(parse("[9223372036854775807, -9223372036854775808, 9223372036854775808, 123456789012345678901234567890]",
                   &json));
    CHECK(json->items[0].type == JSON_INTEGER && json->items[0].integer == INT64_MAX);
    CHECK(json->items[1].type == JSON_INTEGER && json->items[1].integer == INT64_MIN);
    CHECK(json->items[2].type == JSON_REAL && json->items[2].real == 0x1p63 && json->items[2].integer == INT64_MAX);
    CHECK(json->items[3].type == JSON_REAL && json->items[3].real == 123456789012345678901234567890.0);
    json_destroy(json);
}

static void test_malformed(void)
{
    static const char *const bad[] = {
        "", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "[1 2]", "nul", "[1] x", "[1][2]", "1 2", "\"a", "[\"\\x\"]",
        "[\"\\u12\"]", "[01]", "[1.]", "[.5]", "[+1]", "[1e]", "[NaN]", "[Infinity]", "[1e999]", "[-1e999]", "'a'",
        "[\"\x01\"]", "{\"a\" 1}", "{1: 2}", "]", "}", "[}", "// x\n1", "/* x */ 1", "\xef\xbb\xbf",
        "[\"\\u0000\"]", /* cannot be kept in a C string */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Json *json = NULL;
        Status status = parse(bad[i], &json);
        if (status == OK) TEST_FAIL("taken for JSON: %s", bad[i]);
        CHECK(json == NULL);
        CHECK_INT(status_code(status), STATUS_INVALID);
        CHECK(strncmp(status_message(status), "doc: ", 5) == 0);
        status_free(status);
    }
    Json *json;
    CHECK_FAILS(parse("[1, x]", &json), STATUS_INVALID, "doc: JSON error at byte ");
    CHECK_FAILS(json_parse("[1]\0", 4, "doc", &json), STATUS_INVALID, "doc");
}

static void test_invalid_utf8(void)
{
    static const char *const bad[] = {
        "\x80", "\xff", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe2\x82", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf0\x9f\x98", "\xc3(",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[64];
        Json *json;
        snprintf(text, sizeof text, "[\"%s\"]", bad[i]);
        CHECK_FAILS(parse(text, &json), STATUS_INVALID, "doc");
        snprintf(text, sizeof text, "{\"%s\": 1}", bad[i]);
        CHECK_FAILS(parse(text, &json), STATUS_INVALID, "doc");
        snprintf(text, sizeof text, "[1, %s]", bad[i]);
        CHECK_FAILS(parse(text, &json), STATUS_INVALID, "doc");
    }
    Json *json;
    CHECK_OK(parse("[\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"]",
                   &json));
    json_destroy(json);
}

/* Halves of surrogate pairs: whatever becomes of them, no crash, valid text. */
static void test_surrogates(void)
{
    static const char *const odd[] = {"\\ud83d", "\\ud83dx", "\\ud83d\\n", "\\ud83d\\ud83d", "\\ude00", "\\ud83d\\u0041"};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        char text[64];
        Json *json = NULL;
        snprintf(text, sizeof text, "[\"%s\"]", odd[i]);
        status_free(parse(text, &json));
        json_destroy(json);
    }
}

static void test_cut_everywhere(void)
{
    for (size_t cut = 0; cut < sizeof SAMPLE - 1; cut++) {
        char *copy = malloc(cut + 1); /* of just that size, so that reading past it is seen */
        memcpy(copy, SAMPLE, cut);
        Json *json = NULL;
        CHECK_FAILS(json_parse(copy, cut, "doc", &json), STATUS_INVALID, "doc: JSON error at byte");
        CHECK(json == NULL);
        free(copy);
    }
}

/* One byte changed to each of some awkward ones: a Status or a tree. */
static void test_changed_everywhere(void)
{
    static const char AWKWARD[] = "{}[]\",:\\\x00\x80\xff" "e-0n ";
    char *copy = malloc(sizeof SAMPLE - 1);
    for (size_t i = 0; i < sizeof SAMPLE - 1; i++) {
        for (size_t a = 0; a < sizeof AWKWARD - 1; a++) {
            memcpy(copy, SAMPLE, sizeof SAMPLE - 1);
            copy[i] = AWKWARD[a];
            Json *json = NULL;
            Status status = json_parse(copy, sizeof SAMPLE - 1, "doc", &json);
            CHECK((status == OK) == (json != NULL));
            status_free(status);
            json_destroy(json);
        }
    }
    free(copy);
}

static void test_depth(void)
{
    char text[100001];
    Json *json;
    for (int depth = 199; depth <= 202; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        Status status = json_parse(text, (size_t)depth * 2, "doc", &json);
        if (depth <= 200) {
            CHECK_OK(status);
            json_destroy(json);
        } else {
            CHECK_FAILS(status, STATUS_INVALID, "nested more than 200 deep");
        }
    }
    memset(text, '[', sizeof text);
    CHECK_FAILS(json_parse(text, sizeof text, "doc", &json), STATUS_INVALID, "deep");
    for (size_t i = 0; i + 5 <= sizeof text; i += 5) memcpy(text + i, "{\"a\":", 5);
    CHECK_FAILS(json_parse(text, 100000, "doc", &json), STATUS_INVALID, "deep");
}

static void test_allocation_failures(void)
{
    Status status = OK;
    int64_t point = 0;
    for (; point < 1000; point++) {
        Json *json = NULL;
        memory_fail_after(point);
        status = json_parse(SAMPLE, sizeof SAMPLE - 1, "doc", &json);
        memory_fail_after(-1);
        if (status == OK) {
            json_destroy(json);
            break;
        }
        CHECK(json == NULL);
        CHECK_FAILS(status, STATUS_NO_MEMORY, "no memory");
    }
    CHECK(status == OK && point > 20);
}

static void test_get(void)
{
    Json *json;
    const char *string;
    int64_t integer;
    double real;
    CHECK_OK(parse("{\"s\": \"x\", \"i\": 3, \"r\": 2.5, \"w\": 4.0, \"b\": true}", &json));
    CHECK_OK(json_get_string(json, "s", "doc", &string));
    CHECK_STRING(string, "x");
    CHECK_OK(json_get_integer(json, "i", "doc", &integer));
    CHECK_INT(integer, 3);
    CHECK_OK(json_get_integer(json, "w", "doc", &integer));
    CHECK_INT(integer, 4);
    CHECK_OK(json_get_real(json, "r", "doc", &real));
    CHECK(real == 2.5);
    CHECK_OK(json_get_real(json, "i", "doc", &real));
    CHECK(real == 3.0);
    CHECK_FAILS(json_get_string(json, "i", "doc", &string), STATUS_INVALID, "doc: \"i\" is not a string");
    CHECK_FAILS(json_get_integer(json, "r", "doc", &integer), STATUS_INVALID, "doc: \"r\" is not an integer");
    CHECK_FAILS(json_get_real(json, "b", "doc", &real), STATUS_INVALID, "doc: \"b\" is not a number");
    CHECK_FAILS(json_get_real(json, "q", "doc", &real), STATUS_INVALID, "doc: \"q\" is missing");
    json_destroy(json);
}

static void test_writer(void)
{
    JsonWriter w = {0};
    json_begin_object(&w);
    json_key(&w, "a\"b");
    json_string(&w, "line\nquote\"back\\tab\tbell\x07 caf\xc3\xa9");
    json_key(&w, "list");
    json_begin_array(&w);
    json_integer(&w, -5);
    json_real(&w, 0.1);
    json_real(&w, 1.0);
    json_real(&w, (double)NAN);
    json_real(&w, (double)-INFINITY);
    json_bool(&w, true);
    json_bool(&w, false);
    json_string(&w, NULL);
    json_begin_array(&w);
    json_end_array(&w);
    json_end_array(&w);
    json_key(&w, "o");
    json_begin_object(&w);
    json_end_object(&w);
    json_key(&w, "last");
    json_integer(&w, INT64_MIN);
    json_end_object(&w);
    CHECK(!w.text.failed && w.depth == 0);
    CHECK_STRING(text_string(&w.text),
                 "{\"a\\\"b\":\"line\\nquote\\\"back\\\\tab\\tbell\\u0007 caf\xc3\xa9\","
                 "\"list\":[-5,0.1,1.0,null,null,true,false,null,[]],\"o\":{},\"last\":-9223372036854775808}");
    text_free(&w.text);
}

static void test_round_trip(void)
{
    Json *json, *back;
    JsonWriter first = {0}, second = {0};
    CHECK_OK(parse(SAMPLE, &json));
    json_value(&first, json);
    CHECK_OK(parse(text_string(&first.text), &back));
    json_value(&second, back);
    CHECK_STRING(text_string(&first.text), text_string(&second.text));
    text_free(&first.text);
    text_free(&second.text);
    json_destroy(json);
    json_destroy(back);
    const double reals[] = {0.0, -0.0, 1.0 / 3, 5e-324, 1.7976931348623157e308, 0x1p53 + 2, 123456789.123456789, 1e22};
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        JsonWriter w = {0};
        json_real(&w, reals[i]);
        CHECK_OK(parse(text_string(&w.text), &json));
        CHECK_INT(json->type, JSON_REAL);
        CHECK(memcmp(&json->real, &reals[i], sizeof reals[i]) == 0);
        json_destroy(json);
        text_free(&w.text);
    }
}

/* What the events of a document were, as text. */
static Status saw_null(void *out) { return text_append(out, "n "), OK; }
static Status saw_bool(void *out, bool value) { return text_append(out, value ? "t " : "f "), OK; }
static Status saw_integer(void *out, int64_t value) { return text_format(out, "%lld ", (long long)value), OK; }
static Status saw_real(void *out, double value) { return text_format(out, "%g ", value), OK; }
static Status saw_string(void *out, const char *value, size_t n) { return text_format(out, "'%.*s' ", (int)n, value), OK; }
static Status saw_key(void *out, const char *name, size_t n) { return text_format(out, "%.*s: ", (int)n, name), OK; }
static Status saw_object(void *out) { return text_append(out, "{ "), OK; }
static Status saw_object_end(void *out) { return text_append(out, "} "), OK; }
static Status saw_array(void *out) { return text_append(out, "[ "), OK; }
static Status saw_array_end(void *out) { return text_append(out, "] "), OK; }
static Status refuse(void *out, int64_t value) { (void)out; return status_error(STATUS_USAGE, "not %lld", (long long)value); }

static const JsonEvents ALL = {saw_null, saw_bool, saw_integer, saw_real, saw_string, saw_object, saw_key, saw_object_end,
                               saw_array, saw_array_end};

static void test_stream(void)
{
    char path[] = "/tmp/zeroth-json-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    const char *text = "{\"a\": [1, 2.5, \"x\", true, null], \"b\": {}}";
    CHECK_OK(file_write(path, text, strlen(text)));
    Text seen = {0};
    CHECK_OK(json_stream(path, &ALL, &seen));
    CHECK_STRING(text_string(&seen), "{ a: [ 1 2.5 'x' t n ] b: { } } ");
    text_free(&seen);
    JsonEvents none = {.null = NULL}, refusing = {.integer = refuse};
    CHECK_OK(json_stream(path, &none, NULL));
    CHECK_FAILS(json_stream(path, &refusing, NULL), STATUS_USAGE, "not 1");
    CHECK_FAILS(json_stream(path, &refusing, NULL), STATUS_USAGE, path);
    CHECK_OK(file_write(path, text, strlen(text) - 1));
    CHECK_FAILS(json_stream(path, &none, NULL), STATUS_INVALID, path);
    CHECK_OK(file_write(path, "", 0));
    CHECK_FAILS(json_stream(path, &none, NULL), STATUS_INVALID, path);
    memory_fail_after(0);
    CHECK_FAILS(json_stream(path, &none, NULL), STATUS_NO_MEMORY, path);
    memory_fail_after(-1);
    unlink(path);
    CHECK_FAILS(json_stream(path, &none, NULL), STATUS_NOT_FOUND, path);
}

/* Over many buffers, so that strings and numbers are cut between them. */
static void test_stream_large(void)
{
    char path[] = "/tmp/zeroth-json-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    JsonWriter w = {0};
    Text expected = {0}, seen = {0};
    json_begin_array(&w);
    text_append(&expected, "[ ");
    for (int i = 0; i < 20000; i++) {
        char name[40];
        snprintf(name, sizeof name, "image %d caf\xc3\xa9", i);
        json_string(&w, name);
        json_integer(&w, i * 1000003ll);
        text_format(&expected, "'%s' %lld ", name, i * 1000003ll);
    }
    json_end_array(&w);
    text_append(&expected, "] ");
    CHECK(w.text.length > 5 * 65536);
    CHECK_OK(file_write(path, w.text.data, w.text.length));
    CHECK_OK(json_stream(path, &ALL, &seen));
    CHECK(strcmp(text_string(&seen), text_string(&expected)) == 0);
    Json *json;
    CHECK_OK(json_read_file(path, &json));
    CHECK_INT(json->count, 40000);
    CHECK_STRING(json->items[39998].string, "image 19999 caf\xc3\xa9");
    json_destroy(json);
    size_t middle = w.text.length / 2;
    w.text.data[middle] = '\x01';
    CHECK_OK(file_write(path, w.text.data, w.text.length));
    text_free(&seen);
    CHECK_FAILS(json_stream(path, &ALL, &seen), STATUS_INVALID, path);
    text_free(&w.text);
    text_free(&expected);
    text_free(&seen);
    unlink(path);
    CHECK_FAILS(json_read_file(path, &json), STATUS_NOT_FOUND, path);
}

TEST_MAIN(TEST(test_tree), TEST(test_scalars), TEST(test_malformed), TEST(test_invalid_utf8), TEST(test_surrogates),
          TEST(test_cut_everywhere), TEST(test_changed_everywhere), TEST(test_depth), TEST(test_allocation_failures),
          TEST(test_get), TEST(test_writer), TEST(test_round_trip), TEST(test_stream), TEST(test_stream_large))
