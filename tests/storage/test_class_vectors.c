#include <stdio.h>

#include "storage/class_vectors.h"
#include "tests/storage/fixture.h"

static char directory[256], path[300];
static ClassEntry entries[] = {{.name = "car"}, {.name = "traffic light"}, {.name = "dog"}};
static const ClassTable TABLE = {.count = 3, .entries = entries};

static Status read_text(const char *text, float **vectors, int *dim)
{
    fixture_text(directory, "v.txt", text);
    snprintf(path, sizeof path, "%s/v.txt", directory);
    return class_vectors_read(path, &TABLE, vectors, dim);
}

/* Every form of the same three vectors. */
static void test_forms(void)
{
    static const char *const forms[] = {
        "car,1,2\ntraffic light,3,4\ndog,5,6\n",
        "dog,5,6\ncar,1,2\ntraffic light,3,4",                                   /* any order, no last newline */
        "name,v1,v2\ncar,1,2\ntraffic light,3,4\ndog,5,6\n",                     /* titles */
        "\xef\xbb\xbf" "car,1,2\r\n\r\ntraffic light,3,4\r\ndog,5,6\r\n",        /* BOM, CRLF, blank lines */
        "car, 1.0, 2e0\n\"traffic light\", 3, 4\n dog , 5 ,6\n",                 /* blanks and quotes */
        "car;1;2\ntraffic light;3;4\ndog;5;6\n",
        "car 1 2\ntraffic_light 3 4\ndog 5 6\n",                                 /* word2vec text */
        "3 2\ncar 1 2\ntraffic_light 3 4\ndog 5 6\n",                            /* with its first line */
        "car 1 2\ntraffic light 3 4\ndog 5 6\n",
        "CAR\t1\t2\nTraffic-Light\t3\t4\nDog\t5\t6\n",
        ", 9 9\nthe 9 9\ncar 1 2\n. 7 7\ntraffic_light 3 4\ndog 5 6\nzebra nan 1\n", /* a vocabulary: others aren't read */
        "Car 9 9\ncar 1 2\nTraffic_Light 8 8\ntraffic_light 3 4\ndog 5 6\nDOG 0 0\n", /* the nearest name wins */
        "1 2\n3 4\n5 6\n",                                                       /* a row a class */
        "1,3,5\n2,4,6\n",                                                        /* a column a class */
        "1 3 5\n2 4 6",
    };
    temporary_directory(directory);
    for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
        float *vectors;
        int dim;
        Status status = read_text(forms[f], &vectors, &dim);
        if (status != OK) TEST_FAIL("form %zu: %s", f, status_message(status));
        CHECK_INT(dim, 2);
        for (int i = 0; i < 6; i++)
            if (vectors[i] != (float)(i + 1)) TEST_FAIL("form %zu: value %d is %g", f, i, (double)vectors[i]);
        memory_free(vectors);
    }
    CHECK_OK(directory_remove(directory));
}

static void test_quotes_with_commas(void)
{
    ClassEntry odd[] = {{.name = "wall, other \"x\""}, {.name = "b"}};
    const ClassTable table = {.count = 2, .entries = odd};
    float *vectors;
    int dim;
    temporary_directory(directory);
    fixture_text(directory, "v.csv", "\"wall, other \"\"x\"\"\",1,2,3\nb,4,5,6\n");
    snprintf(path, sizeof path, "%s/v.csv", directory);
    CHECK_OK(class_vectors_read(path, &table, &vectors, &dim));
    CHECK(dim == 3 && vectors[2] == 3.0f && vectors[3] == 4.0f);
    memory_free(vectors);
    CHECK_OK(directory_remove(directory));
}

static void test_refusals(void)
{
    static const struct { const char *text, *message; } bad[] = {
        {"", "holds no vectors"},
        {"name,v1,v2\n", "holds no vectors"},
        {"car,1,2\ntraffic light,3,4\n", "no vector for class dog"},
        {"car,1,2\ntraffic light,nan,4\ndog,5,6\n", "v.txt:2: class traffic light: \"nan\" is not a number"},
        {"car,1,2\ntraffic light,3,4\ndog,5,-inf\n", "v.txt:3: class dog: \"-inf\" is not finite"},
        {"car,1,2\ntraffic light,3,1e39\ndog,5,6\n", "v.txt:2: class traffic light: \"1e39\" is not finite"},
        {"car,1,2\ntraffic light,3,four\ndog,5,6\n", "v.txt:2: class traffic light: \"four\" is not a number"},
        {"car,1,2\ntraffic light,3,\ndog,5,6\n", "v.txt:2: class traffic light: \"\" is not a number"},
        {"car,1,2\ntraffic light,3\ndog,5,6\n", "v.txt:2: class traffic light: 1 numbers where other rows have 2"},
        {"car,1,2\ntraffic light,3,4,5\ndog,5,6\n", "v.txt:2: class traffic light: 3 numbers where other rows have 2"},
        {"car,1,2\ncar,1,2\ntraffic light,3,4\ndog,5,6\n", "v.txt:2: class car has a vector already, in line 1"},
        {"car 1 2\ntraffic_light 3\ndog 5 6\n", "v.txt:2: "},
        {"\"car,1,2\ndog,5,6\n", "v.txt:1: a quote isn't closed"},
        {"1 2 3\n4 5 6\n7 8 9\n", "as many rows as columns"},
        {"1 2\n3 4\n", "neither its 2 rows nor its 2 columns are the 3 classes"},
        {"1 2 3\n4 5\n", "v.txt:2: 2 numbers where other rows have 3"},
        {"1,nan,3\n4,5,6\n", "v.txt:1: \"nan\""},
    };
    temporary_directory(directory);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        float *vectors;
        int dim;
        Status status = read_text(bad[i].text, &vectors, &dim);
        if (status_code(status) != STATUS_INVALID || strstr(status_message(status), bad[i].message) == NULL ||
            strstr(status_message(status), "v.txt") == NULL)
            TEST_FAIL("text %zu: %s", i, status == OK ? "read" : status_message(status));
        status_free(status);
    }
    float *vectors;
    int dim;
    CHECK_FAILS(class_vectors_read("/nowhere.csv", &TABLE, &vectors, &dim), STATUS_NOT_FOUND, "/nowhere.csv");
    CHECK_OK(file_write(path, "car,1\0,2\n", 9));
    CHECK_FAILS(class_vectors_read(path, &TABLE, &vectors, &dim), STATUS_INVALID, "NUL");
    CHECK_OK(directory_remove(directory));
}

TEST_MAIN(TEST(test_forms), TEST(test_quotes_with_commas), TEST(test_refusals))
