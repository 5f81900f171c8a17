/* Store files: what is common to shards, feature stores and checkpoints.
 * Private to storage/.
 *
 * A store is an HDF5 file that starts with a user block of text (HEADER_BYTES),
 * which says kind, version, size and digest, so a damaged or foreign file is
 * known before HDF5 sees a byte of it: HDF5 1.10 can crash on damaged metadata.
 * All datasets are contiguous. HDF5 lays the file out and reads the layout back;
 * the bytes themselves are moved by pread and pwrite, at the speed of the file
 * and with errors that have an errno.
 *
 * The digest covers every byte after the header but those of "bulk" arrays,
 * which the file's owner covers by checksums of its own in other arrays. So
 * opening a shard reads its index and not its pixels, and one digest stands for
 * all contents. */
#ifndef STORAGE_HDF5_FILE_H
#define STORAGE_HDF5_FILE_H

#include <stdint.h>

#include "framework/hash.h"
#include "framework/status.h"

#define HDF5_HEADER_BYTES 4096 /* not less than the alignment of arrays: HDF5 wants that */
#define HDF5_MAX_RANK 4
#define HDF5_MAX_BULK 8

/* The first five in the order of ArrayType (storage/checkpoint.h). */
typedef enum Hdf5Type { HDF5_F32, HDF5_F64, HDF5_I32, HDF5_I64, HDF5_U8, HDF5_U16, HDF5_U64, HDF5_TYPE_COUNT } Hdf5Type;
size_t hdf5_type_size(Hdf5Type type);

typedef struct Hdf5Array {
    char *name;          /* "map", or "GROUP/NAME" */
    Hdf5Type type;
    int rank;            /* 0: a single value */
    int64_t shape[HDF5_MAX_RANK];
    bool bulk;
    int64_t offset;      /* in the file; known after hdf5_writer_layout */
    int64_t bytes;
} Hdf5Array;

/* Writing: add all arrays and attributes, lay out, put the bytes, commit. */
typedef struct Hdf5Writer Hdf5Writer;
Status hdf5_writer_create(const char *path, const char *kind, int version, Hdf5Writer **writer);
/* Arrays are numbered from 0 in order of adding. */
Status hdf5_writer_add(Hdf5Writer *writer, const char *name, Hdf5Type type, int rank, const int64_t *shape, bool bulk);
Status hdf5_writer_attribute(Hdf5Writer *writer, const char *name, const char *text);
Status hdf5_writer_attribute_integer(Hdf5Writer *writer, const char *name, int64_t value);
/* Creates the temporary file and reserves its whole space: a disk too full is found here. */
Status hdf5_writer_layout(Hdf5Writer *writer);
Status hdf5_writer_put(Hdf5Writer *writer, int array, int64_t offset, const void *data, int64_t bytes);
Status hdf5_writer_put_all(Hdf5Writer *writer, int array, const void *data);
/* From another open file. */
Status hdf5_writer_copy(Hdf5Writer *writer, int array, int fd, const char *name, int64_t from, int64_t bytes);
/* Starts the write-back of what was put there, so that the commit needn't wait for all of it. */
void hdf5_writer_hint(Hdf5Writer *writer, int array, int64_t offset, int64_t bytes);
/* Digest, header, flush, rename. Frees the writer, also on failure. */
Status hdf5_writer_commit(Hdf5Writer *writer);
void hdf5_writer_abandon(Hdf5Writer *writer); /* NULL is fine */

/* Reading. */
typedef struct Hdf5Reader Hdf5Reader;
/* Checks header, kind, version, size and digest: STATUS_INVALID where it is no store or of another kind,
 * STATUS_VERSION, STATUS_CORRUPT. */
Status hdf5_reader_open(const char *path, const char *kind, int version, Hdf5Reader **reader);
void hdf5_reader_close(Hdf5Reader *reader);
int hdf5_reader_count(const Hdf5Reader *reader);
const Hdf5Array *hdf5_reader_array(const Hdf5Reader *reader, int index);
/* NULL where absent. */
const Hdf5Array *hdf5_reader_find(const Hdf5Reader *reader, const char *name);
/* The array of that name, type and shape, where a side of -1 is any; otherwise STATUS_CORRUPT. */
Status hdf5_reader_expect(const Hdf5Reader *reader, const char *name, Hdf5Type type, int rank, const int64_t *shape,
                          const Hdf5Array **array);
Status hdf5_reader_read(const Hdf5Reader *reader, const Hdf5Array *array, int64_t offset, void *data, int64_t bytes);
/* Finds as hdf5_reader_expect does and reads all into new memory, with a zero byte past the end. `array` may be NULL. */
Status hdf5_reader_load(const Hdf5Reader *reader, const char *name, Hdf5Type type, int rank, const int64_t *shape,
                        void **data, const Hdf5Array **array);
Status hdf5_reader_text(const Hdf5Reader *reader, const char *attribute, const char **text);
Status hdf5_reader_integer(const Hdf5Reader *reader, const char *attribute, int64_t *value);
const char *hdf5_reader_digest(const Hdf5Reader *reader); /* hex */
int64_t hdf5_reader_bytes(const Hdf5Reader *reader); /* of the file */

/* What a file says it is, from its header alone; kind holds 32 bytes. STATUS_INVALID where it is no store. */
Status hdf5_identify(const char *path, char *kind, int *version);

#endif
