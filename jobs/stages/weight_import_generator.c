/* A generator and its classifier from PADing's state dict, whose names ours are. */
#include <string.h>

#include "jobs/stages/weight_exchange.h"
#include "jobs/stages/weight_problems.h"

static const char *const PREFIXES[] = {"fc_projection.", "dict_feature.", "generator.", "gmmn.", "projection_related.",
                                       "projection_unrelated.", "decoder.decoder.", "relation."};

static bool is_generators(const char *name)
{
    for (size_t i = 0; i < sizeof PREFIXES / sizeof PREFIXES[0]; i++)
        if (strncmp(name, PREFIXES[i], strlen(PREFIXES[i])) == 0) return true;
    return false;
}

static void check(WeightProblems *problems, const Safetensors *file, const Parameters *parameters)
{
    for (int i = 0; parameters != NULL && i < parameters->count; i++) {
        const Parameter *p = parameters->items[i];
        weight_problems_check(problems, file, p->name, p->rank, p->shape);
    }
}

static Status read(const Safetensors *file, const Parameters *parameters)
{
    for (int i = 0; parameters != NULL && i < parameters->count; i++) {
        const Parameter *p = parameters->items[i];
        TRY(safetensors_read(file, p->name, p->rank, p->shape, p->value));
    }
    return OK;
}

Status weights_import_generator(const char *path, Generator *generator)
{
    Parameters *parameters = generator_parameters(generator), *classifier = generator_classifier_parameters(generator);
    WeightProblems problems = {0};
    Safetensors *file;
    TRY(safetensors_open(path, &file));
    check(&problems, file, classifier);
    check(&problems, file, parameters);
    for (int i = 0; parameters != NULL && i < safetensors_count(file); i++) {
        const char *name = safetensors_name(file, i);
        if (is_generators(name) && parameters_find(parameters, name) == NULL) weight_problems_extra(&problems, name);
    }
    Status status = weight_problems_report(&problems, path, WEIGHTS_PADING);
    if (status == OK) status = read(file, classifier);
    if (status == OK) status = read(file, parameters);
    weight_problems_clear(&problems);
    safetensors_close(file);
    return status;
}
