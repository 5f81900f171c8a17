#include "framework/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "tests/test.h"

static char directory[64], file_path[128], stderr_path[128];
static int kept_stderr = -1;

/* The log's file and standard error, both into files. */
static void begin(void)
{
    snprintf(directory, sizeof directory, "/tmp/zeroth-log-XXXXXX");
    CHECK(mkdtemp(directory) != NULL);
    snprintf(file_path, sizeof file_path, "%s/log", directory);
    snprintf(stderr_path, sizeof stderr_path, "%s/stderr", directory);
    CHECK_OK(log_set_file(file_path));
    int fd = open(stderr_path, O_RDWR | O_CREAT | O_APPEND, 0600);
    CHECK(fd >= 0);
    kept_stderr = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

static void end(void)
{
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
    log_set_level(LOG_LEVEL_INFO);
    log_set_rank(0);
    CHECK_OK(log_set_file(NULL));
}

static char *content(const char *path)
{
    static char *data; /* static, as gcc takes the way by longjmp for a dangling pointer */
    size_t bytes;
    CHECK_OK(file_read(path, 0, &data, &bytes));
    return data;
}

static void check_line(const char *line, const char *after_time)
{
    for (int i = 0; i < 8; i++) CHECK(i % 3 == 2 ? line[i] == ':' : isdigit((unsigned char)line[i]) != 0);
    CHECK_INT(line[8], ' ');
    CHECK(strncmp(line + 9, after_time, strlen(after_time)) == 0);
}

static void test_lines(void)
{
    begin();
    errno = ENOSPC;
    LOG_INFO("hello %d", 7);
    int after = errno;
    log_set_rank(2);
    LOG_WARNING("careful");
    LOG_DEBUG("not shown");
    log_set_level(LOG_LEVEL_ERROR);
    LOG_INFO("not shown");
    log_status(LOG_LEVEL_ERROR, status_error(STATUS_IO, "a: cannot write"));
    log_status(LOG_LEVEL_ERROR, OK);
    end();
    CHECK_INT(after, ENOSPC);
    for (int i = 0; i < 2; i++) {
        char *text = content(i == 0 ? file_path : stderr_path);
        check_line(text, "info hello 7\n");
        char *second = strchr(text, '\n') + 1, *third = strchr(second, '\n') + 1;
        check_line(second, "warning [r2] careful\n");
        check_line(third, "error [r2] a: cannot write\n");
        CHECK_INT(strlen(strchr(third, '\n')), 1);
        CHECK(strchr(text, '\033') == NULL); /* no colour in files */
        memory_free(text);
    }
    CHECK_OK(directory_remove(directory));
}

static void test_long_line(void)
{
    char text[10000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    begin();
    LOG_INFO("%s", text);
    LOG_INFO("after");
    end();
    char *log = content(file_path), *newline = strchr(log, '\n');
    CHECK(newline != NULL && newline - log > 3000);
    check_line(newline + 1, "info after\n");
    memory_free(log);
    CHECK_OK(directory_remove(directory));
}

static void *write_lines(void *name)
{
    for (int i = 0; i < 200; i++) LOG_INFO("%s %d end", (const char *)name, i);
    return NULL;
}

static void test_threads(void)
{
    begin();
    pthread_t threads[4];
    char names[4][2] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, write_lines, names[i]);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    end();
    char *log = content(file_path), *rest = log;
    int next[4] = {0}, lines = 0;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0'; lines++) {
        char name, tail[8];
        int number;
        CHECK_INT(sscanf(line + 9, "info %c %d %7s", &name, &number, tail), 3);
        CHECK(name >= 'a' && name <= 'd' && strcmp(tail, "end") == 0);
        CHECK_INT(number, next[name - 'a']++);
    }
    CHECK_INT(lines, 800);
    memory_free(log);
    CHECK_OK(directory_remove(directory));
}

static void test_names(void)
{
    LogLevel level = LOG_LEVEL_ERROR;
    CHECK(log_level_from_name("debug", &level) && level == LOG_LEVEL_DEBUG);
    CHECK(log_level_from_name("warning", &level) && level == LOG_LEVEL_WARNING);
    CHECK(!log_level_from_name("loud", &level) && level == LOG_LEVEL_WARNING);
    CHECK_FAILS(log_set_file("/no/such/directory/log"), STATUS_NOT_FOUND, "/no/such/directory/log");
}

static void test_colour(void)
{
    int fd = open("/dev/null", O_WRONLY), terminal = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(!log_colour(fd));
    close(fd);
    if (terminal < 0) SKIP("no pseudo-terminals here");
    unsetenv("NO_COLOR");
    bool with = log_colour(terminal);
    setenv("NO_COLOR", "1", 1);
    bool without = log_colour(terminal);
    unsetenv("NO_COLOR");
    close(terminal);
    CHECK(with && !without);
}

TEST_MAIN(TEST(test_lines), TEST(test_long_line), TEST(test_threads), TEST(test_names), TEST(test_colour))
