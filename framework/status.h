/* How a function says that it failed.
 *
 * A fallible function returns a Status: NULL for success, otherwise a record
 * with a code and one line of text. The line is written where the cause is
 * known, names the file, key or line concerned, and says what to do next. It
 * is carried up unchanged (TRY) or with a prefix (status_wrap), and printed
 * once, by whoever ends the failure; that caller frees it. */
#ifndef FRAMEWORK_STATUS_H
#define FRAMEWORK_STATUS_H

#include <stdbool.h>
#include <stddef.h>

/* code, name in reports and event files, exit code of the program */
#define STATUS_CODES(X)                                                      \
    X(STATUS_OK, "ok", 0)                                                    \
    X(STATUS_USAGE, "usage", 2)            /* a wrong flag or argument    */ \
    X(STATUS_INVALID, "bad-input", 3)      /* bad YAML, JSON, image, ...  */ \
    X(STATUS_NOT_FOUND, "not-found", 4)    /* a file, key or job is absent*/ \
    X(STATUS_CORRUPT, "corrupt", 5)        /* checksum or format broken   */ \
    X(STATUS_VERSION, "version", 6)        /* written by another version  */ \
    X(STATUS_IO, "io", 7)                  /* read, write, rename failed  */ \
    X(STATUS_NO_SPACE, "no-space", 8)      /* disk or quota full          */ \
    X(STATUS_NO_MEMORY, "no-memory", 9)                                      \
    X(STATUS_NON_FINITE, "non-finite", 10) /* NaN or infinity in training */ \
    X(STATUS_LOCKED, "locked", 11)         /* another process holds it    */ \
    X(STATUS_CHILD, "child", 12)           /* a job or process failed     */ \
    X(STATUS_LIBRARY, "library", 13)       /* HDF5, MPI, SQLite, oneDNN.. */ \
    X(STATUS_INTERNAL, "internal", 14)     /* a defect of this program    */ \
    X(STATUS_INTERRUPTED, "interrupted", 75) /* try again later (EX_TEMPFAIL) */

typedef enum StatusCode {
#define X(code, name, exit_code) code,
    STATUS_CODES(X)
#undef X
    STATUS_CODE_COUNT
} StatusCode;

typedef struct StatusRecord *Status;
#define OK ((Status)0)

/* A new failure. Never returns NULL, even without memory. `code` is not
 * STATUS_OK. The message has no trailing newline or full stop. */
Status status_error(StatusCode code, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));

/* A failure of a system call on `path`, with errno's text; ENOSPC and EDQUOT
 * become STATUS_NO_SPACE, ENOENT STATUS_NOT_FOUND, ENOMEM STATUS_NO_MEMORY,
 * all others STATUS_IO. `action` is a verb: "write", "rename". */
Status status_errno(int errno_value, const char *action, const char *path)
    __attribute__((warn_unused_result));

/* The failure of an allocation of `bytes` for `what`. */
Status status_no_memory(size_t bytes, const char *what) __attribute__((warn_unused_result));

/* `cause` with "PREFIX: " before its message; NULL stays NULL. Takes `cause`. */
Status status_wrap(Status cause, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));

StatusCode status_code(Status status);       /* STATUS_OK for NULL */
const char *status_message(Status status);   /* "" for NULL */
void status_free(Status status);             /* NULL is fine */

const char *status_code_name(StatusCode code);
int status_exit_code(StatusCode code);
/* The code with that name; STATUS_INTERNAL where there is none. */
StatusCode status_code_from_name(const char *name);

/* Returns from the enclosing function where `expr` fails. */
#define TRY(expr)                      \
    do {                               \
        Status try_status_ = (expr);   \
        if (try_status_ != OK)         \
            return try_status_;        \
    } while (0)

/* Sets `status` and jumps to `label` where `expr` fails, for functions with
 * something to release. */
#define TRY_GOTO(status, expr, label)  \
    do {                               \
        (status) = (expr);             \
        if ((status) != OK)            \
            goto label;                \
    } while (0)

/* Keeps the first of two failures and frees the other; for clean-up paths. */
Status status_first(Status first, Status second) __attribute__((warn_unused_result));

#endif
