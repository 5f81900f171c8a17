#include "storage/hdf5_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "framework/file_at.h"
#include "framework/files.h"
#include "framework/memory.h"
#include "storage/hdf5_layout.h"

#define HEADER_START "zeroth-store "
enum { FORMAT = 1, KIND_BYTES = 32, DIGEST_PIECE = 1 << 20 };

typedef struct Range { int64_t offset, bytes; } Range;

/* The text at the start of a store. */
typedef struct Header {
    char kind[KIND_BYTES];
    int version;
    int64_t size;
    int bulk_count;
    Range bulk[HDF5_MAX_BULK]; /* ascending */
    Hash128 digest;
} Header;

struct Hdf5Writer {
    char *path, *temporary;
    int fd;
    Header header;
    Hdf5Layout layout;
};

struct Hdf5Reader {
    char *path;
    int fd;
    Header header;
    Hdf5Layout layout;
    char digest[HASH_HEX_SIZE];
};

/* ---- header ---- */

static void format_header(const Header *header, char out[HDF5_HEADER_BYTES])
{
    memset(out, 0, HDF5_HEADER_BYTES);
    char hex[HASH_HEX_SIZE];
    size_t room = HDF5_HEADER_BYTES;
    int used = snprintf(out, room, HEADER_START "%d\nkind %s\nversion %d\nsize %" PRId64 "\n", FORMAT, header->kind,
                        header->version, header->size);
    for (int i = 0; i < header->bulk_count; i++)
        used += snprintf(out + used, room - (size_t)used, "bulk %" PRId64 " %" PRId64 "\n", header->bulk[i].offset,
                         header->bulk[i].bytes);
    hash_to_hex(header->digest, hex);
    used += snprintf(out + used, room - (size_t)used, "digest %s\n", hex);
    hash_to_hex(hash_bytes(out, (size_t)used), hex);
    snprintf(out + used, room - (size_t)used, "check %s\n", hex);
}

/* Reads "LABEL REST\n" at *place into `rest` and moves on. */
static bool take_line(const char **place, const char *label, char *rest, size_t size)
{
    size_t length = strlen(label);
    if (strncmp(*place, label, length) != 0 || (*place)[length] != ' ') return false;
    const char *start = *place + length + 1, *end = strchr(start, '\n');
    if (end == NULL || (size_t)(end - start) >= size) return false;
    memcpy(rest, start, (size_t)(end - start));
    rest[end - start] = '\0';
    *place = end + 1;
    return true;
}

static bool parse_lines(const char *text, Header *header)
{
    char rest[80];
    if (!take_line(&text, "zeroth-store", rest, sizeof rest)) return false;
    if (!take_line(&text, "kind", header->kind, sizeof header->kind)) return false;
    if (!take_line(&text, "version", rest, sizeof rest)) return false;
    header->version = atoi(rest);
    if (!take_line(&text, "size", rest, sizeof rest) || sscanf(rest, "%" SCNd64, &header->size) != 1) return false;
    for (header->bulk_count = 0; header->bulk_count < HDF5_MAX_BULK; header->bulk_count++) {
        Range *range = &header->bulk[header->bulk_count];
        if (!take_line(&text, "bulk", rest, sizeof rest)) break;
        if (sscanf(rest, "%" SCNd64 " %" SCNd64, &range->offset, &range->bytes) != 2) return false;
    }
    return take_line(&text, "digest", rest, sizeof rest) && hash_from_hex(rest, &header->digest);
}

static bool check_holds(const char text[HDF5_HEADER_BYTES])
{
    const char *check = strstr(text, "\ncheck ");
    if (check == NULL) return false;
    char hex[HASH_HEX_SIZE], expected[HDF5_HEADER_BYTES] = {0};
    size_t covered = (size_t)(check + 1 - text);
    hash_to_hex(hash_bytes(text, covered), hex);
    memcpy(expected, text, covered);
    snprintf(expected + covered, sizeof expected - covered, "check %s\n", hex);
    return memcmp(text, expected, HDF5_HEADER_BYTES) == 0;
}

static Status parse_header(const char *path, int fd, Header *header)
{
    char text[HDF5_HEADER_BYTES + 1] = {0};
    struct stat info;
    if (fstat(fd, &info) != 0) return status_errno(errno, "look at", path);
    if (!S_ISREG(info.st_mode)) return status_error(STATUS_INVALID, "%s: not a file", path);
    size_t there = info.st_size < HDF5_HEADER_BYTES ? (size_t)info.st_size : HDF5_HEADER_BYTES;
    TRY(file_read_at(fd, path, text, there, 0));
    if (strncmp(text, HEADER_START, strlen(HEADER_START)) != 0)
        return status_error(STATUS_INVALID, "%s: not a store of this program (its first bytes say otherwise)", path);
    if (there < HDF5_HEADER_BYTES || !check_holds(text)) {
        int format = atoi(text + strlen(HEADER_START));
        if (there == HDF5_HEADER_BYTES && format > FORMAT)
            return status_error(STATUS_VERSION, "%s: store format %d; this program reads %d", path, format, FORMAT);
        return status_error(STATUS_CORRUPT, "%s: damaged header; make the file anew", path);
    }
    if (!parse_lines(text, header)) return status_error(STATUS_CORRUPT, "%s: damaged header", path);
    if (header->size != info.st_size)
        return status_error(STATUS_CORRUPT, "%s: has %" PRId64 " bytes instead of %" PRId64 "; make the file anew", path,
                            (int64_t)info.st_size, header->size);
    return OK;
}

/* The digest: every byte after the header, in order, but the bulk. */
static Status compute_digest(int fd, const char *path, const Header *header, Hash128 *digest)
{
    Hasher *hasher = hasher_create();
    char *buffer = memory_alloc(DIGEST_PIECE);
    Status status = hasher == NULL || buffer == NULL ? status_no_memory(DIGEST_PIECE, path) : OK;
    int64_t place = HDF5_HEADER_BYTES;
    for (int i = 0; status == OK && i <= header->bulk_count; i++) {
        int64_t end = i < header->bulk_count ? header->bulk[i].offset : header->size;
        if (end < place || end > header->size) status = status_error(STATUS_CORRUPT, "%s: damaged header", path);
        while (status == OK && place < end) {
            size_t piece = end - place < DIGEST_PIECE ? (size_t)(end - place) : DIGEST_PIECE;
            status = file_read_at(fd, path, buffer, piece, place);
            if (status == OK) hasher_add(hasher, buffer, piece);
            place += (int64_t)piece;
        }
        if (i < header->bulk_count && __builtin_add_overflow(place, header->bulk[i].bytes, &place))
            status = status_first(status, status_error(STATUS_CORRUPT, "%s: damaged header", path));
    }
    if (status == OK) *digest = hasher_result(hasher);
    hasher_destroy(hasher);
    memory_free(buffer);
    return status;
}

/* ---- writing ---- */

Status hdf5_writer_create(const char *path, const char *kind, int version, Hdf5Writer **out)
{
    Hdf5Writer *writer = memory_alloc_zero(1, sizeof *writer);
    if (writer == NULL) return status_no_memory(sizeof *writer, path);
    writer->fd = -1;
    writer->header.version = version;
    snprintf(writer->header.kind, sizeof writer->header.kind, "%s", kind);
    writer->path = memory_copy_string(path);
    if (writer->path == NULL) {
        memory_free(writer);
        return status_no_memory(strlen(path), path);
    }
    *out = writer;
    return OK;
}

Status hdf5_writer_add(Hdf5Writer *writer, const char *name, Hdf5Type type, int rank, const int64_t *shape, bool bulk)
{
    TRY(hdf5_layout_add(&writer->layout, name, type, rank, shape, writer->path));
    writer->layout.arrays[writer->layout.count - 1].bulk = bulk;
    return OK;
}

Status hdf5_writer_attribute(Hdf5Writer *writer, const char *name, const char *text)
{
    return hdf5_layout_attribute(&writer->layout, name, text, 0, writer->path);
}

Status hdf5_writer_attribute_integer(Hdf5Writer *writer, const char *name, int64_t value)
{
    return hdf5_layout_attribute(&writer->layout, name, NULL, value, writer->path);
}

static int range_order(const void *a, const void *b)
{
    int64_t left = ((const Range *)a)->offset, right = ((const Range *)b)->offset;
    return (left > right) - (left < right);
}

static Status collect_bulk(Hdf5Writer *writer)
{
    Header *header = &writer->header;
    for (int i = 0; i < writer->layout.count; i++) {
        const Hdf5Array *array = &writer->layout.arrays[i];
        if (!array->bulk || array->bytes == 0) continue;
        if (header->bulk_count == HDF5_MAX_BULK)
            return status_error(STATUS_INTERNAL, "%s: more than %d bulk arrays", writer->path, HDF5_MAX_BULK);
        header->bulk[header->bulk_count++] = (Range){array->offset, array->bytes};
    }
    qsort(header->bulk, (size_t)header->bulk_count, sizeof header->bulk[0], range_order);
    return OK;
}

/* Space is taken at once: a full disk is seen before any work is done, and
 * writes into reserved space are twice as fast. File systems without the call
 * find out later. */
static Status reserve_space(Hdf5Writer *writer)
{
    struct stat info;
    if (fstat(writer->fd, &info) != 0) return status_errno(errno, "look at", writer->path);
    writer->header.size = info.st_size;
    if (fallocate(writer->fd, 0, 0, info.st_size) != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
        return status_errno(errno, "write", writer->path);
    return OK;
}

Status hdf5_writer_layout(Hdf5Writer *writer)
{
    TRY(file_temporary_name(writer->path, &writer->temporary));
    TRY(hdf5_layout_create(&writer->layout, writer->temporary, writer->path));
    writer->fd = open(writer->temporary, O_RDWR | O_CLOEXEC);
    if (writer->fd < 0) return status_errno(errno, "open", writer->temporary);
    TRY(reserve_space(writer));
    return collect_bulk(writer);
}

Status hdf5_writer_put(Hdf5Writer *writer, int array, int64_t offset, const void *data, int64_t bytes)
{
    const Hdf5Array *to = &writer->layout.arrays[array];
    if (offset < 0 || bytes < 0 || offset > to->bytes - bytes)
        return status_error(STATUS_INTERNAL, "%s: %s: %" PRId64 " bytes at %" PRId64 " of %" PRId64, writer->path,
                            to->name, bytes, offset, to->bytes);
    return file_write_at(writer->fd, writer->path, data, (size_t)bytes, to->offset + offset);
}

Status hdf5_writer_put_all(Hdf5Writer *writer, int array, const void *data)
{
    return hdf5_writer_put(writer, array, 0, data, writer->layout.arrays[array].bytes);
}

Status hdf5_writer_copy(Hdf5Writer *writer, int array, int fd, const char *name, int64_t from, int64_t bytes)
{
    const Hdf5Array *to = &writer->layout.arrays[array];
    if (bytes != to->bytes) return status_error(STATUS_INTERNAL, "%s: %s: wrong size", writer->path, to->name);
    return file_copy_at(fd, name, from, writer->fd, writer->path, to->offset, bytes);
}

void hdf5_writer_hint(Hdf5Writer *writer, int array, int64_t offset, int64_t bytes)
{
    (void)sync_file_range(writer->fd, writer->layout.arrays[array].offset + offset, bytes, SYNC_FILE_RANGE_WRITE);
}

static Status seal(Hdf5Writer *writer)
{
    char text[HDF5_HEADER_BYTES];
    TRY(compute_digest(writer->fd, writer->path, &writer->header, &writer->header.digest));
    format_header(&writer->header, text);
    return file_write_at(writer->fd, writer->path, text, sizeof text, 0);
}

Status hdf5_writer_commit(Hdf5Writer *writer)
{
    Status status = seal(writer);
    int fd = writer->fd;
    writer->fd = -1;
    /* Network file systems report some failed writes only here. */
    if (close(fd) != 0 && status == OK) status = status_errno(errno, "write", writer->path);
    if (status == OK) {
        status = file_commit(writer->temporary, writer->path);
        /* Renamed or removed already. */
        memory_free(writer->temporary);
        writer->temporary = NULL;
    }
    hdf5_writer_abandon(writer);
    return status;
}

void hdf5_writer_abandon(Hdf5Writer *writer)
{
    if (writer == NULL) return;
    if (writer->fd >= 0) close(writer->fd);
    file_discard(writer->temporary);
    memory_free(writer->temporary);
    memory_free(writer->path);
    hdf5_layout_clear(&writer->layout);
    memory_free(writer);
}

/* ---- reading ---- */

static Status check_bounds(const Hdf5Reader *reader)
{
    for (int i = 0; i < reader->layout.count; i++) {
        const Hdf5Array *array = &reader->layout.arrays[i];
        if (array->bytes > 0 && (array->offset < HDF5_HEADER_BYTES || array->offset > reader->header.size - array->bytes))
            return status_error(STATUS_CORRUPT, "%s: %s lies outside the file", reader->path, array->name);
    }
    return OK;
}

static Status read_store(Hdf5Reader *reader, const char *kind, int version)
{
    const char *path = reader->path;
    reader->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (reader->fd < 0) return status_errno(errno, "open", path);
    Header *header = &reader->header;
    TRY(parse_header(path, reader->fd, header));
    if (strcmp(header->kind, kind) != 0)
        return status_error(STATUS_INVALID, "%s: is a %s, not a %s", path, header->kind, kind);
    if (header->version != version)
        return status_error(STATUS_VERSION, "%s: %s of version %d; this program reads version %d: make the file anew",
                            path, kind, header->version, version);
    Hash128 digest;
    TRY(compute_digest(reader->fd, path, header, &digest));
    if (!hash_equal(digest, header->digest))
        return status_error(STATUS_CORRUPT, "%s: checksum doesn't match; make the file anew", path);
    hash_to_hex(digest, reader->digest);
    TRY(hdf5_layout_read(&reader->layout, path));
    return check_bounds(reader);
}

Status hdf5_reader_open(const char *path, const char *kind, int version, Hdf5Reader **out)
{
    *out = NULL;
    Hdf5Reader *reader = memory_alloc_zero(1, sizeof *reader);
    if (reader == NULL) return status_no_memory(sizeof *reader, path);
    reader->fd = -1;
    reader->path = memory_copy_string(path);
    Status status = reader->path == NULL ? status_no_memory(strlen(path), path) : read_store(reader, kind, version);
    if (status != OK) {
        hdf5_reader_close(reader);
        return status;
    }
    *out = reader;
    return OK;
}

void hdf5_reader_close(Hdf5Reader *reader)
{
    if (reader == NULL) return;
    if (reader->fd >= 0) close(reader->fd);
    memory_free(reader->path);
    hdf5_layout_clear(&reader->layout);
    memory_free(reader);
}

int hdf5_reader_count(const Hdf5Reader *reader)
{
    return reader->layout.count;
}

const Hdf5Array *hdf5_reader_array(const Hdf5Reader *reader, int index)
{
    return &reader->layout.arrays[index];
}

const Hdf5Array *hdf5_reader_find(const Hdf5Reader *reader, const char *name)
{
    for (int i = 0; i < reader->layout.count; i++)
        if (strcmp(reader->layout.arrays[i].name, name) == 0) return &reader->layout.arrays[i];
    return NULL;
}

Status hdf5_reader_expect(const Hdf5Reader *reader, const char *name, Hdf5Type type, int rank, const int64_t *shape,
                          const Hdf5Array **out)
{
    const Hdf5Array *array = hdf5_reader_find(reader, name);
    if (array == NULL) return status_error(STATUS_CORRUPT, "%s: %s is missing", reader->path, name);
    bool same = array->type == type && array->rank == rank;
    for (int i = 0; same && i < rank; i++) same = shape[i] < 0 || array->shape[i] == shape[i];
    if (!same) return status_error(STATUS_CORRUPT, "%s: %s has the wrong type or shape", reader->path, name);
    *out = array;
    return OK;
}

Status hdf5_reader_read(const Hdf5Reader *reader, const Hdf5Array *array, int64_t offset, void *data, int64_t bytes)
{
    if (offset < 0 || bytes < 0 || offset > array->bytes - bytes)
        return status_error(STATUS_CORRUPT, "%s: %s: %" PRId64 " bytes at %" PRId64 " of %" PRId64, reader->path,
                            array->name, bytes, offset, array->bytes);
    return file_read_at(reader->fd, reader->path, data, (size_t)bytes, array->offset + offset);
}

Status hdf5_reader_load(const Hdf5Reader *reader, const char *name, Hdf5Type type, int rank, const int64_t *shape,
                        void **data, const Hdf5Array **out)
{
    const Hdf5Array *array;
    *data = NULL;
    TRY(hdf5_reader_expect(reader, name, type, rank, shape, &array));
    char *bytes = memory_alloc((size_t)array->bytes + 1);
    if (bytes == NULL) return status_no_memory((size_t)array->bytes, name);
    Status status = hdf5_reader_read(reader, array, 0, bytes, array->bytes);
    if (status != OK) {
        memory_free(bytes);
        return status;
    }
    bytes[array->bytes] = '\0';
    *data = bytes;
    if (out != NULL) *out = array;
    return OK;
}

static const Hdf5Attribute *find_attribute(const Hdf5Reader *reader, const char *name)
{
    for (int i = 0; i < reader->layout.attribute_count; i++)
        if (strcmp(reader->layout.attributes[i].name, name) == 0) return &reader->layout.attributes[i];
    return NULL;
}

Status hdf5_reader_text(const Hdf5Reader *reader, const char *name, const char **text)
{
    const Hdf5Attribute *attribute = find_attribute(reader, name);
    if (attribute == NULL || attribute->text == NULL)
        return status_error(STATUS_CORRUPT, "%s: attribute %s is missing", reader->path, name);
    *text = attribute->text;
    return OK;
}

Status hdf5_reader_integer(const Hdf5Reader *reader, const char *name, int64_t *value)
{
    const Hdf5Attribute *attribute = find_attribute(reader, name);
    if (attribute == NULL || attribute->text != NULL)
        return status_error(STATUS_CORRUPT, "%s: attribute %s is missing", reader->path, name);
    *value = attribute->integer;
    return OK;
}

const char *hdf5_reader_digest(const Hdf5Reader *reader)
{
    return reader->digest;
}

int64_t hdf5_reader_bytes(const Hdf5Reader *reader)
{
    return reader->header.size;
}

Status hdf5_identify(const char *path, char *kind, int *version)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return status_errno(errno, "open", path);
    Header header;
    Status status = parse_header(path, fd, &header);
    close(fd);
    if (status != OK) return status;
    memcpy(kind, header.kind, KIND_BYTES);
    *version = header.version;
    return OK;
}
