/* Stage "generator": generator and classifier on the feature store alone. A
 * step is one generator step, one classifier step, or both in turn
 * (classifier.when). */
#include <math.h>
#include <string.h>

#include "framework/files.h"
#include "framework/log.h"
#include "framework/memory.h"
#include "framework/random.h"
#include "jobs/stage.h"
#include "jobs/stages/classifier_file.h"
#include "jobs/stages/weight_exchange.h"
#include "jobs/stages/weights.h"
#include "models/generator/generator.h"
#include "storage/feature_set.h"

#define STATE_KIND "generator-state"
#define GENERATOR_FILE "generator.h5"
/* Logit of a class that nothing was ever learned of: e^-30 beside any real class. */
#define CLOSED_BIAS (-30.0f)

typedef struct GeneratorState {
    const StageContext *context;
    FeatureSet *features;
    const float *embeddings;   /* the store's, [rows, D] */
    const int32_t *labels;     /* [rows] */
    int64_t rows, seen_rows;
    int64_t *seen;             /* [seen_rows]: rows with an object */
    Generator *generator;
    GeneratorConfig config;
    int32_t *unseen;
    bool joint;
    int64_t steps;             /* of either; after: of each */
    int64_t next_step;         /* of the checkpoint */
    float *batch, *classifier_batch;
    int32_t *batch_labels, *classifier_labels;
} GeneratorState;

static void generator_stage_destroy(void *pointer)
{
    GeneratorState *state = pointer;
    if (state == NULL) return;
    generator_destroy(state->generator);
    memory_free(state->seen);
    memory_free(state->unseen);
    memory_free(state->batch);
    memory_free(state->classifier_batch);
    memory_free(state->batch_labels);
    memory_free(state->classifier_labels);
    feature_set_close(state->features);
    memory_free(state);
}

static Status read_unseen(GeneratorState *state)
{
    const ClassTable *classes = &feature_set_info(state->features)->classes;
    state->unseen = memory_alloc(((size_t)classes->unseen_count + 1) * sizeof *state->unseen);
    if (state->unseen == NULL) return status_no_memory((size_t)classes->unseen_count, "unseen classes");
    int count = 0;
    for (int c = 0; c < classes->count; c++)
        if (classes->entries[c].is_unseen) state->unseen[count++] = c;
    state->config.unseen = state->unseen;
    state->config.unseen_count = count;
    return OK;
}

static void read_loss_config(const Config *config, GeneratorConfig *c)
{
    c->classification_weight = config_real(config, "generator.classification_weight");
    c->classification_columns = (int)config_integer(config, "generator.classification_columns");
    c->disentangle = config_bool(config, "generator.disentangle");
    c->align = config_bool(config, "generator.align");
    c->align_seen_seen = config_bool(config, "generator.align_seen_seen");
    c->align_unseen_unseen = config_bool(config, "generator.align_unseen_unseen");
    c->align_seen_unseen = config_bool(config, "generator.align_seen_unseen");
    c->weight = config_real(config, "generator.weight");
    c->weight_align = config_real(config, "generator.weight_align");
    c->weight_unrelated = config_real(config, "generator.weight_unrelated");
    c->weight_relation = config_real(config, "generator.weight_relation");
    c->weight_reconstruction = config_real(config, "generator.weight_reconstruction");
    c->temperature = config_real(config, "generator.temperature");
    c->unseen_choice = (int)config_integer(config, "classifier.unseen_choice");
    c->unseen_weight = config_real(config, "classifier.unseen_weight");
    c->no_object_weight = config_real(config, "classifier.no_object_weight");
    c->classifier_rate = config_real(config, "classifier.rate");
    if (strcmp(config_string(config, "classifier.optimizer"), "sgd") == 0)
        c->classifier_optimizer = (OptimizerConfig){.kind = OPTIMIZER_SGD, .momentum = 0.9, .weight_decay = 5e-4};
}

static Status read_config(GeneratorState *state)
{
    const Config *config = state->context->config;
    const FeatureInfo *info = feature_set_info(state->features);
    GeneratorConfig *c = &state->config;
    *c = generator_config_default();
    c->kind = (GeneratorKind)config_choice(config, "generator.kind");
    c->classes = info->classes.count;
    c->vector_dim = info->vector_dim;
    c->embed_dim = info->embed_dim;
    c->rows = (int)config_integer(config, "generator.rows");
    c->classifier_rows = (int)config_integer(config, "classifier.rows");
    c->primitives = (int)config_integer(config, "generator.primitives");
    c->layers = (int)config_integer(config, "generator.layers");
    c->heads = (int)config_integer(config, "generator.heads");
    c->ffn = (int)config_integer(config, "generator.ffn");
    c->dropout = config_real(config, "generator.dropout");
    c->encoder_dropout = config_real(config, "generator.encoder_dropout");
    c->similarity_temperature = config_real(config, "generator.similarity_temperature");
    c->gmmn_dropout = config_real(config, "generator.gmmn_dropout");
    c->noise = config_bool(config, "generator.noise");
    c->rate = config_real(config, "generator.rate");
    int64_t sigmas = config_list_count(config, "generator.sigmas");
    if (sigmas < 1 || sigmas > GENERATOR_MAX_SIGMAS)
        return status_error(STATUS_INVALID, "generator.sigmas: give 1 to %d bandwidths", GENERATOR_MAX_SIGMAS);
    c->sigma_count = (int)sigmas;
    for (int i = 0; i < c->sigma_count; i++) c->sigmas[i] = config_list_real(config, "generator.sigmas", i);
    read_loss_config(config, c);
    state->steps = config_integer(config, "generator.steps");
    if (config_list_count(config, "generator.milestones") != 2)
        return status_error(STATUS_INVALID, "generator.milestones takes two numbers");
    for (int i = 0; i < 2; i++) c->milestones[i] = config_list_real(config, "generator.milestones", i);
    c->total_steps = state->steps;
    state->joint = config_choice(config, "classifier.when") == 0;
    return read_unseen(state);
}

/* The store's training rows; unseen labels must not be among them. */
static Status read_rows(GeneratorState *state)
{
    const ClassTable *classes = &feature_set_info(state->features)->classes;
    TRY(feature_set_train(state->features, &state->embeddings, &state->labels));
    state->rows = feature_set_train_rows(state->features);
    state->seen = memory_alloc(((size_t)state->rows + 1) * sizeof *state->seen);
    if (state->seen == NULL) return status_no_memory((size_t)state->rows * sizeof *state->seen, "training rows");
    for (int64_t i = 0; i < state->rows; i++) {
        int32_t label = state->labels[i];
        if (label == classes->count) continue;
        if (label < 0 || label > classes->count || classes->entries[label].is_unseen)
            return status_error(STATUS_INTERNAL, "row %lld of the feature store carries the unseen label %d", (long long)i,
                                (int)label);
        state->seen[state->seen_rows++] = i;
    }
    if (state->seen_rows == 0)
        return status_error(STATUS_INVALID, "the feature store holds no embedding of a seen class: train the segmenter longer");
    return OK;
}

/* The segmenter's head, widened: rows of unseen classes start as PyTorch's Linear does, keyed by class. Without a
 * generator they stay closed, for nothing will ever be learned of them. */
static void widen_head(const GeneratorState *state, float *weight, float *bias)
{
    const FeatureInfo *info = feature_set_info(state->features);
    const ClassTable *classes = &info->classes;
    size_t dim = (size_t)info->embed_dim;
    double bound = 1 / sqrt((double)dim);
    for (int c = 0; c <= classes->count; c++) {
        int row = c == classes->count ? classes->seen_count : class_table_seen_index(classes, c);
        float *to = weight + (size_t)c * dim;
        if (row >= 0) {
            memcpy(to, info->head_weight + (size_t)row * dim, dim * sizeof *to);
            bias[c] = info->head_bias[row];
        } else if (state->config.kind == GENERATOR_NONE) {
            memset(to, 0, dim * sizeof *to);
            bias[c] = CLOSED_BIAS;
        } else {
            Random random = random_stream(state->context->seed, RANDOM_WIDEN, 0, (uint64_t)c);
            for (size_t d = 0; d < dim; d++) to[d] = (float)(bound * (2 * random_uniform(&random) - 1));
            bias[c] = (float)(bound * (2 * random_uniform(&random) - 1));
        }
    }
}

/* The store's class vectors, each at length `norm` unless that is 0. Word vectors have lengths near 1, beside which the
 * noise of the generator's layers is large. */
static void scale_vectors(const FeatureInfo *info, double norm, float *vectors)
{
    size_t dim = (size_t)info->vector_dim;
    memcpy(vectors, info->class_vectors, (size_t)info->classes.count * dim * sizeof *vectors);
    for (int c = 0; norm > 0 && c < info->classes.count; c++) {
        float *row = vectors + (size_t)c * dim;
        double sum = 0;
        for (size_t d = 0; d < dim; d++) sum += (double)row[d] * row[d];
        double factor = sum > 0 ? norm / sqrt(sum) : 0;
        for (size_t d = 0; d < dim; d++) row[d] = (float)(row[d] * factor);
    }
}

static Status create_generator(GeneratorState *state)
{
    const FeatureInfo *info = feature_set_info(state->features);
    size_t rows = (size_t)info->classes.count + 1, dim = (size_t)info->embed_dim;
    float *weight = memory_alloc(rows * dim * sizeof *weight), *bias = memory_alloc(rows * sizeof *bias);
    float *vectors = memory_alloc(rows * (size_t)info->vector_dim * sizeof *vectors);
    Status status = OK;
    if (weight == NULL || bias == NULL || vectors == NULL) {
        status = status_no_memory(rows * (dim + (size_t)info->vector_dim) * sizeof *weight, "the classifier");
    } else {
        widen_head(state, weight, bias);
        scale_vectors(info, config_real(state->context->config, "generator.vector_norm"), vectors);
        status = generator_create(backend_cpu(), &state->config, vectors, weight, bias, state->context->seed,
                                  &state->generator);
    }
    memory_free(weight);
    memory_free(bias);
    memory_free(vectors);
    return status;
}

static Status create_batches(GeneratorState *state)
{
    size_t dim = (size_t)state->config.embed_dim, rows = (size_t)state->config.rows;
    size_t classifier_rows = (size_t)state->config.classifier_rows;
    state->batch = memory_alloc(rows * dim * sizeof(float));
    state->classifier_batch = memory_alloc(classifier_rows * dim * sizeof(float));
    state->batch_labels = memory_alloc(rows * sizeof(int32_t));
    state->classifier_labels = memory_alloc(classifier_rows * sizeof(int32_t));
    if (state->batch == NULL || state->classifier_batch == NULL || state->batch_labels == NULL ||
        state->classifier_labels == NULL)
        return status_no_memory((rows + classifier_rows) * dim * sizeof(float), "batches: lower generator.rows");
    return OK;
}

static Status generator_fingerprint(const Config *config, Hasher *hasher)
{
    const char *weights = config_string(config, "generator.weights");
    if (weights[0] == '\0') return OK;
    Hash128 hash;
    TRY(status_wrap(hash_file(weights, &hash, NULL), "generator.weights"));
    hasher_add(hasher, &hash, sizeof hash);
    return OK;
}

static Status generator_stage_start(const StageContext *context, void **out, int64_t *total)
{
    GeneratorState *state = memory_alloc_zero(1, sizeof *state);
    if (state == NULL) return status_no_memory(sizeof *state, "stage generator");
    *out = state;
    state->context = context;
    TRY(feature_set_open(context->inputs[STAGE_EXTRACT], &state->features));
    TRY(read_config(state));
    TRY(read_rows(state));
    TRY(create_generator(state));
    const char *weights = config_string(context->config, "generator.weights");
    if (weights[0] != '\0') TRY(status_wrap(weights_import_generator(weights, state->generator), "generator.weights"));
    TRY(create_batches(state));
    LOG_INFO("%lld embeddings, %lld of them of seen objects", (long long)state->rows, (long long)state->seen_rows);
    *total = state->joint || !generator_kind_synthesises(state->config.kind) ? state->steps : 2 * state->steps;
    return OK;
}

/* Rows drawn with replacement; `from` lists the rows to draw from, or is NULL for all. */
static void draw_rows(const GeneratorState *state, const int64_t *from, int64_t count, Random random, int rows,
                      float *batch, int32_t *labels)
{
    size_t dim = (size_t)state->config.embed_dim;
    for (int i = 0; i < rows; i++) {
        int64_t row = random_below(&random, count);
        if (from != NULL) row = from[row];
        memcpy(batch + (size_t)i * dim, state->embeddings + (size_t)row * dim, dim * sizeof *batch);
        labels[i] = state->labels[row];
    }
}

static Status train_generator(GeneratorState *state, int64_t step, StageMetrics *metrics)
{
    GeneratorLosses losses;
    uint64_t seed = state->context->seed;
    Random random = random_stream(seed, RANDOM_BATCH, (uint64_t)step, 0);
    draw_rows(state, state->seen, state->seen_rows, random, state->config.rows, state->batch, state->batch_labels);
    TRY(generator_step(state->generator, state->batch, state->batch_labels, seed, (uint64_t)step, &losses));
    stage_metric(metrics, "generator_loss", losses.total);
    stage_metric(metrics, "mmd", losses.mmd);
    stage_metric(metrics, "classification", losses.classification);
    stage_metric(metrics, "alignment", losses.alignment);
    stage_metric(metrics, "unrelated", losses.unrelated);
    stage_metric(metrics, "relation", losses.relation);
    stage_metric(metrics, "reconstruction", losses.reconstruction);
    return OK;
}

static Status train_classifier(GeneratorState *state, int64_t step, StageMetrics *metrics)
{
    double loss;
    uint64_t seed = state->context->seed;
    Random random = random_stream(seed, RANDOM_BATCH, (uint64_t)step, 1);
    draw_rows(state, NULL, state->rows, random, state->config.classifier_rows, state->classifier_batch,
              state->classifier_labels);
    TRY(classifier_step(state->generator, state->classifier_batch, state->classifier_labels, seed, (uint64_t)step, &loss));
    stage_metric(metrics, "classifier_loss", loss);
    return OK;
}

static Status generator_stage_step(void *pointer, int64_t step, StageMetrics *metrics)
{
    GeneratorState *state = pointer;
    bool none = !generator_kind_synthesises(state->config.kind);
    if (!none && (state->joint || step < state->steps)) TRY(train_generator(state, step, metrics));
    if (none || state->joint || step >= state->steps) TRY(train_classifier(state, step, metrics));
    return OK;
}

static Status generator_stage_save(void *pointer, int64_t next_step, const char **kind, ArrayList *arrays)
{
    GeneratorState *state = pointer;
    Parameters *classifier = generator_classifier_parameters(state->generator);
    Parameters *parameters = generator_parameters(state->generator);
    int64_t one = 1;
    *kind = STATE_KIND;
    state->next_step = next_step;
    TRY(array_list_add(arrays, "", "next_step", ARRAY_I64, 1, &one, &state->next_step));
    TRY(weights_list(arrays, "classifier.", classifier));
    TRY(optimizer_list(arrays, "classifier_optimizer.", generator_classifier_optimizer(state->generator), classifier));
    if (parameters == NULL) return OK;
    TRY(weights_list(arrays, "generator.", parameters));
    return optimizer_list(arrays, "generator_optimizer.", generator_optimizer(state->generator), parameters);
}

static Status load_state(GeneratorState *state, const Checkpoint *checkpoint, int64_t *next_step)
{
    Parameters *classifier = generator_classifier_parameters(state->generator);
    Parameters *parameters = generator_parameters(state->generator);
    int64_t one = 1;
    TRY(weights_load(checkpoint, "classifier.", classifier));
    TRY(optimizer_load(checkpoint, "classifier_optimizer.", generator_classifier_optimizer(state->generator), classifier));
    TRY(checkpoint_get(checkpoint, "next_step", ARRAY_I64, 1, &one, next_step));
    if (parameters == NULL) return OK;
    TRY(weights_load(checkpoint, "generator.", parameters));
    return optimizer_load(checkpoint, "generator_optimizer.", generator_optimizer(state->generator), parameters);
}

static Status generator_stage_load(void *pointer, const char *path, int64_t *next_step)
{
    Checkpoint *checkpoint;
    TRY(checkpoint_read(path, STATE_KIND, &checkpoint));
    Status status = load_state(pointer, checkpoint, next_step);
    checkpoint_destroy(checkpoint);
    return status_wrap(status, "%s", path);
}

static Status write_classifier(GeneratorState *state, const char *path)
{
    const FeatureInfo *info = feature_set_info(state->features);
    size_t rows = (size_t)info->classes.count + 1;
    Classifier classifier = {.classes = info->classes, .embed_dim = info->embed_dim, .segmenter_digest = info->segmenter_digest};
    classifier.weight = memory_alloc(rows * (size_t)info->embed_dim * sizeof(float));
    classifier.bias = memory_alloc(rows * sizeof(float));
    Status status = classifier.weight == NULL || classifier.bias == NULL ? status_no_memory(rows * 256, "the classifier") : OK;
    if (status == OK) status = generator_classifier_weights(state->generator, classifier.weight, classifier.bias);
    if (status == OK) status = classifier_write(path, &classifier);
    memory_free(classifier.weight);
    memory_free(classifier.bias);
    return status;
}

static Status write_generator(GeneratorState *state, const char *path)
{
    ArrayList arrays = {0};
    Status status = weights_list(&arrays, "", generator_parameters(state->generator));
    if (status == OK) status = checkpoint_write(path, "generator", "{}", arrays.items, arrays.count);
    array_list_clear(&arrays);
    return status;
}

static Status generator_stage_finish(void *pointer)
{
    GeneratorState *state = pointer;
    char *classifier = path_join(state->context->output, CLASSIFIER_FILE);
    char *generator = path_join(state->context->output, GENERATOR_FILE);
    Status status = classifier == NULL || generator == NULL ? status_no_memory(256, "a path") : OK;
    if (status == OK) status = parameters_check_finite(generator_classifier_parameters(state->generator), false);
    if (status == OK) status = write_classifier(state, classifier);
    if (status == OK && generator_parameters(state->generator) != NULL) status = write_generator(state, generator);
    memory_free(classifier);
    memory_free(generator);
    return status;
}

/* An embedding has the size of the segmenter's queries. */
static Status generator_stage_check(const Config *config)
{
    int64_t dim = config_integer(config, "segmenter.dim"), heads = config_integer(config, "generator.heads");
    if (strcmp(config_string(config, "generator.kind"), "primitive") == 0 && dim % heads != 0)
        return status_error(STATUS_INVALID, "generator.heads: %lld heads do not divide segmenter.dim (%lld)",
                            (long long)heads, (long long)dim);
    return OK;
}

const Stage STAGE_DEF_GENERATOR = {
    .id = STAGE_GENERATOR,
    .version = 1,
    .inputs = 1u << STAGE_EXTRACT,
    .unit = "steps",
    .fingerprint = generator_fingerprint,
    .start = generator_stage_start,
    .step = generator_stage_step,
    .save = generator_stage_save,
    .load = generator_stage_load,
    .finish = generator_stage_finish,
    .destroy = generator_stage_destroy,
    .check = generator_stage_check,
    .steps_key = "generator.steps",
};
