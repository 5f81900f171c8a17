/* The generator's steps: gradients against finite differences in double,
 * kinds and switches, the inductive rule, resuming to the same bits. Numbers
 * against the published implementation are in tests/models/test_parity.c. */
#include "models/generator/generator.h"

#include "framework/random.h"
#include "tests/test.h"

enum { CLASSES = 9, UNSEEN = 3, VECTOR = 7, DIM = 8, ROWS = 6, ALL_ROWS = 10 };
static const int32_t unseen_classes[UNSEEN] = {2, 5, 8};
static const int32_t seen_labels[ROWS] = {0, 1, 3, 4, 1, 7};
static const int32_t all_labels[ALL_ROWS] = {0, 1, 3, 4, 6, 7, CLASSES, CLASSES, -1, -1};

typedef struct Data {
    float vectors[CLASSES * VECTOR], weight[(CLASSES + 1) * DIM], bias[CLASSES + 1], real[ROWS * DIM],
        all[ALL_ROWS * DIM];
} Data;

static Data data;

static void fill_data(void)
{
    Random random = random_stream(5, RANDOM_TEST, 0, 0);
    random_fill_normal(&random, (float *)&data, sizeof data / sizeof(float));
}

static GeneratorConfig small_config(GeneratorKind kind)
{
    GeneratorConfig config = generator_config_default();
    config.kind = kind;
    config.classes = CLASSES;
    config.unseen = unseen_classes;
    config.unseen_count = UNSEEN;
    config.vector_dim = VECTOR;
    config.embed_dim = DIM;
    config.rows = ROWS;
    config.primitives = 11;
    config.layers = 2;
    config.heads = 2;
    config.ffn = 12;
    config.classifier_rows = ALL_ROWS;
    config.unseen_choice = 2;
    config.weight = 0.5; /* so that every term counts in sums and differences */
    config.classification_weight = 0.3;
    return config;
}

static Generator *make(const GeneratorConfig *config)
{
    Generator *generator = NULL;
    fill_data();
    CHECK_OK(generator_create(backend_cpu(), config, data.vectors, data.weight, data.bias, 3, &generator));
    return generator;
}

static double weighted_total(const GeneratorConfig *config, const GeneratorLosses *losses)
{
    return losses->mmd + config->classification_weight * losses->classification +
           config->weight * (config->weight_align * (losses->alignment + config->weight_unrelated * losses->unrelated) +
                             config->weight_relation * 0.2 * losses->relation +
                             config->weight_reconstruction * losses->reconstruction);
}

/* The largest |analytic - numeric| over the largest gradient, of some elements of every parameter. */
static double worst_difference(Generator *generator, Parameters *parameters, bool of_classifier)
{
    double worst = 0, largest = 0, *analytic = malloc((size_t)parameters->total * sizeof *analytic);
    CHECK(analytic != NULL);
    memcpy(analytic, parameters->grads, (size_t)parameters->total * sizeof *analytic);
    for (int64_t i = 0; i < parameters->total; i++) largest = fmax(largest, fabs(analytic[i]));
    for (int p = 0; p < parameters->count; p++) {
        Parameter *parameter = parameters->items[p];
        int64_t stride = parameter->count > 6 ? parameter->count / 6 : 1;
        for (int64_t i = 0; i < parameter->count; i += stride) {
            double *value = (double *)parameter->value + i, kept = *value, sides[2] = {0, 0};
            const double step = 1e-5;
            for (int side = 0; side < 2; side++) {
                *value = kept + (side == 0 ? -step : step);
                GeneratorLosses losses = {0};
                if (of_classifier) CHECK_OK(classifier_gradients(generator, data.all, all_labels, 1, 2, &sides[side]));
                else {
                    CHECK_OK(generator_gradients(generator, data.real, seen_labels, 1, 2, &losses));
                    sides[side] = losses.total;
                }
            }
            *value = kept;
            worst = fmax(worst, fabs((sides[1] - sides[0]) / (2 * step) - analytic[parameter->offset + i]));
        }
    }
    free(analytic);
    CHECK(largest > 0);
    return worst / largest;
}

/* With dropout: its draws depend on (seed, step), so they are the same on both sides. */
static void check_gradients(GeneratorConfig config)
{
    config.dtype = DTYPE_F64;
    Generator *generator = make(&config);
    GeneratorLosses losses;
    CHECK_OK(generator_gradients(generator, data.real, seen_labels, 1, 2, &losses));
    CHECK_NEAR(losses.total, weighted_total(&config, &losses), 1e-12);
    CHECK(worst_difference(generator, generator_parameters(generator), false) < 2e-6);
    /* The classification term reaches the classifier's weights too; they are not updated by it. */
    CHECK_OK(generator_gradients(generator, data.real, seen_labels, 1, 2, &losses));
    CHECK(worst_difference(generator, generator_classifier_parameters(generator), false) < 2e-6);
    double loss;
    CHECK_OK(classifier_gradients(generator, data.all, all_labels, 1, 2, &loss));
    CHECK(worst_difference(generator, generator_classifier_parameters(generator), true) < 2e-6);
    generator_destroy(generator);
}

static void test_gradients_primitive(void)
{
    GeneratorConfig config = small_config(GENERATOR_PRIMITIVE);
    config.dropout = config.encoder_dropout = 0;
    check_gradients(config);
}
static void test_gradients_dropout(void) { check_gradients(small_config(GENERATOR_PRIMITIVE)); }
static void test_gradients_gmmn(void) { check_gradients(small_config(GENERATOR_GMMN)); }
static void test_gradients_plain(void)
{
    GeneratorConfig config = small_config(GENERATOR_PRIMITIVE);
    config.disentangle = config.noise = false;
    config.classification_columns = 7; /* one unseen class is among them */
    check_gradients(config);
}

/* Terms switched off are 0 and leave the others as they were. */
static void test_switches(void)
{
    GeneratorConfig config = small_config(GENERATOR_PRIMITIVE);
    config.dropout = config.encoder_dropout = 0;
    Generator *generator = make(&config);
    GeneratorLosses all, losses;
    CHECK_OK(generator_gradients(generator, data.real, seen_labels, 1, 2, &all));
    CHECK(all.mmd > 0 && all.classification > 0 && all.alignment > 0 && all.unrelated > 0 && all.relation > 0 &&
          all.reconstruction > 0);
    CHECK_NEAR(all.total, weighted_total(&config, &all), 1e-5);
    generator_destroy(generator);
    double sum = 0;
    for (int term = 0; term < 3; term++) {
        config.align_seen_seen = term == 0;
        config.align_unseen_unseen = term == 1;
        config.align_seen_unseen = term == 2;
        generator = make(&config);
        CHECK_OK(generator_gradients(generator, data.real, seen_labels, 1, 2, &losses));
        sum += losses.alignment;
        CHECK_NEAR(losses.relation, all.relation, 1e-6);
        generator_destroy(generator);
    }
    CHECK_NEAR(sum, all.alignment, 1e-5);
    config.align = false;
    generator = make(&config);
    CHECK_OK(generator_gradients(generator, data.real, seen_labels, 1, 2, &losses));
    CHECK(losses.alignment == 0 && losses.unrelated > 0);
    CHECK_NEAR(losses.mmd, all.mmd, 1e-6);
    generator_destroy(generator);
    config.disentangle = false;
    generator = make(&config);
    CHECK_OK(generator_gradients(generator, data.real, seen_labels, 1, 2, &losses));
    CHECK(losses.unrelated == 0 && losses.relation == 0 && losses.reconstruction == 0);
    CHECK_NEAR(losses.total, all.mmd + config.classification_weight * all.classification, 1e-5);
    CHECK(generator_intermediate(generator, "related") == NULL && generator_intermediate(generator, "fake") != NULL);
    generator_destroy(generator);
}

static void test_none(void)
{
    GeneratorConfig config = small_config(GENERATOR_NONE);
    config.classifier_rate = 0.02;
    Generator *generator = make(&config);
    GeneratorLosses losses;
    double first = 0, loss = 0;
    CHECK_OK(generator_step(generator, data.real, seen_labels, 1, 0, &losses));
    CHECK(losses.total == 0 && generator_parameters(generator) == NULL && generator_optimizer(generator) == NULL);
    for (uint64_t step = 0; step < 50; step++) {
        CHECK_OK(classifier_step(generator, data.all, all_labels, 1, step, &loss));
        if (step == 0) first = loss;
    }
    CHECK(loss < 0.9 * first);
    float weight[(CLASSES + 1) * DIM], bias[CLASSES + 1];
    CHECK_OK(generator_classifier_weights(generator, weight, bias));
    CHECK(memcmp(weight, data.weight, sizeof weight) != 0);
    CHECK_FAILS(generator_synthesize(generator, unseen_classes, UNSEEN, 1, weight), STATUS_INVALID, "none");
    generator_destroy(generator);
}

/* The loss by hand: PyTorch's weighted mean over real rows that are not padding. */
static void test_classifier_loss(void)
{
    GeneratorConfig config = small_config(GENERATOR_NONE);
    Generator *generator = make(&config);
    double loss, sum = 0, weights = 0;
    CHECK_OK(classifier_gradients(generator, data.all, all_labels, 1, 0, &loss));
    for (int row = 0; row < ALL_ROWS; row++) {
        if (all_labels[row] < 0) continue;
        double logits[CLASSES + 1], total = 0;
        for (int c = 0; c <= CLASSES; c++) {
            logits[c] = (double)data.bias[c];
            for (int d = 0; d < DIM; d++)
                logits[c] += (double)data.weight[c * DIM + d] * (double)data.all[row * DIM + d];
            total += exp(logits[c]);
        }
        double weight = all_labels[row] == CLASSES ? config.no_object_weight : 1;
        sum += weight * (log(total) - logits[all_labels[row]]);
        weights += weight;
    }
    CHECK_NEAR(loss, sum / weights, 1e-5);
    generator_destroy(generator);
}

static void test_learns(void)
{
    const GeneratorKind kinds[] = {GENERATOR_PRIMITIVE, GENERATOR_GMMN};
    for (int k = 0; k < 2; k++) {
        GeneratorConfig config = small_config(kinds[k]);
        config.dropout = config.gmmn_dropout = 0;
        config.rate = 5e-3;
        Generator *generator = make(&config);
        GeneratorLosses first, losses;
        for (uint64_t step = 0; step < 120; step++) {
            CHECK_OK(generator_step(generator, data.real, seen_labels, 1, step, &losses));
            if (step == 0) first = losses;
        }
        CHECK(losses.total < 0.9 * first.total);
        CHECK(losses.mmd < first.mmd);
        generator_destroy(generator);
    }
}

static void run_steps(Generator *generator, uint64_t from, uint64_t to)
{
    for (uint64_t step = from; step < to; step++) {
        CHECK_OK(generator_step(generator, data.real, seen_labels, 9, step, NULL));
        CHECK_OK(classifier_step(generator, data.all, all_labels, 9, step, NULL));
    }
}

static void copy_state(Generator *from, Generator *to)
{
    Parameters *const froms[] = {generator_parameters(from), generator_classifier_parameters(from)};
    Parameters *const tos[] = {generator_parameters(to), generator_classifier_parameters(to)};
    Optimizer *const from_optimizers[] = {generator_optimizer(from), generator_classifier_optimizer(from)};
    Optimizer *const to_optimizers[] = {generator_optimizer(to), generator_classifier_optimizer(to)};
    for (int i = 0; i < 2; i++) {
        size_t bytes = (size_t)froms[i]->total * sizeof(float);
        void *first[2], *second[2];
        int64_t *steps[2];
        memcpy(tos[i]->values, froms[i]->values, bytes);
        optimizer_state(from_optimizers[i], &first[0], &second[0], &steps[0]);
        optimizer_state(to_optimizers[i], &first[1], &second[1], &steps[1]);
        memcpy(first[1], first[0], bytes);
        memcpy(second[1], second[0], bytes);
        *steps[1] = *steps[0];
    }
}

/* Two steps, a restore into a new generator, two more: the same bits as four. */
static void test_resume(void)
{
    for (int kind = GENERATOR_GMMN; kind <= GENERATOR_PRIMITIVE; kind++) {
        GeneratorConfig config = small_config((GeneratorKind)kind);
        Generator *whole = make(&config), *before = make(&config), *after = make(&config);
        run_steps(whole, 0, 4);
        run_steps(before, 0, 2);
        copy_state(before, after);
        run_steps(after, 2, 4);
        const Parameters *a = generator_parameters(whole), *b = generator_parameters(after);
        CHECK(memcmp(a->values, b->values, (size_t)a->total * sizeof(float)) == 0);
        a = generator_classifier_parameters(whole), b = generator_classifier_parameters(after);
        CHECK(memcmp(a->values, b->values, (size_t)a->total * sizeof(float)) == 0);
        run_steps(before, 3, 5); /* other steps draw otherwise */
        b = generator_classifier_parameters(before);
        CHECK(memcmp(a->values, b->values, (size_t)a->total * sizeof(float)) != 0);
        generator_destroy(whole);
        generator_destroy(before);
        generator_destroy(after);
    }
}

static void test_threads(void)
{
    GeneratorConfig config = small_config(GENERATOR_PRIMITIVE);
    Generator *one = make(&config);
    run_steps(one, 0, 3);
    backend_cpu_set_threads(2);
    Generator *two = make(&config);
    run_steps(two, 0, 3);
    backend_cpu_set_threads(1);
    const Parameters *a = generator_parameters(one), *b = generator_parameters(two);
    CHECK(memcmp(a->values, b->values, (size_t)a->total * sizeof(float)) == 0);
    generator_destroy(one);
    generator_destroy(two);
}

static void test_synthesize(void)
{
    enum { COUNT = 150 };
    static float out[COUNT * DIM], again[COUNT * DIM], few[3 * DIM];
    int32_t classes[COUNT];
    for (int i = 0; i < COUNT; i++) classes[i] = i % CLASSES;
    GeneratorConfig config = small_config(GENERATOR_PRIMITIVE);
    Generator *generator = make(&config);
    CHECK_OK(generator_synthesize(generator, classes, COUNT, 4, out));
    CHECK_OK(generator_synthesize(generator, classes, COUNT, 4, again));
    CHECK(memcmp(out, again, sizeof out) == 0);
    CHECK(memcmp(out, out + CLASSES * DIM, DIM * sizeof(float)) != 0); /* the same class, another draw */
    CHECK_OK(generator_synthesize(generator, classes, 3, 4, few)); /* a row does not depend on how many follow */
    CHECK(memcmp(out, few, sizeof few) == 0);
    CHECK_OK(generator_synthesize(generator, classes, COUNT, 5, again));
    CHECK(memcmp(out, again, sizeof out) != 0);
    classes[0] = CLASSES;
    CHECK_FAILS(generator_synthesize(generator, classes, 1, 4, out), STATUS_INVALID, "class 9");
    generator_destroy(generator);
}

static void count_classes(void *context, GeneratorDraw draw, int index, float *values, int64_t count)
{
    int *seen = context;
    (void)index;
    if (draw == GENERATOR_DRAW_CLASSES)
        for (int64_t i = 0; i < count; i++) seen[(int)values[i]]++;
}

/* K classes a step, no class twice in a step, all of them over time. */
static void test_choice(void)
{
    GeneratorConfig config = small_config(GENERATOR_GMMN);
    Generator *generator = make(&config);
    int seen[UNSEEN] = {0};
    generator_set_draw_hook(generator, count_classes, seen);
    for (uint64_t step = 0; step < 60; step++) CHECK_OK(classifier_step(generator, data.all, all_labels, 1, step, NULL));
    CHECK_INT(seen[0] + seen[1] + seen[2], 120);
    for (int i = 0; i < UNSEEN; i++) CHECK(seen[i] >= 25 && seen[i] <= 60);
    generator_destroy(generator);
    config.unseen_choice = 100; /* more than there are: all of them */
    generator = make(&config);
    memset(seen, 0, sizeof seen);
    generator_set_draw_hook(generator, count_classes, seen);
    CHECK_OK(classifier_step(generator, data.all, all_labels, 1, 0, NULL));
    for (int i = 0; i < UNSEEN; i++) CHECK_INT(seen[i], 1);
    generator_destroy(generator);
}

static void test_inductive_rule(void)
{
    GeneratorConfig config = small_config(GENERATOR_PRIMITIVE);
    Generator *generator = make(&config);
    int32_t labels[ALL_ROWS];
    memcpy(labels, all_labels, sizeof labels);
    labels[3] = 5;
    CHECK_FAILS(generator_step(generator, data.real, labels, 1, 0, NULL), STATUS_INTERNAL, "unseen class 5");
    CHECK_FAILS(classifier_step(generator, data.all, labels, 1, 0, NULL), STATUS_INTERNAL, "unseen class 5");
    labels[3] = CLASSES + 1;
    CHECK_FAILS(classifier_step(generator, data.all, labels, 1, 0, NULL), STATUS_INTERNAL, "label 10");
    labels[3] = -1;
    CHECK_FAILS(generator_step(generator, data.real, labels, 1, 0, NULL), STATUS_INTERNAL, "label -1");
    generator_destroy(generator);
}

static void test_non_finite(void)
{
    GeneratorConfig config = small_config(GENERATOR_PRIMITIVE);
    Generator *generator = make(&config);
    Parameters *parameters = generator_parameters(generator);
    float before = ((float *)parameters->values)[0];
    data.real[3] = NAN;
    CHECK_FAILS(generator_step(generator, data.real, seen_labels, 1, 7, NULL), STATUS_NON_FINITE,
                "moment-matching loss is");
    CHECK(((float *)parameters->values)[0] == before);
    data.all[3] = INFINITY;
    CHECK_FAILS(classifier_step(generator, data.all, all_labels, 1, 7, NULL), STATUS_NON_FINITE, "step 7");
    fill_data();
    CHECK_OK(generator_step(generator, data.real, seen_labels, 1, 8, NULL));
    generator_destroy(generator);
}

static void test_bad_configs(void)
{
    Generator *generator = NULL;
    GeneratorConfig config = small_config(GENERATOR_PRIMITIVE);
#define FAILS(part)                                                                                             \
    CHECK_FAILS(generator_create(backend_cpu(), &config, data.vectors, data.weight, data.bias, 1, &generator),  \
                STATUS_INVALID, part);                                                                          \
    CHECK(generator == NULL);                                                                                   \
    config = small_config(GENERATOR_PRIMITIVE)
    config.heads = 3;
    FAILS("generator.heads");
    config.rows = 1;
    FAILS("generator.rows");
    config.unseen_count = 0;
    FAILS("no unseen class");
    config.sigma_count = 0;
    FAILS("generator.sigmas");
    config.temperature = 0;
    FAILS("generator.temperature");
    int32_t twice[UNSEEN] = {2, 2, 8};
    config.unseen = twice;
    FAILS("unseen class 2");
    int32_t beyond[UNSEEN] = {2, 5, 9};
    config.unseen = beyond;
    FAILS("an unseen class is 9");
    CHECK_STRING(generator_kind_name(GENERATOR_GMMN), "gmmn");
}

TEST_MAIN(TEST(test_gradients_primitive), TEST(test_gradients_dropout), TEST(test_gradients_gmmn),
          TEST(test_gradients_plain), TEST(test_switches), TEST(test_none), TEST(test_classifier_loss),
          TEST(test_learns), TEST(test_resume), TEST(test_threads), TEST(test_synthesize), TEST(test_choice),
          TEST(test_inductive_rule), TEST(test_non_finite), TEST(test_bad_configs))
