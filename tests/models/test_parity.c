/* The parity files of ZEROTH_SHARED/parity (default ../shared), as tests. */
#include <dirent.h>

#include "framework/memory.h"
#include "tests/models/parity_file.h"
#include "tests/test.h"

enum { MAX_FILES = 32 };

/* Paths of the files whose names start with `prefix`. */
static int list_files(const char *directory, const char *prefix, char **paths)
{
    int count = 0;
    DIR *open = opendir(directory);
    if (open == NULL) return -1;
    for (struct dirent *entry; (entry = readdir(open)) != NULL && count < MAX_FILES;)
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && parity_check_for(entry->d_name) != NULL)
            paths[count++] = memory_format("%s/%s", directory, entry->d_name);
    closedir(open);
    return count;
}

static void run_prefix(const char *prefix)
{
    const char *shared = getenv("ZEROTH_SHARED");
    char *directory = memory_format("%s/parity", shared == NULL ? "../shared" : shared);
    char *paths[MAX_FILES];
    CHECK(directory != NULL);
    int count = list_files(directory, prefix, paths);
    memory_free(directory);
    if (count < 0) SKIP("no parity directory; set ZEROTH_SHARED");
    if (count == 0) SKIP("no such parity file");
    bool good = true;
    for (int i = 0; i < count; i++) {
        ParityResult result = {0};
        Status status = paths[i] == NULL ? status_no_memory(0, "a path") : parity_check_for(paths[i])(paths[i], &result);
        if (status != OK || !parity_passes(&result)) {
            good = false;
            fprintf(stderr, "%s: %s outputs %.2e, gradients %.2e, worst: %s\n", paths[i], status_message(status),
                    result.worst_output, result.worst_gradient, result.worst_name);
        }
        status_free(status);
        memory_free(paths[i]);
    }
    CHECK(good);
}

static void test_generator(void) { run_prefix("generator"); }
static void test_gmmn(void) { run_prefix("gmmn"); }
static void test_pixel_decoder(void) { run_prefix("pixel_decoder"); }
static void test_mask_decoder(void) { run_prefix("mask_decoder"); }
static void test_criterion(void) { run_prefix("criterion"); }

static void test_relative_error(void)
{
    const float a[] = {3, 4}, b[] = {3, 4.5f}, zero[] = {0, 0}, bad[] = {NAN, 4};
    CHECK_NEAR(parity_relative_error(a, a, 2), 0, 0);
    CHECK_NEAR(parity_relative_error(b, a, 2), 0.1, 1e-12);
    CHECK_NEAR(parity_relative_error(a, zero, 2), 5, 1e-12);
    CHECK(isinf(parity_relative_error(bad, a, 2)));
    ParityResult result = {0};
    CHECK(!parity_passes(&result)); /* nothing compared is no pass */
    parity_note_output(&result, "x", 1e-5);
    CHECK(parity_passes(&result));
    parity_note_gradient(&result, "y", 2e-3);
    CHECK(!parity_passes(&result));
    CHECK_STRING(result.worst_name, "gradient y");
}

static void test_layouts(void)
{
    float nchw[24], nhwc[24], back[24];
    for (int i = 0; i < 24; i++) nchw[i] = (float)i;
    parity_nchw_to_nhwc(nchw, nhwc, 2, 3, 2, 2);
    CHECK(nhwc[0] == 0 && nhwc[1] == 4 && nhwc[2] == 8 && nhwc[3] == 1 && nhwc[12] == 12);
    parity_nhwc_to_nchw(nhwc, back, 2, 3, 2, 2);
    CHECK(memcmp(nchw, back, sizeof nchw) == 0);
}

TEST_MAIN(TEST(test_relative_error), TEST(test_layouts), TEST(test_generator), TEST(test_gmmn),
          TEST(test_pixel_decoder), TEST(test_mask_decoder), TEST(test_criterion))
