/* zeroth data, as a user runs it. */
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "storage/coco_json.h"
#include "tests/storage/fixture.h"

static Fixture fixture;
static char said[65536]; /* what the last command wrote, on both outputs */

static void begin(void)
{
    /* As tests/run.sh does, for a program run by hand. */
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 0);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 0);
    setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 0);
    if (getenv("ZEROTH") == NULL || !file_exists(getenv("ZEROTH"))) SKIP("ZEROTH does not name the program");
    fixture = fixture_defaults();
    fixture_create(&fixture);
}

static void end(void)
{
    CHECK_OK(directory_remove(fixture.root));
}

/* Runs a shell command in the fixture's directory, with Z for the program; its exit code, or 128 + signal. */
static int run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int run(const char *format, ...)
{
    char command[2000], line[4000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    char *program = path_absolute(getenv("ZEROTH"));
    snprintf(line, sizeof line, "Z='%s'; cd '%s' && { %s; } 2>&1", program, fixture.root, command);
    memory_free(program);
    fflush(stdout);
    FILE *pipe = popen(line, "r");
    CHECK(pipe != NULL);
    size_t bytes = fread(said, 1, sizeof said - 1, pipe);
    said[bytes] = '\0';
    int how = pclose(pipe);
    return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}

static bool says(const char *part)
{
    return strstr(said, part) != NULL;
}

static void test_import_info_verify(void)
{
    begin();
    CHECK_INT(run("$Z data import --root . --output out --unseen 'class 2' --unseen-rule ignore --shard-images 3"), 0);
    CHECK_INT(run("$Z data info out"), 0);
    CHECK(says("6: 5 seen, 1 unseen") && says("7 images") && says("UNSEEN"));
    CHECK_INT(run("$Z data info out/train-00000.h5"), 0);
    CHECK(says("shard of split train"));
    CHECK_INT(run("$Z data verify out out/val-00000.h5"), 0);
    CHECK(says("10 images") && says("every checksum and reference holds"));
    CHECK_INT(run("printf x | dd of=out/val-00000.h5 bs=1 seek=9000 conv=notrunc status=none; $Z data verify out"), 5);
    CHECK(says("val-00000.h5") && says("image 00100"));
    CHECK_INT(run("$Z data import --root . --output out --unseen 'class 2' --unseen-rule ignore --shard-images 3"), 0);
    CHECK(says("3 of them there already"));
    CHECK_INT(run("$Z data verify out"), 0);
    end();
}

static void test_wrong_use(void)
{
    begin();
    CHECK_INT(run("$Z data"), 2);
    CHECK_INT(run("$Z data fly"), 2);
    CHECK(says("unknown action 'fly'"));
    CHECK_INT(run("$Z data import --output out"), 2);
    CHECK(says("--root"));
    CHECK_INT(run("$Z data import --root . --output out --unseen-rule keep"), 2);
    CHECK_INT(run("$Z data import --root . --output out --shard-images 0"), 2);
    CHECK_INT(run("$Z data import --root nowhere --output out"), 4);
    CHECK(says("nowhere/panoptic_train.json"));
    CHECK_INT(run("$Z data import --root . --output out --unseen zebra"), 3);
    CHECK(says("zebra"));
    CHECK_INT(run("$Z data info nowhere"), 4);
    CHECK_INT(run("$Z data info panoptic_train.json"), 3);
    CHECK_INT(run("$Z data info ."), 3);
    CHECK_INT(run("$Z data verify"), 2);
    CHECK_INT(run("$Z data synth --output s --size 64"), 2);
    CHECK_INT(run("$Z data synth --output s --size 64x64 --things 0 --stuff 0"), 3);
    end();
}

/* MPI loads modules, leaks into them and unloads them: under AddressSanitizer no list of names can tell these leaks. */
#define MPIRUN "ASAN_OPTIONS=detect_leaks=0 mpirun "

/* Three ranks and one write the same bytes. */
static void test_ranks_agree(void)
{
    begin();
    CHECK_INT(run("$Z data import --root . --output one --shard-images 2 --long-side 30"), 0);
    if (run("command -v mpirun") != 0) SKIP("no mpirun");
    CHECK_INT(run(MPIRUN "-n 3 $Z data import --root . --output three --shard-images 2 --long-side 30"), 0);
    CHECK_INT(run("diff -r one three"), 0);
    CHECK_INT(run(MPIRUN "-n 2 $Z data import --root . --output three --shard-images 2 --long-side 30"), 0);
    CHECK(says("6 of them there already"));
    CHECK_INT(run("diff -r one three && ls three | wc -l"), 0);
    /* A failure on one rank ends all, with its line, and leaves no manifest. */
    CHECK_INT(run("printf x > train/000004.jpg; rm -r three; " MPIRUN "-n 3 $Z data import --root . --output three "
                  "--shard-images 2 >log 2>&1; code=$?; cat log; exit $code"), 3);
    CHECK(says("000004.jpg"));
    CHECK_INT(run("ls three/manifest.json"), 2);
    CHECK_INT(run("ls -A three | grep tmp"), 1);
    end();
}

static void test_killed_and_full(void)
{
    begin();
    for (int count = 0; count < 60; count += 9) {
        int code = run("ZEROTH_FILES_INJECT=write:kill:%d $Z data import --root . --output k --shard-images 2", count);
        CHECK(code == 137 || code == 0);
        CHECK_INT(run("$Z data import --root . --output k --shard-images 2 && $Z data verify k"), 0);
        CHECK_INT(run("ls -A k | grep tmp"), 1);
        if (code == 0) break;
        CHECK_INT(run("rm -r k"), 0);
    }
    CHECK_INT(run("ZEROTH_FILES_INJECT=write:nospace:20 $Z data import --root . --output full --shard-images 2"), 8);
    CHECK(says("full/train-0000"));
    CHECK_INT(run("ls -A full | grep tmp"), 1);
    /* A real full disk, where this user may mount one. */
    if (run("mkdir small && mount -t tmpfs -o size=40k none small") == 0) {
        int code = run("$Z data import --root . --output small --shard-images 3");
        int left = run("ls -A small | grep tmp");
        CHECK_INT(run("umount small"), 0);
        CHECK_INT(code, 8);
        CHECK_INT(left, 1);
    }
    end();
}

static void test_synth(void)
{
    begin();
    CHECK_INT(run("$Z data synth --output s --train 6 --val 2 --size 32x48 --seed 3"), 0);
    CHECK_INT(run("$Z data import --root s --output i --unseen s/unseen.txt --unseen-rule ignore"), 0);
    CHECK_INT(run("$Z data verify i && $Z data info i"), 0);
    CHECK(says("8 images"));
    end();
}

static void test_photographs(void)
{
    begin();
    const char *shared = getenv("ZEROTH_SHARED");
    char *root = path_absolute(shared != NULL ? shared : "../shared");
    char data[500];
    snprintf(data, sizeof data, "%s/data/msrc", root);
    memory_free(root);
    if (!file_exists(data)) {
        end();
        SKIP("no photographs (data/msrc)");
    }
    CHECK_INT(run("$Z data import --root '%s' --output out --unseen '%s/unseen_b.txt' --shard-images 200", data, data), 0);
    CHECK_INT(run("$Z data verify out"), 0);
    CHECK_INT(run("$Z data info out"), 0);
    CHECK(says("147 images") && says("21: 16 seen, 5 unseen"));
    end();
}

/* A big JSON: what is kept of it is a few bytes a segment. Made as its text is, without holding it. */
static void test_memory(void)
{
    begin();
    const char *setting = getenv("ZEROTH_TEST_JSON_MB");
    const int64_t megabytes = setting != NULL ? atoll(setting) : 60;
    char path[400];
    snprintf(path, sizeof path, "%s/big.json", fixture.root);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    fputs("{\"images\":[", file);
    int64_t images = 0;
    while (ftello(file) < megabytes * 100000) { /* images are a tenth of it */
        fprintf(file, "%s\n{\"id\":%lld,\"file_name\":\"%012lld.jpg\",\"height\":480,\"width\":640,\"license\":4,\"date_captured\":"
                "\"2013-11-14 17:02:52\",\"coco_url\":\"http://images.cocodataset.org/train2017/%012lld.jpg\"}",
                images > 0 ? "," : "", (long long)images, (long long)images, (long long)images);
        images++;
    }
    int64_t each = (megabytes * 900000 - 200) / images / 88, segments = 0;
    fputs("],\"annotations\":[", file);
    for (int64_t i = 0; i < images; i++) {
        fprintf(file, "%s\n{\"image_id\":%lld,\"file_name\":\"%012lld.png\",\"segments_info\":[", i > 0 ? "," : "", (long long)i,
                (long long)i);
        for (int64_t k = 0; k < each; k++, segments++)
            fprintf(file, "%s{\"id\":%lld,\"category_id\":%lld,\"iscrowd\":0,\"bbox\":[413,158,53,138],\"area\":%lld}",
                    k > 0 ? ", " : "", (long long)(k * 65793 + 1), (long long)(k % 5 + 1), (long long)(2000 + k));
        fputs("]}", file);
    }
    fputs("],\"categories\":[", file);
    for (int c = 1; c <= 5; c++) fprintf(file, "%s{\"id\":%d,\"name\":\"c%d\",\"isthing\":1}", c > 1 ? "," : "", c, c);
    fputs("]}\n", file);
    off_t size = ftello(file);
    fclose(file);
    fflush(stdout);
    int result[2];
    CHECK(pipe(result) == 0);
    pid_t child = fork();
    if (child == 0) {
        CocoSet set;
        Status status = coco_json_read(path, &set);
        if (status == OK) status = coco_resolve(&set, &(ClassTable){.count = set.classes.count, .entries = set.classes.entries});
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        bool good = status == OK && set.image_count == images && set.segment_count == segments;
        int64_t kilobytes = good ? usage.ru_maxrss : -1;
        if (write(result[1], &kilobytes, sizeof kilobytes) < 0) _exit(2);
        _exit(0);
    }
    int64_t kilobytes = -1;
    CHECK(read(result[0], &kilobytes, sizeof kilobytes) == sizeof kilobytes);
    CHECK(waitpid(child, NULL, 0) == child);
    printf("  %.0f MB of JSON, %lld segments: at most %.0f MB of memory\n", (double)size / 1e6, (long long)segments,
           (double)kilobytes / 1e3);
#ifndef __SANITIZE_ADDRESS__
    CHECK(kilobytes > 0 && (double)kilobytes * 1024 < 40e6 + 0.5 * (double)size);
#endif
    close(result[0]);
    close(result[1]);
    end();
}

TEST_MAIN(TEST(test_import_info_verify), TEST(test_wrong_use), TEST(test_ranks_agree), TEST(test_killed_and_full),
          TEST(test_synth), TEST(test_photographs), TEST(test_memory))
