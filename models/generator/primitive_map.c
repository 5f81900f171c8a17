#include "models/generator/primitive_map.h"

#include <math.h>
#include <string.h>

#include "framework/memory.h"

#define NORM_EPSILON 1e-5 /* as in networks.c */

typedef struct Matrix {
    const float *data;
    int64_t rows, columns;
} Matrix;

static Status find(const Checkpoint *weights, const char *name, int rank, Matrix *matrix)
{
    const NamedArray *array = checkpoint_find(weights, name);
    if (array == NULL) return status_error(STATUS_NOT_FOUND, "the generator has no '%s'", name);
    if (array->type != ARRAY_F32 || array->rank != rank)
        return status_error(STATUS_CORRUPT, "'%s' of the generator has another shape than is known", name);
    *matrix = (Matrix){array->data, array->shape[0], rank > 1 ? array->shape[1] : 1};
    return OK;
}

/* out [rows, n] = x [rows, k] times the transposed rows `from` .. `from + n` of weight [., k], plus bias. */
static void linear(const double *x, int64_t rows, const Matrix *weight, const Matrix *bias, int64_t from, int64_t n,
                   double *out)
{
    int64_t k = weight->columns;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < n; j++) {
            const float *w = weight->data + (from + j) * k;
            double sum = bias->data[from + j];
            for (int64_t i = 0; i < k; i++) sum += x[r * k + i] * (double)w[i];
            out[r * n + j] = sum;
        }
}

static void layer_norm(double *x, int64_t rows, int64_t dim, const Matrix *weight, const Matrix *bias)
{
    for (int64_t r = 0; r < rows; r++) {
        double mean = 0, variance = 0, *row = x + r * dim;
        for (int64_t i = 0; i < dim; i++) mean += row[i];
        mean /= (double)dim;
        for (int64_t i = 0; i < dim; i++) variance += (row[i] - mean) * (row[i] - mean);
        double scale = 1 / sqrt(variance / (double)dim + NORM_EPSILON);
        for (int64_t i = 0; i < dim; i++) row[i] = (row[i] - mean) * scale * (double)weight->data[i] + (double)bias->data[i];
    }
}

typedef struct Weights {
    Matrix project, project_bias, dictionary;
    Matrix self, self_bias, self_out, self_out_bias, norm, norm_bias;
    Matrix cross, cross_bias;
} Weights;

static Status find_weights(const Checkpoint *checkpoint, int vector_dim, int heads, Weights *w)
{
    TRY(find(checkpoint, "dict_feature.weight", 2, &w->dictionary));
    TRY(find(checkpoint, "fc_projection.weight", 2, &w->project));
    TRY(find(checkpoint, "fc_projection.bias", 1, &w->project_bias));
    TRY(find(checkpoint, "generator.layers.0.self_attn.in_proj_weight", 2, &w->self));
    TRY(find(checkpoint, "generator.layers.0.self_attn.in_proj_bias", 1, &w->self_bias));
    TRY(find(checkpoint, "generator.layers.0.self_attn.out_proj.weight", 2, &w->self_out));
    TRY(find(checkpoint, "generator.layers.0.self_attn.out_proj.bias", 1, &w->self_out_bias));
    TRY(find(checkpoint, "generator.layers.0.norm1.weight", 1, &w->norm));
    TRY(find(checkpoint, "generator.layers.0.norm1.bias", 1, &w->norm_bias));
    TRY(find(checkpoint, "generator.layers.0.multihead_attn.in_proj_weight", 2, &w->cross));
    TRY(find(checkpoint, "generator.layers.0.multihead_attn.in_proj_bias", 1, &w->cross_bias));
    int64_t dim = w->dictionary.columns;
    bool fits = heads > 0 && dim % heads == 0 && w->project.rows == dim && w->project.columns == vector_dim &&
                w->project_bias.rows == dim && w->self.rows == 3 * dim && w->self.columns == dim &&
                w->self_bias.rows == 3 * dim && w->self_out.rows == dim && w->self_out.columns == dim &&
                w->self_out_bias.rows == dim && w->norm.rows == dim && w->norm_bias.rows == dim &&
                w->cross.rows == 3 * dim && w->cross.columns == dim && w->cross_bias.rows == 3 * dim;
    return fits ? OK : status_error(STATUS_CORRUPT, "the generator's weights do not fit its class vectors and heads");
}

/* Adds softmax(q k / sqrt(size)) of one head to the map. */
static void add_head(const double *query, const double *keys, int64_t dim, int64_t from, int64_t size, int64_t count,
                     double share, double *scores, float *row)
{
    double most = -INFINITY, sum = 0;
    for (int64_t n = 0; n < count; n++) {
        double dot = 0;
        for (int64_t i = from; i < from + size; i++) dot += query[i] * keys[n * dim + i];
        scores[n] = dot / sqrt((double)size);
        if (scores[n] > most) most = scores[n];
    }
    for (int64_t n = 0; n < count; n++) sum += scores[n] = exp(scores[n] - most);
    for (int64_t n = 0; n < count; n++) row[n] += (float)(share * scores[n] / sum);
}

static void fill_map(const Weights *w, const float *vectors, int64_t classes, int heads, double *room, float *map)
{
    int64_t dim = w->dictionary.columns, count = w->dictionary.rows, length = w->project.columns;
    double *wide = room, *x = wide + classes * length, *value = x + classes * dim, *update = value + classes * dim;
    double *primitives = update + classes * dim, *keys = primitives + count * dim, *scores = keys + count * dim;
    for (int64_t i = 0; i < classes * length; i++) wide[i] = vectors[i];
    for (int64_t i = 0; i < count * dim; i++) primitives[i] = w->dictionary.data[i];
    linear(wide, classes, &w->project, &w->project_bias, 0, dim, x);
    linear(x, classes, &w->self, &w->self_bias, 2 * dim, dim, value); /* a sequence of one attends to itself alone */
    linear(value, classes, &w->self_out, &w->self_out_bias, 0, dim, update);
    for (int64_t i = 0; i < classes * dim; i++) x[i] += update[i];
    layer_norm(x, classes, dim, &w->norm, &w->norm_bias);
    linear(x, classes, &w->cross, &w->cross_bias, 0, dim, value);
    linear(primitives, count, &w->cross, &w->cross_bias, dim, dim, keys);
    for (int64_t c = 0; c < classes; c++)
        for (int h = 0; h < heads; h++)
            add_head(value + c * dim, keys, dim, h * (dim / heads), dim / heads, count, 1.0 / heads, scores,
                     map + c * count);
}

Status primitive_map(const Checkpoint *weights, const float *vectors, int classes, int vector_dim, int heads, float **map,
                     int *primitives)
{
    Weights w;
    *map = NULL;
    TRY(find_weights(weights, vector_dim, heads, &w));
    int64_t dim = w.dictionary.columns, count = w.dictionary.rows;
    size_t room = (size_t)(classes * (vector_dim + 3 * dim) + count * (2 * dim + 1));
    double *numbers = memory_alloc_zero(room, sizeof *numbers);
    *map = memory_alloc_zero((size_t)(classes * count), sizeof **map);
    if (numbers == NULL || *map == NULL) {
        memory_free(numbers);
        memory_free(*map);
        *map = NULL;
        return status_no_memory(room * sizeof *numbers, "the map of primitives");
    }
    fill_map(&w, vectors, classes, heads, numbers, *map);
    *primitives = (int)count;
    memory_free(numbers);
    return OK;
}
