#include "framework/json_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/memory.h"

/* What a file has from `offset` on, as far as it goes now. */
static Status read_tail(const char *path, int64_t offset, char **data, size_t *bytes)
{
    *data = NULL;
    *bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? OK : status_errno(errno, "open", path);
    struct stat info;
    Status status = fstat(fd, &info) != 0 ? status_errno(errno, "look at", path) : OK;
    size_t wanted = status == OK && info.st_size > offset ? (size_t)(info.st_size - offset) : 0;
    if (wanted > 0 && (*data = memory_alloc(wanted)) == NULL) status = status_no_memory(wanted, path);
    while (status == OK && *bytes < wanted) {
        ssize_t got = pread(fd, *data + *bytes, wanted - *bytes, (off_t)(offset + (int64_t)*bytes));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = status_errno(errno, "read", path);
        if (got <= 0) break;
        *bytes += (size_t)got;
    }
    close(fd);
    return status;
}

static Status take_line(const char *line, size_t length, const char *path, JsonLineTaker take, void *context)
{
    Json *json = NULL;
    Status status = json_parse(line, length, path, &json);
    if (status_code(status) == STATUS_NO_MEMORY) return status;
    bool sound = status == OK;
    status_free(status);
    status = take(context, sound ? json : NULL);
    if (sound) json_destroy(json);
    return status;
}

Status json_lines_read(const char *path, int64_t *offset, JsonLineTaker take, void *context)
{
    char *data;
    size_t bytes;
    Status status = read_tail(path, *offset, &data, &bytes);
    size_t at = 0;
    while (status == OK && at < bytes) {
        const char *end = memchr(data + at, '\n', bytes - at);
        if (end == NULL) break;
        size_t length = (size_t)(end - (data + at));
        status = take_line(data + at, length, path, take, context);
        if (status == OK) {
            at += length + 1;
            *offset += (int64_t)length + 1;
        }
    }
    memory_free(data);
    return status;
}

/* Whether the last append was cut short by a kill. */
static bool ends_in_torn_line(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    struct stat info;
    char last = '\n';
    if (fstat(fd, &info) == 0 && info.st_size > 0) (void)!pread(fd, &last, 1, info.st_size - 1);
    close(fd);
    return last != '\n';
}

Status json_lines_append(const char *path, JsonWriter *writer, bool sync)
{
    json_end_object(writer);
    Text line = {0};
    if (ends_in_torn_line(path)) text_append(&line, "\n");
    text_append(&line, text_string(&writer->text));
    text_append(&line, "\n");
    Status status = writer->text.failed || line.failed ? status_no_memory(line.length, "a line of a record")
                                                       : file_append(path, line.data, line.length, sync);
    text_free(&line);
    text_free(&writer->text);
    return status;
}
