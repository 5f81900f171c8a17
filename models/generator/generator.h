/* Stages 3 and 4 on a feature store: a generator of class embeddings from
 * semantic vectors, and the classifier finetuned on real seen embeddings and
 * synthetic unseen ones. He, Ding, Jiang, "Primitive Generation and
 * Semantic-related Alignment for Universal Zero-Shot Segmentation", CVPR 2023
 * (arXiv 2306.11087); the vanilla generator is GMMN, Li et al., 2015.
 *
 * Class ids are global: 0 .. classes-1, seen and unseen; `classes` itself is
 * "no object", the classifier's last row. Random draws depend on (seed, step)
 * only, so a run restored from Parameters and optimizer state goes on with the
 * same bits. Not thread-safe; nothing here talks to other ranks. */
#ifndef GENERATOR_GENERATOR_H
#define GENERATOR_GENERATOR_H

#include "models/engine/backend.h"
#include "models/engine/optimizer.h"
#include "models/engine/parameters.h"

/* In the order of the choices of generator.kind. */
#define GENERATOR_KINDS(X)            \
    X(GENERATOR_NONE, "none")         \
    X(GENERATOR_GMMN, "gmmn")         \
    X(GENERATOR_PRIMITIVE, "primitive") \
    X(GENERATOR_PROJECTION, "projection") /* synthesises nothing: embeddings are projected into the semantic space */

typedef enum GeneratorKind {
#define X(kind, name) kind,
    GENERATOR_KINDS(X)
#undef X
    GENERATOR_KIND_COUNT
} GeneratorKind;
const char *generator_kind_name(GeneratorKind kind);
/* Whether the kind makes embeddings; else there is the classifier alone to train. */
bool generator_kind_synthesises(GeneratorKind kind);

#define GENERATOR_MAX_SIGMAS 8 /* the engine's limit */

/* Start from generator_config_default, which has every published setting. */
typedef struct GeneratorConfig {
    GeneratorKind kind;
    Dtype dtype;                     /* DTYPE_F32; F64 is for gradient checks */
    int classes;                     /* C, without "no object" */
    const int32_t *unseen;           /* ids of the unseen classes, ascending; copied */
    int unseen_count;                /* 0 .. classes - 1; at least 1 unless kind is NONE */
    int vector_dim;                  /* of a semantic vector */
    int embed_dim;                   /* D, of an embedding; `heads` divides it */
    int rows;                        /* real seen embeddings a generator step, at least 2 */

    int primitives, layers, heads;   /* PRIMITIVE only */
    int ffn;                         /* hidden size of the feed-forward layers (PRIMITIVE) and of the MLP (GMMN) */
    double dropout;                  /* of the transformer */
    double encoder_dropout;          /* of the encoders and the decoder of disentanglement */
    double gmmn_dropout;             /* of the MLP */
    bool noise;                      /* PRIMITIVE: normal noise after cross-attention. GMMN always has its own */

    double classification_weight;    /* of the cross-entropy of synthetic seen embeddings */
    int classification_columns;      /* the published loss sees only the classifier's first 156 columns, where seen
                                        classes come first: of 171 the seen ones; 0: all */
    bool disentangle;                /* encoders, decoder, relation net; without, alignment is of the embedding itself */
    bool align;                      /* any alignment; the terms, each with a third of the weight: */
    bool align_seen_seen, align_unseen_unseen, align_seen_unseen;
    double weight;                   /* w, of all of the following together */
    double weight_align;             /* w1, of alignment and of the unrelated part's KL */
    double weight_unrelated;         /* of that KL beside alignment */
    double weight_relation;          /* w2, of the relation net */
    double weight_reconstruction;    /* w3 */
    double temperature;              /* of all KL terms */
    double sigmas[GENERATOR_MAX_SIGMAS]; /* bandwidths of the moment matching */
    int sigma_count;
    double rate;                     /* Adam's learning rate, */
    double milestones[2];            /* a tenth of it from these shares of total_steps on; */
    int64_t total_steps;             /* 0: always the same */

    double similarity_temperature;   /* PROJECTION: similarities are divided by it */
    int classifier_rows;             /* real embeddings a classifier step, padding included */
    int unseen_choice;               /* K, unseen classes synthesised a classifier step; at most all are */
    double unseen_weight;            /* of unseen classes in the classifier's loss */
    double no_object_weight;
    OptimizerConfig classifier_optimizer; /* Adam; the published code has SGD, momentum 0.9, weight decay 5e-4 */
    double classifier_rate;
} GeneratorConfig;

/* Published values; left 0 and for the caller: classes, unseen, vector_dim, embed_dim, classifier_rows. */
GeneratorConfig generator_config_default(void);

/* One generator step's terms, each unweighted; 0 where switched off. */
typedef struct GeneratorLosses {
    double total;           /* mmd + classification_weight * classification + weight * [weight_align * (alignment +
                               weight_unrelated * unrelated) + weight_relation * 0.2 * relation + weight_reconstruction *
                               reconstruction] */
    double mmd;
    double classification;
    double alignment;       /* sum of the terms switched on, divided by 3 */
    double unrelated;       /* mean of seen and unseen rows, as are the next two */
    double relation;
    double reconstruction;
} GeneratorLosses;

typedef struct Generator Generator;

/* class_vectors [classes, vector_dim]; the classifier starts from
 * classifier_weight [classes + 1, embed_dim] and classifier_bias [classes + 1].
 * All are copied. The generator's initial weights are PyTorch's, drawn from
 * `seed`. STATUS_INVALID for a config that makes no sense, in the words of the
 * configuration keys. */
Status generator_create(const Backend *backend, const GeneratorConfig *config, const float *class_vectors,
                        const float *classifier_weight, const float *classifier_bias, uint64_t seed,
                        Generator **generator);
void generator_destroy(Generator *generator); /* NULL is fine */

/* Forward, all losses, backward, one Adam step. real [rows, embed_dim], labels
 * [rows] seen classes; an unseen label is STATUS_INTERNAL (the inductive rule).
 * STATUS_NON_FINITE names the first loss that is not finite and leaves the
 * parameters as they were. Kinds that synthesise nothing: does nothing. `losses` may be NULL. */
Status generator_step(Generator *generator, const float *real, const int32_t *labels, uint64_t seed, uint64_t step,
                      GeneratorLosses *losses);

/* Synthesises K unseen classes chosen at random, takes the weighted
 * cross-entropy of the classifier on them and on the real rows, and updates
 * the classifier only. embeddings [classifier_rows, embed_dim], labels
 * [classifier_rows]: a seen class, `classes` for no object, -1 for a row that
 * is padding. Errors as of generator_step. Kind NONE: real rows only.
 * PROJECTION: those too, of which the classifier is made (projection.c). */
Status classifier_step(Generator *generator, const float *embeddings, const int32_t *labels, uint64_t seed,
                       uint64_t step, double *loss);

/* Embeddings of `count` classes (any, repeats give different draws) into out
 * [count, embed_dim], without dropout. Kinds that synthesise nothing: STATUS_INVALID. */
Status generator_synthesize(Generator *generator, const int32_t *classes, int64_t count, uint64_t seed, float *out);

/* For checkpoints, reports and tests. NULL where nothing is synthesised: the first two. Owned by the generator. Published
 * names: "fc_projection.weight", "dict_feature.weight", "generator.layers.0.norm1.bias", "gmmn.model.0.weight",
 * "projection_related.encoder.0.weight", "relation.fc1.weight", ...; the classifier is "new_fc.weight"
 * [classes + 1, embed_dim] and "new_fc.bias"; PROJECTION's are "projection.*" and "no_object.*". */
Parameters *generator_parameters(Generator *generator);
Optimizer *generator_optimizer(Generator *generator);
Parameters *generator_classifier_parameters(Generator *generator);
Optimizer *generator_classifier_optimizer(Generator *generator);

/* The classifier as floats: weight [classes + 1, embed_dim], bias [classes + 1]. */
Status generator_classifier_weights(const Generator *generator, float *weight, float *bias);

/* -- for tests -- */
typedef enum GeneratorDraw {
    GENERATOR_DRAW_NOISE,             /* [rows + unseen_count, D] of layer `index`; seen rows first. GMMN: index 0 */
    GENERATOR_DRAW_TARGET,            /* [rows + unseen_count, D]: what the unrelated part is drawn to */
    GENERATOR_DRAW_CLASSIFIER_NOISE,  /* [K, D] of layer `index` */
    GENERATOR_DRAW_CLASSES,           /* [K]: positions in `unseen`, as floats */
    GENERATOR_DRAW_COUNT
} GeneratorDraw;
/* Overwrites the draws just made. NULL: none. */
typedef void GeneratorDrawHook(void *context, GeneratorDraw draw, int index, float *values, int64_t count);
void generator_set_draw_hook(Generator *generator, GeneratorDrawHook *hook, void *context);
/* Forward and backward of the generator step without the update: gradients stay in the Parameters. */
Status generator_gradients(Generator *generator, const float *real, const int32_t *labels, uint64_t seed,
                           uint64_t step, GeneratorLosses *losses);
/* The same for the classifier. */
Status classifier_gradients(Generator *generator, const float *embeddings, const int32_t *labels, uint64_t seed,
                            uint64_t step, double *loss);
/* Intermediate results of the last generator step, by name: "fake" [rows + unseen_count, D], "related",
 * "unrelated", "rebuilt" (the same shape), "relation_scores_seen" [rows, classes]. NULL where there is none. */
const Tensor *generator_intermediate(const Generator *generator, const char *name);

#endif
