/* Opens files below a work directory, and nothing else. Every name on the way
 * is opened in the directory before it and must be no symbolic link, so that
 * no request leads out, whatever a work directory holds. The work directory
 * itself may be reached by a link: its user named it. */
#ifndef DASHBOARDS_WORK_FILES_H
#define DASHBOARDS_WORK_FILES_H

#include "framework/json.h"
#include "framework/status.h"

/* 32 lower-case hex digits. */
bool work_is_key(const char *text);
/* "name" or "name.png": letters, digits, '.', '-', '_', not beginning with '.'. */
bool work_is_plain_name(const char *text);

/* Opens WORK/PATH, a regular file, for reading. STATUS_NOT_FOUND where it is absent; STATUS_INVALID where a part of
 * PATH is "", "." or "..", is a symbolic link, or where it is no regular file. */
Status work_open(const char *work, const char *path, int *fd);
/* The same for a directory. */
Status work_open_directory(const char *work, const char *path, int *fd);

/* A name by which this process may open that descriptor's file again, also below a directory; for libraries that
 * read by name. Valid while `fd` is open; freed by memory_free; NULL without memory. */
char *work_fd_path(int fd);

Status work_read_json(const char *work, const char *path, Json **json);
/* Names in a directory, sorted, freed by names_free; none where it is absent. */
Status work_list(const char *work, const char *path, char ***names, size_t *count);
/* At most `limit` bytes from `from` on; *size is the file's. A negative `from` counts from the end. NUL-terminated,
 * freed by memory_free. */
Status work_read_part(const char *work, const char *path, int64_t *from, size_t limit, char **data, size_t *bytes,
                      int64_t *size);

#endif
