/* Reader of safetensors files (float32, float16, bfloat16 become float32). */
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

#endif
