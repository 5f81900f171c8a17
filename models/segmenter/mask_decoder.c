#include "models/segmenter/mask_decoder.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "framework/memory.h"
#include "models/engine/ops.h"
#include "models/layers/position.h"

#define NORM_EPSILON 1e-5
#define NAME_SIZE 192

/* -- parameters -- */

/* "PREFIX" + a name with the layer's number. */
static void __attribute__((format(printf, 3, 4))) make_name(char *name, const char *prefix, const char *format, ...)
{
    int used = snprintf(name, NAME_SIZE, "%s", prefix);
    if (used < 0 || used >= NAME_SIZE) return; /* a cut name is not found, and so reported */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name + used, (size_t)(NAME_SIZE - used), format, arguments);
    va_end(arguments);
}

static Parameter *add(Parameters *parameters, const char *base, const char *suffix, int rank, int64_t rows,
                      int64_t columns, InitKind kind, double scale)
{
    char name[NAME_SIZE];
    make_name(name, base, "%s", suffix);
    return parameters_add(parameters, name, rank, (int64_t[]){rows, columns}, (Init){kind, scale});
}

/* Norms start as the identity. */
static void add_norm(Parameters *parameters, const char *base, int64_t dim)
{
    add(parameters, base, "norm.weight", 1, dim, 0, INIT_ONE, 1);
    add(parameters, base, "norm.bias", 1, dim, 0, INIT_ZERO, 1);
}

/* `xavier`: as the published code resets attention and feed-forward layers; otherwise PyTorch's default. Biases of
 * both keep the default, U(+-1/sqrt(fan in)). */
static void add_linear(Parameters *parameters, const char *base, const char *layer, int64_t out, int64_t in, bool xavier)
{
    char name[NAME_SIZE];
    make_name(name, base, "%s.", layer);
    add(parameters, name, "weight", 2, out, in, xavier ? INIT_XAVIER_UNIFORM : INIT_KAIMING_UNIFORM, 1);
    add(parameters, name, "bias", 1, out, 0, INIT_UNIFORM, 1 / sqrt((double)in));
}

static void add_attention(Parameters *parameters, const char *base, const char *attention, int64_t dim)
{
    char name[NAME_SIZE];
    make_name(name, base, "%s.", attention);
    add(parameters, name, "in_proj_weight", 2, 3 * dim, dim, INIT_XAVIER_UNIFORM, 1);
    add(parameters, name, "in_proj_bias", 1, 3 * dim, 0, INIT_ZERO, 1);
    add(parameters, name, "out_proj.weight", 2, dim, dim, INIT_XAVIER_UNIFORM, 1);
    add(parameters, name, "out_proj.bias", 1, dim, 0, INIT_ZERO, 1);
    add_norm(parameters, base, dim);
}

/* Embedding tables: standard normal, without weight decay (the published WEIGHT_DECAY_EMBED is 0). */
static void add_embedding(Parameters *parameters, const char *prefix, const char *name, int64_t rows, int64_t dim)
{
    Parameter *parameter = add(parameters, prefix, name, 2, rows, dim, INIT_NORMAL, 1);
    if (parameter != NULL) parameter->decay = false;
}

Status mask_decoder_add_parameters(Parameters *parameters, const char *prefix, const MaskDecoderConfig *c)
{
    if (c->dim < 4 || c->dim % 4 != 0 || c->heads < 1 || c->dim % c->heads != 0)
        return status_error(STATUS_INVALID, "decoder size %d must be a multiple of 4 and of its %d heads", c->dim,
                            c->heads);
    if (c->layers < 0 || c->layers > MASK_DECODER_MAX_LAYERS)
        return status_error(STATUS_INVALID, "%d decoder layers; at most %d", c->layers, MASK_DECODER_MAX_LAYERS);
    if (c->mask_dim < 1 || c->ffn < 1 || c->queries < 1 || c->classes < 1)
        return status_error(STATUS_INVALID, "decoder sizes must be positive");
    char base[NAME_SIZE];
    for (int layer = 0; layer < c->layers; layer++) {
        make_name(base, prefix, "transformer_cross_attention_layers.%d.", layer);
        add_attention(parameters, base, "multihead_attn", c->dim);
        make_name(base, prefix, "transformer_self_attention_layers.%d.", layer);
        add_attention(parameters, base, "self_attn", c->dim);
        make_name(base, prefix, "transformer_ffn_layers.%d.", layer);
        add_linear(parameters, base, "linear1", c->ffn, c->dim, true);
        add_linear(parameters, base, "linear2", c->dim, c->ffn, true);
        add_norm(parameters, base, c->dim);
    }
    make_name(base, prefix, "decoder_");
    add_norm(parameters, base, c->dim);
    add_embedding(parameters, prefix, "query_feat.weight", c->queries, c->dim);
    add_embedding(parameters, prefix, "query_embed.weight", c->queries, c->dim);
    add_embedding(parameters, prefix, "level_embed.weight", MASK_DECODER_SCALES, c->dim);
    add_linear(parameters, prefix, "class_embed", c->classes + 1, c->dim, false);
    add_linear(parameters, prefix, "mask_embed.layers.0", c->dim, c->dim, false);
    add_linear(parameters, prefix, "mask_embed.layers.1", c->dim, c->dim, false);
    add_linear(parameters, prefix, "mask_embed.layers.2", c->mask_dim, c->dim, false);
    return OK;
}

/* -- building -- */

typedef struct Builder {
    Graph *graph;
    const Parameters *parameters;
    const char *prefix;
    const MaskDecoderConfig *config;
    Tensor *values[MASK_DECODER_SCALES]; /* [N, hw, D], with level embedding */
    Tensor *keys[MASK_DECODER_SCALES];   /* and with positions */
    int64_t sizes[MASK_DECODER_SCALES][2];
    Tensor *query_position;              /* [Q, D] */
    Tensor *mask_features;               /* [N, HW, M] */
    int64_t mask_height, mask_width;
} Builder;

static Tensor *parameter(Builder *b, const char *base, const char *suffix)
{
    char name[NAME_SIZE];
    make_name(name, base, "%s", suffix);
    Parameter *found = parameters_find(b->parameters, name);
    if (found == NULL) return graph_fail(b->graph, "there is no parameter \"%s\"", name);
    return graph_add_parameter(b->graph, found);
}

static Tensor *linear(Builder *b, Tensor *x, const char *base, const char *layer)
{
    char name[NAME_SIZE];
    make_name(name, base, "%s.", layer);
    return graph_add_linear(b->graph, x, parameter(b, name, "weight"), parameter(b, name, "bias"));
}

static Tensor *norm(Builder *b, Tensor *x, const char *base)
{
    return graph_add_layer_norm(b->graph, x, parameter(b, base, "norm.weight"), parameter(b, base, "norm.bias"),
                                NORM_EPSILON);
}

/* norm(x + attention(q, k, v)); post-norm as published. */
static Tensor *attend(Builder *b, const char *base, const char *attention, Tensor *x, Tensor *q, Tensor *k, Tensor *v,
                      Tensor *mask)
{
    int64_t dim = b->config->dim;
    char name[NAME_SIZE];
    make_name(name, base, "%s.", attention);
    Tensor *w = parameter(b, name, "in_proj_weight"), *bias = parameter(b, name, "in_proj_bias");
    Tensor *out = graph_add_attention(b->graph, graph_add_linear_rows(b->graph, q, w, bias, 0, dim),
                                      graph_add_linear_rows(b->graph, k, w, bias, dim, dim),
                                      graph_add_linear_rows(b->graph, v, w, bias, 2 * dim, dim), b->config->heads, mask);
    return norm(b, graph_add_sum(b->graph, x, linear(b, out, name, "out_proj")), base);
}

static Tensor *build_layer(Builder *b, int layer, Tensor *x, Tensor *mask)
{
    int scale = layer % MASK_DECODER_SCALES;
    char base[NAME_SIZE];
    make_name(base, b->prefix, "transformer_cross_attention_layers.%d.", layer);
    x = attend(b, base, "multihead_attn", x, graph_add_sum(b->graph, x, b->query_position), b->keys[scale],
               b->values[scale], mask);
    make_name(base, b->prefix, "transformer_self_attention_layers.%d.", layer);
    Tensor *placed = graph_add_sum(b->graph, x, b->query_position);
    x = attend(b, base, "self_attn", x, placed, placed, x, NULL);
    make_name(base, b->prefix, "transformer_ffn_layers.%d.", layer);
    Tensor *hidden = graph_add_activation(b->graph, linear(b, x, base, "linear1"), ACTIVATION_RELU);
    return norm(b, graph_add_sum(b->graph, x, linear(b, hidden, base, "linear2")), base);
}

/* The shared prediction heads. Returns the normed queries. */
static Tensor *build_heads(Builder *b, Tensor *x, bool want_class, Tensor **class_logits, Tensor **mask_logits)
{
    char base[NAME_SIZE];
    make_name(base, b->prefix, "decoder_");
    Tensor *normed = norm(b, x, base);
    *class_logits = want_class ? linear(b, normed, b->prefix, "class_embed") : NULL;
    Tensor *mask = graph_add_activation(b->graph, linear(b, normed, b->prefix, "mask_embed.layers.0"), ACTIVATION_RELU);
    mask = graph_add_activation(b->graph, linear(b, mask, b->prefix, "mask_embed.layers.1"), ACTIVATION_RELU);
    mask = linear(b, mask, b->prefix, "mask_embed.layers.2");
    *mask_logits = graph_add_matmul(b->graph, mask, b->mask_features, false, true);
    return normed;
}

/* Tokens of one scale: features + level embedding, and with sine positions for the keys. */
static void build_scale(Builder *b, Tensor *levels, int scale, Tensor *features)
{
    if (features == NULL || levels == NULL) return;
    int64_t n = features->shape[0], h = features->shape[1], w = features->shape[2], dim = b->config->dim;
    if (features->rank != 4 || features->shape[3] != dim) {
        graph_fail(b->graph, "scale %d of the mask decoder has %lld channels, not %lld", scale,
                   (long long)features->shape[3], (long long)dim);
        return;
    }
    b->sizes[scale][0] = h;
    b->sizes[scale][1] = w;
    double *positions = memory_alloc(sizeof *positions * (size_t)(h * w * dim));
    if (positions == NULL) {
        graph_fail(b->graph, "no memory for positions of %lld x %lld", (long long)h, (long long)w);
        return;
    }
    position_sine(h, w, dim, positions);
    Tensor *position = graph_add_constant(b->graph, 2, (int64_t[]){h * w, dim}, positions);
    memory_free(positions);
    Tensor *level = graph_add_reshape(b->graph, graph_add_slice(b->graph, levels, 0, scale, 1), 1, (int64_t[]){dim});
    Tensor *tokens = graph_add_reshape(b->graph, features, 3, (int64_t[]){n, h * w, dim});
    b->values[scale] = graph_add_sum(b->graph, tokens, level);
    b->keys[scale] = graph_add_sum(b->graph, b->values[scale], position);
}

/* The learned queries [Q, D], once for each of the n images. */
static Tensor *build_queries(Builder *b, int64_t n)
{
    Tensor *queries = graph_add_reshape(b->graph, parameter(b, b->prefix, "query_feat.weight"), 3,
                                        (int64_t[]){1, b->config->queries, b->config->dim});
    if (n == 1 || queries == NULL) return queries;
    Tensor **copies = memory_alloc(sizeof *copies * (size_t)n);
    if (copies == NULL) return graph_fail(b->graph, "no memory for %lld images", (long long)n);
    for (int64_t i = 0; i < n; i++) copies[i] = queries;
    Tensor *all = graph_add_concat(b->graph, copies, (int)n, 0);
    memory_free(copies);
    return all;
}

void mask_decoder_build(Graph *graph, const Parameters *parameters, const char *prefix, const MaskDecoderConfig *config,
                        Tensor *const scales[MASK_DECODER_SCALES], Tensor *mask_features, bool auxiliary,
                        MaskDecoderOutputs *outputs)
{
    *outputs = (MaskDecoderOutputs){.heads = config->layers + 1};
    if (mask_features == NULL) return; /* the graph has failed already */
    Builder b = {.graph = graph, .parameters = parameters, .prefix = prefix, .config = config};
    int64_t n = mask_features->shape[0];
    b.mask_height = mask_features->shape[1];
    b.mask_width = mask_features->shape[2];
    b.mask_features = graph_add_reshape(graph, mask_features, 3, (int64_t[]){n, b.mask_height * b.mask_width,
                                                                             mask_features->shape[3]});
    Tensor *levels = parameter(&b, prefix, "level_embed.weight");
    for (int s = 0; s < MASK_DECODER_SCALES && s < config->layers; s++) build_scale(&b, levels, s, scales[s]);
    b.query_position = parameter(&b, prefix, "query_embed.weight");
    Tensor *x = build_queries(&b, n);
    for (int head = 0; head <= config->layers; head++) {
        bool last = head == config->layers;
        Tensor *normed = build_heads(&b, x, auxiliary || last, &outputs->class_logits[head],
                                     &outputs->mask_logits[head]);
        if (last) {
            outputs->embeddings = normed;
            break;
        }
        int next = head % MASK_DECODER_SCALES;
        Tensor *mask = graph_add_attention_mask(graph, outputs->mask_logits[head], b.mask_height, b.mask_width,
                                                b.sizes[next][0], b.sizes[next][1]);
        x = build_layer(&b, head, x, mask);
    }
}
