#include "models/generator/networks.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "framework/memory.h"
#include "models/engine/ops.h"

#define NORM_EPSILON 1e-5 /* PyTorch's LayerNorm */

typedef struct Name { char text[128]; } Name;

__attribute__((format(printf, 1, 2))) static Name name_of(const char *format, ...)
{
    Name name;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name.text, sizeof name.text, format, arguments);
    va_end(arguments);
    return name;
}

static void declare_matrix(Parameters *parameters, Name name, int64_t rows, int64_t columns, InitKind init)
{
    parameters_add(parameters, name.text, 2, (int64_t[]){rows, columns}, (Init){init, 1});
}

static void declare_vector(Parameters *parameters, Name name, int64_t count, InitKind init, double scale)
{
    parameters_add(parameters, name.text, 1, (int64_t[]){count}, (Init){init, scale});
}

/* PyTorch's Linear: weight and bias uniform in +-1/sqrt(in). */
static void declare_linear(Parameters *parameters, const char *name, int64_t in, int64_t out)
{
    declare_matrix(parameters, name_of("%s.weight", name), out, in, INIT_KAIMING_UNIFORM);
    declare_vector(parameters, name_of("%s.bias", name), out, INIT_UNIFORM, 1 / sqrt((double)in));
}

/* PyTorch's MultiheadAttention: Glorot for the stacked q, k, v, zero biases. */
static void declare_attention(Parameters *parameters, const char *name, int64_t dim)
{
    declare_matrix(parameters, name_of("%s.in_proj_weight", name), 3 * dim, dim, INIT_XAVIER_UNIFORM);
    declare_vector(parameters, name_of("%s.in_proj_bias", name), 3 * dim, INIT_ZERO, 0);
    declare_matrix(parameters, name_of("%s.out_proj.weight", name), dim, dim, INIT_KAIMING_UNIFORM);
    declare_vector(parameters, name_of("%s.out_proj.bias", name), dim, INIT_ZERO, 0);
}

static void declare_norm(Parameters *parameters, const char *name, int64_t dim)
{
    declare_vector(parameters, name_of("%s.weight", name), dim, INIT_ONE, 0);
    declare_vector(parameters, name_of("%s.bias", name), dim, INIT_ZERO, 0);
}

void networks_declare_gmmn(Parameters *parameters, const char *prefix, int64_t in, int64_t hidden, int64_t out)
{
    declare_matrix(parameters, name_of("%smodel.0.weight", prefix), hidden, in, INIT_XAVIER_UNIFORM);
    declare_vector(parameters, name_of("%smodel.0.bias", prefix), hidden, INIT_CONSTANT, 0.01);
    declare_matrix(parameters, name_of("%smodel.3.weight", prefix), out, hidden, INIT_XAVIER_UNIFORM);
    declare_vector(parameters, name_of("%smodel.3.bias", prefix), out, INIT_CONSTANT, 0.01);
}

static void declare_primitive(Parameters *parameters, const GeneratorConfig *config)
{
    int64_t dim = config->embed_dim;
    declare_matrix(parameters, name_of("dict_feature.weight"), config->primitives, dim, INIT_NORMAL);
    for (int layer = 0; layer < config->layers; layer++) {
        declare_attention(parameters, name_of("generator.layers.%d.self_attn", layer).text, dim);
        declare_attention(parameters, name_of("generator.layers.%d.multihead_attn", layer).text, dim);
        declare_linear(parameters, name_of("generator.layers.%d.linear1", layer).text, dim, config->ffn);
        declare_linear(parameters, name_of("generator.layers.%d.linear2", layer).text, config->ffn, dim);
        for (int i = 1; i <= 3; i++)
            declare_norm(parameters, name_of("generator.layers.%d.norm%d", layer, i).text, dim);
    }
    declare_norm(parameters, "generator.norm", dim);
}

void networks_declare(Parameters *parameters, const GeneratorConfig *config)
{
    int64_t dim = config->embed_dim;
    declare_linear(parameters, "fc_projection", config->vector_dim, dim);
    if (config->kind == GENERATOR_PRIMITIVE) declare_primitive(parameters, config);
    else networks_declare_gmmn(parameters, "gmmn.", 2 * dim, config->ffn, dim);
    if (!config->disentangle) return;
    declare_linear(parameters, "projection_related.encoder.0", dim, dim);
    declare_linear(parameters, "projection_related.encoder.1", dim, dim);
    declare_linear(parameters, "projection_unrelated.encoder.0", dim, dim);
    declare_linear(parameters, "projection_unrelated.encoder.1", dim, dim);
    declare_linear(parameters, "decoder.decoder.0", 2 * dim, dim);
    declare_linear(parameters, "decoder.decoder.3", dim, dim);
    declare_linear(parameters, "relation.fc1", 2 * dim, dim);
    declare_linear(parameters, "relation.fc2", dim, 1);
}

/* The tensor of parameter PREFIX.suffix. */
static Tensor *parameter(Graph *graph, Parameters *parameters, const char *prefix, const char *suffix)
{
    Name name = name_of("%s.%s", prefix, suffix);
    Parameter *found = parameters_find(parameters, name.text);
    return found == NULL ? graph_fail(graph, "no parameter %s", name.text) : graph_add_parameter(graph, found);
}

Tensor *networks_add_linear(Graph *graph, Parameters *parameters, const char *name, Tensor *x)
{
    return graph_add_linear(graph, x, parameter(graph, parameters, name, "weight"),
                            parameter(graph, parameters, name, "bias"));
}

static Tensor *add_norm(Graph *graph, Parameters *parameters, const char *name, Tensor *x)
{
    return graph_add_layer_norm(graph, x, parameter(graph, parameters, name, "weight"),
                                parameter(graph, parameters, name, "bias"), NORM_EPSILON);
}

/* Part 0, 1, 2 of a stacked input projection: queries, keys, values. */
static Tensor *add_projection(Graph *graph, Parameters *parameters, const char *name, Tensor *x, int part,
                              int64_t dim)
{
    return graph_add_linear_rows(graph, x, parameter(graph, parameters, name, "in_proj_weight"),
                                 parameter(graph, parameters, name, "in_proj_bias"), part * dim, dim);
}

static Tensor *add_attention_output(Graph *graph, Parameters *parameters, const char *name, Tensor *x)
{
    return networks_add_linear(graph, parameters, name_of("%s.out_proj", name).text, x);
}

/* Self-attention of sequences of length 1: the one weight is a softmax of one
 * number, 1, so only the value and output projections remain. Dropout of that
 * weight, one draw for each row and head, scales or silences the head's part
 * of the value: draws [M, heads] spread to [M, D] by a constant product. */
static Tensor *add_self_attention(Graph *graph, Parameters *parameters, const char *name, Tensor *x,
                                  const GeneratorConfig *config, bool training)
{
    int64_t rows = x == NULL ? 0 : x->shape[0], dim = config->embed_dim, heads = config->heads;
    Tensor *value = add_projection(graph, parameters, name, x, 2, dim);
    if (training && config->dropout > 0 && value != NULL) {
        int64_t larger = rows > dim ? rows : dim;
        double *numbers = memory_alloc_zero((size_t)(larger * heads), sizeof *numbers);
        if (numbers == NULL) return graph_fail(graph, "no memory for %lld constants", (long long)(larger * heads));
        for (int64_t d = 0; d < dim; d++) numbers[d * heads + d / (dim / heads)] = 1;
        Tensor *spread = graph_add_constant(graph, 2, (int64_t[]){dim, heads}, numbers);
        for (int64_t i = 0; i < rows * heads; i++) numbers[i] = 1;
        Tensor *ones = graph_add_constant(graph, 2, (int64_t[]){rows, heads}, numbers);
        memory_free(numbers);
        Tensor *kept = graph_add_linear(graph, graph_add_dropout(graph, ones, config->dropout), spread, NULL);
        value = graph_add_product(graph, value, kept);
    }
    return add_attention_output(graph, parameters, name, value);
}

/* Attention of rows x [M, D] to the primitives [N, D], whose keys and values
 * are the same for every row and so are computed once. */
static Tensor *add_cross_attention(Graph *graph, Parameters *parameters, const char *name, Tensor *x,
                                   Tensor *primitives, const GeneratorConfig *config, bool training)
{
    if (x == NULL || primitives == NULL) return NULL;
    int64_t dim = config->embed_dim, rows = x->shape[0], count = primitives->shape[0];
    Tensor *q = add_projection(graph, parameters, name, x, 0, dim);
    Tensor *k = add_projection(graph, parameters, name, primitives, 1, dim);
    Tensor *v = add_projection(graph, parameters, name, primitives, 2, dim);
    /* The published attention drops weights, between softmax and values. */
    Tensor *out = graph_add_attention_dropout(graph, graph_add_reshape(graph, q, 3, (int64_t[]){1, rows, dim}),
                                              graph_add_reshape(graph, k, 3, (int64_t[]){1, count, dim}),
                                              graph_add_reshape(graph, v, 3, (int64_t[]){1, count, dim}), config->heads,
                                              NULL, training ? config->dropout : 0);
    out = graph_add_reshape(graph, out, 2, (int64_t[]){rows, dim});
    return add_attention_output(graph, parameters, name, out);
}

static Tensor *add_feed_forward(Graph *graph, Parameters *parameters, const char *prefix, Tensor *x, double dropout)
{
    Tensor *hidden = networks_add_linear(graph, parameters, name_of("%s.linear1", prefix).text, x);
    hidden = graph_add_dropout(graph, graph_add_activation(graph, hidden, ACTIVATION_RELU), dropout);
    return networks_add_linear(graph, parameters, name_of("%s.linear2", prefix).text, hidden);
}

/* norm(x + dropout(update) [+ noise]) */
static Tensor *add_residual(Graph *graph, Parameters *parameters, const char *prefix, int norm, Tensor *x,
                            Tensor *update, Tensor *noise, double dropout)
{
    Tensor *sum = graph_add_sum(graph, x, graph_add_dropout(graph, update, dropout));
    if (noise != NULL) sum = graph_add_sum(graph, sum, noise);
    return add_norm(graph, parameters, name_of("%s.norm%d", prefix, norm).text, sum);
}

Tensor *networks_add_primitive(Graph *graph, Parameters *parameters, const GeneratorConfig *config, Tensor *a,
                               Tensor *const *noise, bool training)
{
    double dropout = training ? config->dropout : 0;
    Tensor *primitives = parameter(graph, parameters, "dict_feature", "weight");
    Tensor *x = a;
    for (int layer = 0; layer < config->layers; layer++) {
        Name name = name_of("generator.layers.%d", layer);
        const char *prefix = name.text;
        Tensor *update = add_self_attention(graph, parameters, name_of("%s.self_attn", prefix).text, x, config, training);
        x = add_residual(graph, parameters, prefix, 1, x, update, NULL, dropout);
        update = add_cross_attention(graph, parameters, name_of("%s.multihead_attn", prefix).text, x, primitives,
                                     config, training);
        x = add_residual(graph, parameters, prefix, 2, x, update, noise == NULL ? NULL : noise[layer], dropout);
        update = add_feed_forward(graph, parameters, prefix, x, dropout);
        x = add_residual(graph, parameters, prefix, 3, x, update, NULL, dropout);
    }
    return add_norm(graph, parameters, "generator.norm", x);
}

Tensor *networks_add_gmmn(Graph *graph, Parameters *parameters, const char *prefix, Tensor *a, Tensor *z,
                          double dropout)
{
    Tensor *x = graph_add_concat(graph, (Tensor *[]){a, z}, 2, 1);
    x = networks_add_linear(graph, parameters, name_of("%smodel.0", prefix).text, x);
    x = graph_add_dropout(graph, graph_add_activation(graph, x, ACTIVATION_LEAKY_RELU), dropout);
    return networks_add_linear(graph, parameters, name_of("%smodel.3", prefix).text, x);
}

Tensor *networks_add_encoder(Graph *graph, Parameters *parameters, const char *name, Tensor *x, double dropout)
{
    for (int i = 0; i < 2; i++)
        x = networks_add_linear(graph, parameters, name_of("%s.encoder.%d", name, i).text, x);
    return graph_add_dropout(graph, graph_add_activation(graph, x, ACTIVATION_LEAKY_RELU), dropout);
}

Tensor *networks_add_decoder(Graph *graph, Parameters *parameters, Tensor *related, Tensor *unrelated,
                             double dropout)
{
    Tensor *x = graph_add_concat(graph, (Tensor *[]){related, unrelated}, 2, 1);
    const char *const names[] = {"decoder.decoder.0", "decoder.decoder.3"};
    for (int i = 0; i < 2; i++) {
        x = graph_add_activation(graph, networks_add_linear(graph, parameters, names[i], x), ACTIVATION_LEAKY_RELU);
        x = graph_add_dropout(graph, x, dropout);
    }
    return x;
}

/* fc1 of a pair [r, a] is Wr r + Wa a + b: each half is taken once for every
 * row and once for every class, and the pairs are never in memory. */
Tensor *networks_add_relation(Graph *graph, Parameters *parameters, Tensor *r, Tensor *a)
{
    if (r == NULL || a == NULL) return NULL;
    int64_t dim = r->shape[1];
    Tensor *weight = parameter(graph, parameters, "relation.fc1", "weight");
    Tensor *of_row = graph_add_linear(graph, r, graph_add_slice(graph, weight, 1, 0, dim), NULL);
    Tensor *of_class = graph_add_linear(graph, a, graph_add_slice(graph, weight, 1, dim, a->shape[1]), NULL);
    Tensor *scores = graph_add_pair_score(graph, of_row, of_class, parameter(graph, parameters, "relation.fc1", "bias"),
                                          parameter(graph, parameters, "relation.fc2", "weight"),
                                          parameter(graph, parameters, "relation.fc2", "bias"), 0);
    return graph_add_activation(graph, scores, ACTIVATION_SIGMOID);
}

/* The published code weighs the M + N rows of [fake, real] by 1/N for the
 * first N and -1/M for the last M: for M = N, as in every generator step, this
 * is MMD (Li et al. 2015); else it is MMD of the rows so regrouped, and since
 * the code is the reference, so it is here. */
Tensor *networks_add_moment_matching(Graph *graph, Tensor *fake, Tensor *real, const double *sigmas, int sigma_count)
{
    if (fake != NULL && real != NULL && fake->shape[0] != real->shape[0]) {
        int64_t m = fake->shape[0], n = real->shape[0];
        Tensor *both = graph_add_concat(graph, (Tensor *[]){fake, real}, 2, 0);
        fake = graph_add_slice(graph, both, 0, 0, n);
        real = graph_add_slice(graph, both, 0, n, m);
    }
    return graph_add_mmd_loss(graph, fake, real, sigmas, sigma_count);
}
