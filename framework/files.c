#include "framework/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "framework/files_private.h"
#include "framework/memory.h"

/* write(2) with faults; as it, may write less than asked. */
static ssize_t write_some(int fd, const char *data, size_t bytes)
{
    enum { LARGEST = 1 << 30 }; /* write(2) takes a little under 2 GiB at once */
    if (bytes > LARGEST) bytes = LARGEST;
    FilesFault fault = files_fault(FILES_WRITE);
    if (fault == FAULT_NO_SPACE) {
        errno = ENOSPC;
        return -1;
    }
    if (fault != FAULT_NONE) bytes = (bytes + 1) / 2;
    ssize_t written = write(fd, data, bytes);
    if (fault == FAULT_KILL) files_kill();
    return written;
}

/* Writes all; `*written` says how far it came. */
static Status write_all(int fd, const char *path, const char *data, size_t bytes, size_t *written)
{
    *written = 0;
    while (*written < bytes) {
        ssize_t now = write_some(fd, data + *written, bytes - *written);
        if (now < 0 && errno == EINTR) continue;
        if (now < 0) return status_errno(errno, "write", path);
        if (now == 0) return status_errno(ENOSPC, "write", path);
        *written += (size_t)now;
    }
    return OK;
}

static Status read_all(int fd, const char *path, size_t limit, char **data, size_t *bytes)
{
    struct stat info;
    if (fstat(fd, &info) != 0) return status_errno(errno, "read", path);
    size_t length = 0;
    /* One byte more than the size says, to see the end without growing. */
    size_t capacity = info.st_size > 0 ? (size_t)info.st_size + 2 : 4096;
    if (limit > 0 && capacity > limit + 2) capacity = limit + 2;
    char *buffer = memory_alloc(capacity);
    if (buffer == NULL) return status_no_memory(capacity, path);
    Status status = OK;
    for (;;) {
        if (length + 1 == capacity) {
            char *larger = memory_resize(buffer, capacity * 2);
            if (larger == NULL) {
                status = status_no_memory(capacity * 2, path);
                break;
            }
            buffer = larger;
            capacity *= 2;
        }
        ssize_t got = read(fd, buffer + length, capacity - length - 1);
        if (got == 0) break;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            status = status_errno(errno, "read", path);
            break;
        }
        length += (size_t)got;
        if (limit > 0 && length > limit) {
            status = status_error(STATUS_INVALID, "%s: larger than the %zu bytes allowed here", path, limit);
            break;
        }
    }
    if (status != OK) {
        memory_free(buffer);
        return status;
    }
    buffer[length] = '\0';
    *data = buffer;
    *bytes = length;
    return OK;
}

Status file_read(const char *path, size_t limit, char **data, size_t *bytes)
{
    *data = NULL;
    *bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return status_errno(errno, "open", path);
    Status status = read_all(fd, path, limit, data, bytes);
    close(fd);
    return status;
}

/* A new empty file beside `path`. Not mkstemp: that ignores the umask. */
static Status create_temporary(const char *path, char **temporary, int *fd)
{
    static atomic_uint serial;
    *temporary = NULL;
    *fd = -1;
    const char *name = path_name(path);
    int directory_length = (int)(name - path);
    /* A name may be left from a dead process of this id, here or on another
     * host of a shared file system; then the next one is tried. */
    for (int tries = 0; tries < 10000; tries++) {
        char *candidate = memory_format("%.*s.%s.%d-%u.tmp", directory_length, path, name, (int)getpid(),
                                        atomic_fetch_add(&serial, 1));
        if (candidate == NULL) return status_no_memory(strlen(path), "a temporary file name");
        *fd = files_fault_fails(FILES_OPEN) ? -1 : open(candidate, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (*fd >= 0) {
            *temporary = candidate;
            return OK;
        }
        int cause = errno;
        memory_free(candidate);
        if (cause != EEXIST) return status_errno(cause, "create a temporary file for", path);
    }
    return status_error(STATUS_IO, "%s: no free temporary name; remove the .tmp files beside it", path);
}

Status file_temporary_name(const char *path, char **temporary)
{
    int fd;
    TRY(create_temporary(path, temporary, &fd));
    close(fd);
    return OK;
}

void file_discard(const char *temporary)
{
    if (temporary != NULL) unlink(temporary);
}

static Status sync_descriptor(int fd, const char *path)
{
    if (files_fault_fails(FILES_SYNC) || fsync(fd) != 0) return status_errno(errno, "flush", path);
    return OK;
}

Status files_sync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return status_errno(errno, "open", path);
    Status status = sync_descriptor(fd, path);
    close(fd);
    return status;
}

Status files_sync_parent(const char *path)
{
    const char *name = path_name(path);
    char *parent = name == path ? memory_copy_string(".") : memory_format("%.*s", (int)(name - path), path);
    if (parent == NULL) return status_no_memory(strlen(path), "a directory name");
    Status status = OK;
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) status = status_errno(errno, "open", parent);
    else if (files_fault_fails(FILES_DIRSYNC)) status = status_errno(errno, "flush", parent);
    /* Some network file systems cannot flush directories, and need not. */
    else if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP) status = status_errno(errno, "flush", parent);
    if (fd >= 0) close(fd);
    memory_free(parent);
    return status;
}

static Status rename_and_sync(const char *temporary, const char *path)
{
    if (files_fault_fails(FILES_RENAME) || rename(temporary, path) != 0) return status_errno(errno, "replace", path);
    return files_sync_parent(path);
}

Status file_commit(const char *temporary, const char *path)
{
    Status status = files_sync_path(temporary);
    if (status == OK) status = rename_and_sync(temporary, path);
    if (status != OK) file_discard(temporary);
    return status;
}

Status file_write(const char *path, const void *data, size_t bytes)
{
    char *temporary;
    int fd;
    size_t written;
    TRY(create_temporary(path, &temporary, &fd));
    Status status = write_all(fd, path, data, bytes, &written);
    if (status == OK) status = sync_descriptor(fd, path);
    /* NFS reports some failed writes only on close. */
    if (close(fd) != 0 && status == OK) status = status_errno(errno, "write", path);
    if (status == OK) status = rename_and_sync(temporary, path);
    if (status != OK) file_discard(temporary);
    memory_free(temporary);
    return status;
}

Status file_append(const char *path, const void *data, size_t bytes, bool sync)
{
    int fd = files_fault_fails(FILES_OPEN) ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return status_errno(errno, "open", path);
    struct stat before, after;
    bool known = fstat(fd, &before) == 0;
    size_t written;
    Status status = write_all(fd, path, data, bytes, &written);
    /* Half a record would spoil the next one: take it back, unless another
     * writer has come in between. */
    if (status != OK && written > 0 && known && fstat(fd, &after) == 0 && after.st_size == before.st_size + (off_t)written)
        (void)!ftruncate(fd, before.st_size);
    if (status == OK && sync && (files_fault_fails(FILES_SYNC) || fdatasync(fd) != 0))
        status = status_errno(errno, "flush", path);
    if (close(fd) != 0 && status == OK) status = status_errno(errno, "write", path);
    return status;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

Status file_size(const char *path, int64_t *bytes)
{
    struct stat info;
    if (stat(path, &info) != 0) return status_errno(errno, "look at", path);
    *bytes = info.st_size;
    return OK;
}

Status file_remove(const char *path)
{
    if (unlink(path) != 0 && errno != ENOENT) return status_errno(errno, "remove", path);
    return OK;
}

char *path_join(const char *directory, const char *name)
{
    size_t length = strlen(directory);
    bool slash = length == 0 || directory[length - 1] == '/';
    return memory_format("%s%s%s", directory, slash ? "" : "/", name);
}

/* Whether ".." after `path` is the directory that `path` stands in: a link leads elsewhere. */
static bool is_plain_directory(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* The same place without "//", "." and "DIR/..", for people to read; frees `path`, NULL without memory. */
static char *tidy(char *path)
{
    char *out = path != NULL ? memory_alloc(strlen(path) + 2) : NULL;
    if (out == NULL) {
        memory_free(path);
        return NULL;
    }
    const size_t root = path[0] == '/';
    size_t length = root;
    strcpy(out, root ? "/" : "");
    for (const char *at = path; *at != '\0';) {
        size_t bytes = strcspn(at, "/"), last = length;
        while (last > root && out[last - 1] != '/') last--;
        if (bytes == 2 && memcmp(at, "..", 2) == 0 && strcmp(out + last, "..") != 0 && length > root &&
            is_plain_directory(out)) {
            length = last > root ? last - 1 : last;
        } else if (bytes > 0 && !(bytes == 1 && at[0] == '.')) {
            if (length > root) out[length++] = '/';
            memcpy(out + length, at, bytes);
            length += bytes;
        }
        out[length] = '\0';
        at += bytes + (at[bytes] == '/');
    }
    if (length == 0) strcpy(out, ".");
    memory_free(path);
    return out;
}

char *path_beside(const char *file, const char *path)
{
    if (path[0] == '/') return memory_copy_string(path);
    return tidy(memory_format("%.*s%s", (int)(path_name(file) - file), file, path));
}

const char *path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

char *path_absolute(const char *path)
{
    if (path[0] == '/') return tidy(memory_copy_string(path));
    char here[4096];
    if (getcwd(here, sizeof here) == NULL) return NULL;
    return tidy(path_join(here, path));
}
