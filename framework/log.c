#include "framework/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const NAMES[] = {
#define X(level, name) name,
    LOG_LEVELS(X)
#undef X
};
_Static_assert(sizeof NAMES / sizeof NAMES[0] == LOG_LEVEL_COUNT, "one name for each level");
static const char *const COLOURS[] = {"\033[31m", "\033[33m", "\033[32m", "\033[2m"};
_Static_assert(sizeof COLOURS / sizeof COLOURS[0] == LOG_LEVEL_COUNT, "one colour for each level");

static struct {
    pthread_mutex_t lock;
    LogLevel level;
    int rank;
    int file; /* descriptor, or -1 */
} the_log = {PTHREAD_MUTEX_INITIALIZER, LOG_LEVEL_INFO, 0, -1};

void log_set_level(LogLevel level)
{
    pthread_mutex_lock(&the_log.lock);
    the_log.level = level;
    pthread_mutex_unlock(&the_log.lock);
}

bool log_level_from_name(const char *name, LogLevel *level)
{
    for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
        if (strcmp(NAMES[i], name) != 0) continue;
        *level = (LogLevel)i;
        return true;
    }
    return false;
}

Status log_set_file(const char *path)
{
    int fd = -1;
    if (path != NULL) {
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (fd < 0) return status_errno(errno, "open", path);
    }
    pthread_mutex_lock(&the_log.lock);
    int old = the_log.file;
    the_log.file = fd;
    pthread_mutex_unlock(&the_log.lock);
    if (old >= 0) close(old);
    return OK;
}

void log_set_rank(int rank)
{
    pthread_mutex_lock(&the_log.lock);
    the_log.rank = rank;
    pthread_mutex_unlock(&the_log.lock);
}

bool log_colour(int fd)
{
    const char *no_colour = getenv("NO_COLOR");
    return (no_colour == NULL || *no_colour == '\0') && isatty(fd);
}

/* One write(2) per line, so that lines of several processes do not mix. What
 * cannot be logged is lost: there is nowhere to say so. */
static void put_line(int fd, const char *when, LogLevel level, const char *text)
{
    char line[4352];
    bool colour = log_colour(fd);
    /* On a terminal a progress bar may stand in the line: wipe it. */
    const char *wipe = isatty(fd) ? "\r\033[K" : "";
    char rank[24] = "";
    if (the_log.rank > 0) snprintf(rank, sizeof rank, "[r%d] ", the_log.rank);
    int length = snprintf(line, sizeof line, "%s%s %s%s%s %s%s\n", wipe, when, colour ? COLOURS[level] : "",
                          NAMES[level], colour ? "\033[0m" : "", rank, text);
    if (length < 0) return;
    if ((size_t)length >= sizeof line) {
        length = (int)sizeof line - 1;
        line[length - 1] = '\n';
    }
    (void)!write(fd, line, (size_t)length);
}

void log_write(LogLevel level, const char *format, ...)
{
    if ((int)level < 0 || level >= LOG_LEVEL_COUNT) level = LOG_LEVEL_ERROR;
    int saved_errno = errno; /* a log line must not disturb the failure it is about */
    char text[4096], when[16] = "--:--:--";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    time_t now = time(NULL);
    struct tm broken;
    if (localtime_r(&now, &broken) != NULL) strftime(when, sizeof when, "%H:%M:%S", &broken);
    pthread_mutex_lock(&the_log.lock);
    if (level <= the_log.level) {
        put_line(STDERR_FILENO, when, level, text);
        if (the_log.file >= 0) put_line(the_log.file, when, level, text);
    }
    pthread_mutex_unlock(&the_log.lock);
    errno = saved_errno;
}

void log_status(LogLevel level, Status status)
{
    if (status == OK) return;
    log_write(level, "%s", status_message(status));
    status_free(status);
}
