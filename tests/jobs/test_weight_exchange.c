/* Weights out and in again: every style, strictness by name, MobileNetV2's folding and padding. */
#include "jobs/stages/weight_exchange.h"

#include <math.h>

#include "framework/files.h"
#include "framework/memory.h"
#include "framework/random.h"
#include "jobs/stages/segmenter_setup.h"
#include "jobs/stages/weights.h"
#include "storage/safetensors.h"
#include "tests/models/segmenter/torchvision_formula.h"
#include "tests/storage/fixture.h"

static char directory[256];

/* Five classes, of which the second and the fourth are unseen. */
static ClassEntry entries[5] = {{.name = "a"}, {.name = "b", .is_unseen = true}, {.name = "c"},
                                {.name = "d", .is_unseen = true}, {.name = "e"}};
static const ClassTable classes = {.entries = entries, .count = 5, .seen_count = 3};

static const char *in(const char *name)
{
    static char paths[4][400];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static SegmenterConfig tiny(void)
{
    SegmenterConfig c = segmenter_default(3);
    c.backbone = (BackboneConfig){.kind = BACKBONE_RESNET, .width = 4, .blocks = {1, 1, 1, 1}, .stem = 7,
                                  .bottleneck = true, .norm = BACKBONE_FROZEN_BATCH_NORM, .lr_multiplier = 1};
    c.pixel_decoder = PIXEL_DECODER_DEFORMABLE;
    c.pixel_layers = 1;
    c.dim = 8;
    c.heads = 2;
    c.ffn = 12;
    c.layers = 1;
    c.queries = 4;
    return c;
}

static Segmenter *make(const SegmenterConfig *config, uint64_t seed)
{
    Segmenter *segmenter;
    CHECK_OK(segmenter_create(config, backend_cpu(), DTYPE_F32, seed, &segmenter));
    Parameters *parameters = segmenter_parameters(segmenter);
    for (int i = 0; i < parameters->count; i++) { /* norms too, which all start alike */
        Random random = random_stream(seed, RANDOM_TEST, 0, (uint64_t)i);
        float *values = parameters->items[i]->value;
        for (int64_t k = 0; k < parameters->items[i]->count; k++) values[k] += (float)random_uniform(&random);
    }
    return segmenter;
}

static void save(Segmenter *segmenter, const char *path)
{
    ArrayList arrays = {0};
    CHECK_OK(weights_list(&arrays, "", segmenter_parameters(segmenter)));
    CHECK_OK(checkpoint_write(path, SEGMENTER_KIND, "{}", arrays.items, arrays.count));
    array_list_clear(&arrays);
}

/* Parameters up to `part` are those of `a`, the others those of `b`. */
static void check_taken(Segmenter *got, Segmenter *a, Segmenter *b, WeightPart part)
{
    Parameters *p = segmenter_parameters(got), *pa = segmenter_parameters(a), *pb = segmenter_parameters(b);
    for (int i = 0; i < p->count; i++) {
        const Parameter *from = weight_part(p->items[i]->name) <= part ? pa->items[i] : pb->items[i];
        if (memcmp(p->items[i]->value, from->value, (size_t)from->count * sizeof(float)) != 0)
            TEST_FAIL("%s is not what it should be", from->name);
    }
}

static void test_round_trips(void)
{
    temporary_directory(directory);
    SegmenterConfig config = tiny();
    Segmenter *from = make(&config, 1), *fresh = make(&config, 2);
    save(from, in("segmenter.h5"));
    for (int style = 0; style < WEIGHT_STYLE_COUNT; style++) {
        bool backbone = weight_style_is_backbone((WeightStyle)style);
        CHECK_OK(weights_export(in("segmenter.h5"), (WeightStyle)style, in("w.safetensors")));
        for (WeightPart part = WEIGHT_PART_BACKBONE; part <= WEIGHT_PART_ALL; part++) {
            Segmenter *to = make(&config, 2);
            Status status = weights_import(in("w.safetensors"), part, &classes, to);
            if (backbone && part > WEIGHT_PART_BACKBONE) {
                CHECK_FAILS(status, STATUS_INVALID, "set segmenter.load to backbone");
                check_taken(to, fresh, fresh, WEIGHT_PART_ALL);
            } else {
                CHECK_OK(status);
                check_taken(to, from, fresh, part);
            }
            segmenter_destroy(to);
        }
    }
    segmenter_destroy(from);
    segmenter_destroy(fresh);
    CHECK_OK(directory_remove(directory));
}

/* The file at `path` without tensor `drop`, with `add` of shape `shape` (either may be NULL). */
static void rewrite(const char *path, const char *drop, const char *add, int rank, const int64_t *shape)
{
    static const float zeros[64];
    SafetensorsEntry listed[400];
    float *values[400] = {0};
    int count = 0;
    Safetensors *file;
    CHECK_OK(safetensors_open(path, &file));
    for (int i = 0; i < safetensors_count(file); i++) {
        const char *name = safetensors_name(file, i), *type;
        int own_rank;
        const int64_t *own;
        if (drop != NULL && strcmp(name, drop) == 0) continue;
        CHECK(safetensors_describe(file, name, &type, &own_rank, &own));
        int64_t size = 1;
        for (int d = 0; d < own_rank; d++) size *= own[d];
        values[count] = malloc((size_t)size * sizeof(float));
        CHECK_OK(safetensors_read(file, name, own_rank, own, values[count]));
        listed[count] = (SafetensorsEntry){name, own_rank, own, values[count]};
        count++;
    }
    if (add != NULL) listed[count++] = (SafetensorsEntry){add, rank, shape, zeros};
    CHECK_OK(safetensors_write(path, listed, count, NULL, 0));
    safetensors_close(file);
    for (int i = 0; i < 400; i++) free(values[i]);
}

static void test_strict(void)
{
    temporary_directory(directory);
    SegmenterConfig config = tiny();
    Segmenter *from = make(&config, 1), *to = make(&config, 2), *fresh = make(&config, 2);
    save(from, in("segmenter.h5"));
    CHECK_OK(weights_export(in("segmenter.h5"), WEIGHTS_MASK2FORMER, in("w.safetensors")));
    const char *conv = "backbone.res3.0.conv2.weight";
    rewrite(in("w.safetensors"), conv, NULL, 0, NULL);
    CHECK_FAILS(weights_import(in("w.safetensors"), WEIGHT_PART_ALL, &classes, to), STATUS_INVALID,
                "mask2former's): 1 tensor missing: backbone.res3.0.conv2.weight");
    rewrite(in("w.safetensors"), NULL, conv, 2, (int64_t[]){8, 4});
    CHECK_FAILS(weights_import(in("w.safetensors"), WEIGHT_PART_ALL, &classes, to), STATUS_INVALID,
                "1 tensor of another shape: backbone.res3.0.conv2.weight ([8, 4], not [8, 8, 3, 3])");
    rewrite(in("w.safetensors"), NULL, "sem_seg_head.predictor.surplus", 1, (int64_t[]){2});
    rewrite(in("w.safetensors"), "sem_seg_head.predictor.class_embed.bias", NULL, 0, NULL);
    CHECK_FAILS(weights_import(in("w.safetensors"), WEIGHT_PART_ALL, &classes, to), STATUS_INVALID,
                "1 tensor missing: sem_seg_head.predictor.class_embed.bias; 1 tensor of another shape: ");
    CHECK_FAILS(weights_import(in("w.safetensors"), WEIGHT_PART_BODY, &classes, to), STATUS_INVALID,
                "1 tensor of no use to this network: sem_seg_head.predictor.surplus");
    check_taken(to, fresh, fresh, WEIGHT_PART_ALL); /* nothing was changed by any of these */
    /* What no segmenter has is passed over. */
    CHECK_OK(weights_export(in("segmenter.h5"), WEIGHTS_MASK2FORMER, in("w.safetensors")));
    rewrite(in("w.safetensors"), NULL, "criterion.empty_weight", 1, (int64_t[]){4});
    CHECK_OK(weights_import(in("w.safetensors"), WEIGHT_PART_ALL, &classes, to));
    rewrite(in("w.safetensors"), "sem_seg_head.predictor.query_feat.weight", NULL, 0, NULL);
    CHECK_FAILS(weights_import(in("w.safetensors"), WEIGHT_PART_ALL, &classes, to), STATUS_INVALID, "zeroth weights list");
    /* Many are not all listed. */
    CHECK_OK(weights_export(in("segmenter.h5"), WEIGHTS_TORCHVISION, in("w.safetensors")));
    config.backbone.blocks[2] = 3;
    Segmenter *deeper = make(&config, 3);
    CHECK_FAILS(weights_import(in("w.safetensors"), WEIGHT_PART_BACKBONE, &classes, deeper), STATUS_INVALID, "30 tensors missing: layer3.1");
    CHECK_FAILS(weights_import(in("w.safetensors"), WEIGHT_PART_BACKBONE, &classes, deeper), STATUS_INVALID, "and 18 more");
    segmenter_destroy(deeper);
    segmenter_destroy(from);
    segmenter_destroy(to);
    segmenter_destroy(fresh);
    CHECK_OK(directory_remove(directory));
}

/* A head of all five classes and no object: rows 0, 2, 4 and 5 are ours. */
static void test_whole_head(void)
{
    temporary_directory(directory);
    SegmenterConfig seen = tiny(), all = tiny();
    all.classes = 5;
    Segmenter *from = make(&all, 1), *to = make(&seen, 2);
    save(from, in("segmenter.h5"));
    CHECK_OK(weights_export(in("segmenter.h5"), WEIGHTS_MASK2FORMER, in("w.safetensors")));
    CHECK_OK(weights_import(in("w.safetensors"), WEIGHT_PART_ALL, &classes, to));
    const char *const names[] = {"decoder.class_embed.weight", "decoder.class_embed.bias"};
    for (int i = 0; i < 2; i++) {
        const Parameter *got = parameters_find(segmenter_parameters(to), names[i]);
        const Parameter *whole = parameters_find(segmenter_parameters(from), names[i]);
        size_t width = i == 0 ? 8 : 1;
        static const int rows[4] = {0, 2, 4, 5};
        for (size_t r = 0; r < 4; r++)
            CHECK(memcmp((float *)got->value + r * width, (float *)whole->value + (size_t)rows[r] * width,
                         width * sizeof(float)) == 0);
    }
    all.classes = 4;
    Segmenter *neither = make(&all, 1);
    save(neither, in("segmenter.h5"));
    CHECK_OK(weights_export(in("segmenter.h5"), WEIGHTS_MASK2FORMER, in("w.safetensors")));
    CHECK_FAILS(weights_import(in("w.safetensors"), WEIGHT_PART_ALL, &classes, to), STATUS_INVALID, "class_embed.weight ([5, 8], not [4, 8])");
    segmenter_destroy(from);
    segmenter_destroy(to);
    segmenter_destroy(neither);
    CHECK_OK(directory_remove(directory));
}

/* -- MobileNetV2 -- */

static SegmenterConfig mobile(BackbonePadding padding)
{
    SegmenterConfig c = tiny();
    c.backbone = (BackboneConfig){.kind = BACKBONE_MOBILENET_V2, .padding = padding, .lr_multiplier = 1};
    return c;
}

/* torchvision's names: a convolution NAME.weight and a batch norm numbered after it. The norms are made so that the
 * folded weight is 2w and the bias 3 + 0.5 (element). */
static void write_unfolded(Segmenter *segmenter, const char *path, const char *const *metadata, int pairs)
{
    Parameters *p = segmenter_parameters(segmenter);
    static char names[300][64];
    static float vectors[4][1280];
    SafetensorsEntry listed[300];
    int count = 0;
    for (int k = 0; k < 1280; k++) {
        vectors[0][k] = 4;                        /* weight: 4 / sqrt(4) = 2 */
        vectors[1][k] = 13 + 0.5f * (float)(k % 7); /* bias, of which 2 * mean is taken */
        vectors[2][k] = 5;
        vectors[3][k] = (float)(4 - 1e-5);
    }
    static const char *const parts[4] = {"weight", "bias", "running_mean", "running_var"};
    for (int i = 0; i < p->count; i++) {
        const Parameter *q = p->items[i];
        int number, length = (int)strlen(q->name) - (int)strlen(".weight");
        if (strncmp(q->name, "backbone.", 9) != 0 || q->rank != 4) continue;
        snprintf(names[count], 64, "%s", q->name + 9);
        listed[count] = (SafetensorsEntry){names[count], 4, q->shape, q->value};
        count++;
        int at = length;
        while (q->name[at - 1] != '.') at--;
        CHECK(sscanf(q->name + at, "%d", &number) == 1);
        for (int k = 0; k < 4; k++) {
            snprintf(names[count], 64, "%.*s%d.%s", at - 9, q->name + 9, number + 1, parts[k]);
            listed[count] = (SafetensorsEntry){names[count], 1, q->shape, vectors[k]};
            count++;
        }
    }
    CHECK_OK(safetensors_write(path, listed, count, metadata, pairs));
}

/* The same names with the values of torchvision_formula.h. */
static void write_formula(Segmenter *segmenter, const char *path)
{
    write_unfolded(segmenter, path, NULL, 0);
    Safetensors *file;
    SafetensorsEntry listed[300];
    float *values[300];
    CHECK_OK(safetensors_open(path, &file));
    int count = safetensors_count(file);
    for (int i = 0; i < count; i++) {
        const char *name = safetensors_name(file, i), *type;
        int rank;
        const int64_t *shape;
        CHECK(safetensors_describe(file, name, &type, &rank, &shape));
        int64_t size = 1;
        for (int d = 0; d < rank; d++) size *= shape[d];
        values[i] = malloc((size_t)size * sizeof(float));
        CHECK(values[i] != NULL);
        formula_fill(name, rank, shape, values[i]);
        listed[i] = (SafetensorsEntry){name, rank, shape, values[i]};
    }
    CHECK_OK(safetensors_write(path, listed, count, NULL, 0));
    for (int i = 0; i < count; i++) free(values[i]);
    safetensors_close(file);
}

static void test_mobilenet(void)
{
    temporary_directory(directory);
    SegmenterConfig symmetric = mobile(BACKBONE_PADDING_SYMMETRIC), same = mobile(BACKBONE_PADDING_SAME);
    Segmenter *from = make(&symmetric, 1), *to = make(&symmetric, 2), *other = make(&same, 3);
    const char *const metadata[] = {"padding", "TensorFlow SAME"};
    write_unfolded(from, in("w.safetensors"), NULL, 0);
    CHECK_OK(weights_import(in("w.safetensors"), WEIGHT_PART_BACKBONE, &classes, to));
    Parameters *p = segmenter_parameters(to), *q = segmenter_parameters(from);
    for (int i = 0; i < p->count; i++) {
        if (weight_part(p->items[i]->name) != WEIGHT_PART_BACKBONE) continue;
        const float *got = p->items[i]->value, *original = q->items[i]->value;
        for (int64_t k = 0; k < p->items[i]->count; k += 5)
            CHECK_NEAR(got[k], p->items[i]->rank == 1 ? 3 + 0.5 * (double)(k % 7) : 2 * (double)original[k], 1e-5);
    }
    CHECK_FAILS(weights_import(in("w.safetensors"), WEIGHT_PART_BACKBONE, &classes, other), STATUS_INVALID,
                "torchvision's: set segmenter.padding to symmetric");
    write_unfolded(from, in("w.safetensors"), metadata, 1);
    CHECK_FAILS(weights_import(in("w.safetensors"), WEIGHT_PART_BACKBONE, &classes, to), STATUS_INVALID, "set segmenter.padding to same");
    CHECK_OK(weights_import(in("w.safetensors"), WEIGHT_PART_BACKBONE, &classes, other));
    segmenter_destroy(from);
    segmenter_destroy(to);
    segmenter_destroy(other);
    CHECK_OK(directory_remove(directory));
}

/* torchvision's MobileNetV2 with its norms, through the file: its numbers, folded and padded as they must be. */
static void test_mobilenet_against_torchvision(void)
{
    temporary_directory(directory);
    SegmenterConfig config = mobile(BACKBONE_PADDING_SYMMETRIC);
    Segmenter *segmenter = make(&config, 1);
    write_formula(segmenter, in("w.safetensors"));
    CHECK_OK(weights_import(in("w.safetensors"), WEIGHT_PART_BACKBONE, &classes, segmenter));
    Graph *g;
    Tensor *features[4];
    CHECK_OK(graph_create(backend_cpu(), DTYPE_F32, &g));
    Tensor *image = graph_add_input(g, DTYPE_F32, 4, (int64_t[]){1, REFERENCE_HEIGHT, REFERENCE_WIDTH, 3}, false);
    backbone_build(g, segmenter_parameters(segmenter), "backbone.", &config.backbone, image, features);
    for (int k = 0; k < 4; k++) graph_mark_output(features[k]);
    CHECK_OK(graph_compile(g, false));
    formula_fill_symmetric("image", image->data, image->count);
    CHECK_OK(graph_forward(g));
    for (int k = 0; k < 4; k++) reference_check(&mobilenet_v2_reference[k], features[k]->data, features[k]->count, 1e-4);
    graph_destroy(g);
    segmenter_destroy(segmenter);
    CHECK_OK(directory_remove(directory));
}

TEST_MAIN(TEST(test_mobilenet_against_torchvision), TEST(test_round_trips), TEST(test_strict), TEST(test_whole_head), TEST(test_mobilenet))
