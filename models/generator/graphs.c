#include <stddef.h>

#include "framework/memory.h"
#include "models/engine/ops.h"
#include "models/generator/generator_private.h"
#include "models/generator/networks.h"

/* F.normalize's floor of a norm. */
#define NORMALIZE_EPSILON 1e-12

/* Adds the tensors of a synthesis to its graph: classes -> a -> fake. */
static void add_synthesis(Generator *generator, SynthesisGraph *synthesis, int64_t rows, bool training)
{
    const GeneratorConfig *config = &generator->config;
    Graph *graph = synthesis->graph;
    int64_t dim = config->embed_dim;
    synthesis->rows = rows;
    synthesis->classes = graph_add_input(graph, DTYPE_I32, 1, (int64_t[]){rows}, false);
    Tensor *vectors = graph_add_constant(graph, 2, (int64_t[]){config->classes, config->vector_dim},
                                         generator->class_vectors);
    synthesis->vectors = networks_add_linear(graph, generator->parameters, "fc_projection", vectors);
    synthesis->chosen = graph_add_gather(graph, synthesis->vectors, synthesis->classes);
    synthesis->noise_count = config->kind == GENERATOR_GMMN ? 1 : config->noise ? config->layers : 0;
    for (int i = 0; i < synthesis->noise_count; i++)
        synthesis->noise[i] = graph_add_input(graph, graph_dtype(graph), 2, (int64_t[]){rows, dim}, false);
    if (config->kind == GENERATOR_GMMN)
        synthesis->fake = networks_add_gmmn(graph, generator->parameters, "gmmn.", synthesis->chosen,
                                            synthesis->noise[0], training ? config->gmmn_dropout : 0);
    else
        synthesis->fake = networks_add_primitive(graph, generator->parameters, config, synthesis->chosen,
                                                 synthesis->noise_count > 0 ? synthesis->noise : NULL, training);
    graph_mark_output(synthesis->fake);
}

Status graphs_build_synthesis(Generator *generator, SynthesisGraph *synthesis, int64_t rows, bool training)
{
    TRY(graph_create(generator->backend, generator->config.dtype, &synthesis->graph));
    add_synthesis(generator, synthesis, rows, training);
    return graph_compile(synthesis->graph, training);
}

static Tensor *seen_rows(Generator *generator, Graph *graph, Tensor *x)
{
    return graph_add_slice(graph, x, 0, 0, generator->config.rows);
}

static Tensor *unseen_rows(Generator *generator, Graph *graph, Tensor *x)
{
    return graph_add_slice(graph, x, 0, generator->config.rows, generator->config.unseen_count);
}

/* a + b, either of which may be absent. */
static Tensor *plus(Graph *graph, Tensor *a, Tensor *b)
{
    return a == NULL ? b : b == NULL ? a : graph_add_sum(graph, a, b);
}

static Tensor *half_sum(Graph *graph, Tensor *a, Tensor *b)
{
    return graph_add_scale(graph, graph_add_sum(graph, a, b), 0.5);
}

/* KL between row softmaxes at the temperature, over the number of elements. */
static Tensor *add_kl(Generator *generator, Graph *graph, Tensor *x, Tensor *target)
{
    if (x == NULL || target == NULL) return NULL;
    return graph_add_softmax_kl(graph, x, target, 1 / generator->config.temperature, 1 / (double)x->count);
}

/* The block [first of 0, first of 1) of a similarity matrix of all rows. */
static Tensor *block(Generator *generator, Graph *graph, Tensor *similarity, bool unseen_row, bool unseen_column)
{
    int64_t seen = generator->config.rows, unseen = generator->config.unseen_count;
    Tensor *rows = unseen_row ? unseen_rows(generator, graph, similarity) : seen_rows(generator, graph, similarity);
    return graph_add_slice(graph, rows, 1, unseen_column ? seen : 0, unseen_column ? unseen : seen);
}

/* He et al. 2023, section 3.4: relations among features are drawn to those
 * among semantic vectors. Gradients reach both, as in the published code. */
static Tensor *add_alignment(Generator *generator, Graph *graph, Tensor *related, Tensor *chosen)
{
    const GeneratorConfig *config = &generator->config;
    const struct { bool on, unseen_row, unseen_column; } terms[] = {
        {config->align_seen_seen, false, false},
        {config->align_unseen_unseen, true, true},
        {config->align_seen_unseen, false, true},
    };
    if (!config->align || !(config->align_seen_seen || config->align_unseen_unseen || config->align_seen_unseen))
        return NULL;
    Tensor *r = graph_add_normalize(graph, related, NORMALIZE_EPSILON);
    Tensor *a = graph_add_normalize(graph, chosen, NORMALIZE_EPSILON);
    Tensor *of_r = graph_add_matmul(graph, r, r, false, true), *of_a = graph_add_matmul(graph, a, a, false, true);
    Tensor *sum = NULL;
    for (int i = 0; i < 3; i++) {
        if (!terms[i].on) continue;
        sum = plus(graph, sum, add_kl(generator, graph,
                                      block(generator, graph, of_r, terms[i].unseen_row, terms[i].unseen_column),
                                      block(generator, graph, of_a, terms[i].unseen_row, terms[i].unseen_column)));
    }
    return graph_add_scale(graph, sum, 1.0 / 3);
}

/* Related and unrelated parts, and the terms that hold them to their names. */
static void add_disentanglement(Generator *generator, StepGraph *step)
{
    const GeneratorConfig *config = &generator->config;
    Graph *graph = step->synthesis.graph;
    Parameters *parameters = generator->parameters;
    Tensor *fake = step->synthesis.fake;
    int64_t all = step->synthesis.rows, dim = config->embed_dim;
    step->target = graph_add_input(graph, graph_dtype(graph), 2, (int64_t[]){all, dim}, false);
    step->related = networks_add_encoder(graph, parameters, "projection_related", fake, config->encoder_dropout);
    step->unrelated = networks_add_encoder(graph, parameters, "projection_unrelated", fake, config->encoder_dropout);
    step->terms[TERM_UNRELATED] =
        half_sum(graph,
                 add_kl(generator, graph, seen_rows(generator, graph, step->unrelated),
                        seen_rows(generator, graph, step->target)),
                 add_kl(generator, graph, unseen_rows(generator, graph, step->unrelated),
                        unseen_rows(generator, graph, step->target)));

    step->rebuilt = networks_add_decoder(graph, parameters, step->related, step->unrelated,
                                         config->encoder_dropout);
    step->terms[TERM_RECONSTRUCTION] = half_sum(
        graph,
        graph_add_l1_loss(graph, seen_rows(generator, graph, step->rebuilt), seen_rows(generator, graph, fake)),
        graph_add_l1_loss(graph, unseen_rows(generator, graph, step->rebuilt), unseen_rows(generator, graph, fake)));

    /* Seen rows are scored against every class, unseen ones against the unseen. The published cross-entropy takes
     * the sigmoid scores themselves as logits. */
    step->scores_seen = networks_add_relation(graph, parameters, seen_rows(generator, graph, step->related),
                                              step->synthesis.vectors);
    Tensor *scores_unseen = networks_add_relation(graph, parameters, unseen_rows(generator, graph, step->related),
                                                  unseen_rows(generator, graph, step->synthesis.chosen));
    step->terms[TERM_RELATION] = half_sum(graph, graph_add_cross_entropy(graph, step->scores_seen, step->labels, NULL),
                                          graph_add_cross_entropy(graph, scores_unseen, step->unseen_labels, NULL));
}

static Tensor *add_classification(Generator *generator, StepGraph *step, Tensor *fake_seen)
{
    const GeneratorConfig *config = &generator->config;
    Graph *graph = step->synthesis.graph;
    int64_t columns = config->classification_columns;
    if (columns == 0 || columns > config->classes)
        return graph_add_cross_entropy(graph, networks_add_linear(graph, generator->classifier, "new_fc", fake_seen),
                                       step->labels, NULL);
    step->columns = graph_add_input(graph, DTYPE_I32, 1, &columns, false);
    step->column_labels = graph_add_input(graph, DTYPE_I32, 1, (int64_t[]){config->rows}, false);
    Tensor *weight = graph_add_parameter(graph, parameters_find(generator->classifier, "new_fc.weight"));
    Tensor *bias = graph_add_parameter(graph, parameters_find(generator->classifier, "new_fc.bias"));
    Tensor *logits = graph_add_linear(graph, fake_seen, graph_add_gather(graph, weight, step->columns),
                                      graph_add_gather(graph, bias, step->columns));
    return graph_add_cross_entropy(graph, logits, step->column_labels, NULL);
}

static Tensor *add_total(const GeneratorConfig *config, Graph *graph, Tensor *const *terms)
{
    const double w = config->weight;
    const struct { GeneratorTerm term; double weight; } parts[] = {
        {TERM_CLASSIFICATION, config->classification_weight},
        {TERM_ALIGNMENT, w * config->weight_align},
        {TERM_UNRELATED, w * config->weight_align * config->weight_unrelated},
        {TERM_RELATION, w * config->weight_relation * 0.2},
        {TERM_RECONSTRUCTION, w * config->weight_reconstruction},
    };
    Tensor *total = terms[TERM_MMD];
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (terms[parts[i].term] != NULL)
            total = plus(graph, total, graph_add_scale(graph, terms[parts[i].term], parts[i].weight));
    return total;
}

Status graphs_build_step(Generator *generator)
{
    const GeneratorConfig *config = &generator->config;
    StepGraph *step = &generator->step;
    TRY(graph_create(generator->backend, config->dtype, &step->synthesis.graph));
    Graph *graph = step->synthesis.graph;
    int64_t rows = config->rows, unseen = config->unseen_count, dim = config->embed_dim;
    /* Seen and unseen rows pass the generator and encoders as one batch: rows never meet there. */
    add_synthesis(generator, &step->synthesis, rows + unseen, true);
    step->real = graph_add_input(graph, config->dtype, 2, (int64_t[]){rows, dim}, false);
    step->labels = graph_add_input(graph, DTYPE_I32, 1, (int64_t[]){rows}, false);
    step->unseen_labels = graph_add_input(graph, DTYPE_I32, 1, (int64_t[]){unseen}, false);
    step->related = step->synthesis.fake;
    if (config->disentangle) add_disentanglement(generator, step);
    step->terms[TERM_ALIGNMENT] = add_alignment(generator, graph, step->related, step->synthesis.chosen);
    Tensor *fake_seen = seen_rows(generator, graph, step->synthesis.fake);
    step->terms[TERM_MMD] =
        networks_add_moment_matching(graph, fake_seen, step->real, config->sigmas, config->sigma_count);
    step->terms[TERM_CLASSIFICATION] = add_classification(generator, step, fake_seen);
    step->terms[TERM_TOTAL] = add_total(config, graph, step->terms);
    Tensor *outputs[] = {step->related, step->unrelated, step->rebuilt, step->scores_seen};
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++)
        if (outputs[i] != NULL) graph_mark_output(outputs[i]);
    for (int i = 0; i < TERM_COUNT; i++)
        if (step->terms[i] != NULL) graph_mark_output(step->terms[i]);
    return graph_compile(graph, true);
}

Status graphs_build_classifier(Generator *generator)
{
    const GeneratorConfig *config = &generator->config;
    ClassifierGraph *classifier = &generator->classifier_graph;
    TRY(graph_create(generator->backend, config->dtype, &classifier->graph));
    Graph *graph = classifier->graph;
    int64_t rows = config->classifier_rows + generator->choice;
    double *weights = memory_alloc_zero((size_t)config->classes + 1, sizeof *weights);
    if (weights == NULL) return status_no_memory(((size_t)config->classes + 1) * sizeof *weights, "class weights");
    for (int i = 0; i < config->classes; i++) weights[i] = generator->is_unseen[i] ? config->unseen_weight : 1;
    weights[config->classes] = config->no_object_weight;
    Tensor *class_weights = graph_add_constant(graph, 1, (int64_t[]){config->classes + 1}, weights);
    memory_free(weights);
    classifier->embeddings = graph_add_input(graph, config->dtype, 2, (int64_t[]){rows, config->embed_dim}, false);
    classifier->labels = graph_add_input(graph, DTYPE_I32, 1, (int64_t[]){rows}, false);
    Tensor *logits = networks_add_linear(graph, generator->classifier, "new_fc", classifier->embeddings);
    classifier->loss = graph_mark_output(graph_add_cross_entropy(graph, logits, classifier->labels, class_weights));
    return graph_compile(graph, true);
}

void graphs_destroy(Generator *generator)
{
    Graph *graphs[] = {generator->step.synthesis.graph, generator->choice_graph.graph, generator->synthesis.graph,
                       generator->classifier_graph.graph};
    for (size_t i = 0; i < sizeof graphs / sizeof graphs[0]; i++)
        if (graphs[i] != NULL) graph_destroy(graphs[i]);
}
