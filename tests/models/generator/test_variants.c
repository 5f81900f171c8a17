/* Switches beside the published defaults: the classification loss's columns, the learning rate's milestones, and the
 * projection baseline. */
#include "models/generator/generator.h"

#include "framework/random.h"
#include "tests/test.h"

enum { CLASSES = 9, UNSEEN = 3, SEEN = CLASSES - UNSEEN, VECTOR = 7, DIM = 8, ROWS = 6, ALL_ROWS = 10 };
static const int32_t unseen_classes[UNSEEN] = {2, 5, 8};
static const int32_t seen_labels[ROWS] = {0, 1, 3, 4, 1, 7};
static const int32_t all_labels[ALL_ROWS] = {0, 1, 3, 4, 6, 7, CLASSES, CLASSES, -1, -1};

static float vectors[CLASSES * VECTOR], weight[(CLASSES + 1) * DIM], bias[CLASSES + 1], real[ROWS * DIM], all[ALL_ROWS * DIM];

static GeneratorConfig make_config(GeneratorKind kind)
{
    GeneratorConfig config = generator_config_default();
    config.kind = kind;
    config.classes = CLASSES;
    config.unseen = unseen_classes;
    config.unseen_count = UNSEEN;
    config.vector_dim = VECTOR;
    config.embed_dim = DIM;
    config.rows = ROWS;
    config.primitives = 5;
    config.layers = 1;
    config.heads = 2;
    config.ffn = 12;
    config.dropout = config.encoder_dropout = config.gmmn_dropout = 0;
    config.classifier_rows = ALL_ROWS;
    return config;
}

static Generator *make(const GeneratorConfig *config)
{
    Generator *generator = NULL;
    float *const arrays[] = {vectors, weight, bias, real, all};
    const int64_t counts[] = {CLASSES * VECTOR, (CLASSES + 1) * DIM, CLASSES + 1, ROWS * DIM, ALL_ROWS * DIM};
    for (int i = 0; i < 5; i++) {
        Random random = random_stream(5, RANDOM_TEST, 0, (uint64_t)i);
        random_fill_normal(&random, arrays[i], counts[i]);
    }
    for (int u = 0; u < UNSEEN; u++) /* unseen classes lie between two seen ones, 3u and 3u + 1 */
        for (int v = 0; v < VECTOR; v++)
            vectors[unseen_classes[u] * VECTOR + v] = vectors[3 * u * VECTOR + v] + vectors[(3 * u + 1) * VECTOR + v];
    CHECK_OK(generator_create(backend_cpu(), config, vectors, weight, bias, 3, &generator));
    return generator;
}

/* log sum e^logit - logit of the label, among the classifier's rows `columns`. */
static double cross_entropy(const float *x, const int *columns, int count, int label)
{
    double total = 0, chosen = 0;
    for (int i = 0; i < count; i++) {
        double logit = (double)bias[columns[i]];
        for (int d = 0; d < DIM; d++) logit += (double)weight[columns[i] * DIM + d] * (double)x[d];
        total += exp(logit);
        if (columns[i] == label) chosen = logit;
    }
    return log(total) - chosen;
}

static void check_columns(int columns, const int *order, int seen_of_them)
{
    GeneratorConfig config = make_config(GENERATOR_GMMN);
    config.classification_columns = columns;
    Generator *generator = make(&config);
    GeneratorLosses losses;
    CHECK_OK(generator_gradients(generator, real, seen_labels, 1, 2, &losses));
    const float *fake = generator_intermediate(generator, "fake")->data;
    double sum = 0;
    int rows = 0, count = columns == 0 || columns > CLASSES ? CLASSES + 1 : columns;
    for (int r = 0; r < ROWS; r++) {
        bool among = false;
        for (int i = 0; i < seen_of_them; i++) among = among || order[i] == seen_labels[r];
        if (!among) continue; /* its label is beyond the columns: the row is skipped */
        sum += cross_entropy(fake + r * DIM, order, count, seen_labels[r]);
        rows++;
    }
    CHECK_NEAR(losses.classification, sum / rows, 1e-5);
    generator_destroy(generator);
}

/* Seen classes come first, as in the published code's tables: 156 of COCO-Stuff's 171 are the seen ones. */
static void test_columns(void)
{
    static const int order[CLASSES + 1] = {0, 1, 3, 4, 6, 7, 2, 5, 8, CLASSES};
    check_columns(0, order, SEEN);
    check_columns(156, order, SEEN);
    check_columns(SEEN, order, SEEN);
    check_columns(7, order, SEEN);
    check_columns(4, order, 4);
    CHECK_INT(generator_config_default().classification_columns, 156);
}

/* Adam's steps have the size of the rate while gradients keep their sign: the first after a milestone is a tenth. */
static void test_milestones(void)
{
    GeneratorConfig config = make_config(GENERATOR_GMMN), constant = config;
    config.total_steps = constant.total_steps = 10;
    config.milestones[0] = 0.2;
    config.milestones[1] = 0.5;
    double moved[2][10];
    for (int k = 0; k < 2; k++) {
        Generator *generator = make(k == 0 ? &config : &constant);
        Parameters *parameters = generator_parameters(generator);
        float *before = malloc((size_t)parameters->total * sizeof *before);
        for (uint64_t step = 0; step < 10; step++) {
            memcpy(before, parameters->values, (size_t)parameters->total * sizeof *before);
            CHECK_OK(generator_step(generator, real, seen_labels, 1, step, NULL));
            moved[k][step] = 0;
            for (int64_t i = 0; i < parameters->total; i++)
                moved[k][step] = fmax(moved[k][step], fabs((double)((float *)parameters->values)[i] - (double)before[i]));
        }
        free(before);
        generator_destroy(generator);
    }
    CHECK_NEAR(moved[0][1], moved[1][1], 0);
    CHECK_NEAR(moved[0][2] / moved[1][2], 0.1, 0.02);
    CHECK(moved[0][5] < 0.02 * moved[1][5]);
}

/* The projection's loss by hand, and that its classifier gives the same logits. */
static void test_projection_loss(void)
{
    GeneratorConfig config = make_config(GENERATOR_PROJECTION);
    Generator *generator = make(&config);
    float w[(CLASSES + 1) * DIM], b[CLASSES + 1];
    double loss, sum = 0, weights = 0;
    CHECK(generator_parameters(generator) == NULL);
    CHECK_OK(classifier_gradients(generator, all, all_labels, 1, 0, &loss));
    CHECK_OK(generator_classifier_weights(generator, w, b));
    CHECK(memcmp(w + CLASSES * DIM, weight + CLASSES * DIM, DIM * sizeof *w) == 0); /* no object is the given one */
    static const int columns[SEEN + 1] = {0, 1, 3, 4, 6, 7, CLASSES};
    memcpy(weight, w, sizeof w);
    memcpy(bias, b, sizeof b);
    for (int row = 0; row < ALL_ROWS; row++) {
        if (all_labels[row] < 0) continue;
        double own = all_labels[row] == CLASSES ? config.no_object_weight : 1;
        sum += own * cross_entropy(all + row * DIM, columns, SEEN + 1, all_labels[row]);
        weights += own;
    }
    CHECK_NEAR(loss, sum / weights, 1e-4);
    CHECK_FAILS(generator_synthesize(generator, unseen_classes, UNSEEN, 1, w), STATUS_INVALID, "projection");
    generator_destroy(generator);
}

static void test_projection_gradients(void)
{
    GeneratorConfig config = make_config(GENERATOR_PROJECTION);
    config.dtype = DTYPE_F64;
    Generator *generator = make(&config);
    Parameters *parameters = generator_classifier_parameters(generator);
    double loss, analytic[4096];
    CHECK_OK(classifier_gradients(generator, all, all_labels, 1, 0, &loss));
    CHECK(parameters->total <= 4096);
    memcpy(analytic, parameters->grads, (size_t)parameters->total * sizeof *analytic);
    for (int p = 0; p < parameters->count; p++)
        for (int64_t i = 0; i < parameters->items[p]->count; i += 3) {
            double *value = (double *)parameters->items[p]->value + i, at = *value, above, below;
            *value = at + 1e-5;
            CHECK_OK(classifier_gradients(generator, all, all_labels, 1, 0, &above));
            *value = at - 1e-5;
            CHECK_OK(classifier_gradients(generator, all, all_labels, 1, 0, &below));
            *value = at;
            CHECK_NEAR((above - below) / 2e-5, analytic[parameters->items[p]->offset + i], 1e-7);
        }
    generator_destroy(generator);
}

/* Embeddings that are a fixed linear map of their class's vector: an unseen one is then recognised by its vector. */
static void test_projection_recognises(void)
{
    GeneratorConfig config = make_config(GENERATOR_PROJECTION);
    config.classifier_rate = 0.02;
    Generator *generator = make(&config);
    float map[VECTOR * DIM], w[(CLASSES + 1) * DIM], b[CLASSES + 1], x[DIM];
    Random random = random_stream(9, RANDOM_TEST, 0, 0);
    random_fill_normal(&random, map, VECTOR * DIM);
    static const int32_t labels[ALL_ROWS] = {0, 1, 3, 4, 6, 7, 0, 1, 3, 4};
    for (uint64_t step = 0; step < 600; step++) {
        float noise[ALL_ROWS * DIM];
        random_fill_normal(&random, noise, ALL_ROWS * DIM);
        for (int r = 0; r < ALL_ROWS; r++)
            for (int d = 0; d < DIM; d++) {
                float sum = 0.3f * noise[r * DIM + d];
                for (int v = 0; v < VECTOR; v++) sum += vectors[labels[r] * VECTOR + v] * map[v * DIM + d];
                all[r * DIM + d] = sum;
            }
        CHECK_OK(classifier_step(generator, all, labels, 1, step, NULL));
    }
    CHECK_OK(generator_classifier_weights(generator, w, b));
    int right = 0;
    for (int u = 0; u < UNSEEN; u++) {
        int best = -1;
        double largest = -1e30;
        for (int d = 0; d < DIM; d++) {
            x[d] = 0;
            for (int v = 0; v < VECTOR; v++) x[d] += vectors[unseen_classes[u] * VECTOR + v] * map[v * DIM + d];
        }
        for (int i = 0; i < UNSEEN; i++) { /* among the unseen: what is seen is favoured, which is another matter */
            int c = unseen_classes[i];
            double logit = (double)b[c];
            for (int d = 0; d < DIM; d++) logit += (double)w[c * DIM + d] * (double)x[d];
            if (logit > largest) largest = logit, best = c;
        }
        right += best == unseen_classes[u];
    }
    CHECK_INT(right, UNSEEN);
    generator_destroy(generator);
}

TEST_MAIN(TEST(test_columns), TEST(test_milestones), TEST(test_projection_loss), TEST(test_projection_gradients),
          TEST(test_projection_recognises))
