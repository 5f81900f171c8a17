#include "storage/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "framework/file_at.h"
#include "framework/memory.h"

/* The format's own limit: a header is a list of tensors, not a place for data. */
enum { MAX_HEADER = 100000000, MAX_RANK = SAFETENSORS_MAX_RANK, PIECE = 1 << 16 };

/* Types of the format; those with `readable` become float32. */
#define DTYPES(X)                                                                                              \
    X(DTYPE_F64, "F64", 8, 0) X(DTYPE_F32, "F32", 4, 1) X(DTYPE_F16, "F16", 2, 1) X(DTYPE_BF16, "BF16", 2, 1)   \
    X(DTYPE_I64, "I64", 8, 0) X(DTYPE_I32, "I32", 4, 0) X(DTYPE_I16, "I16", 2, 0) X(DTYPE_I8, "I8", 1, 0)       \
    X(DTYPE_U64, "U64", 8, 0) X(DTYPE_U32, "U32", 4, 0) X(DTYPE_U16, "U16", 2, 0) X(DTYPE_U8, "U8", 1, 0)       \
    X(DTYPE_BOOL, "BOOL", 1, 0) X(DTYPE_F8_E4M3, "F8_E4M3", 1, 0) X(DTYPE_F8_E5M2, "F8_E5M2", 1, 0)

typedef enum Dtype {
#define X(id, name, size, readable) id,
    DTYPES(X)
#undef X
    DTYPE_COUNT
} Dtype;

static const struct { const char *name; int size, readable; } DTYPE_TABLE[] = {
#define X(id, name, size, readable) {name, size, readable},
    DTYPES(X)
#undef X
};
_Static_assert(sizeof DTYPE_TABLE / sizeof DTYPE_TABLE[0] == DTYPE_COUNT, "a row for each type");

typedef struct Tensor {
    const char *name; /* in the header's JSON */
    Dtype type;
    int rank;
    int64_t shape[MAX_RANK];
    int64_t start, end; /* in the data */
} Tensor;

struct Safetensors {
    char *path;
    int fd;
    Json *header;
    Tensor *tensors; /* in order of their data */
    int count;
    int64_t data_at;
};

static Status malformed(const Safetensors *file, const char *tensor, const char *what)
{
    return status_error(STATUS_INVALID, "%s: tensor %s: %s", file->path, tensor, what);
}

static Status read_sizes(const Safetensors *file, const Json *entry, Tensor *tensor, int64_t *values)
{
    const Json *shape = json_member(entry, "shape");
    if (shape == NULL || shape->type != JSON_ARRAY || shape->count > MAX_RANK)
        return malformed(file, tensor->name, "no shape of up to 8 sides");
    *values = 1;
    tensor->rank = (int)shape->count;
    for (int i = 0; i < tensor->rank; i++) {
        if (shape->items[i].type != JSON_INTEGER || shape->items[i].integer < 0 ||
            __builtin_mul_overflow(*values, shape->items[i].integer, values))
            return malformed(file, tensor->name, "impossible shape");
        tensor->shape[i] = shape->items[i].integer;
    }
    return OK;
}

static Status read_entry(const Safetensors *file, const Json *entry, int64_t data_bytes, Tensor *tensor)
{
    const Json *type = json_member(entry, "dtype"), *offsets = json_member(entry, "data_offsets");
    int64_t values = 0, bytes;
    if (type == NULL || type->type != JSON_STRING) return malformed(file, tensor->name, "no dtype");
    int found = 0;
    while (found < DTYPE_COUNT && strcmp(DTYPE_TABLE[found].name, type->string) != 0) found++;
    if (found == DTYPE_COUNT) return malformed(file, tensor->name, "unknown dtype");
    tensor->type = (Dtype)found;
    TRY(read_sizes(file, entry, tensor, &values));
    if (offsets == NULL || offsets->type != JSON_ARRAY || offsets->count != 2 ||
        offsets->items[0].type != JSON_INTEGER || offsets->items[1].type != JSON_INTEGER)
        return malformed(file, tensor->name, "no data_offsets");
    tensor->start = offsets->items[0].integer;
    tensor->end = offsets->items[1].integer;
    if (tensor->start < 0 || tensor->end < tensor->start || tensor->end > data_bytes)
        return malformed(file, tensor->name, "data_offsets outside the file");
    if (__builtin_mul_overflow(values, (int64_t)DTYPE_TABLE[found].size, &bytes) || bytes != tensor->end - tensor->start)
        return malformed(file, tensor->name, "data_offsets don't fit dtype and shape");
    return OK;
}

static int data_order(const void *a, const void *b)
{
    const Tensor *left = a, *right = b;
    if (left->start != right->start) return left->start < right->start ? -1 : 1;
    return (left->end > right->end) - (left->end < right->end);
}

/* The data must be covered without overlap or hole, which also finds a file that was cut or added to. */
static Status check_cover(const Safetensors *file, int64_t data_bytes)
{
    int64_t place = 0;
    for (int i = 0; i < file->count; i++) {
        if (file->tensors[i].start < place) return malformed(file, file->tensors[i].name, "overlaps another");
        if (file->tensors[i].start > place) return malformed(file, file->tensors[i].name, "leaves a hole before it");
        place = file->tensors[i].end;
    }
    if (place != data_bytes)
        return status_error(STATUS_INVALID, "%s: %" PRId64 " bytes after the last tensor", file->path, data_bytes - place);
    return OK;
}

static Status read_tensors(Safetensors *file, int64_t data_bytes)
{
    const Json *header = file->header;
    if (header->type != JSON_OBJECT || header->count > 1 << 20)
        return status_error(STATUS_INVALID, "%s: header isn't an object of tensors", file->path);
    file->tensors = memory_alloc_zero(header->count + 1, sizeof *file->tensors);
    if (file->tensors == NULL) return status_no_memory(header->count, file->path);
    for (size_t i = 0; i < header->count; i++) {
        if (strcmp(header->keys[i], "__metadata__") == 0) continue;
        Tensor *tensor = &file->tensors[file->count++];
        tensor->name = header->keys[i];
        TRY(read_entry(file, &header->items[i], data_bytes, tensor));
    }
    qsort(file->tensors, (size_t)file->count, sizeof *file->tensors, data_order);
    return check_cover(file, data_bytes);
}

static Status read_file(Safetensors *file)
{
    uint8_t prefix[8];
    struct stat info;
    file->fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (file->fd < 0) return status_errno(errno, "open", file->path);
    if (fstat(file->fd, &info) != 0) return status_errno(errno, "look at", file->path);
    if (!S_ISREG(info.st_mode) || info.st_size < 10)
        return status_error(STATUS_INVALID, "%s: too short for a safetensors file", file->path);
    TRY(file_read_at(file->fd, file->path, prefix, sizeof prefix, 0));
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | prefix[i];
    if (length > MAX_HEADER || length > (uint64_t)info.st_size - 8)
        return status_error(STATUS_INVALID, "%s: not a safetensors file, or cut short: its header would have %" PRIu64
                            " bytes", file->path, length);
    char *text = memory_alloc((size_t)length + 1);
    if (text == NULL) return status_no_memory((size_t)length, file->path);
    Status status = file_read_at(file->fd, file->path, text, (size_t)length, 8);
    if (status == OK) status = json_parse(text, (size_t)length, file->path, &file->header);
    memory_free(text);
    TRY(status);
    file->data_at = (int64_t)length + 8;
    return read_tensors(file, info.st_size - file->data_at);
}

Status safetensors_open(const char *path, Safetensors **out)
{
    *out = NULL;
    Safetensors *file = memory_alloc_zero(1, sizeof *file);
    if (file == NULL) return status_no_memory(sizeof *file, path);
    file->fd = -1;
    file->path = memory_copy_string(path);
    Status status = file->path == NULL ? status_no_memory(strlen(path), path) : read_file(file);
    if (status != OK) {
        safetensors_close(file);
        return status;
    }
    *out = file;
    return OK;
}

void safetensors_close(Safetensors *file)
{
    if (file == NULL) return;
    if (file->fd >= 0) close(file->fd);
    json_destroy(file->header);
    memory_free(file->tensors);
    memory_free(file->path);
    memory_free(file);
}

int safetensors_count(const Safetensors *file)
{
    return file->count;
}

const char *safetensors_name(const Safetensors *file, int index)
{
    return file->tensors[index].name;
}

static const Tensor *find_tensor(const Safetensors *file, const char *name)
{
    for (int i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
    return NULL;
}

bool safetensors_has(const Safetensors *file, const char *name)
{
    return find_tensor(file, name) != NULL;
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 31) return from_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent != 0) return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float small = (float)fraction * 0x1p-24f; /* subnormal */
    return sign != 0 ? -small : small;
}

static Status convert(const Safetensors *file, const Tensor *tensor, float *data)
{
    uint16_t *piece = memory_alloc(PIECE * sizeof *piece);
    if (piece == NULL) return status_no_memory(PIECE * sizeof *piece, file->path);
    const int64_t total = (tensor->end - tensor->start) / 2;
    Status status = OK;
    for (int64_t done = 0; status == OK && done < total; done += PIECE) {
        int64_t count = total - done < PIECE ? total - done : PIECE;
        status = file_read_at(file->fd, file->path, piece, (size_t)count * 2, file->data_at + tensor->start + 2 * done);
        for (int64_t i = 0; status == OK && i < count; i++)
            data[done + i] = tensor->type == DTYPE_BF16 ? from_bits((uint32_t)piece[i] << 16) : half_to_float(piece[i]);
    }
    memory_free(piece);
    return status;
}

void safetensors_format_shape(int rank, const int64_t *shape, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%" PRId64, i > 0 ? ", " : "", shape[i]);
    if (used < size) snprintf(out + used, size - used, "]");
}

Status safetensors_read(const Safetensors *file, const char *name, int rank, const int64_t *shape, float *data)
{
    const Tensor *tensor = find_tensor(file, name);
    if (tensor == NULL) return status_error(STATUS_NOT_FOUND, "%s: holds no tensor %s", file->path, name);
    bool same = tensor->rank == rank;
    for (int i = 0; same && i < rank; i++) same = tensor->shape[i] == shape[i];
    if (!same) {
        char stored[200], wanted[200];
        safetensors_format_shape(tensor->rank, tensor->shape, stored, sizeof stored);
        safetensors_format_shape(rank, shape, wanted, sizeof wanted);
        return status_error(STATUS_INVALID, "%s: tensor %s is %s, not %s", file->path, name, stored, wanted);
    }
    if (!DTYPE_TABLE[tensor->type].readable)
        return status_error(STATUS_INVALID, "%s: tensor %s is of type %s; only F32, F16 and BF16 can be read", file->path,
                            name, DTYPE_TABLE[tensor->type].name);
    if (tensor->type != DTYPE_F32) return convert(file, tensor, data);
    return file_read_at(file->fd, file->path, data, (size_t)(tensor->end - tensor->start), file->data_at + tensor->start);
}

bool safetensors_describe(const Safetensors *file, const char *name, const char **type, int *rank, const int64_t **shape)
{
    const Tensor *tensor = find_tensor(file, name);
    if (tensor == NULL) return false;
    *type = DTYPE_TABLE[tensor->type].name;
    *rank = tensor->rank;
    *shape = tensor->shape;
    return true;
}

const char *safetensors_metadata(const Safetensors *file, const char *key)
{
    const Json *value = json_member(json_member(file->header, "__metadata__"), key);
    return value != NULL && value->type == JSON_STRING ? value->string : NULL;
}
