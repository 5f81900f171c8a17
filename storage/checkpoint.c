#include "storage/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "framework/memory.h"
#include "storage/hdf5_file.h"

/* An ArrayType is the Hdf5Type of the same number. */
_Static_assert((int)ARRAY_F32 == (int)HDF5_F32 && (int)ARRAY_F64 == (int)HDF5_F64 && (int)ARRAY_I32 == (int)HDF5_I32 &&
               (int)ARRAY_I64 == (int)HDF5_I64 && (int)ARRAY_U8 == (int)HDF5_U8, "types of arrays");

enum { CHECKPOINT_VERSION = 1 };
#define STORE_KIND "checkpoint"
#define GROUP "arrays/"

struct Checkpoint {
    char *kind, *header;
    NamedArray *arrays;
    int count;
    char digest[HASH_HEX_SIZE];
    char *path;
};

Status array_list_add(ArrayList *list, const char *prefix, const char *name, ArrayType type, int rank,
                      const int64_t *shape, void *data)
{
    if (list->count == list->capacity) {
        int capacity = list->capacity ? list->capacity * 2 : 64;
        NamedArray *items = memory_resize(list->items, (size_t)capacity * sizeof *items);
        if (items == NULL) return status_no_memory((size_t)capacity * sizeof *items, "a checkpoint's table");
        list->items = items;
        list->capacity = capacity;
    }
    char *full = memory_format("%s%s", prefix, name);
    if (full == NULL) return status_no_memory(strlen(prefix) + strlen(name), "a checkpoint's table");
    NamedArray *item = &list->items[list->count++];
    *item = (NamedArray){.name = full, .type = type, .rank = rank, .data = data};
    for (int d = 0; d < 4; d++) item->shape[d] = d < rank ? shape[d] : 1;
    return OK;
}

void array_list_clear(ArrayList *list)
{
    for (int i = 0; i < list->count; i++) memory_free((void *)(uintptr_t)list->items[i].name);
    memory_free(list->items);
    *list = (ArrayList){0};
}

int64_t array_bytes(const NamedArray *array)
{
    int64_t bytes = (int64_t)hdf5_type_size((Hdf5Type)array->type);
    for (int d = 0; d < array->rank; d++) bytes *= array->shape[d];
    return bytes;
}

static Status add_all(Hdf5Writer *writer, const char *path, const char *kind, const char *header,
                      const NamedArray *arrays, int count)
{
    const int64_t header_bytes = (int64_t)strlen(header);
    TRY(hdf5_writer_attribute(writer, "kind", kind));
    TRY(hdf5_writer_add(writer, "header", HDF5_U8, 1, &header_bytes, false));
    for (int i = 0; i < count; i++) {
        char name[300];
        const char *given = arrays[i].name;
        if (given == NULL || given[0] == '\0' || strchr(given, '/') != NULL || strlen(given) > 255 ||
            arrays[i].type < 0 || arrays[i].type >= ARRAY_TYPE_COUNT)
            return status_error(STATUS_INTERNAL, "%s: array %d (%s) has no proper name or type", path, i,
                                given != NULL ? given : "null");
        snprintf(name, sizeof name, GROUP "%s", given);
        TRY(hdf5_writer_add(writer, name, (Hdf5Type)arrays[i].type, arrays[i].rank, arrays[i].shape, false));
    }
    TRY(hdf5_writer_layout(writer));
    TRY(hdf5_writer_put_all(writer, 0, header));
    for (int i = 0; i < count; i++) TRY(hdf5_writer_put_all(writer, i + 1, arrays[i].data));
    return OK;
}

Status checkpoint_write(const char *path, const char *kind, const char *header, const NamedArray *arrays, int count)
{
    Hdf5Writer *writer;
    TRY(hdf5_writer_create(path, STORE_KIND, CHECKPOINT_VERSION, &writer));
    Status status = add_all(writer, path, kind, header, arrays, count);
    if (status == OK) return hdf5_writer_commit(writer);
    hdf5_writer_abandon(writer);
    return status;
}

static Status read_array(const Hdf5Reader *reader, const Hdf5Array *from, NamedArray *to)
{
    if (from->type >= (Hdf5Type)ARRAY_TYPE_COUNT)
        return status_error(STATUS_CORRUPT, "%s has a type that no checkpoint has", from->name);
    to->type = (ArrayType)from->type;
    to->rank = from->rank;
    memcpy(to->shape, from->shape, sizeof to->shape);
    to->name = memory_copy_string(from->name + strlen(GROUP));
    to->data = memory_alloc((size_t)from->bytes + 1); /* an empty array has an address too */
    if (to->name == NULL || to->data == NULL) return status_no_memory((size_t)from->bytes, from->name);
    return hdf5_reader_read(reader, from, 0, to->data, from->bytes);
}

static Status read_all(const Hdf5Reader *reader, const char *path, const char *kind, Checkpoint *checkpoint)
{
    const char *stored;
    const int64_t any = -1;
    void *header = NULL;
    memcpy(checkpoint->digest, hdf5_reader_digest(reader), sizeof checkpoint->digest);
    TRY(hdf5_reader_text(reader, "kind", &stored));
    if (kind != NULL && strcmp(stored, kind) != 0)
        return status_error(STATUS_INVALID, "%s: is a %s, not a %s", path, stored, kind);
    checkpoint->kind = memory_copy_string(stored);
    if (checkpoint->kind == NULL) return status_no_memory(strlen(stored), path);
    TRY(hdf5_reader_load(reader, "header", HDF5_U8, 1, &any, &header, NULL));
    checkpoint->header = header;
    int total = hdf5_reader_count(reader);
    checkpoint->arrays = memory_alloc_zero((size_t)total, sizeof *checkpoint->arrays);
    if (checkpoint->arrays == NULL) return status_no_memory((size_t)total, path);
    for (int i = 0; i < total; i++) {
        const Hdf5Array *array = hdf5_reader_array(reader, i);
        if (strncmp(array->name, GROUP, strlen(GROUP)) != 0) continue;
        TRY(status_wrap(read_array(reader, array, &checkpoint->arrays[checkpoint->count++]), "%s", path));
    }
    return OK;
}

Status checkpoint_read(const char *path, const char *kind, Checkpoint **out)
{
    *out = NULL;
    Hdf5Reader *reader;
    TRY(hdf5_reader_open(path, STORE_KIND, CHECKPOINT_VERSION, &reader));
    Checkpoint *checkpoint = memory_alloc_zero(1, sizeof *checkpoint);
    Status status = OK;
    if (checkpoint == NULL) status = status_no_memory(sizeof *checkpoint, path);
    if (status == OK) {
        checkpoint->path = memory_copy_string(path);
        status = checkpoint->path == NULL ? status_no_memory(strlen(path), path)
                                          : read_all(reader, path, kind, checkpoint);
    }
    hdf5_reader_close(reader);
    if (status != OK) {
        checkpoint_destroy(checkpoint);
        return status;
    }
    *out = checkpoint;
    return OK;
}

void checkpoint_destroy(Checkpoint *checkpoint)
{
    if (checkpoint == NULL) return;
    for (int i = 0; i < checkpoint->count; i++) {
        memory_free((char *)checkpoint->arrays[i].name);
        memory_free(checkpoint->arrays[i].data);
    }
    memory_free(checkpoint->arrays);
    memory_free(checkpoint->kind);
    memory_free(checkpoint->header);
    memory_free(checkpoint->path);
    memory_free(checkpoint);
}

const char *checkpoint_kind(const Checkpoint *checkpoint)
{
    return checkpoint->kind;
}

const char *checkpoint_header(const Checkpoint *checkpoint)
{
    return checkpoint->header;
}

int checkpoint_count(const Checkpoint *checkpoint)
{
    return checkpoint->count;
}

const NamedArray *checkpoint_array(const Checkpoint *checkpoint, int index)
{
    return &checkpoint->arrays[index];
}

const NamedArray *checkpoint_find(const Checkpoint *checkpoint, const char *name)
{
    for (int i = 0; i < checkpoint->count; i++)
        if (strcmp(checkpoint->arrays[i].name, name) == 0) return &checkpoint->arrays[i];
    return NULL;
}

static void format_shape(int rank, const int64_t *shape, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i > 0 ? ", " : "", (long long)shape[i]);
    if (used < size) snprintf(out + used, size - used, "]");
}

Status checkpoint_get(const Checkpoint *checkpoint, const char *name, ArrayType type, int rank, const int64_t *shape,
                      void *data)
{
    const NamedArray *array = checkpoint_find(checkpoint, name);
    if (array == NULL) return status_error(STATUS_NOT_FOUND, "%s: holds no array %s", checkpoint->path, name);
    if (array->type != type) return status_error(STATUS_INVALID, "%s: %s has another type", checkpoint->path, name);
    size_t bytes = hdf5_type_size((Hdf5Type)type);
    bool same = array->rank == rank;
    for (int i = 0; same && i < rank; i++) {
        same = array->shape[i] == shape[i];
        bytes *= (size_t)shape[i];
    }
    if (!same) {
        char stored[100], wanted[100];
        format_shape(array->rank, array->shape, stored, sizeof stored);
        format_shape(rank, shape, wanted, sizeof wanted);
        return status_error(STATUS_INVALID, "%s: %s is %s, not %s", checkpoint->path, name, stored, wanted);
    }
    memcpy(data, array->data, bytes);
    return OK;
}

const char *checkpoint_digest(const Checkpoint *checkpoint)
{
    return checkpoint->digest;
}
