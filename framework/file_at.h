/* Reads and writes at a place of an open file, whole or failed, with the
 * faults of files_inject at every write. `path` only names the file in errors. */
#ifndef FRAMEWORK_FILE_AT_H
#define FRAMEWORK_FILE_AT_H

#include <stddef.h>
#include <stdint.h>

#include "framework/status.h"

/* A file that ends too soon is STATUS_CORRUPT. */
Status file_read_at(int fd, const char *path, void *data, size_t bytes, int64_t offset);
Status file_write_at(int fd, const char *path, const void *data, size_t bytes, int64_t offset);
/* Copies within the kernel where it can. */
Status file_copy_at(int from, const char *from_path, int64_t from_offset, int to, const char *to_path, int64_t to_offset,
                    int64_t bytes);

#endif
