#include "tests/models/parity_file.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "framework/memory.h"

struct ParityFile {
    hid_t id;
    char *path;
};

static Status hdf5_failed(const ParityFile *file, const char *what, const char *name)
{
    return status_error(STATUS_LIBRARY, "%s: HDF5 cannot %s %s", file->path, what, name);
}

Status parity_file_open(const char *path, ParityFile **file)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    ParityFile *made = memory_alloc_zero(1, sizeof *made);
    if (made == NULL) return status_no_memory(sizeof *made, "a parity file");
    made->path = memory_copy_string(path);
    made->id = made->path == NULL ? -1 : H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (made->id < 0) {
        memory_free(made->path);
        memory_free(made);
        return status_error(STATUS_NOT_FOUND, "%s: not there, or not HDF5", path);
    }
    *file = made;
    return OK;
}

void parity_file_close(ParityFile *file)
{
    if (file == NULL) return;
    H5Fclose(file->id);
    memory_free(file->path);
    memory_free(file);
}

bool parity_file_has(ParityFile *file, const char *name)
{
    /* H5Lexists fails, rather than says no, where a group on the way is missing: ask for each prefix. */
    char prefix[256];
    for (const char *slash = strchr(name, '/');; slash = strchr(slash + 1, '/')) {
        size_t length = slash == NULL ? strlen(name) : (size_t)(slash - name);
        if (length >= sizeof prefix) return false;
        memcpy(prefix, name, length);
        prefix[length] = 0;
        if (H5Lexists(file->id, prefix, H5P_DEFAULT) <= 0) return false;
        if (slash == NULL) return true;
    }
}

/* Opens a dataset and tells its shape. */
static Status open_dataset(ParityFile *file, const char *name, hid_t *dataset, ParityData *data)
{
    if (!parity_file_has(file, name)) return status_error(STATUS_NOT_FOUND, "%s: has no %s", file->path, name);
    *dataset = H5Dopen2(file->id, name, H5P_DEFAULT);
    if (*dataset < 0) return hdf5_failed(file, "open", name);
    hid_t space = H5Dget_space(*dataset);
    hsize_t shape[8] = {0};
    int rank = H5Sget_simple_extent_ndims(space);
    if (rank < 0 || rank > 8 || H5Sget_simple_extent_dims(space, shape, NULL) < 0) {
        H5Sclose(space);
        H5Dclose(*dataset);
        return hdf5_failed(file, "tell the shape of", name);
    }
    H5Sclose(space);
    data->rank = rank;
    data->count = 1;
    for (int i = 0; i < rank; i++) {
        data->shape[i] = (int64_t)shape[i];
        data->count *= data->shape[i];
    }
    return OK;
}

static Status read_all(ParityFile *file, const char *name, hid_t type, size_t size, ParityData *data, void **values)
{
    hid_t dataset = -1;
    TRY(open_dataset(file, name, &dataset, data));
    *values = memory_alloc_zero((size_t)data->count + 1, size); /* + 1: an empty dataset is no failure */
    Status status = *values == NULL ? status_no_memory((size_t)data->count * size, name) : OK;
    if (status == OK && data->count > 0 && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *values) < 0) {
        memory_free(*values);
        *values = NULL;
        status = hdf5_failed(file, "read", name);
    }
    H5Dclose(dataset);
    return status;
}

Status parity_file_read(ParityFile *file, const char *name, ParityData *data)
{
    memset(data, 0, sizeof *data);
    void *values = NULL;
    TRY(read_all(file, name, H5T_NATIVE_FLOAT, sizeof(float), data, &values));
    data->values = values;
    return OK;
}

Status parity_file_read_into(ParityFile *file, const char *name, float *values, int64_t count)
{
    ParityData data;
    TRY(parity_file_read(file, name, &data));
    Status status = OK;
    if (data.count != count)
        status = status_error(STATUS_INVALID, "%s: %s has %lld elements, not %lld", file->path, name,
                              (long long)data.count, (long long)count);
    else
        memcpy(values, data.values, (size_t)count * sizeof *values);
    memory_free(data.values);
    return status;
}

Status parity_file_read_ints(ParityFile *file, const char *name, int32_t **values, int64_t *count)
{
    ParityData data = {0};
    void *read = NULL;
    TRY(read_all(file, name, H5T_NATIVE_INT32, sizeof(int32_t), &data, &read));
    *values = read;
    *count = data.count;
    return OK;
}

Status parity_file_list(ParityFile *file, const char *group, char ***names, int *count)
{
    *names = NULL;
    *count = 0;
    if (!parity_file_has(file, group)) return OK;
    H5G_info_t info;
    if (H5Gget_info_by_name(file->id, group, &info, H5P_DEFAULT) < 0) return hdf5_failed(file, "list", group);
    char **made = memory_alloc_zero((size_t)info.nlinks + 1, sizeof *made);
    if (made == NULL) return status_no_memory((size_t)info.nlinks * sizeof *made, "names");
    for (hsize_t i = 0; i < info.nlinks; i++) {
        ssize_t length = H5Lget_name_by_idx(file->id, group, H5_INDEX_NAME, H5_ITER_INC, i, NULL, 0, H5P_DEFAULT);
        made[i] = length < 0 ? NULL : memory_alloc_zero((size_t)length + 1, 1);
        if (made[i] == NULL || H5Lget_name_by_idx(file->id, group, H5_INDEX_NAME, H5_ITER_INC, i, made[i],
                                                  (size_t)length + 1, H5P_DEFAULT) < 0) {
            parity_names_free(made, (int)info.nlinks);
            return hdf5_failed(file, "list", group);
        }
    }
    *names = made;
    *count = (int)info.nlinks;
    return OK;
}

void parity_names_free(char **names, int count)
{
    if (names == NULL) return;
    for (int i = 0; i < count; i++) memory_free(names[i]);
    memory_free(names);
}

static Status read_attribute(ParityFile *file, const char *name, hid_t type, void *values, int capacity, int *count)
{
    if (H5Aexists(file->id, name) <= 0) return status_error(STATUS_NOT_FOUND, "%s: has no attribute %s", file->path, name);
    hid_t attribute = H5Aopen(file->id, name, H5P_DEFAULT);
    if (attribute < 0) return hdf5_failed(file, "open attribute", name);
    hid_t space = H5Aget_space(attribute);
    hssize_t points = H5Sget_simple_extent_npoints(space);
    bool good = points >= 1 && points <= capacity && H5Aread(attribute, type, values) >= 0;
    H5Sclose(space);
    H5Aclose(attribute);
    if (!good) return hdf5_failed(file, "read attribute", name);
    *count = (int)points;
    return OK;
}

Status parity_file_double(ParityFile *file, const char *attribute, double *value)
{
    int count;
    return read_attribute(file, attribute, H5T_NATIVE_DOUBLE, value, 1, &count);
}

Status parity_file_int(ParityFile *file, const char *attribute, int64_t *value)
{
    int count;
    return read_attribute(file, attribute, H5T_NATIVE_INT64, value, 1, &count);
}

Status parity_file_doubles(ParityFile *file, const char *attribute, double *values, int capacity, int *count)
{
    return read_attribute(file, attribute, H5T_NATIVE_DOUBLE, values, capacity, count);
}

void parity_nchw_to_nhwc(const float *from, float *to, int64_t n, int64_t c, int64_t h, int64_t w)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < c; k++)
            for (int64_t p = 0; p < h * w; p++) to[(i * h * w + p) * c + k] = from[(i * c + k) * h * w + p];
}

void parity_nhwc_to_nchw(const float *from, float *to, int64_t n, int64_t c, int64_t h, int64_t w)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < c; k++)
            for (int64_t p = 0; p < h * w; p++) to[(i * c + k) * h * w + p] = from[(i * h * w + p) * c + k];
}

Status parity_load_parameters(ParityFile *file, const char *group, Parameters *parameters)
{
    for (int i = 0; i < parameters->count; i++) {
        Parameter *parameter = parameters->items[i];
        char name[256];
        snprintf(name, sizeof name, "%s/%s", group, parameter->name);
        ParityData data;
        TRY(parity_file_read(file, name, &data));
        if (data.count != parameter->count) {
            memory_free(data.values);
            return status_error(STATUS_INVALID, "%s: %s has %lld elements, not %lld", file->path, name,
                                (long long)data.count, (long long)parameter->count);
        }
        for (int64_t k = 0; k < data.count; k++) {
            if (parameters->dtype == DTYPE_F64) ((double *)parameter->value)[k] = (double)data.values[k];
            else ((float *)parameter->value)[k] = data.values[k];
        }
        memory_free(data.values);
    }
    return OK;
}

double parity_relative_error(const float *ours, const float *reference, int64_t count)
{
    double difference = 0, size = 0, own = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)ours[i] - (double)reference[i];
        difference += d * d;
        size += (double)reference[i] * (double)reference[i];
        own += (double)ours[i] * (double)ours[i];
    }
    double error = size > 0 ? sqrt(difference / size) : sqrt(own);
    return isfinite(error) ? error : INFINITY; /* a NaN must not look small */
}

/* How much of its limit the worst so far uses. */
static double worst_share(const ParityResult *result)
{
    return fmax(result->worst_output / PARITY_OUTPUT_LIMIT, result->worst_gradient / PARITY_GRADIENT_LIMIT);
}

static void note(ParityResult *result, const char *kind, const char *name, double error, double limit, double *worst)
{
    if (result->worst_name[0] == 0 || error / limit > worst_share(result))
        snprintf(result->worst_name, sizeof result->worst_name, "%s %s", kind, name);
    *worst = fmax(*worst, error);
}

void parity_note_output(ParityResult *result, const char *name, double error)
{
    note(result, "output", name, error, PARITY_OUTPUT_LIMIT, &result->worst_output);
}

void parity_note_gradient(ParityResult *result, const char *name, double error)
{
    note(result, "gradient", name, error, PARITY_GRADIENT_LIMIT, &result->worst_gradient);
}

static Status compare(ParityFile *file, const char *name, const float *ours, int64_t count, double *error)
{
    ParityData data;
    TRY(parity_file_read(file, name, &data));
    Status status = OK;
    if (data.count != count)
        status = status_error(STATUS_INVALID, "%s: %s has %lld elements, ours %lld", file->path, name,
                              (long long)data.count, (long long)count);
    else
        *error = parity_relative_error(ours, data.values, count);
    memory_free(data.values);
    return status;
}

Status parity_compare_output(ParityFile *file, const char *name, const float *ours, int64_t count,
                             ParityResult *result)
{
    double error = INFINITY;
    TRY(compare(file, name, ours, count, &error));
    parity_note_output(result, name, error);
    return OK;
}

Status parity_compare_gradient(ParityFile *file, const char *name, const float *ours, int64_t count,
                               ParityResult *result)
{
    double error = INFINITY;
    TRY(compare(file, name, ours, count, &error));
    parity_note_gradient(result, name, error);
    return OK;
}

Status parity_compare_gradients(ParityFile *file, const char *group, const Parameters *parameters,
                                ParityResult *result)
{
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *parameter = parameters->items[i];
        char name[256];
        snprintf(name, sizeof name, "%s/%s", group, parameter->name);
        float *ours = memory_alloc_zero((size_t)parameter->count + 1, sizeof *ours);
        if (ours == NULL) return status_no_memory((size_t)parameter->count * sizeof *ours, "gradients");
        double size = 0;
        for (int64_t k = 0; k < parameter->count; k++) {
            ours[k] = parameters->dtype == DTYPE_F64 ? (float)((double *)parameter->grad)[k]
                                                     : ((float *)parameter->grad)[k];
            size += (double)ours[k] * (double)ours[k];
        }
        Status status = OK;
        if (parity_file_has(file, name)) status = parity_compare_gradient(file, name, ours, parameter->count, result);
        else parity_note_gradient(result, name, sqrt(size));
        memory_free(ours);
        TRY(status);
    }
    return OK;
}

bool parity_passes(const ParityResult *result)
{
    return result->worst_output < PARITY_OUTPUT_LIMIT && result->worst_gradient < PARITY_GRADIENT_LIMIT &&
           result->worst_name[0] != 0;
}
