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
void names_free(char **names, size_t count);

/* PATH joined by '/', freed by memory_free; NULL without memory. */
char *path_join(const char *directory, const char *name);
/* `path` relative to the directory of `file` unless absolute. Of what is
 * joined, "//", "." and "DIR/.." where DIR is a directory and no link are
 * taken out; so with path_absolute. NULL without memory. */
char *path_beside(const char *file, const char *path);
const char *path_name(const char *path); /* last component, in `path` */
char *path_absolute(const char *path);

/* An exclusive advisory lock (fcntl) on `path`, which then holds host, pid and
 * start time. STATUS_LOCKED names the holder. Released by file_unlock and by
 * the process's end. */
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
