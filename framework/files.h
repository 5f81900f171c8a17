/* Files that are whole or absent. Everything the program keeps is written to
 * a temporary name in the same directory, flushed, renamed, and the directory
 * flushed. A kill, a short write or a full disk can be injected at any of
 * those points (files_inject), so that tests can try them all. */
#ifndef FRAMEWORK_FILES_H
#define FRAMEWORK_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "framework/status.h"

/* Reads a whole file; `*data` is NUL-terminated past `*bytes` and freed by
 * memory_free. A file over `limit` bytes (0: none) is STATUS_INVALID. */
Status file_read(const char *path, size_t limit, char **data, size_t *bytes);
/* Atomically replaces `path`. */
Status file_write(const char *path, const void *data, size_t bytes);
/* Appends one record with a single write(2) and, where `sync`, fdatasync. */
Status file_append(const char *path, const void *data, size_t bytes, bool sync);

/* For libraries that write by name (HDF5, PNG): a temporary name beside
 * `path`, created empty, and the commit that flushes and renames it. The
 * caller frees `*temporary` by memory_free. */
Status file_temporary_name(const char *path, char **temporary);
Status file_commit(const char *temporary, const char *path);
void file_discard(const char *temporary); /* unlinks; NULL is fine */

bool file_exists(const char *path);
Status file_size(const char *path, int64_t *bytes);
Status file_remove(const char *path);          /* absent is fine */

Status directory_create(const char *path);     /* with parents; existing is fine */
Status directory_remove(const char *path);     /* with contents; absent is fine */
/* Atomic move of a finished directory to its place: every file below is
 * flushed, then rename(2), then the parent flushed. Fails with STATUS_LOCKED
 * where `path` exists already. */
Status directory_commit(const char *temporary, const char *path);
/* Names in a directory, sorted by strcmp, without . and ..; freed by
 * names_free. */
Status directory_list(const char *path, char ***names, size_t *count);
/* The same, and no names where there is no such directory. */
Status directory_list_any(const char *path, char ***names, size_t *count);
void names_free(char **names, size_t count);

/* PATH joined by '/', freed by memory_free; NULL without memory. */
char *path_join(const char *directory, const char *name);
/* `path` relative to the directory of `file` unless absolute. Of what is
 * joined, "//", "." and "DIR/.." where DIR is a directory and no link are
 * taken out; so with path_absolute. NULL without memory. */
char *path_beside(const char *file, const char *path);
const char *path_name(const char *path); /* last component, in `path` */
char *path_absolute(const char *path);

/* Locks ---------------------------------------------------------------------
 *
 * Two kinds. fcntl: the kernel's, which end with the process; the file `path`
 * holds host, pid and time for people. lease: for file systems where such locks
 * fail (some network and parallel ones): a file PATH.lease-N that names its
 * holder, made by link(2) or O_EXCL, which no two processes can both make. A
 * thread renews its time every FILE_LEASE_RENEWAL seconds. A holder of this
 * boot of this machine is looked up in /proc, so that the lease of a killed
 * process is free at once; any other holds its lease until it has not been
 * renewed for FILE_LEASE_STALE seconds. Who takes over a stale lease N makes
 * lease N + 1, which one taker alone can. A process that finds its lease
 * taken over (it was stopped for so long) gets SIGTERM, to stop as by a user.
 *
 * The kind is what the nearest file "locks" in the directory of `path` or one
 * of the three above it says, else ZEROTH_LOCKS, else fcntl. */
#define FILE_LOCK_KINDS(X)         \
    X(FILE_LOCK_FCNTL, "fcntl")    \
    X(FILE_LOCK_LEASE, "lease")

typedef enum FileLockKind {
#define X(kind, name) kind,
    FILE_LOCK_KINDS(X)
#undef X
    FILE_LOCK_KIND_COUNT
} FileLockKind;

#define FILE_LOCKS_NAME "locks"
#define FILE_LOCKS_ENVIRONMENT "ZEROTH_LOCKS"
#define FILE_LEASE_RENEWAL 5
#define FILE_LEASE_STALE 60

const char *file_lock_kind_name(FileLockKind kind);
bool file_lock_kind_from_name(const char *name, FileLockKind *kind);
/* STATUS_INVALID where the file says one and the environment another: processes that lock by different means do not see
 * each other. */
Status file_lock_kind(const char *path, FileLockKind *kind);
/* Writes DIRECTORY/locks unless it is there, for every later process. Only under a lock of that kind. */
Status file_lock_record_kind(const char *directory);

/* Exclusive; STATUS_LOCKED names the holder: host, process, since when. Where
 * the file system has no locks, the error says what to do. Released by
 * file_unlock and by the process's end. */
typedef struct FileLock FileLock;
Status file_lock(const char *path, FileLock **lock);
void file_unlock(FileLock *lock);
/* Whether anyone holds the lock, without taking it even for a moment: so a
 * look never keeps a process from its lock, and needs no right to write.
 * `*holder` (may be NULL) is NULL or what file_lock would say, freed by
 * memory_free. A file that is absent is held by none. */
Status file_lock_look(const char *path, bool *held, char **holder);

/* Test hooks; also set by ZEROTH_FILES_INJECT=POINT:KIND[:COUNT] with POINT
 * open, write, sync, rename or dirsync and KIND kill, short, or nospace. The
 * COUNT-th (from 0) passage of the point is struck. NULL turns it off. */
Status files_inject(const char *specification);

#endif
