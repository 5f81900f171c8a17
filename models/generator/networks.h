/* Private to models/generator (and its tests): the networks, as declarations
 * of parameters under their published names and as functions that add them to
 * a graph. A building function finds its parameters by name; a missing one is
 * the graph's mistake. */
#ifndef GENERATOR_NETWORKS_H
#define GENERATOR_NETWORKS_H

#include "models/engine/graph.h"
#include "models/generator/generator.h"

/* Every parameter that the config's generator has; initial values as PyTorch's. */
void networks_declare(Parameters *parameters, const GeneratorConfig *config);
/* The vanilla generator's alone, [in] -> [hidden] -> [out], under PREFIXmodel.*. */
void networks_declare_gmmn(Parameters *parameters, const char *prefix, int64_t in, int64_t hidden, int64_t out);

/* x [..., K] -> [..., N] with NAME.weight and NAME.bias. */
Tensor *networks_add_linear(Graph *graph, Parameters *parameters, const char *name, Tensor *x);
/* The primitive generator: a [M, D], noise: `layers` tensors [M, D] or NULL -> [M, D]. `training`: the graph will
 * be compiled for training, so dropout (attention's included) is there. */
Tensor *networks_add_primitive(Graph *graph, Parameters *parameters, const GeneratorConfig *config, Tensor *a,
                               Tensor *const *noise, bool training);
/* MLP on [a, z]: a [M, A], z [M, Z] -> [M, out]. */
Tensor *networks_add_gmmn(Graph *graph, Parameters *parameters, const char *prefix, Tensor *a, Tensor *z,
                          double dropout);
/* x [M, D] -> [M, D]; name "projection_related" or "projection_unrelated". */
Tensor *networks_add_encoder(Graph *graph, Parameters *parameters, const char *name, Tensor *x, double dropout);
/* related and unrelated [M, D] -> [M, D]. */
Tensor *networks_add_decoder(Graph *graph, Parameters *parameters, Tensor *related, Tensor *unrelated,
                             double dropout);
/* Scores in (0, 1) of every pair: r [M, D], a [C, D] -> [M, C]. */
Tensor *networks_add_relation(Graph *graph, Parameters *parameters, Tensor *r, Tensor *a);
/* fake [M, D], real [N, D] -> scalar. */
Tensor *networks_add_moment_matching(Graph *graph, Tensor *fake, Tensor *real, const double *sigmas, int sigma_count);

#endif
