/* The log: lines with level and time on standard error and, where set, in a
 * file. The only global of the program. Thread-safe. */
#ifndef FRAMEWORK_LOG_H
#define FRAMEWORK_LOG_H

#include "framework/status.h"

#define LOG_LEVELS(X)                 \
    X(LOG_LEVEL_ERROR, "error")       \
    X(LOG_LEVEL_WARNING, "warning")   \
    X(LOG_LEVEL_INFO, "info")         \
    X(LOG_LEVEL_DEBUG, "debug")

typedef enum LogLevel {
#define X(level, name) level,
    LOG_LEVELS(X)
#undef X
    LOG_LEVEL_COUNT
} LogLevel;

void log_set_level(LogLevel level);         /* default info */
bool log_level_from_name(const char *name, LogLevel *level);
/* Lines are also appended to this file (O_APPEND); NULL closes it. */
Status log_set_file(const char *path);
void log_set_rank(int rank);                /* shown as "[r2]" where > 0 */
void log_write(LogLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A status as an error line; frees it. */
void log_status(LogLevel level, Status status);
/* Whether colour may be used on that descriptor: a terminal, and NO_COLOR unset. */
bool log_colour(int fd);

#define LOG_ERROR(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define LOG_WARNING(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define LOG_INFO(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define LOG_DEBUG(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
