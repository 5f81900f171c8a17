/* A full disk: one line says so and names the file, nothing half-made stays,
 * and with space again the same command leaves the bytes that it would have. */
#include <sys/mount.h>

#include "tests/commands/artifacts.h"

#define SMALL "train.steps=6", "generator.steps=6"
#define SETTINGS "run.checkpoint_seconds=0", SMALL

static const char *study_path(void)
{
    static const char *path;
    if (path == NULL) {
        make_scenes(in_root("study/data"), 16, 3, 0.3);
        path = make_study(in_root("study"), "variants:\n  vanilla: {generator.kind: gmmn}\n  full: {}\n");
    }
    return path;
}

static const char *undisturbed(void)
{
    static const char *work;
    if (work == NULL) {
        CHECK_CODE(PROGRAM("run", study_path(), "--work", in_root("undisturbed"), SETTINGS), 0);
        work = in_root("undisturbed");
    }
    return work;
}

/* A run that had no space: it says so in a line that also names a path. */
static void check_says_no_space(const Result *result, const char *how)
{
    bool said = false;
    for (const char *line = result->err; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t length = strcspn(line, "\n");
        said |= (memmem(line, length, "No space left", 13) != NULL || memmem(line, length, "no space", 8) != NULL ||
                 memmem(line, length, "disk is full", 12) != NULL) && memchr(line, '/', length) != NULL;
    }
    if (said && (result->code == 8 || result->code == 12)) return;
    show_result_(result);
    TEST_FAIL("%s: not the words or the exit code of a full disk", how);
}

static void test_every_write(void)
{
    static const int PASSAGES[] = {0, 1, 2, 3, 4, 6, 9, 13, 18, 25, 35, 60};
    const char *work = in_root("injected");
    int failed = 0;
    undisturbed();
    for (size_t i = 0; i < sizeof PASSAGES / sizeof PASSAGES[0]; i++) {
        const char *inject = text("ZEROTH_FILES_INJECT=write:nospace:%d", PASSAGES[i]);
        Result result = PROGRAM_WITH(inject, "run", study_path(), "--work", work, SETTINGS);
        if (result.code != 0) check_says_no_space(&result, inject);
        failed += result.code != 0;
        check_no_leftovers(work);
        check_artifacts_whole(work);
    }
    CHECK(failed >= 3);
    CHECK_CODE(PROGRAM("run", study_path(), "--work", work, SETTINGS), 0);
    check_same_artifacts(undisturbed(), work);
}

static const char *mounted; /* to be taken away whatever happens */

static void unmount(void)
{
    if (mounted != NULL) umount2(mounted, MNT_DETACH);
    mounted = NULL;
}

static void test_small_disk(void)
{
    /* Checkpoints are the largest files; without them later stages are reached on a small disk. */
    static const struct { const char *size, *checkpoints; } DISKS[] = {
        {"40k", "run.checkpoint_seconds=0"},      {"160k", "run.checkpoint_seconds=0"},
        {"236k", "run.checkpoint_seconds=0"},     {"244k", "run.checkpoint_seconds=0"},
        {"400k", "run.checkpoint_seconds=0"},     {"2200k", "run.checkpoint_seconds=0"},
        {"700k", "run.checkpoint_seconds=10000"}, {"1000k", "run.checkpoint_seconds=10000"},
        {"1200k", "run.checkpoint_seconds=10000"}, {"1400k", "run.checkpoint_seconds=10000"}};
    const char *disk = in_root("disk");
    CHECK_OK(directory_create(disk));
    undisturbed();
    int failed = 0;
    for (size_t i = 0; i < sizeof DISKS / sizeof DISKS[0]; i++) {
        if (mount("zeroth-test", disk, "tmpfs", 0, text("size=%s", DISKS[i].size)) != 0)
            SKIP("mounting a small disk is not permitted here");
        if (mounted == NULL && i == 0) atexit(unmount);
        mounted = disk;
        const char *work = text("%s/work", disk);
        Result result = PROGRAM("run", study_path(), "--work", work, DISKS[i].checkpoints, SMALL);
        if (result.code != 0) check_says_no_space(&result, DISKS[i].size);
        failed += result.code != 0;
        check_no_leftovers(work);
        CHECK(mount("zeroth-test", disk, "tmpfs", MS_REMOUNT, "size=64m") == 0);
        CHECK_CODE(PROGRAM("run", study_path(), "--work", work, SETTINGS), 0);
        check_no_leftovers(work);
        check_artifacts_whole(work);
        check_same_artifacts(undisturbed(), work);
        unmount();
    }
    CHECK(failed >= 3);
}

TEST_MAIN(TEST(test_every_write), TEST(test_small_disk))
