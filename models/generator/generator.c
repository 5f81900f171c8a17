#include "models/generator/generator.h"

#include <string.h>

#include "framework/memory.h"
#include "models/generator/generator_private.h"
#include "models/generator/networks.h"

const char *generator_kind_name(GeneratorKind kind)
{
    static const char *const names[] = {
#define X(kind, name) name,
        GENERATOR_KINDS(X)
#undef X
    };
    _Static_assert(sizeof names / sizeof names[0] == GENERATOR_KIND_COUNT, "every kind has a name");
    return (unsigned)kind < GENERATOR_KIND_COUNT ? names[kind] : "unknown";
}

bool generator_kind_synthesises(GeneratorKind kind)
{
    return kind == GENERATOR_GMMN || kind == GENERATOR_PRIMITIVE;
}

GeneratorConfig generator_config_default(void)
{
    return (GeneratorConfig){
        .kind = GENERATOR_PRIMITIVE, .dtype = DTYPE_F32, .rows = 96, .primitives = 400, .layers = 3, .heads = 8,
        .ffn = 1024, .dropout = 0.1, .encoder_dropout = 0.1, .gmmn_dropout = 0.4, .noise = true,
        .classification_weight = 0.001, .classification_columns = 156,
        .disentangle = true, .align = true, .align_seen_seen = true, .align_unseen_unseen = true,
        .align_seen_unseen = true, .weight = 1e-4, .weight_align = 1, .weight_unrelated = 0.5, .weight_relation = 1,
        .weight_reconstruction = 0.5, .temperature = 0.1, .sigmas = {2, 5, 10, 20, 40, 80}, .sigma_count = 6,
        .rate = 5e-4, .milestones = {1, 1}, .similarity_temperature = 0.1, .unseen_choice = 5, .unseen_weight = 5, .no_object_weight = 0.1,
        .classifier_optimizer = {OPTIMIZER_ADAM, 0, 0.9, 0.999, 1e-8, 0}, .classifier_rate = 1e-3,
    };
}

static Status check_range(const char *key, int64_t value, int64_t low, int64_t high)
{
    if (value >= low && value <= high) return OK;
    return status_error(STATUS_INVALID, "%s is %lld, not %lld to %lld", key, (long long)value, (long long)low,
                        (long long)high);
}

static Status check_config(const GeneratorConfig *config)
{
    const int64_t large = 1 << 20;
    TRY(check_range("the number of classes", config->classes, 1, large));
    TRY(check_range("the size of an embedding", config->embed_dim, 1, large));
    TRY(check_range("classifier.rows", config->classifier_rows, 1, large));
    TRY(check_range("the number of unseen classes", config->unseen_count, 0, config->classes - 1));
    for (int i = 0; i < config->unseen_count; i++) {
        TRY(check_range("an unseen class", config->unseen[i], 0, config->classes - 1));
        if (i > 0 && config->unseen[i] <= config->unseen[i - 1])
            return status_error(STATUS_INVALID, "unseen class %d is twice there, or not in ascending order",
                                config->unseen[i]);
    }
    if (config->kind == GENERATOR_NONE) return OK;
    TRY(check_range("the size of a class vector", config->vector_dim, 1, large));
    if (!(config->similarity_temperature > 0))
        return status_error(STATUS_INVALID, "generator.similarity_temperature is not above 0");
    if (config->kind == GENERATOR_PROJECTION) return OK;
    if (config->unseen_count < 1)
        return status_error(STATUS_INVALID, "the split has no unseen class, so there is nothing to synthesise: set "
                                            "generator.kind to none");
    TRY(check_range("generator.rows", config->rows, 2, large));
    TRY(check_range("generator.ffn", config->ffn, 1, large));
    TRY(check_range("classifier.unseen_choice", config->unseen_choice, 1, large));
    TRY(check_range("the number of generator.sigmas", config->sigma_count, 1, GENERATOR_MAX_SIGMAS));
    if (!(config->temperature > 0)) return status_error(STATUS_INVALID, "generator.temperature is not above 0");
    if (config->kind != GENERATOR_PRIMITIVE) return OK;
    TRY(check_range("generator.primitives", config->primitives, 1, large));
    TRY(check_range("generator.layers", config->layers, 1, GENERATOR_MAX_LAYERS));
    TRY(check_range("generator.heads", config->heads, 1, config->embed_dim));
    if (config->embed_dim % config->heads != 0)
        return status_error(STATUS_INVALID, "generator.heads is %d, which does not divide %d, the size of an embedding",
                            config->heads, config->embed_dim);
    return OK;
}

/* The config, the class vectors and room for copies. */
static Status keep_inputs(Generator *generator, const GeneratorConfig *config, const float *class_vectors)
{
    const size_t classes = (size_t)config->classes, unseen = (size_t)config->unseen_count;
    const size_t dim = (size_t)config->embed_dim;
    generator->config = *config;
    generator->config.unseen = NULL;
    const bool synthesises = generator_kind_synthesises(config->kind), vectors_used = config->kind != GENERATOR_NONE;
    generator->choice = !synthesises ? 0
                        : config->unseen_choice < config->unseen_count ? config->unseen_choice : config->unseen_count;
    size_t vectors = vectors_used ? classes * (size_t)config->vector_dim : 1;
    size_t step_rows = synthesises ? (size_t)config->rows + unseen : 0;
    size_t rows = (size_t)config->classifier_rows + (size_t)generator->choice;
    if (rows < step_rows) rows = step_rows;
    if (rows < classes + 1) rows = classes + 1;
    if (rows < SYNTHESIS_ROWS) rows = SYNTHESIS_ROWS;
    int32_t *copied = memory_alloc_zero(unseen + 1, sizeof *copied);
    generator->config.unseen = copied;
    generator->is_unseen = memory_alloc_zero(classes, sizeof *generator->is_unseen);
    generator->class_vectors = memory_alloc_zero(vectors, sizeof *generator->class_vectors);
    generator->values = memory_alloc_zero(rows * dim, sizeof *generator->values);
    generator->wide = config->dtype == DTYPE_F64 ? memory_alloc_zero(rows * dim, sizeof *generator->wide) : NULL;
    generator->ids = memory_alloc_zero(rows, sizeof *generator->ids);
    generator->order = memory_alloc_zero(unseen + 1, sizeof *generator->order);
    generator->seen_first = memory_alloc_zero(classes + 1, sizeof *generator->seen_first);
    if (copied == NULL || generator->is_unseen == NULL || generator->class_vectors == NULL ||
        generator->values == NULL || generator->ids == NULL || generator->order == NULL || generator->seen_first == NULL ||
        (config->dtype == DTYPE_F64 && generator->wide == NULL))
        return status_no_memory(rows * dim * sizeof(float), "a generator");
    for (size_t i = 0; i < unseen; i++) {
        copied[i] = config->unseen[i];
        generator->is_unseen[config->unseen[i]] = true;
    }
    int32_t seen_rank = 0, unseen_rank = (int32_t)(classes - unseen);
    for (size_t c = 0; c < classes; c++) generator->seen_first[c] = generator->is_unseen[c] ? unseen_rank++ : seen_rank++;
    generator->seen_first[classes] = (int32_t)classes;
    for (size_t i = 0; vectors_used && i < vectors; i++) generator->class_vectors[i] = (double)class_vectors[i];
    return OK;
}

static void fill_parameter(Parameter *parameter, Dtype dtype, const float *values)
{
    for (int64_t i = 0; i < parameter->count; i++) {
        if (dtype == DTYPE_F64) ((double *)parameter->value)[i] = (double)values[i];
        else ((float *)parameter->value)[i] = values[i];
    }
}

/* The classifier's own, which start from the given ones. */
static Status make_classifier(Generator *generator, const float *weight, const float *bias, uint64_t seed)
{
    const GeneratorConfig *config = &generator->config;
    const int64_t outputs = config->classes + 1;
    TRY(parameters_create(config->dtype, &generator->classifier));
    if (config->kind == GENERATOR_PROJECTION) {
        projection_declare(generator->classifier, config);
        TRY(parameters_allocate(generator->classifier, seed));
        size_t last = (size_t)config->classes;
        fill_parameter(parameters_find(generator->classifier, "no_object.weight"), config->dtype,
                       weight + last * (size_t)config->embed_dim);
        fill_parameter(parameters_find(generator->classifier, "no_object.bias"), config->dtype, bias + last);
        return OK;
    }
    Parameter *fc_weight = parameters_add(generator->classifier, "new_fc.weight", 2,
                                          (int64_t[]){outputs, config->embed_dim}, (Init){INIT_ZERO, 0});
    Parameter *fc_bias = parameters_add(generator->classifier, "new_fc.bias", 1, (int64_t[]){outputs},
                                        (Init){INIT_ZERO, 0});
    TRY(parameters_allocate(generator->classifier, seed));
    fill_parameter(fc_weight, config->dtype, weight);
    fill_parameter(fc_bias, config->dtype, bias);
    return OK;
}

static Status make_parameters(Generator *generator, const float *weight, const float *bias, uint64_t seed)
{
    const GeneratorConfig *config = &generator->config;
    TRY(make_classifier(generator, weight, bias, seed));
    TRY(optimizer_create(config->classifier_optimizer, generator->classifier, &generator->classifier_optimizer));
    if (!generator_kind_synthesises(config->kind)) return OK;
    TRY(parameters_create(config->dtype, &generator->parameters));
    networks_declare(generator->parameters, config);
    TRY(parameters_allocate(generator->parameters, seed));
    return optimizer_create((OptimizerConfig){OPTIMIZER_ADAM, 0, 0.9, 0.999, 1e-8, 0}, generator->parameters,
                            &generator->optimizer);
}

Status generator_create(const Backend *backend, const GeneratorConfig *config, const float *class_vectors,
                        const float *classifier_weight, const float *classifier_bias, uint64_t seed,
                        Generator **generator)
{
    *generator = NULL;
    TRY(check_config(config));
    Generator *made = memory_alloc_zero(1, sizeof *made);
    if (made == NULL) return status_no_memory(sizeof *made, "a generator");
    made->backend = backend;
    Status status = keep_inputs(made, config, class_vectors);
    if (status == OK) status = make_parameters(made, classifier_weight, classifier_bias, seed);
    bool projects = config->kind == GENERATOR_PROJECTION, synthesises = generator_kind_synthesises(config->kind);
    if (status == OK) status = projects ? projection_build(made) : graphs_build_classifier(made);
    if (status == OK && synthesises) status = graphs_build_step(made);
    /* Compiled as for training: the published classifier step draws with dropout. */
    if (status == OK && synthesises)
        status = graphs_build_synthesis(made, &made->choice_graph, made->choice, true);
    if (status != OK) {
        generator_destroy(made);
        return status;
    }
    *generator = made;
    return OK;
}

void generator_destroy(Generator *generator)
{
    if (generator == NULL) return;
    graphs_destroy(generator);
    if (generator->optimizer != NULL) optimizer_destroy(generator->optimizer);
    if (generator->classifier_optimizer != NULL) optimizer_destroy(generator->classifier_optimizer);
    if (generator->parameters != NULL) parameters_destroy(generator->parameters);
    if (generator->classifier != NULL) parameters_destroy(generator->classifier);
    memory_free((void *)generator->config.unseen);
    memory_free(generator->is_unseen);
    memory_free(generator->class_vectors);
    memory_free(generator->values);
    memory_free(generator->wide);
    memory_free(generator->ids);
    memory_free(generator->order);
    memory_free(generator->seen_first);
    memory_free(generator);
}

Parameters *generator_parameters(Generator *generator) { return generator->parameters; }
Optimizer *generator_optimizer(Generator *generator) { return generator->optimizer; }
Parameters *generator_classifier_parameters(Generator *generator) { return generator->classifier; }
Optimizer *generator_classifier_optimizer(Generator *generator) { return generator->classifier_optimizer; }

static void read_parameter(const Parameter *parameter, Dtype dtype, float *values)
{
    for (int64_t i = 0; i < parameter->count; i++)
        values[i] = dtype == DTYPE_F64 ? (float)((const double *)parameter->value)[i]
                                       : ((const float *)parameter->value)[i];
}

Status generator_classifier_weights(const Generator *generator, float *weight, float *bias)
{
    Dtype dtype = generator->config.dtype;
    if (generator->config.kind == GENERATOR_PROJECTION) return projection_classifier(generator, weight, bias);
    read_parameter(parameters_find(generator->classifier, "new_fc.weight"), dtype, weight);
    read_parameter(parameters_find(generator->classifier, "new_fc.bias"), dtype, bias);
    return OK;
}

void generator_set_draw_hook(Generator *generator, GeneratorDrawHook *hook, void *context)
{
    generator->hook = hook;
    generator->hook_context = context;
}

const Tensor *generator_intermediate(const Generator *generator, const char *name)
{
    const StepGraph *step = &generator->step;
    const struct { const char *name; const Tensor *tensor; } known[] = {
        {"fake", step->synthesis.fake},
        {"related", generator->config.disentangle ? step->related : NULL},
        {"unrelated", step->unrelated},
        {"rebuilt", step->rebuilt},
        {"relation_scores_seen", step->scores_seen},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, name) == 0) return known[i].tensor;
    return NULL;
}
