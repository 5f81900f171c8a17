/* The one place that calls HDF5: lays out a file and reads a layout back.
 * Private to hdf5_file.c. */
#ifndef STORAGE_HDF5_LAYOUT_H
#define STORAGE_HDF5_LAYOUT_H

#include "storage/hdf5_file.h"

typedef struct Hdf5Attribute {
    char *name;
    char *text;      /* NULL: an integer */
    int64_t integer;
} Hdf5Attribute;

typedef struct Hdf5Layout {
    Hdf5Array *arrays;
    int count, capacity;
    Hdf5Attribute *attributes;
    int attribute_count, attribute_capacity;
} Hdf5Layout;

void hdf5_layout_clear(Hdf5Layout *layout);
Status hdf5_layout_add(Hdf5Layout *layout, const char *name, Hdf5Type type, int rank, const int64_t *shape,
                       const char *path);
Status hdf5_layout_attribute(Hdf5Layout *layout, const char *name, const char *text, int64_t integer, const char *path);
/* Overwrites `temporary` with an HDF5 file of those arrays, unwritten, and sets their offsets. `path` names it in errors. */
Status hdf5_layout_create(Hdf5Layout *layout, const char *temporary, const char *path);
/* Fills an empty layout, arrays in the order of their making. */
Status hdf5_layout_read(Hdf5Layout *layout, const char *path);

#endif
