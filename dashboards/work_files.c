#include "dashboards/work_files.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/hash.h"
#include "framework/memory.h"

bool work_is_key(const char *text)
{
    size_t length = strspn(text, "0123456789abcdef");
    return length == HASH_HEX_SIZE - 1 && text[length] == '\0';
}

bool work_is_plain_name(const char *text)
{
    if (text[0] == '\0' || text[0] == '.' || strlen(text) > 200) return false;
    for (; *text != '\0'; text++)
        if (!isalnum((unsigned char)*text) && strchr("._-", *text) == NULL) return false;
    return true;
}

static Status refused(int code, const char *path)
{
    if (code == ELOOP || code == ENOTDIR)
        return status_error(STATUS_INVALID, "%s: leads over a symbolic link, or is no file: not opened", path);
    return status_errno(code, "open", path);
}

/* Opens the next part of `path` in `parent`, which it closes. */
static Status open_part(int parent, const char *part, size_t length, int flags, const char *path, int *fd)
{
    char name[256];
    *fd = -1;
    bool sound = length > 0 && length < sizeof name;
    if (sound) {
        memcpy(name, part, length);
        name[length] = '\0';
        sound = strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    }
    if (sound) *fd = openat(parent, name, flags | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int code = errno;
    close(parent);
    if (!sound) return status_error(STATUS_INVALID, "%s: is no name below the work directory", path);
    return *fd >= 0 ? OK : refused(code, path);
}

static Status open_below(const char *work, const char *path, bool directory, int *fd)
{
    *fd = open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0) return status_errno(errno, "open", work);
    for (const char *part = path;;) {
        size_t length = strcspn(part, "/");
        bool last = part[length] == '\0';
        /* A FIFO must not stop the server: O_NONBLOCK. */
        TRY(open_part(*fd, part, length, last && !directory ? O_NONBLOCK : O_DIRECTORY, path, fd));
        if (last) return OK;
        part += length + 1;
    }
}

Status work_open(const char *work, const char *path, int *fd)
{
    TRY(open_below(work, path, false, fd));
    struct stat info;
    if (fstat(*fd, &info) == 0 && S_ISREG(info.st_mode)) return OK;
    close(*fd);
    *fd = -1;
    return status_error(STATUS_INVALID, "%s: is no regular file: not opened", path);
}

Status work_open_directory(const char *work, const char *path, int *fd)
{
    return open_below(work, path, true, fd);
}

char *work_fd_path(int fd)
{
    return memory_format("/proc/self/fd/%d", fd);
}

Status work_read_json(const char *work, const char *path, Json **json)
{
    int64_t from = 0, size;
    char *data;
    size_t bytes;
    const size_t limit = 64u << 20;
    *json = NULL;
    TRY(work_read_part(work, path, &from, limit, &data, &bytes, &size));
    Status status = size > (int64_t)limit ? status_error(STATUS_INVALID, "%s: has more than %zu bytes", path, limit)
                                          : json_parse(data, bytes, path, json);
    memory_free(data);
    return status;
}

Status work_list(const char *work, const char *path, char ***names, size_t *count)
{
    int fd;
    *names = NULL;
    *count = 0;
    Status status = work_open_directory(work, path, &fd);
    if (status_code(status) == STATUS_NOT_FOUND) {
        status_free(status);
        return OK;
    }
    TRY(status);
    char *name = work_fd_path(fd);
    status = name == NULL ? status_no_memory(64, "a path") : directory_list(name, names, count);
    memory_free(name);
    close(fd);
    return status;
}

Status work_read_part(const char *work, const char *path, int64_t *from, size_t limit, char **data, size_t *bytes,
                      int64_t *size)
{
    int fd;
    *data = NULL;
    *bytes = 0;
    *size = 0;
    TRY(work_open(work, path, &fd));
    struct stat info;
    Status status = fstat(fd, &info) != 0 ? status_errno(errno, "look at", path) : OK;
    if (status == OK) {
        *size = info.st_size;
        if (*from < 0) *from = *size + *from > 0 ? *size + *from : 0;
        if (*from > *size) *from = *size;
        size_t wanted = (size_t)(*size - *from);
        if (wanted > limit) wanted = limit;
        *data = memory_alloc(wanted + 1);
        if (*data == NULL) status = status_no_memory(wanted + 1, path);
        while (status == OK && *bytes < wanted) {
            ssize_t got = pread(fd, *data + *bytes, wanted - *bytes, (off_t)(*from + (int64_t)*bytes));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) status = status_errno(errno, "read", path);
            if (got <= 0) break;
            *bytes += (size_t)got;
        }
        if (*data != NULL) (*data)[*bytes] = '\0';
    }
    close(fd);
    if (status != OK) {
        memory_free(*data);
        *data = NULL;
    }
    return status;
}
