#include "framework/file_at.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "framework/files_private.h"
#include "framework/memory.h"

enum { LARGEST_PIECE = 1 << 30 }; /* Linux moves a little under 2 GiB at once */

Status file_read_at(int fd, const char *path, void *data, size_t bytes, int64_t offset)
{
    char *to = data;
    while (bytes > 0) {
        ssize_t got = pread(fd, to, bytes < LARGEST_PIECE ? bytes : LARGEST_PIECE, offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return status_errno(errno, "read", path);
        if (got == 0) return status_error(STATUS_CORRUPT, "%s: ends %zu bytes too soon", path, bytes);
        to += got;
        offset += got;
        bytes -= (size_t)got;
    }
    return OK;
}

static ssize_t write_some_at(int fd, const char *data, size_t bytes, int64_t offset)
{
    if (bytes > LARGEST_PIECE) bytes = LARGEST_PIECE;
    FilesFault fault = files_fault(FILES_WRITE);
    if (fault == FAULT_NO_SPACE) {
        errno = ENOSPC;
        return -1;
    }
    if (fault != FAULT_NONE) bytes = (bytes + 1) / 2;
    ssize_t written = pwrite(fd, data, bytes, offset);
    if (fault == FAULT_KILL) files_kill();
    return written;
}

Status file_write_at(int fd, const char *path, const void *data, size_t bytes, int64_t offset)
{
    const char *from = data;
    while (bytes > 0) {
        ssize_t written = write_some_at(fd, from, bytes, offset);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return status_errno(errno, "write", path);
        if (written == 0) return status_errno(ENOSPC, "write", path);
        from += written;
        offset += written;
        bytes -= (size_t)written;
    }
    return OK;
}

static Status copy_through_memory(int from, const char *from_path, int64_t from_offset, int to, const char *to_path,
                                  int64_t to_offset, int64_t bytes)
{
    enum { PIECE = 1 << 20 };
    char *buffer = memory_alloc(PIECE);
    if (buffer == NULL) return status_no_memory(PIECE, to_path);
    Status status = OK;
    while (bytes > 0 && status == OK) {
        size_t piece = bytes < PIECE ? (size_t)bytes : PIECE;
        status = file_read_at(from, from_path, buffer, piece, from_offset);
        if (status == OK) status = file_write_at(to, to_path, buffer, piece, to_offset);
        from_offset += (int64_t)piece;
        to_offset += (int64_t)piece;
        bytes -= (int64_t)piece;
    }
    memory_free(buffer);
    return status;
}

Status file_copy_at(int from, const char *from_path, int64_t from_offset, int to, const char *to_path, int64_t to_offset,
                    int64_t bytes)
{
    while (bytes > 0) {
        off_t in = from_offset, out = to_offset;
        size_t piece = bytes < LARGEST_PIECE ? (size_t)bytes : LARGEST_PIECE;
        if (files_fault_fails(FILES_WRITE)) return status_errno(errno, "write", to_path);
        ssize_t copied = copy_file_range(from, &in, to, &out, piece, 0);
        if (copied < 0 && errno == EINTR) continue;
        if (copied < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
            return status_errno(errno, "write", to_path);
        /* Not between these file systems, or the source ends too soon: the plain way works or says why. */
        if (copied <= 0) return copy_through_memory(from, from_path, from_offset, to, to_path, to_offset, bytes);
        from_offset += copied;
        to_offset += copied;
        bytes -= copied;
    }
    return OK;
}
