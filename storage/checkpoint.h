/* Named arrays and a JSON header in one HDF5 file, checksummed and atomic:
 * checkpoints, weights, classifiers. */
#ifndef STORAGE_CHECKPOINT_H
#define STORAGE_CHECKPOINT_H

#include <stdint.h>

#include "framework/status.h"

typedef enum ArrayType { ARRAY_F32, ARRAY_F64, ARRAY_I32, ARRAY_I64, ARRAY_U8, ARRAY_TYPE_COUNT } ArrayType;
typedef struct NamedArray {
    const char *name;       /* may hold '.', not '/' */
    ArrayType type;
    int rank;
    int64_t shape[4];
    void *data;
} NamedArray;

/* A growing list of arrays for checkpoint_write. Names are PREFIX + NAME, freed by array_list_clear; data stay their
 * owners'. Zero-initialise. */
typedef struct ArrayList {
    NamedArray *items;
    int count, capacity;
} ArrayList;
Status array_list_add(ArrayList *list, const char *prefix, const char *name, ArrayType type, int rank,
                      const int64_t *shape, void *data);
int64_t array_bytes(const NamedArray *array);
void array_list_clear(ArrayList *list);

/* `kind` says what the file is ("segmenter", "generator-state"); `header` is any text (JSON by custom). */
Status checkpoint_write(const char *path, const char *kind, const char *header, const NamedArray *arrays, int count);

typedef struct Checkpoint Checkpoint;
/* Reads it whole and checks kind (NULL: any), version and checksum: STATUS_CORRUPT, STATUS_VERSION or STATUS_INVALID otherwise. */
Status checkpoint_read(const char *path, const char *kind, Checkpoint **checkpoint);
void checkpoint_destroy(Checkpoint *checkpoint);
const char *checkpoint_kind(const Checkpoint *checkpoint);
const char *checkpoint_header(const Checkpoint *checkpoint);
int checkpoint_count(const Checkpoint *checkpoint);
const NamedArray *checkpoint_array(const Checkpoint *checkpoint, int index);
/* Copies the array of that name, type and shape into `data`; the error names what is missing or misshapen. */
Status checkpoint_get(const Checkpoint *checkpoint, const char *name, ArrayType type, int rank, const int64_t *shape,
                      void *data);
const NamedArray *checkpoint_find(const Checkpoint *checkpoint, const char *name); /* NULL where absent */
/* Hex XXH3-128 of the contents, as stored. */
const char *checkpoint_digest(const Checkpoint *checkpoint);

#endif
