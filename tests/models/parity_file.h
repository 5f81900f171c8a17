/* Parity files (shared/parity/README.md): HDF5 files written by running the
 * published PyTorch implementation, with weights, inputs, outputs and
 * gradients. Reading them, and the comparisons every parity check makes. */
#ifndef TESTS_MODELS_PARITY_FILE_H
#define TESTS_MODELS_PARITY_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "framework/status.h"
#include "models/engine/parameters.h"

/* Relative errors |ours - reference| / |reference| (Euclidean norms) above which a file fails. */
#define PARITY_OUTPUT_LIMIT 1e-4
#define PARITY_GRADIENT_LIMIT 1e-3

/* What one file's check found. Start from zeros. A check that compares
 * something that is not a float (matching indices) reports a mismatch as an
 * output error of 1. */
typedef struct ParityResult {
    double worst_output, worst_gradient;
    char worst_name[128]; /* of the entry whose error is the largest share of its limit */
} ParityResult;

/* One per kind of file. An error is one of reading or running; numbers that
 * differ are in `result`. */
Status parity_generator(const char *file, ParityResult *result);
Status parity_gmmn(const char *file, ParityResult *result);
Status parity_pixel_decoder(const char *file, ParityResult *result);
Status parity_mask_decoder(const char *file, ParityResult *result);
Status parity_criterion(const char *file, ParityResult *result);
/* The one of the above for this file's name, by prefix; NULL where the name is none of them. */
Status (*parity_check_for(const char *file_name))(const char *, ParityResult *);
bool parity_passes(const ParityResult *result);

typedef struct ParityFile ParityFile;

/* A dataset in memory, row-major; up to 8 dimensions. */
typedef struct ParityData {
    int rank;
    int64_t shape[8];
    int64_t count;
    float *values;
} ParityData;

Status parity_file_open(const char *path, ParityFile **file);
void parity_file_close(ParityFile *file); /* NULL is fine */
/* "weight/fc.bias". False also for a missing group on the way. */
bool parity_file_has(ParityFile *file, const char *name);
/* A float dataset; memory_free(data->values) when done. Shape {1}-like dimensions are kept as stored. */
Status parity_file_read(ParityFile *file, const char *name, ParityData *data);
/* The same into memory of the caller; fails where the dataset has another number of elements. */
Status parity_file_read_into(ParityFile *file, const char *name, float *values, int64_t count);
/* An integer dataset of any width; memory_free(*values). */
Status parity_file_read_ints(ParityFile *file, const char *name, int32_t **values, int64_t *count);
/* Names of a group's members in alphabetical order; free by parity_names_free. A missing group has none. */
Status parity_file_list(ParityFile *file, const char *group, char ***names, int *count);
void parity_names_free(char **names, int count);
/* Attributes of the file's root. */
Status parity_file_double(ParityFile *file, const char *attribute, double *value);
Status parity_file_int(ParityFile *file, const char *attribute, int64_t *value);
Status parity_file_doubles(ParityFile *file, const char *attribute, double *values, int capacity, int *count);

/* [N, C, H, W] to [N, H, W, C] and back, out of place. */
void parity_nchw_to_nhwc(const float *from, float *to, int64_t n, int64_t c, int64_t h, int64_t w);
void parity_nhwc_to_nchw(const float *from, float *to, int64_t n, int64_t c, int64_t h, int64_t w);

/* Fills every parameter, whatever its dtype, from GROUP/name ("weight"); one the file lacks is an error, and so is
 * another number of elements. */
Status parity_load_parameters(ParityFile *file, const char *group, Parameters *parameters);

/* |ours - reference| / |reference|; of two zero arrays 0, of a zero reference |ours|. */
double parity_relative_error(const float *ours, const float *reference, int64_t count);
/* Reads `name` and compares; the result keeps the worst. */
Status parity_compare_output(ParityFile *file, const char *name, const float *ours, int64_t count,
                             ParityResult *result);
Status parity_compare_gradient(ParityFile *file, const char *name, const float *ours, int64_t count,
                               ParityResult *result);
/* Every parameter's ->grad against GROUP/name ("weight_grad"); where the file has no entry ours must be all zero. */
Status parity_compare_gradients(ParityFile *file, const char *group, const Parameters *parameters,
                                ParityResult *result);
void parity_note_output(ParityResult *result, const char *name, double error);
void parity_note_gradient(ParityResult *result, const char *name, double error);

#endif
