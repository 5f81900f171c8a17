#include "storage/hdf5_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hdf5.h>

#include "framework/file_at.h"
#include "framework/memory.h"

/* HDF5 keeps global state; the serial library need not be built for threads. */
static pthread_mutex_t hdf5_lock = PTHREAD_MUTEX_INITIALIZER;

typedef struct TypeRow { size_t size; H5T_class_t class; H5T_sign_t sign; } TypeRow;
static const TypeRow TYPES[] = {
    [HDF5_F32] = {4, H5T_FLOAT, H5T_SGN_ERROR}, [HDF5_F64] = {8, H5T_FLOAT, H5T_SGN_ERROR},
    [HDF5_I32] = {4, H5T_INTEGER, H5T_SGN_2},   [HDF5_I64] = {8, H5T_INTEGER, H5T_SGN_2},
    [HDF5_U8] = {1, H5T_INTEGER, H5T_SGN_NONE}, [HDF5_U16] = {2, H5T_INTEGER, H5T_SGN_NONE},
    [HDF5_U64] = {8, H5T_INTEGER, H5T_SGN_NONE},
};
_Static_assert(sizeof TYPES / sizeof TYPES[0] == HDF5_TYPE_COUNT, "a row for each type");

size_t hdf5_type_size(Hdf5Type type)
{
    return TYPES[type].size;
}

/* The identifiers of the library are variables, so no table of constants can hold them. */
static hid_t file_type(Hdf5Type type)
{
    switch (type) {
    case HDF5_F32: return H5T_IEEE_F32LE;
    case HDF5_F64: return H5T_IEEE_F64LE;
    case HDF5_I32: return H5T_STD_I32LE;
    case HDF5_I64: return H5T_STD_I64LE;
    case HDF5_U8: return H5T_STD_U8LE;
    case HDF5_U16: return H5T_STD_U16LE;
    case HDF5_U64: return H5T_STD_U64LE;
    default: return H5I_INVALID_HID;
    }
}

/* HDF5 drops errno but writes it into the text of its innermost error. */
typedef struct Cause { char text[256]; int errno_value; } Cause;

static herr_t note_cause(unsigned depth, const H5E_error2_t *error, void *context)
{
    Cause *cause = context;
    (void)depth;
    if (error->desc == NULL) return 0;
    if (cause->text[0] == '\0') snprintf(cause->text, sizeof cause->text, "%s", error->desc);
    const char *number = strstr(error->desc, "errno = ");
    if (number != NULL && cause->errno_value == 0) (void)sscanf(number, "errno = %d", &cause->errno_value);
    return 0;
}

static Status hdf5_error(const char *action, const char *object, const char *path)
{
    Cause cause = {0};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, note_cause, &cause);
    H5Eclear2(H5E_DEFAULT);
    if (cause.errno_value != 0) return status_errno(cause.errno_value, action, path);
    return status_error(STATUS_LIBRARY, "%s: HDF5 can't %s %s: %s", path, action, object,
                        cause.text[0] != '\0' ? cause.text : "no cause given");
}

void hdf5_layout_clear(Hdf5Layout *layout)
{
    for (int i = 0; i < layout->count; i++) memory_free(layout->arrays[i].name);
    for (int i = 0; i < layout->attribute_count; i++) {
        memory_free(layout->attributes[i].name);
        memory_free(layout->attributes[i].text);
    }
    memory_free(layout->arrays);
    memory_free(layout->attributes);
    *layout = (Hdf5Layout){0};
}

Status hdf5_layout_add(Hdf5Layout *layout, const char *name, Hdf5Type type, int rank, const int64_t *shape,
                       const char *path)
{
    if (rank < 0 || rank > HDF5_MAX_RANK) return status_error(STATUS_INTERNAL, "%s: %s has rank %d", path, name, rank);
    if (layout->count == layout->capacity) {
        int capacity = layout->capacity * 2 + 16;
        Hdf5Array *larger = memory_resize(layout->arrays, (size_t)capacity * sizeof *larger);
        if (larger == NULL) return status_no_memory((size_t)capacity * sizeof *larger, path);
        layout->arrays = larger;
        layout->capacity = capacity;
    }
    Hdf5Array array = {.type = type, .rank = rank, .bytes = (int64_t)TYPES[type].size};
    for (int i = 0; i < rank; i++) {
        array.shape[i] = shape[i];
        if (shape[i] < 0 || __builtin_mul_overflow(array.bytes, shape[i], &array.bytes))
            return status_error(STATUS_INVALID, "%s: %s has an impossible shape", path, name);
    }
    array.name = memory_copy_string(name);
    if (array.name == NULL) return status_no_memory(strlen(name), path);
    layout->arrays[layout->count++] = array;
    return OK;
}

Status hdf5_layout_attribute(Hdf5Layout *layout, const char *name, const char *text, int64_t integer, const char *path)
{
    if (layout->attribute_count == layout->attribute_capacity) {
        int capacity = layout->attribute_capacity * 2 + 8;
        Hdf5Attribute *larger = memory_resize(layout->attributes, (size_t)capacity * sizeof *larger);
        if (larger == NULL) return status_no_memory((size_t)capacity * sizeof *larger, path);
        layout->attributes = larger;
        layout->attribute_capacity = capacity;
    }
    Hdf5Attribute *attribute = &layout->attributes[layout->attribute_count];
    *attribute = (Hdf5Attribute){.name = memory_copy_string(name), .integer = integer};
    if (text != NULL) attribute->text = memory_copy_string(text);
    if (attribute->name == NULL || (text != NULL && attribute->text == NULL)) {
        memory_free(attribute->name);
        memory_free(attribute->text);
        return status_no_memory(strlen(name), path);
    }
    layout->attribute_count++;
    return OK;
}

static void close_id(hid_t id, herr_t (*closer)(hid_t))
{
    if (id >= 0) closer(id);
}

/* No times in object headers: the same contents must give the same bytes.
 * Creation order: arrays come back as they were written. */
static hid_t group_properties(hid_t class)
{
    hid_t properties = H5Pcreate(class);
    if (properties < 0) return properties;
    if (H5Pset_obj_track_times(properties, false) < 0 ||
        H5Pset_link_creation_order(properties, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) < 0 ||
        (class == H5P_FILE_CREATE && H5Pset_userblock(properties, HDF5_HEADER_BYTES) < 0)) {
        H5Pclose(properties);
        return H5I_INVALID_HID;
    }
    return properties;
}

/* No locks: they fail on some network file systems, and a file that is renamed
 * into place when whole needs none. */
static hid_t access_properties(bool create)
{
    hid_t properties = H5Pcreate(H5P_FILE_ACCESS);
    if (properties < 0) return properties;
    /* Its other driver wants the real path of a file that is a link, and an unnamed file in memory has none. */
    if ((create && H5Pset_fapl_stdio(properties) < 0) ||
        H5Pset_libver_bounds(properties, H5F_LIBVER_V18, H5F_LIBVER_V110) < 0 ||
        H5Pset_alignment(properties, 1 << 16, HDF5_HEADER_BYTES) < 0 || H5Pset_file_locking(properties, false, true) < 0) {
        H5Pclose(properties);
        return H5I_INVALID_HID;
    }
    return properties;
}

static Status open_group(hid_t file, const char *name, const char *path, hid_t *group)
{
    htri_t there = H5Lexists(file, name, H5P_DEFAULT);
    if (there > 0) {
        *group = H5Gopen2(file, name, H5P_DEFAULT);
    } else {
        hid_t properties = group_properties(H5P_GROUP_CREATE);
        *group = there < 0 ? H5I_INVALID_HID : H5Gcreate2(file, name, H5P_DEFAULT, properties, H5P_DEFAULT);
        close_id(properties, H5Pclose);
    }
    return *group < 0 ? hdf5_error("create", name, path) : OK;
}

static hid_t create_dataset(hid_t parent, const char *name, const Hdf5Array *array)
{
    hsize_t shape[HDF5_MAX_RANK];
    for (int i = 0; i < array->rank; i++) shape[i] = (hsize_t)array->shape[i];
    hid_t space = array->rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(array->rank, shape, NULL);
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), dataset = H5I_INVALID_HID;
    if (space >= 0 && properties >= 0 && H5Pset_layout(properties, H5D_CONTIGUOUS) >= 0 &&
        H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY) >= 0 &&
        H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER) >= 0 && H5Pset_obj_track_times(properties, false) >= 0)
        dataset = H5Dcreate2(parent, name, file_type(array->type), space, H5P_DEFAULT, properties, H5P_DEFAULT);
    close_id(space, H5Sclose);
    close_id(properties, H5Pclose);
    return dataset;
}

static Status create_array(hid_t file, Hdf5Array *array, const char *path)
{
    hid_t parent = file;
    const char *slash = strchr(array->name, '/'), *name = array->name;
    if (slash != NULL) {
        char group[64];
        snprintf(group, sizeof group, "%.*s", (int)(slash - array->name), array->name);
        TRY(open_group(file, group, path, &parent));
        name = slash + 1;
    }
    hid_t dataset = create_dataset(parent, name, array);
    Status status = dataset < 0 ? hdf5_error("create", array->name, path) : OK;
    if (status == OK && array->bytes > 0) {
        haddr_t offset = H5Dget_offset(dataset);
        if (offset == HADDR_UNDEF) status = hdf5_error("place", array->name, path);
        else array->offset = (int64_t)offset;
    }
    if (dataset >= 0 && H5Dclose(dataset) < 0) status = status_first(status, hdf5_error("close", array->name, path));
    if (parent != file) H5Gclose(parent);
    return status;
}

static Status create_attribute(hid_t file, const Hdf5Attribute *attribute, const char *path)
{
    hid_t type = H5I_INVALID_HID, space = H5Screate(H5S_SCALAR), id = H5I_INVALID_HID;
    bool written = false;
    if (attribute->text != NULL) {
        type = H5Tcopy(H5T_C_S1);
        if (type >= 0 && H5Tset_size(type, strlen(attribute->text) + 1) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0)
            id = H5Acreate2(file, attribute->name, type, space, H5P_DEFAULT, H5P_DEFAULT);
        written = id >= 0 && H5Awrite(id, type, attribute->text) >= 0;
        close_id(type, H5Tclose);
    } else {
        id = H5Acreate2(file, attribute->name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
        written = id >= 0 && H5Awrite(id, H5T_NATIVE_INT64, &attribute->integer) >= 0;
    }
    Status status = written ? OK : hdf5_error("write attribute", attribute->name, path);
    close_id(id, H5Aclose);
    close_id(space, H5Sclose);
    return status;
}

static Status lay_out(Hdf5Layout *layout, const char *name, const char *path)
{
    pthread_mutex_lock(&hdf5_lock);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t creation = group_properties(H5P_FILE_CREATE), access = access_properties(true), file = H5I_INVALID_HID;
    if (creation >= 0 && access >= 0) file = H5Fcreate(name, H5F_ACC_TRUNC, creation, access);
    Status status = file < 0 ? hdf5_error("create", "the file", path) : OK;
    for (int i = 0; status == OK && i < layout->count; i++) status = create_array(file, &layout->arrays[i], path);
    for (int i = 0; status == OK && i < layout->attribute_count; i++)
        status = create_attribute(file, &layout->attributes[i], path);
    if (file >= 0 && H5Fclose(file) < 0) status = status_first(status, hdf5_error("write", "the file", path));
    close_id(creation, H5Pclose);
    close_id(access, H5Pclose);
    pthread_mutex_unlock(&hdf5_lock);
    return status;
}

/* What was written of `from`, to the same places of an empty file; the rest stays holes. */
static Status copy_written(int from, int to, const char *path)
{
    struct stat info;
    if (fstat(from, &info) != 0 || ftruncate(to, info.st_size) != 0) return status_errno(errno, "write", path);
    for (off_t end, start = 0; start < info.st_size; start = end) {
        start = lseek(from, start, SEEK_DATA);
        if (start < 0 && errno == ENXIO) return OK; /* holes to the end */
        end = start < 0 ? -1 : lseek(from, start, SEEK_HOLE);
        if (end < 0) return status_errno(errno, "lay out", path);
        TRY(file_copy_at(from, path, start, to, path, start, end - start));
    }
    return OK;
}

/* HDF5 1.10 crashes at exit once a write of its own has failed. So it lays out a sparse file in memory, where no disk
 * is full, and what it wrote is copied by calls that may fail. */
Status hdf5_layout_create(Hdf5Layout *layout, const char *temporary, const char *path)
{
    int memory = memfd_create("zeroth-store", MFD_CLOEXEC);
    if (memory < 0) return status_errno(errno, "lay out", path);
    int file = open(temporary, O_WRONLY | O_TRUNC | O_CLOEXEC);
    Status status = file < 0 ? status_errno(errno, "open", temporary) : OK;
    char name[40];
    snprintf(name, sizeof name, "/proc/self/fd/%d", memory);
    if (status == OK) status = lay_out(layout, name, path);
    if (status == OK) status = copy_written(memory, file, path);
    close(memory);
    if (file >= 0 && close(file) != 0 && status == OK) status = status_errno(errno, "write", path);
    return status;
}

static Status damaged(const char *path, const char *what)
{
    return status_error(STATUS_CORRUPT, "%s: %s isn't as a store's must be", path, what);
}

static bool dataset_type(hid_t dataset, Hdf5Type *type)
{
    hid_t id = H5Dget_type(dataset);
    if (id < 0) return false;
    size_t size = H5Tget_size(id);
    H5T_class_t class = H5Tget_class(id);
    H5T_sign_t sign = class == H5T_INTEGER ? H5Tget_sign(id) : H5T_SGN_ERROR;
    bool little = size == 1 || H5Tget_order(id) == H5T_ORDER_LE, found = false;
    for (int i = 0; i < HDF5_TYPE_COUNT && !found; i++) {
        found = little && TYPES[i].size == size && TYPES[i].class == class && TYPES[i].sign == sign;
        if (found) *type = (Hdf5Type)i;
    }
    H5Tclose(id);
    return found;
}

static bool dataset_shape(hid_t dataset, int *rank, int64_t *shape)
{
    hid_t space = H5Dget_space(dataset);
    if (space < 0) return false;
    hsize_t sides[HDF5_MAX_RANK];
    *rank = H5Sget_simple_extent_ndims(space);
    bool good = *rank >= 0 && *rank <= HDF5_MAX_RANK && H5Sget_simple_extent_dims(space, sides, NULL) >= 0;
    H5Sclose(space);
    for (int i = 0; good && i < *rank; i++) {
        good = sides[i] <= INT64_MAX;
        shape[i] = (int64_t)sides[i];
    }
    return good;
}

typedef struct Walk {
    Hdf5Layout *layout;
    const char *path;
    Status status;
    char group[64]; /* "" at the root, then "NAME/" */
} Walk;

static Status read_array(hid_t dataset, const char *name, Walk *walk)
{
    Hdf5Type type;
    int rank;
    int64_t shape[HDF5_MAX_RANK];
    if (!dataset_type(dataset, &type) || !dataset_shape(dataset, &rank, shape)) return damaged(walk->path, name);
    hid_t properties = H5Dget_create_plist(dataset);
    bool contiguous = properties >= 0 && H5Pget_layout(properties) == H5D_CONTIGUOUS;
    close_id(properties, H5Pclose);
    if (!contiguous) return damaged(walk->path, name);
    TRY(hdf5_layout_add(walk->layout, name, type, rank, shape, walk->path));
    Hdf5Array *array = &walk->layout->arrays[walk->layout->count - 1];
    if (array->bytes == 0) return OK;
    haddr_t offset = H5Dget_offset(dataset);
    if (offset == HADDR_UNDEF || offset > INT64_MAX) return damaged(walk->path, name);
    array->offset = (int64_t)offset;
    return OK;
}

static herr_t visit_link(hid_t parent, const char *name, const H5L_info_t *info, void *context)
{
    Walk *walk = context;
    (void)info;
    hid_t object = H5Oopen(parent, name, H5P_DEFAULT);
    if (object < 0) {
        walk->status = hdf5_error("open", name, walk->path);
        return -1;
    }
    H5I_type_t type = H5Iget_type(object);
    char full[512];
    snprintf(full, sizeof full, "%s%s", walk->group, name);
    if (type == H5I_DATASET) {
        walk->status = read_array(object, full, walk);
    } else if (type == H5I_GROUP && walk->group[0] == '\0' && strlen(name) + 2 < sizeof walk->group) {
        snprintf(walk->group, sizeof walk->group, "%s/", name);
        if (H5Literate(object, H5_INDEX_CRT_ORDER, H5_ITER_INC, NULL, visit_link, walk) < 0 && walk->status == OK)
            walk->status = hdf5_error("list", name, walk->path);
        walk->group[0] = '\0';
    } else {
        walk->status = damaged(walk->path, full);
    }
    H5Oclose(object);
    return walk->status == OK ? 0 : -1;
}

static herr_t visit_attribute(hid_t parent, const char *name, const H5A_info_t *info, void *context)
{
    Walk *walk = context;
    (void)info;
    hid_t attribute = H5Aopen(parent, name, H5P_DEFAULT);
    hid_t type = attribute < 0 ? H5I_INVALID_HID : H5Aget_type(attribute);
    int64_t integer = 0;
    if (type < 0) {
        walk->status = hdf5_error("open attribute", name, walk->path);
    } else if (H5Tget_class(type) == H5T_INTEGER && H5Aread(attribute, H5T_NATIVE_INT64, &integer) >= 0) {
        walk->status = hdf5_layout_attribute(walk->layout, name, NULL, integer, walk->path);
    } else if (H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 && H5Aget_storage_size(attribute) ==
               H5Tget_size(type)) {
        size_t size = H5Tget_size(type);
        char *text = memory_alloc_zero(size + 1, 1);
        if (text == NULL) walk->status = status_no_memory(size, walk->path);
        else if (H5Aread(attribute, type, text) < 0) walk->status = hdf5_error("read attribute", name, walk->path);
        else walk->status = hdf5_layout_attribute(walk->layout, name, text, 0, walk->path);
        memory_free(text);
    } else {
        walk->status = damaged(walk->path, name);
    }
    close_id(type, H5Tclose);
    close_id(attribute, H5Aclose);
    return walk->status == OK ? 0 : -1;
}

Status hdf5_layout_read(Hdf5Layout *layout, const char *path)
{
    pthread_mutex_lock(&hdf5_lock);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t access = access_properties(false), file = H5I_INVALID_HID;
    if (access >= 0) file = H5Fopen(path, H5F_ACC_RDONLY, access);
    Walk walk = {.layout = layout, .path = path};
    if (file < 0) walk.status = hdf5_error("open", "the file", path);
    if (walk.status == OK && H5Literate(file, H5_INDEX_CRT_ORDER, H5_ITER_INC, NULL, visit_link, &walk) < 0 &&
        walk.status == OK)
        walk.status = hdf5_error("list", "the file", path);
    if (walk.status == OK && H5Aiterate2(file, H5_INDEX_NAME, H5_ITER_INC, NULL, visit_attribute, &walk) < 0 &&
        walk.status == OK)
        walk.status = hdf5_error("list attributes of", "the file", path);
    close_id(file, H5Fclose);
    close_id(access, H5Pclose);
    pthread_mutex_unlock(&hdf5_lock);
    return walk.status;
}
