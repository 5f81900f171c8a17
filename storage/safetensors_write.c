#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "storage/safetensors.h"

static int64_t entry_bytes(const SafetensorsEntry *entry)
{
    int64_t bytes = (int64_t)sizeof(float);
    for (int i = 0; i < entry->rank; i++) bytes *= entry->shape[i];
    return bytes;
}

static void write_entry(JsonWriter *writer, const SafetensorsEntry *entry, int64_t at)
{
    json_key(writer, entry->name);
    json_begin_object(writer);
    json_key(writer, "dtype");
    json_string(writer, "F32");
    json_key(writer, "shape");
    json_begin_array(writer);
    for (int i = 0; i < entry->rank; i++) json_integer(writer, entry->shape[i]);
    json_end_array(writer);
    json_key(writer, "data_offsets");
    json_begin_array(writer);
    json_integer(writer, at);
    json_integer(writer, at + entry_bytes(entry));
    json_end_array(writer);
    json_end_object(writer);
}

/* The header's length as 8 bytes, little end first, and the header, filled up with blanks so that data are aligned. */
static Status make_header(const SafetensorsEntry *entries, int count, const char *const *metadata, int pairs, Text *header)
{
    JsonWriter writer = {0};
    int64_t at = 0;
    json_begin_object(&writer);
    json_key(&writer, "__metadata__");
    json_begin_object(&writer);
    for (int i = 0; i < pairs; i++) {
        json_key(&writer, metadata[2 * i]);
        json_string(&writer, metadata[2 * i + 1]);
    }
    json_end_object(&writer);
    for (int i = 0; i < count; i++) {
        write_entry(&writer, &entries[i], at);
        at += entry_bytes(&entries[i]);
    }
    json_end_object(&writer);
    while (!writer.text.failed && writer.text.length % 8 != 0) text_append(&writer.text, " ");
    char length[8];
    for (int i = 0; i < 8; i++) length[i] = (char)((uint64_t)writer.text.length >> (8 * i));
    text_append_bytes(header, length, sizeof length);
    text_append_bytes(header, text_string(&writer.text), writer.text.length);
    bool failed = writer.text.failed || header->failed;
    text_free(&writer.text);
    return failed ? status_no_memory((size_t)count * 128, "a safetensors header") : OK;
}

static Status write_all(int fd, const char *path, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        ssize_t done = write(fd, at, bytes);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return status_errno(errno, "write", path);
        at += done;
        bytes -= (size_t)done;
    }
    return OK;
}

Status safetensors_write(const char *path, const SafetensorsEntry *entries, int count, const char *const *metadata,
                         int pairs)
{
    Text header = {0};
    char *temporary = NULL;
    int fd = -1;
    Status status = make_header(entries, count, metadata, pairs, &header);
    if (status == OK) status = file_temporary_name(path, &temporary);
    if (status == OK && (fd = open(temporary, O_WRONLY | O_TRUNC | O_CLOEXEC)) < 0)
        status = status_errno(errno, "open", temporary);
    if (status == OK) status = write_all(fd, path, header.data, header.length);
    for (int i = 0; status == OK && i < count; i++)
        status = write_all(fd, path, entries[i].data, (size_t)entry_bytes(&entries[i]));
    if (fd >= 0 && close(fd) != 0 && status == OK) status = status_errno(errno, "close", path);
    if (status == OK) status = file_commit(temporary, path);
    else file_discard(temporary);
    memory_free(temporary);
    text_free(&header);
    return status;
}
