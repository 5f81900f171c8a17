/* The whole segmenter: gradients against finite differences in double, a batch
 * against its images, one tiny network that learns two pictures by heart. */
#include "models/segmenter/segmenter.h"

#include "framework/memory.h"
#include "framework/random.h"
#include "models/engine/optimizer.h"
#include "tests/test.h"

enum { SIZE = 32, PIXELS = SIZE * SIZE };

static SegmenterConfig tiny_config(PixelDecoderKind pixel_decoder)
{
    SegmenterConfig c = segmenter_default(3);
    c.backbone.width = 8;
    c.pixel_decoder = pixel_decoder;
    c.pixel_layers = 1;
    c.dim = 16;
    c.heads = 2;
    c.ffn = 24;
    c.layers = 3;
    c.queries = 6;
    c.backbone.lr_multiplier = 1;
    c.criterion.points = 64;
    return c;
}

/* Two rectangles on a background: each class has its colour. */
typedef struct Picture {
    float image[PIXELS * 3];
    uint16_t map[PIXELS];
    TargetSegment segments[3];
    SegmentTarget target;
} Picture;

static void make_picture(Picture *picture, uint64_t number)
{
    static const float colours[3][3] = {{1, -1, 0}, {-1, 1, 0.5f}, {0, 0.3f, -1}};
    Random random = random_stream(number, RANDOM_TEST, 0, 0);
    int x0 = 4 + (int)random_below(&random, 8), y0 = 4 + (int)random_below(&random, 8);
    for (int i = 0; i < PIXELS; i++) {
        int x = i % SIZE, y = i / SIZE;
        int segment = x >= x0 && x < x0 + 12 && y >= y0 && y < y0 + 10 ? 1 : y >= 24 ? 2 : 0;
        picture->map[i] = (uint16_t)(segment + 1);
        for (int k = 0; k < 3; k++)
            picture->image[3 * i + k] = colours[segment][k] + 0.1f * (float)random_normal(&random);
    }
    for (int s = 0; s < 3; s++) picture->segments[s] = (TargetSegment){s + 1, s};
    picture->target = (SegmentTarget){picture->map, SIZE, SIZE, picture->segments, 3};
}

static double loss_of(Segmenter *segmenter, const Picture *picture, const CriterionBatch *batch)
{
    CriterionLosses losses;
    CHECK_OK(segmenter_loss(segmenter, picture->image, SIZE, SIZE, &picture->target, batch, &losses));
    return losses.total;
}

/* Slopes along one random direction per parameter tensor; a step so small crosses few kinks of ReLU, of masks' 0.5 and
 * of the choice of points, so most tensors must agree closely and none may be far off. */
static void check_gradients(PixelDecoderKind choice)
{
    SegmenterConfig config = tiny_config(choice);
    config.criterion.importance = 0; /* the choice of uncertain points jumps */
    Segmenter *segmenter;
    Picture *picture = memory_alloc(sizeof *picture);
    make_picture(picture, 1);
    CHECK_OK(segmenter_create(&config, backend_cpu(), DTYPE_F64, 5, &segmenter));
    CriterionBatch batch = {.seed = 1, .step = 2, .sample = 3};
    criterion_count(&config.criterion, config.queries, 3, &batch);
    Parameters *parameters = segmenter_parameters(segmenter);
    /* Off the starting point, where norms of 0 put ReLU, and whole offsets sampling, right on their kinks. */
    Random random = random_stream(8, RANDOM_TEST, 0, 0);
    for (int k = 0; k < parameters->count; k++)
        for (int64_t i = 0; i < parameters->items[k]->count; i++)
            ((double *)parameters->items[k]->value)[i] += 0.03 * random_normal(&random);
    parameters_zero_grad(parameters);
    CriterionLosses losses;
    CHECK_OK(segmenter_train_sample(segmenter, picture->image, SIZE, SIZE, &picture->target, &batch, &losses));
    CHECK_NEAR(loss_of(segmenter, picture, &batch), losses.total, 1e-12);
    const double step = 1e-7;
    int off = 0;
    for (int k = 0; k < parameters->count; k++) {
        Parameter *p = parameters->items[k];
        double *value = p->value, *grad = p->grad, expected = 0, size = 0, loss[2];
        double *direction = memory_alloc(sizeof(double) * (size_t)p->count);
        random = random_stream(9, RANDOM_TEST, (uint64_t)k, 0);
        for (int64_t i = 0; i < p->count; i++) {
            direction[i] = random_normal(&random);
            expected += direction[i] * grad[i];
            size += grad[i] * grad[i];
        }
        for (int side = 0; side < 2; side++) {
            for (int64_t i = 0; i < p->count; i++) value[i] += (side ? -2 : 1) * step * direction[i];
            loss[side] = loss_of(segmenter, picture, &batch);
        }
        for (int64_t i = 0; i < p->count; i++) value[i] += step * direction[i];
        double slope = (loss[0] - loss[1]) / (2 * step), error = fabs(slope - expected) / (1e-2 + sqrt(size));
        if (error > 1e-4) {
            printf("  %s: slope %g, gradient %g\n", p->name, slope, expected);
            off++;
        }
        memory_free(direction);
    }
    CHECK(off <= parameters->count / 50);
    segmenter_destroy(segmenter);
    memory_free(picture);
}

static void test_gradients_fpn(void) { check_gradients(PIXEL_DECODER_FPN); }
static void test_gradients_deformable(void) { check_gradients(PIXEL_DECODER_DEFORMABLE); }

/* Gradients add up; shapes come and go from the cache without changing anything. */
static void test_gradients_add_and_graphs_are_kept(void)
{
    SegmenterConfig config = tiny_config(PIXEL_DECODER_FPN);
    Segmenter *segmenter;
    Picture *picture = memory_alloc(sizeof *picture);
    make_picture(picture, 1);
    CHECK_OK(segmenter_create(&config, backend_cpu(), DTYPE_F32, 5, &segmenter));
    CriterionBatch batch = {0};
    criterion_count(&config.criterion, config.queries, 3, &batch);
    Parameters *parameters = segmenter_parameters(segmenter);
    float *once = memory_alloc(sizeof(float) * (size_t)parameters->total);
    CriterionLosses first, again;
    parameters_zero_grad(parameters);
    CHECK_OK(segmenter_train_sample(segmenter, picture->image, SIZE, SIZE, &picture->target, &batch, &first));
    memcpy(once, parameters->grads, sizeof(float) * (size_t)parameters->total);
    segmenter_set_cache(segmenter, 1);
    /* the same memory as a picture of another shape */
    CHECK_OK(segmenter_loss(segmenter, picture->image, SIZE / 2, SIZE + 1, &picture->target, &batch, &again));
    CHECK_OK(segmenter_train_sample(segmenter, picture->image, SIZE, SIZE, &picture->target, &batch, &again));
    CHECK(first.total == again.total);
    const float *twice = parameters->grads;
    double worst = 0;
    for (int64_t i = 0; i < parameters->total; i++) {
        double error = fabs((double)(twice[i] - 2 * once[i])) / (1e-3 + fabs((double)once[i]));
        worst = error > worst ? error : worst;
    }
    CHECK_NEAR(worst, 0, 1e-4);
    memory_free(once);
    memory_free(picture);
    segmenter_destroy(segmenter);
}

static void test_learns_two_pictures(void)
{
    SegmenterConfig config = tiny_config(PIXEL_DECODER_FPN);
    Segmenter *segmenter;
    Picture *pictures = memory_alloc(2 * sizeof *pictures);
    Optimizer *optimizer;
    for (int i = 0; i < 2; i++) make_picture(&pictures[i], (uint64_t)i);
    CHECK_OK(segmenter_create(&config, backend_cpu(), DTYPE_F32, 5, &segmenter));
    Parameters *parameters = segmenter_parameters(segmenter);
    CHECK_OK(optimizer_create((OptimizerConfig){OPTIMIZER_ADAMW, 0, 0.9, 0.999, 1e-8, 0.01}, parameters, &optimizer));
    double first = 0, last = 0;
    for (int step = 0; step < 150; step++) {
        CriterionBatch batch = {.seed = 4, .step = (uint64_t)step};
        for (int i = 0; i < 2; i++) criterion_count(&config.criterion, config.queries, 3, &batch);
        parameters_zero_grad(parameters);
        last = 0;
        for (int i = 0; i < 2; i++) {
            CriterionLosses losses;
            batch.sample = (uint64_t)i;
            CHECK_OK(segmenter_train_sample(segmenter, pictures[i].image, SIZE, SIZE, &pictures[i].target, &batch, &losses));
            CHECK_INT(losses.non_finite, 0);
            last += losses.total;
        }
        if (step == 0) first = last;
        double norm;
        CHECK_OK(optimizer_clip(parameters, 1, &norm));
        CHECK_OK(optimizer_step(optimizer, 2e-3));
    }
    printf("  loss %.3f to %.3f\n", first, last);
    CHECK(last < 0.3 * first);
    /* and tells which query is which segment */
    int32_t labels[6];
    float classes[6 * 4], *masks = memory_alloc(sizeof(float) * 6 * PIXELS / 16), embeddings[6 * 16];
    SegmenterOutputs outputs = {classes, masks, embeddings};
    CriterionBatch batch = {0};
    CHECK_OK(segmenter_infer(segmenter, pictures[0].image, SIZE, SIZE, &pictures[0].target, &batch, &outputs, labels));
    int found[4] = {0};
    for (int q = 0; q < 6; q++) {
        CHECK(labels[q] >= 0 && labels[q] <= 3);
        found[labels[q]]++;
    }
    CHECK(found[0] == 1 && found[1] == 1 && found[2] == 1);
    /* the class head on the embeddings gives the class logits */
    const float *w = parameters_find(parameters, "decoder.class_embed.weight")->value;
    const float *b = parameters_find(parameters, "decoder.class_embed.bias")->value;
    for (int i = 0; i < 6 * 4; i++) {
        double sum = (double)b[i % 4];
        for (int k = 0; k < 16; k++) sum += (double)w[i % 4 * 16 + k] * (double)embeddings[i / 4 * 16 + k];
        CHECK_NEAR(sum, classes[i], 1e-3);
    }
    memory_free(masks);
    optimizer_destroy(optimizer);
    segmenter_destroy(segmenter);
    memory_free(pictures);
}

static void test_bad_sizes(void)
{
    Segmenter *segmenter;
    SegmenterConfig config = tiny_config(PIXEL_DECODER_FPN);
    config.heads = 3;
    CHECK_FAILS(segmenter_create(&config, backend_cpu(), DTYPE_F32, 1, &segmenter), STATUS_INVALID, "heads");
    config = tiny_config(PIXEL_DECODER_FPN);
    config.backbone.blocks[2] = 0;
    CHECK_FAILS(segmenter_create(&config, backend_cpu(), DTYPE_F32, 1, &segmenter), STATUS_INVALID, "stage 3");
    config = tiny_config(PIXEL_DECODER_FPN);
    config.criterion.importance = 2;
    CHECK_FAILS(segmenter_create(&config, backend_cpu(), DTYPE_F32, 1, &segmenter), STATUS_INVALID, "uncertain");
}

/* Fewer layers than scales: maps that nothing reads. */
static void test_one_layer(void)
{
    for (int choice = 0; choice < 2; choice++) {
        SegmenterConfig config = tiny_config(choice ? PIXEL_DECODER_DEFORMABLE : PIXEL_DECODER_FPN);
        config.layers = 1;
        Segmenter *segmenter;
        Picture *picture = memory_alloc(sizeof *picture);
        make_picture(picture, 1);
        CHECK_OK(segmenter_create(&config, backend_cpu(), DTYPE_F32, 5, &segmenter));
        CriterionBatch batch = {0};
        CriterionLosses losses;
        criterion_count(&config.criterion, config.queries, 3, &batch);
        parameters_zero_grad(segmenter_parameters(segmenter));
        CHECK_OK(segmenter_train_sample(segmenter, picture->image, SIZE, SIZE, &picture->target, &batch, &losses));
        CHECK_INT(losses.heads, 2);
        CHECK_OK(parameters_check_finite(segmenter_parameters(segmenter), true));
        segmenter_destroy(segmenter);
        memory_free(picture);
    }
}

/* Any allocation of creating and of the first sample may fail: an error comes back, and the next try works. */
static void test_failed_allocations(void)
{
    SegmenterConfig config = tiny_config(PIXEL_DECODER_FPN);
    config.layers = 1;
    Picture *picture = memory_alloc(sizeof *picture);
    make_picture(picture, 1);
    CriterionBatch batch = {0};
    CriterionLosses losses;
    criterion_count(&config.criterion, config.queries, 3, &batch);
    bool whole = false;
    for (int64_t count = 0; !whole; count = count < 40 ? count + 1 : count + count / 16) {
        Segmenter *segmenter = NULL;
        memory_fail_after(count);
        Status status = segmenter_create(&config, backend_cpu(), DTYPE_F32, 5, &segmenter);
        if (status == OK)
            status = segmenter_train_sample(segmenter, picture->image, SIZE, SIZE, &picture->target, &batch, &losses);
        whole = status == OK;
        memory_fail_after(-1);
        if (!whole) {
            CHECK_INT(status_code(status), STATUS_NO_MEMORY);
            status_free(status);
            if (segmenter != NULL)
                CHECK_OK(segmenter_train_sample(segmenter, picture->image, SIZE, SIZE, &picture->target, &batch, &losses));
        }
        segmenter_destroy(segmenter);
    }
    memory_free(picture);
}

/* Layers' biases decay where asked for; norms, embeddings of queries and frozen statistics never do. */
static void test_decay_of_biases(void)
{
    for (int on = 0; on < 2; on++) {
        SegmenterConfig config = tiny_config(PIXEL_DECODER_DEFORMABLE);
        config.decay_biases = on;
        Segmenter *segmenter;
        CHECK_OK(segmenter_create(&config, backend_cpu(), DTYPE_F64, 1, &segmenter));
        const Parameters *p = segmenter_parameters(segmenter);
        CHECK_INT(parameters_find(p, "decoder.class_embed.bias")->decay, on);
        CHECK_INT(parameters_find(p, "decoder.transformer_self_attention_layers.0.self_attn.in_proj_bias")->decay, on);
        CHECK_INT(parameters_find(p, "pixel_decoder.input_proj.0.0.bias")->decay, on);
        CHECK(parameters_find(p, "decoder.class_embed.weight")->decay);
        CHECK(!parameters_find(p, "pixel_decoder.input_proj.0.1.bias")->decay);
        CHECK(!parameters_find(p, "decoder.decoder_norm.bias")->decay);
        CHECK(!parameters_find(p, "decoder.query_feat.weight")->decay);
        CHECK(!parameters_find(p, "backbone.bn1.weight")->decay);
        segmenter_destroy(segmenter);
    }
}

TEST_MAIN(TEST(test_decay_of_biases), TEST(test_gradients_fpn), TEST(test_gradients_deformable), TEST(test_gradients_add_and_graphs_are_kept),
          TEST(test_learns_two_pictures), TEST(test_bad_sizes), TEST(test_one_layer),
          TEST(test_failed_allocations))
