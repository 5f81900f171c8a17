/* The baseline without a generator: an embedding is projected into the semantic space and compared with every class's
 * vector there (DeViSE, Frome et al. 2013; SPNet, Xian et al. 2019). Logit of class c: (P x + p) . a_c / (|a_c| t);
 * "no object", which has no vector, keeps a row of its own. Trained on seen classes alone; since it is linear, the
 * result is a classifier like any other, rows of unseen classes included. */
#include <math.h>

#include "framework/memory.h"
#include "models/engine/ops.h"
#include "models/generator/generator_private.h"
#include "models/generator/networks.h"

void projection_declare(Parameters *parameters, const GeneratorConfig *config)
{
    int64_t in = config->embed_dim, out = config->vector_dim, one = 1;
    parameters_add(parameters, "projection.weight", 2, (int64_t[]){out, in}, (Init){INIT_KAIMING_UNIFORM, 1});
    parameters_add(parameters, "projection.bias", 1, &out, (Init){INIT_ZERO, 0});
    parameters_add(parameters, "no_object.weight", 2, (int64_t[]){1, in}, (Init){INIT_ZERO, 0});
    parameters_add(parameters, "no_object.bias", 1, &one, (Init){INIT_ZERO, 0});
}

/* Class c's vector at length 1 / temperature; zero stays zero. */
static void scaled_vector(const Generator *generator, int c, double *out)
{
    int64_t dim = generator->config.vector_dim;
    const double *vector = generator->class_vectors + c * dim;
    double sum = 0;
    for (int64_t d = 0; d < dim; d++) sum += vector[d] * vector[d];
    double factor = sum > 0 ? 1 / (sqrt(sum) * generator->config.similarity_temperature) : 0;
    for (int64_t d = 0; d < dim; d++) out[d] = vector[d] * factor;
}

Status projection_build(Generator *generator)
{
    const GeneratorConfig *config = &generator->config;
    ClassifierGraph *classifier = &generator->classifier_graph;
    int64_t rows = config->classifier_rows, seen = config->classes - config->unseen_count, dim = config->vector_dim;
    TRY(graph_create(generator->backend, config->dtype, &classifier->graph));
    Graph *graph = classifier->graph;
    size_t size = (size_t)(seen * dim + seen + 1);
    double *vectors = memory_alloc(size * sizeof *vectors);
    if (vectors == NULL) return status_no_memory(size * sizeof *vectors, "class vectors");
    for (int c = 0; c < config->classes; c++)
        if (!generator->is_unseen[c]) scaled_vector(generator, c, vectors + generator->seen_first[c] * dim);
    double *weights = vectors + seen * dim;
    for (int64_t i = 0; i <= seen; i++) weights[i] = i < seen ? 1 : config->no_object_weight;
    Tensor *classes = graph_add_constant(graph, 2, (int64_t[]){seen, dim}, vectors);
    Tensor *class_weights = graph_add_constant(graph, 1, (int64_t[]){seen + 1}, weights);
    memory_free(vectors);
    classifier->embeddings = graph_add_input(graph, config->dtype, 2, (int64_t[]){rows, config->embed_dim}, false);
    classifier->labels = graph_add_input(graph, DTYPE_I32, 1, (int64_t[]){rows}, false);
    Tensor *projected = networks_add_linear(graph, generator->classifier, "projection", classifier->embeddings);
    Tensor *logits[2] = {graph_add_matmul(graph, projected, classes, false, true),
                         networks_add_linear(graph, generator->classifier, "no_object", classifier->embeddings)};
    classifier->loss = graph_mark_output(graph_add_cross_entropy(graph, graph_add_concat(graph, logits, 2, 1),
                                                                 classifier->labels, class_weights));
    return graph_compile(graph, true);
}

static double value_at(const Generator *generator, const Parameter *parameter, int64_t i)
{
    return generator->config.dtype == DTYPE_F64 ? ((const double *)parameter->value)[i]
                                                : (double)((const float *)parameter->value)[i];
}

/* w_c = P^T a_c, b_c = p . a_c */
Status projection_classifier(const Generator *generator, float *weight, float *bias)
{
    const GeneratorConfig *config = &generator->config;
    const Parameter *matrix = parameters_find(generator->classifier, "projection.weight"),
                    *shift = parameters_find(generator->classifier, "projection.bias"),
                    *row = parameters_find(generator->classifier, "no_object.weight"),
                    *end = parameters_find(generator->classifier, "no_object.bias");
    int64_t dim = config->embed_dim, last = config->classes;
    double *vector = memory_alloc((size_t)config->vector_dim * sizeof *vector);
    if (vector == NULL) return status_no_memory((size_t)config->vector_dim * sizeof *vector, "a class vector");
    for (int c = 0; c < config->classes; c++) {
        scaled_vector(generator, c, vector);
        for (int64_t d = 0; d <= dim; d++) {
            double sum = 0;
            for (int64_t v = 0; v < config->vector_dim; v++)
                sum += vector[v] * (d < dim ? value_at(generator, matrix, v * dim + d) : value_at(generator, shift, v));
            if (d < dim) weight[c * dim + d] = (float)sum;
            else bias[c] = (float)sum;
        }
    }
    for (int64_t d = 0; d < dim; d++) weight[last * dim + d] = (float)value_at(generator, row, d);
    bias[last] = (float)value_at(generator, end, 0);
    memory_free(vector);
    return OK;
}
