/* Private to models/generator: its state, and the graphs of its steps. */
#ifndef GENERATOR_PRIVATE_H
#define GENERATOR_PRIVATE_H

#include "models/engine/graph.h"
#include "models/generator/generator.h"

enum { GENERATOR_MAX_LAYERS = 64, SYNTHESIS_ROWS = 64 };

/* Any graph that makes embeddings of given classes: gathered rows of the
 * projected vectors through the generator. */
typedef struct SynthesisGraph {
    Graph *graph;                        /* NULL: not built */
    int64_t rows;
    Tensor *classes;                     /* I32 [rows] */
    Tensor *noise[GENERATOR_MAX_LAYERS]; /* [rows, D] each */
    int noise_count;
    Tensor *vectors;                     /* a of every class [C, D] */
    Tensor *chosen;                      /* a of the rows [rows, D] */
    Tensor *fake;                        /* [rows, D] */
} SynthesisGraph;

typedef enum GeneratorTerm {
    TERM_TOTAL, TERM_MMD, TERM_CLASSIFICATION, TERM_ALIGNMENT, TERM_UNRELATED, TERM_RELATION, TERM_RECONSTRUCTION,
    TERM_COUNT
} GeneratorTerm;

/* The whole generator step; the rows are the seen ones, then every unseen class once. */
typedef struct StepGraph {
    SynthesisGraph synthesis;
    Tensor *real;                        /* [rows, D] */
    Tensor *labels;                      /* I32 [rows] */
    Tensor *unseen_labels;               /* I32 [unseen_count]: 0, 1, 2, ... */
    Tensor *columns, *column_labels;     /* I32 [classification_columns] of the classifier, [rows] among them; NULL: all */
    Tensor *target;                      /* [rows + unseen, D]; NULL without disentanglement */
    Tensor *related, *unrelated, *rebuilt, *scores_seen;
    Tensor *terms[TERM_COUNT];           /* NULL where switched off */
} StepGraph;

typedef struct ClassifierGraph {
    Graph *graph;
    Tensor *embeddings;                  /* [classifier_rows + K, D] */
    Tensor *labels;                      /* I32 of the same rows */
    Tensor *loss;
} ClassifierGraph;

struct Generator {
    const Backend *backend;
    GeneratorConfig config;              /* .unseen is ours */
    int64_t choice;                      /* K: min(unseen_choice, unseen_count); 0 for NONE */
    double *class_vectors;               /* [C, V] */
    bool *is_unseen;                     /* [C] */
    Parameters *parameters, *classifier;
    Optimizer *optimizer, *classifier_optimizer;
    StepGraph step;
    SynthesisGraph choice_graph;         /* K rows, with dropout */
    SynthesisGraph synthesis;            /* SYNTHESIS_ROWS rows, without; built on first use */
    ClassifierGraph classifier_graph;
    /* Room on this side for what is copied to and from the graphs. */
    float *values;                       /* of the largest tensor copied */
    double *wide;                        /* the same in double, for F64 graphs; NULL for F32 */
    int32_t *ids;                        /* of the longest list of rows */
    int64_t *order;                      /* [unseen_count] */
    int32_t *seen_first;                 /* [C + 1]: each class's place where seen classes come first; the last stays */
    GeneratorDrawHook *hook;
    void *hook_context;
};

/* graphs.c: building and compiling. */
Status graphs_build_synthesis(Generator *generator, SynthesisGraph *synthesis, int64_t rows, bool training);
Status graphs_build_step(Generator *generator);
Status graphs_build_classifier(Generator *generator);
void graphs_destroy(Generator *generator);

/* projection.c: the classifier of kind PROJECTION, its graph in generator->classifier_graph. */
void projection_declare(Parameters *parameters, const GeneratorConfig *config);
Status projection_build(Generator *generator);
Status projection_classifier(const Generator *generator, float *weight, float *bias);

/* Copies between floats here and a float tensor (data or grad) of any graph dtype. */
Status generator_upload(Generator *generator, Tensor *tensor, void *to, const float *values);
Status generator_download(Generator *generator, const Tensor *tensor, const void *from, float *values);

#endif
