#include "framework/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The message lies in the same block. Blocks come from malloc, not from
 * memory.h: an injected failure must still be able to describe itself. */
struct StatusRecord {
    StatusCode code;
    const char *message;
};

static const struct {
    const char *name;
    int exit_code;
} CODES[] = {
#define X(code, name, exit_code) {name, exit_code},
    STATUS_CODES(X)
#undef X
};
_Static_assert(sizeof CODES / sizeof CODES[0] == STATUS_CODE_COUNT, "one row for each status code");

/* What is returned when even the message finds no memory; never freed. */
static struct StatusRecord spare_records[] = {
#define X(code, name, exit_code) {code, name " (and no memory to say more)"},
    STATUS_CODES(X)
#undef X
};

static StatusCode checked_code(StatusCode code)
{
    return (int)code >= 0 && code < STATUS_CODE_COUNT ? code : STATUS_INTERNAL;
}

static bool is_spare(Status status)
{
    return status >= spare_records && status < spare_records + STATUS_CODE_COUNT;
}

__attribute__((format(printf, 2, 0)))
static Status make_record(StatusCode code, const char *format, va_list arguments)
{
    code = checked_code(code);
    if (code == STATUS_OK) code = STATUS_INTERNAL;
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0) return &spare_records[code];
    size_t bytes = (size_t)length + 1;
    struct StatusRecord *record = malloc(sizeof *record + bytes);
    if (record == NULL) return &spare_records[code];
    char *text = (char *)(record + 1);
    vsnprintf(text, bytes, format, arguments);
    for (char *c = text; *c != '\0'; c++) /* names and fields of damaged files may hold anything: a message is one line */
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';
    record->code = code;
    record->message = text;
    return record;
}

Status status_error(StatusCode code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    Status status = make_record(code, format, arguments);
    va_end(arguments);
    return status;
}

Status status_errno(int errno_value, const char *action, const char *path)
{
    StatusCode code = STATUS_IO;
    if (errno_value == ENOSPC || errno_value == EDQUOT) code = STATUS_NO_SPACE;
    else if (errno_value == ENOENT) code = STATUS_NOT_FOUND;
    else if (errno_value == ENOMEM) code = STATUS_NO_MEMORY;
    char buffer[128]; /* strerror is not thread-safe; this is GNU's strerror_r */
    return status_error(code, "%s: cannot %s: %s", path, action, strerror_r(errno_value, buffer, sizeof buffer));
}

Status status_no_memory(size_t bytes, const char *what)
{
    return status_error(STATUS_NO_MEMORY, "no memory for %s (%zu bytes)", what, bytes);
}

Status status_wrap(Status cause, const char *format, ...)
{
    if (cause == OK) return OK;
    char *prefix = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&prefix, format, arguments) < 0) prefix = NULL;
    va_end(arguments);
    if (prefix == NULL) return cause; /* the cause alone is better than nothing */
    Status wrapped = status_error(cause->code, "%s: %s", prefix, cause->message);
    free(prefix);
    if (is_spare(wrapped)) return cause;
    status_free(cause);
    return wrapped;
}

StatusCode status_code(Status status)
{
    return status == OK ? STATUS_OK : status->code;
}

const char *status_message(Status status)
{
    return status == OK ? "" : status->message;
}

void status_free(Status status)
{
    if (status != OK && !is_spare(status)) free(status);
}

const char *status_code_name(StatusCode code)
{
    return CODES[checked_code(code)].name;
}

int status_exit_code(StatusCode code)
{
    return CODES[checked_code(code)].exit_code;
}

StatusCode status_code_from_name(const char *name)
{
    for (int i = 0; i < STATUS_CODE_COUNT; i++)
        if (strcmp(CODES[i].name, name) == 0) return (StatusCode)i;
    return STATUS_INTERNAL;
}

Status status_first(Status first, Status second)
{
    if (first == OK) return second;
    status_free(second);
    return first;
}
