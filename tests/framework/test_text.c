#include "framework/text.h"

#include "framework/memory.h"
#include "tests/test.h"

static void test_append(void)
{
    Text text = {0};
    CHECK_STRING(text_string(&text), "");
    text_append(&text, "ab");
    text_append_bytes(&text, "cdef", 2);
    text_append_bytes(&text, NULL, 0);
    text_format(&text, "-%d-%s", 42, "x");
    CHECK_STRING(text_string(&text), "abcd-42-x");
    CHECK_INT(text.length, 9);
    for (int i = 0; i < 1000; i++) text_format(&text, "%04d", i);
    CHECK_INT(text.length, 4009);
    CHECK_STRING(text.data + 4005, "0999");
    text_free(&text);
    CHECK_STRING(text_string(&text), "");
    text_free(&text);
}

static void test_failure(void)
{
    Text text = {0};
    memory_fail_after(0);
    text_append(&text, "a");
    CHECK(text.failed);
    text_append(&text, "b"); /* there is memory again, but a text with a hole is worse */
    text_format(&text, "%d", 1);
    CHECK_STRING(text_string(&text), "");
    text_free(&text);
    CHECK(!text.failed);
    memory_fail_after(-1);
}

static void test_parse_integer(void)
{
    int64_t value = 5;
    CHECK(parse_integer("0", &value) && value == 0);
    CHECK(parse_integer("-17", &value) && value == -17);
    CHECK(parse_integer("+3", &value) && value == 3);
    CHECK(parse_integer("9223372036854775807", &value) && value == INT64_MAX);
    CHECK(parse_integer("-9223372036854775808", &value) && value == INT64_MIN);
    const char *const bad[] = {"", " 1", "1 ", "1x", "x", "-", "1.0", "0x10", "1e3", "9223372036854775808", "--1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        value = 77;
        if (parse_integer(bad[i], &value)) TEST_FAIL("\"%s\" is taken for an integer", bad[i]);
        CHECK_INT(value, 77);
    }
}

static void test_parse_real(void)
{
    double value = 0;
    CHECK(parse_real("1e-4", &value) && value == 1e-4);
    CHECK(parse_real("-.5", &value) && value == -0.5);
    CHECK(parse_real("12", &value) && value == 12);
    CHECK(parse_real("inf", &value) && isinf(value));
    CHECK(parse_real("nan", &value) && isnan(value));
    CHECK(parse_real("1e-320", &value) && value > 0); /* subnormal */
    const char *const bad[] = {"", " 1", "1 ", "1,5", "e3", "1e", "1.0f", "1e999", "-1e999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (parse_real(bad[i], &value)) TEST_FAIL("\"%s\" is taken for a real", bad[i]);
}

static void test_parse_bool(void)
{
    bool value = false;
    CHECK(parse_bool("true", &value) && value);
    CHECK(parse_bool("off", &value) && !value);
    CHECK(parse_bool("Yes", &value) && value);
    CHECK(parse_bool("NO", &value) && !value);
    CHECK(parse_bool("on", &value) && value);
    CHECK(parse_bool("false", &value) && !value);
    CHECK(!parse_bool("", &value));
    CHECK(!parse_bool("truee", &value));
    CHECK(!parse_bool("1", &value));
}

static void test_distance(void)
{
    CHECK_INT(text_distance("", ""), 0);
    CHECK_INT(text_distance("abc", "abc"), 0);
    CHECK_INT(text_distance("", "abc"), 3);
    CHECK_INT(text_distance("abc", ""), 3);
    CHECK_INT(text_distance("abc", "abd"), 1);
    CHECK_INT(text_distance("abc", "acb"), 1); /* a transposition is one step */
    CHECK_INT(text_distance("kitten", "sitting"), 3);
    CHECK_INT(text_distance("sitting", "kitten"), 3);
    CHECK_INT(text_distance("generator.primitves", "generator.primitives"), 1);
    char long_name[400];
    memset(long_name, 'a', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    CHECK(text_distance(long_name, "b") > 100);
}

static const char *duration(double seconds)
{
    static char out[16];
    text_duration(seconds, out, sizeof out);
    return out;
}

static const char *bytes(double count)
{
    static char out[16];
    text_bytes(count, out, sizeof out);
    return out;
}

static void test_units(void)
{
    CHECK_STRING(duration(3.21), "3.2s");
    CHECK_STRING(duration(59.97), "1m00s");
    CHECK_STRING(duration(245), "4m05s");
    CHECK_STRING(duration(3599.7), "1h00m");
    CHECK_STRING(duration(7390), "2h03m");
    CHECK_STRING(duration((double)NAN), "?");
    CHECK_STRING(duration(-1), "?");
    CHECK_STRING(bytes(0), "0 B");
    CHECK_STRING(bytes(812), "812 B");
    CHECK_STRING(bytes(3.4e6), "3.4 MB");
    CHECK_STRING(bytes(999.96e3), "1.0 MB");
    CHECK_STRING(bytes(5e12), "5.0 TB");
}

static void test_parse_duration(void)
{
    static const struct { const char *text; double seconds; } GOOD[] = {
        {"90", 90}, {"1.5", 1.5}, {"90s", 90}, {"30m", 1800}, {"1.5h", 5400}, {"1h30m", 5400}, {"2d", 172800},
        {"1d2h3m4s", 93784}, {"10:00", 600}, {"2:00:00", 7200}, {"1-12:00:00", 129600}, {"1-12", 129600}, {"0", 0}};
    static const char *const BAD[] = {"", "h", "-5", "5x", "1m1h", "30m5", "1:2:3:4", "1-", ":5", "5:", "nan", "1h-2m", "2..5s"};
    double seconds;
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        if (!parse_duration(GOOD[i].text, &seconds)) TEST_FAIL("'%s' is no time", GOOD[i].text);
        CHECK_NEAR(seconds, GOOD[i].seconds, 0);
    }
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        if (parse_duration(BAD[i], &seconds)) TEST_FAIL("'%s' passes as a time", BAD[i]);
}

static void test_parse_bytes(void)
{
    static const struct { const char *text; double bytes; } GOOD[] = {
        {"1000", 1000}, {"12B", 12}, {"1k", 1024}, {"512M", 536870912}, {"1.5G", 1610612736}, {"8GiB", 8589934592}, {"0", 0}};
    static const char *const BAD[] = {"", "G", "-1G", "1X", "1G5", "1GG", "inf"};
    double bytes;
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        if (!parse_bytes(GOOD[i].text, &bytes)) TEST_FAIL("'%s' is no size", GOOD[i].text);
        CHECK_NEAR(bytes, GOOD[i].bytes, 0);
    }
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        if (parse_bytes(BAD[i], &bytes)) TEST_FAIL("'%s' passes as a size", BAD[i]);
}

TEST_MAIN(TEST(test_parse_duration), TEST(test_parse_bytes), TEST(test_append), TEST(test_failure), TEST(test_parse_integer), TEST(test_parse_real),
          TEST(test_parse_bool), TEST(test_distance), TEST(test_units))
