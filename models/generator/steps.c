#include <math.h>
#include <string.h>

#include "framework/random.h"
#include "models/generator/generator_private.h"

Status generator_upload(Generator *generator, Tensor *tensor, void *to, const float *values)
{
    size_t count = (size_t)tensor->count;
    if (tensor->dtype == DTYPE_F32) return generator->backend->upload(to, values, count * sizeof *values);
    for (size_t i = 0; i < count; i++) generator->wide[i] = (double)values[i];
    return generator->backend->upload(to, generator->wide, count * sizeof *generator->wide);
}

Status generator_download(Generator *generator, const Tensor *tensor, const void *from, float *values)
{
    size_t count = (size_t)tensor->count;
    if (tensor->dtype == DTYPE_F32) return generator->backend->download(values, from, count * sizeof *values);
    TRY(generator->backend->download(generator->wide, from, count * sizeof *generator->wide));
    for (size_t i = 0; i < count; i++) values[i] = (float)generator->wide[i];
    return OK;
}

static Status upload_ids(Generator *generator, Tensor *tensor, const int32_t *ids)
{
    return generator->backend->upload(tensor->data, ids, (size_t)tensor->count * sizeof *ids);
}

static Status read_scalar(Generator *generator, const Tensor *tensor, double *value)
{
    if (tensor->dtype == DTYPE_F64) return generator->backend->download(value, tensor->data, sizeof *value);
    float narrow = 0;
    TRY(generator->backend->download(&narrow, tensor->data, sizeof narrow));
    *value = (double)narrow;
    return OK;
}

/* Standard normals for `tensor` [rows, D]: a stream for each row, so that the
 * rows can be drawn by several threads and a row's draws do not depend on how
 * many there are. `first_row` goes on where a batch is made in pieces. */
static Status draw(Generator *generator, Tensor *tensor, GeneratorDraw kind, RandomPurpose purpose, int index,
                   uint64_t seed, uint64_t step, int64_t first_row)
{
    int64_t rows = tensor->shape[0], dim = tensor->shape[1];
    float *values = generator->values;
#pragma omp parallel for schedule(static) if (rows * dim > 4096)
    for (int64_t row = 0; row < rows; row++) {
        Random random = random_stream(seed, purpose, step, (uint64_t)index << 40 | (uint64_t)(first_row + row));
        random_fill_normal(&random, values + row * dim, dim);
    }
    if (generator->hook != NULL) generator->hook(generator->hook_context, kind, index, values, tensor->count);
    return generator_upload(generator, tensor, tensor->data, values);
}

static Status draw_noise(Generator *generator, SynthesisGraph *synthesis, GeneratorDraw kind, RandomPurpose purpose,
                         uint64_t seed, uint64_t step, int64_t first_row)
{
    for (int i = 0; i < synthesis->noise_count; i++)
        TRY(draw(generator, synthesis->noise[i], kind, purpose, i, seed, step, first_row));
    return OK;
}

/* The inductive rule: nothing trained ever reads an unseen label. */
static Status check_labels(const Generator *generator, const int32_t *labels, int64_t count, int32_t low,
                           int32_t high)
{
    for (int64_t i = 0; i < count; i++) {
        if (labels[i] < low || labels[i] > high)
            return status_error(STATUS_INTERNAL, "label %d of row %lld is not %d to %d", labels[i], (long long)i, low,
                                high);
        if (labels[i] >= 0 && labels[i] < generator->config.classes && generator->is_unseen[labels[i]])
            return status_error(STATUS_INTERNAL, "row %lld is a real embedding of unseen class %d", (long long)i,
                                labels[i]);
    }
    return OK;
}

/* Backward from a scalar that is the only one seeded. */
static Status backward_from(Generator *generator, Graph *graph, Tensor *loss)
{
    const float one = 1;
    graph_zero_output_grads(graph);
    TRY(generator_upload(generator, loss, loss->grad, &one));
    return graph_backward(graph);
}

static Status read_losses(Generator *generator, uint64_t step, GeneratorLosses *losses)
{
    static const char *const names[TERM_COUNT] = {"total loss", "moment-matching loss", "classification loss",
                                                  "alignment loss", "unrelated part's loss", "relation loss",
                                                  "reconstruction loss"};
    double *const values[TERM_COUNT] = {&losses->total, &losses->mmd, &losses->classification, &losses->alignment,
                                        &losses->unrelated, &losses->relation, &losses->reconstruction};
    memset(losses, 0, sizeof *losses);
    for (int i = 0; i < TERM_COUNT; i++)
        if (generator->step.terms[i] != NULL) TRY(read_scalar(generator, generator->step.terms[i], values[i]));
    for (int i = TERM_COUNT - 1; i >= 0; i--) /* the total last: a part is the better name */
        if (!isfinite(*values[i]))
            return status_error(STATUS_NON_FINITE, "the generator's %s is %g at step %llu", names[i], *values[i],
                                (unsigned long long)step);
    return OK;
}

/* The classifier's columns that the classification loss sees, and the labels among them: seen classes first. */
static Status upload_columns(Generator *generator, const int32_t *labels)
{
    StepGraph *graph = &generator->step;
    if (graph->columns == NULL) return OK;
    for (int32_t c = 0; c <= generator->config.classes; c++)
        if (generator->seen_first[c] < graph->columns->count) generator->ids[generator->seen_first[c]] = c;
    TRY(upload_ids(generator, graph->columns, generator->ids));
    for (int i = 0; i < generator->config.rows; i++) generator->ids[i] = generator->seen_first[labels[i]];
    return upload_ids(generator, graph->column_labels, generator->ids);
}

Status generator_gradients(Generator *generator, const float *real, const int32_t *labels, uint64_t seed,
                           uint64_t step, GeneratorLosses *losses)
{
    GeneratorLosses unwanted;
    if (losses == NULL) losses = &unwanted;
    memset(losses, 0, sizeof *losses);
    if (!generator_kind_synthesises(generator->config.kind)) return OK;
    const GeneratorConfig *config = &generator->config;
    StepGraph *graph = &generator->step;
    TRY(check_labels(generator, labels, config->rows, 0, config->classes - 1));

    memcpy(generator->ids, labels, (size_t)config->rows * sizeof *labels);
    memcpy(generator->ids + config->rows, config->unseen, (size_t)config->unseen_count * sizeof *labels);
    TRY(upload_ids(generator, graph->synthesis.classes, generator->ids));
    TRY(upload_ids(generator, graph->labels, labels));
    TRY(upload_columns(generator, labels));
    for (int32_t i = 0; i < config->unseen_count; i++) generator->ids[i] = i;
    TRY(upload_ids(generator, graph->unseen_labels, generator->ids));
    TRY(generator_upload(generator, graph->real, graph->real->data, real));
    TRY(draw_noise(generator, &graph->synthesis, GENERATOR_DRAW_NOISE, RANDOM_NOISE, seed, step, 0));
    if (graph->target != NULL)
        TRY(draw(generator, graph->target, GENERATOR_DRAW_TARGET, RANDOM_TARGET, 0, seed, step, 0));

    graph_set_random(graph->synthesis.graph, seed, step, 0);
    TRY(graph_forward(graph->synthesis.graph));
    TRY(read_losses(generator, step, losses));
    parameters_zero_grad(generator->parameters);
    parameters_zero_grad(generator->classifier);
    return backward_from(generator, graph->synthesis.graph, graph->terms[TERM_TOTAL]);
}

Status generator_step(Generator *generator, const float *real, const int32_t *labels, uint64_t seed, uint64_t step,
                      GeneratorLosses *losses)
{
    TRY(generator_gradients(generator, real, labels, seed, step, losses));
    const GeneratorConfig *config = &generator->config;
    if (!generator_kind_synthesises(config->kind)) return OK;
    double norm;
    TRY(optimizer_clip(generator->parameters, 0, &norm)); /* no clipping: only for the check that all are finite */
    const Schedule schedule = {.kind = config->total_steps > 0 ? SCHEDULE_STEPS : SCHEDULE_CONSTANT, .rate = config->rate,
                               .total_steps = config->total_steps,
                               .milestones = {config->milestones[0], config->milestones[1]}};
    return optimizer_step(generator->optimizer, schedule_rate(&schedule, (int64_t)step));
}

/* K unseen classes without repetition, and their embeddings in generator->values. */
static Status synthesize_choice(Generator *generator, uint64_t seed, uint64_t step, int32_t *chosen)
{
    const GeneratorConfig *config = &generator->config;
    SynthesisGraph *synthesis = &generator->choice_graph;
    Random random = random_stream(seed, RANDOM_CLASSES, step, 0);
    for (int i = 0; i < config->unseen_count; i++) generator->order[i] = i;
    random_shuffle(&random, generator->order, config->unseen_count);
    if (generator->hook != NULL) {
        for (int64_t i = 0; i < generator->choice; i++) generator->values[i] = (float)generator->order[i];
        generator->hook(generator->hook_context, GENERATOR_DRAW_CLASSES, 0, generator->values, generator->choice);
        for (int64_t i = 0; i < generator->choice; i++) generator->order[i] = (int64_t)generator->values[i];
    }
    for (int64_t i = 0; i < generator->choice; i++) chosen[i] = config->unseen[generator->order[i]];
    TRY(upload_ids(generator, synthesis->classes, chosen));
    TRY(draw_noise(generator, synthesis, GENERATOR_DRAW_CLASSIFIER_NOISE, RANDOM_CLASSIFIER, seed, step, 0));
    graph_set_random(synthesis->graph, seed, step, 1); /* dropout apart from that of the generator's own step */
    return graph_forward(synthesis->graph);
}

Status classifier_gradients(Generator *generator, const float *embeddings, const int32_t *labels, uint64_t seed,
                            uint64_t step, double *loss)
{
    const GeneratorConfig *config = &generator->config;
    ClassifierGraph *graph = &generator->classifier_graph;
    const int64_t rows = config->classifier_rows, dim = config->embed_dim;
    double unwanted;
    if (loss == NULL) loss = &unwanted;
    TRY(check_labels(generator, labels, rows, -1, config->classes));
    memcpy(generator->ids, labels, (size_t)rows * sizeof *labels);
    if (generator->choice > 0) {
        TRY(synthesize_choice(generator, seed, step, generator->ids + rows));
        const Tensor *fake = generator->choice_graph.fake;
        TRY(generator_download(generator, fake, fake->data, generator->values + rows * dim));
    }
    /* a projection is trained among seen classes and no object only */
    for (int64_t i = 0; config->kind == GENERATOR_PROJECTION && i < rows; i++)
        if (labels[i] >= 0)
            generator->ids[i] = labels[i] == config->classes ? config->classes - config->unseen_count
                                                             : generator->seen_first[labels[i]];
    memcpy(generator->values, embeddings, (size_t)(rows * dim) * sizeof *embeddings);
    TRY(generator_upload(generator, graph->embeddings, graph->embeddings->data, generator->values));
    TRY(upload_ids(generator, graph->labels, generator->ids));
    TRY(graph_forward(graph->graph));
    TRY(read_scalar(generator, graph->loss, loss));
    if (!isfinite(*loss))
        return status_error(STATUS_NON_FINITE, "the classifier's loss is %g at step %llu", *loss,
                            (unsigned long long)step);
    parameters_zero_grad(generator->classifier);
    return backward_from(generator, graph->graph, graph->loss);
}

Status classifier_step(Generator *generator, const float *embeddings, const int32_t *labels, uint64_t seed,
                       uint64_t step, double *loss)
{
    TRY(classifier_gradients(generator, embeddings, labels, seed, step, loss));
    double norm;
    TRY(optimizer_clip(generator->classifier, 0, &norm));
    return optimizer_step(generator->classifier_optimizer, generator->config.classifier_rate);
}

Status generator_synthesize(Generator *generator, const int32_t *classes, int64_t count, uint64_t seed, float *out)
{
    const GeneratorConfig *config = &generator->config;
    SynthesisGraph *synthesis = &generator->synthesis;
    if (!generator_kind_synthesises(config->kind))
        return status_error(STATUS_INVALID, "generator.kind %s synthesises nothing", generator_kind_name(config->kind));
    for (int64_t i = 0; i < count; i++)
        if (classes[i] < 0 || classes[i] >= config->classes)
            return status_error(STATUS_INVALID, "class %d is not 0 to %d", classes[i], config->classes - 1);
    if (synthesis->graph == NULL) TRY(graphs_build_synthesis(generator, synthesis, SYNTHESIS_ROWS, false));
    GeneratorDrawHook *hook = generator->hook;
    generator->hook = NULL; /* hooks are for the draws of steps */
    Status status = OK;
    for (int64_t first = 0; status == OK && first < count; first += SYNTHESIS_ROWS) {
        int64_t rows = count - first < SYNTHESIS_ROWS ? count - first : SYNTHESIS_ROWS;
        for (int64_t i = 0; i < SYNTHESIS_ROWS; i++) generator->ids[i] = i < rows ? classes[first + i] : 0;
        status = upload_ids(generator, synthesis->classes, generator->ids);
        if (status == OK)
            status = draw_noise(generator, synthesis, GENERATOR_DRAW_NOISE, RANDOM_SYNTH, seed, 0, first);
        if (status == OK) status = graph_forward(synthesis->graph);
        if (status == OK)
            status = generator_download(generator, synthesis->fake, synthesis->fake->data, generator->values);
        if (status == OK)
            memcpy(out + first * config->embed_dim, generator->values,
                   (size_t)(rows * config->embed_dim) * sizeof *out);
    }
    generator->hook = hook;
    return status;
}
