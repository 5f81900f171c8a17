#include "framework/progress.h"

#include <fcntl.h>
#include <termios.h>
#include <time.h>

#include "framework/memory.h"
#include "tests/test.h"

static void test_null(void)
{
    progress_set_start(NULL, 1);
    progress_update(NULL, 1, "note");
    progress_destroy(NULL);
    for (int64_t point = 0; point < 3; point++) {
        memory_fail_after(point);
        CHECK(progress_create("label", 10, "images") == NULL);
    }
    memory_fail_after(-1);
}

static void pause_ms(int ms)
{
    struct timespec time = {0, ms * 1000000L};
    nanosleep(&time, NULL);
}

/* Runs `body` with standard error on `fd`. */
static void with_stderr(int fd, void (*body)(void))
{
    int kept = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    body();
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
}

static void run_bar(void)
{
    Progress *progress = progress_create("shard", 100, "images");
    progress_set_start(progress, 50);
    pause_ms(150);
    progress_update(progress, 75, "loss 0.5");
    progress_update(progress, 76, NULL); /* too soon to be drawn */
    progress_update(progress, 100, NULL);
    progress_destroy(progress);
}

static void run_unknown_total(void)
{
    Progress *progress = progress_create("scan", 0, "files");
    pause_ms(150);
    progress_update(progress, 7, NULL);
    progress_destroy(progress);
}

static void test_terminal(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) SKIP("no pseudo-terminals here");
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    if (terminal < 0) SKIP("no pseudo-terminals here");
    with_stderr(terminal, run_bar);
    with_stderr(terminal, run_unknown_total);
    char text[4096];
    size_t length = 0; /* a terminal gives its lines piece by piece */
    CHECK(fcntl(master, F_SETFL, O_NONBLOCK) == 0);
    for (ssize_t got; (got = read(master, text + length, sizeof text - 1 - length)) > 0;) length += (size_t)got;
    CHECK(length > 0);
    text[length] = '\0';
    close(terminal);
    close(master);
    CHECK(strstr(text, "shard [##################......]  75% 75/100 images, ") != NULL);
    CHECK(strstr(text, "/s, ") != NULL && strstr(text, " left, loss 0.5") != NULL);
    CHECK(strstr(text, "76/100") == NULL);
    CHECK(strstr(text, "100% 100/100 images") != NULL);
    CHECK(strstr(text, "scan 7 files") != NULL);
    CHECK_INT(text[length - 1], '\n');
}

static void test_no_terminal(void)
{
    FILE *file = tmpfile();
    CHECK(file != NULL);
    with_stderr(fileno(file), run_bar); /* over before the first line is due */
    CHECK_INT(lseek(fileno(file), 0, SEEK_END), 0);
    fclose(file);
}

TEST_MAIN(TEST(test_null), TEST(test_terminal), TEST(test_no_terminal))
