/* Safetensors files: read (float32, float16, bfloat16 become float32) and written (float32). */
#ifndef STORAGE_SAFETENSORS_H
#define STORAGE_SAFETENSORS_H

#include "framework/json.h"
#include "framework/status.h"

typedef struct Safetensors Safetensors;
Status safetensors_open(const char *path, Safetensors **file); /* header checked against the file's size */
void safetensors_close(Safetensors *file);
int safetensors_count(const Safetensors *file);
const char *safetensors_name(const Safetensors *file, int index);
/* Reads one tensor of exactly that shape into `data` [count]; names what is missing or misshapen. */
Status safetensors_read(const Safetensors *file, const char *name, int rank, const int64_t *shape, float *data);
bool safetensors_has(const Safetensors *file, const char *name);
#define SAFETENSORS_MAX_RANK 8
/* Type ("F32") and shape, both of which live as long as the file; false where there is no such tensor. */
bool safetensors_describe(const Safetensors *file, const char *name, const char **type, int *rank, const int64_t **shape);
/* A value of the header's metadata; NULL where absent. */
const char *safetensors_metadata(const Safetensors *file, const char *key);
/* "[64, 3, 7, 7]" */
void safetensors_format_shape(int rank, const int64_t *shape, char *out, size_t size);

typedef struct SafetensorsEntry {
    const char *name;
    int rank;
    const int64_t *shape;
    const float *data;
} SafetensorsEntry;
/* `metadata` are `pairs` keys, each followed by its value. Replaces `path` atomically. */
Status safetensors_write(const char *path, const SafetensorsEntry *entries, int count, const char *const *metadata,
                         int pairs);

#endif
