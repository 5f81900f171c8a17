#include <math.h>
#include <stdio.h>
#include <string.h>

#include "framework/memory.h"
#include "models/engine/graph.h"
#include "models/generator/generator.h"
#include "models/generator/networks.h"
#include "tests/models/parity_file.h"

/* What a generator file gives, and the draws in place of ours. */
typedef struct Case {
    ParityFile *file;
    GeneratorConfig config;
    ParityData vectors, fc_weight, fc_bias, real, all;
    int32_t *labels, *all_labels, *unseen, *choice;
    int64_t label_count, all_count, unseen_count, choice_count;
    float *noise, *target, *classifier_noise; /* in the order of the hook's indices */
} Case;

static void free_case(Case *c)
{
    parity_file_close(c->file);
    float *const floats[] = {c->vectors.values, c->fc_weight.values, c->fc_bias.values, c->real.values,
                             c->all.values, c->noise, c->target, c->classifier_noise};
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) memory_free(floats[i]);
    int32_t *const ints[] = {c->labels, c->all_labels, c->unseen, c->choice};
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) memory_free(ints[i]);
}

static Status read_config(Case *c)
{
    GeneratorConfig *config = &c->config;
    *config = generator_config_default();
    const struct { const char *name; int *value; } integers[] = {
        {"layers", &config->layers}, {"heads", &config->heads}, {"ffn", &config->ffn},
        {"primitives", &config->primitives}, {"embed", &config->embed_dim}, {"vec_dim", &config->vector_dim},
    };
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        int64_t value;
        TRY(parity_file_int(c->file, integers[i].name, &value));
        *integers[i].value = (int)value;
    }
    const struct { const char *name; double *value; } reals[] = {
        {"alignment_weight", &config->weight}, {"weight_1", &config->weight_align},
        {"weight_2", &config->weight_relation}, {"weight_3", &config->weight_reconstruction},
        {"unseen_class_weight", &config->unseen_weight}, {"no_object_weight", &config->no_object_weight},
    };
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++)
        TRY(parity_file_double(c->file, reals[i].name, reals[i].value));
    int64_t noise;
    TRY(parity_file_int(c->file, "noise", &noise));
    config->noise = noise != 0;
    config->dropout = config->encoder_dropout = 0;
    config->classification_columns = 156; /* as in the reference, whatever the number of classes */
    config->unseen_choice = (int)c->choice_count;
    TRY(parity_file_doubles(c->file, "mmd_sigma", config->sigmas, GENERATOR_MAX_SIGMAS, &config->sigma_count));
    config->classes = (int)c->vectors.shape[0];
    config->unseen = c->unseen;
    config->unseen_count = (int)c->unseen_count;
    config->rows = (int)c->label_count;
    config->classifier_rows = (int)c->all_count;
    return OK;
}

static Status read_noise(Case *c, const char *group, int index, float *values, int64_t count)
{
    char name[64];
    snprintf(name, sizeof name, "input/%s/%02d", group, index);
    return parity_file_read_into(c->file, name, values, count);
}

/* The file's order: layers (seen), target (seen), layers (unseen), target (unseen); ours: both batches together. */
static Status read_draws(Case *c)
{
    const GeneratorConfig *config = &c->config;
    const int layers = config->noise ? config->layers : 0;
    const int64_t dim = config->embed_dim, seen = config->rows * dim, all = seen + config->unseen_count * dim;
    const int64_t unseen = all - seen, chosen = c->choice_count * dim;
    c->noise = memory_alloc_zero((size_t)(all * (layers + 1)), sizeof *c->noise);
    c->target = memory_alloc_zero((size_t)all, sizeof *c->target);
    c->classifier_noise = memory_alloc_zero((size_t)(chosen * (layers + 1)), sizeof *c->classifier_noise);
    if (c->noise == NULL || c->target == NULL || c->classifier_noise == NULL)
        return status_no_memory((size_t)all, "draws");
    for (int i = 0; i < layers; i++) {
        TRY(read_noise(c, "noise", i, c->noise + i * all, seen));
        TRY(read_noise(c, "noise", layers + 1 + i, c->noise + i * all + seen, unseen));
        TRY(read_noise(c, "classifier_noise", i, c->classifier_noise + i * chosen, chosen));
    }
    TRY(read_noise(c, "noise", layers, c->target, seen));
    return read_noise(c, "noise", 2 * layers + 1, c->target + seen, unseen);
}

static Status read_case(const char *path, Case *c)
{
    TRY(parity_file_open(path, &c->file));
    TRY(parity_file_read(c->file, "input/class_vectors", &c->vectors));
    TRY(parity_file_read(c->file, "weight/new_fc.weight", &c->fc_weight));
    TRY(parity_file_read(c->file, "weight/new_fc.bias", &c->fc_bias));
    TRY(parity_file_read(c->file, "input/real_embeddings", &c->real));
    TRY(parity_file_read(c->file, "input/all_embeddings", &c->all));
    TRY(parity_file_read_ints(c->file, "input/target_classes", &c->labels, &c->label_count));
    TRY(parity_file_read_ints(c->file, "input/all_classes", &c->all_labels, &c->all_count));
    TRY(parity_file_read_ints(c->file, "input/unseen_classes", &c->unseen, &c->unseen_count));
    TRY(parity_file_read_ints(c->file, "input/classifier_unseen_choice", &c->choice, &c->choice_count));
    TRY(read_config(c));
    return read_draws(c);
}

static void file_draws(void *context, GeneratorDraw draw, int index, float *values, int64_t count)
{
    const Case *c = context;
    const size_t bytes = (size_t)count * sizeof *values;
    if (draw == GENERATOR_DRAW_NOISE) memcpy(values, c->noise + index * count, bytes);
    if (draw == GENERATOR_DRAW_TARGET) memcpy(values, c->target, bytes);
    if (draw == GENERATOR_DRAW_CLASSIFIER_NOISE) memcpy(values, c->classifier_noise + index * count, bytes);
    for (int64_t i = 0; draw == GENERATOR_DRAW_CLASSES && i < count; i++) values[i] = (float)c->choice[i];
}

static Status make_generator(Case *c, const GeneratorConfig *config, Generator **generator)
{
    TRY(generator_create(backend_cpu(), config, c->vectors.values, c->fc_weight.values, c->fc_bias.values, 1,
                         generator));
    generator_set_draw_hook(*generator, file_draws, c);
    return parity_load_parameters(c->file, "weight", generator_parameters(*generator));
}

static Status compare_scalar(Case *c, const char *name, double ours, ParityResult *result)
{
    const float value = (float)ours;
    return parity_file_has(c->file, name) ? parity_compare_output(c->file, name, &value, 1, result) : OK;
}

/* Intermediates of the seen rows, where the file has them. */
static Status compare_intermediates(Case *c, Generator *generator, ParityResult *result)
{
    const struct { const char *ours, *theirs; int64_t columns; } pairs[] = {
        {"fake", "output/fake_seen", c->config.embed_dim},
        {"related", "output/related_seen", c->config.embed_dim},
        {"unrelated", "output/unrelated_seen", c->config.embed_dim},
        {"relation_scores_seen", "output/relation_scores_seen", c->config.classes},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const Tensor *tensor = generator_intermediate(generator, pairs[i].ours);
        if (tensor != NULL && parity_file_has(c->file, pairs[i].theirs))
            TRY(parity_compare_output(c->file, pairs[i].theirs, tensor->data, c->config.rows * pairs[i].columns,
                                      result));
    }
    const float *rebuilt = generator_intermediate(generator, "rebuilt")->data;
    const float *fake = generator_intermediate(generator, "fake")->data;
    const int64_t count = (int64_t)c->config.rows * c->config.embed_dim;
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += fabs((double)rebuilt[i] - (double)fake[i]);
    return compare_scalar(c, "output/reconstruction_l1_seen", sum / (double)count, result);
}

static Status check_generator_step(Case *c, Generator *generator, ParityResult *result)
{
    GeneratorLosses losses;
    TRY(generator_gradients(generator, c->real.values, c->labels, 0, 0, &losses));
    TRY(compare_scalar(c, "output/generator_loss", losses.total, result));
    TRY(compare_scalar(c, "output/mmd_loss", losses.mmd, result));
    TRY(compare_intermediates(c, generator, result));
    TRY(parity_compare_gradients(c->file, "generator_grad", generator_parameters(generator), result));
    return parity_compare_gradients(c->file, "generator_grad", generator_classifier_parameters(generator), result);
}

static Status check_classifier_step(Case *c, Generator *generator, ParityResult *result)
{
    double loss;
    TRY(classifier_gradients(generator, c->all.values, c->all_labels, 0, 0, &loss));
    TRY(compare_scalar(c, "output/classifier_loss", loss, result));
    return parity_compare_gradients(c->file, "classifier_grad", generator_classifier_parameters(generator), result);
}

/* The seen-seen term alone, by a generator that has no other. */
static Status check_seen_alignment(Case *c, ParityResult *result)
{
    if (!parity_file_has(c->file, "output/alignment_seen")) return OK;
    GeneratorConfig config = c->config;
    config.align_unseen_unseen = config.align_seen_unseen = false;
    Generator *generator = NULL;
    GeneratorLosses losses = {0};
    Status status = make_generator(c, &config, &generator);
    if (status == OK) status = generator_gradients(generator, c->real.values, c->labels, 0, 0, &losses);
    if (status == OK) status = compare_scalar(c, "output/alignment_seen", 3 * losses.alignment, result);
    generator_destroy(generator);
    return status;
}

Status parity_generator(const char *file, ParityResult *result)
{
    Case c = {0};
    Generator *generator = NULL;
    Status status = read_case(file, &c);
    if (status == OK) status = make_generator(&c, &c.config, &generator);
    if (status == OK) status = check_generator_step(&c, generator, result);
    if (status == OK) status = check_classifier_step(&c, generator, result);
    if (status == OK) status = check_seen_alignment(&c, result);
    generator_destroy(generator);
    free_case(&c);
    return status;
}

/* The MLP and the moment-matching loss alone, by the names of gmmn*.h5. */
static Status run_gmmn(ParityFile *file, Graph *graph, Parameters *parameters, ParityResult *result)
{
    ParityData vectors = {0}, noise = {0}, real = {0}, hidden = {0};
    double sigmas[GENERATOR_MAX_SIGMAS] = {2, 5, 10, 20, 40, 80};
    int sigma_count = 6;
    Status status = parity_file_read(file, "input/class_vectors", &vectors);
    if (status == OK) status = parity_file_read(file, "input/noise", &noise);
    if (status == OK) status = parity_file_read(file, "input/real_embeddings", &real);
    if (status == OK) status = parity_file_read(file, "weight/model.0.bias", &hidden);
    Status sigma_status = parity_file_doubles(file, "mmd_sigma", sigmas, GENERATOR_MAX_SIGMAS, &sigma_count);
    if (sigma_status != OK) status_free(sigma_status); /* the published ones then */
    if (status == OK) {
        networks_declare_gmmn(parameters, "", vectors.shape[1] + noise.shape[1], hidden.count, real.shape[1]);
        status = parameters_allocate(parameters, 1);
    }
    if (status == OK) status = parity_load_parameters(file, "weight", parameters);
    if (status == OK) {
        Tensor *a = graph_add_input(graph, DTYPE_F32, 2, vectors.shape, false);
        Tensor *z = graph_add_input(graph, DTYPE_F32, 2, noise.shape, false);
        Tensor *x = graph_add_input(graph, DTYPE_F32, 2, real.shape, false);
        Tensor *fake = graph_mark_output(networks_add_gmmn(graph, parameters, "", a, z, 0));
        Tensor *loss = graph_mark_output(networks_add_moment_matching(graph, fake, x, sigmas, sigma_count));
        status = graph_compile(graph, true);
        if (status == OK) {
            memcpy(a->data, vectors.values, (size_t)vectors.count * sizeof(float));
            memcpy(z->data, noise.values, (size_t)noise.count * sizeof(float));
            memcpy(x->data, real.values, (size_t)real.count * sizeof(float));
            status = graph_forward(graph);
        }
        if (status == OK) status = parity_compare_output(file, "output/fake", fake->data, fake->count, result);
        if (status == OK) status = parity_compare_output(file, "output/mmd_loss", loss->data, 1, result);
        if (status == OK) {
            graph_zero_output_grads(graph);
            *(float *)loss->grad = 1;
            status = graph_backward(graph);
        }
        if (status == OK) status = parity_compare_gradients(file, "grad", parameters, result);
    }
    ParityData *const all[] = {&vectors, &noise, &real, &hidden};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) memory_free(all[i]->values);
    return status;
}

Status parity_gmmn(const char *path, ParityResult *result)
{
    ParityFile *file = NULL;
    Graph *graph = NULL;
    Parameters *parameters = NULL;
    Status status = parity_file_open(path, &file);
    if (status == OK) status = parameters_create(DTYPE_F32, &parameters);
    if (status == OK) status = graph_create(backend_cpu(), DTYPE_F32, &graph);
    if (status == OK) status = run_gmmn(file, graph, parameters, result);
    if (graph != NULL) graph_destroy(graph);
    if (parameters != NULL) parameters_destroy(parameters);
    parity_file_close(file);
    return status;
}
