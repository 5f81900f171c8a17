/* The map of primitives against the engine's own attention: with the identity for values, what attention returns is its
 * weights. */
#include "framework/memory.h"
#include "models/engine/graph.h"
#include "models/engine/ops.h"
#include "models/generator/primitive_map.h"
#include "tests/test.h"

enum { CLASSES = 5, VECTOR = 7, DIM = 12, PRIMITIVES = 12 }; /* as many as dimensions: then the identity has their shape */

static const struct { const char *name; int rank; int64_t shape[2]; } ARRAYS[] = {
    {"dict_feature.weight", 2, {PRIMITIVES, DIM}},
    {"fc_projection.weight", 2, {DIM, VECTOR}},
    {"fc_projection.bias", 1, {DIM, 1}},
    {"generator.layers.0.self_attn.in_proj_weight", 2, {3 * DIM, DIM}},
    {"generator.layers.0.self_attn.in_proj_bias", 1, {3 * DIM, 1}},
    {"generator.layers.0.self_attn.out_proj.weight", 2, {DIM, DIM}},
    {"generator.layers.0.self_attn.out_proj.bias", 1, {DIM, 1}},
    {"generator.layers.0.norm1.weight", 1, {DIM, 1}},
    {"generator.layers.0.norm1.bias", 1, {DIM, 1}},
    {"generator.layers.0.multihead_attn.in_proj_weight", 2, {3 * DIM, DIM}},
    {"generator.layers.0.multihead_attn.in_proj_bias", 1, {3 * DIM, 1}},
};
enum { ARRAY_COUNT = sizeof ARRAYS / sizeof ARRAYS[0] };

static float noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / (float)(1 << 24) - 0.5f;
}

static Checkpoint *make_weights(int count)
{
    NamedArray arrays[ARRAY_COUNT];
    uint32_t random = 7;
    char directory[] = "/tmp/zeroth-primitive-map-XXXXXX", path[64];
    CHECK(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/generator.h5", directory);
    for (int i = 0; i < count; i++) {
        int64_t size = ARRAYS[i].shape[0] * ARRAYS[i].shape[1];
        float *data = memory_alloc((size_t)size * sizeof *data);
        CHECK(data != NULL);
        for (int64_t k = 0; k < size; k++) data[k] = 2 * noise(&random);
        arrays[i] = (NamedArray){.name = ARRAYS[i].name, .type = ARRAY_F32, .rank = ARRAYS[i].rank,
                                 .shape = {ARRAYS[i].shape[0], ARRAYS[i].shape[1], 1, 1}, .data = data};
    }
    Checkpoint *checkpoint;
    CHECK_OK(checkpoint_write(path, "generator", "{}", arrays, count));
    CHECK_OK(checkpoint_read(path, "generator", &checkpoint));
    for (int i = 0; i < count; i++) memory_free(arrays[i].data);
    unlink(path);
    rmdir(directory);
    return checkpoint;
}

static Tensor *constant(Graph *graph, const Checkpoint *weights, const char *name)
{
    const NamedArray *array = checkpoint_find(weights, name);
    double numbers[3 * DIM * DIM];
    int64_t size = 1;
    CHECK(array != NULL);
    for (int i = 0; i < array->rank; i++) size *= array->shape[i];
    for (int64_t i = 0; i < size; i++) numbers[i] = ((const float *)array->data)[i];
    return graph_add_constant(graph, array->rank, array->shape, numbers);
}

/* Weights of the attention with `heads` = 1 by the engine, [CLASSES, PRIMITIVES]. */
static void attention_of_engine(const Checkpoint *weights, const float *vectors, float *out)
{
    Graph *graph;
    double wide[CLASSES * VECTOR], identity[PRIMITIVES * DIM] = {0};
    CHECK_OK(graph_create(backend_cpu(), DTYPE_F32, &graph));
    for (int i = 0; i < CLASSES * VECTOR; i++) wide[i] = vectors[i];
    for (int i = 0; i < DIM; i++) identity[i * DIM + i] = 1;
#define W(name) constant(graph, weights, name)
#define SELF "generator.layers.0.self_attn."
#define CROSS "generator.layers.0.multihead_attn."
    Tensor *x = graph_add_constant(graph, 2, (int64_t[]){CLASSES, VECTOR}, wide);
    x = graph_add_linear(graph, x, W("fc_projection.weight"), W("fc_projection.bias"));
    Tensor *value = graph_add_linear_rows(graph, x, W(SELF "in_proj_weight"), W(SELF "in_proj_bias"), 2 * DIM, DIM);
    value = graph_add_linear(graph, value, W(SELF "out_proj.weight"), W(SELF "out_proj.bias"));
    x = graph_add_layer_norm(graph, graph_add_sum(graph, x, value), W("generator.layers.0.norm1.weight"),
                             W("generator.layers.0.norm1.bias"), 1e-5);
    Tensor *q = graph_add_linear_rows(graph, x, W(CROSS "in_proj_weight"), W(CROSS "in_proj_bias"), 0, DIM);
    Tensor *k = graph_add_linear_rows(graph, W("dict_feature.weight"), W(CROSS "in_proj_weight"), W(CROSS "in_proj_bias"), DIM, DIM);
    Tensor *v = graph_add_constant(graph, 2, (int64_t[]){PRIMITIVES, DIM}, identity);
    Tensor *result = graph_add_attention(graph, graph_add_reshape(graph, q, 3, (int64_t[]){1, CLASSES, DIM}),
                                         graph_add_reshape(graph, k, 3, (int64_t[]){1, PRIMITIVES, DIM}),
                                         graph_add_reshape(graph, v, 3, (int64_t[]){1, PRIMITIVES, DIM}), 1, NULL);
    CHECK(result != NULL);
    graph_mark_output(result);
    CHECK_OK(graph_compile(graph, false));
    CHECK_OK(graph_forward(graph));
    memcpy(out, result->data, CLASSES * PRIMITIVES * sizeof *out);
    graph_destroy(graph);
}

static void test_is_the_engines_attention(void)
{
    float vectors[CLASSES * VECTOR], expected[CLASSES * PRIMITIVES], *map;
    uint32_t random = 99;
    int primitives;
    for (int i = 0; i < CLASSES * VECTOR; i++) vectors[i] = noise(&random);
    Checkpoint *weights = make_weights(ARRAY_COUNT);
    attention_of_engine(weights, vectors, expected);
    CHECK_OK(primitive_map(weights, vectors, CLASSES, VECTOR, 1, &map, &primitives));
    CHECK_INT(primitives, PRIMITIVES);
    for (int i = 0; i < CLASSES * PRIMITIVES; i++) CHECK_NEAR(map[i], expected[i], 1e-5);
    memory_free(map);
    CHECK_OK(primitive_map(weights, vectors, CLASSES, VECTOR, 3, &map, &primitives)); /* heads: each row still sums to 1 */
    for (int c = 0; c < CLASSES; c++) {
        double sum = 0;
        for (int n = 0; n < PRIMITIVES; n++) sum += (double)map[c * PRIMITIVES + n];
        CHECK_NEAR(sum, 1, 1e-5);
    }
    memory_free(map);
    checkpoint_destroy(weights);
}

static void test_other_weights_are_refused(void)
{
    float vectors[CLASSES * VECTOR] = {0}, *map;
    int primitives;
    Checkpoint *weights = make_weights(ARRAY_COUNT);
    CHECK_FAILS(primitive_map(weights, vectors, CLASSES, VECTOR, 5, &map, &primitives), STATUS_CORRUPT, "fit");
    CHECK_FAILS(primitive_map(weights, vectors, CLASSES, VECTOR + 1, 1, &map, &primitives), STATUS_CORRUPT, "fit");
    checkpoint_destroy(weights);
    weights = make_weights(3);
    CHECK_FAILS(primitive_map(weights, vectors, CLASSES, VECTOR, 1, &map, &primitives), STATUS_NOT_FOUND, "self_attn");
    checkpoint_destroy(weights);
}

TEST_MAIN(TEST(test_is_the_engines_attention), TEST(test_other_weights_are_refused))
